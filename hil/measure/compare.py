"""Whether a sample differs from another by more than chance, and whether a series drifts.

Samples are compared by ranks, so neither skew nor time-outs mislead. A difference counts only if
it is large enough to matter as well: with many samples the smallest difference is significant.

Sources: rank test and shift: Hollander and Wolfe, *Nonparametric Statistical Methods*, chapter 4;
individuals chart: Montgomery, *Introduction to Statistical Quality Control*, section 6.4.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from itertools import pairwise
from statistics import NormalDist
from typing import TYPE_CHECKING

from hil.errors import UsageError
from hil.measure.statistics import Interval, Sample, middle

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Chart", "Comparison", "compare", "control_chart", "rank_test", "ratio"]

# Up to this many pairs the rank test counts arrangements instead of approximating.
_EXACT_PAIRS = 900
# Individuals chart: three standard deviations are 2.66 mean moving ranges (3 / d2, d2 = 1.128).
_MOVING_RANGE_FACTOR = 2.66
_RUN_LENGTH = 8


def rank_test(base: Sample, new: Sample) -> float:
    """One-sided p of the Mann-Whitney test: how probable so large a ``new`` is by chance alone.

    Counted exactly for small samples without ties, otherwise by the normal approximation with
    corrections for ties and continuity.

    Raises:
        UsageError: a sample is empty.
    """
    n, m = base.n, new.n
    if not n or not m:
        raise UsageError("two samples are compared, none of them empty")
    older, newer = base.ordered(), new.ordered()
    wins = sum((b > a) + 0.5 * (b == a) for a in older for b in newer)
    ties = Counter([*older, *newer])
    if max(ties.values()) == 1 and n * m <= _EXACT_PAIRS:
        counts = _arrangements(n, m)
        return sum(counts[int(wins) :]) / sum(counts)
    total = n + m
    tied = sum(count**3 - count for count in ties.values())
    variance = n * m / 12 * (total + 1 - tied / (total * (total - 1)))
    if variance <= 0:
        return 1.0  # everything is equal
    return 1 - NormalDist().cdf((wins - n * m / 2 - 0.5) / math.sqrt(variance))


@dataclass(frozen=True)
class Comparison:
    """A new sample against a baseline.

    Attributes:
        p: one-sided p of the rank test for *slower*.
        shift: typical difference new - base (Hodges-Lehmann), in the samples' unit.
        interval: its confidence interval.
        slower: the difference is both statistically and practically significant.
    """

    p: float
    shift: float
    interval: Interval
    slower: bool


def compare(
    base: Sample,
    new: Sample,
    *,
    relative: float = 0.10,
    absolute: float = 0.0,
    alpha: float = 0.01,
    confidence: float = 0.95,
) -> Comparison:
    """Whether ``new`` is slower than ``base`` by more than chance and by enough to matter.

    Args:
        base: the baseline.
        new: the sample to judge.
        relative: least shift that matters, as a fraction of the baseline's median.
        absolute: least shift that matters, in the samples' unit; both must be exceeded.
        alpha: the rank test's significance.
        confidence: of the interval of the shift.

    Two deterministic samples are compared by the practical thresholds alone.
    """
    p = rank_test(base, new)
    shift, interval = _shift(base, new, confidence)
    enough = shift > max(relative * abs(middle(base.ordered())), absolute)
    certain = p < alpha or (base.deterministic and new.deterministic)
    return Comparison(p, shift, interval, slower=enough and certain)


def ratio(base: Sample, new: Sample, confidence: float = 0.95) -> tuple[float, Interval]:
    """Typical ratio new / base with its interval, e.g. software / element on the same board.

    Raises:
        UsageError: a value is not above zero.
    """
    if min([*base.values, *new.values], default=0.0) <= 0:
        raise UsageError("a ratio needs values above zero")
    logs = [
        Sample(tuple(map(math.log, sample.values)), sample.timeouts, sample.deterministic)
        for sample in (base, new)
    ]
    shift, interval = _shift(logs[0], logs[1], confidence)
    return math.exp(shift), Interval(math.exp(interval.low), math.exp(interval.high), confidence)


def _shift(base: Sample, new: Sample, confidence: float) -> tuple[float, Interval]:
    """Median of all pairwise differences and the ranks around it that hold the confidence."""
    differences = sorted(_difference(b, a) for a in base.ordered() for b in new.ordered())
    n, m = base.n, new.n
    shift = middle(differences)
    if base.deterministic or new.deterministic:
        return shift, Interval(-math.inf, math.inf, confidence)
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    rank = math.floor(n * m / 2 - z * math.sqrt(n * m * (n + m + 1) / 12))
    if rank < 1:
        return shift, Interval(-math.inf, math.inf, confidence)
    return shift, Interval(differences[rank - 1], differences[-rank], confidence)


# -- drift ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Chart:
    """An individuals chart: where values vary by chance, and which do not.

    Attributes:
        centre, low, high: median and natural limits, from the mean moving range.
        beyond: positions of values outside the limits.
        runs: positions at which eight values in a row stood on one side of the centre.
    """

    centre: float
    low: float
    high: float
    beyond: tuple[int, ...]
    runs: tuple[int, ...]

    @property
    def drifts(self) -> bool:
        """True if something other than chance is at work."""
        return bool(self.beyond or self.runs)


def control_chart(values: Sequence[float]) -> Chart:
    """The individuals chart of a series, e.g. one median per night.

    Raises:
        UsageError: there are fewer than two values.
    """
    if len(values) < 2:
        raise UsageError("a chart needs at least two values")
    centre = middle(sorted(values))  # not the mean: one outlier would move it past the others
    ranges = [abs(b - a) for a, b in pairwise(values)]
    reach = _MOVING_RANGE_FACTOR * sum(ranges) / len(ranges)
    low, high = centre - reach, centre + reach
    runs, length, side = [], 0, 0
    for position, value in enumerate(values):
        now = (value > centre) - (value < centre)
        length = length + 1 if now == side and now else abs(now)
        side = now
        if length >= _RUN_LENGTH:
            runs.append(position)
    beyond = tuple(position for position, value in enumerate(values) if not low <= value <= high)
    return Chart(centre, low, high, beyond, tuple(runs))


def _difference(b: float, a: float) -> float:
    return 0.0 if math.isinf(a) and math.isinf(b) else b - a


def _arrangements(n: int, m: int) -> list[int]:
    """How many arrangements of ``n`` and ``m`` values have 0, 1, … n*m wins (Gaussian binomial)."""
    counts = [1] + [0] * (n * m)
    for i in range(1, m + 1):
        # times (1 - x^(n+i)) / (1 - x^i)
        for at in range(n * m, n + i - 1, -1):
            counts[at] -= counts[at - n - i]
        for at in range(i, n * m + 1):
            counts[at] += counts[at - i]
    return counts
