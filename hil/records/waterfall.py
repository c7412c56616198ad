"""Where the time of one connection went: bars in lanes, as data beside the journal and as a picture.

The data is an attachment of the run; the picture is made of it alone, inline SVG without a script.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from html import escape
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

from hil.errors import ConfigError
from hil.records.spans import span

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["LANES", "MEDIA_TYPE", "Bar", "Moment", "Waterfall", "waterfall_picture"]

MEDIA_TYPE: Final = "application/vnd.hil.waterfall+json"

LANES: Final[Mapping[str, tuple[str, str]]] = {
    "chip": ("element executes", "c3"),
    "bus": ("I2C bus", "c0"),
    "wake": ("wake", "c5"),
    "mcu": ("MCU cryptography", "c2"),
    "board": ("firmware", "c4"),
    "network": ("network", "c1"),
}
"""Lane: its name, and its colour in the style sheet. Where bars overlap the first lane counts."""

_REST = ("waiting", "c6")


@dataclass(frozen=True)
class Bar:
    """Something that took time.

    Attributes:
        lane: key of :data:`LANES`, or ``operation`` for what the others add up to.
        start_us: after the beginning of the connection.
        us: how long.
        label: what it is.
        detail: more of it, e.g. the I2C listing behind an operation.
    """

    lane: str
    start_us: int
    us: int
    label: str
    detail: str = ""


@dataclass(frozen=True)
class Moment:
    """Something that was reached."""

    at_us: int
    label: str


@dataclass(frozen=True)
class Waterfall:
    """One connection.

    Attributes:
        case: scenario and TLS version.
        rig: which rig.
        clock: ``virtual`` or ``wall``.
        provenance: ``predicted (…)`` or ``measured (…)``, in full.
        total_us: from the start to the CONNACK.
    """

    case: str
    rig: str
    clock: str
    provenance: str
    total_us: int
    bars: tuple[Bar, ...]
    moments: tuple[Moment, ...]

    def to_json(self) -> str:
        """The attachment's content."""
        return json.dumps(asdict(self), ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> Waterfall:
        """The other way.

        Raises:
            ConfigError: this is no waterfall.
        """
        try:
            row: dict[str, Any] = json.loads(text)
            bars = tuple(Bar(**bar) for bar in row.pop("bars"))
            moments = tuple(Moment(**moment) for moment in row.pop("moments"))
            return cls(bars=bars, moments=moments, **row)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ConfigError(f"this is no waterfall of a connection: {error!r}") from error

    def shares(self) -> dict[str, int]:
        """The whole time, divided among the lanes; overlaps count for the first lane only.

        Keys are those of :data:`LANES` and ``waiting``; the values add up to ``total_us``.
        """
        order = list(LANES)
        edges = sorted(
            {0, self.total_us}
            | {
                min(max(at, 0), self.total_us)
                for bar in self.bars
                if bar.lane in LANES
                for at in (bar.start_us, bar.start_us + bar.us)
            }
        )
        found = {lane: 0 for lane in (*order, "waiting")}
        for begin, end in pairwise(edges):
            present = [
                order.index(bar.lane)
                for bar in self.bars
                if bar.lane in LANES and bar.start_us <= begin and bar.start_us + bar.us >= end
            ]
            found[order[min(present)] if present else "waiting"] += end - begin
        return found


_LEFT, _WIDTH, _PITCH, _TOP = 130, 850, 24, 34


def waterfall_picture(shown: Waterfall) -> str:
    """The connection as lanes of bars over its time, with what each lane adds up to."""
    total = max(shown.total_us, 1)
    lanes = [lane for lane in LANES if any(bar.lane == lane for bar in shown.bars)]
    operations = [bar for bar in shown.bars if bar.lane == "operation"]
    rows = (["operation"] if operations else []) + lanes
    bottom = _TOP + _PITCH * len(rows)
    height = bottom + 26

    def x(us: int) -> float:
        return _LEFT + _WIDTH * us / total

    label = f"{shown.case} on {shown.rig}: {span(shown.total_us)}. {_summary(shown)}"
    parts = [
        f'<svg class="waterfall" viewBox="0 0 1000 {height}" role="img" aria-label="{escape(label)}">',
        *_axis(total, bottom),
    ]
    for number, lane in enumerate(rows):
        name = "operation" if lane == "operation" else LANES[lane][0]
        y = _TOP + _PITCH * number
        parts.append(f'<text class="lane" x="{_LEFT - 12}" y="{y + 15}" text-anchor="end">{name}</text>')
        for bar in shown.bars:
            begin, end = max(bar.start_us, 0), min(bar.start_us + bar.us, total)
            if bar.lane == lane and begin <= end:
                parts.append(_bar(bar, x(begin), x(end) - x(begin), y))
    for number, moment in enumerate(shown.moments):
        at = x(moment.at_us)
        anchor = "end" if at > _LEFT + _WIDTH * 0.8 else "start"
        nudge = -4 if anchor == "end" else 4
        parts.append(f'<path class="moment" d="M{at:.1f} {_TOP - 6} V{bottom}"/>')
        parts.append(
            f'<text class="tiny" x="{at + nudge:.1f}" y="{10 + 12 * (number % 2)}" '
            f'text-anchor="{anchor}">{escape(moment.label)} {span(moment.at_us)}</text>'
        )
    return "".join([*parts, "</svg>", _shares(shown), _details(operations)])


def _bar(bar: Bar, x: float, width: float, y: int) -> str:
    style = "op" if bar.lane == "operation" else LANES[bar.lane][1]
    said = f"{bar.label} {span(bar.us)} at {span(bar.start_us)}"
    rect = (
        f'<rect class="{style}" x="{x:.1f}" y="{y + 2}" width="{max(width, 0.8):.1f}" height="{_PITCH - 6}">'
        f"<title>{escape(said)}</title></rect>"
    )
    if bar.lane != "operation" or width < 7 * len(bar.label):
        return rect
    return f'{rect}<text class="tiny in" x="{x + 4:.1f}" y="{y + 15}">{escape(bar.label)}</text>'


def _axis(total: int, bottom: int) -> list[str]:
    step = 1
    while total / step > 8:
        step = step * 5 // 2 if str(step)[0] == "2" else step * 2  # 1, 2, 5, 10 … microseconds
    parts = []
    for at in range(0, total + 1, step):
        x = _LEFT + _WIDTH * at / total
        parts.append(f'<path class="grid" d="M{x:.1f} {_TOP - 4} V{bottom}"/>')
        parts.append(
            f'<text class="tiny" x="{x:.1f}" y="{bottom + 16}" text-anchor="middle">{span(at)}</text>'
        )
    return parts


def _summary(shown: Waterfall) -> str:
    shares = shown.shares()
    said = [f"{_name(lane)} {span(us)}" for lane, us in shares.items() if us]
    return ", ".join(said)


def _name(lane: str) -> str:
    return _REST[0] if lane == "waiting" else LANES[lane][0]


def _shares(shown: Waterfall) -> str:
    items = []
    for lane, us in shown.shares().items():
        if us:
            style = _REST[1] if lane == "waiting" else LANES[lane][1]
            share = f"<b>{span(us)}</b> {100 * us / max(shown.total_us, 1):.0f} %"
            items.append(f'<li><span class="key {style}"></span>{_name(lane)} {share}</li>')
    return f'<ul class="keys">{"".join(items)}</ul>'


def _details(operations: Sequence[Bar]) -> str:
    """The listing behind each bar of an operation; readable without a script."""
    parts = []
    for bar in operations:
        if bar.detail:
            title = escape(f"{bar.label}, {span(bar.us)} at {span(bar.start_us)}")
            parts.append(f"<details><summary>{title}</summary><pre>{escape(bar.detail)}</pre></details>")
    return "".join(parts)
