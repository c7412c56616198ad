"""A box of parts: insert, identity shown, confirm, done, next. One record for each serial number."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from hil.element.certificates.certificate import load
from hil.errors import ConfigError, DeviceError, HilError, RigError, UsageError
from hil.homes import made
from hil.marks import reason_of
from hil.provision.flow import described, provision

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from hil.provision.plan import Plan
    from hil.rig.rig import Rig

__all__ = ["DIGITS", "Batch"]

DIGITS = 6
"""How many digits of the serial number are typed to confirm it; the last two are the same on all parts."""


class Batch:
    """Provisions part after part.

    What is typed to confirm a part names it, as ``--allow-irreversible`` does: its serial number was
    shown a moment before, read from the part itself.

    Args:
        rig: opened; its rig file must call its elements expendable.
        plan: what each part shall hold; the paths of key and certificate contain ``{serial}``.
        records: folder of the records.
        ask: shows a question and returns the answer; "q" ends the box.
        say: shows a line.

    Raises:
        UsageError: the plan would give all parts the same private key.
    """

    def __init__(
        self, rig: Rig, plan: Plan, records: Path, ask: Callable[[str], str], say: Callable[[str], None]
    ) -> None:
        for file in (plan.key.file, plan.certificate.file):
            if "{serial}" not in file:
                raise UsageError(
                    f"every part of the box would get the same {file}",
                    hint="put {serial} into the paths of key and certificate in the plan",
                )
        self._rig = rig
        self._plan = plan
        self._records = made(records)
        self._ask = ask
        self._say = say
        self._policy = rig.guard.policy
        self.verdicts: dict[str, int] = {}
        """How many parts ended how: done, unchanged, skipped, failed."""

    def run(self) -> None:
        """Until "q" is answered."""
        number = 1
        try:
            while self._ask_for(number) and self._part():
                number += 1
        finally:
            self._rig.guard.policy = self._policy
            counts = ", ".join(f"{count} {verdict}" for verdict, count in sorted(self.verdicts.items()))
            self._say(f"{sum(self.verdicts.values())} parts: {counts or 'none'}")

    def _ask_for(self, number: int) -> bool:
        """Have a part inserted, power off; False if "q" was answered."""
        if self._rig.file.power.kind != "none":
            self._rig.power.off()
        return self._ask(f"part {number}: insert it, then press Enter (q ends): ").strip().lower() != "q"

    def _part(self) -> bool:
        """One part; False if "q" was answered."""
        at = round(self._rig.calendar.time(), 3)
        record: dict[str, Any] = {"rig": self._rig.name, "emulated": self._rig.emulated is not None, "at": at}
        name = f"unread-{at:.3f}"
        try:
            self._rig.parts.next_part()
            facts = self._identity()
            record |= facts
            name = str(facts["serial"])
            self._say(f"  {described(self._rig)}")
            self._say_earlier(name)
            answer = self._confirm(name)
            if answer == "q":
                return False
            record |= {"verdict": "skipped"} if answer == "s" else self._provision(name)
        except RigError:
            raise  # a broken bench ends the box
        except HilError as error:
            record |= _failure(error)
        except pytest.skip.Exception as skipped:  # how a rig says that nothing can be said
            record |= _failure(DeviceError(reason_of(str(skipped))))
        self._keep(name, record)
        return True

    def _identity(self) -> dict[str, Any]:
        self._rig.need_start()
        element = self._rig.element
        locks = element.lock_state()
        return {
            "serial": element.serial_number().hex(),
            "part": element.identify(),
            "revision": element.info_revision().hex(),
            "config_locked": locks.config,
            "data_locked": locks.data,
        }

    def _confirm(self, serial: str) -> str:
        """``s`` skips, ``q`` ends, the last digits name the part."""
        while True:
            question = f"  type the last {DIGITS} digits of {serial} to provision it, s skips, q ends: "
            answer = self._ask(question).strip().lower()
            if answer in ("s", "q") or answer == serial[-DIGITS:]:
                return answer
            self._say(f"  {answer!r} is not {serial[-DIGITS:]!r}")

    def _provision(self, serial: str) -> dict[str, Any]:
        self._rig.guard.policy = msgspec.structs.replace(
            self._policy, serial=serial, allowed_serials=frozenset({serial})
        )
        try:
            outcome = provision(self._rig, self._plan, lambda result: self._say(f"  {result}"))
        finally:
            self._rig.guard.policy = self._policy
        return {
            "verdict": "done" if outcome.changed else "unchanged",
            "steps": [msgspec.structs.asdict(result) for result in outcome.results],
            "public_key": outcome.identity.public_key.hex(),
            "certificate_sha256": load(outcome.identity.certificate).fingerprint,
        }

    def _say_earlier(self, name: str) -> None:
        for attempt in self._earlier(name):
            self._say(f"  was here before: {attempt['verdict']}")

    def _earlier(self, name: str) -> list[dict[str, Any]]:
        """What came of the part before, oldest first.

        Raises:
            ConfigError: its record is damaged.
        """
        path = self._path(name)
        if not path.exists():
            return []
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
            before: list[dict[str, Any]] = record.pop("earlier", [])
            return [*before, record]
        except (ValueError, AttributeError) as error:
            raise ConfigError(f"the record {path} is damaged: {error}", hint="move it away") from error

    def _path(self, name: str) -> Path:
        return self._records / f"{name}.json"

    def _keep(self, name: str, record: dict[str, Any]) -> None:
        verdict = str(record["verdict"])
        self.verdicts[verdict] = self.verdicts.get(verdict, 0) + 1
        path = self._path(name)
        try:
            earlier = self._earlier(name)
            if earlier:
                record["earlier"] = earlier
        except ConfigError:  # it stays for whoever wants to mend it
            path = self._path(f"{name}-{record['at']:.3f}")
        draft = path.with_suffix(".new")
        draft.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
        draft.replace(path)
        reason = f": {record['error']}" if "error" in record else ""
        self._say(f"  {verdict}{reason}")


def _failure(error: HilError) -> dict[str, Any]:
    return {"verdict": "failed", "error": error.message, "hint": error.hint or ""}
