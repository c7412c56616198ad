"""The image format that the ROMs of ESP8266 and ESP32 load from flash; no I/O.

    E9  segments  flash mode  size and frequency  entry u32
    ESP32 only: 16 more bytes; u16 at 12 = chip id (0 = ESP32), the last = 1 if a SHA-256 follows
    per segment: address u32, length u32, data
    padding, so that the checksum is the last byte of a block of 16: XOR of all segment data, seed EF
    ESP32 with the flag: SHA-256 of everything before

Numbers are little-endian.
Source: Espressif, esptool documentation, "Firmware Image Format"
(docs.espressif.com/projects/esptool, advanced-topics/firmware-image-format).
"""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass
from functools import reduce
from operator import xor
from typing import TYPE_CHECKING, Literal

from hil.errors import FrameError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["BOOT_OFFSET", "MAGIC", "EspMcu", "Image", "Segment", "build_image", "checksum", "parse_image"]

EspMcu = Literal["esp8266", "esp32"]

MAGIC = 0xE9
BOOT_OFFSET: dict[EspMcu, int] = {"esp8266": 0, "esp32": 0x1000}
"""Where in flash the ROM looks for the image to load."""

MAX_SEGMENTS = 16
MAX_SEGMENT = 0x100_0000
ESP32_CHIP_ID = 0
_CHECKSUM_SEED = 0xEF
_HEADER = struct.Struct("<BBBBI")
_EXTENDED = struct.Struct("<B3sHBHH4sB")
_SEGMENT = struct.Struct("<II")


@dataclass(frozen=True)
class Segment:
    """A piece of the image with the address that it is loaded to."""

    address: int
    data: bytes


@dataclass(frozen=True)
class Image:
    """A parsed image.

    Attributes:
        entry: where execution starts.
        segments: what is loaded.
        checksum: of the segments, as computed.
        stored_checksum: as the image has it.
        digest_ok: whether the SHA-256 fits; True if there is none.
        size: bytes from the magic to the end.
    """

    entry: int
    segments: tuple[Segment, ...]
    checksum: int
    stored_checksum: int
    digest_ok: bool
    size: int

    @property
    def intact(self) -> bool:
        """Whether a ROM would run it."""
        return self.checksum == self.stored_checksum and self.digest_ok


def parse_image(data: bytes, mcu: EspMcu) -> Image:
    """The image at the beginning of ``data``.

    Raises:
        FrameError: this is no image for that microcontroller, or it is cut off.
    """
    if data[:1] != bytes((MAGIC,)):
        raise FrameError(f"no image: the first byte is {data[:1].hex() or 'missing'}, not {MAGIC:02x}")
    if len(data) < _HEADER.size:
        raise FrameError("the image ends within its header")
    _, count, _, _, entry = _HEADER.unpack_from(data)
    at, hashed = _HEADER.size, False
    if mcu == "esp32":
        if len(data) < at + _EXTENDED.size:
            raise FrameError("the image ends within its header")
        _, _, chip_id, _, _, _, _, flag = _EXTENDED.unpack_from(data, at)
        if chip_id != ESP32_CHIP_ID:
            raise FrameError(f"the image is for chip id {chip_id}, an ESP32 has {ESP32_CHIP_ID}")
        at, hashed = at + _EXTENDED.size, flag == 1
    if not 1 <= count <= MAX_SEGMENTS:
        raise FrameError(f"the image claims {count} segments")
    segments = []
    for number in range(count):
        if len(data) < at + _SEGMENT.size:
            raise FrameError(f"the image ends before segment {number}")
        address, length = _SEGMENT.unpack_from(data, at)
        at += _SEGMENT.size
        if length > MAX_SEGMENT or len(data) < at + length:
            raise FrameError(f"segment {number} claims {length} bytes, {len(data) - at} follow")
        segments.append(Segment(address, data[at : at + length]))
        at += length
    at = (at | 15) + 1
    if len(data) < at + 32 * hashed:
        raise FrameError("the image ends before its checksum")
    stored, digest_ok = data[at - 1], True
    if hashed:
        digest_ok = hashlib.sha256(data[:at]).digest() == data[at : at + 32]
        at += 32
    return Image(entry, tuple(segments), checksum(segments), stored, digest_ok, at)


def build_image(mcu: EspMcu, segments: Sequence[Segment], entry: int) -> bytes:
    """An image; for the ESP32 with its SHA-256."""
    parts = [_HEADER.pack(MAGIC, len(segments), 2, 0x40, entry)]  # DIO, 4 MB, 40 MHz
    if mcu == "esp32":
        parts.append(_EXTENDED.pack(0xEE, bytes(3), ESP32_CHIP_ID, 0, 0, 0xFFFF, bytes(4), 1))
    for segment in segments:
        parts += [_SEGMENT.pack(segment.address, len(segment.data)), segment.data]
    image = b"".join(parts)
    image += bytes(15 - len(image) % 16) + bytes((checksum(segments),))
    return image + hashlib.sha256(image).digest() if mcu == "esp32" else image


def checksum(segments: Sequence[Segment]) -> int:
    """XOR of all segment data, seeded with 0xEF."""
    return reduce(xor, (reduce(xor, segment.data, 0) for segment in segments), _CHECKSUM_SEED)
