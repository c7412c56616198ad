"""The summary of a run as Markdown, for the page that a CI system shows of a job."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hil.measure.verdict import Verdict
from hil.records.spans import span

if TYPE_CHECKING:
    from hil.records.model import Run, TestRecord

__all__ = ["summary"]

_SIGNS = {
    Verdict.PASS: "✅",
    Verdict.WARN: "⚠️",
    Verdict.QUARANTINED: "⚠️",
    Verdict.SKIPPED: "⏭️",
    Verdict.BLOCKED: "⛔",
    Verdict.FAIL: "❌",
    Verdict.RIG_ERROR: "🔧",
    Verdict.ABORTED: "💥",
}
_MOST = 50
"""A page with more rows than this is read by nobody; the report has them all."""


def summary(run: Run) -> str:
    """Verdict, a row for each rig, then what needs attention."""
    title = f"{run.plan} run" if run.plan else "run"
    counts = ", ".join(f"{run.counts[verdict]} {verdict}" for verdict in Verdict if run.counts[verdict])
    lines = [
        f"## {_said(run.verdict)}: hil {title} {run.name}",
        "",
        f"{counts or 'no tests'}; {_took(run)}",
        "",
    ]
    lines += ["| rig | | verdict | tests | key figures |", "|---|---|---|---|---|"]
    for rig in run.rigs.values():
        tests = [test for test in run.tests if test.rig == rig.rig]
        figures = [
            f"{figure.name} {figure.shown}{' predicted' if figure.provenance == 'predicted' else ''}"
            for test in tests
            for figure in test.figures
            if figure.key
        ]
        kind = rig.kind if rig.kind == "physical" else rig.kind.upper()
        row = (rig.rig, kind, _said(run.verdict_of(rig.rig)), str(len(tests)), "; ".join(figures))
        lines.append("| " + " | ".join(map(_cell, row)) + " |")
    lines += _section("Failed", [_test(t) for t in run.tests if t.verdict in (Verdict.FAIL, Verdict.ABORTED)])
    lines += _section("Rigs set aside", [f"**{rig}**: {reason}" for rig, reason in run.aside.items()])
    errors = [
        f"**{failure.rig}**{' (tried again)' if failure.retried else ''}: {failure.message}"
        for failure in run.rig_errors
    ]
    lines += _section("Rig errors", errors)
    lines += _section("Close to a limit, or passed at another attempt", [_test(t) for t in _warned(run)])
    tolerated = [f"{_test(t)} {t.quarantine}" for t in run.tests if t.verdict is Verdict.QUARANTINED]
    lines += _section("Quarantined", tolerated)
    return "\n".join(lines) + "\n"


def _warned(run: Run) -> list[TestRecord]:
    return [test for test in run.tests if test.verdict is Verdict.WARN]


def _section(title: str, rows: list[str]) -> list[str]:
    if not rows:
        return []
    more = [f"- and {len(rows) - _MOST} more, see the report"] if len(rows) > _MOST else []
    return ["", f"### {title}", "", *(f"- {_cell(row)}" for row in rows[:_MOST]), *more]


def _test(test: TestRecord) -> str:
    reason = "; ".join(said for said in (test.reason, test.cause, *test.warnings) if said)
    return f"**{test.suite}** on {test.rig}: {test.title}" + (f" — {reason}" if reason else "")


def _said(verdict: Verdict) -> str:
    return f"{_SIGNS[verdict]} {verdict}"


def _took(run: Run) -> str:
    virtual = f", {span(run.virtual_us)} virtual" if run.virtual_us else ""
    return f"{span(run.wall_us)} wall{virtual}"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")
