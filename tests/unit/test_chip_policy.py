"""The access policy: WriteConfig by nibble, lock states, reads, authorisation, use limits, latch.

The expectations are written out here on their own, from the tables of DS508 (DS20005927A sections
2.2 to 2.4 and 3.2), not from the emulator's tables.
"""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING

import pytest

from hil.emulator.chip.config import encode_counter
from hil.wire.atecc import Command
from tests.unit.chip_bench import (
    DATA_KEY,
    ECC_PRIVATE,
    ECC_PUBLIC,
    TEST_POINT,
    TEST_SCALAR,
    Part,
    summary,
)

if TYPE_CHECKING:
    from collections.abc import Callable

KEK = bytes(range(32))
OK, PARSE, REFUSED = b"\0", b"\x03", b"\x0f"
FAMILIES = ["atecc508a", "atecc608b"]
ZERO = bytes(25)


def xor(a: bytes, b: bytes) -> bytes:
    return bytes(x ^ y for x, y in zip(a, b, strict=True))


def tag(part: Part, opcode: int, p1: int, p2: int) -> bytes:
    serial = part.memory.serial
    return bytes((opcode, p1, p2 & 0xFF, p2 >> 8)) + serial[8:9] + serial[:2]


def session_key(part: Part, slot: int = 4) -> bytes:
    """TempKey after a random nonce and GenDig over a slot, computed as a host does."""
    nonce = part.random_nonce()
    assert part.gen_dig(slot) == 0
    key = part.memory.slot(slot)[:32]
    return sha256(key + tag(part, 0x15, 2, slot) + ZERO + nonce).digest()


def encrypted(part: Part, p1: int, p2: int, clear: bytes) -> bytes:
    """Data of an encrypted write under the KEK in slot 4."""
    temp = session_key(part)
    return xor(clear, temp) + sha256(temp + tag(part, 0x12, p1, p2) + ZERO + clear).digest()


# -- WriteConfig, all sixteen nibbles ------------------------------------------------------------

WRITE = {
    0: "clear", 1: "clear", 2: "never", 3: "never", 4: "encrypted", 5: "encrypted", 6: "encrypted",
    7: "encrypted", 8: "never", 9: "never", 10: "never", 11: "never", 12: "encrypted", 13: "encrypted",
    14: "encrypted", 15: "encrypted",
}  # fmt: skip
DERIVE = {2: "roll", 3: "create", 6: "roll", 7: "create", 10: "roll+mac", 11: "create+mac", 14: "roll+mac",
          15: "create+mac"}  # fmt: skip
GEN_KEY = {2, 3, 6, 7, 10, 11, 14, 15}
PRIV_WRITE = {4, 5, 6, 7, 12, 13, 14, 15}
EVERY_NIBBLE = pytest.mark.parametrize("nibble", range(16))
EVERY_FAMILY = pytest.mark.parametrize("name", FAMILIES)


def ready(name: str, nibble: int, *, lock: bool = True) -> Part:
    """Slot 4 KEK, slot 9 secret data, slot 2 private, both with the nibble and WriteKey 4."""
    part = Part(name).slot(4, 0x8F8F, 0x001C).slot(9, nibble << 12 | 0x0480, 0x001C)
    part.slot(2, nibble << 12 | 0x0487, ECC_PRIVATE)
    part.memory.set_slot(4, KEK)
    part.memory.set_slot(9, b"\x11" * 32)
    part.memory.set_private_key(2, TEST_SCALAR)
    return part.locked() if lock else part


@EVERY_FAMILY
@EVERY_NIBBLE
def test_write_in_clear(name: str, nibble: int) -> None:
    part = ready(name, nibble)
    answer = part.send(0x12, 0x82, 9 << 3, b"\x22" * 32)
    assert answer == (OK if WRITE[nibble] == "clear" else REFUSED)
    assert part.memory.slot(9)[:32] == (b"\x22" if WRITE[nibble] == "clear" else b"\x11") * 32


@EVERY_FAMILY
@EVERY_NIBBLE
@pytest.mark.parametrize("p1", [0x82, 0xC2])
def test_write_encrypted(name: str, nibble: int, p1: int) -> None:
    part = ready(name, nibble)
    answer = part.send(0x12, p1, 9 << 3, encrypted(part, p1, 9 << 3, b"\x33" * 32))
    expected = WRITE[nibble] == "encrypted"
    assert answer == (OK if expected else REFUSED)
    assert part.memory.slot(9)[:32] == (b"\x33" if expected else b"\x11") * 32


@EVERY_FAMILY
@EVERY_NIBBLE
@pytest.mark.parametrize("with_mac", [False, True])
def test_derive_key(name: str, nibble: int, with_mac: bool) -> None:
    part = ready(name, nibble)
    nonce = part.random_nonce()
    mac = sha256(KEK + tag(part, 0x1C, 0, 9)).digest() if with_mac else b""
    answer = part.send(0x1C, 0, 9, mac)
    kind = DERIVE.get(nibble, "")
    if not kind or ("mac" in kind and not with_mac):
        assert answer == REFUSED
        assert part.memory.slot(9)[:32] == b"\x11" * 32
        return
    source = b"\x11" * 32 if kind.startswith("roll") else KEK
    assert answer == OK
    assert part.memory.slot(9)[:32] == sha256(source + tag(part, 0x1C, 0, 9) + ZERO + nonce).digest()


@EVERY_FAMILY
@pytest.mark.parametrize(("nibble", "answer"), [(10, OK), (11, REFUSED)], ids=["roll", "create"])
def test_derive_key_asks_a_random_nonce_of_the_source_key_alone(
    name: str, nibble: int, answer: bytes
) -> None:
    part = ready(name, nibble, lock=False).slot(4, 0x8F8F, 0x005C).locked()  # the parent has ReqRandom
    part.nonce()
    assert part.send(0x1C, 4, 9, sha256(KEK + tag(part, 0x1C, 4, 9)).digest()) == answer


@EVERY_FAMILY
@EVERY_NIBBLE
def test_gen_key(name: str, nibble: int) -> None:
    part = ready(name, nibble)
    answer = part.send(0x40, 4, 2)
    assert (len(answer) == 64) is (nibble in GEN_KEY)
    assert (part.memory.slot(2)[4:] == TEST_SCALAR) is (nibble not in GEN_KEY)


@EVERY_FAMILY
@EVERY_NIBBLE
@pytest.mark.parametrize("p1", [0x00, 0x40])
def test_priv_write(name: str, nibble: int, p1: int) -> None:
    part = ready(name, nibble)
    temp = session_key(part)
    clear = bytes(4) + bytes(range(1, 33))
    mac = sha256(temp + tag(part, 0x46, p1, 2) + bytes(21) + clear).digest()
    sent = xor(clear, temp + sha256(temp).digest()[:4]) if p1 else clear
    answer = part.send(0x46, p1, 2, sent + mac)
    expected = p1 == 0x40 and nibble in PRIV_WRITE
    assert answer == (OK if expected else REFUSED)
    assert (part.memory.slot(2) == clear) is expected


@EVERY_FAMILY
@EVERY_NIBBLE
def test_write_never_reaches_a_private_slot(name: str, nibble: int) -> None:
    part = ready(name, nibble)
    for p1 in (0x82, 0xC2):
        assert part.send(0x12, p1, 2 << 3, bytes(32)) == REFUSED
        assert part.send(0x12, p1, 2 << 3, encrypted(part, p1, 2 << 3, bytes(32))) == REFUSED
    assert part.memory.slot(2)[4:] == TEST_SCALAR


@EVERY_NIBBLE
def test_policies_are_ignored_between_the_locks(nibble: int) -> None:
    part = ready("atecc508a", nibble, lock=False).locked(data=False)
    assert part.send(0x12, 0x82, 9 << 3, b"\x22" * 32) == OK
    assert part.send(0x46, 0, 2, bytes(4) + bytes(range(1, 33)) + bytes(32)) == OK
    assert len(part.send(0x40, 4, 2)) == 64


@pytest.mark.parametrize("nibble", [0, 4, 6])
def test_a_locked_slot_is_never_changed(nibble: int) -> None:
    for data_locked in (False, True):
        part = ready("atecc508a", nibble, lock=False)
        part.memory.lock_slot(9)
        part.memory.lock_slot(2)
        part.locked(data=data_locked)
        assert part.send(0x12, 0x82, 9 << 3, b"\x22" * 32) == REFUSED
        assert part.send(0x40, 4, 2) == REFUSED
        part.random_nonce()
        assert part.send(0x1C, 0, 9) == REFUSED
        assert part.send(0x46, 0, 2, bytes(4) + bytes(range(1, 33)) + bytes(32)) == REFUSED


@EVERY_FAMILY
def test_an_encrypted_write_needs_the_write_key(name: str) -> None:
    part = ready(name, 4).slot(5, 0x8F8F, 0x001C)
    temp = session_key(part, 5)
    clear = b"\x33" * 32
    mac = sha256(temp + tag(part, 0x12, 0xC2, 9 << 3) + ZERO + clear).digest()
    assert part.send(0x12, 0xC2, 9 << 3, xor(clear, temp) + mac) == REFUSED
    assert part.memory.slot(9)[:32] == b"\x11" * 32


# -- four-byte writes, validity mark -------------------------------------------------------------


@pytest.mark.parametrize(
    ("slot_config", "answer"),
    [(0x0F0F, OK), (0x0F8F, REFUSED), (0x1F0F, REFUSED), (0x4F0F, REFUSED), (0x8F0F, REFUSED)],
)
def test_words_are_written_to_public_always_writable_slots_only(slot_config: int, answer: bytes) -> None:
    part = Part().slot(9, slot_config, DATA_KEY).locked()
    assert part.send(0x12, 2, 9 << 3, b"\x01\x02\x03\x04") == answer


def test_words_are_not_written_before_the_data_lock() -> None:
    part = Part().slot(9, 0x0F0F, DATA_KEY).locked(data=False)
    assert part.send(0x12, 2, 9 << 3, bytes(4)) == REFUSED


def test_writing_a_public_key_marks_it_as_not_validated() -> None:
    part = Part().slot(9, 0x0F0F, ECC_PUBLIC | 2).locked()
    part.memory.set_public_key(9, TEST_POINT, validity=5)
    assert part.send(0x30, 1, 9) == b"\x01\0\0\0"
    assert part.send(0x12, 0x82, 9 << 3 | 1 << 8, bytes(32)) == OK
    assert part.memory.validity(9) == 0xA
    assert part.send(0x30, 1, 9) == b"\0\0\0\0"


def test_a_validated_key_with_pub_invalid_is_not_written() -> None:
    part = Part().slot(9, 0x1F0F, ECC_PUBLIC | 2).locked()
    part.memory.set_public_key(9, TEST_POINT, validity=5)
    assert part.send(0x12, 0x82, 9 << 3, bytes(32)) == REFUSED
    part.memory.set_public_key(9, TEST_POINT, validity=0xA)
    assert part.send(0x12, 0x82, 9 << 3, bytes(32)) == OK


# -- Read ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("slot_config", "readable"), [
    (0x0F0F, True), (0x0F8F, False), (0x0F4F, False), (0x0FC4, False),
])  # fmt: skip
def test_reads_in_clear(slot_config: int, readable: bool) -> None:
    part = Part().slot(9, slot_config, DATA_KEY)
    part.memory.set_slot(9, b"\x77" * 72)
    part.locked()
    assert part.send(0x02, 0x82, 9 << 3) == (b"\x77" * 32 if readable else REFUSED)
    assert part.send(0x02, 0x02, 9 << 3) == (b"\x77" * 4 if readable else REFUSED)


@EVERY_FAMILY
def test_an_encrypted_read(name: str) -> None:
    part = Part(name).slot(9, 0x0FC4, DATA_KEY).slot(4, 0x8F8F, 0x001C)
    part.memory.set_slot(9, bytes(range(72)))
    part.memory.set_slot(4, KEK)
    part.locked()
    temp = session_key(part)
    answer = part.send(0x02, 0x82, 9 << 3 | 2 << 8)
    assert xor(answer, temp) == bytes(range(64, 72)) + bytes(24)
    assert part.send(0x02, 0x82, 9 << 3) == REFUSED, "TempKey was used up"


@pytest.mark.parametrize("wrong", ["fixed nonce", "other key", "no GenDig"])
def test_an_encrypted_read_needs_the_read_key_and_a_random_nonce(wrong: str) -> None:
    part = Part().slot(9, 0x0FC4, DATA_KEY).slot(4, 0x8F8F, 0x001C).slot(5, 0x8F8F, 0x001C).locked()
    if wrong == "fixed nonce":
        part.nonce()
    else:
        part.random_nonce()
    if wrong != "no GenDig":
        part.gen_dig(5 if wrong == "other key" else 4)
    assert part.send(0x02, 0x82, 9 << 3) == REFUSED


def test_a_private_key_is_never_read() -> None:
    for slot_config in (0x6487, 0x6407, 0x64C7):
        part = Part().slot(0, slot_config, ECC_PRIVATE).slot(4, 0x8F8F, 0x001C)
        part.memory.set_private_key(0, TEST_SCALAR)
        part.locked()
        session_key(part)
        assert part.send(0x02, 0x82, 0) == REFUSED
        assert part.send(0x02, 0x02, 1) == REFUSED


# -- the lock-state matrix -----------------------------------------------------------------------

STAGES = ["blank", "config locked", "locked"]


def at(stage: str, name: str = "atecc508a") -> Part:
    part = Part(name).slot(0, 0x6487, ECC_PRIVATE).slot(4, 0x8F8F, 0x001C).slot(9, 0x0F0F, DATA_KEY)
    part.slot(5, 0x2F8F, 0x001C)
    part.memory.set_private_key(0, TEST_SCALAR)
    part.memory.set_slot(4, KEK)
    if name == "atecc508a":
        part.memory.set_config(18, b"\xaa")  # OTP read-only; parts are shipped in consumption mode
    if stage != "blank":
        part.locked(data=stage == "locked")
    return part


def done(answer: bytes) -> bool:
    return len(answer) > 1 or answer == OK


OPERATIONS: dict[str, tuple[Callable[[Part], bytes], tuple[bool, bool, bool]]] = {
    "read config": (lambda p: p.send(0x02, 0x80, 0), (True, True, True)),
    "write config": (lambda p: p.send(0x12, 0, 4, b"\xc0\0\x55\0"), (True, False, False)),
    "read OTP": (lambda p: p.send(0x02, 0x81, 0), (False, False, True)),
    "write OTP": (lambda p: p.send(0x12, 0x81, 0, bytes(32)), (False, True, False)),
    "read data": (lambda p: p.send(0x02, 0x82, 9 << 3), (False, False, True)),
    "write data": (lambda p: p.send(0x12, 0x82, 9 << 3, bytes(32)), (False, True, True)),
    "PrivWrite in clear": (
        lambda p: p.send(0x46, 0, 0, bytes(4) + TEST_SCALAR + bytes(32)), (False, True, False)),
    "GenKey create": (lambda p: p.send(0x40, 4, 0), (False, True, True)),
    "GenKey public": (lambda p: p.send(0x40, 0, 0), (False, True, True)),
    "DeriveKey": (lambda p: p.with_nonce().send(0x1C, 4, 5), (False, True, True)),
    "Sign external": (lambda p: p.with_nonce().send(0x41, 0x80, 0), (False, True, True)),
    "Sign internal": (
        lambda p: (p.with_nonce().send(0x40, 8, 0), p.send(0x41, 0, 0))[1], (False, False, True)),
    "GenDig data": (lambda p: p.with_nonce().send(0x15, 2, 4), (False, True, True)),
    "GenDig config": (lambda p: p.with_nonce().send(0x15, 0, 0), (True, True, True)),
    "Lock slot": (lambda p: p.send(0x17, 0x82, 0), (False, True, True)),
    "Lock config": (lambda p: p.send(0x17, 0x80, 0), (True, False, False)),
    "Lock data": (lambda p: p.send(0x17, 0x81, 0), (False, True, False)),
    "MAC": (lambda p: p.send(0x08, 0, 4, bytes(32)), (False, True, True)),
    "ECDH": (lambda p: p.send(0x43, 0, 0, TEST_POINT), (False, True, True)),
    "Counter": (lambda p: p.send(0x24, 1, 0), (True, True, True)),
    "UpdateExtra": (lambda p: p.send(0x20, 0, 7), (True, True, True)),
    "Info": (lambda p: p.send(0x30), (True, True, True)),
    "SHA": (lambda p: p.send(0x47, 0), (True, True, True)),
}  # fmt: skip


@pytest.mark.parametrize("stage", range(3), ids=STAGES)
@pytest.mark.parametrize("operation", OPERATIONS)
@EVERY_FAMILY
def test_the_lock_state_matrix(name: str, operation: str, stage: int) -> None:
    run, allowed = OPERATIONS[operation]
    answer = run(at(STAGES[stage], name))
    assert done(answer) is allowed[stage], answer.hex()
    if not allowed[stage]:
        assert answer == REFUSED


@pytest.mark.parametrize("lock_byte", [0x00, 0x54, 0xAA, 0xFF])
def test_any_other_lock_byte_than_55_is_locked(lock_byte: int) -> None:
    part = Part()
    part.memory.set_config(87, bytes((lock_byte,)))
    assert part.send(0x12, 0, 4, b"\xc0\0\x55\0") == REFUSED


# -- Write config --------------------------------------------------------------------------------


@pytest.mark.parametrize("word", range(32))
def test_the_writable_words_of_the_configuration(word: int) -> None:
    part = Part()
    writable = word >= 4 and word != 21
    assert part.send(0x12, 0, word, b"\x12\x34\x56\x78") == (OK if writable else REFUSED)
    assert (part.memory.config[4 * word : 4 * word + 4] == b"\x12\x34\x56\x78") is writable


@pytest.mark.parametrize(("block", "answer"), list(enumerate([REFUSED, OK, REFUSED, OK])))
def test_the_writable_blocks_of_the_configuration(block: int, answer: bytes) -> None:
    assert Part().send(0x12, 0x80, block << 3, b"\x01" * 32) == answer


def test_the_configuration_takes_no_encrypted_write() -> None:
    assert Part().send(0x12, 0xC0, 8, bytes(64)) == PARSE


# -- OTP -----------------------------------------------------------------------------------------


def test_otp_bits_are_consumed_on_a_508a_in_that_mode() -> None:
    part = Part().locked()
    part.memory.set_config(18, b"\x55")
    assert part.send(0x12, 1, 2, b"\xf0\x0f\xff\x00") == OK
    assert part.send(0x12, 1, 2, b"\xff\xff\x0f\xff") == OK
    assert part.send(0x02, 1, 2) == b"\xf0\x0f\x0f\x00"
    part.memory.set_config(18, b"\xaa")
    assert part.send(0x12, 1, 2, bytes(4)) == REFUSED


def test_the_608_has_no_consumption_mode() -> None:
    part = Part("atecc608b")
    part.memory.set_config(18, b"\x55")
    assert part.locked().send(0x12, 1, 2, bytes(4)) == REFUSED


# -- Lock ----------------------------------------------------------------------------------------


@EVERY_FAMILY
def test_both_zones_lock_with_the_crc_of_their_content(name: str) -> None:
    part = Part(name, configuration="mongoose-os")
    part.memory.set_private_key(0, TEST_SCALAR)
    part.memory.set_slot(8, b"\x42" * 416)
    assert part.send(0x17, 0, summary(part.memory, data=False) ^ 0x100) == REFUSED
    assert part.send(0x17, 0, summary(part.memory, data=False)) == OK
    right = summary(part.memory, data=True)
    assert part.send(0x17, 1, right ^ 1) == REFUSED
    assert not part.memory.data_locked
    assert part.send(0x17, 1, right) == OK
    assert part.memory.data_locked
    assert part.send(0x17, 0x81) == REFUSED
    assert part.send(0x17, 0x80) == REFUSED


def test_the_data_crc_does_not_cover_private_slots() -> None:
    part = Part(configuration="mongoose-os").locked(data=False)
    before = summary(part.memory, data=True)
    assert len(part.send(0x40, 4, 0)) == 64
    assert part.send(0x17, 1, before) == OK


def test_a_slot_locks_once_and_if_it_is_lockable() -> None:
    part = Part().slot(3, 0x6487, 0x0033).slot(2, 0x6487, 0x0013).locked()
    assert part.send(0x17, 0x82 | 3 << 2) == OK
    assert not part.memory.slot_open(3)
    assert part.send(0x17, 0x82 | 3 << 2) == REFUSED
    assert part.send(0x17, 0x82 | 2 << 2) == REFUSED
    assert part.memory.slot_open(2)


@pytest.mark.parametrize("p1", [0x03, 0x43, 0x40, 0x84, 0x85, 0x04])
def test_impossible_lock_modes_are_parse_errors(p1: int) -> None:
    assert Part().send(0x17, p1) == PARSE


# -- ReqRandom, ReqAuth, limited use, latch ------------------------------------------------------


@pytest.mark.parametrize("random", [False, True])
def test_req_random_asks_for_a_random_nonce_after_the_data_lock(random: bool) -> None:
    part = Part().slot(4, 0x8F8F, 0x005C)
    part.locked(data=False).nonce()
    assert part.gen_dig(4) == 0, "ignored before the lock"
    part.memory.lock_data()
    if random:
        part.random_nonce()
    else:
        part.nonce()
    assert part.gen_dig(4) == (0 if random else 0x0F)


def check_mac(part: Part, slot: int, key: bytes, *, p1: int = 0) -> bytes:
    challenge, other = bytes(32), bytes(13)
    serial = part.memory.serial
    message = key + challenge + other[:4] + bytes(8) + other[4:7] + serial[8:9] + other[7:11] + serial[:2]
    return part.send(0x28, p1, slot, challenge + sha256(message + other[11:13]).digest() + other)


def test_a_key_with_req_auth_works_once_after_its_authorisation() -> None:
    part = Part().slot(4, 0x8F8F, 0x001C).slot(0, 0x6487, ECC_PRIVATE | 0x0480)
    part.memory.set_slot(4, KEK)
    part.memory.set_private_key(0, TEST_SCALAR)
    part.locked()

    def sign() -> bytes:
        part.nonce()
        return part.send(0x41, 0x80, 0)

    assert sign() == REFUSED
    assert check_mac(part, 4, bytes(32)) == b"\x01"
    assert sign() == REFUSED
    assert check_mac(part, 4, KEK) == OK
    assert len(sign()) == 64
    assert sign() == REFUSED, "the authorisation is used up"


def test_the_authorisation_of_another_slot_does_not_count() -> None:
    part = Part().slot(5, 0x8F8F, 0x001C).slot(0, 0x6487, ECC_PRIVATE | 0x0480)
    part.memory.set_slot(5, KEK)
    part.memory.set_private_key(0, TEST_SCALAR)
    part.locked()
    assert check_mac(part, 5, KEK) == OK
    part.nonce()
    assert part.send(0x41, 0x80, 0) == REFUSED


@EVERY_FAMILY
def test_a_limited_key_stops_at_the_end_of_the_counter(name: str) -> None:
    part = Part(name).slot(4, 0x8FAF, 0x001C)
    part.memory.set_config(52, encode_counter(2_097_150))
    part.locked()
    assert len(part.send(0x08, 0, 4, bytes(32))) == 32
    assert part.memory.counter(0) == 2_097_151
    assert part.send(0x08, 0, 4, bytes(32)) == REFUSED
    assert part.memory.counter(0) == 2_097_151


def test_slot_15_of_a_508a_counts_in_last_key_use() -> None:
    part = Part().slot(15, 0x8FAF, 0x001C)
    part.memory.set_config(68, b"\xff\xc0".ljust(16, b"\0"))
    part.locked()
    seen = []
    for _ in range(10):
        assert len(part.send(0x08, 0, 15, bytes(32))) == 32
        seen.append(bytes(part.memory.config[68:70]).hex())
    assert seen[:8] == ["7fc0", "3fc0", "1fc0", "0fc0", "07c0", "03c0", "01c0", "00c0"]
    assert seen[8:] == ["0040", "0000"]
    assert part.send(0x08, 0, 15, bytes(32)) == REFUSED
    assert part.memory.counter(0) == 0


def test_count_match_of_a_608_ends_a_limited_key_early() -> None:
    part = Part("atecc608b").slot(4, 0x8FAF, 0x001C).slot(8, 0x0F0F, DATA_KEY)
    part.memory.set_config(18, b"\x81")
    part.memory.set_config(52, encode_counter(31))
    part.memory.set_slot(8, (32).to_bytes(4, "little") * 2)
    part.locked()
    assert len(part.send(0x08, 0, 4, bytes(32))) == 32
    assert part.memory.counter(0) == 32
    assert part.send(0x08, 0, 4, bytes(32)) == REFUSED
    assert part.memory.counter(0) == 32


def test_update_extra_burns_one_use() -> None:
    part = Part().slot(4, 0x8FAF, 0x001C).locked()
    assert part.send(0x20, 2, 4) == OK
    assert part.send(0x20, 3, 4) == OK
    assert part.memory.counter(0) == 2
    assert part.send(0x20, 2, 5) == OK, "success without action on a slot without limit"
    assert part.memory.counter(0) == 2


def test_a_use_is_burnt_even_if_power_fails_before_the_result() -> None:
    part = Part().slot(0, 0x64A7, ECC_PRIVATE)
    part.memory.set_private_key(0, TEST_SCALAR)
    part.locked().start()
    part.nonce()
    part.write(b"\x03" + Command(0x41, 0x80).encode())
    part.time += 20_000
    part.chip.power_off()
    assert part.memory.counter(0) == 1


def test_gen_key_is_not_limited() -> None:
    part = Part().slot(0, 0x64A7, ECC_PRIVATE).locked()
    assert len(part.send(0x40, 4, 0)) == 64
    assert part.memory.counter(0) == 0


def test_a_persistently_disabled_key_needs_the_latch() -> None:
    part = Part("atecc608b").slot(0, 0x6487, ECC_PRIVATE | 0x1000).slot(4, 0x8F8F, 0x001C)
    part.memory.set_config(69, b"\x84")
    part.memory.set_private_key(0, TEST_SCALAR)
    part.memory.set_slot(4, KEK)
    part.locked()
    part.nonce()
    assert part.send(0x41, 0x80, 0) == REFUSED
    assert part.send(0x30, 4, 3) == REFUSED, "the latch asks for an authorisation"
    assert check_mac(part, 4, KEK) == OK
    assert part.send(0x30, 4, 3) == b"\x01\0\0\0"
    part.nonce()
    assert len(part.send(0x41, 0x80, 0)) == 64
    assert part.send(0x30, 4) == b"\x01\0\0\0"


def test_the_latch_takes_the_authorisation_of_its_own_slot_only() -> None:
    part = Part("atecc608b").slot(5, 0x8F8F, 0x001C)
    part.memory.set_config(69, b"\x84")
    part.memory.set_slot(5, KEK)
    part.locked()
    assert check_mac(part, 5, KEK) == OK
    assert part.send(0x30, 4, 3) == REFUSED
    part.memory.set_config(69, b"\x05")
    assert check_mac(part, 5, KEK) == OK
    assert part.send(0x30, 4, 3) == REFUSED, "the permission is not enabled"


def test_an_intrusion_disabled_key_of_a_508a_is_never_usable_on_i2c() -> None:
    part = Part().slot(0, 0x6487, ECC_PRIVATE | 0x1000)
    part.memory.set_private_key(0, TEST_SCALAR)
    part.locked()
    part.nonce()
    assert part.send(0x41, 0x80, 0) == REFUSED
    assert len(part.send(0x40, 4, 0)) == 64, "GenKey is exempt"


# -- precedence of the status codes --------------------------------------------------------------


def test_form_is_judged_before_state() -> None:
    part = Part()
    assert part.send(0x41, 0x81, 0) == PARSE
    assert part.send(0x24, 0, 2) == PARSE
    assert part.send(0x30, 0x09) == PARSE
    assert part.send(0x99) == PARSE
    assert part.send(0x41, 0x80, 0, b"\0") == PARSE
    assert part.send(0x02, 0x82, 3 << 8 | 9 << 3) == PARSE


@pytest.mark.parametrize(("p1", "address"), [(0x02, 0x0101), (0x82, 0x0348), (0x82, 0x0D40)])
def test_addresses_beyond_a_slot_are_parse_errors(p1: int, address: int) -> None:
    assert Part().locked().send(0x02, p1, address) == PARSE


def test_extra_data_is_a_parse_error_unless_the_knob_ignores_it() -> None:
    assert Part().send(0x30, 0, 0, b"\0\0") == PARSE
    assert Part(extra_data="ignore").send(0x30, 0, 0, b"\0\0") == bytes.fromhex("00005000")


def test_a_self_test_failure_hides_everything_but_config_reads() -> None:
    part = Part("atecc608b")
    part.chip.session.self_test_failures = 0x20
    assert part.send(0x1B) == b"\x07"
    assert part.send(0x99) == b"\x07"
    assert len(part.send(0x02, 0x80, 0)) == 32
    assert part.send(0x77, 0) == b"\x20"
    assert part.send(0x77, 0x20) == OK
    assert len(part.send(0x1B)) == 32


@pytest.mark.parametrize("opcode", [0x51, 0x56, 0x80, 0x77])
def test_the_508a_lacks_the_commands_of_the_608(opcode: int) -> None:
    assert Part().send(opcode, 5 if opcode == 0x80 else 0) == PARSE


@pytest.mark.parametrize("opcode", [0x01, 0x11])
def test_the_608_lacks_the_commands_that_were_dropped(opcode: int) -> None:
    assert Part("atecc608a").send(opcode) == PARSE
