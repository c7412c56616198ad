"""The verdict table at the end of a run."""

from __future__ import annotations

import io
import textwrap
from collections import Counter
from typing import TYPE_CHECKING

from hil.measure.verdict import Verdict
from hil.records.qualification import judge
from hil.records.spans import span

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from hil.records.model import Run, SuiteRecord, TestRecord

    Row = tuple[str, str, Verdict, list[str]]
    ByRig = Sequence[tuple[str | None, list[SuiteRecord]]]
    Styled = list[tuple[str, str]]

__all__ = ["COLOURS", "span", "verdict_table"]

COLOURS: dict[Verdict, str] = {
    Verdict.SKIPPED: "dim",
    Verdict.PASS: "green",
    Verdict.QUARANTINED: "yellow",
    Verdict.WARN: "yellow",
    Verdict.BLOCKED: "magenta",
    Verdict.FAIL: "bold red",
    Verdict.RIG_ERROR: "bold red",
    Verdict.ABORTED: "bold red",
}
_NARROWEST = 60
_REASONS = 6
_RIGS = 4
"""With more rigs than this, one line a rig and only the suites that need attention."""
_LEFT = 14 + 3 + 7 + 3 + 18 + 3
"""Columns left of the key figures."""


def verdict_table(
    run: Run, *, width: int = 100, colour: bool = False, report: Path | None = None
) -> list[str]:
    """The table as lines: suite, tests, verdict, key figures; then failures, slowest steps, report.

    Args:
        run: the run.
        width: columns to use; below 60 the table still uses 60.
        colour: with ANSI colours and line drawing; without, plain ASCII lines.
        report: where the HTML report lies, if there is one.
    """
    width = max(width, _NARROWEST)
    by_rig = _by_rig(run)
    shown = _many if len(by_rig) > _RIGS else _each
    rigs = shown(run, by_rig)
    after = _after(run, report)
    return _coloured(rigs, after, width) if colour else _plain(rigs, after, width)


def _each(run: Run, by_rig: ByRig) -> list[tuple[str, list[Row]]]:
    """A table for each rig, a row for each suite."""
    return [
        (_rig_name(run, rig), [(s.suite, _tests(s.tests), s.verdict, _figures(s)) for s in suites])
        for rig, suites in by_rig
    ]


def _many(run: Run, by_rig: ByRig) -> list[tuple[str, list[Row]]]:
    """One table for all rigs, a row for each; then a table for each rig that needs attention."""
    rows: list[Row] = []
    for rig, suites in by_rig:
        tests = [test for suite in suites for test in suite.tests]
        aside = [f"set aside: {run.aside[rig]}"] if rig in run.aside else []
        figures = aside or [figure for suite in suites for figure in _figures(suite)]
        rows.append((rig or "without a rig", _tests(tests), run.verdict_of(rig), figures))
    attention = [(rig, suites) for rig, suites in by_rig if not run.verdict_of(rig).good]
    kinds = {_rig_name(run, rig).rpartition("(")[2].rstrip(")") for rig, _ in by_rig}
    bad = [
        (_rig_name(run, rig), [row for row in rows_of if not row[2].good])
        for (rig, _), (_, rows_of) in zip(attention, _each(run, attention), strict=True)
    ]
    return [(f"{len(by_rig)} rigs ({', '.join(sorted(kinds))})", rows), *bad]


def _plain(rigs: Sequence[tuple[str, Sequence[Row]]], after: Sequence[Styled], width: int) -> list[str]:
    """Without colours: no library is needed, and a log stays readable."""
    lines = []
    for rig, rows in rigs:
        lines += [rig, _row("suite", "tests", "verdict", "key figures"), _rule(width)]
        for suite, tests, verdict, figures in rows:
            shown = [
                piece
                for figure in figures or [""]
                for piece in textwrap.wrap(figure, width - _LEFT, subsequent_indent="  ") or [""]
            ]
            lines.append(_row(suite, tests, str(verdict), shown[0]))
            lines += [_row("", "", "", piece) for piece in shown[1:]]
        lines.append("")
    lines += ["".join(text for text, _ in line) for line in after]
    return [piece.rstrip() for line in lines for piece in line.split("\n")]


def _row(suite: str, tests: str, verdict: str, figures: str) -> str:
    return f"{suite:14} | {tests:>7} | {verdict:18} | {figures}"


def _rule(width: int) -> str:
    return "-" * 15 + "+" + "-" * 9 + "+" + "-" * 20 + "+" + "-" * (width - _LEFT)


def _coloured(rigs: Sequence[tuple[str, Sequence[Row]]], after: Sequence[Styled], width: int) -> list[str]:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    output = io.StringIO()
    console = Console(
        file=output,
        width=width,
        force_terminal=True,
        color_system="standard",
        highlight=False,
        legacy_windows=False,
    )
    for rig, rows in rigs:
        console.print(Text(rig, style="bold"))
        # The same widths for each rig, so that the columns stand below each other.
        table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, expand=True)
        table.add_column("suite", no_wrap=True, min_width=14)
        table.add_column("tests", justify="right", no_wrap=True, min_width=7)
        table.add_column("verdict", no_wrap=True, min_width=18)
        table.add_column("key figures", ratio=1)
        for suite, tests, verdict, figures in rows:
            table.add_row(
                Text(suite), Text(tests), Text(str(verdict), style=COLOURS[verdict]), Text("\n".join(figures))
            )
        console.print(table)
        console.print()
    for line in after:
        console.print(Text.assemble(*line), soft_wrap=True)
    return [line.rstrip() for line in output.getvalue().splitlines()]


def _by_rig(run: Run) -> list[tuple[str | None, list[SuiteRecord]]]:
    found: dict[str | None, list[SuiteRecord]] = {}
    for suite in run.suites:
        found.setdefault(suite.rig, []).append(suite)
    return list(found.items())


def _rig_name(run: Run, name: str | None) -> str:
    if name is None:
        return "without a rig"
    rig = run.rigs.get(name)
    return name if rig is None else f"{name} ({'physical' if rig.kind == 'physical' else rig.kind.upper()})"


def _tests(tests: Sequence[TestRecord]) -> str:
    """``7``, or ``5/7`` where five of seven were run and good."""
    good = sum(test.verdict.good and test.verdict is not Verdict.SKIPPED for test in tests)
    total = len(tests)
    return str(total) if good == total else f"{good}/{total}"


def _figures(suite: SuiteRecord) -> list[str]:
    shown = []
    for test in suite.tests:
        for figure in test.figures:
            if figure.key:
                label = " predicted" if figure.provenance == "predicted" else ""
                limit = f" ({figure.bounds})" if figure.limit else ""
                shown.append(f"{figure.name} {figure.shown}{label}{limit}")
    return shown


def _after(run: Run, report: Path | None) -> list[Styled]:
    lines: list[Styled] = []
    for test in run.tests:
        if not test.verdict.good and test.verdict is not Verdict.BLOCKED:
            where = f" on {test.rig}" if test.rig else ""
            lines.append([_styled(test.verdict), (f" {test.suite}{where}: {test.title}", "")])
            lines += [[(f"    {said}", "")] for said in (test.reason, test.cause) if said]
    for test in run.tests:
        if test.verdict is Verdict.QUARANTINED:
            lines.append([_styled(test.verdict), (f" {test.suite} on {test.rig}: {test.title}", "")])
            lines.append([(f"    {test.quarantine or test.reason}", "")])
    lines += _rig_errors(run)
    for block in run.blocks:
        on = f" on {block.rig}" if block.rig and len(run.rigs) > 1 else ""
        lines.append([_styled(Verdict.BLOCKED), (f" {block.suite}{on}: {block.reason}", "")])
    lines += _not_applied(run)
    slow = [(test, step) for test, step in run.slowest(3) if step.duration_us > 0]
    if slow:
        said = ", ".join(f"{step.title} {span(step.duration_us)}" for _, step in slow)
        lines.append([(f"slowest steps: {said}", "")])
    if run.release:
        lines += _release(run)
    lines.append([("verdict: ", ""), _styled(run.verdict), (f" ({_summary(run)})", "")])
    if report is not None:
        lines.append([(f"report: {report}", "")])
    return lines


def _release(run: Run) -> list[Styled]:
    """Whether the release is qualified, and what speaks against it."""
    found = judge(run)
    style = "green" if found.passed else "bold red"
    rest = " on EMULATED rigs, which qualifies nothing" if found.rehearsal else ""
    lines: list[Styled] = [[(f"release {found.release}: ", ""), (found.verdict, style), (rest, "bold")]]
    lines += [[(f"    {objection}", "")] for objection in found.objections]
    return [*lines, *([(f"    note: {note}", "dim")] for note in found.notes)]


def _rig_errors(run: Run) -> list[Styled]:
    lines: list[Styled] = []
    for failure in run.rig_errors:
        again = ", tried again" if failure.retried else ""
        lines.append([_styled(Verdict.RIG_ERROR), (f" {failure.rig or ''}{again}: {failure.message}", "")])
        if failure.hint and not failure.retried:
            lines.append([(f"    → {failure.hint}", "")])
    for rig in run.aside:
        lines.append([(f"set aside: {rig}; its other tests were not run", "bold red")])
    return lines


def _styled(verdict: Verdict) -> tuple[str, str]:
    return str(verdict), COLOURS[verdict]


def _not_applied(run: Run) -> list[Styled]:
    """What was skipped and why, the most frequent reasons first."""
    reasons = Counter(
        # Of many rigs that lack the same thing one line is enough.
        test.reason.replace(test.rig or "\0", "the rig") if len(run.rigs) > 1 else test.reason
        for test in run.tests
        if test.verdict is Verdict.SKIPPED
    )
    shown = reasons.most_common(_REASONS)
    lines: list[Styled] = [[(f"skipped {count}: {reason}", "dim")] for reason, count in shown]
    if len(reasons) > len(shown):
        rest = len(reasons) - len(shown)
        lines.append([(f"skipped for {rest} further reasons: see the report", "dim")])
    return lines


def _summary(run: Run) -> str:
    counts = run.counts
    said = [f"{counts[verdict]} {verdict}" for verdict in Verdict if counts[verdict]] or ["no tests"]
    if run.retried:
        said.append(f"{len(run.retried)} tried again")
    said.append(f"{span(run.wall_us)} wall")
    if run.virtual_us:
        said.append(f"{span(run.virtual_us)} virtual")
    return ", ".join(said)
