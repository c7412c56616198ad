"""Counters, extra bytes, derived and agreed keys, validity, secure boot: packets, permits, proofs."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from hil.element import digests, irreversible, irreversible_boot, irreversible_state, irreversible_words
from hil.element.commands608 import KdfSource
from hil.element.device import Element
from hil.errors import DeviceError, ElementError, GuardRefusal, UsageError
from hil.guard.operations import IRREVERSIBLE, Operation, classify
from hil.guard.permit import Permit, RpcCall, issue
from hil.wire.atecc import Command, Opcode

from .element_script import ADDRESS, SERIAL, AnsweringBus, in_order

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

OK = b"\0"
BLOCK = bytes(range(32))
POINT = bytes(range(64))
WHO = (Command(Opcode.READ, 0x80, 0), SERIAL[0:4] + bytes(4) + SERIAL[4:9] + bytes(19))


class Armed:
    """A permit issuer that keeps what was armed, in which state the element was then."""

    def __init__(self) -> None:
        self.commands: list[Command | RpcCall] = []
        self.states: list[str] = []
        self.bus: AnsweringBus | None = None

    @contextmanager
    def arm(self, permit: Permit, actions: Sequence[Command | RpcCall]) -> Iterator[None]:
        assert self.bus is not None
        self.commands += actions
        self.states.append(self.bus.states[-1])
        yield


def setup(
    operation: Operation, slot: int | None, expected: Sequence[tuple[Command, bytes]]
) -> tuple[Element, Permit, Armed]:
    bus = AnsweringBus(in_order([WHO, *expected]))
    armed = Armed()
    armed.bus = bus
    element = Element(bus, ADDRESS, "atecc608b", entropy=bytes)
    return element, issue(armed, operation, SERIAL.hex(), slot), armed


def test_user_extra_and_selector_are_set_once() -> None:
    for function, mode, after in (
        (irreversible_state.update_extra, 0, "2a000000"),
        (irreversible_state.update_selector, 1, "002a0000"),
    ):
        word = Command(Opcode.READ, 0, 21)
        command = Command(Opcode.UPDATEEXTRA, mode, 0x2A)
        element, permit, armed = setup(Operation.UPDATE_EXTRA, None, [(word, bytes(4)), (command, OK)])
        function(element, 0x2A, permit)
        assert armed.commands == [command]
        element, permit, armed = setup(Operation.UPDATE_EXTRA, None, [(word, bytes.fromhex(after))])
        function(element, 0x2A, permit)
        assert armed.commands == [], "it is set already"


@pytest.mark.parametrize(("offset", "mode"), [(84, 0), (85, 1)])
def test_an_extra_byte_whose_answer_was_lost_is_proven_by_its_own_byte(offset: int, mode: int) -> None:
    word, command = Command(Opcode.READ, 0, 21), Command(Opcode.UPDATEEXTRA, mode, 0x2A)
    after = bytes(offset - 84) + b"\x2a" + bytes(87 - offset)
    steps = [(word, bytes(4)), (command, b"\x11"), (word, after)]
    element, permit, _ = setup(Operation.UPDATE_EXTRA, None, steps)
    (irreversible_state.update_selector if mode else irreversible_state.update_extra)(element, 0x2A, permit)
    other = after[1:2] + after[0:1] + after[2:]
    steps = [(word, bytes(4))] + [(command, b"\x11"), (word, other)] * 3
    element, permit, _ = setup(Operation.UPDATE_EXTRA, None, steps)
    with pytest.raises(ElementError, match="nothing changed"):
        (irreversible_state.update_selector if mode else irreversible_state.update_extra)(
            element, 0x2A, permit
        )


def test_a_value_that_is_no_byte_is_refused() -> None:
    element, permit, _ = setup(Operation.UPDATE_EXTRA, None, [])
    with pytest.raises(UsageError):
        irreversible_state.update_extra(element, 256, permit)
    steps = [(Command(Opcode.READ, 0, 21), bytes(4)), (Command(Opcode.UPDATEEXTRA, 0, 255), OK)]
    element, permit, _ = setup(Operation.UPDATE_EXTRA, None, steps)
    irreversible_state.update_extra(element, 255, permit)


def test_burning_a_use_cannot_be_proven_so_a_lost_answer_is_an_error() -> None:
    command = Command(Opcode.UPDATEEXTRA, 2, 5)
    element, permit, armed = setup(Operation.UPDATE_EXTRA, None, [(command, OK)])
    irreversible_state.burn_use(element, 5, permit)
    assert armed.commands == [command]
    element, permit, _ = setup(Operation.UPDATE_EXTRA, None, [(command, b"\x11")])
    with pytest.raises(DeviceError, match="nothing can tell"):
        irreversible_state.burn_use(element, 5, permit)


READ1, COUNT1 = Command(Opcode.COUNTER, 0, 1), Command(Opcode.COUNTER, 1, 1)


def test_a_counter_counts_once() -> None:
    element, permit, armed = setup(Operation.COUNTER, None, [(READ1, b"\7\0\0\0"), (COUNT1, b"\x08\0\0\0")])
    assert irreversible_state.increment_counter(element, 1, permit) == 8
    assert armed.commands == [COUNT1]


def test_a_counter_whose_answer_was_lost_is_read_and_not_counted_twice() -> None:
    steps = [(READ1, b"\7\0\0\0"), (COUNT1, b"\x11"), (READ1, b"\x08\0\0\0"), (READ1, b"\x08\0\0\0")]
    element, permit, _ = setup(Operation.COUNTER, None, steps)
    assert irreversible_state.increment_counter(element, 1, permit) == 8


def test_a_counter_that_provably_did_not_count_is_asked_again() -> None:
    steps = [(READ1, b"\7\0\0\0"), (COUNT1, b"\x11"), (READ1, b"\7\0\0\0"), (COUNT1, b"\x08\0\0\0")]
    element, permit, armed = setup(Operation.COUNTER, None, steps)
    assert irreversible_state.increment_counter(element, 1, permit) == 8
    assert armed.commands == [COUNT1, COUNT1]


def test_derive_key_arms_while_the_element_idles_with_its_nonce() -> None:
    nonce = Command(Opcode.NONCE, 0, 0, bytes(20))
    derive = Command(Opcode.DERIVEKEY, 0, 3)
    element, permit, armed = setup(Operation.DERIVE_KEY, 3, [(nonce, BLOCK), (derive, OK)])
    result = irreversible_state.derive_key(element, 3, permit)
    assert result.tempkey == digests.nonce_tempkey(BLOCK, bytes(20), 0)
    assert armed.states == ["idle"]


def test_derive_key_authorises_itself_with_the_parent() -> None:
    mac = digests.derive_key_mac(BLOCK, 0, 3, SERIAL)
    nonce = Command(Opcode.NONCE, 0, 0, bytes(20))
    steps = [WHO, (nonce, BLOCK), (Command(Opcode.DERIVEKEY, 0, 3, mac), OK)]
    element, permit, _ = setup(Operation.DERIVE_KEY, 3, steps)
    irreversible_state.derive_key(element, 3, permit, parent=BLOCK)


def test_an_agreed_key_goes_into_the_slot_and_tempkey_survives_the_arming() -> None:
    command = Command(Opcode.ECDH, 0x05, 9, POINT)
    element, permit, armed = setup(Operation.ECDH_INTO_SLOT, 9, [(command, OK)])
    with element.session():
        irreversible_state.agree_into_slot(element, 9, POINT, permit)
    assert armed.commands == [command]
    assert armed.states == ["idle"]


def test_hkdf_into_a_slot_names_both_slots() -> None:
    command = Command(Opcode.KDF, 0x4A, 0x0905, bytes.fromhex("02000003") + b"abc")
    element, permit, armed = setup(Operation.KDF_INTO_SLOT, 9, [(command, OK)])
    irreversible_state.hkdf_into_slot(element, 9, b"abc", permit, source=KdfSource.SLOT, source_slot=5)
    assert armed.commands == [command]


@pytest.mark.parametrize(("valid", "mode"), [(True, 3), (False, 7)])
@pytest.mark.parametrize(("status", "good"), [(0, True), (1, False)])
def test_validity_is_a_nonce_a_digest_and_a_verify(valid: bool, mode: int, status: int, good: bool) -> None:
    other = bytes(range(19))
    verify = Command(Opcode.VERIFY, mode, 9, POINT + other)
    steps = [
        (Command(Opcode.NONCE, 3, 0, BLOCK), OK),
        (Command(Opcode.GENKEY, 0x10, 9, other[:3]), OK),
        (verify, bytes((status,))),
    ]
    element, permit, armed = setup(Operation.KEY_VALIDITY, 9, steps)
    result = irreversible_state.set_key_validity(element, 9, BLOCK, POINT, other, permit, valid=valid)
    assert result is good
    assert armed.commands == [verify]
    assert armed.states == ["idle"]


def test_validity_after_a_lost_answer_is_asked_of_the_element() -> None:
    steps = [
        (Command(Opcode.NONCE, 3, 0, BLOCK), OK),
        (Command(Opcode.GENKEY, 0x10, 9, bytes(3)), OK),
        (Command(Opcode.VERIFY, 3, 9, POINT + bytes(19)), b"\x11"),
        (Command(Opcode.INFO, 1, 9), b"\1\0\0\0"),
    ]
    element, permit, _ = setup(Operation.KEY_VALIDITY, 9, steps)
    assert irreversible_state.set_key_validity(element, 9, BLOCK, POINT, bytes(19), permit)


@pytest.mark.parametrize(("status", "good"), [(0, True), (1, False)])
def test_secure_boot_by_what_is_stored_and_by_copying(status: int, good: bool) -> None:
    stored = Command(Opcode.SECUREBOOT, 6, 0, BLOCK)
    element, permit, _ = setup(Operation.SECURE_BOOT, None, [(stored, bytes((status,)))])
    assert irreversible_boot.secure_boot_check_stored(element, BLOCK, permit) is good
    copy = Command(Opcode.SECUREBOOT, 7, 0, BLOCK + POINT)
    element, permit, _ = setup(Operation.SECURE_BOOT, None, [(copy, bytes((status,)))])
    assert irreversible_boot.secure_boot_copy(element, BLOCK, POINT, permit) is good


def test_a_refusal_is_raised() -> None:
    stored = Command(Opcode.SECUREBOOT, 6, 0, BLOCK)
    element, permit, _ = setup(Operation.SECURE_BOOT, None, [(stored, b"\x0f")])
    with pytest.raises(ElementError, match="0x0F"):
        irreversible_boot.secure_boot_check_stored(element, BLOCK, permit)


CALLS: list[tuple[Operation, int | None, Callable[[Element, Permit], object]]] = [
    (Operation.UPDATE_EXTRA, None, lambda e, p: irreversible_state.update_extra(e, 1, p)),
    (Operation.UPDATE_EXTRA, None, lambda e, p: irreversible_state.update_selector(e, 1, p)),
    (Operation.UPDATE_EXTRA, None, lambda e, p: irreversible_state.burn_use(e, 1, p)),
    (Operation.COUNTER, None, lambda e, p: irreversible_state.increment_counter(e, 1, p)),
    (Operation.DERIVE_KEY, 1, lambda e, p: irreversible_state.derive_key(e, 1, p)),
    (Operation.ECDH_INTO_SLOT, 1, lambda e, p: irreversible_state.agree_into_slot(e, 1, POINT, p)),
    (Operation.ECDH_INTO_SLOT, 1, lambda e, p: irreversible_state.agree_into_next_slot(e, 0, POINT, p)),
    (
        Operation.KDF_INTO_SLOT,
        1,
        lambda e, p: irreversible_state.hkdf_into_slot(e, 1, b"", p, source=KdfSource.TEMPKEY),
    ),
    (
        Operation.KDF_INTO_SLOT,
        1,
        lambda e, p: irreversible_state.prf_into_slot(e, 1, b"", p, source=KdfSource.TEMPKEY),
    ),
    (
        Operation.KEY_VALIDITY,
        9,
        lambda e, p: irreversible_state.set_key_validity(e, 9, BLOCK, POINT, bytes(19), p),
    ),
    (
        Operation.KEY_VALIDITY,
        9,
        lambda e, p: irreversible_state.validate_by_certificate(e, 9, b"", b"", POINT, p),
    ),
    (Operation.WRITE_SLOT, 9, lambda e, p: irreversible_words.write_slot_word(e, 9, 0, b"word", p)),
    (Operation.WRITE_OTP, None, lambda e, p: irreversible_words.clear_otp_bits(e, 0, b"word", p)),
    (Operation.SECURE_BOOT, None, lambda e, p: irreversible_boot.secure_boot_check_stored(e, BLOCK, p)),
    (
        Operation.SECURE_BOOT,
        None,
        lambda e, p: irreversible_boot.secure_boot_check_stored_mac(e, BLOCK, BLOCK, p),
    ),
    (
        Operation.SECURE_BOOT,
        None,
        lambda e, p: irreversible_boot.secure_boot_copy_mac(e, BLOCK, POINT, BLOCK, p),
    ),
    (Operation.SECURE_BOOT, None, lambda e, p: irreversible_boot.secure_boot_copy(e, BLOCK, POINT, p)),
]


@pytest.mark.parametrize(("operation", "slot", "call"), CALLS)
def test_without_the_right_permit_nothing_is_sent(
    operation: Operation, slot: int | None, call: Callable[[Element, Permit], object]
) -> None:
    bus = AnsweringBus(in_order([]))
    armed = Armed()
    wrong = Operation.LOCK_SLOT if operation is not Operation.LOCK_SLOT else Operation.COUNTER
    with pytest.raises(GuardRefusal):
        call(Element(bus, ADDRESS, "atecc608b"), issue(armed, wrong, SERIAL.hex(), slot))
    assert bus.log == []


def test_every_irreversible_command_of_the_table_has_a_function_here_or_beside() -> None:
    covered = {operation for operation, _, _ in CALLS} | {
        Operation.LOCK_CONFIG,
        Operation.LOCK_DATA,
        Operation.LOCK_SLOT,
        Operation.WRITE_CONFIG,
        Operation.WRITE_OTP,
        Operation.WRITE_SLOT,
        Operation.GENERATE_KEY,
        Operation.WRITE_PRIVATE_KEY,
    }
    assert {row.operation for row in IRREVERSIBLE} == covered
    assert classify(COUNT1) is Operation.COUNTER


KEY = SCALAR = bytes(31) + b"\1"
BAD: list[Callable[[Element, Permit], object]] = [
    lambda e, p: irreversible.write_private_key(e, 16, SCALAR, p),
    lambda e, p: irreversible.write_private_key(e, 0, bytes(32), p),
    lambda e, p: irreversible.write_private_key(e, 0, SCALAR[1:], p),
    lambda e, p: irreversible.write_private_key(e, 0, SCALAR, p, write_key=KEY[1:]),
    lambda e, p: irreversible.write_slot(e, -1, BLOCK, p),
    lambda e, p: irreversible.write_slot(e, 9, b"", p),
    lambda e, p: irreversible.write_slot(e, 9, BLOCK, p, block=3),
    lambda e, p: irreversible.write_slot(e, 9, BLOCK[1:], p),
    lambda e, p: irreversible.write_slot(e, 9, BLOCK, p, write_key=KEY + KEY),
    lambda e, p: irreversible.write_otp(e, bytes(63), p),
    lambda e, p: irreversible.write_config(e, bytes(127), p),
    lambda e, p: irreversible.lock_config(e, bytes(129), p),
    lambda e, p: irreversible.lock_slot(e, 16, p),
    lambda e, p: irreversible.generate_key(e, 16, p),
    lambda e, p: irreversible_state.update_extra(e, -1, p),
    lambda e, p: irreversible_state.update_selector(e, 256, p),
    lambda e, p: irreversible_state.burn_use(e, 16, p),
    lambda e, p: irreversible_state.increment_counter(e, 2, p),
    lambda e, p: irreversible_state.derive_key(e, 16, p),
    lambda e, p: irreversible_state.derive_key(e, 1, p, parent=KEY[1:]),
    lambda e, p: irreversible_state.agree_into_slot(e, 16, POINT, p),
    lambda e, p: irreversible_state.agree_into_next_slot(e, 0, POINT[1:], p),
    lambda e, p: irreversible_state.hkdf_into_slot(e, 1, bytes(124), p, source=KdfSource.TEMPKEY),
    lambda e, p: irreversible_state.prf_into_slot(e, 16, b"", p, source=KdfSource.TEMPKEY),
    lambda e, p: irreversible_state.prf_into_slot(e, 1, b"", p, source=KdfSource.TEMPKEY, length=48),
    lambda e, p: irreversible_state.set_key_validity(e, 7, BLOCK, POINT, bytes(19), p),
    lambda e, p: irreversible_state.set_key_validity(e, 9, BLOCK, POINT, bytes(18), p),
    lambda e, p: irreversible_state.validate_by_certificate(e, 7, b"", b"", POINT, p),
    lambda e, p: irreversible_state.validate_by_certificate(e, 9, b"1", b"", POINT, p),
    lambda e, p: irreversible_words.write_slot_word(e, 16, 0, b"word", p),
    lambda e, p: irreversible_words.write_slot_word(e, 9, 1, b"word", p),
    lambda e, p: irreversible_words.clear_otp_bits(e, 64, b"word", p),
    lambda e, p: irreversible_boot.secure_boot_check_stored(e, BLOCK[1:], p),
    lambda e, p: irreversible_boot.secure_boot_check_stored_mac(e, BLOCK, KEY[1:], p),
    lambda e, p: irreversible_boot.secure_boot_copy(e, BLOCK, POINT[1:], p),
    lambda e, p: irreversible_boot.secure_boot_copy_mac(e, BLOCK[1:], POINT, KEY, p),
]


@pytest.mark.parametrize("call", BAD)
def test_what_makes_no_sense_is_refused_before_the_bus_is_touched(
    call: Callable[[Element, Permit], object],
) -> None:
    bus = AnsweringBus(in_order([]))
    with pytest.raises(UsageError):
        call(Element(bus, ADDRESS, "atecc508a"), issue(Armed(), Operation.COUNTER, SERIAL.hex(), None))
    assert bus.log == []
