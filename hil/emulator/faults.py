"""Named faults of emulated rigs: what is broken, and which suite has to notice.

A diagnosis never reads this table; the tests compare what the suites say with it.
"""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

import msgspec

from hil.errors import UsageError
from hil.rigfile import missing

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from hil.emulator.builder import EmulatedRig
    from hil.rigfile import RigFile

__all__ = ["FAULTS", "Fault", "check_faults"]


def _nothing(rig: EmulatedRig) -> None:
    """Most faults change only one of the two moments."""


class Fault(msgspec.Struct, frozen=True):
    """One fault.

    Attributes:
        meaning: what is broken, for people.
        owner: the suite that has to fail.
        needs: capabilities without which a rig cannot have it.
        before: changes the rig before its parts are made.
        after: changes the finished rig.
    """

    meaning: str
    owner: str
    needs: frozenset[str] = frozenset()
    before: Callable[[EmulatedRig], None] = _nothing
    after: Callable[[EmulatedRig], None] = _nothing


def _swap(rig: EmulatedRig) -> None:
    lines = rig.lines
    lines.sda_gpio, lines.scl_gpio = lines.scl_gpio, lines.sda_gpio


def _unpower(rig: EmulatedRig) -> None:
    rig.element.connected = False


def _stick_off(rig: EmulatedRig) -> None:
    rig.relay.contacts[rig.file.power.channel - 1].stuck_off = True


def _wrong_key(rig: EmulatedRig) -> None:
    rig.element.corrupts_private_keys = True


def _foreign(rig: EmulatedRig) -> None:
    rig.foreign_signer = True


def _refuse(rig: EmulatedRig) -> None:
    rig.endpoint_refuses = True


FAULTS: Mapping[str, Fault] = {
    "sda-scl-swapped": Fault(
        "SDA and SCL are exchanged at the element", "wiring", frozenset({"i2c"}), after=_swap
    ),
    "element-unpowered": Fault(
        "the element's supply wire is broken", "wiring", frozenset({"i2c"}), after=_unpower
    ),
    "relay-stuck-off": Fault("the relay never switches on", "power", frozenset({"power"}), after=_stick_off),
    "wrong-key-in-slot": Fault(
        "another private key arrives in the slot than was written",
        "provisioning",
        frozenset({"provision"}),
        after=_wrong_key,
    ),
    "foreign-signer": Fault(
        "the delivered certificates were signed by nobody we know",
        "certificates",
        frozenset({"certificates"}),
        before=_foreign,
    ),
    "broker-refuses": Fault(
        "the MQTT endpoint refuses every connection", "connect", frozenset({"mqtt"}), after=_refuse
    ),
}


def check_faults(names: Sequence[str], rigs: Sequence[RigFile]) -> None:
    """Whether every fault exists and every rig can have it.

    Raises:
        UsageError: says which and why.
    """
    for name in names:
        fault = FAULTS.get(name)
        if fault is None:
            near = get_close_matches(name, FAULTS, 1)
            hint = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(FAULTS)}"
            raise UsageError(f"there is no fault {name!r}", hint=hint)
        for rig in rigs:
            if not rig.emulated:
                raise UsageError(f"{rig.rig} is physical: faults are for emulated rigs")
            reason = missing(rig, fault.needs)
            if reason is not None:
                raise UsageError(f"fault {name} is not possible: {reason}")
