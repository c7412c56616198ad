"""What a client may send to a board that no guard watches: nothing that would need a permit.

Somebody who opens a board's port outside of a rig has no witness, no ledger and no lock, so that no
permit can be given. The client still works for everything harmless.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hil.errors import GuardRefusal
from hil.guard.filter import TransactionFilter
from hil.guard.roads import BusWrite, rpc_actions
from hil.guard.slotrules import UNREAD, classify_on

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hil.wire.atecc import Command

__all__ = ["refuse_unguarded"]


def refuse_unguarded(method: str, params: Mapping[str, Any]) -> None:
    """Look at a firmware call before it is sent.

    Raises:
        GuardRefusal: it would need a permit, or could: whether a key counts its uses is not known here.
    """
    for action in rpc_actions(method, params):
        if isinstance(action, BusWrite):
            _FILTER.outgoing(action.address, action.data, main_bus=action.main_bus)
        else:
            raise _refusal(action.method)


def _allow(address: int, command: Command) -> None:
    operation = classify_on(command, UNREAD)
    if operation is not None:
        raise _refusal(f"{command.label} ({operation})")


def _refusal(what: str) -> GuardRefusal:
    return GuardRefusal(
        f"refused before a byte was sent: {what} needs a permit, and no guard watches this board",
        hint="open the board through its rig",
    )


_FILTER = TransactionFilter(_allow)
