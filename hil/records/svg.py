"""Pictures of the report as inline SVG: wiring, limits, timelines, shares.

Colours come from the page's style sheet through classes, so that dark, light and print fit.
Everything that is text goes through ``escape``.
"""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

from hil.measure.verdict import Verdict
from hil.records.terminal import span

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hil.records.model import Figure, Part, RigRecord, TestRecord

__all__ = [
    "account_picture",
    "limit_picture",
    "share_picture",
    "timeline_picture",
    "verdict_class",
    "wiring_picture",
]

# What people write for the colour of a wire; anything else is drawn grey.
_WIRES = {
    "black": "#1b1b1b",
    "white": "#ffffff",
    "red": "#d33a2c",
    "yellow": "#f2c230",
    "green": "#2f9e55",
    "blue": "#2f6fde",
    "orange": "#ee8a2d",
    "brown": "#8a5a35",
    "purple": "#8d52c4",
    "violet": "#8d52c4",
    "grey": "#8d939c",
    "gray": "#8d939c",
    "pink": "#ee7fb0",
}
_UNKNOWN_WIRE = "#8d939c"


def verdict_class(verdict: Verdict) -> str:
    """The verdict as a CSS class: ``v-pass``, ``v-rig-error`` and so on."""
    short = "warn" if verdict is Verdict.WARN else str(verdict).replace(" ", "-")
    return f"v-{short}"


# -- wiring -----------------------------------------------------------------------------------


def wiring_picture(rig: RigRecord) -> str:
    """Board, element and the wires between them, as the rig file describes them; empty without wires."""
    if not rig.wiring:
        return ""
    rows = rig.wiring
    relay = next((part for part in rig.parts if part.part == "power"), None)
    board = next((_chip(part) for part in rig.parts if part.part == "board"), "board")
    element = next((part.kind for part in rig.parts if part.part == "element"), "element")
    top, pitch = 58, 40
    height = top + pitch * len(rows) + 8
    named = ", ".join(f"{row.get('signal')} {_ends(row)}" for row in rows)
    parts = [
        f'<svg class="wiring" viewBox="0 0 760 {height}" role="img" aria-label="Wiring: {escape(named)}">',
        _box(190, 8, 190, height - 16, board.upper(), "board"),
        _box(560, 8, 190, height - 16, element.upper(), "secure element"),
    ]
    if relay is not None:
        middle = height / 2
        parts.append(_box(10, middle - 28, 120, 56, "RELAY", relay.kind.upper()))
        parts.append(f'<path class="feed" d="M130 {middle} H190"/>')
        parts.append(f'<text class="tiny" x="160" y="{middle - 7}" text-anchor="middle">power</text>')
    for number, row in enumerate(rows):
        parts.append(_wire(row, top + pitch * number + 6))
    return "".join([*parts, "</svg>"])


def _chip(board: Part) -> str:
    """The microcontroller if the record names it, otherwise what runs on the board."""
    return str(board.identity.get("mcu") or board.kind)


def _box(x: float, y: float, width: float, height: float, name: str, below: str) -> str:
    centre = x + width / 2
    return (
        f'<rect class="box" x="{x}" y="{y}" width="{width}" height="{height}" rx="8"/>'
        f'<text class="name" x="{centre}" y="{y + 22}" text-anchor="middle">{escape(name)}</text>'
        f'<text class="tiny" x="{centre}" y="{y + 37}" text-anchor="middle">{escape(below)}</text>'
    )


def _wire(row: dict[str, Any], y: float) -> str:
    colour = str(row.get("colour", ""))
    stroke = _WIRES.get(colour.lower(), _UNKNOWN_WIRE)
    left = str(row.get("board_pin", ""))
    inner = f"GPIO{row['gpio']}" if "gpio" in row else ""
    right = f"pin {row['element_pin']}" if "element_pin" in row else ""
    header = f"XPRO {row['xpro_pin']}" if "xpro_pin" in row else ""
    path = f'd="M380 {y} H560"'
    return (
        f'<text class="pin" x="368" y="{y + 4}" text-anchor="end">{escape(left)}</text>'
        f'<text class="tiny" x="202" y="{y + 4}">{escape(inner)}</text>'
        f'<path class="wire-edge" {path}/><path stroke="{stroke}" stroke-width="4" {path}/>'
        f'<circle class="pad" cx="380" cy="{y}" r="4.5"/><circle class="pad" cx="560" cy="{y}" r="4.5"/>'
        f'<text class="signal" x="470" y="{y - 8}" text-anchor="middle">{escape(str(row.get("signal", "")))}'
        f'<tspan class="tiny" dx="6">{escape(colour)}</tspan></text>'
        f'<text class="pin" x="572" y="{y + 4}">{escape(header or right)}</text>'
        f'<text class="tiny" x="738" y="{y + 4}" text-anchor="end">{escape(right if header else "")}</text>'
    )


def _ends(row: dict[str, Any]) -> str:
    keys = ("board_pin", "gpio", "xpro_pin", "element_pin", "colour")
    return " ".join(f"{key} {row[key]}" for key in keys if key in row)


# -- measurements -----------------------------------------------------------------------------


def limit_picture(figure: Figure) -> str:
    """A value against its bounds; empty for texts, flags and values without bounds."""
    bounds = {name: float(bound) for name, bound in figure.limit.items() if name != "equal"}
    value = figure.value
    if not bounds or isinstance(value, bool | str) or value is None:
        return ""
    marks = [
        *bounds.values(),
        float(value),
        0.0 if min(*bounds.values(), float(value), 0.0) == 0.0 else value,
    ]
    low, high = float(min(marks)), float(max(marks))
    reach = (high - low) * 0.12 or 1.0
    low, high = (low if low == 0 else low - reach), high + reach

    def x(at: float) -> float:
        return round(1 + 158 * (at - low) / (high - low), 1)

    inside = x(bounds.get("low", low)), x(bounds.get("high", high))
    calm = (
        x(bounds.get("warn_low", bounds.get("low", low))),
        x(bounds.get("warn_high", bounds.get("high", high))),
    )
    at = x(float(value))
    ticks = "".join(
        f'<path class="bound" d="M{x(bounds[name])} 2 V16"/>' for name in ("low", "high") if name in bounds
    )
    label = f"{figure.shown}, limit {figure.limit_text}"
    return (
        f'<svg class="limit" viewBox="0 0 160 18" role="img" aria-label="{escape(label)}">'
        f'<rect class="track" x="1" y="6" width="158" height="6" rx="3"/>'
        f'<rect class="near" x="{inside[0]}" y="6" width="{inside[1] - inside[0]:.1f}" height="6"/>'
        f'<rect class="allowed" x="{calm[0]}" y="6" width="{calm[1] - calm[0]:.1f}" height="6"/>'
        f'{ticks}<circle class="value {verdict_class(figure.verdict)}" cx="{at}" cy="9" r="5"/></svg>'
    )


# -- shares -----------------------------------------------------------------------------------


def share_picture(shares: Sequence[tuple[Verdict, int]]) -> str:
    """How many tests had which verdict, as one bar."""
    total = sum(count for _, count in shares)
    if not total:
        return ""
    parts, x = [], 0.0
    for verdict, count in shares:
        width = 1000 * count / total
        parts.append(_slice(verdict_class(verdict), x, width, 10, f"{count} {verdict}"))
        x += width
    label = ", ".join(f"{count} {verdict}" for verdict, count in shares)
    return (
        f'<svg class="share" viewBox="0 0 1000 10" preserveAspectRatio="none" role="img" '
        f'aria-label="{escape(label)}">{"".join(parts)}</svg>'
    )


def _slice(style: str, x: float, width: float, height: int, title: str) -> str:
    return (
        f'<rect class="{style}" x="{x:.1f}" y="0" width="{max(width - 2, 1):.1f}" height="{height}">'
        f"<title>{escape(title)}</title></rect>"
    )


def account_picture(account: dict[str, int]) -> str:
    """Where the time of a rig went, as one bar with names; empty without an account."""
    total = sum(account.values())
    if total <= 0:
        return ""
    ordered = sorted(account.items(), key=lambda item: -item[1])
    shown, rest = ordered[:6], sum(us for _, us in ordered[6:])
    if rest:
        shown.append(("other", rest))
    bars, names, x = [], [], 0.0
    for number, (name, us) in enumerate(shown):
        width = 1000 * us / total
        bars.append(_slice(f"c{number}", x, width, 14, f"{name} {span(us)}"))
        share = f"<b>{span(us)}</b> {_percent(us, total)}"
        names.append(f'<li><span class="key c{number}"></span>{escape(name)} {share}</li>')
        x += width
    return (
        f'<svg class="account" viewBox="0 0 1000 14" preserveAspectRatio="none" aria-hidden="true">'
        f'{"".join(bars)}</svg><ul class="keys">{"".join(names)}</ul>'
    )


def _percent(part: int, total: int) -> str:
    share = 100 * part / total
    return "&lt;1 %" if share < 0.5 else f"{share:.0f} %"


# -- timeline ---------------------------------------------------------------------------------


def timeline_picture(tests: Sequence[TestRecord], *, wall: bool) -> str:
    """The tests of one rig on its clock, a lane for each suite; empty if nothing took time.

    Args:
        tests: in the order in which they ran.
        wall: use wall durations, for rigs on the computer's clock.
    """
    placed: list[tuple[TestRecord, int, int]] = []
    now = 0
    for test in tests:
        duration = test.wall_us if wall else test.clock_us or 0
        placed.append((test, now, duration))
        now += duration
    if now <= 0:
        return ""
    lanes = list(dict.fromkeys(test.suite for test in tests))
    left, width, pitch = 120, 860, 26
    height = pitch * len(lanes) + 30
    parts = [
        f'<svg class="timeline" viewBox="0 0 1000 {height}" role="img" '
        f'aria-label="Timeline of {len(tests)} tests, {span(now)} in all">'
    ]
    for at in _ticks(now):
        x = left + width * at / now
        parts.append(f'<path class="grid" d="M{x:.1f} 0 V{height - 22}"/>')
        parts.append(
            f'<text class="tiny" x="{x:.1f}" y="{height - 8}" text-anchor="middle">{span(at)}</text>'
        )
    for number, lane in enumerate(lanes):
        y = pitch * number + 17
        parts.append(f'<text class="lane" x="{left - 12}" y="{y}" text-anchor="end">{escape(lane)}</text>')
    for test, start, duration in placed:
        y = pitch * lanes.index(test.suite) + 4
        x = left + width * start / now
        parts.append(
            f'<rect class="{verdict_class(test.verdict)}" x="{x:.1f}" y="{y}" '
            f'width="{max(width * duration / now, 2):.1f}" height="18" rx="2">'
            f"<title>{escape(test.title)}: {test.verdict}, {span(duration)}</title></rect>"
        )
    return "".join([*parts, "</svg>"])


def _ticks(total: int) -> list[int]:
    """Round times, at most eight, from 0 to ``total``."""
    step = 1
    while total / step > 8:
        # 1, 2, 5, 10, 20, 50 … microseconds
        step = step * 5 // 2 if str(step)[0] == "2" else step * 2
    return list(range(0, total + 1, step))
