"""A serial NOR flash: erased cells read FF, programming only clears bits, erasing takes whole sectors.

Sectors that were never written take no memory. Times are typical ones of a W25Q32
(Winbond W25Q32JV data sheet, section 9.6 "AC electrical characteristics").
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["SECTOR", "FlashPart", "NorFlash"]

SECTOR = 0x1000
BLOCK = 0x1_0000
_PAGE = 256
_ERASED = b"\xff" * SECTOR


@dataclass(frozen=True)
class FlashPart:
    """Which part it is.

    Attributes:
        jedec: answer to command 9F, manufacturer in the lowest byte; the highest is log2 of the size.
        sector_us, block_us, page_us: erase 4 KiB, erase 64 KiB, program up to 256 bytes.
    """

    jedec: int = 0x1640EF
    sector_us: int = 45_000
    block_us: int = 150_000
    page_us: int = 700

    @property
    def size(self) -> int:
        """Bytes."""
        return 1 << (self.jedec >> 16)


class NorFlash:
    """The memory. It outlives power cycles, as long as the object does.

    Args:
        part: which part it is.

    Attributes:
        worn: a fault: offset of a cell to the bits of it that cannot be cleared any more.
    """

    def __init__(self, part: FlashPart | None = None) -> None:
        self.part = part or FlashPart()
        self.worn: dict[int, int] = {}
        self._sectors: dict[int, bytearray] = {}

    @property
    def size(self) -> int:
        """Bytes."""
        return self.part.size

    def read(self, offset: int, length: int) -> bytes:
        """Any number of bytes.

        Raises:
            ValueError: beyond the end.
        """
        self._check(offset, length)
        if not length:
            return b""
        first, last = offset // SECTOR, (offset + length - 1) // SECTOR
        found = b"".join(bytes(self._sectors.get(n, _ERASED)) for n in range(first, last + 1))
        start = offset - first * SECTOR
        return found[start : start + length]

    def erase(self, offset: int, length: int) -> int:
        """Erase every sector that the range touches; returns the microseconds it takes.

        Raises:
            ValueError: beyond the end.
        """
        self._check(offset, length)
        if not length:
            return 0
        first, end = offset // SECTOR * SECTOR, -(-(offset + length) // SECTOR) * SECTOR
        took = 0
        for at in range(first, end, SECTOR):
            self._sectors.pop(at // SECTOR, None)
        while first < end:
            whole = first % BLOCK == 0 and end - first >= BLOCK
            took += self.part.block_us if whole else self.part.sector_us
            first += BLOCK if whole else SECTOR
        return took

    def program(self, offset: int, data: bytes) -> int:
        """Clear bits; returns the microseconds it takes.

        Raises:
            ValueError: beyond the end.
        """
        self._check(offset, len(data))
        at = 0
        while at < len(data):
            number, start = divmod(offset + at, SECTOR)
            piece = data[at : at + SECTOR - start]
            sector = self._sectors.setdefault(number, bytearray(_ERASED))
            old = sector[start : start + len(piece)]
            sector[start : start + len(piece)] = bytes(a & b for a, b in zip(old, piece, strict=True))
            at += len(piece)
        for cell, bits in self.worn.items():
            if offset <= cell < offset + len(data):
                self._sectors[cell // SECTOR][cell % SECTOR] |= bits
        return -(-len(data) // _PAGE) * self.part.page_us

    def write(self, offset: int, data: bytes) -> None:
        """Erase and program, in no time; for what a board comes with."""
        self.erase(offset, len(data))
        self.program(offset, data)

    def _check(self, offset: int, length: int) -> None:
        if offset < 0 or length < 0 or offset + length > self.size:
            raise ValueError(f"{length} bytes at 0x{offset:x} are not within 0x{self.size:x}")
