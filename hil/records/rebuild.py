"""From a journal back to the run: one small function per kind of event.

Missing fields get defaults, unknown events and fields are left out, so that journals of older
versions stay readable and those of newer minor versions too.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from hil.measure.measurement import Limit
from hil.measure.verdict import Verdict
from hil.records.journal import read_events
from hil.records.model import (
    Attachment,
    Block,
    Figure,
    Flashing,
    Irreversible,
    Part,
    RigFailure,
    RigRecord,
    Run,
    Step,
    TestRecord,
)
from hil.records.parts import run_events

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

__all__ = ["build_run", "load_run"]

Event = dict[str, Any]
_BOUNDS = frozenset(field.name for field in dataclasses.fields(Limit))


def load_run(path: Path) -> Run:
    """Rebuild a run from its journal.

    Args:
        path: the run's folder, or its journal.

    Raises:
        ConfigError: the journal is damaged, of a newer format, or not there.
    """
    if path.is_dir():
        return build_run(path, run_events(path))
    return build_run(path.parent, read_events(path))


def build_run(folder: Path, events: Iterable[Event]) -> Run:
    """Fold events into a run whose files lie in ``folder``."""
    builder = _Builder(Run(folder, {}, 0.0))
    for event in events:
        builder.run.last = event.get("at", builder.run.last)
        take = _TAKE.get(event["kind"])
        if take is not None:
            take(builder, event)
    return builder.run


class _Builder:
    """The run so far, and the record that each test id stands for at the moment."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self._tests: dict[str, TestRecord] = {}

    def begin(self, event: Event) -> TestRecord:
        """A new record; a repeated id is another attempt.

        An attempt that the rig or a killed process ended moves aside. A failed one stays: a device
        that passes at the second try is not good.
        """
        before = self._tests.get(event["test"])
        if before is not None and before.verdict in (Verdict.RIG_ERROR, Verdict.ABORTED):
            self.run.tests.remove(before)
            self.run.retried.append(before)
        record = TestRecord(
            test=event["test"],
            suite=event.get("suite", ""),
            title=event.get("title") or _title(event["test"]),
            rig=event.get("rig"),
            requirements=list(event.get("requirements", ())),
            node=event.get("node", ""),
            started=event.get("at", 0.0),
            attempt=1 if before is None else before.attempt + 1,
        )
        self._tests[record.test] = record
        self.run.tests.append(record)
        return record

    def test(self, event: Event) -> TestRecord | None:
        """The record that an event belongs to."""
        return self._tests.get(event.get("test", ""))


def _run_start(builder: _Builder, event: Event) -> None:
    builder.run.header = event
    builder.run.release = dict(event.get("release", {}))
    builder.run.started = event.get("at", 0.0)


def _rig(builder: _Builder, event: Event) -> None:
    parts = [
        Part(
            part=part.get("part", "part"),
            kind=part.get("kind", ""),
            physical=bool(part.get("physical", True)),
            port=part.get("port", ""),
            identity=dict(part.get("identity", {})),
        )
        for part in event.get("parts", ())
    ]
    rig = builder.run.rigs.get(event["rig"])
    if rig is None:
        rig = RigRecord(event["rig"], bool(event.get("emulated")), event.get("clock", "wall"))
        builder.run.rigs[rig.rig] = rig
    if event.get("phase") == "close":
        rig.after = parts
        return
    rig.description = event.get("description", rig.description)
    rig.parts = parts
    rig.wiring = list(event.get("wiring", ()))


def _test_start(builder: _Builder, event: Event) -> None:
    builder.begin(event)


def _step(builder: _Builder, event: Event) -> None:
    record = builder.test(event)
    if record is not None:
        record.steps.append(
            Step(
                title=event.get("title", ""),
                start_us=event.get("start_us", 0),
                duration_us=event.get("duration_us", 0),
                wall_us=event.get("wall_us"),
                depth=event.get("depth", 0),
                outcome=event.get("outcome", "done"),
                detail=event.get("detail", ""),
            )
        )


def _measurement(builder: _Builder, event: Event) -> None:
    record = builder.test(event)
    if record is not None:
        record.figures.append(
            Figure(
                name=event.get("name", ""),
                value=event.get("value"),
                unit=event.get("unit", ""),
                limit={name: bound for name, bound in event.get("limit", {}).items() if name in _BOUNDS},
                clock=event.get("clock", "wall"),
                provenance=event.get("provenance"),
                source=event.get("source"),
                verdict=_verdict(event.get("verdict")),
                key=bool(event.get("key")),
                band=_band(event.get("band")),
                samples=event.get("samples", 1),
            )
        )


def _band(row: object) -> tuple[float, float] | None:
    """The two ends of a prediction's band, if they are there."""
    if isinstance(row, list) and len(row) == 2 and all(isinstance(end, int | float) for end in row):
        return float(row[0]), float(row[1])
    return None


def _attachment(builder: _Builder, event: Event) -> None:
    attachment = Attachment(
        name=event.get("name", ""),
        path=event.get("path", ""),
        media_type=event.get("media_type", ""),
        sha256=event.get("sha256", ""),
        size=event.get("size", 0),
        test=event.get("test"),
    )
    record = builder.test(event)
    (builder.run if record is None else record).attachments.append(attachment)


def _test_end(builder: _Builder, event: Event) -> None:
    record = builder.test(event) or builder.begin(event)
    record.verdict = _verdict(event.get("verdict"))
    record.reason = event.get("reason") or ""
    record.cause = event.get("cause") or ""
    record.trace = event.get("trace") or ""
    record.quarantine = event.get("quarantine") or ""
    record.warnings = list(event.get("warnings", ()))
    if record.attempt > 1 and record.verdict in (Verdict.PASS, Verdict.WARN):
        record.verdict = Verdict.WARN
        record.warnings.append(f"passed at attempt {record.attempt}")
    record.clock_us = event.get("clock_us")
    record.wall_us = event.get("wall_us", 0)
    record.account = dict(event.get("account", {}))


def _skip(builder: _Builder, event: Event) -> None:
    record = builder.begin(event)
    record.verdict = _verdict(event.get("verdict", Verdict.SKIPPED))
    record.reason = event.get("reason") or ""


def _suite_blocked(builder: _Builder, event: Event) -> None:
    builder.run.blocks.append(
        Block(event.get("suite", ""), event.get("rig"), event.get("by", ""), event.get("reason", ""))
    )


def _rig_error(builder: _Builder, event: Event) -> None:
    builder.run.rig_errors.append(
        RigFailure(
            rig=event.get("rig"),
            error=event.get("error", ""),
            message=event.get("message", ""),
            hint=event.get("hint") or "",
            test=event.get("test"),
            retried=bool(event.get("retried")),
        )
    )


def _rig_aside(builder: _Builder, event: Event) -> None:
    builder.run.aside[event["rig"]] = event.get("reason", "")


def _irreversible(builder: _Builder, event: Event) -> None:
    operation = Irreversible(
        rig=event.get("rig"),
        serial=event.get("serial", ""),
        operation=event.get("operation", ""),
        slot=event.get("slot"),
        intent=event.get("intent"),
        emulated=bool(event.get("emulated")),
        actions=list(event.get("actions", ())),
    )
    if event.get("phase") == "intent":
        builder.run.irreversible.append(operation)
        return
    for intended in reversed(builder.run.irreversible):
        if (intended.rig, intended.serial, intended.intent) == (
            operation.rig,
            operation.serial,
            operation.intent,
        ):
            intended.result = event.get("phase", "")
            return
    # A result without its intent is kept: it happened.
    operation.result = event.get("phase", "")
    builder.run.irreversible.append(operation)


def _flash(builder: _Builder, event: Event) -> None:
    written = Flashing(
        rig=event.get("rig", ""),
        emulated=bool(event.get("emulated")),
        sha256=event.get("sha256", ""),
        offset=event.get("offset", 0),
        size=event.get("size", 0),
        chip=event.get("chip", ""),
        mac=event.get("mac", ""),
    )
    if event.get("phase") == "intent":
        builder.run.flashed.append(written)
        return
    written.result = event.get("phase", "")
    before = builder.run.flashed
    for number in reversed(range(len(before))):
        if before[number].rig == written.rig:  # one rig writes one image at a time
            before[number] = written
            return
    before.append(written)  # a result without its intent is kept: it happened


def _run_end(builder: _Builder, event: Event) -> None:
    builder.run.end = event


def _title(test: str) -> str:
    """``suites/x.py::test_only_one_answers[rig]`` in words: ``only one answers``."""
    return test.rpartition("::")[2].partition("[")[0].removeprefix("test_").replace("_", " ")


def _verdict(text: object) -> Verdict:
    """The verdict of that name; one that this version does not know is not taken for a pass."""
    return next((verdict for verdict in Verdict if verdict == text), Verdict.ABORTED)


_TAKE: dict[str, Callable[[_Builder, Event], None]] = {
    "run-start": _run_start,
    "rig": _rig,
    "test-start": _test_start,
    "step": _step,
    "measurement": _measurement,
    "attachment": _attachment,
    "test-end": _test_end,
    "suite-blocked": _suite_blocked,
    "skip": _skip,
    "irreversible": _irreversible,
    "flash": _flash,
    "rig-error": _rig_error,
    "rig-aside": _rig_aside,
    "run-end": _run_end,
}
