"""Connect times in a run's record outside of pytest: each case as a test, with its figures and picture."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from hil.clock import wall_us
from hil.connecttime.study import attach_waterfall
from hil.measure.compare import ratio
from hil.measure.measurement import Limit, Measured, Measurement, Predicted
from hil.measure.statistics import Standing, summarize
from hil.measure.verdict import Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from hil.connecttime.scenario import Case
    from hil.connecttime.study import Study
    from hil.measure.measurement import Provenance
    from hil.rig.rig import Rig

__all__ = ["CLAIM", "as_test", "provenance", "ratios"]

CLAIM = "element"
"""The scenario that the limit is for; the others are what it is compared with."""


def as_test(rig: Rig, case: Case, run: Callable[[], Study]) -> Study:
    """Study a case; what comes of it is a test in the run's journal."""
    test, began, clock = f"connect time, {case.name}[{rig.name}]", wall_us(), rig.clock.now
    common: dict[str, Any] = {"test": test, "rig": rig.name, "suite": "connect"}
    rig.journal.event("test-start", **common, title=case.scenario.meaning, requirements=[])
    verdict, reason = Verdict.ABORTED, ""
    try:
        one = run()
        _record(rig, test, one)
        if one.anatomy is not None:
            attach_waterfall(rig.journal, test, one.anatomy.waterfall)
        verdict, reason = _verdict(one)
        return one
    finally:
        rig.journal.event(
            "test-end",
            **common,
            verdict=str(verdict),
            reason=reason,
            wall_us=wall_us() - began,
            clock=rig.clock.kind,
            clock_us=rig.clock.now - clock,
        )


def provenance(one: Study) -> Provenance:
    """Where a study's figures come from; a prediction brings its band along."""
    emulated = one.rig.emulated
    if emulated is None:
        return Measured("console timestamps")
    return Predicted(emulated.model, None if one.band is None else (one.band.low_ms, one.band.high_ms))


def _verdict(one: Study) -> tuple[Verdict, str]:
    """Only the claim itself can fail; what it is compared with cannot."""
    said = "; ".join(map(str, one.findings))
    if not one.sampled.connections:
        return Verdict.FAIL, one.sampled.failure
    refuted = one.claim is not None and one.claim.standing is Standing.REFUTED
    if one.case.scenario.name == CLAIM and (refuted or one.findings):
        return Verdict.FAIL, said or "slower than the limit"
    return Verdict.PASS, said


def _record(rig: Rig, test: str, one: Study) -> None:
    if not one.sampled.sample.n:
        return
    figures = summarize(one.sampled.sample)
    limit = Limit(high=rig.file.connect.limit_ms) if one.case.scenario.name == CLAIM else Limit()
    for name, value in (("median", figures.median), ("p95", figures.p95)):
        if math.isfinite(value):
            what = f"connect time, {one.case.name}, {name}"
            measurement = Measurement(what, "ms", rig.clock.kind, value, provenance(one), limit, key=True)
            rig.journal.event("measurement", test=test, rig=rig.name, **measurement.fields())


def ratios(studies: Sequence[Study]) -> list[dict[str, Any]]:
    """Software against the element on the same board and TLS version, with the interval."""
    by_name = {(one.case.scenario.name, one.case.version): one.sampled.sample for one in studies}
    found = []
    for (name, version), software in by_name.items():
        element = by_name.get((CLAIM, version))
        if name.startswith("software") and element is not None and element.values and software.values:
            value, interval = ratio(element, software)
            ends = [round(end, 2) if 0 < end < math.inf else None for end in (interval.low, interval.high)]
            found.append({"scenario": name, "tls": version, "ratio": round(value, 2), "interval": ends})
    return found
