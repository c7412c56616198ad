"""The permit: proof, in the type system, that an irreversible operation was allowed.

A function that does something irreversible takes a :class:`Permit`. Only a :class:`Guard` makes
one. The permit says *what* (operation, slot), *on which element* and *by which packets*; the
transport filter compares the very bytes once more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol, final

import msgspec

from hil.errors import GuardRefusal

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractContextManager

    from hil.guard.operations import Operation
    from hil.wire.atecc import Command

__all__ = ["Permit", "PermitIssuer", "RpcCall"]


class RpcCall(msgspec.Struct, frozen=True):
    """Something irreversible that is called by a name instead of being sent as a packet.

    A firmware call (``ATCA.GenKey``), a console command (``generate-keys``), a command of a program
    that burns fuses (``espefuse burn-efuse``), or ``power off``. Its arguments are not kept, they
    may be keys; where method and slot do not say everything, their digest is
    (:func:`hil.guard.roads.rpc_call`).
    """

    method: str
    slot: int | None = None
    arguments: str | None = None


class PermitIssuer(Protocol):
    """What a permit needs of the guard that made it."""

    def arm(self, permit: Permit, actions: Sequence[Command | RpcCall]) -> AbstractContextManager[None]:
        """See :meth:`Permit.armed`."""
        ...


class _Seal:
    """Only this module's :func:`issue` can make a permit; a forged one does not type-check."""


_SEAL = _Seal()


@final
class Permit:
    """Permission for one irreversible operation on one element; made by ``Guard.permit`` only.

    Attributes:
        operation: what is allowed.
        serial: the element's serial number, 18 hex digits.
        slot: the slot that may change, or None where the operation concerns no single slot.
        config: for configuration writes and locks, the 128 bytes that are to be in force.
        public_key: for a key that is written, its public half.
        lock_crc: for locks of a zone, the checksum that the Lock command must carry; None only for
            a data lock that was allowed by name to go without.
    """

    __slots__ = ("_issuer", "config", "lock_crc", "operation", "public_key", "serial", "slot")

    def __init__(
        self,
        seal: _Seal,
        issuer: PermitIssuer,
        operation: Operation,
        serial: str,
        slot: int | None,
        config: bytes | None = None,
        lock_crc: int | None = None,
        public_key: bytes | None = None,
    ) -> None:
        if seal is not _SEAL:
            raise GuardRefusal("a permit is made by Guard.permit and by nothing else")
        self._issuer: Final = issuer
        self.operation: Final = operation
        self.serial: Final = serial
        self.slot: Final = slot
        self.config: Final = config
        self.lock_crc: Final = lock_crc
        self.public_key: Final = public_key

    def armed(self, actions: Sequence[Command | RpcCall]) -> AbstractContextManager[None]:
        """Let exactly these actions pass the transport filter, each once.

        The intent is journalled and synced before the block runs; its end journals the result.
        An exception in the block leaves the intent open: the ledger then asks for inspection.

        Raises:
            GuardRefusal: an action is not covered by this permit.
        """
        return self._issuer.arm(self, actions)

    def __repr__(self) -> str:
        where = "" if self.slot is None else f" slot {self.slot}"
        return f"<Permit {self.operation}{where} on {self.serial}>"


def issue(
    issuer: PermitIssuer,
    operation: Operation,
    serial: str,
    slot: int | None,
    *,
    config: bytes | None = None,
    lock_crc: int | None = None,
    public_key: bytes | None = None,
) -> Permit:
    """Make a permit; called by ``hil.guard.guard`` only (a test of the source tree holds that)."""
    return Permit(_SEAL, issuer, operation, serial, slot, config, lock_crc, public_key)
