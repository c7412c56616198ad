"""The irreversible operations, complete, as data.

One table decides what needs a permit. The element driver, the transport filter, the docs and
the tests read it. Whether a slot is already provisioned cannot be seen from a packet, so every
command that changes a slot for good counts as irreversible.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from hil.wire.atecc import Command, Opcode

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["IRREVERSIBLE", "Irreversible", "Operation", "classify", "slot_of"]


class Operation(StrEnum):
    """What a permit is for."""

    LOCK_CONFIG = "lock-config"
    LOCK_DATA = "lock-data"
    LOCK_SLOT = "lock-slot"
    WRITE_CONFIG = "write-config"
    WRITE_OTP = "write-otp"
    WRITE_SLOT = "write-slot"
    UPDATE_EXTRA = "update-extra"
    COUNTER = "counter"
    GENERATE_KEY = "generate-key"
    WRITE_PRIVATE_KEY = "write-private-key"
    DERIVE_KEY = "derive-key"
    ECDH_INTO_SLOT = "ecdh-into-slot"
    KDF_INTO_SLOT = "kdf-into-slot"
    KEY_VALIDITY = "key-validity"
    SECURE_BOOT = "secure-boot"
    LIMITED_USE = "limited-use"
    BOARD_FUSE = "board-fuse"
    FIRMWARE_DEFINED = "firmware-defined"


@dataclass(frozen=True)
class Irreversible:
    """One row: commands of ``opcode`` for which ``applies`` holds are ``operation``."""

    operation: Operation
    opcode: Opcode
    applies: Callable[[Command], bool]
    condition: str
    meaning: str
    source: str


def _always(command: Command) -> bool:
    return True


IRREVERSIBLE: tuple[Irreversible, ...] = (
    Irreversible(
        Operation.LOCK_CONFIG, Opcode.LOCK, lambda c: c.p1 & 0x03 == 0,
        "mode bits 1:0 = 00", "the configuration can never be changed again", "DS508 9.11",
    ),
    Irreversible(
        Operation.LOCK_DATA, Opcode.LOCK, lambda c: c.p1 & 0x03 == 1,
        "mode bits 1:0 = 01", "data and OTP zone follow their access policy for ever", "DS508 9.11",
    ),
    Irreversible(
        Operation.LOCK_SLOT, Opcode.LOCK, lambda c: c.p1 & 0x03 >= 2,
        "mode bit 1 set", "the slot can never be written again", "DS508 9.11",
    ),
    Irreversible(
        Operation.WRITE_CONFIG, Opcode.WRITE, lambda c: c.p1 & 0x03 == 0,
        "zone 0", "a wrong byte that is locked in later is a dead part", "DS508 9.21",
    ),
    Irreversible(
        Operation.WRITE_OTP, Opcode.WRITE, lambda c: c.p1 & 0x03 == 1,
        "zone 1", "OTP bits do not come back", "DS508 9.21",
    ),
    Irreversible(
        Operation.WRITE_SLOT, Opcode.WRITE, lambda c: c.p1 & 0x03 >= 2,
        "zone 2 (or the undefined 3)", "what the slot held is lost", "DS508 9.21",
    ),
    Irreversible(
        Operation.UPDATE_EXTRA, Opcode.UPDATEEXTRA, _always,
        "any mode", "UserExtra and Selector can be set once; mode 2 burns a key use", "DS508 9.19",
    ),
    Irreversible(
        Operation.COUNTER, Opcode.COUNTER, lambda c: c.p1 != 0,
        "mode not 0", "a monotonic counter never goes back", "DS508 9.3",
    ),
    Irreversible(
        Operation.GENERATE_KEY, Opcode.GENKEY,
        lambda c: bool(c.p1 & 0x04) and not c.p1 & 0x10 and c.p2 != 0xFFFF,
        "mode bit 2 set, slot not FFFF", "the private key in the slot is replaced", "DS508 9.8",
    ),
    Irreversible(
        Operation.WRITE_PRIVATE_KEY, Opcode.PRIVWRITE, _always,
        "any mode", "the private key in the slot is replaced", "DS508 9.15",
    ),
    Irreversible(
        Operation.DERIVE_KEY, Opcode.DERIVEKEY, _always,
        "any mode", "the key in the slot is replaced", "DS508 9.4",
    ),
    Irreversible(
        Operation.ECDH_INTO_SLOT, Opcode.ECDH, lambda c: c.p1 & 0x0C == 0x04,
        "mode bits 3:2 = 01 (608)", "the slot's content is replaced", "DS40002138A 5.2.2",
    ),
    Irreversible(
        Operation.KDF_INTO_SLOT, Opcode.KDF, lambda c: c.p1 & 0x1C == 0x08,
        "target 08 (608)", "the slot's content is replaced", "DS40002138A 5.4.3",
    ),
    Irreversible(
        Operation.KEY_VALIDITY, Opcode.VERIFY, lambda c: c.p1 & 0x07 in (1, 3, 7),
        "Validate, Invalidate, ValidateExternal", "the stored key's validity changes", "DS508 9.20",
    ),
    Irreversible(
        Operation.SECURE_BOOT, Opcode.SECUREBOOT, lambda c: c.p1 & 0x07 in (6, 7),
        "FullStore, FullCopy (608)", "the stored digest or signature is replaced", "DS40002138A 5.4.6",
    ),
)  # fmt: skip
"""Opcode-level definitions. Limited-use keys are not visible in a packet: see ``docs/guard.md``."""


def classify(command: Command) -> Operation | None:
    """The irreversible operation that ``command`` performs, or None."""
    for row in IRREVERSIBLE:
        if row.opcode == command.opcode and row.applies(command):
            return row.operation
    return None


def slot_of(command: Command) -> int | None:
    """The slot that an irreversible ``command`` changes, or None if it is not one slot."""
    operation = classify(command)
    if operation is Operation.WRITE_SLOT:
        return command.p2 >> 3 & 0x0F
    if operation is Operation.LOCK_SLOT:
        return command.p1 >> 2 & 0x0F
    if operation is Operation.KDF_INTO_SLOT:
        return command.p2 >> 8 & 0x0F
    if operation in (
        Operation.GENERATE_KEY,
        Operation.WRITE_PRIVATE_KEY,
        Operation.DERIVE_KEY,
        Operation.ECDH_INTO_SLOT,
        Operation.KEY_VALIDITY,
    ):
        return command.p2 & 0x0F
    return None
