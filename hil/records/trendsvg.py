"""Pictures of the history page as inline SVG: trends of measurements, strips of verdicts."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from hil.errors import UsageError
from hil.measure.compare import control_chart
from hil.measure.measurement import format_value
from hil.records.journal import utc
from hil.records.svg import verdict_class

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hil.records.history import Point, RigRow

__all__ = ["drift", "strip_picture", "trend_picture"]

_WIDTH, _HEIGHT, _LEFT, _BELOW = 1000, 190, 90, 26
_STRIP = 30


def drift(points: Sequence[Point]) -> str:
    """What an individuals chart says of a series, in words."""
    try:
        chart = control_chart([point.value for point in points])
    except UsageError:
        return "one value: nothing to compare"
    odd = sorted({*chart.beyond, *chart.runs})
    limits = f"natural limits {format_value(chart.low, '')} … {format_value(chart.high, points[0].unit)}"
    return f"drifts, first in run {points[odd[0]].run}; {limits}" if odd else f"no drift; {limits}"


def trend_picture(points: Sequence[Point]) -> str:
    """One measurement on one rig over the runs: values, their limit, and the natural limits as a band."""
    values = [point.value for point in points]
    bounds = {float(bound) for point in points for name, bound in point.limit.items() if name != "equal"}
    band = (min(values), max(values))
    if len(values) > 1:
        chart = control_chart(values)
        band = (chart.low, chart.high)
    low, high = min(*values, *bounds, *band), max(*values, *bounds, *band)
    reach = (high - low) * 0.08 or abs(high) * 0.05 or 1.0
    low, high = low - reach, high + reach

    def x(position: int) -> float:
        return _LEFT + (_WIDTH - _LEFT - 12) * (position + 0.5) / len(points)

    def y(value: float) -> float:
        return (_HEIGHT - _BELOW) * (high - value) / (high - low)

    parts = [
        f'<svg class="trend" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" '
        f'aria-label="{escape(_label(points))}">',
        f'<rect class="band" x="{_LEFT}" y="{y(band[1]):.1f}" width="{_WIDTH - _LEFT}" '
        f'height="{max(y(band[0]) - y(band[1]), 1):.1f}"/>',
    ]
    for bound in sorted(bounds):
        parts.append(f'<path class="limit" d="M{_LEFT} {y(bound):.1f} H{_WIDTH}"/>')
        parts.append(_text(_LEFT - 8, y(bound) + 4, f"limit {bound:g}", "end"))
    for value in {min(values), max(values)}:
        if all(abs(y(value) - y(bound)) > 14 for bound in bounds):
            parts.append(_text(_LEFT - 8, y(value) + 4, format_value(value, ""), "end"))
    line = " ".join(f"{x(number):.1f},{y(value):.1f}" for number, value in enumerate(values))
    parts.append(f'<polyline class="line" points="{line}"/>')
    for number, point in enumerate(points):
        said = f"{utc(point.started)}: {format_value(point.value, point.unit)}, {point.verdict}, {point.run}"
        parts.append(
            f'<circle class="value {verdict_class(point.verdict)}" cx="{x(number):.1f}" '
            f'cy="{y(point.value):.1f}" r="4.5"><title>{escape(said)}</title></circle>'
        )
    for number in {0, len(points) - 1}:
        anchor = "start" if number == 0 and len(points) > 1 else "end" if number else "middle"
        parts.append(_text(x(number), _HEIGHT - 8, utc(points[number].started)[:10], anchor))
    return "".join([*parts, "</svg>"])


def _label(points: Sequence[Point]) -> str:
    first, last = points[0], points[-1]
    return (
        f"{first.name} on {first.rig}: {len(points)} values, last {format_value(last.value, last.unit)}; "
        f"{drift(points)}"
    )


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text class="tiny" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def strip_picture(rows: Sequence[RigRow]) -> str:
    """The verdicts of a rig's last runs, oldest first, a cell each."""
    shown = rows[-_STRIP:]
    label = f"{shown[-1].rig}: " + ", ".join(str(row.verdict) for row in shown)
    cells = "".join(
        f'<rect class="{verdict_class(row.verdict)}" x="{14 * number}" y="0" width="11" height="22" rx="2">'
        f"<title>{escape(f'{row.run}: {row.verdict}')}</title></rect>"
        for number, row in enumerate(shown)
    )
    return (
        f'<svg class="strip" viewBox="0 0 {14 * _STRIP} 22" role="img" aria-label="{escape(label)}">'
        f"{cells}</svg>"
    )
