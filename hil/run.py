"""One pytest session on rigs: which tests go where, what blocks what, what is written down."""

from __future__ import annotations

import gc
import shutil
import sys
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec
import pytest

from hil import rigfile, suitegraph
from hil.clock import Calendar, wall_us
from hil.cloud import awsguard
from hil.errors import HilError, RigError
from hil.marks import block, is_block, requirements, wanted_state
from hil.measure.verdict import Verdict, worst

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from hil.records.journal import Journal
    from hil.rig import Rig
    from hil.rigfile import RigFile

__all__ = ["Options", "Run"]


class Options(msgspec.Struct, frozen=True):
    """What the command line asked for."""

    rigs: tuple[RigFile, ...]
    faults: tuple[str, ...]
    allow_irreversible: frozenset[str]
    allow_aws: str | None
    runs: Path
    report: bool


@dataclass
class _Test:
    """What is known of the running test."""

    item: pytest.Item
    id: str
    rig: str
    suite: str
    wall: int
    clock: int | None
    account: Counter[str]
    verdict: Verdict = Verdict.PASS
    reason: str = ""
    trace: str = ""
    warnings: list[str] = field(default_factory=list)


class Run:
    """The state of one session; made by the plugin when a test first asks for a rig."""

    def __init__(self, options: Options) -> None:
        awsguard.install()  # before any test can make a session of its own
        self.options = options
        self.calendar = Calendar()
        self._files = {file.rig: file for file in options.rigs}
        self._rigs: dict[str, Rig] = {}
        self._dead: dict[str, HilError] = {}
        self._failed: dict[tuple[str, str], str] = {}
        self._blocked: set[tuple[str, str]] = set()
        self._verdicts: Counter[Verdict] = Counter()
        self._journal: Journal | None = None
        self._test: _Test | None = None
        self._rig_errors: list[HilError] = []
        self._started = wall_us()
        self._table: list[str] = []

    # -- what the session asks --------------------------------------------------------------

    @classmethod
    def from_options(cls, config: pytest.Config) -> Run:
        """Read and check every rig file; a broken one ends the session before collection."""
        from hil import homes

        try:
            wanted = config.getoption("--rig") or [str(config.getini("hil_rig"))]
            files = tuple(rigfile.load(path) for path in rigfile.find_rigs(wanted))
            faults = tuple(config.getoption("--fault"))
            if faults:
                from hil.emulator.faults import check_faults

                check_faults(faults, files)
        except HilError as error:
            pytest.exit(str(error), returncode=error.exit_code)
        runs = config.getoption("--runs")
        return cls(
            Options(
                rigs=files,
                faults=faults,
                allow_irreversible=frozenset(config.getoption("--allow-irreversible")),
                allow_aws=config.getoption("--allow-aws"),
                runs=homes.runs_folder(runs),
                report=not config.getoption("--no-report"),
            )
        )

    @property
    def rig_names(self) -> tuple[str, ...]:
        """The rigs of this run, in the order asked for."""
        return tuple(self._files)

    def concerns(self, item: pytest.Item) -> bool:
        """Whether a test runs on one of our rigs."""
        return self._rig_of(item) is not None

    def _rig_of(self, item: pytest.Item) -> str | None:
        spec = getattr(item, "callspec", None)
        name = spec.params.get("rig") if spec is not None else None
        return name if isinstance(name, str) and name in self._files else None

    def arrange(self, items: list[pytest.Item]) -> None:
        """Rig by rig, suites in bring-up order, irreversible tests last in their suite."""
        position = {name: n for n, name in enumerate(self._files)}
        for item in items:
            name = self._rig_of(item)
            if name is not None:
                reason = self._not_applicable(item, self._files[name])
                if reason is not None:
                    item.add_marker(pytest.mark.skip(reason=reason))

        def key(item: pytest.Item) -> tuple[int, int, bool]:
            name = self._rig_of(item)
            if name is None:
                return (-1, 0, False)
            irreversible = item.get_closest_marker("irreversible") is not None
            return (position[name], suitegraph.order(suite_name(item)), irreversible)

        items.sort(key=key)  # stable: within a suite the order of the files stays

    def _not_applicable(self, item: pytest.Item, file: RigFile) -> str | None:
        needed: set[str] = set()
        for mark in item.iter_markers("needs"):
            needed.update(mark.args)
        reason = rigfile.missing(file, needed)
        if reason is not None:
            return f"not applicable: {reason}"
        state = wanted_state(item)
        if state is not None and (state == "trust") != (file.element.state == "trust"):
            return f"not applicable: {file.rig} has no {state} element, it is {file.element.state}"
        if item.get_closest_marker("irreversible") is not None and not file.emulated:
            serial = file.element.serial
            if not file.element.expendable or serial not in self.options.allow_irreversible:
                return (
                    f"not allowed: irreversible on a physical element; needs `expendable: true` and "
                    f"--allow-irreversible {serial or 'SERIAL'}"
                )
        return None

    # -- rigs ------------------------------------------------------------------------------

    @property
    def journal(self) -> Journal:
        """The run's journal; made at the first event."""
        if self._journal is None:
            from hil.records.header import new_run

            self._journal = new_run(
                self.options.runs,
                self.calendar,
                rigs=list(self._files),
                faults=list(self.options.faults),
            )
        return self._journal

    def open_rig(self, name: str) -> Rig:
        """The rig, opened once for the session.

        Raises:
            RigError: it cannot be opened; every later test on it gets the same error at once.
        """
        dead = self._dead.get(name)
        if dead is not None:
            raise RigError(f"{name} is set aside: {dead.message}", hint=dead.hint)
        if name not in self._rigs:
            try:
                with _collector_off():
                    from hil.rig import open_rig

                    self._rigs[name] = open_rig(
                        self._files[name],
                        faults=self.options.faults,
                        allow_irreversible=self.options.allow_irreversible,
                        allow_aws=self.options.allow_aws,
                        journal=self.journal,
                        calendar=self.calendar,
                    )
            except HilError as error:
                self._dead[name] = error
                self._rig_errors.append(error)
                self.journal.event(
                    "rig-error",
                    rig=name,
                    error=type(error).__name__,
                    message=error.message,
                    hint=error.hint or "",
                )
                raise
        return self._rigs[name]

    def close_rig(self, name: str) -> None:
        """Safe state, ports closed, lock given back."""
        rig = self._rigs.pop(name, None)
        if rig is not None:
            rig.close()

    # -- tests -----------------------------------------------------------------------------

    def test_starts(self, item: pytest.Item) -> None:
        """Journal the start of a test."""
        name = self._rig_of(item)
        assert name is not None, "the caller asked concerns() first"
        rig = self._rigs.get(name)
        if rig is not None:
            rig.test_starts()
        self._test = _Test(
            item=item,
            id=test_id(item, name),
            rig=name,
            suite=suite_name(item),
            wall=wall_us(),
            clock=None if rig is None else rig.clock.now,
            account=Counter() if rig is None else rig.clock.account.copy(),
        )
        self.journal.event(
            "test-start",
            test=self._test.id,
            rig=name,
            suite=self._test.suite,
            title=_title(item),
            node=item.nodeid,
            requirements=requirements(item),
        )

    @property
    def test(self) -> str:
        """Id of the running test."""
        assert self._test is not None, "called from within a test"
        return self._test.id

    def check_blocked(self, item: pytest.Item) -> None:
        """Skip a test whose suite stands on a failed one.

        The reason names that suite and what failed there.
        """
        test = self._current(item)
        behind = suitegraph.blockers(test.suite)
        for suite in suitegraph.SUITES:
            reason = self._failed.get((test.rig, suite.name))
            if suite.name in behind and reason is not None:
                if (test.rig, test.suite) not in self._blocked:
                    self._blocked.add((test.rig, test.suite))
                    self.journal.event(
                        "suite-blocked", rig=test.rig, suite=test.suite, by=suite.name, reason=reason
                    )
                block(f"{suite.name} failed: {reason}")

    def phase_ended(self, item: pytest.Item, call: pytest.CallInfo[None], report: pytest.TestReport) -> None:
        """Take the verdict of a phase; on failure attach what the rig has seen."""
        test = self._current(item)
        error = call.excinfo.value if call.excinfo is not None else None
        if report.when == "call" and report.passed:
            self._judge_measurements(test, report)
        if report.skipped:
            test.reason = _skip_reason(report)
            test.verdict = Verdict.BLOCKED if is_block(test.reason) else Verdict.SKIPPED
        elif report.failed and test.verdict is not Verdict.FAIL:
            broken_rig = isinstance(error, RigError) or (
                report.when != "call" and not isinstance(error, AssertionError)
            )
            self._fails(test, _first_line(error), broken_rig=broken_rig)
        if report.failed:
            test.trace = report.longreprtext
            self._attach_evidence(test, report)

    def _fails(self, test: _Test, reason: str, *, broken_rig: bool) -> None:
        test.verdict = Verdict.RIG_ERROR if broken_rig else Verdict.FAIL
        test.reason = reason
        if not broken_rig:
            self._failed.setdefault((test.rig, test.suite), _title(test.item))
            return
        known = any(error.message == reason for error in self._rig_errors)
        self._rig_errors.append(RigError(reason))
        if known:
            return
        self.journal.event("rig-error", rig=test.rig, test=test.id, error="RigError", message=reason, hint="")

    def _judge_measurements(self, test: _Test, report: pytest.TestReport) -> None:
        rig = self._rigs.get(test.rig)
        taken = None if rig is None else rig.take_measurements()
        if taken is None:
            return
        verdict = taken.close()
        beyond = [str(m) for m in taken.finished if m.verdict is verdict]
        if verdict is Verdict.FAIL:
            report.outcome = "failed"
            report.longrepr = "\n".join(beyond)
            self._fails(test, beyond[0], broken_rig=False)
        elif verdict is Verdict.WARN:
            test.verdict, test.warnings = Verdict.WARN, beyond

    def _attach_evidence(self, test: _Test, report: pytest.TestReport) -> None:
        rig = self._rigs.get(test.rig)
        if rig is None:
            return
        for title, text in rig.evidence():
            report.sections.append((f"{title} of {test.rig}", text))
            self.journal.attach(title, text.encode(), "text/plain", test=test.id, rig=test.rig)

    def test_ends(self, item: pytest.Item) -> None:
        """Journal the end of a test."""
        test = self._current(item)
        rig = self._rigs.get(test.rig)
        clock: dict[str, object] = {"clock": None, "clock_us": None}
        if rig is not None:
            rig.take_measurements()
            spent = rig.clock.account - test.account
            start = 0 if test.clock is None else test.clock
            clock = {"clock": rig.clock.kind, "clock_us": rig.clock.now - start, "account": dict(spent)}
        self.journal.event(
            "test-end",
            test=test.id,
            rig=test.rig,
            suite=test.suite,
            verdict=str(test.verdict),
            reason=test.reason,
            trace=test.trace,
            warnings=test.warnings,
            wall_us=wall_us() - test.wall,
            requirements=requirements(item),
            **clock,
        )
        self._verdicts[test.verdict] += 1
        self._test = None

    def _current(self, item: pytest.Item) -> _Test:
        assert self._test is not None, "a test that uses a rig was started"
        assert self._test.item is item, "tests do not overlap"
        return self._test

    # -- end -------------------------------------------------------------------------------

    def finish(self, exitstatus: int) -> int:
        """Close what is open, end the journal, write the views; returns the exit status."""
        for name in list(self._rigs):
            self.close_rig(name)
        if self._journal is None:
            return exitstatus
        if exitstatus == pytest.ExitCode.TESTS_FAILED and self._rig_errors and not self._failed:
            exitstatus = self._rig_errors[0].exit_code
        verdict = worst(self._verdicts)
        if exitstatus == pytest.ExitCode.INTERRUPTED:
            verdict = Verdict.ABORTED
        self._journal.event(
            "run-end",
            verdict=str(verdict),
            exit_status=exitstatus,
            wall_us=wall_us() - self._started,
            counts={str(v): n for v, n in self._verdicts.items()},
        )
        self._journal.close()
        from hil.records.views import write_views

        terminal = sys.stdout.isatty()
        self._table = write_views(
            self._journal.folder,
            html=self.options.report,
            width=shutil.get_terminal_size((100, 24)).columns,
            colour=terminal,
        )
        return exitstatus

    def header(self) -> Sequence[str]:
        """One line a rig for the head of the run."""
        return [
            f"rig: {file.rig} ({'EMULATED' if file.emulated else 'physical'}) {file.description}"
            for file in self._files.values()
        ]

    def summary(self) -> Sequence[str]:
        """The verdict table."""
        return self._table


def suite_name(item: pytest.Item) -> str:
    """The suite that a test belongs to."""
    return suitegraph.suite_of(item.path.as_posix())


def test_id(item: pytest.Item, rig: str) -> str:
    """Requirement, test, parameters and rig: the same in a checkout and in an installed package."""
    spec = getattr(item, "callspec", None)
    parameters = {} if spec is None else {k: v for k, v in spec.params.items() if k != "rig"}
    shown = ",".join(f"{name}={value}" for name, value in sorted(parameters.items()))
    name = getattr(item, "originalname", None) or item.name
    first = (requirements(item) or [suite_name(item)])[0]
    return f"{first} {name}[{shown}] @ {rig}" if shown else f"{first} {name} @ {rig}"


def _title(item: pytest.Item) -> str:
    name = getattr(item, "originalname", None) or item.name
    words = str(name).removeprefix("test_").replace("_", " ")
    spec = getattr(item, "callspec", None)
    parameters = [] if spec is None else [str(v) for k, v in sorted(spec.params.items()) if k != "rig"]
    return f"{words} ({', '.join(parameters)})" if parameters else words


def _skip_reason(report: pytest.TestReport) -> str:
    text = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    return text.removeprefix("Skipped: ")


def _first_line(error: BaseException | None) -> str:
    lines = str(error).strip().splitlines() if error is not None else []
    return lines[0] if lines else type(error).__name__


@contextmanager
def _collector_off() -> Iterator[None]:
    """Without the garbage collector: importing makes many objects and hardly any garbage."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
