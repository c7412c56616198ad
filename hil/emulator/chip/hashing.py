"""SHA-256 whose inner state can be read and put back (FIPS 180-4 section 6.2).

hashlib keeps its state to itself, and the 608 exports its own with SHA(read context).
"""

from __future__ import annotations

import math

__all__ = ["Sha256"]

_MASK = 0xFFFFFFFF


def _primes(count: int) -> list[int]:
    found: list[int] = []
    candidate = 2
    while len(found) < count:
        if all(candidate % prime for prime in found):
            found.append(candidate)
        candidate += 1
    return found


def _cube_root_fraction(prime: int) -> int:
    """First 32 bits of the fraction of a cube root, by integers alone."""
    scaled = prime << 96
    low, high = 0, 1 << 36
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if middle**3 <= scaled else (low, middle - 1)
    return low & _MASK


_START = tuple(math.isqrt(prime << 64) & _MASK for prime in _primes(8))
_ROUND = tuple(_cube_root_fraction(prime) for prime in _primes(64))


class Sha256:
    """A digest in progress.

    Args:
        words: the eight state words.
        length: bytes hashed so far, pending ones included.
        pending: bytes behind the last full block.
    """

    __slots__ = ("length", "pending", "words")

    def __init__(self, words: tuple[int, ...] = _START, length: int = 0, pending: bytes = b"") -> None:
        self.words = words
        self.length = length
        self.pending = pending

    def update(self, data: bytes) -> None:
        """Hash ``data``."""
        self.length += len(data)
        data = self.pending + data
        full = len(data) - len(data) % 64
        for at in range(0, full, 64):
            self.words = _compress(self.words, data[at : at + 64])
        self.pending = data[full:]

    def digest(self) -> bytes:
        """The digest of everything so far, 32 bytes; the state stays as it is."""
        tail = self.pending + b"\x80"
        tail += bytes((56 - len(tail)) % 64) + (self.length * 8 % (1 << 64)).to_bytes(8, "big")
        words = self.words
        for at in range(0, len(tail), 64):
            words = _compress(words, tail[at : at + 64])
        return b"".join(word.to_bytes(4, "big") for word in words)

    def copy(self) -> Sha256:
        """An independent copy."""
        return Sha256(self.words, self.length, self.pending)


def _compress(words: tuple[int, ...], block: bytes) -> tuple[int, ...]:
    w = [int.from_bytes(block[i : i + 4], "big") for i in range(0, 64, 4)]
    for i in range(16, 64):
        x, y = w[i - 15], w[i - 2]
        s0 = (x >> 7 | x << 25) ^ (x >> 18 | x << 14) ^ x >> 3
        s1 = (y >> 17 | y << 15) ^ (y >> 19 | y << 13) ^ y >> 10
        w.append(w[i - 16] + (s0 & _MASK) + w[i - 7] + (s1 & _MASK) & _MASK)
    a, b, c, d, e, f, g, h = words
    for k, x in zip(_ROUND, w, strict=True):
        s1 = ((e >> 6 | e << 26) ^ (e >> 11 | e << 21) ^ (e >> 25 | e << 7)) & _MASK
        t1 = h + s1 + (e & f ^ ~e & g) + k + x
        s0 = ((a >> 2 | a << 30) ^ (a >> 13 | a << 19) ^ (a >> 22 | a << 10)) & _MASK
        t2 = s0 + (a & b ^ a & c ^ b & c)
        a, b, c, d, e, f, g, h = t1 + t2 & _MASK, a, b, c, d + t1 & _MASK, e, f, g
    return tuple(x + y & _MASK for x, y in zip(words, (a, b, c, d, e, f, g, h), strict=True))
