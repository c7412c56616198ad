"""Irreversible operations: exact packets under a permit, refusals before sending, proof afterwards."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from hil.element import irreversible
from hil.element.configzone import ConfigZone
from hil.element.device import Element
from hil.element.keyfiles import public_half
from hil.element.zones import config_crc, data_crc
from hil.errors import DeviceError, ElementError, GuardRefusal, UsageError
from hil.guard.operations import Operation
from hil.guard.permit import Permit, RpcCall, issue
from hil.wire.atecc import Command, Opcode

from .element_script import ADDRESS, SERIAL, AnsweringBus

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

OK = b"\0"
BLANK = bytes.fromhex(
    "0123f3ac00005000fd2a826beec05500"
    "C0005500 83208720 8F20C48F 8F8F8F8F 9F8FAF8F 00000000 00000000 00000000 0000AF8F"
    "FFFFFFFF00000000 FFFFFFFF00000000" + "FF" * 16 + "00005555 FFFF0000 00000000"
    "33003300 33001C00 1C001C00 1C001C00 3C003C00 3C003C00 3C003C00 3C001C00"
)
CONFIG_LOCKED = BLANK[:87] + b"\0" + BLANK[88:]
BOTH_LOCKED = BLANK[:86] + b"\0\0" + BLANK[88:]
SCALAR = bytes(30) + b"\x12\x34"
PUBLIC = public_half(SCALAR)
KEK = bytes(range(32))


class AllowAll:
    """A permit issuer that allows everything and keeps what was armed."""

    def __init__(self) -> None:
        self.armed: list[Command | RpcCall] = []
        self.open = 0

    @contextmanager
    def arm(self, permit: Permit, actions: Sequence[Command | RpcCall]) -> Iterator[None]:
        self.armed += actions
        self.open += 1
        yield
        self.open -= 1

    def permit(self, operation: Operation, slot: int | None = None, serial: bytes = SERIAL) -> Permit:
        return issue(self, operation, serial.hex(), slot)


class Paper:
    """Just enough memory to answer reads, writes and locks of the configuration zone."""

    def __init__(self, config: bytes = BLANK) -> None:
        self.config = bytearray(config)
        self.lose_answer_of: int | None = None
        self.ignore_writes = False
        self.crc_seen: int | None = None
        self.public: bytes | None = None
        self.slot_block = bytes(32)
        self.instead: dict[int, bytes] = {}
        """Answers by opcode that hide what really happened; without effect for Lock and Write."""
        self.once: dict[int, bytes] = {}
        """Answers that are given once, without effect."""

    def __call__(self, command: Command) -> bytes | None:
        if command.opcode in self.once:
            return self.once.pop(command.opcode)
        if command.opcode in self.instead and command.opcode in (Opcode.LOCK, Opcode.WRITE):
            return self.instead[command.opcode]
        answer = self.answer(command)
        if command.opcode in self.instead and command.p1 & 4:
            return self.instead[command.opcode]
        return None if command.opcode == self.lose_answer_of else answer

    def answer(self, command: Command) -> bytes:
        at = command.p2 * 4
        match command.opcode:
            case Opcode.READ if command.p1 & 3:
                return self.slot_block
            case Opcode.READ:
                size = 32 if command.p1 & 0x80 else 4
                return bytes(self.config[at : at + size])
            case Opcode.WRITE if command.p1 & 3 == 0 and not self.ignore_writes:
                self.config[at : at + len(command.data)] = command.data
            case Opcode.LOCK:
                self.crc_seen = command.p2
                if command.p1 & 3 < 2:
                    self.config[87 - (command.p1 & 3)] = 0
                else:
                    self.config[88 + (command.p1 >> 5)] &= ~(1 << (command.p1 >> 2 & 7))
            case Opcode.GENKEY:
                if command.p1 & 4:
                    self.public = PUBLIC
                return self.public or b"\x0f"
            case Opcode.PRIVWRITE:
                self.public = PUBLIC
            case Opcode.NONCE:
                return bytes(32)
        return OK


def setup(config: bytes = BLANK) -> tuple[Element, Paper, AnsweringBus, AllowAll]:
    paper = Paper(config)
    bus = AnsweringBus(paper)
    return Element(bus, ADDRESS, "atecc508a"), paper, bus, AllowAll()


def writes(bus: AnsweringBus) -> list[Command]:
    return [command for command in bus.log if command.opcode not in (Opcode.READ, Opcode.INFO)]


def changed(offsets: Sequence[int], value: int = 0xAB) -> bytes:
    config = bytearray(BLANK)
    for at in offsets:
        config[at] = value
    return bytes(config)


# Configuration


def test_config_is_written_in_words_and_blocks_that_hold_nothing_forbidden() -> None:
    element, _, bus, guard = setup()
    wanted = bytes(range(16)) + changed([*range(17, 84), *range(88, 128)])[16:]
    written = irreversible.write_config(element, wanted, guard.permit(Operation.WRITE_CONFIG))
    sent = writes(bus)
    assert [(c.p1, c.p2) for c in sent] == [
        *[(0, word) for word in (4, 5, 6, 7)],
        (0x80, 8),
        *[(0, word) for word in (16, 17, 18, 19, 20, 22, 23)],
        (0x80, 24),
    ]
    assert guard.armed == sent
    assert written.to_bytes() == BLANK[:16] + wanted[16:84] + BLANK[84:88] + wanted[88:]


def test_only_what_differs_is_written_and_nothing_is_armed_for_nothing() -> None:
    element, _, bus, guard = setup()
    irreversible.write_config(element, changed([18]), guard.permit(Operation.WRITE_CONFIG))
    assert writes(bus) == [Command(Opcode.WRITE, 0, 4, bytes.fromhex("c000ab00"))]
    irreversible.write_config(element, changed([18]), guard.permit(Operation.WRITE_CONFIG))
    assert len(guard.armed) == 1


def test_another_i2c_address_is_refused() -> None:
    element, _, bus, guard = setup()
    with pytest.raises(UsageError, match="from address 0x60 to 0x10"):
        irreversible.write_config(element, changed([16], 0x20), guard.permit(Operation.WRITE_CONFIG))
    assert writes(bus) == []


def test_a_locked_configuration_is_refused_before_anything_is_sent() -> None:
    element, _, bus, guard = setup(CONFIG_LOCKED)
    with pytest.raises(UsageError, match="is locked"):
        irreversible.write_config(element, BLANK, guard.permit(Operation.WRITE_CONFIG))
    assert writes(bus) == []


def test_a_configuration_that_did_not_stick_is_an_error() -> None:
    element, paper, _, guard = setup()
    paper.ignore_writes = True
    with pytest.raises(DeviceError, match="OTPmode"):
        irreversible.write_config(element, changed([18]), guard.permit(Operation.WRITE_CONFIG))


def test_a_lost_answer_is_no_error_when_reading_back_proves_the_write() -> None:
    element, paper, bus, guard = setup()
    paper.lose_answer_of = Opcode.WRITE
    irreversible.write_config(element, changed([18]), guard.permit(Operation.WRITE_CONFIG))
    assert len(writes(bus)) == 1


def test_a_write_that_provably_did_nothing_is_sent_again_and_armed_again() -> None:
    element, paper, bus, guard = setup()
    paper.lose_answer_of, paper.ignore_writes = Opcode.WRITE, True
    with pytest.raises(ElementError, match="the element shows that nothing changed"):
        irreversible.write_config(element, changed([18]), guard.permit(Operation.WRITE_CONFIG))
    assert len(writes(bus)) == len(guard.armed) == 3


@pytest.mark.parametrize("status", [0xFF, 0xEE])
def test_a_lock_that_the_element_did_not_begin_is_sent_again_and_armed_again(status: int) -> None:
    element, paper, bus, guard = setup()
    paper.once[Opcode.LOCK] = bytes((status,))
    irreversible.lock_config(element, BLANK, guard.permit(Operation.LOCK_CONFIG))
    assert len(writes(bus)) == len(guard.armed) == 2
    assert paper.config[87] == 0


def test_after_a_failure_in_the_middle_only_the_rest_is_armed_and_sent() -> None:
    element, paper, bus, guard = setup()
    paper.once[Opcode.WRITE] = b"\xff"
    irreversible.write_config(element, changed([18, 20]), guard.permit(Operation.WRITE_CONFIG))
    assert [c.p2 for c in writes(bus)] == [4, 4, 5]
    assert [c.p2 for c in guard.armed if isinstance(c, Command)] == [4, 5, 4, 5]


# Locks


def test_lock_config_sends_the_checksum_of_what_was_intended() -> None:
    element, paper, bus, guard = setup()
    irreversible.lock_config(element, bytes(16) + BLANK[16:], guard.permit(Operation.LOCK_CONFIG))
    assert writes(bus) == [Command(Opcode.LOCK, 0, config_crc(BLANK))]
    assert paper.config[87] == 0


def test_lock_config_refuses_a_zone_that_differs() -> None:
    element, _, bus, guard = setup()
    with pytest.raises(UsageError, match="differs from the configuration to be locked in 1 fields"):
        irreversible.lock_config(element, changed([18]), guard.permit(Operation.LOCK_CONFIG))
    assert writes(bus) == []


def test_lock_config_succeeds_when_only_its_answer_was_lost() -> None:
    element, paper, bus, guard = setup()
    paper.lose_answer_of = Opcode.LOCK
    irreversible.lock_config(element, BLANK, guard.permit(Operation.LOCK_CONFIG))
    assert len(writes(bus)) == 1


def test_lock_that_reports_success_without_effect_is_an_error() -> None:
    element, paper, _, guard = setup()
    paper.instead[Opcode.LOCK] = OK
    with pytest.raises(DeviceError, match="is not locked"):
        irreversible.lock_config(element, BLANK, guard.permit(Operation.LOCK_CONFIG))


def contents(config: bytes) -> dict[int, bytes]:
    sizes = {slot: 36 if slot < 8 else 416 if slot == 8 else 72 for slot in range(16)}
    return {slot: bytes((slot,)) * sizes[slot] for slot in ConfigZone.from_bytes(config).data_slots}


def test_lock_data_sends_the_checksum_of_slots_and_otp() -> None:
    element, paper, bus, guard = setup(CONFIG_LOCKED)
    slots, otp = contents(CONFIG_LOCKED), bytes(64)
    irreversible.lock_data(element, slots, otp, guard.permit(Operation.LOCK_DATA))
    assert writes(bus) == [Command(Opcode.LOCK, 1, data_crc(slots, otp, (0, 1, 2)))]
    assert paper.config[86] == 0


def test_lock_data_needs_a_locked_configuration_and_complete_content() -> None:
    element, _, bus, guard = setup()
    with pytest.raises(UsageError, match="configuration zone must be locked"):
        irreversible.lock_data(element, contents(BLANK), bytes(64), guard.permit(Operation.LOCK_DATA))
    element, _, bus, guard = setup(CONFIG_LOCKED)
    slots = contents(CONFIG_LOCKED)
    del slots[11]
    with pytest.raises(UsageError, match="slots 11 is unknown"):
        irreversible.lock_data(element, slots, bytes(64), guard.permit(Operation.LOCK_DATA))
    assert writes(bus) == []


def test_lock_slot() -> None:
    element, paper, bus, guard = setup(BOTH_LOCKED)
    irreversible.lock_slot(element, 9, guard.permit(Operation.LOCK_SLOT, 9))
    assert writes(bus) == [Command(Opcode.LOCK, 0x02 | 9 << 2)]
    assert paper.config[89] == 0xFD
    with pytest.raises(UsageError, match="locked already"):
        irreversible.lock_slot(element, 9, guard.permit(Operation.LOCK_SLOT, 9))
    with pytest.raises(UsageError, match="not lockable"):
        irreversible.lock_slot(element, 4, guard.permit(Operation.LOCK_SLOT, 4))


# Keys


def test_generate_key_returns_the_public_key() -> None:
    element, _, _, guard = setup(CONFIG_LOCKED)
    assert irreversible.generate_key(element, 1, guard.permit(Operation.GENERATE_KEY, 1)) == PUBLIC
    assert guard.armed == [Command(Opcode.GENKEY, 4, 1)]


def test_generate_key_after_a_lost_answer_compares_public_keys() -> None:
    element, paper, bus, guard = setup(CONFIG_LOCKED)
    paper.instead[Opcode.GENKEY] = b"\x11"
    assert irreversible.generate_key(element, 1, guard.permit(Operation.GENERATE_KEY, 1)) == PUBLIC
    assert [c.p1 for c in bus.log if c.opcode == Opcode.GENKEY].count(4) == 1


def test_keys_go_only_into_private_slots_of_a_locked_configuration() -> None:
    element, _, bus, guard = setup(CONFIG_LOCKED)
    with pytest.raises(UsageError, match="slot 9 holds no P-256 private key"):
        irreversible.generate_key(element, 9, guard.permit(Operation.GENERATE_KEY, 9))
    element, _, bus, guard = setup(BLANK)
    with pytest.raises(UsageError, match="must be locked"):
        irreversible.write_private_key(element, 0, SCALAR, guard.permit(Operation.WRITE_PRIVATE_KEY, 0))
    assert writes(bus) == []


def test_private_key_in_clear_is_padded_in_front_and_verified() -> None:
    element, _, bus, guard = setup(CONFIG_LOCKED)
    permit = guard.permit(Operation.WRITE_PRIVATE_KEY, 0)
    assert irreversible.write_private_key(element, 0, SCALAR, permit) == PUBLIC
    assert writes(bus)[0] == Command(Opcode.PRIVWRITE, 0, 0, bytes(4) + SCALAR + bytes(32))


def test_private_key_needs_the_write_key_once_data_is_locked() -> None:
    element, _, bus, guard = setup(BOTH_LOCKED)
    permit = guard.permit(Operation.WRITE_PRIVATE_KEY, 0)
    with pytest.raises(UsageError, match="can only be written encrypted"):
        irreversible.write_private_key(element, 0, SCALAR, permit)
    assert writes(bus) == []
    irreversible.write_private_key(element, 0, SCALAR, permit, write_key=KEK)
    (armed,) = guard.armed
    assert isinstance(armed, Command)
    assert (armed.opcode, armed.p1, armed.p2, len(armed.data)) == (Opcode.PRIVWRITE, 0x40, 0, 68)
    assert SCALAR not in armed.data


def test_the_element_idles_while_the_permit_is_armed() -> None:
    element, _, bus, guard = setup(BOTH_LOCKED)
    permit = guard.permit(Operation.WRITE_PRIVATE_KEY, 0)
    irreversible.write_private_key(element, 0, SCALAR, permit, write_key=KEK)
    assert ["wake", "idle", "wake", "sleep"] in [bus.states[n : n + 4] for n in range(len(bus.states))]


def test_another_public_key_than_expected_is_an_error() -> None:
    element, paper, _, guard = setup(CONFIG_LOCKED)
    other = ec.generate_private_key(ec.SECP256R1()).private_numbers().private_value
    paper.public = public_half(other.to_bytes(32, "big"))
    scalar = (other - 1).to_bytes(32, "big")
    with pytest.raises(DeviceError, match="holds another key") as caught:
        irreversible.write_private_key(element, 0, scalar, guard.permit(Operation.WRITE_PRIVATE_KEY, 0))
    assert scalar.hex() not in str(caught.value)


@pytest.mark.parametrize("scalar", [SCALAR[1:], SCALAR + b"\0", bytes(32), b"\xff" * 32])
def test_impossible_scalars_are_refused_and_not_shown(scalar: bytes) -> None:
    element, _, bus, guard = setup(CONFIG_LOCKED)
    with pytest.raises(UsageError) as caught:
        irreversible.write_private_key(element, 0, scalar, guard.permit(Operation.WRITE_PRIVATE_KEY, 0))
    assert scalar.hex() not in str(caught.value)
    assert writes(bus) == []


# Slots and OTP


def test_a_slot_is_written_in_blocks_and_its_last_one_filled_up() -> None:
    element, _, bus, guard = setup(CONFIG_LOCKED)
    data = bytes(range(72))
    irreversible.write_slot(element, 9, data, guard.permit(Operation.WRITE_SLOT, 9))
    assert writes(bus) == [
        Command(Opcode.WRITE, 0x82, 9 << 3, data[:32]),
        Command(Opcode.WRITE, 0x82, 9 << 3 | 1 << 8, data[32:64]),
        Command(Opcode.WRITE, 0x82, 9 << 3 | 2 << 8, data[64:] + bytes(24)),
    ]


@pytest.mark.parametrize(
    ("data", "block"), [(b"", 0), (bytes(31), 0), (bytes(72), 1), (bytes(32), 3), (bytes(97), 0)]
)
def test_data_that_does_not_fit_a_slot_is_refused(data: bytes, block: int) -> None:
    element, _, bus, guard = setup(CONFIG_LOCKED)
    with pytest.raises(UsageError):
        irreversible.write_slot(element, 9, data, guard.permit(Operation.WRITE_SLOT, 9), block=block)
    assert writes(bus) == []


def test_private_slots_are_not_written_like_data() -> None:
    element, _, bus, guard = setup(CONFIG_LOCKED)
    with pytest.raises(UsageError, match="holds a private key"):
        irreversible.write_slot(element, 0, bytes(32), guard.permit(Operation.WRITE_SLOT, 0))
    assert writes(bus) == []


def test_encrypted_slot_blocks_are_armed_one_by_one_with_their_own_nonce() -> None:
    element, _, bus, guard = setup(BOTH_LOCKED)
    irreversible.write_slot(element, 9, bytes(72), guard.permit(Operation.WRITE_SLOT, 9), write_key=KEK)
    armed = [command for command in guard.armed if isinstance(command, Command)]
    assert [(c.p1, c.p2, len(c.data)) for c in armed] == [(0xC2, 9 << 3 | n << 8, 64) for n in range(3)]
    assert len({c.data for c in armed}) == 3
    assert [c.opcode for c in writes(bus)].count(Opcode.NONCE) == 3


def test_a_lost_answer_to_a_data_write_is_an_error_because_nothing_can_prove_it() -> None:
    element, paper, bus, guard = setup(CONFIG_LOCKED)
    paper.lose_answer_of = Opcode.WRITE
    with pytest.raises(DeviceError, match="nothing can tell whether it took effect"):
        irreversible.write_slot(element, 9, bytes(32), guard.permit(Operation.WRITE_SLOT, 9))
    assert len(writes(bus)) == 1
    assert guard.open == 1


def test_a_lost_answer_to_a_write_into_a_readable_slot_is_proven_by_reading() -> None:
    element, paper, bus, guard = setup(BOTH_LOCKED)
    paper.lose_answer_of = Opcode.WRITE
    paper.slot_block = bytes(range(64, 72)) + b"\xff" * 24  # beyond the slot: does not count
    irreversible.write_slot(
        element, 13, bytes(range(64, 72)), guard.permit(Operation.WRITE_SLOT, 13), block=2
    )
    assert len(writes(bus)) == 1
    paper.slot_block = bytes(32)
    with pytest.raises(ElementError, match="nothing changed"):
        irreversible.write_slot(
            element, 13, bytes(range(64, 72)), guard.permit(Operation.WRITE_SLOT, 13), block=2
        )


def test_otp_is_written_in_two_blocks() -> None:
    element, _, bus, guard = setup(CONFIG_LOCKED)
    irreversible.write_otp(element, bytes(range(64)), guard.permit(Operation.WRITE_OTP))
    assert [(c.p1, c.p2) for c in writes(bus)] == [(0x81, 0), (0x81, 8)]
    element, _, bus, guard = setup(BOTH_LOCKED)
    with pytest.raises(UsageError, match="data zone is locked"):
        irreversible.write_otp(element, bytes(64), guard.permit(Operation.WRITE_OTP))


# Permits


def test_a_permit_for_another_operation_slot_or_element_sends_nothing() -> None:
    element, _, bus, guard = setup(CONFIG_LOCKED)
    with pytest.raises(GuardRefusal, match="does not allow generate-key slot 1"):
        irreversible.generate_key(element, 1, guard.permit(Operation.WRITE_PRIVATE_KEY, 1))
    with pytest.raises(GuardRefusal, match="does not allow generate-key slot 1"):
        irreversible.generate_key(element, 1, guard.permit(Operation.GENERATE_KEY, 2))
    with pytest.raises(GuardRefusal, match="is for another element"):
        irreversible.generate_key(element, 1, guard.permit(Operation.GENERATE_KEY, 1, bytes(9)))
    assert writes(bus) == []
    assert guard.armed == []


def test_a_refusal_by_the_element_is_raised_as_it_is() -> None:
    element, paper, _, guard = setup(CONFIG_LOCKED)
    paper.instead[Opcode.WRITE] = b"\x0f"
    with pytest.raises(ElementError, match="Write: status 0x0F"):
        irreversible.write_slot(element, 9, bytes(32), guard.permit(Operation.WRITE_SLOT, 9))
