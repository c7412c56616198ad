"""Commands that change a part for good, observed on parts that may be used up.

Each has a permit of its own and passes the guard like any other; the ledger keeps what was done.
Locks are not among them: they belong to provisioning, and bring the part into the next state, where
it can be characterized again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hil.element.configzone import ConfigZone
from hil.element.repeat import Repeat
from hil.errors import ElementError, GuardRefusal
from hil.guard.guard import Facts
from hil.guard.operations import Operation
from hil.silicon.asking import in_words
from hil.silicon.observe import Observed
from hil.silicon.roles import roles_of
from hil.silicon.scene import FIXED, load
from hil.wire.atecc import Command, Opcode

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from hil.guard.guard import Guard
    from hil.silicon.asking import ElementAsker

__all__ = ["irreversible_cases", "observe_irreversible"]

_KNOWN = frozenset(int(opcode) for opcode in Opcode)
_WORD = 22
"""Configuration word that is written as it is: slot locks and ChipOptions."""

_Case = tuple[str, str, Operation, int | None, tuple[Command, ...], Command]
"""Group, case, operation, slot, what comes before, the command."""


def observe_irreversible(
    guard: Guard, asker: ElementAsker, config: bytes, keys: Mapping[int, bool]
) -> Observed:
    """Ask what changes the part for good.

    Args:
        guard: gives the permits.
        asker: asks the element.
        config: the configuration zone, read just before.
        keys: for each private slot whether it holds a complete key.

    Raises:
        DeviceError: an answer was lost; the ledger keeps the operation open.
    """
    serial = asker.element.serial_number().hex()
    seen = Observed()
    for case in irreversible_cases(config, keys):
        group, what, operation, slot, setup, command = case
        key = f"{group} | {what}"
        facts = Facts(serial, slot=slot, config=config if operation is Operation.WRITE_CONFIG else None)
        try:
            permit = guard.permit(operation, facts)
        except GuardRefusal as refusal:
            seen.unobservable[key] = refusal.message
            continue
        try:
            with permit.armed([command]), asker.scene():
                for before in setup:
                    asker.ask(before)
                answer = asker.element.execute(command, None, repeat=Repeat.NEVER)
        except ElementError as error:
            answer = bytes((error.status,))
        seen.entries[key] = in_words(answer)
        seen.shown[key] = command.opcode << 8 | command.p1
    return seen


def irreversible_cases(config: bytes, keys: Mapping[int, bool]) -> Iterator[_Case]:
    """What is asked, in this order, of a part with this configuration and these keys."""
    roles = roles_of(ConfigZone.from_bytes(config), keys)
    count = Command(Opcode.COUNTER, 0x01, 0)
    yield "Counter", "increment 0", Operation.COUNTER, None, (), count
    number = Command(Opcode.COUNTER, 0x01, 2)
    yield "Counter", "increment 2", Operation.COUNTER, None, (), number
    extra = Command(Opcode.UPDATEEXTRA, 0x00, 0x01)
    yield "UpdateExtra", "byte 84", Operation.UPDATE_EXTRA, None, (), extra
    yield "UpdateExtra", "byte 84, a second time", Operation.UPDATE_EXTRA, None, (), extra
    word = Command(Opcode.WRITE, 0x00, _WORD, config[4 * _WORD : 4 * _WORD + 4])
    yield "Write", "config word, unchanged", Operation.WRITE_CONFIG, None, (), word
    otp = Command(Opcode.WRITE, 0x81, 0, b"\xff" * 32)
    yield "Write", "OTP block", Operation.WRITE_OTP, None, (), otp
    for name in ("secret", "clear"):
        slot = getattr(roles, name)
        if slot is None:
            continue
        at = slot << 3
        for case, p1, data in (
            (f"{name} slot, word", 0x02, bytes(4)),
            (f"{name} slot, block", 0x82, bytes(32)),
            (f"{name} slot, wrong MAC", 0xC2, bytes(64)),
        ):
            yield "Write", case, Operation.WRITE_SLOT, slot, (load(),), Command(Opcode.WRITE, p1, at, data)
        derive = Command(Opcode.DERIVEKEY, 0x04, slot)
        yield "DeriveKey", f"{name} slot", Operation.DERIVE_KEY, slot, (load(),), derive
    slot = roles.empty if roles.empty is not None else roles.private
    if slot is not None:
        wrong = Command(Opcode.PRIVWRITE, 0x40, slot, bytes(68))
        yield "PrivWrite", "wrong MAC", Operation.WRITE_PRIVATE_KEY, slot, (load(),), wrong
        zero = Command(Opcode.PRIVWRITE, 0x00, slot, bytes(68))
        yield "PrivWrite", "a scalar of zero", Operation.WRITE_PRIVATE_KEY, slot, (), zero
        key = Command(Opcode.PRIVWRITE, 0x00, slot, bytes(4) + FIXED + bytes(32))
        yield "PrivWrite", "in clear", Operation.WRITE_PRIVATE_KEY, slot, (), key
        create = Command(Opcode.GENKEY, 0x04, slot)
        yield "GenKey", "create", Operation.GENERATE_KEY, slot, (), create
    for opcode in sorted(set(range(0x100)) - _KNOWN):
        unknown = Command(opcode)
        yield f"Opcode {opcode:02x}", "no data", Operation.UNKNOWN_COMMAND, None, (), unknown
