"""Named faults of emulated rigs: what is broken, and which suite has to notice.

A diagnosis never reads this table; the tests compare what the suites say with it.
"""

from __future__ import annotations

from difflib import get_close_matches
from functools import partial
from typing import TYPE_CHECKING

import msgspec

from hil.emulator.benchfaults import BENCH_FAULTS
from hil.emulator.boards.mongoose_manners import BAD_MANNERS
from hil.emulator.connectfaults import CONNECT_FAULTS
from hil.emulator.lockflaws import ConfigWriteAfterLock, LockCrcIgnored, ReadingWrites, Throughout
from hil.emulator.partfaults import ALWAYS, PART_FAULTS
from hil.errors import UsageError
from hil.rigfile import missing

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from hil.emulator.builder import EmulatedRig
    from hil.emulator.lockflaws import Flaw
    from hil.rigfile import RigFile

__all__ = ["FAULTS", "Fault", "check_faults"]


def _nothing(rig: EmulatedRig) -> None:
    """Most faults change only one of the two moments."""


class Fault(msgspec.Struct, frozen=True):
    """One fault.

    Attributes:
        meaning: what is broken, for people.
        owner: the suite that has to fail; ``rig`` is the health gate, before any suite.
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


def _wear_flash(rig: EmulatedRig) -> None:
    rig.esp.wear_out()


def _flawed(make: Callable[[], Flaw]) -> Callable[[EmulatedRig], None]:
    return lambda rig: rig.element.add_flaw(make())


def _wrong_key(rig: EmulatedRig) -> None:
    rig.element.corrupts_private_keys = True


def _foreign(rig: EmulatedRig) -> None:
    rig.foreign_signer = True


def _refuse(rig: EmulatedRig) -> None:
    rig.endpoint_refuses = True


def _allow_everything(rig: EmulatedRig) -> None:
    rig.wildcard_policy = True


def _misbehave(changes: dict[str, object]) -> Callable[[EmulatedRig], None]:
    def after(rig: EmulatedRig) -> None:
        rig.firmware.manners = msgspec.structs.replace(rig.firmware.manners, **changes)

    return after


FAULTS: Mapping[str, Fault] = {
    "sda-scl-swapped": Fault(
        "SDA and SCL are exchanged at the element", "wiring", frozenset({"i2c"}), after=_swap
    ),
    "element-unpowered": Fault(
        "the element's supply wire is broken", "wiring", frozenset({"i2c"}), after=_unpower
    ),
    "relay-stuck-off": Fault("the relay never switches on", "power", frozenset({"power"}), after=_stick_off),
    "flash-worn": Fault(
        "a cell of the board's flash cannot be programmed any more",
        "flash",
        frozenset({"flash"}),
        after=_wear_flash,
    ),
    "lock-not-sticky": Fault(
        "locks are acknowledged but gone after a power cycle",
        "locks",
        frozenset({"provision", "power"}),
        after=_flawed(lambda: Throughout("lock-not-sticky")),
    ),
    "config-write-after-lock": Fault(
        "the configuration can be written although it is locked",
        "locks",
        frozenset({"provision"}),
        after=_flawed(ConfigWriteAfterLock),
    ),
    "crc-not-checked": Fault(
        "Lock does not compare its checksum",
        "locks",
        frozenset({"provision"}),
        after=_flawed(LockCrcIgnored),
    ),
    "private-key-readable": Fault(
        "Read gives every slot away, private keys too",
        "locks",
        frozenset({"provision"}),
        after=_flawed(lambda: Throughout("private-key-readable")),
    ),
    "dry-run-writes": Fault(
        "whoever only reads the configuration changes it",
        "locks",
        frozenset({"provision"}),
        after=_flawed(ReadingWrites),
    ),
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
    "wildcard-policy": Fault(
        "the device's policy allows everything to everybody",
        "connect",
        frozenset({"mqtt"}),
        after=_allow_everything,
    ),
    **{
        name: Fault(
            fault.meaning,
            fault.owner,
            fault.needs,
            before=fault.change if fault.early else _nothing,
            after=_nothing if fault.early else fault.change,
        )
        for name, fault in BENCH_FAULTS.items()
    },
    **{
        name: Fault(fault.meaning, "connect", frozenset({"mqtt"}), after=fault.change)
        for name, fault in CONNECT_FAULTS.items()
    },
    **{
        name: Fault(fault.meaning, fault.owner, fault.needs, after=_flawed(partial(Throughout, name, ALWAYS)))
        for name, fault in PART_FAULTS.items()
    },
    **{
        name: Fault(meaning, "connect", frozenset({"mqtt"}), after=_misbehave(changes))
        for name, (meaning, changes) in BAD_MANNERS.items()
    },
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
