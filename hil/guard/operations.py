"""The irreversible operations, complete, as data.

One table decides what needs a permit. The element driver, the transport filter, the docs and
the tests read it. Three rules make it complete:

* Whether a slot is already provisioned cannot be seen from a packet, so every command that changes
  a slot for good counts as irreversible.
* A command that has harmless modes is irreversible in every mode that is not known to be harmless:
  the undefined ones belong to silicon that nobody has seen yet.
* An opcode that no data sheet names is irreversible: what it does nobody knows.

What depends on the element's configuration (limited-use keys, ECDH into the next slot) is in
:mod:`hil.guard.slotrules`.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

import msgspec

from hil.wire.atecc import Command, Opcode

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["BEYOND_PACKETS", "IRREVERSIBLE", "LOCKS", "Irreversible", "Operation", "classify", "slot_of"]


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
    UNKNOWN_COMMAND = "unknown-command"
    BOARD_FUSE = "board-fuse"
    FIRMWARE_DEFINED = "firmware-defined"
    CUT_POWER = "cut-power"


LOCKS = (Operation.LOCK_CONFIG, Operation.LOCK_DATA, Operation.LOCK_SLOT)


class Irreversible(msgspec.Struct, frozen=True):
    """One row: commands of ``opcode`` for which ``applies`` holds are ``operation``."""

    operation: Operation
    opcode: Opcode
    applies: Callable[[Command], bool]
    condition: str
    meaning: str
    source: str


def _always(command: Command) -> bool:
    return True


def _makes_key(command: Command) -> bool:
    """Modes 00, 08 and 10 compute public keys; 04 with p2 = FFFF makes a key in TempKey (608)."""
    if command.p1 in (0x00, 0x08) or command.p1 & ~0x0C == 0x10:
        return False
    return not (command.p1 == 0x04 and command.p2 == 0xFFFF)


_ECDH_HARMLESS = frozenset({0x00, 0x08, 0x09, 0x0C, 0x0D, 0x0E, 0x0F})
"""To TempKey, to the output buffer; 00 goes where SlotConfig says, see :mod:`hil.guard.slotrules`."""
_KDF_HARMLESS = frozenset({0x00, 0x04, 0x0C, 0x10, 0x14})
"""TempKey (both halves), the alternate key buffer, the output buffer."""


IRREVERSIBLE: tuple[Irreversible, ...] = (
    Irreversible(
        Operation.LOCK_CONFIG, Opcode.LOCK, lambda c: c.p1 & 0x03 == 0,
        "mode bits 1:0 = 00", "the configuration can never be changed again", "DS508 9.10",
    ),
    Irreversible(
        Operation.LOCK_DATA, Opcode.LOCK, lambda c: c.p1 & 0x03 == 1,
        "mode bits 1:0 = 01", "data and OTP zone follow their access policy for ever", "DS508 9.10",
    ),
    Irreversible(
        Operation.LOCK_SLOT, Opcode.LOCK, lambda c: c.p1 & 0x03 >= 2,
        "mode bit 1 set", "the slot can never be written again", "DS508 9.10",
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
        Operation.GENERATE_KEY, Opcode.GENKEY, _makes_key,
        "every mode but 00, 08, 10; 04 with slot FFFF (608)", "the private key in the slot is replaced",
        "DS508 9.7, DS40002138A 5.2.3",
    ),
    Irreversible(
        Operation.WRITE_PRIVATE_KEY, Opcode.PRIVWRITE, _always,
        "any mode", "the private key in the slot is replaced", "DS508 9.14",
    ),
    Irreversible(
        Operation.DERIVE_KEY, Opcode.DERIVEKEY, _always,
        "any mode", "the key in the slot is replaced", "DS508 9.4",
    ),
    Irreversible(
        Operation.ECDH_INTO_SLOT, Opcode.ECDH, lambda c: c.p1 not in _ECDH_HARMLESS,
        "mode bits 3:2 = 01 (608), undefined modes", "the slot's content is replaced", "DS40002138A 5.2.2",
    ),
    Irreversible(
        Operation.KDF_INTO_SLOT, Opcode.KDF, lambda c: c.p1 & 0x1C not in _KDF_HARMLESS,
        "target 08 (608), undefined targets", "the slot's content is replaced", "DS40002138A 5.4.3",
    ),
    Irreversible(
        Operation.KEY_VALIDITY, Opcode.VERIFY, lambda c: c.p1 & 0x07 not in (0, 2),
        "every mode but Stored and External", "the stored key's validity changes", "DS508 9.20",
    ),
    Irreversible(
        Operation.SECURE_BOOT, Opcode.SECUREBOOT, lambda c: c.p1 & 0x07 != 5,
        "every mode but Full (608)", "the stored digest or signature is replaced", "DS40002138A 5.4.6",
    ),
)  # fmt: skip
"""Opcode-level definitions of what can be seen in a packet."""

BEYOND_PACKETS: Mapping[Operation, tuple[str, str, str]] = {
    Operation.LIMITED_USE: (
        "any command that uses a key whose SlotConfig counts its uses (bit 5); every key, as long as the "
        "configuration was not read",
        "one of a fixed number of uses is gone, and with the last one the key",
        "DS508 3.2.5",
    ),
    Operation.UNKNOWN_COMMAND: (
        "any opcode that no data sheet names",
        "nobody knows what it does",
        "",
    ),
    Operation.BOARD_FUSE: (
        "commands and options of esptool and espefuse that burn fuses, or can",
        "a burnt fuse of the microcontroller stays burnt",
        "espressif/esptool docs/en/espefuse",
    ),
    Operation.FIRMWARE_DEFINED: (
        "a call, console command or file whose effect the firmware decides",
        "whatever the firmware makes of it",
        "",
    ),
    Operation.CUT_POWER: (
        "the relay goes off while something irreversible is being sent",
        "a torn word; in a configuration or key perhaps the end of the part",
        "DS508 8",
    ),
}
"""The operations that are not seen in one packet: condition, meaning, source."""

_KNOWN = frozenset(int(opcode) for opcode in Opcode)


def classify(command: Command) -> Operation | None:
    """The irreversible operation that ``command`` performs, or None.

    What also depends on the element's configuration is not seen here: see
    :func:`hil.guard.slotrules.classify_on`.
    """
    if command.opcode not in _KNOWN:
        return Operation.UNKNOWN_COMMAND
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
    if operation is Operation.ECDH_INTO_SLOT and command.p1 & 0x0D == 0x04:
        return (command.p2 & 0x0F) + 1  # the key's own slot is p2, its secret goes into the one behind it
    if operation in (
        Operation.GENERATE_KEY,
        Operation.WRITE_PRIVATE_KEY,
        Operation.DERIVE_KEY,
        Operation.ECDH_INTO_SLOT,
        Operation.KEY_VALIDITY,
    ):
        return command.p2 & 0x0F
    return None
