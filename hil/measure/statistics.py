"""What repeated measurements of one thing show, without assuming a distribution.

Connect times are skewed and have time-outs. So quantiles get confidence intervals from order
statistics, claims are judged by the binomial distribution, and a time-out is censored data:
larger than everything that was seen, never dropped.

Source: Hahn and Meeker, *Statistical Intervals*, chapter 5.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from statistics import median
from typing import TYPE_CHECKING

from hil.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = [
    "Claim",
    "Interval",
    "Sample",
    "Standing",
    "Summary",
    "claim_below",
    "middle",
    "quantile",
    "quantile_interval",
    "samples_needed",
    "summarize",
]


@dataclass(frozen=True)
class Sample:
    """Repeated measurements of one thing.

    Attributes:
        values: what was measured, in one unit.
        timeouts: attempts that ended without a value; they count as larger than every value.
        deterministic: the values come from a model without random draws; however many there are,
            they are one observation.
    """

    values: tuple[float, ...]
    timeouts: int = 0
    deterministic: bool = False

    def __post_init__(self) -> None:
        if self.timeouts < 0 or any(not math.isfinite(value) for value in self.values):
            raise UsageError("a sample has finite values and a count of time-outs")

    @property
    def n(self) -> int:
        """Attempts, time-outs included."""
        return len(self.values) + self.timeouts

    @property
    def independent(self) -> int:
        """How many observations these are worth."""
        return min(self.n, 1) if self.deterministic else self.n

    def ordered(self) -> list[float]:
        """All attempts in rising order, time-outs as infinity."""
        return sorted(self.values) + [math.inf] * self.timeouts


@dataclass(frozen=True)
class Interval:
    """A confidence interval; a bound is infinite where the sample cannot give one."""

    low: float
    high: float
    confidence: float


@dataclass(frozen=True)
class Summary:
    """A sample in figures; a quantile that falls among the time-outs is infinite."""

    n: int
    timeouts: int
    minimum: float
    median: float
    p90: float
    p95: float
    maximum: float
    median_interval: Interval


def summarize(sample: Sample, confidence: float = 0.95) -> Summary:
    """The figures that are reported of a sample.

    Raises:
        UsageError: the sample is empty.
    """
    ordered = sample.ordered()
    if not ordered:
        raise UsageError("an empty sample has no figures")
    return Summary(
        n=sample.n,
        timeouts=sample.timeouts,
        minimum=ordered[0],
        median=middle(ordered),
        p90=quantile(ordered, 0.90),
        p95=quantile(ordered, 0.95),
        maximum=ordered[-1],
        median_interval=quantile_interval(sample, 0.5, confidence),
    )


def quantile(ordered: Sequence[float], fraction: float) -> float:
    """The smallest value that at least ``fraction`` of the values do not exceed."""
    return ordered[max(math.ceil(fraction * len(ordered) - 1e-9), 1) - 1]


def quantile_interval(sample: Sample, fraction: float, confidence: float) -> Interval:
    """Confidence interval of a quantile from order statistics."""
    ordered, n = sample.ordered(), sample.n
    if sample.deterministic:
        return Interval(-math.inf, math.inf, confidence)
    tail = (1 - confidence) / 2
    # The r-th smallest lies below the quantile unless fewer than r values do.
    below = [rank for rank in range(1, n + 1) if _binomial_cdf(rank - 1, n, fraction) <= tail]
    above = [rank for rank in range(1, n + 1) if _binomial_cdf(rank - 1, n, fraction) >= 1 - tail]
    return Interval(
        ordered[below[-1] - 1] if below else -math.inf,
        ordered[above[0] - 1] if above else math.inf,
        confidence,
    )


def samples_needed(fraction: float, confidence: float) -> int:
    """Attempts without one exceedance that show ``quantile < limit`` with this confidence.

    ``samples_needed(0.95, 0.95)`` is 59.
    """
    if not (0 < fraction < 1 and 0 < confidence < 1):
        raise UsageError("quantile and confidence lie between 0 and 1")
    return math.ceil(math.log(1 - confidence) / math.log(fraction) - 1e-9)


class Standing(StrEnum):
    """What a sample says of a claim."""

    SHOWN = "shown"
    NOT_SHOWN = "not shown"
    REFUTED = "refuted"


@dataclass(frozen=True)
class Claim:
    """``fraction`` of all attempts stay at or below ``limit``: what the sample says of it.

    Attributes:
        exceedances: attempts above the limit, time-outs included.
        reached: the confidence with which the sample shows the claim.
    """

    fraction: float
    limit: float
    confidence: float
    n: int
    exceedances: int
    reached: float
    standing: Standing


def claim_below(sample: Sample, limit: float, fraction: float, confidence: float) -> Claim:
    """Judge the claim that a quantile lies at or below a limit.

    Shown: so few exceedances would be improbable if the claim were false. Refuted: so many would
    be improbable if it were true. A deterministic sample shows nothing.
    """
    n = sample.independent
    exceedances = sum(value > limit for value in sample.ordered())
    if sample.deterministic:
        exceedances = min(exceedances, n)
    reached = 1 - _binomial_cdf(exceedances, n, 1 - fraction) if n else 0.0
    # P(this many or more | the claim just holds)
    surprise = 1 - _binomial_cdf(exceedances - 1, n, 1 - fraction)
    if reached >= confidence:
        standing = Standing.SHOWN
    elif exceedances and surprise <= 1 - confidence:
        standing = Standing.REFUTED
    else:
        standing = Standing.NOT_SHOWN
    return Claim(fraction, limit, confidence, n, exceedances, reached, standing)


def middle(ordered: Sequence[float]) -> float:
    """The median of values in rising order; between a value and a time-out it is a time-out."""
    found = median(ordered)
    return 0.0 if math.isnan(found) else found  # between -infinity and infinity: no side prevails


def _binomial_cdf(k: int, n: int, p: float) -> float:
    """P(at most ``k`` of ``n``), summed exactly enough for a few thousand attempts."""
    if k < 0:
        return 0.0
    if k >= n:
        return 1.0
    logs = (
        math.lgamma(n + 1)
        - math.lgamma(i + 1)
        - math.lgamma(n - i + 1)
        + i * math.log(p)
        + (n - i) * math.log1p(-p)
        for i in range(k + 1)
    )
    return min(math.fsum(map(math.exp, logs)), 1.0)
