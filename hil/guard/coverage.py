"""Does this permit cover exactly this packet? Asked when packets are armed, before anything is sent."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hil.errors import GuardRefusal
from hil.guard.operations import Operation
from hil.guard.permit import RpcCall
from hil.guard.roads import covered_by
from hil.guard.slotrules import classify_on, operation_slot
from hil.wire.atecc import Command, Opcode

if TYPE_CHECKING:
    from hil.guard.permit import Permit
    from hil.guard.slotrules import SlotRules

__all__ = ["check", "describe"]

_SKIP_CRC = 0x80


def check(permit: Permit, action: Command | RpcCall, rules: SlotRules) -> None:
    """``action`` is what ``permit`` is for, down to checksum and content where those are known.

    Raises:
        GuardRefusal: it is not.
    """
    if isinstance(action, RpcCall):
        why = None if covered_by(permit, action) else "it is another operation, slot or road"
    else:
        why = _other_than_permitted(permit, action, rules)
    if why is not None:
        raise GuardRefusal(f"{permit!r} does not cover {describe(action, rules)}: {why}")


def _other_than_permitted(permit: Permit, command: Command, rules: SlotRules) -> str | None:
    operation = classify_on(command, rules)
    if operation is not permit.operation:
        return f"it is {operation or 'harmless'}"
    if permit.slot is not None and operation_slot(command, rules) != permit.slot:
        return f"it concerns slot {operation_slot(command, rules)}"
    if operation in (Operation.LOCK_CONFIG, Operation.LOCK_DATA):
        return _lock(permit, command)
    if operation is Operation.LOCK_SLOT and (permit.slot is None or command.p1 != 0x02 | permit.slot << 2):
        return "a slot is locked with mode 02 and its number, for one slot named in the permit"
    if operation is Operation.WRITE_CONFIG and permit.config is not None:
        at = command.p2 * 4
        if command.p1 & ~_SKIP_CRC or permit.config[at : at + len(command.data)] != command.data:
            return "it writes something other than the permitted configuration"
    return None


def _lock(permit: Permit, command: Command) -> str | None:
    """Locks carry the checksum of what was reviewed; a data lock may be allowed by name to go without."""
    zone = 0x00 if permit.operation is Operation.LOCK_CONFIG else 0x01
    if permit.lock_crc is not None:
        if command != Command(Opcode.LOCK, zone, permit.lock_crc):
            return f"the lock must carry the checksum 0x{permit.lock_crc:04X}"
    elif command != Command(Opcode.LOCK, zone | _SKIP_CRC):
        return "a lock without a checksum was permitted and nothing else"
    return None


def describe(action: Command | RpcCall, rules: SlotRules) -> str:
    """The action in words; data bytes are left out, they may be keys."""
    if isinstance(action, RpcCall):
        return action.method if action.slot is None else f"{action.method} slot {action.slot}"
    operation = classify_on(action, rules)
    name = f"{action.label} mode {action.p1:02X} param2 {action.p2:04X}"
    return f"{name} ({operation})" if operation else name
