"""What a run created in the cloud, so that exactly that can be deleted again.

One JSON line per step, flushed at once: ``intended`` before a call; after it ``created``, or ``refused``
when the cloud said no; ``deleted`` after clean-up. Only what is ``created`` is ever deleted, and a thing or
policy only while it is still the one that was created. A ledger on disk outlives the run: a later run
cleans up after a crash.
"""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Literal, get_args

from hil.clock import Calendar
from hil.cloud.lines import append_line, whole_lines
from hil.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

__all__ = ["Entry", "Kind", "Ledger", "Receipt"]

Kind = Literal["policy-attachment", "thing-attachment", "certificate", "thing", "policy", "ca"]
"""What can be created, in the order in which it is deleted."""

Step = Literal["intended", "created", "refused", "deleted"]


@dataclass(frozen=True)
class Entry:
    """One line of the ledger.

    Attributes:
        step: how far it went.
        serial: what ties the steps of one creation together; counts from 1 in each ledger.
        kind: what it is.
        identity: its name or id; of an attachment ``<policy or thing> <ARN>``. Of something that gets its
            id from the cloud, the intent says what it is for.
        account: whose account.
        region: where.
        at: seconds since the epoch.
        facts: what tells it from another of the same name, e.g. ``thingId``.
    """

    step: Step
    serial: int
    kind: Kind
    identity: str
    account: str
    region: str
    at: float
    facts: Mapping[str, str] = field(default_factory=dict)


class Receipt:
    """Filled in once the cloud has created the thing; without it nothing counts as created.

    Attributes:
        identity: name or id, if the intent could not know it.
        facts: what tells it from another of the same name.
        fresh: False when the cloud answered that it existed before: then it is not ours.
    """

    def __init__(self, identity: str) -> None:
        self.identity = identity
        self.facts: dict[str, str] = {}
        self.fresh = True


class Ledger:
    """The list of what was created; in memory, and in a file if there is a path.

    Args:
        path: JSONL file that is appended to; its earlier lines are read first. None keeps it in memory.
        calendar: date and time of the entries.

    Raises:
        ConfigError: the file holds something else.
    """

    def __init__(self, path: Path | None = None, *, calendar: Calendar | None = None) -> None:
        self.path = path
        self._calendar = calendar or Calendar()
        self._serial = 0
        self._intents: dict[int, Entry] = {}
        self._alive: dict[int, Entry] = {}
        for entry in _read(path) if path is not None else ():
            self._take(entry)

    @contextmanager
    def creating(self, kind: Kind, identity: str, *, account: str, region: str) -> Iterator[Receipt]:
        """Note the intent, run the body, note what came of it.

        Args:
            kind: what is created.
            identity: its name, or what it is for if the cloud chooses the name.
            account: whose account.
            region: where.
        """
        self._serial += 1
        intent = Entry("intended", self._serial, kind, identity, account, region, self._calendar.time())
        self._append(intent)
        receipt = Receipt(identity)
        try:
            yield receipt
        except Exception:
            self._follow(intent, "refused")
            raise
        if receipt.fresh:
            self._follow(intent, "created", receipt.identity, receipt.facts)
        else:
            self._follow(intent, "refused")

    def deleted(self, entry: Entry) -> None:
        """``entry`` is gone."""
        self._follow(entry, "deleted")

    def forget(self, entry: Entry) -> None:
        """An intent that :meth:`unsure` lists came to nothing; somebody has looked."""
        self._follow(entry, "refused")

    def standing(self) -> list[Entry]:
        """What was created and not deleted, in the order in which it is to be deleted."""
        order = {kind: place for place, kind in enumerate(get_args(Kind))}
        return sorted(self._alive.values(), key=lambda entry: order[entry.kind])

    def unsure(self) -> list[Entry]:
        """What was intended when a crash came: it may exist; look for it by hand."""
        return list(self._intents.values())

    def find(self, kind: Kind, identity: str | None = None, **facts: str) -> list[Entry]:
        """Standing entries of a kind, with this identity and these facts."""
        return [
            entry
            for entry in self._alive.values()
            if entry.kind == kind
            and identity in (None, entry.identity)
            and all(entry.facts.get(name) == value for name, value in facts.items())
        ]

    def _follow(
        self, entry: Entry, step: Step, identity: str | None = None, facts: Mapping[str, str] | None = None
    ) -> None:
        self._append(
            Entry(
                step,
                entry.serial,
                entry.kind,
                identity or entry.identity,
                entry.account,
                entry.region,
                self._calendar.time(),
                facts or {},
            )
        )

    def _append(self, entry: Entry) -> None:
        if self.path is not None:
            append_line(self.path, json.dumps(asdict(entry)))
        self._take(entry)

    def _take(self, entry: Entry) -> None:
        self._serial = max(self._serial, entry.serial)
        self._intents.pop(entry.serial, None)
        if entry.step == "intended":
            self._intents[entry.serial] = entry
        elif entry.step == "created":
            self._alive[entry.serial] = entry
        elif entry.step == "deleted":
            self._alive.pop(entry.serial, None)


def _read(path: Path) -> list[Entry]:
    """The entries; what a killed run left half written had its intent in a line before."""
    entries = []
    for number, line in enumerate(whole_lines(path), 1):
        try:
            entries.append(Entry(**json.loads(line)))
        except (TypeError, ValueError) as error:
            raise ConfigError(
                f"{path}:{number}: not a line of a cloud ledger ({error})",
                hint="move the file away; what it lists must then be cleaned up by hand",
            ) from error
    return entries
