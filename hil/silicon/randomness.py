"""What a handful of random blocks shows: a constant, a repetition, or a gross bias; no more than that.

Two kilobytes cannot certify a generator. They do tell one that is dead, stuck or unlocked. Tests and
their sources: monobit, runs (NIST SP 800-22 sections 2.1, 2.3), byte frequencies (chi-square). A sound
generator fails one of them in less than one of 100 000 characterizations.
"""

from __future__ import annotations

import math
from collections import Counter
from itertools import pairwise
from statistics import NormalDist

__all__ = ["BLOCKS", "judge"]

BLOCKS = 64
_ALPHA = 3e-6
_UNLOCKED = bytes.fromhex("FFFF0000") * 8
"""What a part with an open configuration zone answers (data sheet DS20005927A section 8.6.3)."""


def judge(blocks: list[bytes]) -> dict[str, str]:
    """Verdicts on 32-byte blocks, in words that are equal for equal behaviour."""
    if set(blocks) == {_UNLOCKED}:
        return {"Random | statistics": "the constant of an open configuration zone, FFFF0000"}
    if len(set(blocks)) == 1:
        return {"Random | statistics": "a constant"}
    data = b"".join(blocks)
    tests = {
        "blocks repeat": len(set(blocks)) == len(blocks),
        "ones and zeros": _monobit(data) > _ALPHA,
        "runs": _runs(data) > _ALPHA,
        "byte frequencies": _frequencies(data) > _ALPHA,
    }
    failed = [name for name, good in tests.items() if not good]
    return {"Random | statistics": f"not random: {', '.join(failed)}" if failed else "as random as it looks"}


def _bits(data: bytes) -> str:
    return "".join(f"{byte:08b}" for byte in data)


def _monobit(data: bytes) -> float:
    ones = sum(byte.bit_count() for byte in data)
    n = 8 * len(data)
    return math.erfc(abs(2 * ones - n) / math.sqrt(2 * n))


def _runs(data: bytes) -> float:
    bits = _bits(data)
    n = len(bits)
    share = bits.count("1") / n
    if not 0 < share < 1:
        return 0.0
    runs = 1 + sum(a != b for a, b in pairwise(bits))
    expected = 2 * n * share * (1 - share)
    return math.erfc(abs(runs - expected) / (2 * math.sqrt(2 * n) * share * (1 - share)))


def _frequencies(data: bytes) -> float:
    """Two-sided: too even is as suspicious as too uneven. Wilson and Hilferty's cube root."""
    counts = Counter(data)
    expected = len(data) / 256
    chi = sum((counts.get(byte, 0) - expected) ** 2 / expected for byte in range(256))
    freedom = 255
    z = ((chi / freedom) ** (1 / 3) - (1 - 2 / (9 * freedom))) / math.sqrt(2 / (9 * freedom))
    return 2 * (1 - NormalDist().cdf(abs(z)))
