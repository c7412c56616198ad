"""The verdict table at the end of a run."""

from __future__ import annotations

import io
from collections import Counter
from typing import TYPE_CHECKING

from hil.measure.verdict import Verdict

if TYPE_CHECKING:
    from pathlib import Path

    from rich.text import Text

    from hil.records.model import Run, SuiteRecord

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
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(
        file=io.StringIO(),
        width=max(width, _NARROWEST),
        force_terminal=colour,
        color_system="standard" if colour else None,
        highlight=False,
        legacy_windows=False,
    )
    for rig, suites in _by_rig(run):
        console.print(Text(_rig_name(run, rig), style="bold"))
        # The same widths for each rig, so that the columns stand below each other.
        table = Table(
            box=box.SIMPLE_HEAD if colour else box.ASCII2, show_edge=False, pad_edge=False, expand=True
        )
        table.add_column("suite", no_wrap=True, min_width=14)
        table.add_column("tests", justify="right", no_wrap=True, min_width=7)
        table.add_column("verdict", no_wrap=True, min_width=18)
        table.add_column("key figures", ratio=1)
        for suite in suites:
            verdict = Text(str(suite.verdict), style=COLOURS[suite.verdict])
            table.add_row(Text(suite.suite), Text(_tests(suite)), verdict, Text("\n".join(_figures(suite))))
        console.print(table)
        console.print()
    for line in _after(run, report):
        console.print(line, soft_wrap=True)
    output = console.file
    assert isinstance(output, io.StringIO)
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
    return name if rig is None else f"{name} ({'EMULATED' if rig.emulated else 'physical'})"


def _tests(suite: SuiteRecord) -> str:
    """``7``, or ``5/7`` where five of seven were run and good."""
    good = sum(count for verdict, count in suite.counts.items() if verdict.good)
    good -= suite.counts[Verdict.SKIPPED]
    total = len(suite.tests)
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


def _after(run: Run, report: Path | None) -> list[Text]:
    from rich.text import Text

    lines: list[Text] = []
    for test in run.tests:
        if not test.verdict.good and test.verdict is not Verdict.BLOCKED:
            where = f" on {test.rig}" if test.rig else ""
            line = Text.assemble(
                (f"{test.verdict}", COLOURS[test.verdict]), f" {test.suite}{where}: {test.title}"
            )
            lines.append(line)
            lines += [Text(f"    {said}") for said in (test.reason, test.cause) if said]
    for failure in run.rig_errors:
        name = Text.assemble(
            ("rig error", COLOURS[Verdict.RIG_ERROR]), f" {failure.rig or ''}: {failure.message}"
        )
        lines.append(name)
        if failure.hint:
            lines.append(Text(f"    → {failure.hint}"))
    lines += [
        Text.assemble(("blocked", COLOURS[Verdict.BLOCKED]), f" {block.suite}: {block.reason}")
        for block in run.blocks
    ]
    lines += _not_applied(run)
    slow = [(test, step) for test, step in run.slowest(3) if step.duration_us > 0]
    if slow:
        said = ", ".join(f"{step.title} {span(step.duration_us)}" for _, step in slow)
        lines.append(Text(f"slowest steps: {said}"))
    lines.append(
        Text.assemble(("verdict: ", ""), (str(run.verdict), COLOURS[run.verdict]), f" ({_summary(run)})")
    )
    if report is not None:
        lines.append(Text(f"report: {report}"))
    return lines


def _not_applied(run: Run) -> list[Text]:
    """What was skipped and why, the most frequent reasons first."""
    from rich.text import Text

    reasons = Counter(test.reason for test in run.tests if test.verdict is Verdict.SKIPPED)
    shown = reasons.most_common(_REASONS)
    lines = [Text(f"skipped {count}: {reason}", style="dim") for reason, count in shown]
    if len(reasons) > len(shown):
        lines.append(
            Text(f"skipped for {len(reasons) - len(shown)} further reasons: see the report", style="dim")
        )
    return lines


def _summary(run: Run) -> str:
    counts = run.counts
    said = [f"{counts[verdict]} {verdict}" for verdict in Verdict if counts[verdict]] or ["no tests"]
    said.append(f"{span(run.wall_us)} wall")
    if run.virtual_us:
        said.append(f"{span(run.virtual_us)} virtual")
    return ", ".join(said)


def span(us: int) -> str:
    """A duration for people: ``870 us``, ``67.9 ms``, ``12.3 s``, ``2 min 5 s``, ``3 h 20 min``."""
    if us < 1000:
        return f"{us} us"
    if us < 1_000_000:
        return f"{_three_digits(us / 1000)} ms"
    if us < 120_000_000:
        return f"{_three_digits(us / 1e6)} s"
    minutes, seconds = divmod(us // 1_000_000, 60)
    if minutes < 120:
        return f"{minutes} min {seconds} s"
    return f"{minutes // 60} h {minutes % 60} min"


def _three_digits(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"
