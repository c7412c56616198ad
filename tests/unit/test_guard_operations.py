"""The table of irreversible operations, and what only the element's configuration tells."""

from __future__ import annotations

import pytest

from hil.emulator.chip.commands import ALL_FORMS
from hil.guard.operations import BEYOND_PACKETS, IRREVERSIBLE, Operation, classify, slot_of
from hil.guard.slotrules import UNREAD, SlotRules, classify_on, keys_used, operation_slot
from hil.wire.atecc import Command, Opcode

from .guard_bench import CONFIG, INFO

RULES = SlotRules.of(CONFIG)
CHANGED = [
    (Command(Opcode.LOCK, 0x00), Operation.LOCK_CONFIG, None),
    (Command(Opcode.LOCK, 0x80), Operation.LOCK_CONFIG, None),
    (Command(Opcode.LOCK, 0x81), Operation.LOCK_DATA, None),
    (Command(Opcode.LOCK, 0x02 | 9 << 2), Operation.LOCK_SLOT, 9),
    (Command(Opcode.LOCK, 0x03), Operation.LOCK_SLOT, 0),
    (Command(Opcode.WRITE, 0x00, 4, bytes(4)), Operation.WRITE_CONFIG, None),
    (Command(Opcode.WRITE, 0x81, 0, bytes(32)), Operation.WRITE_OTP, None),
    (Command(Opcode.WRITE, 0x82, 4 << 3, bytes(32)), Operation.WRITE_SLOT, 4),
    (Command(Opcode.WRITE, 0xC2, 5 << 3 | 1 << 8, bytes(64)), Operation.WRITE_SLOT, 5),
    (Command(Opcode.UPDATEEXTRA, 0, 1), Operation.UPDATE_EXTRA, None),
    (Command(Opcode.UPDATEEXTRA, 2, 1), Operation.UPDATE_EXTRA, None),
    (Command(Opcode.COUNTER, 1, 0), Operation.COUNTER, None),
    (Command(Opcode.GENKEY, 4, 2), Operation.GENERATE_KEY, 2),
    (Command(Opcode.GENKEY, 0x0C, 2), Operation.GENERATE_KEY, 2),
    (Command(Opcode.GENKEY, 0x0C, 0xFFFF), Operation.GENERATE_KEY, 15),
    (Command(Opcode.GENKEY, 0x24, 2), Operation.GENERATE_KEY, 2),
    (Command(Opcode.PRIVWRITE, 0x40, 0, bytes(68)), Operation.WRITE_PRIVATE_KEY, 0),
    (Command(Opcode.DERIVEKEY, 0, 3), Operation.DERIVE_KEY, 3),
    (Command(Opcode.ECDH, 0x05, 2, bytes(64)), Operation.ECDH_INTO_SLOT, 2),
    (Command(Opcode.ECDH, 0x04, 2, bytes(64)), Operation.ECDH_INTO_SLOT, 3),
    (Command(Opcode.ECDH, 0x10, 2, bytes(64)), Operation.ECDH_INTO_SLOT, 2),
    (Command(Opcode.KDF, 0x08, 0x0301, bytes(4)), Operation.KDF_INTO_SLOT, 3),
    (Command(Opcode.KDF, 0x4A, 0x0301, bytes(4)), Operation.KDF_INTO_SLOT, 3),
    (Command(Opcode.KDF, 0x18, 0x0301, bytes(4)), Operation.KDF_INTO_SLOT, 3),
    (Command(Opcode.VERIFY, 0x01, 9, bytes(64)), Operation.KEY_VALIDITY, 9),
    (Command(Opcode.VERIFY, 0x03, 9, bytes(83)), Operation.KEY_VALIDITY, 9),
    (Command(Opcode.VERIFY, 0x07, 9, bytes(83)), Operation.KEY_VALIDITY, 9),
    (Command(Opcode.VERIFY, 0x04, 9, bytes(83)), Operation.KEY_VALIDITY, 9),
    (Command(Opcode.SECUREBOOT, 0x06, 0, bytes(32)), Operation.SECURE_BOOT, None),
    (Command(Opcode.SECUREBOOT, 0x87, 0, bytes(96)), Operation.SECURE_BOOT, None),
    (Command(0x99, 0, 0), Operation.UNKNOWN_COMMAND, None),
]


@pytest.mark.parametrize(("command", "operation", "slot"), CHANGED)
def test_an_irreversible_command_is_recognised(
    command: Command, operation: Operation, slot: int | None
) -> None:
    assert classify(command) is operation
    assert classify_on(command, RULES) is operation
    assert operation_slot(command, RULES) == slot
    if command.opcode != Opcode.GENKEY or command.p2 != 0xFFFF:
        assert slot_of(command) == slot


@pytest.mark.parametrize(
    "command",
    [
        INFO,
        Command(Opcode.READ, 0x80, 0),
        Command(Opcode.GENKEY, 0x00, 0),
        Command(Opcode.GENKEY, 0x08, 0),
        Command(Opcode.GENKEY, 0x10, 9, bytes(3)),
        Command(Opcode.NONCE, 3, 0, bytes(32)),
        Command(Opcode.SIGN, 0x80, 0),
        Command(Opcode.COUNTER, 0, 0),
        Command(Opcode.ECDH, 0x0C, 0, bytes(64)),
        Command(Opcode.VERIFY, 0x02, 4, bytes(128)),
        Command(Opcode.VERIFY, 0x22, 4, bytes(128)),
        Command(Opcode.SECUREBOOT, 0x05, 0, bytes(96)),
        Command(Opcode.KDF, 0x10, 0, bytes(4)),
        Command(Opcode.SELFTEST, 0x3D),
    ],
)
def test_a_harmless_command_is_let_through(command: Command) -> None:
    assert classify(command) is None
    assert classify_on(command, RULES) is None


def test_every_row_says_what_it_means_and_where_it_is_written() -> None:
    for row in IRREVERSIBLE:
        assert row.meaning
        assert row.source
        assert row.condition


def test_every_operation_is_described_once() -> None:
    in_packets = {row.operation for row in IRREVERSIBLE}
    assert in_packets | BEYOND_PACKETS.keys() == set(Operation)
    assert not in_packets & BEYOND_PACKETS.keys()


def test_every_mode_of_an_opcode_with_harmless_ones_is_judged() -> None:
    """Of all 256 modes only those that the data sheets call reversible pass."""
    harmless = {
        Opcode.GENKEY: {0x00, 0x08, 0x10, 0x14, 0x18, 0x1C},
        Opcode.ECDH: {0x00, 0x08, 0x09, 0x0C, 0x0D, 0x0E, 0x0F},
        Opcode.COUNTER: {0x00},
        Opcode.LOCK: set(),
        Opcode.WRITE: set(),
        Opcode.UPDATEEXTRA: set(),
        Opcode.PRIVWRITE: set(),
        Opcode.DERIVEKEY: set(),
        Opcode.VERIFY: {p1 for p1 in range(256) if p1 & 7 in (0, 2)},
        Opcode.SECUREBOOT: {p1 for p1 in range(256) if p1 & 7 == 5},
        Opcode.KDF: {p1 for p1 in range(256) if p1 & 0x1C in (0, 4, 0x0C, 0x10, 0x14)},
    }
    for opcode, modes in harmless.items():
        assert {p1 for p1 in range(256) if classify(Command(opcode, p1, 0)) is None} == modes, opcode.label


WRITERS = {
    "Write config word", "Write config block", "Write OTP word", "Write OTP block", "Write data word",
    "Write data block", "Lock config", "Lock data", "Lock slot",
}  # fmt: skip


def test_what_the_emulated_chips_can_store_by_is_irreversible_here() -> None:
    """The chip's own table of forms was written by others from the same sheets: no writer is missing."""
    forms = {form.name for form in ALL_FORMS}
    assert forms >= WRITERS
    for form in ALL_FORMS:
        if form.name in WRITERS:
            for p1 in form.modes:
                assert classify(Command(form.opcode, p1, 0)) is not None, form.name


# -- what the configuration tells ---------------------------------------------------------------

LIMITED_5 = CONFIG[:30] + bytes((CONFIG[30] | 0x20,)) + CONFIG[31:]
NEXT_2 = CONFIG[:24] + bytes((CONFIG[24] | 0x08,)) + CONFIG[25:]
OF_608 = CONFIG[:6] + b"\x60\x02" + CONFIG[8:70] + b"\x01\xe9" + CONFIG[72:]

USES = [
    Command(Opcode.MAC, 0x00, 5, bytes(32)),
    Command(Opcode.CHECKMAC, 0x00, 5, bytes(77)),
    Command(Opcode.HMAC, 0x04, 5),
    Command(Opcode.GENDIG, 0x02, 5),
    Command(Opcode.SIGN, 0x80, 5),
    Command(Opcode.ECDH, 0x00, 5, bytes(64)),
    Command(Opcode.VERIFY, 0x00, 5, bytes(64)),
    Command(Opcode.SHA, 0x04, 5),
    Command(Opcode.SHA, 0x03, 5),
    Command(Opcode.AES, 0x00, 5, bytes(16)),
    Command(Opcode.KDF, 0x02, 5, bytes(4)),
    Command(Opcode.KDF, 0x40, 0, bytes((0, 5, 0, 0))),
    Command(Opcode.GENKEY, 0x10, 5, bytes(3)),
]


@pytest.mark.parametrize("command", USES, ids=lambda c: f"{c.label} {c.p1:02X}")
def test_the_use_of_a_limited_key_is_irreversible(command: Command) -> None:
    assert classify_on(command, SlotRules.of(LIMITED_5)) is Operation.LIMITED_USE
    assert operation_slot(command, SlotRules.of(LIMITED_5)) == 5
    assert classify_on(command, RULES) is None


@pytest.mark.parametrize("command", USES, ids=lambda c: f"{c.label} {c.p1:02X}")
def test_while_nobody_has_read_the_configuration_every_key_may_be_limited(command: Command) -> None:
    assert classify_on(command, UNREAD) is Operation.LIMITED_USE


@pytest.mark.parametrize(
    "command",
    [
        Command(Opcode.MAC, 0x02, 5, bytes(32)),
        Command(Opcode.SHA, 0x00),
        Command(Opcode.AES, 0x00, 0xFFFF, bytes(16)),
        Command(Opcode.GENDIG, 0x00, 1),
        Command(Opcode.READ, 0x82, 5 << 3),
        Command(Opcode.GENKEY, 0x00, 5),
        Command(Opcode.VERIFY, 0x02, 4, bytes(128)),
        Command(Opcode.RANDOM),
    ],
    ids=lambda c: f"{c.label} {c.p1:02X}",
)
def test_what_uses_no_stored_key_counts_none(command: Command) -> None:
    assert keys_used(command, UNREAD) == frozenset()
    assert classify_on(command, UNREAD) is None


def test_the_hmac_of_tempkey_uses_slot_15_on_a_508a() -> None:
    """FFFF means TempKey on a 608. A 508A takes the low four bits, and slot 15 there counts its uses."""
    command = Command(Opcode.SHA, 0x04, 0xFFFF)
    assert keys_used(command, SlotRules.of(OF_608)) == frozenset()
    limited = bytearray(CONFIG)
    limited[20 + 2 * 15] |= 0x20
    assert classify_on(command, SlotRules.of(bytes(limited))) is Operation.LIMITED_USE
    assert operation_slot(command, SlotRules.of(bytes(limited))) == 15
    assert classify_on(command, UNREAD) is Operation.LIMITED_USE


def test_ecdh_into_the_next_slot_is_seen_in_the_configuration() -> None:
    command = Command(Opcode.ECDH, 0x00, 2, bytes(64))
    assert classify_on(command, RULES) is None
    assert classify_on(command, SlotRules.of(NEXT_2)) is Operation.ECDH_INTO_SLOT
    assert operation_slot(command, SlotRules.of(NEXT_2)) == 3


def test_an_ephemeral_key_is_harmless_on_a_608_only() -> None:
    """A 508A may look at the low four bits of FFFF: slot 15."""
    command = Command(Opcode.GENKEY, 0x04, 0xFFFF)
    assert classify_on(command, SlotRules.of(OF_608)) is None
    for rules in (RULES, UNREAD):
        assert classify_on(command, rules) is Operation.GENERATE_KEY
        assert operation_slot(command, rules) == 15


def test_secure_boot_uses_the_slots_that_the_configuration_names() -> None:
    command = Command(Opcode.SECUREBOOT, 0x05, 0, bytes(96))
    assert keys_used(command, SlotRules.of(OF_608)) == {14, 9}
