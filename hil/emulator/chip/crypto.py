"""Hashing of the chip, and a generator that can be repeated. P-256 is in :mod:`hil.emulator.chip.ecc`."""

from __future__ import annotations

from hashlib import sha256

__all__ = ["Generator", "sha", "xor"]


class Generator:
    """A deterministic random generator: SHA-256 over key and counter.

    Two chips with the same seed and serial number give the same bytes, so that a run can be
    repeated; different serial numbers give independent ones.

    Args:
        seed: any integer.
        serial: the chip's serial number.
        drawn: blocks to skip: those that an earlier process took.
    """

    def __init__(self, seed: int, serial: bytes, drawn: int = 0) -> None:
        self._key = sha256(b"ATECC generator\0" + str(seed).encode() + b"\0" + serial).digest()
        self.drawn = drawn
        """Blocks drawn so far; kept in snapshots."""

    def block(self) -> bytes:
        """The next 32 bytes."""
        self.drawn += 1
        return sha256(self._key + self.drawn.to_bytes(8, "big")).digest()


def sha(*parts: bytes | bytearray) -> bytes:
    """SHA-256 of the parts in a row."""
    return sha256(b"".join(parts)).digest()


def xor(left: bytes, right: bytes) -> bytes:
    """Bytewise exclusive or of two strings of equal length."""
    return (int.from_bytes(left, "big") ^ int.from_bytes(right, "big")).to_bytes(len(left), "big")
