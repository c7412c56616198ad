"""One case studied: sample, band, one connection taken apart; and the same as JSON, text and record."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Any

from hil.connecttime import calibration
from hil.connecttime.anatomy import Anatomy, bus_bytes, dissect
from hil.connecttime.band import Band, predict_band
from hil.connecttime.findings import find, judge, words
from hil.measure.statistics import summarize
from hil.records import distribution, waterfall

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from hil.connecttime.findings import Finding
    from hil.connecttime.sampler import Sampled, Sampler, Start
    from hil.connecttime.scenario import Case
    from hil.measure.statistics import Claim, Sample
    from hil.records.journal import Journal
    from hil.rig.rig import Rig

__all__ = ["Study", "attach_samples", "attach_waterfall", "study"]


NOT_ACCEPTED = "the limit of an emulated rig is a predicted one; the claim is accepted on physical rigs only"


@dataclass(frozen=True)
class Study:
    """What is known of one case on one rig.

    Attributes:
        band: of a prediction; None on a physical rig.
        anatomy: one connection taken apart; None if it was not asked for or nothing connected.
        findings: what is wrong.
        claim: what the sample shows about the rig's limit; None without accepted connections.
    """

    rig: Rig
    sampled: Sampled
    band: Band | None
    anatomy: Anatomy | None
    findings: tuple[Finding, ...]
    claim: Claim | None

    @property
    def case(self) -> Case:
        """What was studied."""
        return self.sampled.case

    def to_json(self) -> dict[str, Any]:
        """Figures in milliseconds, with clock and provenance."""
        rig, sample = self.rig, self.sampled.sample
        row: dict[str, Any] = {
            "scenario": self.case.scenario.name,
            "tls": self.case.version,
            "start": self.sampled.start,
            "unit": "ms",
            "provenance": "measured" if rig.emulated is None else "predicted",
            "source": "console timestamps" if rig.emulated is None else rig.emulated.model,
            "clock": self.sampled.clock,
            "n": sample.n,
            "independent": sample.independent,
            "timeouts": sample.timeouts,
            **_figures(sample),
        }
        if self.sampled.start == "power-on":
            row["power_on_to_connack"] = _figures(self.sampled.power_on)
        if self.sampled.agreements:
            row["endpoint"] = self._endpoint()
        row["claim"] = None if self.claim is None else words(self.claim)
        row["band"] = (
            None
            if self.band is None
            else {"low": self.band.low_ms, "high": self.band.high_ms, "answers": dict(self.band.answers)}
        )
        row["findings"] = [str(finding) for finding in self.findings]
        if self.anatomy is not None:
            row["shares_us"] = self.anatomy.waterfall.shares()
            if self.anatomy.transactions is not None:
                row["bus_bytes"] = bus_bytes(self.anatomy.transactions)
        return row

    def _endpoint(self) -> dict[str, Any]:
        """What our endpoint's own clock says: it saw the same connections as the console."""
        agreements = self.sampled.agreements
        device = [one.device_us / 1000 for one in agreements if one.device_us is not None]
        return {
            "clock": "the endpoint's own stamps",
            "n": len(agreements),
            "server_flight_to_client_flight": round(median(device), 3) if device else None,
            "largest_lag_of_the_console": round(max(one.connack_lag_us for one in agreements) / 1000, 3),
            "tolerance": self.rig.file.connect.tolerance_ms,
        }


def _figures(sample: Sample) -> dict[str, Any]:
    """The figures of a sample in milliseconds; null where there are none."""
    names = ("min", "median", "p90", "p95", "max", "median_interval")
    if not sample.n:
        return dict.fromkeys(names)
    figures = summarize(sample)
    interval = figures.median_interval
    values = (figures.minimum, figures.median, figures.p90, figures.p95, figures.maximum)
    ends = [_finite(interval.low), _finite(interval.high)]
    return dict(zip(names, [*map(_finite, values), ends], strict=True))


def study(
    sampler: Sampler,
    case: Case,
    n: int,
    *,
    start: Start = "reconnect",
    picture: bool = True,
    progress: Callable[[int], None] | None = None,
) -> Study:
    """Prepare a case, sample it, predict its band and take one connection apart.

    Args:
        sampler: of the rig.
        case: what to study.
        n: samples.
        start: what precedes each connection.
        picture: take one connection apart.
        progress: called with the number of attempts so far.
    """
    rig = sampler.rig
    sampler.prepare(case)
    sampled = sampler.take(n, start, progress)
    alive = bool(sampled.connections)
    emulated = rig.emulated
    band = predict_band(sampler) if emulated is not None and alive else None
    anatomy = dissect(sampler, start) if alive and picture else None
    findings = find(
        sampled,
        rig.file.element.part,
        hz=rig.file.bus.hz,
        rtt_us=0 if emulated is None else emulated.rtt_us,
    )
    claim = judge(sampled.sample, rig.file.connect.limit_ms) if sampled.sample.n else None
    return Study(rig, sampled, band, anatomy, tuple(findings), claim)


def attach_waterfall(journal: Journal, test: str, shown: waterfall.Waterfall) -> None:
    """Keep one connection with the run; the report draws it."""
    journal.attach(
        f"waterfall {shown.rig} {shown.case}.json",
        shown.to_json(),
        waterfall.MEDIA_TYPE,
        test=test,
        rig=shown.rig,
    )


def attach_samples(journal: Journal, test: str | None, studies: Sequence[Study]) -> None:
    """Keep samples of one rig with the run; the report draws them side by side."""
    if not studies:
        return
    rig = studies[0].rig
    shown = distribution.Samples(
        rig=rig.name,
        clock=rig.clock.kind,
        provenance="measured (console)" if rig.emulated is None else f"predicted ({rig.emulated.model})",
        rows=tuple(_row(one) for one in studies),
        limit_ms=rig.file.connect.limit_ms,
        notes=() if rig.emulated is None else (*calibration.statement(), NOT_ACCEPTED),
    )
    journal.attach(
        f"samples {rig.name}.json", shown.to_json(), distribution.MEDIA_TYPE, test=test, rig=rig.name
    )


def _row(one: Study) -> distribution.Row:
    sample = one.sampled.sample
    band = None if one.band is None else (one.band.low_ms, one.band.high_ms)
    return distribution.Row(one.case.name, sample.values, sample.timeouts, sample.deterministic, band)


def _finite(ms: float) -> float | None:
    """JSON has no infinity: a quantile among the time-outs is null."""
    return round(ms, 3) if math.isfinite(ms) else None
