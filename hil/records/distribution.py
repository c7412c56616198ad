"""Samples side by side, as data beside the journal and as a picture: one dot a connection, one row a case.

The time axis is logarithmic, because what is compared lies between a tenth and ten times the limit.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from html import escape
from typing import Any, Final

from hil.errors import ConfigError
from hil.measure.statistics import Sample, summarize

__all__ = ["MEDIA_TYPE", "Row", "Samples", "distribution_picture"]

MEDIA_TYPE: Final = "application/vnd.hil.samples+json"


@dataclass(frozen=True)
class Row:
    """The sample of one case.

    Attributes:
        case: scenario and TLS version.
        values_ms: connect times.
        timeouts: attempts without an accepted connection.
        deterministic: a model without random draws.
        band_ms: between which values a prediction lies by what one believes; None for measurements.
    """

    case: str
    values_ms: tuple[float, ...]
    timeouts: int = 0
    deterministic: bool = False
    band_ms: tuple[float, float] | None = None

    @property
    def sample(self) -> Sample:
        """For statistics."""
        return Sample(self.values_ms, self.timeouts, self.deterministic)


@dataclass(frozen=True)
class Samples:
    """What was sampled on one rig.

    Attributes:
        limit_ms: the rig's limit, or None.
        clock, provenance: as of :class:`hil.records.waterfall.Waterfall`.
        notes: how far a prediction can be trusted, in words.
    """

    rig: str
    clock: str
    provenance: str
    rows: tuple[Row, ...]
    limit_ms: float | None = None
    notes: tuple[str, ...] = ()

    def to_json(self) -> str:
        """The attachment's content."""
        return json.dumps(asdict(self), ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> Samples:
        """The other way.

        Raises:
            ConfigError: these are no samples.
        """
        try:
            row: dict[str, Any] = json.loads(text)
            rows = tuple(_row(one) for one in row.pop("rows"))
            notes = tuple(str(one) for one in row.pop("notes", ()))
            return cls(rows=rows, notes=notes, **row)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ConfigError(f"these are no samples: {error!r}") from error


def _row(row: dict[str, Any]) -> Row:
    band = row["band_ms"]
    return Row(
        case=row["case"],
        values_ms=tuple(row["values_ms"]),
        timeouts=row["timeouts"],
        deterministic=row["deterministic"],
        band_ms=None if band is None else (band[0], band[1]),
    )


_LEFT, _RIGHT, _PITCH, _TOP = 230, 790, 46, 18


def distribution_picture(shown: Samples) -> str:
    """A row of dots for each case, with median, p95, band and limit; empty without values."""
    ends = [ms for row in shown.rows for ms in (*row.values_ms, *(row.band_ms or ()))]
    if shown.limit_ms is not None:
        ends.append(shown.limit_ms)
    if not ends or not any(row.values_ms for row in shown.rows):
        return ""
    low, high = math.log10(max(min(ends), 0.1) * 0.8), math.log10(max(ends) * 1.25)

    def x(ms: float) -> float:
        return _LEFT + (_RIGHT - _LEFT) * (math.log10(max(ms, 0.1)) - low) / (high - low)

    bottom = _TOP + _PITCH * len(shown.rows)
    said = "; ".join(f"{row.case}: {_figures(row)}" for row in shown.rows)
    parts = [
        f'<svg class="distribution" viewBox="0 0 1000 {bottom + 28}" role="img" '
        f'aria-label="Connect times on {escape(shown.rig)}. {escape(said)}">'
    ]
    for ms in _ticks(low, high):
        parts.append(f'<path class="grid" d="M{x(ms):.1f} {_TOP} V{bottom}"/>')
        parts.append(
            f'<text class="tiny" x="{x(ms):.1f}" y="{bottom + 16}" text-anchor="middle">{_time(ms)}</text>'
        )
    for number, row in enumerate(shown.rows):
        parts.append(_sampled(row, x, _TOP + _PITCH * number))
    if shown.limit_ms is not None:
        at = x(shown.limit_ms)
        parts.append(f'<path class="bound" d="M{at:.1f} {_TOP - 6} V{bottom}"/>')
        parts.append(
            f'<text class="tiny" x="{at:.1f}" y="{_TOP - 8}" text-anchor="middle">'
            f"limit {_time(shown.limit_ms)}</text>"
        )
    return "".join([*parts, "</svg>"])


def _sampled(row: Row, x: Any, top: int) -> str:  # noqa: ANN401  (a function of one float)
    middle = top + 18
    parts = [
        f'<text class="lane" x="{_LEFT - 12}" y="{middle + 4}" text-anchor="end">{escape(row.case)}</text>'
    ]
    if row.band_ms is not None:
        left, right = x(row.band_ms[0]), x(row.band_ms[1])
        parts.append(
            f'<rect class="band" x="{left:.1f}" y="{top + 4}" width="{max(right - left, 1):.1f}" height="28">'
            f"<title>believable: {_time(row.band_ms[0])} to {_time(row.band_ms[1])}</title></rect>"
        )
    for number, ms in enumerate(row.values_ms):
        jitter = (number * 7 % 13) - 6
        parts.append(f'<circle class="dot" cx="{x(ms):.1f}" cy="{middle + jitter}" r="2.2"/>')
    if row.values_ms:
        summary = summarize(row.sample)
        for ms, style in ((summary.median, "median"), (summary.p95, "p95")):
            if math.isfinite(ms):
                parts.append(f'<path class="{style}" d="M{x(ms):.1f} {top + 2} V{top + 34}"/>')
    parts.append(f'<text class="tiny" x="{_RIGHT + 12}" y="{middle - 2}">{escape(_figures(row))}</text>')
    if row.band_ms is not None:
        band = f"believable {_time(row.band_ms[0])} … {_time(row.band_ms[1])}"
        parts.append(f'<text class="tiny" x="{_RIGHT + 12}" y="{middle + 12}">{escape(band)}</text>')
    return "".join(parts)


def _figures(row: Row) -> str:
    sample = row.sample
    if not sample.n:
        return "no attempt"
    summary = summarize(sample)
    if sample.deterministic:
        return f"{_time(summary.median)}, fixed times"
    failed = f", {sample.timeouts} failed" if sample.timeouts else ""
    return f"n {sample.n}: {_time(summary.median)}, p95 {_time(summary.p95)}{failed}"


def _time(ms: float) -> str:
    if not math.isfinite(ms):
        return "time-out"
    return f"{ms:.0f} ms" if ms < 10_000 else f"{ms / 1000:.1f} s"


def _ticks(low: float, high: float) -> list[float]:
    """1, 2, 5, 10 … within the range of decades."""
    found = []
    for decade in range(math.floor(low), math.ceil(high) + 1):
        for step in (1, 2, 5):
            ms = step * 10.0**decade
            if low <= math.log10(ms) <= high:
                found.append(ms)
    return found
