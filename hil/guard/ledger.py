"""Irreversible operations per element, outliving runs: intent, act, read back, result.

One JSON-lines file for each element serial number, in the user's data folder. An *intent* is
written and synced before the act; a *result* closes it. A crash between the two leaves the
intent open, and nothing irreversible is allowed on that element until somebody has looked:
``hil ledger resolve`` reads the chip back and records what really happened.

An element's ledger is *held* while something irreversible goes on, by a kernel lock that dies with
its holder: two processes cannot work on one element, whatever they call their rigs.
"""

from __future__ import annotations

import json
import os
import re
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

import msgspec

from hil.errors import ConfigError, GuardRefusal

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from contextlib import AbstractContextManager
    from pathlib import Path

    from filelock import FileLock

    from hil.clock import Calendar

__all__ = ["Intent", "Ledger", "LedgerEntry"]

FORMAT = 1
_SERIAL = re.compile(r"[0-9a-f]{18}")


class LedgerEntry(msgspec.Struct, frozen=True):
    """One line: ``kind`` is ``intent``, ``result``, ``resolution`` or ``withdrawal``.

    Attributes:
        kind: which of the four.
        intent: the intent's number within this element's ledger.
        at: seconds since 1970.
        fields: the rest: of an intent operation, slot, packets, rig, config; of a result outcome and
            read_back; of a resolution found and by; of a withdrawal why and by.
    """

    kind: str
    intent: int
    at: float
    fields: Mapping[str, Any]


class Intent(msgspec.Struct, frozen=True):
    """An intent that was written; ``number`` counts from 1 within one element's ledger."""

    serial: str
    number: int
    operation: str
    slot: int | None
    packets: tuple[str, ...]


class Ledger:
    """The irreversible operations of every element this user has ever touched.

    Args:
        folder: where the files lie; made when first needed.
        calendar: date and time of the entries.
        durable: it outlives the run. A ledger of emulated parts that end with this process is not:
            it is not synced and needs no lock, because nobody else can reach those parts.

    Attributes:
        folder: where the files lie.
        durable: see above.
    """

    def __init__(self, folder: Path, calendar: Calendar, *, durable: bool = True) -> None:
        self.durable = durable
        self.folder = folder
        self._calendar = calendar
        self._locks: dict[str, FileLock] = {}
        self._read: dict[str, _Read] = {}

    def path(self, serial: str) -> Path:
        """The file of one element.

        Raises:
            ConfigError: ``serial`` is not 18 lower-case hex digits.
        """
        if not _SERIAL.fullmatch(serial):
            raise ConfigError(f"{serial!r} is no element serial number", hint="18 lower-case hex digits")
        return self.folder / f"{serial}.jsonl"

    def entries(self, serial: str) -> list[LedgerEntry]:
        """Everything recorded of one element, oldest first.

        A torn last line (power lost while writing) is left out: its act never began.

        Raises:
            ConfigError: another line is damaged; the ledger is then not to be trusted.
        """
        path = self.path(serial)
        if not path.exists():
            self._read.pop(serial, None)
            return []
        with path.open("rb") as file:
            inode = os.fstat(file.fileno()).st_ino
            known = self._read.get(serial, _Read(inode))
            if known.inode != inode or known.size > os.fstat(file.fileno()).st_size:
                known = _Read(inode)
            file.seek(known.size)
            whole, newline, _torn = file.read().rpartition(b"\n")
        entries = list(known.entries)
        for number, line in enumerate(whole.split(b"\n"), 1 + len(entries)):
            if line:
                entries.append(_entry(line, f"{path}:{number}"))
        self._read[serial] = _Read(inode, known.size + len(whole + newline), tuple(entries))
        return entries

    def open_intents(self, serial: str) -> list[LedgerEntry]:
        """Intents without a result or resolution."""
        entries = self.entries(serial)
        closed = {e.intent for e in entries if e.kind in ("result", "resolution")}
        return [e for e in entries if e.kind == "intent" and e.intent not in closed]

    def serials(self) -> Iterator[str]:
        """Every element that has a ledger."""
        if self.folder.is_dir():
            for path in sorted(self.folder.glob("*.jsonl")):
                if _SERIAL.fullmatch(path.stem):
                    yield path.stem

    def needs_inspection(self, rig: str, element: str | None = None) -> list[tuple[str, LedgerEntry]]:
        """Open intents that concern a rig: ``(serial, intent)``.

        Args:
            rig: its name: what was begun on it concerns it, unless that element was withdrawn.
            element: the serial number that its file names: what was begun on it anywhere concerns it.
        """
        found = []
        for serial in self.serials():
            still_open = self.open_intents(serial)
            withdrawn = self._withdrawn(serial) if still_open else frozenset()
            for entry in still_open:
                here = entry.fields.get("rig") == rig and entry.intent not in withdrawn
                if here or serial == element:
                    found.append((serial, entry))
        return found

    def _withdrawn(self, serial: str) -> frozenset[int]:
        return frozenset(e.intent for e in self.entries(serial) if e.kind == "withdrawal")

    def hold(self, serial: str) -> AbstractContextManager[None]:
        """Keep every other process from doing something irreversible to this element.

        Raises:
            GuardRefusal: another process does so at this moment.
        """
        return self._held(serial) if self.durable else nullcontext()

    @contextmanager
    def _held(self, serial: str) -> Iterator[None]:
        from filelock import FileLock, Timeout

        path = self.path(serial)
        _make(path.parent)
        lock = self._locks.setdefault(serial, FileLock(path.with_suffix(".lock")))
        try:
            lock.acquire(blocking=False)
        except Timeout as error:
            raise GuardRefusal(
                f"another process is in the middle of something irreversible on element {serial}",
                hint="wait for it; two rigs must not name the same element; nothing was sent",
            ) from error
        try:
            yield
        finally:
            lock.release()

    def intend(
        self,
        serial: str,
        operation: str,
        slot: int | None,
        packets: tuple[str, ...],
        *,
        rig: str = "",
        config: bytes | None = None,
        public_key: bytes | None = None,
        before: bytes | None = None,
    ) -> Intent:
        """Write an intent and sync it to the disk; call it before the first byte is sent.

        Args:
            serial: the element.
            operation: what is about to happen.
            slot: the slot concerned.
            packets: what is about to be sent, in words without secrets.
            rig: where.
            config: the configuration zone as it is to be afterwards.
            public_key: the key that is to be in the slot afterwards.
            before: the configuration zone as it is now, where only a comparison shows the effect.

        Raises:
            GuardRefusal: it cannot be written.
        """
        number = 1 + max((e.intent for e in self.entries(serial)), default=0)
        self._append(
            serial,
            "intent",
            number,
            operation=str(operation),
            slot=slot,
            packets=list(packets),
            rig=rig,
            process=os.getpid(),
            **({} if config is None else {"config": config.hex()}),
            **({} if before is None else {"before": before.hex()}),
            **({} if public_key is None else {"public_key": public_key.hex()}),
        )
        return Intent(serial, number, operation, slot, packets)

    def close(self, intent: Intent, outcome: str, read_back: bytes | None = None) -> None:
        """Record the result of an intent.

        Args:
            intent: which.
            outcome: what came of it.
            read_back: the configuration zone read afterwards, where it shows the effect.
        """
        seen = {} if read_back is None else {"read_back": read_back.hex()}
        self._append(intent.serial, "result", intent.number, outcome=outcome, **seen)

    def resolve(self, serial: str, number: int, found: str, by: str) -> None:
        """Close an open intent after the chip was inspected.

        Args:
            serial: the element.
            number: the intent's number.
            found: what reading the chip back showed.
            by: who says so.

        Raises:
            ConfigError: that intent is not open.
        """
        if number not in {e.intent for e in self.open_intents(serial)}:
            raise ConfigError(f"intent {number} of element {serial} is not open")
        self._append(serial, "resolution", number, found=found, by=by)

    def withdraw(self, serial: str, why: str, by: str) -> int:
        """The element cannot be inspected any more: its rig is free again, the element never.

        Its intents stay open, so that nothing irreversible is ever allowed on it until somebody
        inspects it after all.

        Args:
            serial: the element.
            why: what became of it.
            by: who says so.

        Returns:
            How many intents were open.

        Raises:
            ConfigError: none is open.
        """
        still_open = self.open_intents(serial)
        if not still_open:
            raise ConfigError(f"element {serial} has no open operation", hint="`hil ledger` lists them")
        for entry in still_open:
            self._append(serial, "withdrawal", entry.intent, why=why, by=by)
        return len(still_open)

    def _append(self, serial: str, kind: str, number: int, **fields: Any) -> None:  # noqa: ANN401
        path = self.path(serial)
        row = {"kind": kind, "intent": number, "at": self._calendar.time(), "format": FORMAT, **fields}
        line = json.dumps(row, separators=(",", ":")).encode() + b"\n"
        try:
            self._write(path, line)
        except OSError as error:
            raise GuardRefusal(
                f"the ledger {path} cannot be written: {error.strerror or error}",
                hint="nothing irreversible is done without its ledger",
            ) from error

    def _write(self, path: Path, line: bytes) -> None:
        fresh = not path.exists()
        if fresh:
            _make(path.parent)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            size = os.fstat(descriptor).st_size
            if size and os.pread(descriptor, 1, size - 1) != b"\n":
                # A line torn by a crash: it was never synced, so its act never began.
                os.ftruncate(descriptor, os.pread(descriptor, size, 0).rfind(b"\n") + 1)
            while line:
                line = line[os.write(descriptor, line) :]
            if self.durable:
                os.fsync(descriptor)
        finally:
            os.close(descriptor)
        if fresh and self.durable:
            _sync_folder(path.parent)


class _Read(msgspec.Struct, frozen=True):
    """How far a file was read: files only grow, so that what was read stays true."""

    inode: int
    size: int = 0
    entries: tuple[LedgerEntry, ...] = ()


def _entry(line: bytes, where: str) -> LedgerEntry:
    try:
        row = json.loads(line)
        return LedgerEntry(row.pop("kind"), int(row.pop("intent")), row.pop("at"), row)
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise ConfigError(
            f"{where}: damaged ledger line: {error}",
            hint="keep the file, inspect the element, then move the file away",
        ) from error


def _make(folder: Path) -> None:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)


def _sync_folder(folder: Path) -> None:
    """A new file is only there after a crash if its folder was synced too."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
