"""Irreversible operations per element, outliving runs: intent, act, result.

One JSON-lines file for each element serial number, in the user's data folder. An *intent* is
written and synced before the act; a *result* closes it. A crash between the two leaves the
intent open, and nothing irreversible is allowed on that element until somebody has looked:
``hil ledger resolve`` reads the chip back and records what really happened.
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hil.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from hil.clock import Calendar

__all__ = ["Intent", "Ledger", "LedgerEntry"]

FORMAT = 1
_SERIAL = re.compile(r"[0-9a-f]{18}")


@dataclass(frozen=True)
class LedgerEntry:
    """One line: ``kind`` is ``intent``, ``result`` or ``resolution``."""

    kind: str
    intent: int
    at: float
    fields: Mapping[str, Any]


@dataclass(frozen=True)
class Intent:
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
    """

    def __init__(self, folder: Path, calendar: Calendar) -> None:
        self._folder = folder
        self._calendar = calendar

    def path(self, serial: str) -> Path:
        """The file of one element.

        Raises:
            ConfigError: ``serial`` is not 18 lower-case hex digits.
        """
        if not _SERIAL.fullmatch(serial):
            raise ConfigError(f"{serial!r} is no element serial number", hint="18 lower-case hex digits")
        return self._folder / f"{serial}.jsonl"

    def entries(self, serial: str) -> list[LedgerEntry]:
        """Everything recorded of one element, oldest first.

        A torn last line (power lost while writing) is left out: its act never began.

        Raises:
            ConfigError: another line is damaged; the ledger is then not to be trusted.
        """
        path = self.path(serial)
        if not path.exists():
            return []
        lines = path.read_bytes().split(b"\n")
        entries = []
        for number, line in enumerate(lines, 1):
            if not line:
                continue
            try:
                row = json.loads(line)
                entries.append(LedgerEntry(row.pop("kind"), row.pop("intent"), row.pop("at"), row))
            except (ValueError, KeyError) as error:
                if number == len(lines):  # no newline behind it: torn by a crash
                    break
                raise ConfigError(
                    f"{path}:{number}: damaged ledger line: {error}",
                    hint="keep the file, inspect the element, then move the file away",
                ) from error
        return entries

    def open_intents(self, serial: str) -> list[LedgerEntry]:
        """Intents without a result or resolution."""
        entries = self.entries(serial)
        closed = {e.intent for e in entries if e.kind in ("result", "resolution")}
        return [e for e in entries if e.kind == "intent" and e.intent not in closed]

    def serials(self) -> Iterator[str]:
        """Every element that has a ledger."""
        if self._folder.is_dir():
            for path in sorted(self._folder.glob("*.jsonl")):
                yield path.stem

    def intend(self, serial: str, operation: str, slot: int | None, packets: tuple[str, ...]) -> Intent:
        """Write an intent and sync it to the disk; call it before the first byte is sent."""
        number = 1 + max((e.intent for e in self.entries(serial)), default=0)
        self._append(serial, "intent", number, operation=operation, slot=slot, packets=list(packets))
        return Intent(serial, number, operation, slot, packets)

    def close(self, intent: Intent, outcome: str) -> None:
        """Record the result of an intent."""
        self._append(intent.serial, "result", intent.number, outcome=outcome)

    def resolve(self, serial: str, number: int, found: str, by: str) -> None:
        """Close an open intent after the chip was inspected.

        Args:
            serial: the element.
            number: the intent's number.
            found: what reading the chip back showed.
            by: who says so.
        """
        if number not in {e.intent for e in self.open_intents(serial)}:
            raise ConfigError(f"intent {number} of element {serial} is not open")
        self._append(serial, "resolution", number, found=found, by=by)

    def _append(self, serial: str, kind: str, number: int, **fields: Any) -> None:  # noqa: ANN401
        path = self.path(serial)
        path.parent.mkdir(parents=True, exist_ok=True)
        row = {"kind": kind, "intent": number, "at": self._calendar.time(), "format": FORMAT, **fields}
        line = json.dumps(row, separators=(",", ":")).encode() + b"\n"
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            content = os.pread(descriptor, os.fstat(descriptor).st_size, 0)
            if content and not content.endswith(b"\n"):
                # A line torn by a crash: it was never synced, so its act never began.
                os.ftruncate(descriptor, content.rfind(b"\n") + 1)
            os.write(descriptor, line)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
