"""Tests that are known to fail: who tolerates it, why, and until when.

A quarantined test runs as any other. If it fails, the verdict is *quarantined* and nothing stands
blocked behind it; if it passes, it passes. After its date an entry has no effect any more. Entries
come from the mark ``quarantine(reason, issue, until)`` and from a file, usually ``quarantine.yaml``
in the project::

    quarantine:
      - requirement: HIL-CONN-003       # or  test: test_it_connects_within_the_limit
        rig: bench-*                    # optional, a pattern; every rig if left out
        reason: the access point in the lab drops packets
        issue: https://example.org/issues/12
        until: 2026-12-31
"""

from __future__ import annotations

import fnmatch
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated

from hil.errors import ConfigError, UsageError
from hil.records.journal import utc
from hil.rigfile.binding import Binder, Key, parse

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    import pytest

    from hil.clock import Calendar

__all__ = ["DATE", "DATE_FORM", "DEFAULT_FILE", "Entry", "Quarantine", "load_quarantine"]

DEFAULT_FILE = "quarantine.yaml"
DATE = r"20[0-9]{2}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])"
DATE_FORM = "a date, YEAR-MONTH-DAY"


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One known problem; ``until`` is the last day on which it is tolerated (UTC)."""

    reason: Annotated[str, Key("Why the test fails.")]
    issue: Annotated[str, Key("Where somebody works on it.")]
    until: Annotated[str, Key("Last day.", pattern=DATE, form=DATE_FORM)]
    requirement: Annotated[str | None, Key("Requirement id whose tests are meant.")] = None
    test: Annotated[str | None, Key("Name of the test function that is meant.")] = None
    rig: Annotated[str, Key("Rigs that are meant, a pattern.")] = "*"

    def names(self, item: pytest.Item, requirements: Sequence[str], rig: str) -> bool:
        """Whether the entry speaks of this test on this rig."""
        name = getattr(item, "originalname", None) or item.name
        meant = self.requirement in requirements if self.requirement else self.test == name
        return meant and fnmatch.fnmatchcase(rig, self.rig)

    def __str__(self) -> str:
        return f"{self.reason} ({self.issue}), tolerated until {self.until}"


@dataclass(frozen=True, kw_only=True)
class _File:
    quarantine: Annotated[tuple[Entry, ...], Key("Known problems.")] = ()


class Quarantine:
    """The entries of a run, and which of them have expired.

    Args:
        entries: from the file.
        calendar: today.
    """

    def __init__(self, entries: Iterable[Entry], calendar: Calendar) -> None:
        self.entries = tuple(entries)
        self._today = utc(calendar.time())[:10]

    def expired(self, entry: Entry) -> bool:
        """Whether the entry's last day is over."""
        return entry.until < self._today

    def find(self, item: pytest.Item, requirements: Sequence[str], rig: str) -> Entry | None:
        """The entry that tolerates a failure of this test today, or None.

        Raises:
            UsageError: a mark lacks reason, issue or date.
        """
        marked = [_of_mark(item, mark) for mark in item.iter_markers("quarantine")]
        listed = [entry for entry in self.entries if entry.names(item, requirements, rig)]
        return next((entry for entry in [*marked, *listed] if not self.expired(entry)), None)

    def fields(self) -> list[dict[str, object]]:
        """The list as the journal's header has it."""
        rows = []
        for entry in self.entries:
            given = {name: value for name, value in asdict(entry).items() if value is not None}
            rows.append({**given, "expired": self.expired(entry)})
        return rows


def _of_mark(item: pytest.Item, mark: pytest.Mark) -> Entry:
    given = dict(zip(("reason", "issue", "until"), mark.args, strict=False)) | dict(mark.kwargs)
    if set(given) != {"reason", "issue", "until"}:
        raise UsageError(
            f"{item.nodeid}: quarantine needs reason, issue and until",
            hint='@pytest.mark.quarantine(reason="…", issue="…", until="2026-12-31")',
        )
    return Entry(**{name: str(value) for name, value in given.items()})


def load_quarantine(path: Path, *, required: bool) -> tuple[Entry, ...]:
    """The entries of a file.

    Args:
        path: the file.
        required: a file that is not there is an error, not an empty list.

    Raises:
        ConfigError: it cannot be read, or is wrong; the message has file, line and column.
    """
    if not required and not path.exists():
        return ()
    binder = Binder(path, path.resolve().parent, "the quarantine list")
    found = binder.bind(parse(path), _File)
    for number, entry in enumerate(found.quarantine):
        if (entry.requirement is None) == (entry.test is None):
            binder.problem(("quarantine", str(number)), "an entry names either a requirement or a test")
    binder.check()
    if not found.quarantine:
        raise ConfigError(f"{path}: there is no entry", hint="remove the file")
    return found.quarantine
