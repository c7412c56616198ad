"""One pytest session on rigs: which tests go where, what blocks what, what is written down."""

from __future__ import annotations

import gc
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from hil import suitegraph
from hil.clock import Calendar, wall_us
from hil.cloud import awsguard
from hil.errors import CertificateError, CloudError, ConfigError, DeviceError, HilError, RigError, UsageError
from hil.marks import block, is_block, requirements
from hil.measure.verdict import Verdict
from hil.session.arranging import arrange, put_in_order, refuse_choice
from hil.session.onceonly import Once, is_irreversible
from hil.session.options import Options, read_options
from hil.session.testitems import first_line, item_id, item_title, rig_of, skip_reason, suite_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from hil.records.journal import Journal
    from hil.rig.rig import Rig
    from hil.rigfile import RigFile
    from hil.session.quarantine import Entry, Quarantine
    from hil.session.workers import Known

__all__ = ["Options", "Run"]

_PRODUCT = (AssertionError, pytest.fail.Exception, DeviceError, CertificateError, CloudError)
"""Errors that speak of the product, also while a test is being prepared."""


@dataclass
class _Test:
    """What is known of the running test."""

    item: pytest.Item
    id: str
    rig: str
    suite: str
    attempt: int
    wall: int
    clock: int | None
    account: Counter[str]
    verdict: Verdict = Verdict.PASS
    reason: str = ""
    cause: str = ""
    trace: str = ""
    quarantine: str = ""
    retried: bool = False
    warnings: list[str] = field(default_factory=list)


class Run:
    """The state of one session; made by the plugin when a test first asks for a rig."""

    def __init__(self, options: Options) -> None:
        awsguard.install()  # before any test can make a session of its own
        self.options = options
        self.calendar = Calendar()
        self.has_workers = False
        """Several processes are at work, or could be: pytest-xdist is there."""
        self.foreign_failures = False
        """A test that uses no rig failed."""
        self._files = {file.rig: file for file in options.rigs}
        self._rigs: dict[str, Rig] = {}
        self._aside: dict[str, str] = {}
        self._failed: dict[tuple[str, str], str] = {}
        self._blocked: set[tuple[str, str]] = set()
        self._attempts: Counter[str] = Counter()
        self._told: set[tuple[str, str]] = set()
        self._once = Once()
        self._journal: Journal | None = None
        self._quarantine: Quarantine | None = None
        self._items: list[pytest.Item] = []
        self._known: dict[str, Known] = {}
        self._test: _Test | None = None
        self._retry = False
        self._interrupted = False
        self._started = wall_us()
        self._table: list[str] = []

    # -- what the session asks --------------------------------------------------------------

    @classmethod
    def from_options(cls, config: pytest.Config) -> Run:
        """Read and check every rig file; a broken one ends the session before collection."""
        try:
            return cls(read_options(config))
        except HilError as error:
            pytest.exit(str(error), returncode=error.exit_code)

    @property
    def rig_names(self) -> tuple[str, ...]:
        """The rigs of this run, in the order asked for."""
        return tuple(self._files)

    def concerns(self, item: pytest.Item) -> bool:
        """Whether a test runs on one of our rigs."""
        return rig_of(item, self._files) is not None

    def arrange(self, items: list[pytest.Item]) -> None:
        """Rig by rig, suites in bring-up order; what is left out is marked with its reason."""
        try:
            arrange(items, self.options)
        except HilError as error:  # a suite of another package is broken
            pytest.exit(str(error), returncode=error.exit_code)
        self._items = items

    def put_in_order(self, items: list[pytest.Item]) -> None:
        """The order of :meth:`arrange` again, after others have changed it."""
        put_in_order(items, self.options)

    def deselected(self, items: Sequence[pytest.Item]) -> None:
        """A plan that is to be complete ends here, if somebody chose among its tests."""
        try:
            refuse_choice(items, self.options)
        except UsageError as error:
            pytest.exit(str(error), returncode=error.exit_code)

    def known_tests(self) -> Mapping[str, Known]:
        """The tests that use a rig, by node id, for the progress display."""
        if not self._known:
            from hil.session.workers import known_tests

            self._known = {known["node"]: known for known in known_tests(self._items, self._files)}
        return self._known

    def usual_us(self) -> Mapping[str, int]:
        """How long each test took in earlier runs, as far as the history knows."""
        from hil.records.history import usual_durations

        return usual_durations(self.options.runs)

    # -- rigs ------------------------------------------------------------------------------

    @property
    def journal(self) -> Journal:
        """The run's journal; made at the first event."""
        if self._journal is None:
            self._journal = self._begin()
        return self._journal

    @property
    def folder(self) -> Path | None:
        """Where the journal lies; None as long as there is none."""
        return None if self._journal is None else self._journal.folder.absolute()

    def _header(self) -> dict[str, Any]:
        """The fields of ``run-start`` that the command line decides."""
        options = self.options
        fields: dict[str, Any] = {"rigs": list(self._files), "faults": list(options.faults)}
        if options.plan.name:
            fields["plan"] = options.plan.name
        if options.release is not None:
            fields["release"] = options.release.fields()
        if options.rehearsal:
            fields["rehearsal"] = True
        if options.quarantine:
            fields["quarantine"] = self.quarantine.fields()
        return fields

    def _begin(self) -> Journal:
        options = self.options
        if options.worker is not None:
            from hil.records.parts import join_run

            return join_run(options.worker, self.calendar, suites=options.suites, **self._header())
        from hil.records.header import new_run

        return new_run(options.runs, self.calendar, suites=options.suites, **self._header())

    @property
    def quarantine(self) -> Quarantine:
        """The known problems of this run."""
        if self._quarantine is None:
            from hil.session.quarantine import Quarantine

            self._quarantine = Quarantine(self.options.quarantine, self.calendar)
        return self._quarantine

    def open_rig(self, name: str) -> Rig:
        """The rig, opened once for the session, or once more after a rig error.

        Raises:
            RigError: it cannot be opened, or was set aside.
        """
        if name in self._aside:
            raise RigError(f"{name} is set aside: {self._aside[name]}")
        if name not in self._rigs:
            try:
                with _collector_off():
                    from hil.rig.opening import open_rig

                    file = self._files[name]
                    self._rigs[name] = open_rig(
                        file,
                        faults=self.options.faults,
                        allow_irreversible=self.options.allow_irreversible,
                        allow_aws=self.options.allow_aws,
                        journal=self.journal,
                        calendar=self.calendar,
                    )
                self._admit(name)
            except HilError as error:
                self._rig_error(name, error)
                if not self._may_retry():
                    self.set_aside(name, error.message)
                raise
        return self._rigs[name]

    def _admit(self, name: str) -> None:
        """What a release asks of a rig before its first test; a rig that is not admitted is closed."""
        if self.options.release is None:
            return
        from hil.release.gate import admit

        try:
            admit(self._rigs[name], self.options.release)
        except BaseException:
            self._drop(name)
            raise

    def close_rig(self, name: str) -> None:
        """Record what the parts are now; then safe state, ports closed, lock given back."""
        rig = self._rigs.get(name)
        if rig is None:
            return
        if self._test is not None and self._test.rig == name:
            self._attach_console(self._test)  # the rig's last test: after this there is no console
        del self._rigs[name]
        try:
            if not self._interrupted:
                rig.record_close()
        except HilError as error:
            self._rig_error(name, error)
        finally:
            self._close(name, rig)

    def set_aside(self, name: str, reason: str) -> None:
        """Use a rig no further in this run; the others go on."""
        if name not in self._aside:
            self._aside[name] = reason
            self.journal.event("rig-aside", rig=name, reason=reason)

    def _drop(self, name: str) -> None:
        """Let go of a broken rig; that it may not even close is in the record."""
        rig = self._rigs.pop(name, None)
        if rig is not None:
            self._close(name, rig)

    def _close(self, name: str, rig: Rig) -> None:
        """Close a rig; that this fails is its own error, not one of the test that comes next."""
        try:
            rig.close()
        except HilError as error:
            self._rig_error(name, error)

    def _rig_error(self, name: str, error: BaseException) -> None:
        """Journal that the bench broke; the same message of one attempt is told once."""
        message = error.message if isinstance(error, HilError) else first_line(error)
        test = self._test if self._test is not None and self._test.rig == name else None
        told = (name, f"{message} {0 if test is None else test.attempt}")
        if told in self._told:
            return
        self._told.add(told)
        self.journal.event(
            "rig-error",
            rig=name,
            error=type(error).__name__,
            message=message,
            hint=(error.hint if isinstance(error, HilError) else None) or "",
            **({} if test is None else {"test": test.id, "retried": self._may_retry()}),
        )

    def _may_retry(self) -> bool:
        """Whether the running attempt is not the last that the plan allows."""
        test = self._test
        return (
            test is not None and test.attempt <= self.options.plan.retries and not is_irreversible(test.item)
        )

    # -- tests -----------------------------------------------------------------------------

    def test_starts(self, item: pytest.Item) -> None:
        """Journal the start of a test."""
        name = rig_of(item, self._files)
        assert name is not None, "the caller asked concerns() first"
        rig = self._rigs.get(name)
        if rig is not None:
            rig.test_starts()
        identity = item_id(item, name)
        self._attempts[identity] += 1
        self._test = _Test(
            item=item,
            id=identity,
            rig=name,
            suite=suite_name(item),
            attempt=self._attempts[identity],
            wall=wall_us(),
            clock=None if rig is None else rig.clock.now,
            account=Counter() if rig is None else rig.clock.account.copy(),
        )
        self.journal.event(
            "test-start",
            test=identity,
            rig=name,
            suite=self._test.suite,
            title=item_title(item),
            node=item.nodeid,
            requirements=requirements(item),
            attempt=self._test.attempt,
        )

    @property
    def test(self) -> str:
        """Id of the running test."""
        assert self._test is not None, "called from within a test"
        return self._test.id

    def check_blocked(self, item: pytest.Item) -> None:
        """Skip a test whose rig was set aside, or whose suite stands on a failed one.

        An irreversible one also if something irreversible has no known result; one that began before is
        refused. The reason names what failed and where.
        """
        test = self._current(item)
        if test.rig in self._aside:
            block(f"{test.rig} is set aside: {self._aside[test.rig]}")
        for suite in suitegraph.blockers(test.suite):
            reason = self._failed.get((test.rig, suite))
            if reason is not None:
                if (test.rig, test.suite) not in self._blocked:
                    self._blocked.add((test.rig, test.suite))
                    self.journal.event(
                        "suite-blocked", rig=test.rig, suite=test.suite, by=suite, reason=reason
                    )
                block(f"{suite} failed: {reason}")
        if item.get_closest_marker("irreversible") is not None:
            unknown = _uninspected(self._files[test.rig])
            if unknown is not None:
                block(unknown)
        self._once.begins(item)

    def phase_ended(self, item: pytest.Item, call: pytest.CallInfo[None], report: pytest.TestReport) -> None:
        """Take the verdict of a phase; on failure attach what the rig has seen."""
        test = self._current(item)
        self._redact(report)
        error = call.excinfo.value if call.excinfo is not None else None
        if report.when == "call" and report.passed:
            self._judge_restarts(test, report)
        if report.when == "call" and report.passed:
            self._judge_measurements(test, report)
        if report.skipped:
            test.reason = skip_reason(report)
            test.verdict = Verdict.BLOCKED if is_block(test.reason) else Verdict.SKIPPED
        elif report.failed and test.verdict is not Verdict.FAIL:
            self._fails(test, report, error)
        if report.failed:
            self._once.failed(item)
            test.trace = report.longreprtext
            test.cause = test.cause or self._likely_cause(test, error)
            self._attach_evidence(test, report)
            self._soften(test, report, error)
        elif report.when == "teardown":
            self._attach_console(test)

    def _redact(self, report: pytest.TestReport) -> None:
        """Keep secrets off the terminal too: what a test prints, and what pytest shows of its values."""
        redactor = self.journal.redactor
        if not redactor.armed:
            return
        report.sections = [(title, redactor.text(text)) for title, text in report.sections]
        if report.failed:
            text = report.longreprtext
            clean = redactor.text(text)
            if clean != text:
                report.longrepr = clean

    def _fails(self, test: _Test, report: pytest.TestReport, error: BaseException | None) -> None:
        test.reason = first_line(error) if error is not None else report.longreprtext.partition("\n")[0]
        broken = isinstance(error, RigError) or (report.when != "call" and not isinstance(error, _PRODUCT))
        if broken and error is not None:
            test.verdict = Verdict.RIG_ERROR
            self._rig_error(test.rig, error)
            return
        test.verdict = Verdict.FAIL
        tolerated = self._tolerated(test)
        if tolerated is not None:
            test.verdict, test.quarantine = Verdict.QUARANTINED, str(tolerated)
        else:
            self._failed.setdefault((test.rig, test.suite), item_title(test.item))

    def _likely_cause(self, test: _Test, error: BaseException | None) -> str:
        from hil.bringup.likelycause import likely_cause

        rig = self._rigs.get(test.rig)
        transactions, lines = ((), ()) if rig is None else rig.seen_since_test()
        return likely_cause(error, transactions, lines, reason=test.reason)

    def _tolerated(self, test: _Test) -> Entry | None:
        marked = test.item.get_closest_marker("quarantine") is not None
        if not self.options.plan.tolerates_quarantine or not (marked or self.options.quarantine):
            return None
        return self.quarantine.find(test.item, requirements(test.item), test.rig)

    def _soften(self, test: _Test, report: pytest.TestReport, error: BaseException | None) -> None:
        """What pytest shall make of a failure that is tolerated, or that gets another try."""
        if test.quarantine:
            report.outcome = "skipped"
            report.wasxfail = f"quarantined: {test.quarantine}"
        elif test.verdict is Verdict.RIG_ERROR and isinstance(error, RigError) and self._may_retry():
            # The word is ours, the plugin shows it; that the take-down failed as well is no second case.
            report.outcome = "passed" if test.retried else "rerun"  # type: ignore[assignment]
            test.retried = True

    def _judge_restarts(self, test: _Test, report: pytest.TestReport) -> None:
        """A board that restarts on its own during a test has failed it, whatever the test looked at."""
        rig = self._rigs.get(test.rig)
        words = None if rig is None else rig.restarted_by_itself()
        if words is not None:
            report.outcome = "failed"
            report.longrepr = words

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
        elif verdict is Verdict.WARN:
            test.verdict, test.warnings = Verdict.WARN, beyond

    def _attach_console(self, test: _Test) -> None:
        """What the console said during a test that did not fail; a failed one has more attached."""
        rig = self._rigs.get(test.rig)
        text = "" if rig is None or test.trace else rig.console_since_test()
        if text:
            self.journal.attach("console", text.encode(), "text/plain", test=test.id, rig=test.rig)

    def _attach_evidence(self, test: _Test, report: pytest.TestReport) -> None:
        rig = self._rigs.get(test.rig)
        if rig is None:
            return
        evidence = rig.evidence()
        for title, text in evidence:
            report.sections.append((f"{title} of {test.rig}", text))
            self.journal.attach(title, text.encode(), "text/plain", test=test.id, rig=test.rig)

    def test_ends(self, item: pytest.Item) -> None:
        """Journal the end of a test."""
        test = self._current(item)
        rig = self._rigs.get(test.rig)
        clock: dict[str, object] = {"clock": None, "clock_us": None}
        if rig is not None:
            taken = rig.take_measurements()
            if taken is not None and test.verdict is Verdict.FAIL:
                taken.close()  # what was promised and not taken is part of the record
            spent = rig.clock.account - test.account
            start = 0 if test.clock is None else test.clock
            clock = {"clock": rig.clock.kind, "clock_us": rig.clock.now - start, "account": dict(spent)}
        extra = {"cause": test.cause, "quarantine": test.quarantine, "retried": test.retried}
        self.journal.event(
            "test-end",
            test=test.id,
            rig=test.rig,
            suite=test.suite,
            verdict=str(test.verdict),
            reason=test.reason,
            trace=test.trace,
            warnings=test.warnings,
            attempt=test.attempt,
            wall_us=wall_us() - test.wall,
            requirements=requirements(item),
            **clock,
            **{name: value for name, value in extra.items() if value},
        )
        self._retry = test.retried
        if test.verdict is Verdict.RIG_ERROR and not test.retried and self.options.plan.retries:
            self.set_aside(test.rig, test.reason)
        if test.retried or test.rig in self._aside:
            self._drop(test.rig)
        self._test = None

    def breaks_off(self) -> None:
        """The session ends in the middle of a test (Ctrl-C): no end is written, so that it is aborted.

        The parts are asked nothing any more; the relay goes to its safe state at once.
        """
        self._test = None
        self._retry = False
        self._interrupted = True

    def wants_retry(self) -> bool:
        """Whether the test that has just ended is to be run once more."""
        return self._retry

    def _current(self, item: pytest.Item) -> _Test:
        assert self._test is not None, "a test that uses a rig was started"
        assert self._test.item is item, "tests do not overlap"
        return self._test

    # -- end -------------------------------------------------------------------------------

    def finish(self, exitstatus: int) -> int:
        """Close what is open, end the journal, write the views; returns the exit status."""
        for name in list(self._rigs):
            try:
                self.close_rig(name)
            except HilError as error:
                self._rig_error(name, error)
        if self._journal is None:
            return exitstatus
        if self.options.worker is not None:
            self.close_journal()  # who started the workers judges the whole
            return exitstatus
        return self.end(self._journal, exitstatus)

    def close_journal(self) -> None:
        """Close what this process has written, if anything."""
        if self._journal is not None:
            self._journal.close()

    def end(self, journal: Journal, exitstatus: int) -> int:
        """Write the end of the whole run and its views; returns the exit status."""
        from hil.session.ending import end_run

        exitstatus, self._table = end_run(
            journal,
            exitstatus,
            wall_us=wall_us() - self._started,
            foreign_failures=self.foreign_failures,
            html=self.options.report,
        )
        return exitstatus

    def head_lines(self) -> Sequence[str]:
        """One line a rig for the head of the run, and what the plan tolerates no more."""
        lines = [
            f"rig: {file.rig} ({'EMULATED' if file.emulated else 'physical'}) {file.description}"
            for file in self._files.values()
        ]
        lines += [reason for file in self._files.values() if (reason := _uninspected(file))]
        plan = self.options.plan
        if plan.name:
            lines.insert(0, f"plan: {plan.name}")
        release = self.options.release
        if release is not None:
            what = "REHEARSAL, qualifies nothing" if self.options.rehearsal else "qualification"
            lines.insert(1, f"release: {release.release} ({what})")
        if plan.parallel and len(self._files) > 1 and not self.has_workers:
            lines.append("pytest-xdist is not installed: rigs run one after the other")
        if self.options.quarantine:
            expired = [entry for entry in self.quarantine.entries if self.quarantine.expired(entry)]
            lines += [f"quarantine expired on {entry.until}: {entry.reason}" for entry in expired]
        return lines

    def summary(self) -> Sequence[str]:
        """The verdict table."""
        return self._table


def _uninspected(file: RigFile) -> str | None:
    """Why the rig's element has to be looked at before anything irreversible; None if all is known."""
    if file.emulation is not None and file.emulation.state_file is None:
        return None  # it is new in every run; what it costs to look is spared
    from hil.rig.policy import inspection_needed

    try:
        return inspection_needed(file)
    except ConfigError as error:
        return error.message  # a ledger that cannot be read is no proof that all is well


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
