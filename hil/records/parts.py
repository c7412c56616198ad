"""A run of several processes: each writes a journal of its own, in the end they become one.

While the run goes on, the folder ``parts`` holds one journal a process. So each is appended to by one
process alone, and what a killed process leaves behind is readable. At the end the parts are merged
into the run's journal in one step; a run that did not come that far is read from its parts.
"""

from __future__ import annotations

import heapq
import json
import os
import shutil
from typing import TYPE_CHECKING, Any, Protocol

from hil.errors import ConfigError
from hil.homes import made
from hil.records.header import run_header
from hil.records.journal import JOURNAL, PARTS, Journal, read_events

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from hil.clock import Calendar

__all__ = ["join_run", "merge_parts", "run_events"]

Event = dict[str, Any]


class Process(Protocol):
    """One process of a run; :class:`hil.session.options.Worker` is one."""

    @property
    def folder(self) -> Path: ...
    @property
    def part(self) -> str: ...
    @property
    def workers(self) -> int: ...
    @property
    def command(self) -> tuple[str, ...]: ...


def join_run(process: Process, calendar: Calendar, *, suites: Path, **fields: Any) -> Journal:  # noqa: ANN401
    """The journal of one process of a run; whoever comes first also writes the run's header.

    Args:
        process: the run's folder, made if it is not there, and which process this is.
        calendar: date and time of the events.
        suites: folder of the tests; their version is part of the record.
        fields: further fields of the header.

    Raises:
        ConfigError: a file cannot be written, or the part exists.
    """
    made(process.folder)
    journal = Journal(process.folder, calendar, part=process.part)
    header = {
        **run_header(process.folder.name, suites),
        "command": list(process.command),
        "workers": process.workers,
        **fields,
    }
    try:
        with Journal(process.folder, calendar) as head:
            head.event("run-start", **header)
    except ConfigError as error:
        if not isinstance(error.__cause__, FileExistsError):
            raise
    journal.event("worker-start", worker=process.part, pid=os.getpid())
    return journal


def run_events(folder: Path) -> Iterator[Event]:
    """All events of a run in the order of time, whether its parts are merged or not.

    Raises:
        ConfigError: a journal is damaged, of a newer format, or not there.
    """
    parts = sorted((folder / PARTS).glob("*.jsonl"))
    if not parts or next(read_events(folder), {}).get("merged"):
        return read_events(folder)
    merged = heapq.merge(*map(_in_time, [folder / JOURNAL, *parts]), key=lambda pair: pair[0])
    return (event for _, event in merged)


def _in_time(path: Path) -> Iterator[tuple[float, Event]]:
    """Events with times that never go back: a calendar that is set right must not change their order."""
    latest = 0.0
    part = path.stem if path.parent.name == PARTS else ""
    for event in read_events(path):
        latest = max(latest, event.get("at", 0.0))
        yield latest, {**event, "worker": part} if part else event


def merge_parts(folder: Path) -> None:
    """Make the parts of a run one journal; a crash leaves the parts or the whole, never half of it.

    The header of the whole says that it is one, so that parts which a crash kept from being removed
    are not read twice.

    Raises:
        ConfigError: a journal is damaged or cannot be written.
    """
    draft = folder / f"{JOURNAL}.new"
    events = list(run_events(folder))
    events[0] = {**events[0], "merged": True}
    try:
        with draft.open("w", encoding="utf-8", errors="backslashreplace", newline="\n") as file:
            for number, event in enumerate(events):
                line = json.dumps({**event, "n": number}, ensure_ascii=False, separators=(",", ":"))
                file.write(line + "\n")
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft, folder / JOURNAL)
        shutil.rmtree(folder / PARTS)
    except OSError as error:
        raise ConfigError(f"the journals in {folder} cannot be merged: {error.strerror or error}") from error
