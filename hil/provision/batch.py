"""A box of parts: insert, identity shown, confirm, done, next. One record for each serial number."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from hil.element.certificates.certificate import load
from hil.errors import CertificateError, ConfigError, DeviceError, GuardRefusal, HilError
from hil.homes import made
from hil.marks import reason_of
from hil.provision.flow import provision
from hil.provision.identity import identity_for

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from hil.provision.plan import Plan
    from hil.rig import Rig

__all__ = ["DIGITS", "Batch"]

DIGITS = 6
"""How many digits of the serial number are typed to confirm it; the last two are the same on all parts."""

_OF_THE_PART = (DeviceError, ConfigError, CertificateError, GuardRefusal)
"""What a bad part, or bad files of one part, can raise. A broken bench ends the box."""


class Batch:
    """Provisions part after part.

    What is typed to confirm a part names it, as ``--allow-irreversible`` does: its serial number was
    shown a moment before, read from the part itself.

    Args:
        rig: opened; its rig file must call its elements expendable.
        plan: what each part shall hold; its paths should contain ``{serial}``.
        records: folder of the records.
        ask: shows a question and returns the answer; "q" ends the box.
        say: shows a line.
    """

    def __init__(
        self, rig: Rig, plan: Plan, records: Path, ask: Callable[[str], str], say: Callable[[str], None]
    ) -> None:
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
        number = 0
        while True:
            number += 1
            if self._rig.file.power.kind != "none":
                self._rig.power.off()
            if self._ask(f"part {number}: insert it, then press Enter (q ends): ").strip() == "q":
                break
            if not self._part(number):
                break
        self._rig.guard.policy = self._policy
        counts = ", ".join(f"{count} {verdict}" for verdict, count in sorted(self.verdicts.items()))
        self._say(f"{number - 1} parts: {counts or 'none'}")

    def _part(self, number: int) -> bool:
        """One part; False if "q" was answered."""
        record: dict[str, Any] = {"rig": self._rig.name, "at": round(self._rig.calendar.time(), 3)}
        name = f"unread-{number}"
        try:
            self._rig.parts.next_part()
            facts = self._identity()
            record |= facts
            name = str(facts["serial"])
            self._say(
                f"{facts['part']} {name}, revision {facts['revision']}, configuration "
                f"{_locked(facts['config_locked'])}, data {_locked(facts['data_locked'])}"
            )
            answer = self._confirm(name)
            if answer == "q":
                return False
            record |= {"verdict": "skipped"} if answer == "s" else self._provision(name)
        except _OF_THE_PART as error:
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
            results = provision(self._rig, self._plan, lambda result: self._say(f"  {result}"))
        finally:
            self._rig.guard.policy = self._policy
        identity = identity_for(self._plan, serial, now=self._rig.calendar.time(), make=False)
        return {
            "verdict": "done" if any(result.done for result in results) else "unchanged",
            "steps": [msgspec.structs.asdict(result) for result in results],
            "public_key": identity.public_key.hex(),
            "certificate_sha256": load(identity.certificate).fingerprint,
        }

    def _keep(self, name: str, record: dict[str, Any]) -> None:
        verdict = str(record["verdict"])
        self.verdicts[verdict] = self.verdicts.get(verdict, 0) + 1
        path = self._records / f"{name}.json"
        draft = path.with_suffix(".new")
        draft.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
        draft.replace(path)
        reason = f": {record['error']}" if "error" in record else ""
        self._say(f"  {verdict}{reason}")


def _failure(error: HilError) -> dict[str, Any]:
    return {"verdict": "failed", "error": error.message, "hint": error.hint or ""}


def _locked(locked: object) -> str:
    return "locked" if locked else "open"
