"""Modbus RTU, the two functions that relay boards need: read coils (1), write single coil (5).

Source: "MODBUS over Serial Line Specification and Implementation Guide" V1.02, section 2.5;
"MODBUS Application Protocol Specification" V1.1b3, sections 6.1, 6.5 and 7.
"""

from __future__ import annotations

from dataclasses import dataclass

from hil.errors import FrameError

__all__ = [
    "READ_COILS",
    "WRITE_COIL",
    "CoilRequest",
    "ModbusReceiver",
    "coil_state",
    "crc16",
    "encode_coils",
    "encode_exception",
    "read_coil",
    "reply_length",
    "take_reply",
    "write_coil",
]

READ_COILS = 1
WRITE_COIL = 5
ILLEGAL_FUNCTION, ILLEGAL_ADDRESS, ILLEGAL_VALUE = 1, 2, 3
EXCEPTIONS = {1: "illegal function", 2: "illegal data address", 3: "illegal data value", 4: "device failure"}
_REQUEST_LENGTH = 8
_ON, _OFF = 0xFF00, 0x0000


def crc16(data: bytes) -> bytes:
    """CRC-16 with polynomial A001, start FFFF, low byte first."""
    register = 0xFFFF
    for byte in data:
        register ^= byte
        for _ in range(8):
            register = register >> 1 ^ (0xA001 if register & 1 else 0)
    return register.to_bytes(2, "little")


def _framed(address: int, function: int, body: bytes) -> bytes:
    frame = bytes((address, function)) + body
    return frame + crc16(frame)


def write_coil(address: int, coil: int, on: bool) -> bytes:
    """Switch ``coil`` (from 0); the board answers with the same bytes."""
    return _framed(address, WRITE_COIL, coil.to_bytes(2, "big") + (_ON if on else _OFF).to_bytes(2, "big"))


def read_coil(address: int, coil: int) -> bytes:
    """Ask for the state of one coil."""
    return _framed(address, READ_COILS, coil.to_bytes(2, "big") + (1).to_bytes(2, "big"))


def reply_length(received: bytes) -> int:
    """How long the reply that begins with ``received`` will be."""
    if len(received) < 3:
        return 5
    if received[1] & 0x80:
        return 5
    return 5 + received[2] if received[1] == READ_COILS else _REQUEST_LENGTH


def take_reply(reply: bytes, address: int, function: int) -> bytes:
    """The body of a reply.

    Raises:
        FrameError: wrong checksum, another board's, another function's, or an exception.
    """
    if len(reply) < 5 or crc16(reply[:-2]) != reply[-2:]:
        raise FrameError(f"Modbus reply {reply.hex(' ') or '(nothing)'}: wrong checksum or length")
    if reply[0] != address or reply[1] & 0x7F != function:
        raise FrameError(f"Modbus reply {reply.hex(' ')} is not board {address}'s to function {function}")
    if reply[1] & 0x80:
        raise FrameError(f"Modbus exception {reply[2]}: {EXCEPTIONS.get(reply[2], 'unknown')}")
    return reply[2:-2]


def coil_state(body: bytes) -> bool:
    """State of the first coil in the body of a read reply."""
    if len(body) < 2 or body[0] != len(body) - 1:
        raise FrameError(f"Modbus coil states {body.hex(' ')} have a wrong length")
    return bool(body[1] & 1)


# -- the board's end ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class CoilRequest:
    """A request with a right checksum; what it asks may still be nonsense.

    Attributes:
        address: the board.
        function: the function code.
        coil: first coil, from 0.
        value: number of coils to read, or the word to write.
        raw: the whole request; a successful write is answered with it.
    """

    address: int
    function: int
    coil: int
    value: int
    raw: bytes

    @property
    def writes(self) -> bool | None:
        """What a write request sets; None if the word is neither of the two allowed."""
        return {_ON: True, _OFF: False}.get(self.value)


def encode_coils(address: int, states: list[bool]) -> bytes:
    """Reply to a read request."""
    packed = bytearray((len(states) + 7) // 8)
    for i, on in enumerate(states):
        packed[i // 8] |= on << i % 8
    return _framed(address, READ_COILS, bytes((len(packed),)) + packed)


def encode_exception(address: int, function: int, code: int) -> bytes:
    """An exception reply."""
    return _framed(address, function | 0x80, bytes((code,)))


class ModbusReceiver:
    """Finds requests by their checksum; leading bytes that belong to none are dropped."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[CoilRequest]:
        """Take received bytes; returns the requests that they completed."""
        buffer = self._buffer
        buffer += data
        requests: list[CoilRequest] = []
        while len(buffer) >= _REQUEST_LENGTH:
            raw = bytes(buffer[:_REQUEST_LENGTH])
            if crc16(raw[:-2]) == raw[-2:]:
                coil, value = int.from_bytes(raw[2:4], "big"), int.from_bytes(raw[4:6], "big")
                requests.append(CoilRequest(raw[0], raw[1], coil, value, raw))
                del buffer[:_REQUEST_LENGTH]
            else:
                del buffer[0]
        return requests
