"""Several processes for one run: pytest-xdist hands out the tests, we say which go together.

A rig belongs to one process: its tests are one piece of work (``loadgroup`` of pytest-xdist would do
that too, but with some versions of pytest it silently does not). Correctness does not depend on it:
the kernel lock of a rig does not let a second process in. Each process writes a journal of its own;
the controller merges them, and writes down what a process cannot say of itself: that it was killed.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from hil import homes, rigfile
from hil.clock import Calendar
from hil.errors import HilError
from hil.homes import made
from hil.marks import requirements
from hil.measure.verdict import Verdict
from hil.records.journal import JOURNAL, PARTS, Journal, read_events, utc
from hil.records.parts import merge_parts
from hil.session.onceonly import is_irreversible
from hil.session.options import Worker
from hil.session.plans import find_plan
from hil.session.testitems import item_id, item_title, rig_of, suite_name

if TYPE_CHECKING:
    from collections.abc import Callable, Container

    from hil.session.run import Run

__all__ = ["Controller", "Known", "known_tests", "spread", "tell_tests"]

Known = dict[str, Any]
"""A test as the other processes know it: node, test, rig, suite, title, requirements."""


def spread(config: pytest.Config) -> None:
    """Choose the number of processes for a plan, unless somebody chose it or pytest-xdist is missing."""
    if getattr(config.option, "numprocesses", 0) is not None:
        return  # chosen, or there is no such option
    try:
        plan = find_plan(config.getoption("--plan"))
        wanted = config.getoption("--rig") or [str(config.getini("hil_rig"))]
        workers = plan.workers([rigfile.load(path) for path in rigfile.find_rigs(wanted)])
    except HilError:
        return  # told when the session starts
    if workers > 1:
        config.option.numprocesses = workers


def known_tests(items: list[pytest.Item], rigs: Container[str]) -> list[Known]:
    """The tests that use a rig, as other processes and the progress display know them."""
    found = []
    for item in items:
        rig = rig_of(item, rigs)
        if rig is not None:
            found.append(
                {
                    "node": item.nodeid,
                    "test": item_id(item, rig),
                    "rig": rig,
                    "suite": suite_name(item),
                    "title": item_title(item),
                    "requirements": requirements(item),
                    "irreversible": is_irreversible(item),
                }
            )
    return found


def tell_tests(worker: Worker, items: list[pytest.Item], rigs: Container[str]) -> None:
    """Leave word for the controller which test runs on which rig; node ids alone do not say it."""
    known = known_tests(items, rigs)
    if known:
        made(worker.folder)
        (made(worker.folder / PARTS) / f"{worker.part}.tests").write_text(json.dumps(known), encoding="utf-8")


class Controller:
    """The process that hands out the tests; a pytest plugin, registered where pytest-xdist is at work.

    Args:
        config: of the session.
        get_run: the run, made when first asked for.
    """

    def __init__(self, config: pytest.Config, get_run: Callable[[], Run]) -> None:
        self._config = config
        self._get_run = get_run
        self._nodes: dict[str, Known] = {}
        self._deaths: Counter[str] = Counter()
        self._again: set[str] = set()
        self._foreign_failures = False
        # The number keeps two sessions of one second apart: the folder is made by the first worker.
        stamp = utc(Calendar().time()).replace(":", "").replace("Z", "")
        runs = homes.runs_folder(config.getoption("--runs"))
        self.folder = runs.absolute() / f"{stamp}-{os.getpid()}"
        workers = len(config.getoption("tx", []))
        self._share = Worker(self.folder, "controller", workers, tuple(sys.argv))

    @property
    def _run(self) -> Run:
        run = self._get_run()
        if run.options.worker is None:
            run.options = replace(run.options, worker=self._share)
        return run

    # -- which test is what ------------------------------------------------------------------

    def known(self, nodeid: str) -> Known | None:
        """What the workers said of a test, or None if it uses no rig."""
        return self.tests().get(nodeid)

    def tests(self) -> dict[str, Known]:
        """Every test that uses a rig, by node id; empty until the first worker has collected."""
        if not self._nodes:
            told = next((self.folder / PARTS).glob("*.tests"), None)
            rows = [] if told is None else json.loads(told.read_text(encoding="utf-8"))
            self._nodes = {row["node"]: row for row in rows}
        return self._nodes

    # -- processes ---------------------------------------------------------------------------

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:  # noqa: ANN401  (pytest-xdist has no types for it)
        """Tell a new worker which run it belongs to."""
        share = self._share
        node.workerinput["hil"] = {
            "folder": str(share.folder),
            "part": node.gateway.id,
            "workers": share.workers,
            "command": share.command,
        }

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_make_scheduler(self, config: pytest.Config, log: Any) -> Any:  # noqa: ANN401
        """Our scheduler, where the session says that it uses rigs; `--dist each` stays what it is."""
        asked = any(config.getoption(name) for name in ("--rig", "--plan", "--fault"))
        if config.getoption("dist") == "each" or not asked:
            return None
        from hil.session.scheduler import RigScheduling

        return RigScheduling(config, log, self)

    # -- what a killed process cannot say ------------------------------------------------------

    def lost(self, nodeid: str, rest: list[str]) -> bool:
        """A process ended while a test was running, or about to; returns whether it is run again.

        Args:
            nodeid: the test.
            rest: the tests of the same rig that come after it.
        """
        known = self.known(nodeid)
        if known is None:
            return False
        rig = known["rig"]
        self._deaths[rig] += 1
        run = self._run
        again = self._deaths[rig] <= run.options.plan.retries and not known["irreversible"]
        message = f"the process that owned {rig} was killed while it ran: {known['title']}"
        hint = "look at the system's log: out of memory, a crash in a driver, or somebody's hand"
        same = {"rig": rig, "test": known["test"], "retried": again}
        run.journal.event("rig-error", error="RigError", message=message, hint=hint, **same)
        run.journal.event(
            "test-end",
            verdict=str(Verdict.RIG_ERROR),
            reason=message,
            suite=known["suite"],
            requirements=known["requirements"],
            wall_us=0,
            **same,
        )
        if again:
            self._again.add(nodeid)
            return True
        run.set_aside(rig, message)
        for other in rest:
            self._leave_out(other, f"blocked: {rig} is set aside: {message}")
        return False

    def _leave_out(self, nodeid: str, reason: str) -> None:
        """Journal and report a test that is not run."""
        known = self.known(nodeid)
        assert known is not None, "it uses the same rig"
        row = {name: known[name] for name in ("test", "rig", "suite", "title", "node", "requirements")}
        self._run.journal.event("skip", verdict=str(Verdict.BLOCKED), reason=reason, **row)
        where = (nodeid.partition("::")[0], 0, nodeid)
        report = pytest.TestReport(nodeid, where, {}, "skipped", (where[0], 0, f"Skipped: {reason}"), "setup")
        self._config.hook.pytest_runtest_logreport(report=report)

    @pytest.hookimpl(optionalhook=True)
    def pytest_handlecrashitem(self, crashitem: str, report: pytest.TestReport) -> None:
        """A test that is run again is not failed yet."""
        if crashitem in self._again:
            report.outcome = "rerun"  # type: ignore[assignment]  # a word of ours, shown by the plugin

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Notice failures of tests that use no rig."""
        if report.failed and self.known(report.nodeid) is None:
            self._foreign_failures = True

    # -- end ---------------------------------------------------------------------------------

    def finish(self, exitstatus: int) -> int:
        """Merge the journals and write the views; returns the exit status."""
        if not self.folder.exists():
            return exitstatus
        run = self._run
        run.close_journal()
        if not (self.folder / JOURNAL).exists():
            shutil.rmtree(self.folder)  # tests were collected, none was run
            return exitstatus
        merge_parts(self.folder)
        after = sum(1 for _ in read_events(self.folder))
        run.foreign_failures = self._foreign_failures
        return run.end(Journal(self.folder, run.calendar, after=after), exitstatus)
