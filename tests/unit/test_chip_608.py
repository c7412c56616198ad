"""What the 608 adds: buffers, ephemeral keys, IO protection, AES, KDF, SecureBoot, contexts.

Expected values are computed with ``cryptography`` and hashlib (DS40002138A; RFC 5246; SP 800-38D).
"""

from __future__ import annotations

import hmac
from hashlib import sha256

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

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
IO_KEY = bytes(range(0x80, 0xA0))
IO_SLOT = 6


def xor(a: bytes, b: bytes) -> bytes:
    return bytes(x ^ y for x, y in zip(a, b, strict=True))


def part_608(*, options: int = 0x600E, secure_boot: int = 0, locked: bool = True) -> Part:
    """Private key in 0, AES keys in 9, IO protection key in 6, public key in 15."""
    part = Part("atecc608b").slot(0, 0x6487, ECC_PRIVATE).slot(IO_SLOT, 0x0F8F, DATA_KEY)
    part.slot(4, 0x8F8F, 0x001C).slot(8, 0x0F0F, DATA_KEY).slot(9, 0x0F8F, 0x0018).slot(
        15, 0x0F0F, ECC_PUBLIC
    )
    part.slot(7, 0x8F9F, 0x001C)
    part.memory.set_config(90, options.to_bytes(2, "little"))
    part.memory.set_config(70, secure_boot.to_bytes(2, "little"))
    part.memory.set_private_key(0, TEST_SCALAR)
    part.memory.set_slot(4, KEY)
    part.memory.set_slot(9, bytes(range(64)))
    part.memory.set_slot(IO_SLOT, IO_KEY)
    part.memory.set_public_key(15, point(host_key()))
    return part.locked(data=locked)


# -- buffers -------------------------------------------------------------------------------------


def test_a_signature_from_msg_dig_buf_leaves_temp_key() -> None:
    part = part_608()
    part.nonce(KEY)
    assert part.send(0x16, 0x43, 0, DIGEST) == OK
    assert verifies(TEST_POINT, DIGEST, part.send(0x41, 0xA0, 0))
    assert part.temp_valid
    assert part.send(0x41, 0xA0, 0) == REFUSED, "the buffer was used up"


def test_msg_dig_buf_goes_with_the_next_command_but_nonce_and_sha() -> None:
    part = part_608()
    part.send(0x16, 0x43, 0, DIGEST)
    part.nonce()
    part.send(0x47, 0)
    assert part.chip.session.msg_dig_buf == DIGEST
    part.send(0x30)
    assert part.chip.session.msg_dig_buf is None


def test_msg_dig_buf_stays_until_used_if_the_knob_says_so() -> None:
    part = Part("atecc608b", msg_dig_buf_lifetime="use")
    part.send(0x16, 0x43, 0, DIGEST)
    part.send(0x30)
    assert part.chip.session.msg_dig_buf == DIGEST


@pytest.mark.parametrize(("p1", "size"), [(0x23, 64), (0x43, 32), (0x63, 64), (0x83, 32)])
def test_fixed_nonces_into_the_registers(p1: int, size: int) -> None:
    part = part_608()
    assert part.send(0x16, p1, 0, bytes(size - 1)) == PARSE
    assert part.send(0x16, p1, 0, bytes(range(size))) == OK
    session = part.chip.session
    where = {0x20: session.temp_key.value + (session.temp_key.upper or b""), 0x40: session.msg_dig_buf,
             0x60: session.msg_dig_buf, 0x80: session.alt_key_buf}  # fmt: skip
    assert where[p1 & 0xE0] == bytes(range(size))


@pytest.mark.parametrize("knob", ["untouched", "invalid", "input"])
def test_what_a_nonce_into_a_buffer_does_to_temp_key(knob: str) -> None:
    part = Part("atecc608b", nonce_to_buffer=knob).locked()
    part.random_nonce()
    part.send(0x16, 0x43, 0, DIGEST)
    flags = part.chip.session.temp_key
    assert (flags.valid, flags.from_input) == {
        "untouched": (True, False), "invalid": (False, False), "input": (True, True)}[knob]  # fmt: skip


# -- Verify with source and MAC ------------------------------------------------------------------


@pytest.mark.parametrize("p1", [0x22, 0x82, 0xA2])
@pytest.mark.parametrize("right", [True, False])
def test_verify_external_from_the_buffer_and_with_mac(p1: int, right: bool) -> None:
    part = part_608()
    key = host_key()
    nonce = bytes(range(0x40, 0x60))
    if p1 & 0x20:
        part.send(0x16, 0x63, 0, DIGEST + nonce)
    else:
        part.nonce(DIGEST)
        part.send(0x16, 0x43, 0, nonce)
    signature = sign(key, DIGEST if right else KEY)
    answer = part.send(0x45, p1, 4, signature + point(key))
    if not right:
        assert answer == MISCOMPARE
    elif p1 & 0x80:
        assert answer == sha256(IO_KEY + DIGEST + nonce + signature + bytes((0x45, p1, 4, 0))).digest()
    else:
        assert answer == OK


def test_verify_with_mac_needs_the_io_protection_key_and_a_nonce() -> None:
    part = part_608(options=0)
    part.nonce(DIGEST)
    part.send(0x16, 0x43, 0, KEY)
    assert part.send(0x45, 0x82, 4, sign(host_key(), DIGEST) + point(host_key())) == REFUSED
    part = part_608()
    part.nonce(DIGEST)
    assert part.send(0x45, 0x82, 4, sign(host_key(), DIGEST) + point(host_key())) == REFUSED


def test_a_req_random_key_takes_no_digest_from_the_buffer() -> None:
    part = Part("atecc608b").slot(15, 0x0F0F, ECC_PUBLIC | 0x40)
    part.memory.set_public_key(15, point(host_key()))
    part.locked()
    part.send(0x16, 0x43, 0, DIGEST)
    assert part.send(0x45, 0x20, 15, sign(host_key(), DIGEST)) == REFUSED


# -- ephemeral keys and ECDH targets -------------------------------------------------------------


def shared(own: bytes) -> bytes:
    public = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), b"\x04" + own)
    return host_key().exchange(ec.ECDH(), public)


@pytest.mark.parametrize("data", [b"", bytes(3)])
def test_an_ephemeral_key_lives_in_temp_key_and_does_ecdh_only(data: bytes) -> None:
    part = part_608()
    public = part.send(0x40, 4, 0xFFFF, data)
    secret = part.temp
    assert part.send(0x43, 0x0D, 0, point(host_key())) == shared(public)
    assert not part.temp_valid
    for command in (
        (0x41, 0x80, 0),
        (0x15, 2, 4),
        (0x47, 4, 0xFFFF),
        (0x08, 5, 4),
        (0x51, 0, 0xFFFF, bytes(16)),
    ):
        part.send(0x40, 4, 0xFFFF, data)
        assert part.send(*command) == REFUSED
    assert secret != part.temp


@pytest.mark.parametrize("p1", [0x05, 0x09, 0x0F])
def test_the_secret_of_an_ephemeral_key_goes_where_the_mode_says(p1: int) -> None:
    part = part_608()
    public = part.send(0x40, 4, 0xFFFF)
    answer = part.send(0x43, p1, 8, point(host_key()))
    if p1 == 0x05:
        assert answer == OK
        assert part.memory.slot(8)[:32] == shared(public)
    elif p1 == 0x09:
        assert answer == OK
        assert part.temp == shared(public)
        assert part.temp_valid
    else:
        clear = xor(answer[:32], sha256(IO_KEY + answer[32:48]).digest())
        assert (clear, len(answer)) == (shared(public), 64)


@pytest.mark.parametrize("p1", [0x08, 0x0C, 0x0E])
def test_the_secret_of_a_stored_key_goes_where_the_mode_says(p1: int) -> None:
    part = part_608()
    answer = part.send(0x43, p1, 0, point(host_key()))
    if p1 == 0x08:
        assert answer == OK
        assert part.temp == shared(TEST_POINT)
        assert part.chip.session.temp_key.from_input
    elif p1 == 0x0C:
        assert answer == shared(TEST_POINT)
    else:
        assert xor(answer[:32], sha256(IO_KEY + answer[32:48]).digest()) == shared(TEST_POINT)


def test_ecdhprot_encrypts_or_keeps_what_was_asked_for_in_clear() -> None:
    part = part_608(options=0x610E)
    assert len(part.send(0x43, 0x0C, 0, point(host_key()))) == 64
    assert part_608(options=0x620E).send(0x43, 0x0C, 0, point(host_key())) == REFUSED
    assert part_608(options=0x620E).send(0x43, 0x08, 0, point(host_key())) == OK


def test_an_ephemeral_key_needs_a_locked_configuration() -> None:
    assert Part("atecc608b").send(0x40, 4, 0xFFFF) == REFUSED


# -- SHA contexts --------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 5, 63, 64, 70, 127])
def test_a_context_is_read_written_back_and_goes_on(size: int) -> None:
    part = part_608()
    message = bytes(n & 0xFF for n in range(size))
    part.send(0x47, 0)
    for at in range(0, size, 50):
        piece = message[at : at + 50]
        part.send(0x47, 1, len(piece), piece)
    context = part.send(0x47, 6)
    assert len(context) == 36 + size % 64
    assert part.send(0x47, 2, 3, b"abc") == sha256(message + b"abc").digest()
    assert part.send(0x47, 7, len(context), context) == OK
    assert part.send(0x47, 0x42, 4, b"abcd") == sha256(message + b"abcd").digest()
    assert part.chip.session.msg_dig_buf == sha256(message + b"abcd").digest()


def test_a_context_of_a_wrong_length_is_a_parse_error() -> None:
    part = part_608()
    assert part.send(0x47, 7, 40, bytes((5,)) + bytes(39)) == PARSE


def test_the_context_of_an_hmac_stays_inside() -> None:
    part = part_608()
    part.send(0x47, 4, 4)
    assert part.send(0x47, 6) == REFUSED
    assert part.send(0x47, 2, 2, b"ab") == hmac.digest(KEY, b"ab", "sha256")


def test_an_hmac_key_may_be_in_temp_key_and_the_digest_stay_out_of_it() -> None:
    part = part_608()
    part.nonce(DIGEST)
    assert part.send(0x47, 4, 0xFFFF) == OK
    assert part.send(0x47, 0xC2, 1, b"x") == hmac.digest(DIGEST, b"x", "sha256")
    assert not part.temp_valid


def test_other_commands_may_come_between() -> None:
    part = part_608()
    part.send(0x47, 0)
    part.send(0x47, 1, 1, b"a")
    assert part.send(0x99) == PARSE
    part.start()
    part.write(b"\x02")
    part.wake()
    assert part.send(0x47, 2, 1, b"b") == sha256(b"ab").digest()


# -- AES -----------------------------------------------------------------------------------------


def ecb(key: bytes, block: bytes) -> bytes:
    encryptor = Cipher(algorithms.AES(key), modes.ECB()).encryptor()
    return encryptor.update(block) + encryptor.finalize()


@pytest.mark.parametrize("block", range(4))
def test_aes_with_each_key_of_a_slot(block: int) -> None:
    part = part_608()
    key = bytes(range(16 * block, 16 * block + 16))
    cipher = part.send(0x51, block << 6, 9, DIGEST[:16])
    assert cipher == ecb(key, DIGEST[:16])
    assert part.send(0x51, block << 6 | 1, 9, cipher) == DIGEST[:16]


def test_aes_with_temp_key_does_not_use_it_up() -> None:
    part = part_608()
    part.nonce(KEY)
    assert part.send(0x51, 0, 0xFFFF, bytes(16)) == ecb(KEY[:16], bytes(16))
    assert part.send(0x51, 0x40, 0xFFFF, bytes(16)) == ecb(KEY[16:], bytes(16))
    assert part.send(0x51, 0x80, 0xFFFF, bytes(16)) == REFUSED


def test_aes_wants_an_aes_key_a_real_block_and_the_permission() -> None:
    part = part_608()
    assert part.send(0x51, 0, 8, bytes(16)) == REFUSED
    assert part.send(0x51, 0x80, 4, bytes(16)) == PARSE
    assert part.send(0x51, 2, 9, bytes(16)) == PARSE
    part.memory.set_config(13, b"\xc0")
    assert part.send(0x51, 0, 9, bytes(16)) == REFUSED


def test_gfm_makes_the_tag_of_gcm() -> None:
    part = part_608()
    key, nonce, clear = bytes(range(16)), bytes(12), b"sixteen bytes ok"
    sealed = AESGCM(key).encrypt(nonce, clear, None)
    h = ecb(key, bytes(16))
    lengths = bytes(8) + (128).to_bytes(8, "big")
    product = part.send(0x51, 3, 0, h + sealed[:16])
    product = part.send(0x51, 3, 0, h + xor(product, lengths))
    assert xor(product, ecb(key, nonce + b"\0\0\0\1")) == sealed[16:]


# -- KDF -----------------------------------------------------------------------------------------


def p_sha256(secret: bytes, message: bytes, length: int) -> bytes:
    out, a = b"", message
    while len(out) < length:
        a = hmac.digest(secret, a, "sha256")
        out += hmac.digest(secret, a + message, "sha256")
    return out[:length]


def details(word: int) -> bytes:
    return word.to_bytes(4, "little")


@pytest.mark.parametrize("long", [False, True])
@pytest.mark.parametrize("key_code", range(4))
def test_prf_from_a_slot(key_code: int, long: bool) -> None:
    part = part_608()
    content = bytes(range(100, 172))
    part.memory.set_slot(10, content)
    message = b"key expansion" + bytes(50)
    word = len(message) << 24 | long << 8 | key_code
    answer = part.send(0x56, 0x10 | 2, 10, details(word) + message)
    assert answer == p_sha256(content[: 16 * (key_code + 1)], message, 64 if long else 32)


def test_prf_splits_an_aead_result_between_target_and_output() -> None:
    part = part_608()
    part.nonce(KEY)
    whole = p_sha256(KEY, b"abc", 64)
    assert part.send(0x56, 0x00, 0, details(3 << 24 | 1 << 9 | 0x100 | 1) + b"abc") == whole[32:]
    assert part.temp == whole[:32]


@pytest.mark.parametrize("word", [3 << 24 | 1 << 9 | 1, 3 << 24 | 2 << 9 | 0x101, 3 << 24 | 3 << 9 | 0x101,
                                  4 << 24 | 1])  # fmt: skip
def test_prf_with_impossible_details_is_a_parse_error(word: int) -> None:
    part = part_608()
    part.nonce(KEY)
    assert part.send(0x56, 0x10, 0, details(word) + b"abc") == PARSE


@pytest.mark.parametrize("target", [0x00, 0x04, 0x08, 0x0C, 0x10, 0x14])
def test_hkdf_into_each_target(target: int) -> None:
    part = part_608()
    part.nonce(KEY)
    expected = hmac.digest(KEY, b"abc", "sha256")
    answer = part.send(0x56, 0x40 | target, 0x0A00, details(3 << 24 | 2) + b"abc")
    session = part.chip.session
    if target == 0x10:
        assert answer == expected
    elif target == 0x14:
        assert xor(answer[:32], sha256(IO_KEY + answer[32:48]).digest()) == expected
        assert len(answer) == 64
    else:
        assert answer == OK
        there = {0x00: session.temp_key.value, 0x04: session.temp_key.upper or b"",
                 0x08: part.memory.slot(10)[:32], 0x0C: session.alt_key_buf or b""}  # fmt: skip
        assert there[target] == expected
    assert part.temp_valid


def test_a_64_byte_result_is_encrypted_with_both_halves_of_the_nonce() -> None:
    part = part_608()
    part.nonce(KEY)
    answer = part.send(0x56, 0x14, 0, details(3 << 24 | 0x101) + b"abc")
    assert len(answer) == 96
    pads = sha256(IO_KEY + answer[64:80]).digest() + sha256(IO_KEY + answer[80:]).digest()
    assert xor(answer[:64], pads) == p_sha256(KEY, b"abc", 64)


def test_hkdf_messages_from_slot_temp_key_and_iv() -> None:
    part = part_608()
    part.memory.set_slot(10, b"message of a slot".ljust(72, b"\0"))
    part.memory.set_config(72, b"\x09iv")
    assert part.send(0x56, 0x50 | 2, 4, details(7 << 24 | 10 << 8)) == hmac.digest(KEY, b"message", "sha256")
    part.nonce(DIGEST)
    assert part.send(0x56, 0x50 | 2, 4, details(32 << 24 | 1)) == hmac.digest(KEY, DIGEST, "sha256")
    with_iv = b"123456789iv.."
    assert part.send(0x56, 0x52, 4, details(13 << 24 | 3) + with_iv) == hmac.digest(KEY, with_iv, "sha256")
    assert part.send(0x56, 0x52, 4, details(13 << 24 | 3) + b"123456789vi..") == REFUSED
    assert part.send(0x56, 0x52, 4, details(2)) == hmac.digest(KEY, bytes(32), "sha256")
    zero_key = details(3 << 24 | 4 | 2)
    assert part.send(0x56, 0x52, 4, zero_key + b"abc") == hmac.digest(bytes(32), b"abc", "sha256")


def test_hkdf_all_in_temp_key_is_a_parse_error() -> None:
    part = part_608()
    part.nonce(KEY)
    assert part.send(0x56, 0x40, 0, details(32 << 24 | 1)) == PARSE


def test_kdf_sources_must_hold_what_is_asked_for() -> None:
    part = part_608()
    assert part.send(0x56, 0x53, 0, details(2 << 24 | 2) + b"ab") == REFUSED
    part.send(0x16, 0x83, 0, KEY)
    assert part.send(0x56, 0x53, 0, details(2 << 24 | 2) + b"ab") == hmac.digest(KEY, b"ab", "sha256")
    part.nonce(KEY)
    assert part.send(0x56, 0x51, 0, details(2 << 24 | 2) + b"ab") == REFUSED, "no upper half"
    part.send(0x16, 0x23, 0, DIGEST + KEY)
    assert part.send(0x56, 0x51, 0, details(2 << 24 | 2) + b"ab") == hmac.digest(KEY, b"ab", "sha256")
    assert part.send(0x56, 0x50 | 2, 0, details(2 << 24 | 2) + b"ab") == REFUSED, (
        "a private slot is no source"
    )


def test_kdfprot_and_the_aes_permission() -> None:
    part = part_608(options=0x640E)
    part.nonce(KEY)
    assert len(part.send(0x56, 0x50, 0, details(2 << 24 | 2) + b"ab")) == 64
    part = part_608(options=0x680A)
    part.nonce(KEY)
    assert part.send(0x56, 0x50, 0, details(2 << 24 | 2) + b"ab") == REFUSED
    assert part.send(0x56, 0x20, 0, details(0) + bytes(16)) == REFUSED
    assert part.send(0x56, 0x60, 0, details(0)) == PARSE
    assert part.send(0x56, 0x18, 0, details(0)) == PARSE


# -- SecureBoot ----------------------------------------------------------------------------------


def boot(mode: int, *, latch: bool = False) -> Part:
    return part_608(secure_boot=15 << 12 | 8 << 8 | latch << 2 | mode)


def test_a_signed_image_passes_and_another_does_not() -> None:
    part = boot(1)
    signature = sign(host_key(), DIGEST)
    assert part.send(0x80, 5, 0, DIGEST + signature) == OK
    assert part.send(0x80, 5, 0, KEY + signature) == MISCOMPARE
    assert part.send(0x80, 7, 0, DIGEST + signature) == REFUSED
    assert boot(0).send(0x80, 5, 0, DIGEST + signature) == REFUSED


@pytest.mark.parametrize("mode", [2, 3])
def test_a_copied_image_passes_without_its_signature(mode: int) -> None:
    part = boot(mode)
    signature = sign(host_key(), DIGEST)
    assert part.send(0x80, 6, 0, DIGEST) == MISCOMPARE
    assert part.send(0x80, 7, 0, KEY + signature) == MISCOMPARE
    assert part.send(0x80, 7, 0, DIGEST + signature) == OK
    assert part.memory.slot(8).startswith(signature if mode == 2 else DIGEST)
    assert part.send(0x80, 6, 0, DIGEST) == OK
    assert part.send(0x80, 6, 0, KEY) == MISCOMPARE


@pytest.mark.parametrize(("mode", "p1"), [(1, 0x85), (2, 0x86), (3, 0x86), (3, 0x87)])
def test_secure_boot_with_encrypted_digest_and_mac(mode: int, p1: int) -> None:
    part = boot(mode)
    signature = sign(host_key(), DIGEST)
    if p1 == 0x86:
        part.send(0x80, 7, 0, DIGEST + signature)
    part.nonce(KEY)
    host = sha256(IO_KEY + KEY).digest()
    sent = b"" if p1 == 0x86 else signature
    hashed = b"" if (p1, mode) == (0x86, 3) else signature
    answer = part.send(0x80, p1, 0, xor(DIGEST, host) + sent)
    assert answer == sha256(host + DIGEST + hashed + bytes((0x80, p1, 0, 0))).digest()


@pytest.mark.parametrize("random", [True, False])
def test_secure_boot_may_ask_for_a_random_nonce(random: bool) -> None:
    part = part_608(secure_boot=15 << 12 | 8 << 8 | 1 << 3 | 1)
    if random:
        part.random_nonce()
    else:
        part.nonce()
    host = sha256(IO_KEY + part.temp).digest()
    answer = part.send(0x80, 0x85, 0, xor(DIGEST, host) + sign(host_key(), DIGEST))
    assert len(answer) == (32 if random else 1)


def test_a_successful_boot_sets_the_latch() -> None:
    part = boot(1, latch=True)
    assert part.send(0x30, 4) == bytes(4)
    part.send(0x80, 5, 0, DIGEST + sign(host_key(), DIGEST))
    assert part.send(0x30, 4) == b"\x01\0\0\0"


def test_a_prohibiting_boot_is_the_last_until_power_goes() -> None:
    part = boot(1)
    signed = DIGEST + sign(host_key(), DIGEST)
    assert part.send(0x80, 0x45, 0, signed) == OK
    assert part.send(0x80, 5, 0, signed) == REFUSED
    part.chip.power_off()
    part.chip.power_on()
    assert part.send(0x80, 5, 0, signed) == OK


# -- SelfTest ------------------------------------------------------------------------------------


def test_self_tests_pass_on_a_whole_part() -> None:
    part = part_608()
    assert part.send(0x77, 0x3D) == OK
    assert part.send(0x77, 0) == OK
    assert part.send(0x77, 2) == PARSE


def test_the_self_test_at_the_slowest_clock_does_not_fit_the_watchdog() -> None:
    part = Part("atecc608a")
    part.memory.set_config(19, b"\x68")
    part.chip.power_off()
    part.chip.power_on()
    part.start()
    assert part.transact(0x77, 0x3D) == b"\xee"


def test_power_on_self_test_takes_longer_to_wake() -> None:
    part = part_608(options=0x600F)
    part.time += 1000
    part.chip.sda_low(80)
    part.time += part.profile.wake.ready_us
    assert part.read(4) is None
    part.time += part.profile.wake.self_test_us
    assert part.read(4) == bytes.fromhex("04113343")
