"""Commands of every part: what they compute and what they leave in the registers.

The expected values are computed here, from the message layouts of the data sheet DS20005927A.
"""

from __future__ import annotations

import hmac
from hashlib import sha256
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from tests.unit.chip_bench import (
    DATA_KEY,
    DIGEST,
    ECC_PRIVATE,
    ECC_PUBLIC,
    TEST_POINT,
    TEST_SCALAR,
    Part,
    host_key,
    point,
    sign,
    verifies,
)

OK, MISCOMPARE, PARSE, REFUSED = b"\0", b"\x01", b"\x03", b"\x0f"
KEY = bytes(range(32))
EVERY_FAMILY = pytest.mark.parametrize("name", ["atecc508a", "atecc608b"])


def tail(part: Part, opcode: int, p1: int, p2: int) -> bytes:
    serial = part.memory.serial
    return bytes((opcode, p1, p2 & 0xFF, p2 >> 8)) + serial[8:9] + serial[:2]


def signer(name: str = "atecc508a", *, slot_config: int = 0x6487, locked: bool = True) -> Part:
    """A key in slot 0 and, in slots 4 and 5, symmetric ones."""
    part = Part(name).slot(0, slot_config, ECC_PRIVATE).slot(1, 0x6487, ECC_PRIVATE)
    part.slot(4, 0x8F8F, 0x001C).slot(5, 0x8F80, 0x001C)
    part.memory.set_private_key(0, TEST_SCALAR)
    part.memory.set_slot(4, KEY)
    part.memory.set_slot(5, KEY[::-1])
    return part.locked(data=locked)


# -- Info, Random, Nonce -------------------------------------------------------------------------


@EVERY_FAMILY
def test_info_state_shows_the_flags(name: str) -> None:
    part = signer(name)
    assert part.send(0x30, 2) == bytes(4)
    part.nonce()
    assert part.send(0x30, 2) == bytes.fromhex("10800000")
    part.gen_dig(4)
    assert part.send(0x30, 2) == bytes.fromhex("34800000")
    part.random_nonce()
    part.send(0x40, 8, 1 if part.memory.key_valid[1] else 0)
    assert part.send(0x30, 2)[0] == 0x40


def test_info_state_shows_the_seeds_of_a_508a() -> None:
    part = signer()
    part.send(0x1B, 1)
    assert part.send(0x30, 2)[1] & 3 == 0
    part.send(0x1B, 0)
    assert part.send(0x30, 2)[1] & 3 == 3


def test_gpio_is_refused_on_an_i2c_part() -> None:
    assert signer().send(0x30, 3) == REFUSED


def test_two_chips_differ_and_one_chip_repeats_with_its_seed() -> None:
    def drawn(serial: bytes, seed: int) -> bytes:
        return Part(serial=serial, seed=seed).locked().send(0x1B)

    one, other = bytes.fromhex("0123e07e00000001ee"), bytes.fromhex("0123e07e00000002ee")
    assert drawn(one, 1) == drawn(one, 1)
    assert len({drawn(one, 1), drawn(one, 2), drawn(other, 1)}) == 3


def test_a_random_nonce_is_the_digest_of_both_random_numbers() -> None:
    part = signer()
    host = bytes(range(20))
    drawn = part.send(0x16, 1, 0, host)
    assert part.temp == sha256(drawn + host + b"\x16\x01\0").digest()
    assert not part.chip.session.temp_key.from_input


def test_a_calculated_nonce_goes_on_from_temp_key_and_keeps_its_flags() -> None:
    part = signer()
    assert part.send(0x16, 0, 0x8000, bytes(20)) == REFUSED
    part.nonce(KEY)
    answer = part.send(0x16, 0, 0x8000, bytes(20))
    assert answer == sha256(KEY + bytes(20) + b"\x16\0\0").digest() == part.temp
    assert part.chip.session.temp_key.from_input


# -- TempKey: who clears it ----------------------------------------------------------------------

AFTER: dict[str, tuple[tuple[Any, ...], bool, bool]] = {
    "Info": ((0x30, 0), True, True),
    "Read": ((0x02, 0x80, 0), False, True),
    "Random": ((0x1B, 0), False, True),
    "Counter": ((0x24, 0), False, True),
    "refused Nonce": ((0x16, 2, 0, bytes(20)), False, True),
    "refused GenDig": ((0x15, 2, 0, b""), False, True),
    "GenKey": ((0x40, 0, 0), True, True),
    "Sign": ((0x41, 0x80, 0), False, False),
    "unknown opcode": ((0x99,), False, True),
}


@pytest.mark.parametrize("what", AFTER)
@EVERY_FAMILY
def test_what_ends_temp_key(name: str, what: str) -> None:
    part = signer(name)
    command, valid_508, valid_608 = AFTER[what]
    part.nonce()
    part.send(*command)
    assert part.temp_valid is (valid_508 if name == "atecc508a" else valid_608)


def test_a_damaged_group_does_not_end_temp_key() -> None:
    part = signer()
    part.nonce()
    assert part.chip.execute(b"\x07\x02\x80\0\0\0\0")[1] == 0xFF
    assert part.temp_valid


# -- GenKey --------------------------------------------------------------------------------------


@EVERY_FAMILY
def test_a_new_key_signs_and_its_public_key_comes_out_again(name: str) -> None:
    part = signer(name)
    public = part.send(0x40, 4, 1)
    assert part.send(0x40, 0, 1) == public
    part.nonce(DIGEST)
    assert verifies(public, DIGEST, part.send(0x41, 0x80, 1))
    assert part.send(0x40, 4, 1) != public


def test_an_empty_private_slot_is_no_key() -> None:
    part = signer()
    assert part.send(0x30, 1, 1) == bytes(4)
    assert part.send(0x40, 0, 1) == REFUSED
    part.nonce()
    assert part.send(0x41, 0x80, 1) == REFUSED
    assert part.send(0x43, 0, 1, point(host_key())) == REFUSED


def test_gen_key_needs_pub_info_to_show_a_public_key() -> None:
    part = Part().slot(0, 0x6487, 0x0031)
    part.memory.set_private_key(0, TEST_SCALAR)
    part.locked(data=False)
    assert part.send(0x40, 0, 0) == TEST_POINT
    part.memory.lock_data()
    assert part.send(0x40, 0, 0) == REFUSED


@pytest.mark.parametrize("p1", [0x08, 0x0C])
def test_gen_key_digests_the_public_key(p1: int) -> None:
    part = signer()
    part.nonce(KEY)
    public = part.send(0x40, p1, 0)
    serial = part.memory.serial
    message = KEY + bytes((0x40, p1, 0, 0)) + serial[8:9] + serial[:2] + bytes(25) + public
    assert part.temp == sha256(message).digest()
    flags = part.chip.session.temp_key
    assert (flags.gen_key, flags.gen_dig, flags.key_id, flags.from_input) == (True, False, 0, True)


def test_gen_key_digests_a_stored_public_key() -> None:
    part = Part().slot(9, 0x0F0F, ECC_PUBLIC).locked()
    part.memory.set_public_key(9, TEST_POINT, validity=5)
    part.nonce(KEY)
    assert part.send(0x40, 0x10, 9, b"\x01\x02\x03") == OK
    serial = part.memory.serial
    message = KEY + b"\x40\x01\x02\x03" + serial[8:9] + serial[:2] + bytes(25) + TEST_POINT
    assert part.temp == sha256(message).digest()
    assert part.send(0x40, 0x10, 3, bytes(3)) == PARSE


@pytest.mark.parametrize("key_config", [0x001C, 0x0032, 0x0018 | 1])
def test_gen_key_wants_a_p256_private_slot(key_config: int) -> None:
    part = Part().slot(2, 0x6487, key_config).locked()
    assert part.send(0x40, 4, 2) == REFUSED


# -- Sign ----------------------------------------------------------------------------------------


@EVERY_FAMILY
def test_an_external_signature_verifies_and_uses_temp_key_up(name: str) -> None:
    part = signer(name)
    part.nonce(DIGEST)
    signature = part.send(0x41, 0x80, 0)
    assert verifies(TEST_POINT, DIGEST, signature)
    assert not verifies(TEST_POINT, KEY, signature)
    assert part.send(0x41, 0x80, 0) == REFUSED


def test_two_signatures_over_the_same_digest_differ() -> None:
    part = signer()
    signatures = set()
    for _ in range(4):
        part.nonce(DIGEST)
        signatures.add(part.send(0x41, 0x80, 0)[:32])
    assert len(signatures) == 4


@pytest.mark.parametrize(("slot_config", "external", "internal"), [
    (0x6481, True, False), (0x6482, False, True), (0x6483, True, True), (0x6484, False, False),
])  # fmt: skip
def test_read_key_bits_say_what_a_key_signs(slot_config: int, external: bool, internal: bool) -> None:
    part = signer(slot_config=slot_config)
    part.nonce()
    assert (len(part.send(0x41, 0x80, 0)) == 64) is external
    part.nonce()
    part.gen_dig(4)
    assert (len(part.send(0x41, 0, 0)) == 64) is internal


@pytest.mark.parametrize("p1", [0x00, 0x40, 0x01, 0x41])
@EVERY_FAMILY
def test_an_internal_signature_describes_its_subject(name: str, p1: int) -> None:
    part = signer(name)
    part.memory.lock_slot(4)
    part.nonce(KEY)
    part.gen_dig(4)
    temp = part.temp
    memory, serial = part.memory, part.memory.serial
    signature = part.send(0x41, p1, 0)
    full = p1 & 0x40
    message = b"".join((
        temp, bytes((0x41, p1, 0, 0)), memory.config[28:30], memory.config[104:106],
        bytes((0x34, 0, 0)), serial[8:9], serial[4:8] if full else bytes(4), serial[:2],
        serial[2:4] if full else bytes(2), bytes((0, 0, 0)),
    ))  # fmt: skip
    assert len(message) == 55
    assert verifies(TEST_POINT, sha256(message).digest(), signature)


@pytest.mark.parametrize(("validity", "valid"), [(5, 1), (0xA, 0)])
def test_an_internal_signature_says_whether_its_subject_is_a_validated_key(validity: int, valid: int) -> None:
    part = Part().slot(0, 0x6487, ECC_PRIVATE).slot(9, 0x0F0F, ECC_PUBLIC | 2)
    part.memory.set_private_key(0, TEST_SCALAR)
    part.memory.set_public_key(9, host_point := point(host_key()), validity=validity)
    part.locked().nonce(KEY)
    assert part.send(0x40, 0x10, 9, bytes(3)) == OK
    assert part.memory.stored_public_key(9) == host_point
    temp, memory, serial = part.temp, part.memory, part.memory.serial
    message = b"".join((
        temp, bytes((0x41, 0, 0, 0)), memory.config[38:40], memory.config[114:116],
        bytes((0x59, 0, 0)), serial[8:9], bytes(4), serial[:2], bytes(2), bytes((1, valid, 0)),
    ))  # fmt: skip
    assert verifies(TEST_POINT, sha256(message).digest(), part.send(0x41, 0, 0))


def test_an_internal_signature_needs_gen_dig_or_gen_key() -> None:
    part = signer()
    part.nonce()
    assert part.send(0x41, 0, 0) == REFUSED


# -- Verify --------------------------------------------------------------------------------------


@EVERY_FAMILY
def test_verify_external(name: str) -> None:
    part = signer(name)
    key = host_key()
    part.nonce(DIGEST)
    assert part.send(0x45, 2, 4, sign(key, DIGEST) + point(key)) == OK
    part.nonce(KEY)
    assert part.send(0x45, 2, 4, sign(key, DIGEST) + point(key)) == MISCOMPARE
    part.nonce(DIGEST)
    assert part.send(0x45, 2, 4, bytes(64) + point(key)) == MISCOMPARE
    part.nonce(DIGEST)
    assert part.send(0x45, 2, 4, sign(key, DIGEST) + bytes(range(64))) == b"\x05"
    assert part.send(0x45, 2, 3, bytes(128)) == PARSE
    if name == "atecc608b":
        assert part.send(0x45, 2, 4, sign(key, DIGEST) + point(key)) == REFUSED, "TempKey was used up"


def test_verify_external_works_on_a_blank_part() -> None:
    part = Part()
    part.nonce(DIGEST)
    assert part.send(0x45, 2, 4, sign(host_key(), DIGEST) + point(host_key())) == OK


@EVERY_FAMILY
def test_verify_stored_authorises(name: str) -> None:
    part = Part(name).slot(9, 0x0F0F, ECC_PUBLIC).slot(0, 0x6487, ECC_PRIVATE | 0x0980)
    key = host_key()
    part.memory.set_public_key(9, point(key))
    part.memory.set_private_key(0, TEST_SCALAR)
    part.locked()
    part.nonce(DIGEST)
    assert part.send(0x45, 0, 9, sign(key, DIGEST)) == OK
    part.nonce(DIGEST)
    assert len(part.send(0x41, 0x80, 0)) == 64


@pytest.mark.parametrize(("key_config", "validity", "answer"), [
    (ECC_PUBLIC, 0, OK), (ECC_PUBLIC | 2, 5, OK), (ECC_PUBLIC | 2, 0xA, REFUSED), (DATA_KEY, 0, REFUSED),
])  # fmt: skip
def test_verify_stored_wants_a_validated_p256_key(key_config: int, validity: int, answer: bytes) -> None:
    part = Part().slot(9, 0x0F0F, key_config)
    part.memory.set_public_key(9, point(host_key()), validity=validity)
    part.locked()
    part.nonce(DIGEST)
    assert part.send(0x45, 0, 9, sign(host_key(), DIGEST)) == answer


def validation(part: Part, parent: ec.EllipticCurvePrivateKey, p1: int, slot: int, *, bit: int) -> bytes:
    """Nonce and GenKey digest of the slot, then the parent's signature over its description."""
    part.nonce(KEY)
    assert part.send(0x40, 0x10, slot, bytes(3)) == OK
    serial = part.memory.serial
    other = bytes(17) + bytes((bit, 0))
    message = part.temp + b"\x41" + other[:10] + serial[8:9] + other[10:14] + serial[:2] + other[14:]
    return part.send(0x45, p1, slot, sign(parent, sha256(message).digest()) + other)


def validating(name: str = "atecc508a") -> tuple[Part, ec.EllipticCurvePrivateKey]:
    parent = host_key(77)
    part = Part(name).slot(13, 0x0F0F, ECC_PUBLIC).slot(14, 0x1F0D, ECC_PUBLIC | 2)
    part.memory.set_public_key(13, point(parent))
    part.memory.set_public_key(14, TEST_POINT, validity=0xA)
    return part.locked(), parent


@EVERY_FAMILY
def test_a_public_key_is_validated_and_invalidated_by_its_parent(name: str) -> None:
    part, parent = validating(name)
    assert validation(part, host_key(78), 3, 14, bit=0) == MISCOMPARE
    assert part.memory.validity(14) == 0xA
    assert validation(part, parent, 3, 14, bit=1) == REFUSED
    assert validation(part, parent, 3, 14, bit=0) == OK
    assert part.memory.validity(14) == 5
    assert part.memory.stored_public_key(14) == TEST_POINT
    assert validation(part, parent, 7, 14, bit=1) == OK
    assert part.memory.validity(14) == 0xA


def test_validation_needs_the_digest_of_that_slot() -> None:
    part, parent = validating()
    part.nonce(KEY)
    assert part.send(0x45, 3, 14, bytes(83)) == REFUSED
    assert part.send(0x45, 3, 3, bytes(83)) == PARSE
    part.memory.set_config(92, b"\x11")
    assert validation(part, parent, 3, 14, bit=0) == REFUSED


def test_validation_changes_even_a_locked_slot() -> None:
    part, parent = validating()
    part.memory.lock_slot(14)
    assert validation(part, parent, 3, 14, bit=0) == OK
    assert part.memory.validity(14) == 5


@pytest.mark.parametrize(("layout", "answer"), [(0x00, OK), (0x32, OK), (0x22, REFUSED), (0x31, REFUSED)])
def test_a_certificate_validates_the_key_that_it_holds(layout: int, answer: bytes) -> None:
    part, parent = validating()
    part.memory.set_config(92, bytes((layout,)))
    head, rest = bytes(64), bytes(20)
    part.send(0x47, 0)
    part.send(0x47, 1, 64, head)
    assert part.send(0x47, 3, 14) == OK
    digest = part.send(0x47, 2, len(rest), rest)
    assert digest == sha256(head + TEST_POINT + rest).digest()
    assert part.send(0x45, 1, 14, sign(parent, digest)) == answer
    assert part.memory.validity(14) == (5 if answer == OK else 0xA)


def test_a_certificate_without_the_stored_key_validates_nothing() -> None:
    part, parent = validating()
    part.send(0x47, 0)
    digest = part.send(0x47, 2, 0)
    assert part.send(0x45, 1, 14, sign(parent, digest)) == REFUSED


# -- ECDH ----------------------------------------------------------------------------------------


@EVERY_FAMILY
def test_ecdh_in_clear_equals_the_hosts_secret(name: str) -> None:
    part = signer(name)
    other = host_key()
    public = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), b"\x04" + TEST_POINT)
    assert part.send(0x43, 0, 0, point(other)) == other.exchange(ec.ECDH(), public)
    assert part.send(0x43, 0, 0, bytes(range(64))) == b"\x05"


@EVERY_FAMILY
def test_ecdh_writes_the_next_slot_if_the_slot_says_so(name: str) -> None:
    part = Part(name).slot(2, 0x648F, ECC_PRIVATE).slot(3, 0x0F8F, DATA_KEY)
    part.memory.set_private_key(2, TEST_SCALAR)
    part.locked()
    other = host_key()
    public = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), b"\x04" + TEST_POINT)
    assert part.send(0x43, 0, 2, point(other)) == OK
    assert part.memory.slot(3)[:32] == other.exchange(ec.ECDH(), public)


def test_ecdh_into_the_next_slot_starts_from_an_even_one() -> None:
    part = Part().slot(3, 0x648F, ECC_PRIVATE).slot(4, 0x0F8F, DATA_KEY)
    part.memory.set_private_key(3, TEST_SCALAR)
    assert part.locked().send(0x43, 0, 3, point(host_key())) == REFUSED
    assert part.memory.slot(4) == bytes(36)


def test_ecdh_needs_the_permission_of_the_slot() -> None:
    part = signer(slot_config=0x6483)
    assert part.send(0x43, 0, 0, point(host_key())) == REFUSED


# -- symmetric -----------------------------------------------------------------------------------


def test_mac_may_use_temp_key_in_either_place() -> None:
    part = signer()
    zeros = bytes(11)
    part.nonce(DIGEST)
    serial = part.memory.serial
    tail_bytes = zeros + serial[8:9] + bytes(4) + serial[:2] + bytes(2)
    assert part.send(0x08, 5, 4) == sha256(KEY + DIGEST + b"\x08\x05\x04\0" + tail_bytes).digest()
    part.nonce(DIGEST)
    assert part.send(0x08, 6, 4, KEY) == sha256(DIGEST + KEY + b"\x08\x06\x04\0" + tail_bytes).digest()
    part.nonce(DIGEST)
    assert part.send(0x08, 1, 4) == REFUSED, "the source bit must say Input"
    assert part.send(0x08, 0, 4, bytes(31)) == PARSE


def test_mac_refuses_a_no_mac_slot_and_a_tainted_temp_key() -> None:
    part = Part().slot(4, 0x8F9F, 0x001C).slot(5, 0x8F8F, 0x001C).locked()
    assert part.send(0x08, 0, 4, bytes(32)) == REFUSED
    part.nonce()
    assert part.send(0x15, 2, 4, bytes(4)) == OK
    assert part.chip.session.temp_key.no_mac
    assert part.send(0x08, 5, 5) == REFUSED


def test_the_taint_of_a_no_mac_slot_stays_through_another_gen_dig() -> None:
    part = Part().slot(4, 0x8F9F, 0x001C).slot(5, 0x8F8F, 0x001C).locked()
    part.nonce()
    part.send(0x15, 2, 4, bytes(4))
    part.gen_dig(5)
    assert part.chip.session.temp_key.no_mac


def test_gen_dig_of_a_no_mac_slot_hashes_the_hosts_data() -> None:
    part = Part().slot(4, 0x8F9F, 0x001C).locked()
    part.memory.set_slot(4, KEY)
    part.nonce()
    assert part.send(0x15, 2, 4) == REFUSED
    part.nonce()
    assert part.send(0x15, 2, 4, b"\x08\x40\x01\x02") == OK
    serial = part.memory.serial
    message = KEY + b"\x08\x40\x01\x02" + serial[8:9] + serial[:2] + bytes(25) + bytes(32)
    assert part.temp == sha256(message).digest()


@pytest.mark.parametrize(("p1", "p2"), [(0, 0), (0, 3), (1, 0), (1, 1)])
def test_gen_dig_of_a_zone(p1: int, p2: int) -> None:
    part = signer()
    part.memory.set_otp(bytes(range(64)))
    zone = part.memory.otp if p1 else part.memory.config
    part.nonce(KEY)
    assert part.send(0x15, p1, p2) == OK
    block = bytes(zone[32 * p2 : 32 * p2 + 32])
    assert part.temp == sha256(block + tail(part, 0x15, p1, p2) + bytes(25) + KEY).digest()
    assert not part.chip.session.temp_key.gen_dig


@pytest.mark.parametrize("p2", [0x0004, 0x8004])
def test_gen_dig_of_a_shared_nonce(p2: int) -> None:
    part = signer()
    part.nonce(KEY)
    assert part.send(0x15, 3, p2, DIGEST) == OK
    first, last = (KEY, DIGEST) if p2 & 0x8000 else (DIGEST, KEY)
    assert part.temp == sha256(first + tail(part, 0x15, 3, 4) + bytes(25) + last).digest()


def test_gen_dig_of_a_counter_and_of_a_slots_configuration() -> None:
    part = signer()
    for _ in range(5):
        part.send(0x24, 1, 1)
    part.nonce(KEY)
    assert part.send(0x15, 4, 1) == OK
    message = bytes(32) + tail(part, 0x15, 4, 1) + b"\0" + b"\x05\0\0\0" + bytes(20) + KEY
    assert len(message) == 96
    assert part.temp == sha256(message).digest()
    part.nonce(KEY)
    assert part.send(0x15, 5, 0) == OK
    words = bytes(part.memory.config[20:22]) + bytes(part.memory.config[96:98]) + b"\x01"
    message = bytes(32) + tail(part, 0x15, 5, 0) + b"\0" + words + bytes(19) + KEY
    assert len(message) == 96
    assert part.temp == sha256(message).digest()


def test_gen_dig_of_a_transport_key_wants_a_random_nonce() -> None:
    part = signer()
    part.nonce()
    assert part.send(0x15, 2, 0x8001) == REFUSED
    part.random_nonce()
    assert part.send(0x15, 2, 0x8001) == OK
    assert not part.chip.session.temp_key.gen_dig


@pytest.mark.parametrize(("p1", "p2"), [(0, 4), (1, 2), (4, 2), (6, 0)])
def test_gen_dig_of_what_does_not_exist_is_a_parse_error(p1: int, p2: int) -> None:
    part = signer()
    part.nonce()
    assert part.send(0x15, p1, p2) == PARSE


def check_mac(part: Part, p1: int, slot: int, first: bytes, second: bytes) -> bytes:
    other = bytes(range(13))
    serial = part.memory.serial
    parts = (first, second, other[:4], bytes(8), other[4:7], serial[8:9], other[7:11], serial[:2], other[11:])
    message = b"".join(parts)
    assert len(message) == 88
    return part.send(0x28, p1, slot, DIGEST + sha256(message).digest() + other)


@EVERY_FAMILY
def test_check_mac_in_its_modes(name: str) -> None:
    part = signer(name)
    assert check_mac(part, 0, 4, KEY, DIGEST) == OK
    assert check_mac(part, 0, 4, KEY[::-1], DIGEST) == MISCOMPARE
    part.nonce(bytes(32))
    assert check_mac(part, 6, 4, bytes(32), DIGEST) == OK
    part.nonce(bytes(32))
    assert check_mac(part, 1, 4, KEY, bytes(32)) == REFUSED, "the source bit must say Input"


@EVERY_FAMILY
def test_check_mac_copies_the_slot_behind_into_temp_key(name: str) -> None:
    part = signer(name)
    part.nonce(bytes(32))
    assert check_mac(part, 5, 4, KEY, bytes(32)) == OK
    flags = part.chip.session.temp_key
    assert (part.temp, flags.valid, flags.from_input) == (KEY[::-1], True, True)
    part.nonce(bytes(32))
    assert check_mac(part, 5, 4, KEY[::-1], bytes(32)) == MISCOMPARE
    assert not part.temp_valid


def test_check_mac_copies_only_when_the_challenge_was_in_temp_key() -> None:
    part = signer("atecc608b")
    assert check_mac(part, 0, 4, KEY, DIGEST) == OK
    assert not part.temp_valid


def test_check_mac_copies_no_slot_whose_read_key_is_not_0() -> None:
    part = signer()
    part.slot(5, 0x8F8F, 0x001C)
    part.nonce(bytes(32))
    assert check_mac(part, 5, 4, KEY, bytes(32)) == OK
    assert not part.temp_valid


def test_hmac_of_a_508a() -> None:
    part = signer()
    part.nonce(DIGEST)
    serial = part.memory.serial
    head = bytes(32) + DIGEST + b"\x11\x44\x04\0" + bytes(11)
    message = head + serial[8:9] + serial[4:8] + serial[:2] + serial[2:4]
    assert len(message) == 88
    assert part.send(0x11, 0x44, 4) == hmac.digest(KEY, message, "sha256")
    part.nonce(DIGEST)
    assert part.send(0x11, 0, 4) == REFUSED


# -- SHA -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 63, 64, 65, 128, 200])
@EVERY_FAMILY
def test_sha_of_a_message(name: str, size: int) -> None:
    part = signer(name)
    message = bytes(n & 0xFF for n in range(size))
    assert part.send(0x47, 0) == OK
    full = size - size % 64
    for at in range(0, full, 64):
        assert part.send(0x47, 1, 64, message[at : at + 64]) == OK
    assert part.send(0x47, 2, size - full, message[full:]) == sha256(message).digest()
    assert part.temp == sha256(message).digest()
    assert part.temp_valid


def test_another_command_ends_the_digest_of_a_508a_but_not_of_a_608() -> None:
    for name, answer in (("atecc508a", REFUSED), ("atecc608b", sha256(b"").digest())):
        part = signer(name)
        part.send(0x47, 0)
        part.send(0x30)
        assert part.send(0x47, 2, 0) == answer


@EVERY_FAMILY
def test_sha_hmac(name: str) -> None:
    part = signer(name)
    assert part.send(0x47, 4, 4) == OK
    assert part.send(0x47, 1, 64, bytes(64)) == OK
    end = 5 if name == "atecc508a" else 2
    assert part.send(0x47, end, 3, b"abc") == hmac.digest(KEY, bytes(64) + b"abc", "sha256")


def test_the_508a_ends_a_digest_as_it_was_started() -> None:
    part = signer()
    part.send(0x47, 0)
    assert part.send(0x47, 5, 0) == REFUSED
    part.send(0x47, 0)
    assert part.send(0x47, 1, 63, bytes(63)) == PARSE
    assert part.send(0x47, 1, 64, bytes(64)) == REFUSED, "the error ended it"


def test_sha_without_a_start_is_refused() -> None:
    assert signer().send(0x47, 2, 0) == REFUSED


# -- small ones ----------------------------------------------------------------------------------


def test_the_counters_count() -> None:
    part = Part()
    assert part.send(0x24, 0, 0) == bytes(4)
    assert part.send(0x24, 1, 0) == b"\x01\0\0\0"
    assert part.send(0x24, 1, 0) == b"\x02\0\0\0"
    assert part.send(0x24, 0, 1) == bytes(4)
    part.memory.set_config(60, bytes.fromhex("00000001FFFFFFFF"))
    assert part.send(0x24, 0, 1) == (2_097_151).to_bytes(4, "little")
    assert part.send(0x24, 1, 1) == REFUSED


@EVERY_FAMILY
def test_user_extra_is_written_once(name: str) -> None:
    part = Part(name)
    assert part.send(0x20, 0, 7) == OK
    assert part.memory.config[84] == 7
    assert part.send(0x20, 0, 8) == REFUSED
    assert part.send(0x20, 0, 0x100) == PARSE


def test_the_selector_of_a_508a_can_be_rewritten_unless_chip_mode_forbids() -> None:
    part = Part()
    assert part.send(0x20, 1, 7) == OK
    assert part.send(0x20, 1, 8) == OK
    part.memory.set_config(19, b"\x01")
    assert part.send(0x20, 1, 9) == REFUSED
    newer = Part("atecc608a")
    assert newer.send(0x20, 1, 7) == OK
    assert newer.send(0x20, 1, 8) == REFUSED


@pytest.mark.parametrize("scalar", [bytes(32), b"\xff" * 32])
def test_an_impossible_private_key_is_not_taken(scalar: bytes) -> None:
    part = signer(locked=False)
    assert part.send(0x46, 0, 1, bytes(4) + scalar + bytes(32)) == b"\x05"
    assert not part.memory.key_valid[1]


def test_derive_key_asks_for_the_right_source_bit() -> None:
    part = Part().slot(5, 0x2F8F, 0x001C).locked()
    part.nonce()
    assert part.send(0x1C, 0, 5) == REFUSED
    part.nonce()
    assert part.send(0x1C, 4, 5) == OK
