"""The journal of a run: one JSON object per line, appended, flushed event by event.

Every view of a run (terminal table, JUnit, HTML, comparison, attestation) is made from its
journal and from nothing else. A journal without a ``run-end`` event belongs to a run that was
aborted. ``journal-v1.schema.json`` beside this module describes every event and field.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections import Counter
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from hil.clock import wall_us
from hil.errors import ConfigError, UsageError
from hil.homes import made
from hil.measure.verdict import Verdict, worst
from hil.records.redaction import Redactor

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from types import TracebackType

    from hil.clock import Calendar

__all__ = ["FORMAT", "JOURNAL", "KINDS", "PARTS", "Journal", "new_run_folder", "read_events", "utc"]

FORMAT = 1
JOURNAL = "journal.jsonl"
PARTS = "parts"
"""Folder of the journals of a run's processes, as long as they are not merged; see :mod:`.parts`."""
ATTACHMENTS = "attachments"

KINDS: dict[str, frozenset[str]] = {
    "run-start": frozenset({"format", "run", "command", "versions"}),
    "worker-start": frozenset({"worker", "pid"}),
    "rig": frozenset({"rig", "phase", "emulated", "clock", "parts"}),
    "test-start": frozenset({"test", "suite", "requirements"}),
    "step": frozenset({"test", "title", "start_us", "duration_us"}),
    "measurement": frozenset({"test", "name", "value", "unit", "limit", "clock", "provenance", "verdict"}),
    "attachment": frozenset({"name", "path", "media_type", "sha256", "size"}),
    "test-end": frozenset({"test", "verdict", "wall_us"}),
    "suite-blocked": frozenset({"suite", "by", "reason"}),
    "skip": frozenset({"test", "suite", "reason"}),
    "irreversible": frozenset({"serial", "operation", "phase"}),
    "flash": frozenset({"rig", "phase", "sha256", "offset", "size"}),
    "rig-error": frozenset({"message"}),
    "rig-aside": frozenset({"rig", "reason"}),
    "run-end": frozenset({"verdict", "exit_status"}),
}
"""Every kind of event and the fields it must have; others are allowed and kept."""

_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")


def new_run_folder(runs: Path, calendar: Calendar) -> Path:
    """Make the folder of a new run, named after its UTC time; a number is added if it exists.

    Raises:
        ConfigError: the folder cannot be made.
    """
    made(runs)
    stamp = utc(calendar.time()).replace(":", "").replace("Z", "")
    number = 1
    while True:
        folder = runs / (stamp if number == 1 else f"{stamp}-{number}")
        try:
            folder.mkdir(mode=0o700)
        except FileExistsError:
            number += 1
        except OSError as error:
            raise ConfigError(f"the run folder {folder} cannot be made: {error.strerror or error}") from error
        else:
            return folder


class Journal:
    """Writes the journal of one run; the folder's other files belong to it as attachments.

    Args:
        folder: the run's folder; it must exist and hold no journal.
        calendar: date and time of the events.
        redactor: keeps secrets out of events and attachments.
        part: name of this process where several write the journal of one run; its events and
            attachments then go to files of its own.
        after: go on with a journal that has so many events, instead of beginning one.

    Raises:
        ConfigError: the file exists already or cannot be written.
    """

    def __init__(
        self,
        folder: Path,
        calendar: Calendar,
        redactor: Redactor | None = None,
        *,
        part: str = "",
        after: int = 0,
    ) -> None:
        self.folder = folder
        self.path = made(folder / PARTS) / f"{part}.jsonl" if part else folder / JOURNAL
        self._part = part
        self.redactor = Redactor() if redactor is None else redactor
        self._calendar = calendar
        self._number = after
        self._attached: set[str] = set()
        self._verdicts: list[Verdict] = []
        self._counts: Counter[str] = Counter()
        self._started = wall_us()
        try:
            # A console may send bytes that are no text: they are kept as JSON escapes.
            self._file = open(  # noqa: SIM115  (it lives as long as the journal)
                self.path, "a" if after else "x", encoding="utf-8", errors="backslashreplace", newline="\n"
            )
        except OSError as error:
            raise ConfigError(
                f"the journal {self.path} cannot be written: {error.strerror or error}"
            ) from error

    def event(self, kind: str, /, **fields: Any) -> None:  # noqa: ANN401  (any JSON value)
        """Append one event and hand it to the operating system.

        Raises:
            UsageError: an unknown kind, a missing field, or a value that JSON cannot hold.
        """
        required = KINDS.get(kind)
        if required is None:
            raise UsageError(f"there is no journal event {kind!r}")
        lacking = required - fields.keys()
        if lacking:
            raise UsageError(f"the journal event {kind!r} lacks {', '.join(sorted(lacking))}")
        row = {"n": self._number, "at": round(self._calendar.time(), 6), "kind": kind, **fields}
        line = self._encode(kind, row)
        if self.redactor.armed or "PRIVATE KEY" in line:
            clean = {name: self.redactor.value(value) for name, value in fields.items()}
            line = self._encode(kind, {**row, **clean})
        self._file.write(line + "\n")
        self._file.flush()
        self._number += 1
        self._tally(kind, fields)

    def sync(self) -> None:
        """Wait until everything written is on the disk; owed before anything irreversible."""
        self._file.flush()
        os.fsync(self._file.fileno())

    def attach(
        self,
        name: str,
        data: bytes | str,
        media_type: str = "text/plain",
        *,
        test: str | None = None,
        **fields: Any,  # noqa: ANN401  (any JSON value)
    ) -> Path:
        """Store a file beside the journal and record it with its hash.

        Args:
            name: what it is, for people; the file's name is made from it.
            data: the content, text as UTF-8; secrets are redacted.
            media_type: e.g. ``"text/plain"``.
            test: the test that it belongs to, or None for the run.
            fields: further fields of the event, e.g. ``rig``.
        """
        content = self.redactor.data(_to_bytes(data) if isinstance(data, str) else data)
        folder = made(self.folder / ATTACHMENTS / self._part)
        path = folder / self._file_name(name)
        path.write_bytes(content)
        self.event(
            "attachment",
            name=name,
            path=path.relative_to(self.folder).as_posix(),
            media_type=media_type,
            sha256=hashlib.sha256(content).hexdigest(),
            size=len(content),
            **({} if test is None else {"test": test}),
            **fields,
        )
        return path

    def end(self, exit_status: int, *, interrupted: bool = False) -> Verdict:
        """Write the ``run-end`` event, with the gravest verdict of all, and close.

        Args:
            exit_status: what the process will exit with.
            interrupted: the run was stopped; its verdict is then *aborted*.
        """
        verdict = Verdict.ABORTED if interrupted else worst(self._verdicts)
        self.event(
            "run-end",
            verdict=str(verdict),
            exit_status=exit_status,
            wall_us=wall_us() - self._started,
            counts=dict(self._counts),
        )
        self.sync()
        self.close()
        return verdict

    def _tally(self, kind: str, fields: dict[str, Any]) -> None:
        if kind in ("test-end", "skip"):
            verdict = fields.get("verdict", str(Verdict.SKIPPED))
            self._counts[str(verdict)] += 1
            self._verdicts.append(Verdict(verdict))
        elif kind == "rig-error":
            self._verdicts.append(Verdict.RIG_ERROR)
        elif kind == "suite-blocked":
            self._verdicts.append(Verdict.BLOCKED)

    def close(self) -> None:
        """Close the file; without a ``run-end`` event before, the run counts as aborted."""
        self._file.close()

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _encode(self, kind: str, row: dict[str, Any]) -> str:
        try:
            return json.dumps(row, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
        except (TypeError, ValueError) as error:
            raise UsageError(f"the journal event {kind!r} cannot be written as JSON: {error}") from error

    def _file_name(self, name: str) -> str:
        stem = _UNSAFE.sub("-", self.redactor.text(name)).strip("-.")[-80:] or "attachment"
        candidate, number = stem, 1
        while candidate in self._attached:
            number += 1
            base, dot, suffix = stem.rpartition(".")
            candidate = f"{base}-{number}.{suffix}" if dot else f"{stem}-{number}"
        self._attached.add(candidate)
        return candidate


def _to_bytes(text: str) -> bytes:
    """UTF-8; bytes that a decoder escaped come back as they were, other surrogates as escapes."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return text.encode("utf-8", "backslashreplace")


def read_events(path: Path) -> Iterator[dict[str, Any]]:
    """The events of one journal file, oldest first.

    A torn last line, left by a crash, ends the reading; anything else that is damaged is an error.
    A run whose processes have not merged their journals yet is read by :func:`hil.records.parts.run_events`.

    Args:
        path: the journal, or the run's folder.

    Raises:
        ConfigError: the file cannot be read, a line is damaged, or a newer format wrote it.
    """
    path = path / JOURNAL if path.is_dir() else path
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError as error:
        raise ConfigError(f"the journal {path} cannot be read: {error.strerror or error}") from error
    for number, line in enumerate(lines, 1):
        if not line:
            continue
        try:
            row = json.loads(line)
            kind = row["kind"]
        except (ValueError, KeyError, TypeError) as error:
            if number == len(lines):  # no newline behind it: torn
                return
            raise ConfigError(f"{path}:{number}: damaged journal line: {error}") from error
        first = ("worker-start",) if path.parent.name == PARTS else ("run-start",)
        if number == 1 and (kind not in first or row.get("format", 0) > FORMAT):
            raise ConfigError(
                f"{path}:1: not a journal of format {FORMAT} or older",
                hint="a newer version of hil wrote it, or it is another file",
            )
        yield row


def utc(seconds: float) -> str:
    """``2025-01-31T23:59:59Z``, for people and file names."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
