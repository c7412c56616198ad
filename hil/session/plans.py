"""Plans: what a run is for decides what it may do, how often, and what it tolerates.

=============  ===========  ========  ===========  ==================  =======
plan           tests        parallel  rig errors   quarantine          samples
=============  ===========  ========  ===========  ==================  =======
(none)         all          no        counted      tolerated           as in the rig file
nightly        reversible   yes       one retry    tolerated           29 at least
qualification  all          no        counted      counts as any test  59 at least
=============  ===========  ========  ===========  ==================  =======

Samples are connections per measurement on a physical rig: 29 without one exceedance show that nine
of ten stay below the limit, 59 that nineteen of twenty do, each with 95 % confidence
(:func:`hil.measure.statistics.samples_needed`).
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from hil.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hil.rigfile import RigFile

__all__ = ["NO_PLAN", "PLANS", "Plan", "find_plan"]


@dataclass(frozen=True)
class Plan:
    """What a run is for.

    Attributes:
        name: as on the command line; empty for an ordinary run.
        reversible_only: leave out every test that does something that cannot be undone.
        parallel: several rigs at once, each in one process.
        retries: further attempts of a test that ended in a rig error; never of a failed one.
        tolerates_quarantine: a quarantined test that fails does not count.
        samples: least number of samples per measurement on physical rigs; 0 leaves the rig file's.
        complete: no test may be left out by hand.
    """

    name: str = ""
    reversible_only: bool = False
    parallel: bool = False
    retries: int = 0
    tolerates_quarantine: bool = True
    samples: int = 0
    complete: bool = False

    def adjusted(self, file: RigFile) -> RigFile:
        """The rig file with at least the plan's number of samples; emulated rigs stay as they are."""
        if file.emulated or file.connect.samples >= self.samples:
            return file
        return replace(file, connect=replace(file.connect, samples=self.samples))

    def workers(self, rigs: Sequence[RigFile]) -> int:
        """How many processes to use: one a physical rig, emulated ones as the processors allow."""
        physical = sum(not file.emulated for file in rigs)
        return min(len(rigs), max(physical, os.cpu_count() or 1)) if self.parallel else 1


NO_PLAN = Plan()
PLANS: dict[str, Plan] = {
    plan.name: plan
    for plan in (
        Plan("nightly", reversible_only=True, parallel=True, retries=1, samples=29),
        Plan("qualification", tolerates_quarantine=False, samples=59, complete=True),
    )
}


def find_plan(name: str | None) -> Plan:
    """The plan of that name; none is an ordinary run.

    Raises:
        UsageError: there is no such plan.
    """
    if not name:
        return NO_PLAN
    if name not in PLANS:
        raise UsageError(f"there is no plan {name!r}", hint=f"plans: {', '.join(PLANS)}")
    return PLANS[name]
