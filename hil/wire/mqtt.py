"""MQTT 3.1.1 on the wire: :func:`encode` and a stream :class:`Decoder`; packets come from ``mqttpackets``.

Source: OASIS standard "MQTT Version 3.1.1", chapters 2 and 3; ``[MQTT-…]`` are its conformance
statements. Both ends of the wire use this codec; what a packet means is their own business.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from hil.errors import FrameError, UsageError
from hil.wire.mqttpackets import (
    CONNACK_CODES,
    SUBACK_FAILURE,
    ConnAck,
    Connect,
    Disconnect,
    Packet,
    PingReq,
    PingResp,
    PubAck,
    PubComp,
    Publish,
    PubRec,
    PubRel,
    SubAck,
    Subscribe,
    UnsubAck,
    Unsubscribe,
    topic_matches,
    valid_filter,
    valid_topic,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = [
    "CONNACK_CODES",
    "SUBACK_FAILURE",
    "ConnAck",
    "Connect",
    "Decoder",
    "Disconnect",
    "Packet",
    "PingReq",
    "PingResp",
    "PubAck",
    "PubComp",
    "PubRec",
    "PubRel",
    "Publish",
    "SubAck",
    "Subscribe",
    "UnsubAck",
    "Unsubscribe",
    "encode",
    "topic_matches",
    "valid_filter",
    "valid_topic",
]

MAX_REMAINING_LENGTH = 268_435_455

# -- encoding -------------------------------------------------------------------------------


def encode(packet: Packet) -> bytes:
    """The bytes of ``packet``.

    Raises:
        UsageError: a field is outside of what the standard allows.
    """
    first, body = _ENCODERS[type(packet)](packet)
    if len(body) > MAX_REMAINING_LENGTH:
        raise UsageError(f"an MQTT packet carries at most {MAX_REMAINING_LENGTH} bytes, not {len(body)}")
    return bytes([first]) + _length(len(body)) + body


def _length(value: int) -> bytes:
    out = bytearray()
    while True:
        value, digit = divmod(value, 128)
        out.append(digit | (0x80 if value else 0))
        if not value:
            return bytes(out)


def _binary(data: bytes, what: str) -> bytes:
    if len(data) > 0xFFFF:
        raise UsageError(f"{what}: at most 65535 bytes fit, not {len(data)}")
    return struct.pack(">H", len(data)) + data


def _string(text: str, what: str) -> bytes:
    if "\0" in text:
        raise UsageError(f"{what}: U+0000 is not allowed [MQTT-1.5.3-2]")
    return _binary(text.encode(), what)


def _packet_id(value: int) -> bytes:
    if not 1 <= value <= 0xFFFF:
        raise UsageError(f"packet id {value} is not within 1 to 65535 [MQTT-2.3.1-1]")
    return struct.pack(">H", value)


def _encode_connect(packet: Packet) -> tuple[int, bytes]:
    assert isinstance(packet, Connect)
    if packet.password is not None and packet.username is None:
        raise UsageError("CONNECT with a password needs a user name [MQTT-3.1.2-22]")
    flags = 0x02 if packet.clean_session else 0
    payload = _string(packet.client_id, "client id")
    if packet.will is not None:
        flags |= 0x04 | packet.will.qos << 3 | (0x20 if packet.will.retain else 0)
        payload += _string(packet.will.topic, "will topic") + _binary(packet.will.payload, "will message")
    if packet.username is not None:
        flags |= 0x80
        payload += _string(packet.username, "user name")
    if packet.password is not None:
        flags |= 0x40
        payload += _binary(packet.password, "password")
    head = _string(packet.protocol_name, "protocol name")
    return 0x10, head + struct.pack(">BBH", packet.level, flags, packet.keep_alive) + payload


def _encode_connack(packet: Packet) -> tuple[int, bytes]:
    assert isinstance(packet, ConnAck)
    return 0x20, bytes([int(packet.session_present), packet.code])


def _encode_publish(packet: Packet) -> tuple[int, bytes]:
    assert isinstance(packet, Publish)
    if not 0 <= packet.qos <= 2:
        raise UsageError(f"QoS {packet.qos} does not exist")
    if not valid_topic(packet.topic):
        raise UsageError(f"{packet.topic!r} is not a topic name [MQTT-3.3.2-2]")
    first = 0x30 | (0x08 if packet.dup else 0) | packet.qos << 1 | int(packet.retain)
    identifier = _packet_id(packet.packet_id) if packet.qos else b""
    return first, _string(packet.topic, "topic") + identifier + packet.payload


def _encode_id_only(first: int) -> Callable[[Packet], tuple[int, bytes]]:
    def encode_one(packet: Packet) -> tuple[int, bytes]:
        assert isinstance(packet, PubAck | PubRec | PubRel | PubComp | UnsubAck)
        return first, _packet_id(packet.packet_id)

    return encode_one


def _encode_subscribe(packet: Packet) -> tuple[int, bytes]:
    assert isinstance(packet, Subscribe)
    if not packet.filters:
        raise UsageError("SUBSCRIBE needs at least one filter [MQTT-3.8.3-3]")
    filters = b"".join(_string(name, "topic filter") + bytes([qos]) for name, qos in packet.filters)
    return 0x82, _packet_id(packet.packet_id) + filters


def _encode_suback(packet: Packet) -> tuple[int, bytes]:
    assert isinstance(packet, SubAck)
    return 0x90, _packet_id(packet.packet_id) + bytes(packet.codes)


def _encode_unsubscribe(packet: Packet) -> tuple[int, bytes]:
    assert isinstance(packet, Unsubscribe)
    if not packet.filters:
        raise UsageError("UNSUBSCRIBE needs at least one filter [MQTT-3.10.3-2]")
    return 0xA2, _packet_id(packet.packet_id) + b"".join(_string(f, "topic filter") for f in packet.filters)


_ENCODERS: dict[type, Callable[[Packet], tuple[int, bytes]]] = {
    Connect: _encode_connect,
    ConnAck: _encode_connack,
    Publish: _encode_publish,
    PubAck: _encode_id_only(0x40),
    PubRec: _encode_id_only(0x50),
    PubRel: _encode_id_only(0x62),
    PubComp: _encode_id_only(0x70),
    Subscribe: _encode_subscribe,
    SubAck: _encode_suback,
    Unsubscribe: _encode_unsubscribe,
    UnsubAck: _encode_id_only(0xB0),
    PingReq: lambda packet: (0xC0, b""),
    PingResp: lambda packet: (0xD0, b""),
    Disconnect: lambda packet: (0xE0, b""),
}

# -- decoding -------------------------------------------------------------------------------


class Decoder:
    """Turns a stream of bytes into packets.

    Args:
        max_length: largest remaining length that is accepted; more is an error before it is buffered.
    """

    def __init__(self, max_length: int = MAX_REMAINING_LENGTH) -> None:
        self._max_length = max_length
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[Packet]:
        """Yield the packets that ``data`` completes; the rest waits for the next call.

        Raises:
            FrameError: the stream breaks the standard; nothing after it can be decoded.
        """
        self._buffer += data
        while (header := self._header()) is not None:
            start, end = header
            if len(self._buffer) < end:
                return
            first, body = self._buffer[0], bytes(self._buffer[start:end])
            del self._buffer[:end]
            yield _decode(first, body)

    def _header(self) -> tuple[int, int] | None:
        """Where the body of the next packet starts and ends, None while its length is unknown."""
        length = 0
        for index in range(4):
            if len(self._buffer) < index + 2:
                return None
            digit = self._buffer[index + 1]
            length |= (digit & 0x7F) << 7 * index
            if not digit & 0x80:
                if length > self._max_length:
                    raise FrameError(f"MQTT packet of {length} bytes, more than the limit {self._max_length}")
                return index + 2, index + 2 + length
        raise FrameError("MQTT remaining length has more than four bytes (2.2.3)")


class _Fields:
    """Reads fields from a packet's body; every read past the end is a :class:`FrameError`."""

    def __init__(self, body: bytes, what: str) -> None:
        self._body = body
        self._at = 0
        self.what = what

    def take(self, length: int) -> bytes:
        part = self._body[self._at : self._at + length]
        if len(part) < length:
            raise FrameError(f"{self.what} ends too early")
        self._at += length
        return part

    def u8(self) -> int:
        return self.take(1)[0]

    def u16(self) -> int:
        return int.from_bytes(self.take(2), "big")

    def binary(self) -> bytes:
        return self.take(self.u16())

    def string(self) -> str:
        try:
            text = self.binary().decode()
        except UnicodeDecodeError as error:
            raise FrameError(f"{self.what}: text is not UTF-8 [MQTT-1.5.3-1]") from error
        if "\0" in text:
            raise FrameError(f"{self.what}: text contains U+0000 [MQTT-1.5.3-2]")
        return text

    def packet_id(self) -> int:
        value = self.u16()
        if value == 0:
            raise FrameError(f"{self.what}: packet id 0 [MQTT-2.3.1-1]")
        return value

    def rest(self) -> bytes:
        return self.take(len(self._body) - self._at)

    @property
    def more(self) -> bool:
        return self._at < len(self._body)

    def end(self) -> None:
        if self.more:
            raise FrameError(f"{self.what}: {len(self._body) - self._at} bytes too many")


def _decode(first: int, body: bytes) -> Packet:
    kind, flags = first >> 4, first & 0x0F
    row = _DECODERS.get(kind)
    if row is None:
        raise FrameError(f"MQTT packet type {kind} does not exist (2.2.1)")
    name, expected_flags, decode = row
    if expected_flags is not None and flags != expected_flags:
        raise FrameError(f"{name}: reserved flags are 0x{flags:x} [MQTT-2.2.2-2]")
    fields = _Fields(body, name)
    packet = decode(fields, flags)
    fields.end()
    return packet


def _decode_connect(fields: _Fields, _: int) -> Packet:
    name, level = fields.string(), fields.u8()
    if (name, level) not in (("MQTT", 4), ("MQIsdp", 3), ("MQTT", 5)):
        raise FrameError(f"CONNECT: protocol {name!r} level {level} is unknown [MQTT-3.1.2-1]")
    if level == 5:  # the layout differs from here on: the server answers by the level alone
        fields.rest()
        return Connect("", protocol_name=name, level=level)
    flags, keep_alive = fields.u8(), fields.u16()
    if flags & 0x01:
        raise FrameError("CONNECT: reserved flag is set [MQTT-3.1.2-3]")
    has_will, will_qos = bool(flags & 0x04), flags >> 3 & 0x03
    if will_qos == 3 or (not has_will and flags & 0x38):
        raise FrameError("CONNECT: will flags contradict each other [MQTT-3.1.2-13]")
    if flags & 0x40 and not flags & 0x80:
        raise FrameError("CONNECT: a password without a user name [MQTT-3.1.2-22]")
    client_id = fields.string()
    will = None
    if has_will:
        topic, message = fields.string(), fields.binary()
        if not valid_topic(topic):
            raise FrameError(f"CONNECT: will topic {topic!r} is not a topic name")
        will = Publish(topic, message, qos=will_qos, retain=bool(flags & 0x20))
    username = fields.string() if flags & 0x80 else None
    password = fields.binary() if flags & 0x40 else None
    return Connect(client_id, bool(flags & 0x02), keep_alive, username, password, will, name, level)


def _decode_connack(fields: _Fields, _: int) -> Packet:
    flags, code = fields.u8(), fields.u8()
    if flags & 0xFE:
        raise FrameError("CONNACK: reserved flags are set (3.2.2.1)")
    return ConnAck(code, bool(flags))


def _decode_publish(fields: _Fields, flags: int) -> Packet:
    qos, dup = flags >> 1 & 0x03, bool(flags & 0x08)
    if qos == 3:
        raise FrameError("PUBLISH: QoS 3 [MQTT-3.3.1-4]")
    if dup and not qos:
        raise FrameError("PUBLISH: DUP with QoS 0 [MQTT-3.3.1-2]")
    topic = fields.string()
    if not valid_topic(topic):
        raise FrameError(f"PUBLISH: {topic!r} is not a topic name [MQTT-3.3.2-2]")
    packet_id = fields.packet_id() if qos else 0
    return Publish(topic, fields.rest(), qos, packet_id, bool(flags & 0x01), dup)


def _decode_subscribe(fields: _Fields, _: int) -> Packet:
    packet_id = fields.packet_id()
    filters: list[tuple[str, int]] = []
    while fields.more:
        name, qos = fields.string(), fields.u8()
        if qos > 2:
            raise FrameError(f"SUBSCRIBE: requested QoS {qos} [MQTT-3.8.3-4]")
        if not valid_filter(name):
            raise FrameError(f"SUBSCRIBE: {name!r} is not a topic filter [MQTT-4.7.1-2]")
        filters.append((name, qos))
    if not filters:
        raise FrameError("SUBSCRIBE without a filter [MQTT-3.8.3-3]")
    return Subscribe(packet_id, tuple(filters))


def _decode_suback(fields: _Fields, _: int) -> Packet:
    packet_id, codes = fields.packet_id(), tuple(fields.rest())
    if not codes or any(code not in (0, 1, 2, SUBACK_FAILURE) for code in codes):
        raise FrameError(f"SUBACK: return codes {codes} [MQTT-3.9.3-2]")
    return SubAck(packet_id, codes)


def _decode_unsubscribe(fields: _Fields, _: int) -> Packet:
    packet_id = fields.packet_id()
    filters: list[str] = []
    while fields.more:
        filters.append(fields.string())
    if not filters:
        raise FrameError("UNSUBSCRIBE without a filter [MQTT-3.10.3-2]")
    return Unsubscribe(packet_id, tuple(filters))


_DECODERS: dict[int, tuple[str, int | None, Callable[[_Fields, int], Packet]]] = {
    1: ("CONNECT", 0, _decode_connect),
    2: ("CONNACK", 0, _decode_connack),
    3: ("PUBLISH", None, _decode_publish),
    4: ("PUBACK", 0, lambda fields, _: PubAck(fields.packet_id())),
    5: ("PUBREC", 0, lambda fields, _: PubRec(fields.packet_id())),
    6: ("PUBREL", 2, lambda fields, _: PubRel(fields.packet_id())),
    7: ("PUBCOMP", 0, lambda fields, _: PubComp(fields.packet_id())),
    8: ("SUBSCRIBE", 2, _decode_subscribe),
    9: ("SUBACK", 0, _decode_suback),
    10: ("UNSUBSCRIBE", 2, _decode_unsubscribe),
    11: ("UNSUBACK", 0, lambda fields, _: UnsubAck(fields.packet_id())),
    12: ("PINGREQ", 0, lambda fields, _: PingReq()),
    13: ("PINGRESP", 0, lambda fields, _: PingResp()),
    14: ("DISCONNECT", 0, lambda fields, _: Disconnect()),
}
