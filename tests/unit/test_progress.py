"""The display of a plan's run: a line for each rig with suite, test and the time that is left."""

from __future__ import annotations

import io
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from hil.session.progress import Progress

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hil.session.workers import Known

MINUTE = 60_000_000


@dataclass
class Report:
    """As much of pytest's report as the display looks at."""

    nodeid: str
    when: str = "call"
    outcome: str = "passed"

    @property
    def failed(self) -> bool:
        return self.outcome == "failed"

    @property
    def skipped(self) -> bool:
        return self.outcome == "skipped"


def known(rig: str, number: int) -> Known:
    return {"rig": rig, "suite": "wiring", "title": f"test {number}", "test": f"REQ-{number} @ {rig}"}


TESTS = {f"{rig}-{n}": known(rig, n) for rig in ("bench-1", "bench-2") for n in range(3)}


def shown(*, live: bool, usual: Mapping[str, int] | None = None) -> tuple[Progress, io.StringIO]:
    out = io.StringIO()
    return Progress(out, live=live, tests=lambda: TESTS, usual_us=usual or {}), out


def play(progress: Progress, node: str, outcome: str = "passed") -> None:
    progress.pytest_runtest_logstart(node)
    for when, result in (("setup", "passed"), ("call", outcome), ("teardown", "passed")):
        progress.pytest_runtest_logreport(Report(node, when, result))  # type: ignore[arg-type]


def test_a_line_has_the_rig_its_progress_the_test_at_work_and_what_is_left() -> None:
    usual = {f"REQ-{n} @ bench-1": MINUTE for n in range(3)}
    progress, _ = shown(live=True, usual=usual)
    play(progress, "bench-1-0")
    progress.pytest_runtest_logstart("bench-1-1")
    first, second = progress.lines()
    assert re.match(r"bench-1 █{6}·{14} 1/3  2.* left  wiring: test 1$", first), first
    assert second.endswith("0/3  waiting")


def test_without_earlier_runs_the_average_of_this_one_counts() -> None:
    progress, _ = shown(live=True)
    progress.pytest_runtest_logstart("bench-1-0")
    assert "left" not in progress.lines()[0], "nothing to go by yet"
    play(progress, "bench-1-0")
    progress.pytest_runtest_logstart("bench-1-1")
    assert "left  wiring: test 1" in progress.lines()[0]


def test_failures_and_second_tries_are_counted_on_the_line() -> None:
    progress, _ = shown(live=True)
    play(progress, "bench-2-0", "failed")
    progress.pytest_runtest_logreport(Report("bench-2-1", "call", "rerun"))  # type: ignore[arg-type]
    play(progress, "bench-2-1")
    line = progress.lines()[1]
    assert "1 failed, 1 tried again" in line
    assert "2/3" in line


def test_a_log_gets_one_line_when_a_rig_is_done() -> None:
    progress, out = shown(live=False)
    for number in range(3):
        play(progress, f"bench-1-{number}")
    lines = [line for line in out.getvalue().splitlines() if line]
    assert len(lines) == 1
    assert re.match(r"bench-1 █{20} 3/3  done in ", lines[0])


def test_a_terminal_is_repainted_in_place_and_shows_no_dots() -> None:
    progress, out = shown(live=True)
    play(progress, "bench-1-0")
    progress.pytest_sessionfinish()
    assert "\x1b[2K" in out.getvalue()
    dots = progress.pytest_report_teststatus(Report("bench-1-0"))  # type: ignore[arg-type]
    assert dots == ("passed", "", ("PASSED", {}))
    failed = progress.pytest_report_teststatus(Report("bench-1-0", outcome="failed"))  # type: ignore[arg-type]
    assert failed is None, "failures are told as ever"


def test_a_test_without_a_rig_has_no_line() -> None:
    progress, out = shown(live=False)
    play(progress, "tests/unit/test_x.py::test_y")
    assert out.getvalue() == ""
    assert all(line.endswith("0/3  waiting") for line in progress.lines())


@pytest.mark.parametrize("option", ["--plan", "--quarantine", "--rig", "--runs", "--no-report", "--fault"])
def test_the_options_of_a_run_are_documented(option: str) -> None:
    from pathlib import Path

    text = (Path(__file__).parents[2] / "docs" / "running.md").read_text(encoding="utf-8")
    assert f"`{option}" in text
