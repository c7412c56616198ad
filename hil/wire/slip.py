"""SLIP frames, and the packets of the Espressif serial loader in them; both ends, no I/O.

A frame lies between two bytes ``C0``; inside, ``C0`` is sent as ``DB DC`` and ``DB`` as ``DB DD``.

    request   00  op  length u16  checksum u32  data
    response  01  op  length u16  value u32     data  status (2 or 4 bytes: 0 = ok, else 1 and a code)

Numbers are little-endian. The checksum is used by the commands that carry a block only.

Source: RFC 1055; Espressif, esptool documentation, "Serial Protocol"
(docs.espressif.com/projects/esptool, advanced-topics/serial-protocol).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum
from functools import reduce
from operator import xor

from hil.errors import FrameError

__all__ = [
    "OHAI",
    "SYNC_DATA",
    "Code",
    "Op",
    "Request",
    "Response",
    "SlipDecoder",
    "block",
    "block_checksum",
    "decode_request",
    "decode_response",
    "encode_slip",
    "words",
]

END, ESC, ESC_END, ESC_ESC = 0xC0, 0xDB, 0xDC, 0xDD
MAX_FRAME = 0x1_0000
"""More than any loader takes (stub blocks have 0x4000 bytes); what is longer is noise."""

OHAI = b"OHAI"
"""The frame with which a stub announces that it runs."""

SYNC_DATA = bytes.fromhex("07071220") + b"\x55" * 32

CHECKSUM_SEED = 0xEF
_REQUEST = struct.Struct("<BBHI")
_BLOCK = struct.Struct("<IIII")


class Op(IntEnum):
    """Commands of the ROM and stub loaders."""

    FLASH_BEGIN = 0x02
    FLASH_DATA = 0x03
    FLASH_END = 0x04
    MEM_BEGIN = 0x05
    MEM_END = 0x06
    MEM_DATA = 0x07
    SYNC = 0x08
    WRITE_REG = 0x09
    READ_REG = 0x0A
    SPI_SET_PARAMS = 0x0B
    SPI_ATTACH = 0x0D
    READ_FLASH_SLOW = 0x0E
    CHANGE_BAUDRATE = 0x0F
    DEFL_BEGIN = 0x10
    DEFL_DATA = 0x11
    DEFL_END = 0x12
    SPI_FLASH_MD5 = 0x13
    GET_SECURITY_INFO = 0x14
    ERASE_FLASH = 0xD0
    ERASE_REGION = 0xD1
    READ_FLASH = 0xD2
    RUN_USER = 0xD3


class Code(IntEnum):
    """What a loader means by the second status byte; ROM codes first, stub codes from 0xC0."""

    INVALID_MESSAGE = 0x05
    FAILED_TO_ACT = 0x06
    BAD_CHECKSUM = 0x07
    FLASH_WRITE = 0x08
    FLASH_READ = 0x09
    FLASH_READ_LENGTH = 0x0A
    DEFLATE = 0x0B
    STUB_DATA_LENGTH = 0xC0
    STUB_CHECKSUM = 0xC1
    STUB_SPI_FAILED = 0xC4
    STUB_NOT_FLASHING = 0xC6
    STUB_INFLATE = 0xC7
    STUB_UNKNOWN = 0xFF


@dataclass(frozen=True, slots=True)
class Request:
    """What the host asks.

    Attributes:
        op: the command; any byte, known or not.
        data: its parameters.
        checksum: of the block in it, or 0.
    """

    op: int
    data: bytes = b""
    checksum: int = 0

    def encode(self) -> bytes:
        """The packet, without SLIP."""
        return _REQUEST.pack(0, self.op, len(self.data), self.checksum) + self.data


@dataclass(frozen=True, slots=True)
class Response:
    """What the loader answers.

    Attributes:
        op: the command that it answers.
        value: the register of READ_REG; 0 elsewhere, except that a ROM answers SYNC with another.
        data: payload.
        code: 0 = ok, else why not (:class:`Code`).
        status_size: 2 bytes (ESP8266 ROM, every stub) or 4 (ESP32 ROM).
    """

    op: int
    value: int = 0
    data: bytes = b""
    code: int = 0
    status_size: int = 2

    def encode(self) -> bytes:
        """The packet, without SLIP."""
        status = bytes((bool(self.code), self.code)).ljust(self.status_size, b"\0")
        body = self.data + status
        return _REQUEST.pack(1, self.op, len(body), self.value) + body


def decode_request(packet: bytes) -> Request:
    """A request from the content of a frame.

    Raises:
        FrameError: too short, not a request, or its length field is wrong.
    """
    op, value, data = _split(packet, 0)
    return Request(op, data, value)


def decode_response(packet: bytes, *, status_size: int = 2) -> Response:
    """A response from the content of a frame.

    Raises:
        FrameError: too short, not a response, or its length field is wrong.
    """
    op, value, data = _split(packet, 1)
    if len(data) < status_size:
        raise FrameError(f"loader response without a status: {packet.hex()}")
    status = data[-status_size:]
    code = (status[1] or Code.FAILED_TO_ACT) if status[0] else 0
    return Response(op, value, data[:-status_size], code, status_size)


def _split(packet: bytes, direction: int) -> tuple[int, int, bytes]:
    if len(packet) < _REQUEST.size:
        raise FrameError(f"a loader packet has at least {_REQUEST.size} bytes: {packet.hex()}")
    kind, op, length, value = _REQUEST.unpack_from(packet)
    data = packet[_REQUEST.size :]
    if kind != direction:
        raise FrameError(f"direction byte {kind:02x}, not {direction:02x}")
    if length != len(data):
        raise FrameError(f"command {op:02x} announces {length} bytes and carries {len(data)}")
    return op, value, data


def block_checksum(payload: bytes) -> int:
    """XOR of the bytes of a block, seeded with 0xEF."""
    return reduce(xor, payload, CHECKSUM_SEED)


def block(op: int, sequence: int, payload: bytes) -> Request:
    """A request that carries block number ``sequence``."""
    return Request(op, _BLOCK.pack(len(payload), sequence, 0, 0) + payload, block_checksum(payload))


def words(data: bytes, count: int) -> tuple[int, ...]:
    """The first ``count`` words of 32 bits.

    Raises:
        FrameError: there are fewer.
    """
    if len(data) < 4 * count:
        raise FrameError(f"{count} words were expected, {len(data)} bytes came")
    return struct.unpack_from(f"<{count}I", data)


def encode_slip(content: bytes) -> bytes:
    """One frame."""
    escaped = content.replace(b"\xdb", b"\xdb\xdd").replace(b"\xc0", b"\xdb\xdc")
    return b"\xc0" + escaped + b"\xc0"


class SlipDecoder:
    """Finds the frames in a stream; what lies outside of them is dropped.

    After a lost or damaged byte it is in step again with the next frame but one at the latest.
    """

    def __init__(self) -> None:
        self._frame: bytearray | None = None
        self._escaped = False

    def feed(self, data: bytes) -> list[bytes]:
        """The content of every frame that ``data`` completes; empty frames are none."""
        found = []
        for byte in data:
            if byte == END:
                if self._frame and not self._escaped:
                    found.append(bytes(self._frame))
                    self._frame = None
                else:  # a start; or an end that was one, of a frame whose start was lost
                    self._frame = bytearray()
                self._escaped = False
            elif self._frame is not None:
                self._inside(byte)
        return found

    def reset(self) -> None:
        """Forget a frame under way."""
        self._frame = None
        self._escaped = False

    def _inside(self, byte: int) -> None:
        assert self._frame is not None, "the caller looked"
        if self._escaped:
            self._escaped = False
            if byte not in (ESC_END, ESC_ESC):
                self._frame = None
                return
            byte = END if byte == ESC_END else ESC
        elif byte == ESC:
            self._escaped = True
            return
        self._frame.append(byte)
        if len(self._frame) > MAX_FRAME:
            self._frame = None
