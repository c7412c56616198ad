"""How far a plan's run has come: on a terminal a line for each rig, elsewhere a line when one is done.

The remaining time of a rig is what its remaining tests took in earlier runs, or on average in this
one where there was none.
"""

from __future__ import annotations

import shutil
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TextIO

import pytest

from hil.clock import wall_us
from hil.records.spans import span

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from hil.session.run import Run
    from hil.session.workers import Controller, Known

__all__ = ["Progress", "watch"]

_REPAINT_US = 100_000
_BAR = 20


@dataclass
class _Rig:
    """One rig's line."""

    nodes: list[str]
    done: set[str] = field(default_factory=set)
    now: str = ""
    outcomes: Counter[str] = field(default_factory=Counter)
    started_us: int | None = None
    ended_us: int | None = None

    @property
    def finished(self) -> bool:
        return len(self.done) >= len(self.nodes)


class Progress:
    """A pytest plugin that watches tests start and end.

    Args:
        out: where to write.
        live: repaint a line for each rig in place; otherwise a line a rig when it is done.
        tests: the tests that use a rig, by node id; may be empty at first.
        usual_us: how long a test took before, by its id.
        columns: width of the terminal.
    """

    def __init__(
        self,
        out: TextIO,
        *,
        live: bool,
        tests: Callable[[], Mapping[str, Known]],
        usual_us: Mapping[str, int],
        columns: int = 100,
    ) -> None:
        self._out = out
        self._live = live
        self._tests = tests
        self._usual_us = usual_us
        self._columns = columns
        self._rigs: dict[str, _Rig] = {}
        self._painted = 0
        self._painted_at = 0

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        """A test begins."""
        rig, known = self._of(nodeid)
        if rig is not None and known is not None:
            rig.started_us = wall_us() if rig.started_us is None else rig.started_us
            rig.now = f"{known['suite']}: {known['title']}"
            self._paint()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """A phase of a test has ended."""
        rig, known = self._of(report.nodeid)
        if rig is None or known is None:
            return
        outcome: str = report.outcome  # "rerun" is ours
        when: str = report.when  # "???" is pytest's own for a crashed process
        if report.failed or outcome == "rerun" or report.when == "call" or report.skipped:
            rig.outcomes[_word(report)] += 1
        if report.when == "teardown" or report.skipped or when == "???":
            rig.done.add(report.nodeid)
        if rig.finished and rig.ended_us is None:
            rig.ended_us = wall_us()
            if not self._live:
                self._out.write(f"\n{self._line(known['rig'], rig)}\n")
                self._out.flush()
        self._paint()

    @pytest.hookimpl(tryfirst=True)
    def pytest_report_teststatus(
        self, report: pytest.TestReport
    ) -> tuple[str, str, tuple[str, dict[str, bool]]] | None:
        """Where lines are repainted, dots would disturb them; failures are told at the end as ever."""
        rig, _ = self._of(report.nodeid)
        if not self._live or rig is None or report.failed:
            return None
        category = {"rerun": "rig error, tried again"}.get(report.outcome, report.outcome)
        if category == "passed" and report.when != "call":
            category = ""
        if hasattr(report, "wasxfail"):
            category = "xfailed"
        return category, "", (category.upper(), {})

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self) -> None:
        """The last picture stays."""
        if self._live and self._rigs:
            self._paint(force=True)
            self._painted = 0

    def _of(self, nodeid: str) -> tuple[_Rig | None, Known | None]:
        tests = self._tests()
        if not self._rigs:
            for node, known in tests.items():
                self._rigs.setdefault(known["rig"], _Rig([])).nodes.append(node)
        known_test = tests.get(nodeid)
        return (None, None) if known_test is None else (self._rigs[known_test["rig"]], known_test)

    def lines(self) -> list[str]:
        """One line for each rig."""
        return [self._line(name, rig) for name, rig in self._rigs.items()]

    def _line(self, name: str, rig: _Rig) -> str:
        width = max(map(len, self._rigs), default=0)
        done, total = len(rig.done), len(rig.nodes)
        filled = _BAR * done // total
        bar = "█" * filled + "·" * (_BAR - filled)
        said = ", ".join(
            f"{count} {word}" for word, count in sorted(rig.outcomes.items()) if word != "passed"
        )
        if rig.ended_us is not None and rig.started_us is not None:
            state = f"done in {span(rig.ended_us - rig.started_us)}"
        elif rig.started_us is None:
            state = "waiting"
        else:
            left = self._left_us(rig)
            state = f"{span(left)} left  {rig.now}" if left is not None else rig.now
        return f"{name:{width}} {bar} {done:>{len(str(total))}}/{total}  {f'{said}  ' if said else ''}{state}"

    def _left_us(self, rig: _Rig) -> int | None:
        """Earlier durations for what is left; the average of this run for tests that are new."""
        tests = self._tests()
        usual = [self._usual_us.get(tests[node]["test"]) for node in rig.nodes if node not in rig.done]
        if not rig.done and None in usual:
            return None  # nothing to go by yet
        average = (wall_us() - (rig.started_us or 0)) // max(len(rig.done), 1)
        return sum(average if us is None else us for us in usual)

    def _paint(self, *, force: bool = False) -> None:
        now = wall_us()
        if not self._live or (now - self._painted_at < _REPAINT_US and not force):
            return
        self._painted_at = now
        back = f"\x1b[{self._painted}F" if self._painted else "\n"
        rows = [f"\x1b[2K{line[: self._columns - 1]}\n" for line in self._shown()]
        self._out.write(back + "".join(rows) + "\x1b[J")
        self._out.flush()
        self._painted = len(rows)

    def _shown(self) -> list[str]:
        """All rigs if they fit, else those at work and a line that sums up the others."""
        room = shutil.get_terminal_size((100, 24)).lines - 4
        if len(self._rigs) <= room:
            return self.lines()
        at_work = [
            self._line(name, rig)
            for name, rig in self._rigs.items()
            if rig.started_us is not None and rig.ended_us is None
        ]
        done = sum(rig.ended_us is not None for rig in self._rigs.values())
        waiting = len(self._rigs) - done - len(at_work)
        return [*at_work[: room - 1], f"{done} rigs done, {waiting} waiting"]


def _word(report: pytest.TestReport) -> str:
    if hasattr(report, "wasxfail"):
        return "quarantined"
    return {"rerun": "tried again"}.get(report.outcome, report.outcome)


def watch(config: pytest.Config, run: Run, controller: Controller | None) -> None:
    """Register the display for a plan's run."""
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    if reporter is None:
        return
    live = bool(reporter.isatty) and config.getoption("verbose", 0) <= 0
    tests = run.known_tests if controller is None else controller.tests
    if live:
        reporter.showfspath = False
    progress = Progress(
        reporter._tw._file,
        live=live,
        tests=tests,
        usual_us=run.usual_us(),
        columns=shutil.get_terminal_size().columns,
    )
    config.pluginmanager.register(progress, "hil-progress")
