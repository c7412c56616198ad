"""The history of a project as one HTML file: health of the rigs, trends, flaky tests, runs.

It needs nothing else, neither network nor script, and stands beside the runs, so that it links to
their reports.
"""

from __future__ import annotations

import os
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, StrictUndefined, Template
from markupsafe import Markup

from hil.measure.measurement import format_value
from hil.measure.verdict import MEANINGS, Verdict
from hil.records.journal import utc
from hil.records.spans import span
from hil.records.svg import verdict_class
from hil.records.trendsvg import drift, strip_picture, trend_picture
from hil.records.views import REPORT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hil.records.history import History, Point, RigRow, RunRow

__all__ = ["render_history", "write_history"]

_RUNS = 50
_POINTS = 120


def write_history(history: History, path: Path) -> None:
    """Write the page; links to reports are relative to its folder."""
    path.write_text(render_history(history, path.parent), encoding="utf-8", errors="replace")


def render_history(history: History, folder: Path) -> str:
    """The page as HTML, for a file in ``folder``."""
    runs = history.runs(limit=_RUNS)
    trends = [
        _trend(history.trend(name, rig)[-_POINTS:]) for name, rig, count in history.measurements() if count
    ]
    return _template().render(
        css=Markup((files("hil.records") / "report.css").read_text(encoding="utf-8")),
        rigs=[_health(rig, rows) for rig, rows in history.rigs().items()],
        trends=trends,
        flaky=history.flaky(),
        failing=history.failing(),
        runs=[(run, _link(run, folder)) for run in runs],
        meanings=MEANINGS,
        verdicts=list(reversed(Verdict)),
    )


@cache
def _template() -> Template:
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters.update(span=span, utc=utc, vclass=verdict_class)
    return environment.from_string((files("hil.records") / "history.html").read_text(encoding="utf-8"))


def _health(rig: str, rows: Sequence[RigRow]) -> dict[str, Any]:
    last = rows[-1]
    good = sum(row.verdict.good for row in rows)
    element, power = last.parts.get("element", {}), last.parts.get("power", {})
    facts = (
        ("element", " ".join(str(element[key]) for key in ("kind", "revision", "serial") if key in element)),
        ("firmware", str(last.parts.get("board", {}).get("firmware", ""))),
        ("relay cycles", str(power.get("cycles", ""))),
        ("rig errors", str(sum(row.rig_errors for row in rows))),
        ("tests tried again", str(sum(row.retried for row in rows))),
        ("set aside", f"{sum(bool(row.aside) for row in rows)} times"),
    )
    return {
        "rig": rig,
        "kind": last.kind,
        "verdict": last.verdict,
        "aside": last.aside,
        "strip": Markup(strip_picture(rows)),
        "good": f"{good} of the last {len(rows)} runs good",
        "facts": [(name, value) for name, value in facts if value],
    }


def _trend(points: Sequence[Point]) -> dict[str, Any]:
    last = points[-1]
    return {
        "name": last.name,
        "rig": last.rig,
        "last": format_value(last.value, last.unit),
        "verdict": last.verdict,
        "provenance": last.provenance,
        "drift": drift(points),
        "picture": Markup(trend_picture(points)),
        "count": len(points),
    }


def _link(run: RunRow, folder: Path) -> str:
    """The run's report as seen from the page, or nothing if there is none."""
    report = Path(run.folder) / REPORT
    return Path(os.path.relpath(report, folder)).as_posix() if report.is_file() else ""
