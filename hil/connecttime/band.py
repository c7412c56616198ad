"""How certain a predicted connect time is: the same connection under every believable set of figures.

One confident number would be a lie where two public sources differ by three to ten times. So an
emulated rig plays a case once for each source of its cost model, at the low end of every figure with the
element's typical times, and at the high end with its longest ones. The spread from one connection to the
next on one board is another thing, and small against it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hil.errors import RigError, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hil.connecttime.sampler import Sampler

__all__ = ["Band", "predict_band"]


@dataclass(frozen=True)
class Band:
    """Where the connect time of one case lies, by what one believes.

    Attributes:
        low_ms, high_ms: the ends.
        answers: milliseconds by the source that says so, e.g. ``instructions, CPI 1``.
    """

    low_ms: float
    high_ms: float
    answers: Mapping[str, float]

    def __str__(self) -> str:
        return f"{self.low_ms:.0f} … {self.high_ms:.0f} ms"


def predict_band(sampler: Sampler) -> Band:
    """The band of the case that the sampler has prepared.

    Raises:
        UsageError: the rig is physical; it is measured, not predicted.
        RigError: a connection did not succeed.
    """
    rig = sampler.rig
    if rig.emulated is None:
        raise UsageError(f"{rig.name} is physical: measure it")
    answers: dict[str, float] = {}
    for bound in rig.emulated.cost_bounds():
        with rig.emulated.times(bound.costs, "maximum" if bound.end == "high" else "typical"):
            taken = sampler.take(1, "power-on")
        if taken.failure:
            raise RigError(f"{rig.name}, {bound.label}: {taken.failure}")
        answers[bound.label] = taken.sample.values[0]
    return Band(min(answers.values()), max(answers.values()), answers)
