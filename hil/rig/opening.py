"""Opening a rig: its lock, its emulated parts, its guard and its ports."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING

from hil.clock import Clock, WallClock
from hil.errors import ConfigError, UsageError
from hil.guard.guard import Guard
from hil.guard.ledger import Ledger
from hil.homes import find_homes
from hil.rig.lock import RigLock
from hil.rig.policy import lasting, policy_for
from hil.rig.record import description
from hil.rig.rig import Rig
from hil.rig.signals import end_in_order

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from hil.clock import Calendar
    from hil.emulator.builder import EmulatedRig
    from hil.records.journal import Journal
    from hil.rigfile import RigFile

__all__ = ["open_rig", "unopened_rig"]


def open_rig(
    file: RigFile,
    *,
    faults: Sequence[str],
    allow_irreversible: frozenset[str],
    journal: Journal,
    calendar: Calendar,
    allow_aws: str | None = None,
) -> Rig:
    """Lock the rig, open its ports, power the board (without a relay: reset it) and wait for its start.

    Raises:
        RigBusyError: another process owns it.
        PortError, RelayError: a port or the relay does not work.
        UsageError: faults on a physical rig.
    """
    with ExitStack() as stack:
        rig = stack.enter_context(
            unopened_rig(
                file,
                faults=faults,
                allow_irreversible=allow_irreversible,
                journal=journal,
                calendar=calendar,
                allow_aws=allow_aws,
            )
        )
        rig.open_power()
        rig.open_board()
        rig.open_bus()
        rig.start_again()
        journal.event("rig", rig=file.rig, phase="open", **description(rig))
        # What the rig opened is closed before what it stands on.
        stack.push(rig._stack.pop_all())
        rig._stack = stack.pop_all()
        return rig


@contextmanager
def unopened_rig(
    file: RigFile,
    *,
    faults: Sequence[str],
    allow_irreversible: frozenset[str],
    journal: Journal,
    calendar: Calendar,
    allow_aws: str | None = None,
) -> Iterator[Rig]:
    """A locked rig, emulated parts and all, of which no port is open yet; for a bring-up step by step.

    Raises:
        RigBusyError: another process owns it.
        UsageError: faults on a physical rig.
    """
    if faults and not file.emulated:
        raise UsageError(f"{file.rig} is physical: faults are for emulated rigs")
    for secret in _secrets(file):
        journal.redactor.add(secret)
    if not file.emulated:
        end_in_order()
    with ExitStack() as stack:
        lock = stack.enter_context(RigLock(file))
        emulated: EmulatedRig | None = None
        clock: Clock = WallClock()
        if file.emulated:
            from hil.emulator.builder import build

            emulated = stack.enter_context(build(file, faults=faults, calendar=calendar))
            clock = emulated.world
            if file.power.kind == "none":
                emulated.plug_in()
        # Parts that end with this process need no ledger behind it; every other part does.
        passing = Ledger(journal.folder / "ledgers", calendar, durable=False)
        guard = Guard(
            policy_for(file, allow_irreversible),
            Ledger(find_homes().ledgers, calendar) if lasting(file) else passing,
            owns_rig=lambda: lock.held,
            record=lambda kind, fields: _record(journal, file.rig, file.emulated, kind, fields),
            clock=clock,
            rig=file.rig,
        )
        rig = Rig(
            file,
            clock=clock,
            calendar=calendar,
            journal=journal,
            guard=guard,
            stack=ExitStack(),
            emulated=emulated,
            allow_aws=allow_aws,
            passing_ledger=passing,
        )
        stack.callback(lambda: rig.close())
        yield rig


def _secrets(file: RigFile) -> Iterator[str]:
    """What must not get into the record; who needs one that cannot be read will be told then."""
    for secret in (file.power.password, None if file.wifi is None else file.wifi.password):
        if secret is not None:
            with suppress(ConfigError):
                yield secret.value()


def _record(journal: Journal, rig: str, emulated: bool, kind: str, fields: object) -> None:
    assert isinstance(fields, dict), "the guard hands over its fields"
    journal.event(kind, rig=rig, emulated=emulated, **fields)
    if fields["phase"] == "intent" and not emulated:
        journal.sync()
