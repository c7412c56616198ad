"""Firmware calls that change the element for good; each takes a permit.

The firmware itself asks nothing: ``ATCA.LockZone`` locks without a CRC, ``ATCA.GenKey`` replaces
whatever key is there. A slot key and its write key cross the UART in clear.
Source: mongoose-os-libs/rpc-service-atca ``src/mgos_rpc_service_atca.c``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import msgspec

from hil.discretion import discreet
from hil.errors import UsageError
from hil.guard.roads import rpc_call

if TYPE_CHECKING:
    from hil.board.calls import MongooseCalls
    from hil.guard.permit import Permit

__all__ = ["atca_generate_key", "atca_lock_zone", "atca_set_config", "atca_set_key"]


class _PublicKey(msgspec.Struct, frozen=True):
    pubkey: bytes


def atca_set_config(board: MongooseCalls, config: bytes, permit: Permit) -> None:
    """Write the configuration zone (128 bytes; the firmware leaves 0 to 15 and the lock bytes)."""
    if len(config) != 128:
        raise UsageError(f"a configuration has 128 bytes, not {len(config)}")
    _call(board, "ATCA.SetConfig", {"config": config}, permit)


def atca_lock_zone(board: MongooseCalls, zone: Literal["config", "data"], permit: Permit) -> None:
    """Lock a zone without comparing a CRC."""
    _call(board, "ATCA.LockZone", {"zone": 0 if zone == "config" else 1}, permit)


def atca_generate_key(board: MongooseCalls, slot: int, permit: Permit) -> bytes:
    """Let the element make a new private key in ``slot``; returns ``X ‖ Y``, 64 bytes."""
    with permit.armed([rpc_call("ATCA.GenKey", {"slot": slot})]):
        return board.rpc.call_as(_PublicKey, "ATCA.GenKey", {"slot": slot}).pubkey


@discreet
def atca_set_key(
    board: MongooseCalls,
    slot: int,
    key: bytes,
    permit: Permit,
    *,
    private: bool,
    write_key: bytes | None = None,
    write_key_slot: int = 0,
) -> None:
    """Put a 32-byte key into ``slot``.

    Args:
        board: the board.
        slot: the slot.
        key: scalar or secret, padded to 32 bytes; the firmware would read past a shorter one.
        permit: for this slot.
        private: an ECC private key (else a plain secret).
        write_key: the content of the key-encryption slot; the write is encrypted then.
        write_key_slot: that slot's number.
    """
    if len(key) != 32 or (write_key is not None and len(write_key) != 32):
        raise UsageError("a key and its write key have 32 bytes each")
    params: dict[str, object] = {"slot": slot, "ecc": private, "key": key}
    if write_key is not None:
        params |= {"wkey": write_key, "wkslot": write_key_slot}
    _call(board, "ATCA.SetKey", params, permit)


def _call(board: MongooseCalls, method: str, params: dict[str, object], permit: Permit) -> None:
    """Exactly these arguments are armed, and sent."""
    with permit.armed([rpc_call(method, params)]):
        board.rpc.call(method, params)
