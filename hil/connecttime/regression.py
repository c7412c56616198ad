"""Slower than before? Connect times and bus bytes against the approved baseline of a rig.

A shift counts only if it is more than chance (Mann-Whitney) and enough to matter: more than a tenth and
more than 50 ms. Bytes on the bus do not vary: more than before is a change of the firmware.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hil.connecttime.anatomy import bus_bytes
from hil.measure.compare import compare
from hil.measure.statistics import Sample, middle
from hil.records.baseline import Baseline, Timing

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hil.connecttime.study import Study
    from hil.records.baseline import Entry
    from hil.rig.rig import Rig

__all__ = ["baseline_name", "observe", "regressions"]

_RELATIVE = 0.10
_ABSOLUTE_US = 50_000
_TIME = "connect time"
_BYTES = "bus bytes"


def baseline_name(rig: Rig) -> tuple[str, str]:
    """Part and revision under which a rig's connect times are kept."""
    return f"connect-{rig.name}", rig.element.info_revision().hex()


def observe(rig: Rig, studies: Sequence[Study]) -> Baseline:
    """What was seen, to be approved as a baseline or compared with one."""
    part, revision = baseline_name(rig)
    entries: dict[str, Entry] = {}
    for one in studies:
        sample = one.sampled.sample
        in_us = Sample(tuple(ms * 1000 for ms in sample.values), sample.timeouts, sample.deterministic)
        entries[f"{one.case.name} | {_TIME}"] = Timing(in_us)
        if one.anatomy is not None and one.anatomy.transactions is not None:
            entries[f"{one.case.name} | {_BYTES}"] = bus_bytes(one.anatomy.transactions)
    return Baseline(part, revision, entries, emulated=rig.emulated is not None)


def regressions(base: Baseline, new: Baseline) -> list[str]:
    """What got worse since the baseline, in words; cases that only one of them has say nothing."""
    said = []
    for key, now in new.entries.items():
        before = base.entries.get(key)
        if isinstance(now, Timing) and isinstance(before, Timing):
            found = compare(before.sample, now.sample, relative=_RELATIVE, absolute=_ABSOLUTE_US)
            if found.slower:
                said.append(
                    f"{key}: slower by {found.shift / 1000:.0f} ms, from a median of "
                    f"{middle(before.sample.ordered()) / 1000:.0f} ms (p {found.p:.1g})"
                )
        elif isinstance(now, int) and isinstance(before, int) and now > before:
            said.append(f"{key}: {now}, before {before}")
    return said
