"""WebSocket frames, as little as RPC needs: both ends, no I/O, no extensions.

Source: RFC 6455, sections 4.1, 4.2 and 5.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from enum import IntEnum

from hil.errors import FrameError

__all__ = ["Opcode", "WsMessage", "WsReader", "accept_key", "encode_frame"]

MAX_MESSAGE = 1 << 20
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class Opcode(IntEnum):
    """What a frame carries (section 5.2)."""

    CONTINUATION = 0
    TEXT = 1
    BINARY = 2
    CLOSE = 8
    PING = 9
    PONG = 10


@dataclass(frozen=True, slots=True)
class WsMessage:
    """A whole message, or a control frame."""

    opcode: Opcode
    data: bytes


def accept_key(key: str) -> str:
    """``Sec-WebSocket-Accept`` for a ``Sec-WebSocket-Key`` (section 4.2.2)."""
    return base64.b64encode(hashlib.sha1(key.encode() + _GUID).digest()).decode()


def encode_frame(opcode: Opcode, data: bytes, *, mask: bytes = b"") -> bytes:
    """One unfragmented frame.

    Args:
        opcode: what it carries.
        data: the payload.
        mask: four bytes; clients have to mask, servers must not.
    """
    flag = 0x80 if mask else 0
    head = bytes((0x80 | opcode,))
    if len(data) < 126:
        head += bytes((flag | len(data),))
    elif len(data) < 1 << 16:
        head += bytes((flag | 126,)) + len(data).to_bytes(2, "big")
    else:
        head += bytes((flag | 127,)) + len(data).to_bytes(8, "big")
    return head + mask + _masked(data, mask)


class WsReader:
    """Reads messages from a byte stream; fragments are joined, masks removed."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._opcode: Opcode | None = None
        self._parts = bytearray()

    def feed(self, data: bytes) -> list[WsMessage]:
        """Take received bytes; returns the messages that they completed.

        Raises:
            FrameError: the bytes break the protocol.
        """
        self._buffer += data
        done: list[WsMessage] = []
        while (frame := self._take_frame()) is not None:
            message = self._join(*frame)
            if message is not None:
                done.append(message)
        return done

    def _take_frame(self) -> tuple[bool, Opcode, bytes] | None:
        buffer = self._buffer
        if len(buffer) < 2:
            return None
        length, at = buffer[1] & 0x7F, 2
        if length >= 126:
            size = 2 if length == 126 else 8
            length, at = int.from_bytes(buffer[2 : 2 + size], "big"), 2 + size
        if length > MAX_MESSAGE:
            raise FrameError(f"a WebSocket frame of {length} bytes")
        mask_at, at = at, at + (4 if buffer[1] & 0x80 else 0)
        if len(buffer) < at + length:
            return None
        try:
            opcode = Opcode(buffer[0] & 0x0F)
        except ValueError as error:
            raise FrameError(f"WebSocket opcode {buffer[0] & 0x0F} is reserved") from error
        payload = _masked(bytes(buffer[at : at + length]), bytes(buffer[mask_at:at]))
        final = bool(buffer[0] & 0x80)
        del buffer[: at + length]
        return final, opcode, payload

    def _join(self, final: bool, opcode: Opcode, payload: bytes) -> WsMessage | None:
        if opcode >= Opcode.CLOSE:
            return WsMessage(opcode, payload)
        if opcode is not Opcode.CONTINUATION:
            self._opcode = opcode
            self._parts.clear()
        if self._opcode is None:
            raise FrameError("a WebSocket continuation without a beginning")
        self._parts += payload
        if len(self._parts) > MAX_MESSAGE:
            raise FrameError(f"a WebSocket message of more than {MAX_MESSAGE} bytes")
        if not final:
            return None
        message = WsMessage(self._opcode, bytes(self._parts))
        self._opcode = None
        return message


def _masked(data: bytes, mask: bytes) -> bytes:
    return bytes(byte ^ mask[i % 4] for i, byte in enumerate(data)) if mask else data
