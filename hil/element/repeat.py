"""May a command be sent again when its answer was lost?

``ANY_TIME``: it changes nothing, or a second run replaces the effect of the first one.
``WITH_ITS_EXCHANGE``: it uses up or builds on volatile state (TempKey, SHA context), or uses a
key whose uses may be counted. Alone it must not be repeated: the second run would work on other
state. The exchange it belongs to may be repeated from its start.
``NEVER``: it changes non-volatile state. Whoever sent it must find out what happened.

Sources: TempKey rules DS508 section 2.5.1 and ATECC608A-TFLXTLS data sheet section 3.1;
LimitedUse DS508 section 3.2.5.
"""

from __future__ import annotations

from enum import Enum, auto
from functools import lru_cache

from hil.guard.operations import classify
from hil.wire.atecc import Command, Opcode, Status

__all__ = ["NOT_EXECUTED", "NOT_PARSED", "TRANSIENT", "Repeat", "repeat_of"]


class Repeat(Enum):
    """When a command may be sent again; see the module's description."""

    ANY_TIME = auto()
    WITH_ITS_EXCHANGE = auto()
    NEVER = auto()


NOT_PARSED = frozenset({Status.COMMUNICATION})
"""Status by which the element says that it did not even read the command: TempKey is as it was."""

NOT_EXECUTED = NOT_PARSED | {Status.WATCHDOG}
"""Statuses by which the element says that it did not begin; on a 508A the latter clears TempKey."""

TRANSIENT = NOT_EXECUTED | {Status.AFTER_WAKE, Status.ECC_FAULT}
"""Statuses that another try may cure."""

_KNOWN = frozenset(int(opcode) for opcode in Opcode)
_ANY_TIME = frozenset(
    {Opcode.INFO, Opcode.RANDOM, Opcode.READ, Opcode.COUNTER, Opcode.SELFTEST, Opcode.PAUSE}
)
_GENKEY_DIGEST = 0x18
_NONCE_FROM_TEMPKEY = 0x8000


def repeat_of(command: Command) -> Repeat:
    """The rule for ``command``; unknown opcodes are never repeated."""
    return _rule(command.opcode, command.p1, command.p2)


@lru_cache(maxsize=256)
def _rule(opcode: int, p1: int, p2: int) -> Repeat:
    command = Command(opcode, p1, p2)  # no rule looks at the data
    if classify(command) is not None or command.opcode not in _KNOWN:
        return Repeat.NEVER
    if command.opcode in _ANY_TIME:
        return Repeat.ANY_TIME
    if command.opcode == Opcode.NONCE and command.p2 != _NONCE_FROM_TEMPKEY:
        return Repeat.ANY_TIME
    if command.opcode == Opcode.GENKEY and not command.p1 & _GENKEY_DIGEST:
        return Repeat.ANY_TIME
    if command.opcode == Opcode.SHA and command.p1 & 0x07 == 0:
        return Repeat.ANY_TIME
    return Repeat.WITH_ITS_EXCHANGE
