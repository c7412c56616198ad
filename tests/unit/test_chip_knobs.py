"""Every open point of the sheets is a knob, and every knob does something."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, Any

import pytest

from hil.emulator.chip import Knobs
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
)

if TYPE_CHECKING:
    from collections.abc import Callable

OK, PARSE, REFUSED = b"\0", b"\x03", b"\x0f"
KEY = bytes(range(32))


def keyed(part: Part, *, locked: bool = True) -> Part:
    """Private key in 0, none in 1, symmetric keys in 4 and 5."""
    part.slot(0, 0x6487, ECC_PRIVATE).slot(1, 0x6487, ECC_PRIVATE).slot(4, 0x8F8F, 0x001C)
    part.slot(5, 0x2F80, 0x001C).slot(9, 0x448F, 0x001C)
    part.memory.set_private_key(0, TEST_SCALAR)
    part.memory.set_slot(4, KEY)
    return part.locked(data=locked)


def partial(part: Part) -> object:
    part.start()
    part.write(b"\x03\x07\x30")
    return part.read(2)


def long_group(part: Part) -> object:
    part.nonce(DIGEST)
    part.start()
    return part.transact(0x45, 2, 4, sign(host_key(), DIGEST) + point(host_key()))


def surplus(part: Part) -> object:
    return part.start().write(b"\x03\x07\x30\0\0\0\x03\x5d\xaa")


def wrong_mac(part: Part) -> object:
    keyed(part).nonce()
    part.gen_dig(4)
    return part.send(0x12, 0xC2, 9 << 3, bytes(64))


def otp_word(part: Part) -> object:
    return part.locked().send(0x02, 1, 0)


def buffer_nonce(part: Part) -> object:
    part.locked().random_nonce()
    part.send(0x16, 0x43, 0, DIGEST)
    return part.temp_valid, part.chip.session.temp_key.from_input


def buffer_life(part: Part) -> object:
    part.send(0x16, 0x43, 0, DIGEST)
    part.send(0x30)
    return part.chip.session.msg_dig_buf is not None


def secret_flag(part: Part) -> object:
    keyed(part).send(0x43, 0x08, 0, point(host_key()))
    return part.chip.session.temp_key.from_input


def failed_use(part: Part) -> object:
    keyed(part).nonce()
    part.send(0x41, 0x80, 1)
    return part.temp_valid


def calculated(part: Part) -> object:
    part.nonce()
    part.send(0x16, 0, 0x8000, bytes(20))
    return part.chip.session.temp_key.from_input


def gen_dig_after_gen_key(part: Part) -> object:
    keyed(part).nonce()
    part.send(0x40, 8, 0)
    part.gen_dig(4)
    return part.chip.session.temp_key.gen_key


def empty_slot(part: Part) -> object:
    keyed(part).nonce()
    return part.send(0x41, 0x80, 1)


def mac(part: Part) -> object:
    return len(part.send(0x08, 0, 4, bytes(32)))


def context(part: Part) -> object:
    part.send(0x47, 0)
    part.send(0x47, 1, 2, b"ab")
    data = part.send(0x47, 6)
    part.send(0x47, 7, len(data), data)
    return len(data), part.send(0x47, 2, 1, b"c") == sha256(b"abc").digest()


def boot_latch(part: Part) -> object:
    part.slot(15, 0x0F0F, ECC_PUBLIC)
    part.memory.set_config(70, (15 << 12 | 4 | 1).to_bytes(2, "little"))
    part.memory.set_public_key(15, point(host_key()))
    part.locked().send(0x80, 5, 0, DIGEST + sign(host_key(), DIGEST))
    return part.chip.session.latch


def boot_twice(part: Part) -> object:
    part.slot(15, 0x0F0F, ECC_PUBLIC)
    part.memory.set_config(70, (15 << 12 | 1).to_bytes(2, "little"))
    part.memory.set_public_key(15, point(host_key()))
    part.locked().send(0x80, 0x45, 0, DIGEST + sign(host_key(), DIGEST))
    return part.send(0x80, 5, 0, DIGEST + sign(host_key(), DIGEST))


def protected(part: Part) -> object:
    part.slot(6, 0x0F8F, DATA_KEY)
    part.memory.set_config(90, b"\x02\x62")
    return len(keyed(part).send(0x43, 0x0C, 0, point(host_key())))


def internal_sign(part: Part) -> object:
    keyed(part).slot(0, 0x6487, ECC_PRIVATE | 0x40)
    part.nonce()
    part.gen_dig(4)
    return len(part.send(0x41, 0, 0))


def internal_buffer(part: Part) -> object:
    keyed(part).nonce()
    part.gen_dig(4)
    return len(part.send(0x41, 0x20, 0)) if part.temp_valid else None


def check_mac(part: Part, p1: int, slot: int, first: bytes) -> bytes:
    serial = part.memory.serial
    message = (
        first + bytes(32) + bytes(4) + bytes(8) + bytes(3) + serial[8:9] + bytes(4) + serial[:2] + bytes(2)
    )
    return part.send(0x28, p1, slot, bytes(32) + sha256(message).digest() + bytes(13))


def authorised(part: Part) -> object:
    assert check_mac(keyed(part), 0, 4, KEY) == OK
    slot_key = part.chip.session.auth_key
    part.nonce()
    assert check_mac(part, 6, 3, bytes(32)) == OK
    return slot_key, part.chip.session.auth_key


def check_mac_random(part: Part) -> object:
    keyed(part).slot(4, 0x8F8F, 0x005C)
    part.nonce()
    return check_mac(part, 0, 4, KEY)


def ecdh_auth(part: Part) -> object:
    keyed(part).slot(0, 0x6487, ECC_PRIVATE | 0x0480)
    return len(part.send(0x43, 0, 0, point(host_key())))


def derive(part: Part, *, data: bool, no_mac: bool = False, slot: int = 5) -> bytes:
    keyed(part, locked=data)
    part.nonce()
    if no_mac:
        part.slot(3, 0x8F9F, 0x001C)
        assert part.send(0x15, 2, 3, bytes(4)) == OK
    return part.send(0x1C, 4, slot)


def aes_slot_mark(part: Part) -> object:
    part.slot(9, 0x0F0F, 0x001A).locked().send(0x12, 0x82, 9 << 3, b"\x11" * 32)
    return part.memory.slot(9)[0]


def parents(part: Part) -> object:
    part.slot(13, 0x0F0F, ECC_PUBLIC | 2).slot(14, 0x1F0D, ECC_PUBLIC | 2)
    part.memory.set_public_key(13, point(host_key()), validity=0xA)
    part.memory.set_public_key(14, TEST_POINT, validity=0xA)
    part.locked().nonce()
    part.send(0x40, 0x10, 14, bytes(3))
    serial = part.memory.serial
    message = part.temp + b"\x41" + bytes(10) + serial[8:9] + bytes(4) + serial[:2] + bytes(5)
    return part.send(0x45, 3, 14, sign(host_key(), sha256(message).digest()) + bytes(19))


def lucky(part: Part) -> object:
    keyed(part).nonce()
    return len(part.send(0x41, 0x80, 0))


BAD_POINT = bytes(128)
A, B = "atecc508a", "atecc608b"
CASES: dict[str, tuple[str, Any, Callable[[Part], object], object, object]] = {
    "read_after_partial_command": (A, "ff", partial, None, b"\xff\xff"),
    "reserved_word_address": (A, "ignore", lambda p: p.start().write(b"\x09\x01"), 0, 2),
    "io_buffer_bytes": (A, 71, long_group, OK, b"\xff"),
    "surplus_bytes": (B, "nack", surplus, 9, 8),
    "extra_data": (A, "ignore", lambda p: len(p.send(0x30, 0, 0, b"\0")), 1, 4),
    "lock_crc_mismatch": (A, 0x03, lambda p: p.send(0x17, 0, 1), REFUSED, PARSE),
    "mac_mismatch": (A, 0x01, wrong_mac, REFUSED, b"\x01"),
    "address_beyond": (A, 0x0F, lambda p: p.locked().send(0x02, 0x82, 0x0348), PARSE, REFUSED),
    "unused_address_bits": (A, "parse", lambda p: len(p.send(0x02, 0x80, 0x8000)), 32, 1),
    "otp_first_words": (A, "refused", otp_word, b"\xff" * 4, REFUSED),
    "nonce_to_buffer": (B, "input", buffer_nonce, (True, False), (True, True)),
    "msg_dig_buf_lifetime": (B, "use", buffer_life, False, True),
    "secret_source": (B, "rand", secret_flag, True, False),
    "temp_key_after_error": (B, "kept", failed_use, False, True),
    "source_after_nonce_calculated": (B, "rand", calculated, True, False),
    "gen_key_data_after_gen_dig": (A, "cleared", gen_dig_after_gen_key, True, False),
    "empty_private_slot": (A, 0x05, empty_slot, REFUSED, b"\x05"),
    "invalid_public_key": (A, 1, lambda p: p.with_nonce().send(0x45, 2, 4, BAD_POINT), b"\x05", b"\x01"),
    "gpio_on_i2c": (A, 0x03, lambda p: p.send(0x30, 3), REFUSED, PARSE),
    "update_extra_before_config_lock": (A, False, lambda p: p.send(0x20, 0, 1), OK, REFUSED),
    "counter_before_config_lock": (A, False, lambda p: len(p.send(0x24)), 4, 1),
    "keys_before_config_lock": (A, True, mac, 1, 32),
    "lock_data_before_config": (A, True, lambda p: p.send(0x17, 0x81), REFUSED, OK),
    "data_fill": (A, 0xFF, lambda p: p.memory.slot(8)[:1], b"\0", b"\xff"),
    "sha_context_header": (B, 40, context, (38, True), (42, True)),
    "secure_boot_bits": (B, "b3 latch, b4 nonce", boot_latch, True, False),
    "secure_boot_prohibit": (B, "no effect", boot_twice, REFUSED, OK),
    "kdf_protect_output": (B, "encrypted", protected, 1, 64),
    "random_source_for_internal_sign": (B, False, internal_sign, 1, 64),
    "sign_internal_buffer_bit": (B, "parse", internal_buffer, 64, 1),
    "check_mac_authorises": (A, "temp key", authorised, (4, 4), (None, 3)),
    "check_mac_mode0_needs_random": (A, False, check_mac_random, REFUSED, OK),
    "req_auth_for_ecdh_and_hmac": (A, False, ecdh_auth, 1, 32),
    "derive_key_no_mac_flag": (A, "refused", lambda p: derive(p, data=True, no_mac=True), OK, REFUSED),
    "derive_key_bit13_before_data_lock": (
        A, False, lambda p: derive(p, data=False, slot=4), REFUSED, OK),
    "pub_info_on_other_key_types": (B, True, aes_slot_mark, 0x11, 0xA1),
    "unvalidated_parent": (A, "accepted", parents, REFUSED, OK),
    "ecc_fault_per_million": (A, 1_000_000, lucky, 64, 1),
}  # fmt: skip
WITHOUT_EFFECT = {"use_lock"}


def test_every_knob_is_tried() -> None:
    assert {*CASES, *WITHOUT_EFFECT} == set(Knobs.__struct_fields__)


@pytest.mark.parametrize("knob", CASES)
def test_a_knob_changes_what_it_says(knob: str) -> None:
    name, value, run, default, other = CASES[knob]
    assert run(Part(name)) == default
    assert run(Part(name, **{knob: value})) == other
