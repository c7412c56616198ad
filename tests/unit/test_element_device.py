"""What one asks of an element becomes these commands, and these answers become these values."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import pytest

from hil.element import digests
from hil.element.commands import part_of
from hil.element.commands608 import KdfResult, KdfSource, KdfTarget, SelfTest, ShaTarget
from hil.element.device import Element, SignRecipe
from hil.element.keys import ElementEcdh, ElementRandom, ElementSigningKey, ElementVerify
from hil.errors import DeviceError, ElementError, UsageError
from hil.wire.atecc import Command, Opcode

from .element_script import ADDRESS, SERIAL, AnsweringBus, in_order

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from hil.tls.key import EcdhUnit, RandomSource, SigningKey, VerifyUnit

BLOCK = bytes(range(32))
PUBLIC = bytes(range(64))
SIGNATURE = bytes(range(64, 128))
OK = b"\0"
CONFIG0 = SERIAL[0:4] + bytes.fromhex("00006002") + SERIAL[4:9] + bytes.fromhex("c15500") + bytes(16)


def element(
    expected: Sequence[tuple[Command, bytes]], part: str | None = "atecc508a"
) -> tuple[Element, AnsweringBus]:
    bus = AnsweringBus(in_order(expected))
    return Element(bus, ADDRESS, part), bus


@pytest.mark.parametrize(
    ("revision", "part"),
    [
        ("00005000", "atecc508a"),
        ("00005002", "atecc508a"),
        ("00006001", "atecc608a"),
        ("00006002", "atecc608a"),
        ("00006003", "atecc608b"),
        ("00006004", "atecc608b"),
        ("000060ff", "atecc608b"),
    ],
)
def test_the_part_follows_from_the_revision_and_unknown_silicon_is_accepted(revision: str, part: str) -> None:
    assert part_of(bytes.fromhex(revision)) == part


def test_another_family_is_refused() -> None:
    with pytest.raises(DeviceError, match="00 02 00 09"):
        part_of(bytes.fromhex("00020009"))


def test_an_unknown_part_is_asked_once() -> None:
    tested, _ = element([(Command(Opcode.INFO), bytes.fromhex("00006002"))], None)
    assert [tested.part, tested.part, tested.is_508] == ["atecc608a", "atecc608a", False]


def test_serial_number_is_put_together_from_its_two_places() -> None:
    tested, _ = element([(Command(Opcode.READ, 0x80, 0), CONFIG0)])
    assert tested.serial_number() == SERIAL


def test_config_is_four_blocks_in_one_exchange() -> None:
    reads = [(Command(Opcode.READ, 0x80, block * 8), bytes((block,)) * 32) for block in range(4)]
    tested, bus = element(reads)
    assert tested.read_config() == b"".join(bytes((block,)) * 32 for block in range(4))
    assert bus.states == ["wake", "sleep"]


@pytest.mark.parametrize(
    ("words", "config", "data", "slots"),
    [
        ("00005555 ffff0000", False, False, frozenset[int]()),
        ("00005500 ffff0000", True, False, frozenset[int]()),
        ("00000000 fe7f0000", True, True, frozenset({0, 15})),
        ("0000aa00 ffff0000", True, True, frozenset[int]()),
    ],
)
def test_lock_state(words: str, config: bool, data: bool, slots: frozenset[int]) -> None:
    raw = bytes.fromhex(words)
    reads = [(Command(Opcode.READ, 0, 21), raw[:4]), (Command(Opcode.READ, 0, 22), raw[4:])]
    tested, _ = element(reads)
    state = tested.lock_state()
    assert (state.config, state.data, state.slots) == (config, data, slots)


@pytest.mark.parametrize(("slot", "blocks", "size"), [(7, 2, 36), (8, 13, 416), (9, 3, 72)])
def test_a_slot_is_read_block_by_block_and_cut_to_its_size(slot: int, blocks: int, size: int) -> None:
    reads = [(Command(Opcode.READ, 0x82, slot << 3 | n << 8), bytes((n + 1,)) * 32) for n in range(blocks)]
    tested, _ = element(reads)
    assert tested.read_slot(slot) == b"".join(bytes((n + 1,)) * 32 for n in range(blocks))[:size]


def test_otp_is_two_blocks() -> None:
    tested, _ = element([(Command(Opcode.READ, 0x81, 0), BLOCK), (Command(Opcode.READ, 0x81, 8), BLOCK)])
    assert tested.read_otp() == BLOCK + BLOCK


def key_exchange(slot: int) -> list[tuple[Command, bytes]]:
    """Random nonce with a NumIn of 07…, RandOut BLOCK, then GenDig."""
    return [
        (Command(Opcode.READ, 0x80, 0), CONFIG0),
        (Command(Opcode.NONCE, 0, 0, b"\7" * 20), BLOCK),
        (Command(Opcode.GENDIG, 2, slot, bytes((0x15, 2, slot, 0))), OK),
    ]


def test_encrypted_read_decrypts_with_what_both_sides_hash() -> None:
    key = bytes(range(0x40, 0x60))
    tempkey = digests.gendig_zone(key, 2, 4, SERIAL, digests.nonce_tempkey(BLOCK, b"\7" * 20, 0))
    plain = bytes(range(0x80, 0xA0))
    steps = [*key_exchange(4), (Command(Opcode.READ, 0x82, 8 << 3 | 2 << 8), digests.xor(plain, tempkey))]
    bus = AnsweringBus(in_order(steps))
    tested = Element(bus, ADDRESS, "atecc508a", entropy=lambda length: b"\7" * length)
    assert tested.read_encrypted_block(8, 2, 4, key) == plain
    assert bus.states == ["wake", "sleep"]


# Signatures


def test_a_508a_signs_what_the_nonce_put_into_tempkey() -> None:
    tested, bus = element(
        [(Command(Opcode.NONCE, 3, 0, BLOCK), OK), (Command(Opcode.SIGN, 0x80, 2), SIGNATURE)]
    )
    assert tested.sign_digest(2, BLOCK) == SIGNATURE
    assert bus.states == ["wake", "sleep"]


def test_a_608_signs_from_the_message_buffer() -> None:
    tested, _ = element(
        [(Command(Opcode.NONCE, 0x43, 0, BLOCK), OK), (Command(Opcode.SIGN, 0xA0, 2), SIGNATURE)], "atecc608b"
    )
    assert tested.sign_digest(2, BLOCK) == SIGNATURE


def test_the_recipe_of_cryptoauthlib_seeds_with_random_first() -> None:
    steps = [
        (Command(Opcode.RANDOM), BLOCK),
        (Command(Opcode.NONCE, 0x43, 0, BLOCK), OK),
        (Command(Opcode.SIGN, 0xA0, 0), SIGNATURE),
    ]
    tested, _ = element(steps, "atecc608a")
    assert (
        tested.sign_digest(0, BLOCK, recipe=SignRecipe(random_first=True, message_buffer=True)) == SIGNATURE
    )


@pytest.mark.parametrize(("status", "good"), [(0, True), (1, False)])
def test_verify_tells_good_from_bad(status: int, good: bool) -> None:
    steps = [
        (Command(Opcode.NONCE, 3, 0, BLOCK), OK),
        (Command(Opcode.VERIFY, 2, 4, SIGNATURE + PUBLIC), bytes((status,))),
    ]
    tested, _ = element(steps)
    assert tested.verify_external(PUBLIC, BLOCK, SIGNATURE) is good


def test_verify_raises_what_is_neither_good_nor_bad() -> None:
    steps = [
        (Command(Opcode.NONCE, 0x43, 0, BLOCK), OK),
        (Command(Opcode.VERIFY, 0x22, 4, SIGNATURE + PUBLIC), b"\x0f"),
    ]
    tested, _ = element(steps, "atecc608b")
    with pytest.raises(ElementError, match="0x0F"):
        tested.verify_external(PUBLIC, BLOCK, SIGNATURE)


@pytest.mark.parametrize(("status", "good"), [(0, True), (1, False)])
def test_verify_with_a_stored_key_goes_through_tempkey_on_every_part(status: int, good: bool) -> None:
    steps = [
        (Command(Opcode.NONCE, 3, 0, BLOCK), OK),
        (Command(Opcode.VERIFY, 0, 9, SIGNATURE), bytes((status,))),
    ]
    tested, _ = element(steps, "atecc608b")
    assert tested.verify_with_slot(9, BLOCK, SIGNATURE) is good


def test_ecdh_with_a_slot() -> None:
    tested, _ = element([(Command(Opcode.ECDH, 0, 2, PUBLIC), BLOCK)])
    assert tested.ecdh(2, PUBLIC) == BLOCK


def test_sha256_sends_whole_blocks_and_the_rest() -> None:
    message = bytes(range(150))
    steps = [
        (Command(Opcode.SHA, 0), OK),
        (Command(Opcode.SHA, 1, 64, message[:64]), OK),
        (Command(Opcode.SHA, 1, 64, message[64:128]), OK),
        (Command(Opcode.SHA, 2, 22, message[128:]), BLOCK),
    ]
    tested, bus = element(steps)
    assert tested.sha256(message) == BLOCK
    assert bus.states == ["wake", "sleep"]


@pytest.mark.parametrize(("part", "mode"), [("atecc508a", 5), ("atecc608a", 2)])
def test_hmac_ends_with_the_mode_of_the_part(part: str, mode: int) -> None:
    tested, _ = element(
        [(Command(Opcode.SHA, 4, 5), OK), (Command(Opcode.SHA, mode, 3, b"abc"), BLOCK)], part
    )
    assert tested.hmac_sha256(5, b"abc") == BLOCK


# One command each

CALLS: list[tuple[Callable[[Element], object], Command, bytes, object]] = [
    (lambda e: e.random(update_seed=False), Command(Opcode.RANDOM, 1), BLOCK, BLOCK),
    (lambda e: e.info_key_valid(3), Command(Opcode.INFO, 1, 3), b"\1\0\0\0", True),
    (lambda e: e.nonce_from_tempkey(b"\1" * 20), Command(Opcode.NONCE, 0, 0x8000, b"\1" * 20), BLOCK, BLOCK),
    (lambda e: e.nonce_load(PUBLIC), Command(Opcode.NONCE, 0x23, 0, PUBLIC), OK, None),
    (lambda e: e.load_message(PUBLIC), Command(Opcode.NONCE, 0x63, 0, PUBLIC), OK, None),
    (lambda e: e.load_alternate_key(BLOCK), Command(Opcode.NONCE, 0x83, 0, BLOCK), OK, None),
    (lambda e: e.gendig(4), Command(Opcode.GENDIG, 2, 4), OK, None),
    (lambda e: e.gendig_config(3), Command(Opcode.GENDIG, 0, 3), OK, None),
    (lambda e: e.gendig_otp(1), Command(Opcode.GENDIG, 1, 1), OK, None),
    (lambda e: e.gendig_shared(BLOCK, 0x8004), Command(Opcode.GENDIG, 3, 0x8004, BLOCK), OK, None),
    (lambda e: e.gendig_counter(1), Command(Opcode.GENDIG, 4, 1), OK, None),
    (lambda e: e.gendig_keyconfig(5), Command(Opcode.GENDIG, 5, 5), OK, None),
    (lambda e: e.read_slot_word(9, 1, 5), Command(Opcode.READ, 2, 0x014D), b"abcd", b"abcd"),
    (lambda e: e.counter(1), Command(Opcode.COUNTER, 0, 1), b"\x2d\0\0\0", 45),
    (lambda e: e.public_key(1), Command(Opcode.GENKEY, 0, 1), PUBLIC, PUBLIC),
    (lambda e: e.public_key_digest(1), Command(Opcode.GENKEY, 8, 1), PUBLIC, PUBLIC),
    (lambda e: e.stored_public_key_digest(9, b"abc"), Command(Opcode.GENKEY, 0x10, 9, b"abc"), OK, None),
    (lambda e: e.sign_internal(7), Command(Opcode.SIGN, 0, 7), SIGNATURE, SIGNATURE),
    (lambda e: e.sign_internal(7, full_serial=True), Command(Opcode.SIGN, 0x40, 7), SIGNATURE, SIGNATURE),
    (lambda e: e.sign_internal(7, to_invalidate=True), Command(Opcode.SIGN, 0x01, 7), SIGNATURE, SIGNATURE),
    (
        lambda e: e.sign_internal(7, full_serial=True, to_invalidate=True),
        Command(Opcode.SIGN, 0x41, 7),
        SIGNATURE,
        SIGNATURE,
    ),
    (lambda e: e.verify_stored(9, SIGNATURE), Command(Opcode.VERIFY, 0, 9, SIGNATURE), OK, True),
    (lambda e: e.mac(5, BLOCK, mode=0x40), Command(Opcode.MAC, 0x40, 5, BLOCK), BLOCK, BLOCK),
    (lambda e: e.mac(5, None, source_is_input=True), Command(Opcode.MAC, 0x05, 5), BLOCK, BLOCK),
    (lambda e: e.mac(5, BLOCK, mode=2), Command(Opcode.MAC, 0x02, 5, BLOCK), BLOCK, BLOCK),
    (lambda e: e.hmac(5, full_serial=True), Command(Opcode.HMAC, 0x40, 5), BLOCK, BLOCK),
    (
        lambda e: e.check_mac(5, BLOCK, bytes(13), BLOCK[::-1]),
        Command(Opcode.CHECKMAC, 0, 5, BLOCK[::-1] + BLOCK + bytes(13)),
        b"\1",
        False,
    ),
    (
        lambda e: e.check_mac(5, BLOCK, bytes(13), None, mode=4),
        Command(Opcode.CHECKMAC, 5, 5, bytes(32) + BLOCK + bytes(13)),
        OK,
        True,
    ),
    (lambda e: e.sha_public(9), Command(Opcode.SHA, 3, 9), OK, None),
    (lambda e: e.ephemeral_key(), Command(Opcode.GENKEY, 4, 0xFFFF), PUBLIC, PUBLIC),
    (lambda e: e.ecdh_ephemeral(PUBLIC), Command(Opcode.ECDH, 0x0D, 0, PUBLIC), BLOCK, BLOCK),
    (lambda e: e.ecdh_to_tempkey(2, PUBLIC), Command(Opcode.ECDH, 0x08, 2, PUBLIC), OK, None),
    (lambda e: e.ecdh_to_tempkey(None, PUBLIC), Command(Opcode.ECDH, 0x09, 0, PUBLIC), OK, None),
    (lambda e: e.ecdh_output(2, PUBLIC), Command(Opcode.ECDH, 0x0C, 2, PUBLIC), BLOCK, BLOCK),
    (
        lambda e: e.aes_encrypt(5, BLOCK[:16], key_block=1),
        Command(Opcode.AES, 0x40, 5, BLOCK[:16]),
        BLOCK[:16],
        BLOCK[:16],
    ),
    (
        lambda e: e.aes_decrypt(None, BLOCK[:16]),
        Command(Opcode.AES, 1, 0xFFFF, BLOCK[:16]),
        BLOCK[:16],
        BLOCK[:16],
    ),
    (lambda e: e.aes_gfm(BLOCK[:16], BLOCK[16:]), Command(Opcode.AES, 3, 0, BLOCK), BLOCK[:16], BLOCK[:16]),
    (
        lambda e: e.kdf_prf(b"seed", length=64),
        Command(Opcode.KDF, 0x10, 0, bytes.fromhex("01010004") + b"seed"),
        PUBLIC,
        KdfResult(PUBLIC),
    ),
    (
        lambda e: e.kdf_prf(bytes(123), key_length=64, source=KdfSource.SLOT, slot=5),
        Command(Opcode.KDF, 0x12, 5, bytes.fromhex("0300007b") + bytes(123)),
        BLOCK,
        KdfResult(BLOCK),
    ),
    (
        lambda e: e.kdf_prf(b"seed", length=64, aead=True, target=KdfTarget.TEMPKEY),
        Command(Opcode.KDF, 0x00, 0, bytes.fromhex("01030004") + b"seed"),
        BLOCK,
        KdfResult(BLOCK),
    ),
    (
        lambda e: e.kdf_aes(BLOCK[:16], key_block=2, target=KdfTarget.ALTERNATE),
        Command(Opcode.KDF, 0x2C, 0, bytes.fromhex("02000000") + BLOCK[:16]),
        OK,
        KdfResult(b""),
    ),
    (
        lambda e: e.kdf_hkdf(b"info", target=KdfTarget.ENCRYPTED),
        Command(Opcode.KDF, 0x54, 0, bytes.fromhex("02000004") + b"info"),
        PUBLIC,
        KdfResult(PUBLIC[:32], PUBLIC[32:]),
    ),
    (lambda e: e.sha_end_to(ShaTarget.OUTPUT_ONLY, b"x"), Command(Opcode.SHA, 0xC2, 1, b"x"), BLOCK, BLOCK),
    (lambda e: e.sha_read_context(), Command(Opcode.SHA, 6), bytes(41), bytes(41)),
    (lambda e: e.sha_write_context(bytes(99)), Command(Opcode.SHA, 7, 99, bytes(99)), OK, None),
    (lambda e: e.sha_write_context(bytes(36)), Command(Opcode.SHA, 7, 36, bytes(36)), OK, None),
    (lambda e: e.sha_write_context(bytes(41)), Command(Opcode.SHA, 7, 41, bytes(41)), OK, None),
    (lambda e: e.self_test(), Command(Opcode.SELFTEST, 0x3D), b"\x05", SelfTest.RANDOM | SelfTest.ECDSA),
    (lambda e: e.self_test(), Command(Opcode.SELFTEST, 0x3D), b"\x01", SelfTest.RANDOM),
    (lambda e: e.self_test(SelfTest.NONE), Command(Opcode.SELFTEST, 0), OK, SelfTest.NONE),
    (lambda e: e.latch(), Command(Opcode.INFO, 4), b"\1\0\0\0", True),
    (lambda e: e.set_latch(True), Command(Opcode.INFO, 4, 3), b"\1\0\0\0", None),
    (
        lambda e: e.secure_boot_check(BLOCK, SIGNATURE),
        Command(Opcode.SECUREBOOT, 5, 0, BLOCK + SIGNATURE),
        b"\1",
        False,
    ),
]


@pytest.mark.parametrize(
    ("call", "command", "payload", "result"), CALLS, ids=lambda value: getattr(value, "label", "")
)
def test_a_method_is_this_command_and_returns_this_value(
    call: Callable[[Element], object], command: Command, payload: bytes, result: object
) -> None:
    tested, _ = element([(command, payload)], "atecc608b")
    assert call(tested) == result


def test_info_state_is_taken_apart() -> None:
    tested, _ = element([(Command(Opcode.INFO, 2), bytes.fromhex("b5fd0000"))])
    state = tested.info_state()
    assert (state.key_id, state.from_input, state.gen_dig, state.gen_key, state.no_mac) == (
        5,
        True,
        True,
        False,
        True,
    )
    assert (state.valid, state.auth_key_id, state.auth_valid, state.sram_seed, state.eeprom_seed) == (
        True,
        15,
        True,
        False,
        True,
    )


@pytest.mark.parametrize(
    ("answer", "field"),
    [
        ("10", "from_input"),
        ("20", "gen_dig"),
        ("40", "gen_key"),
        ("80", "no_mac"),
        ("0001", "eeprom_seed"),
        ("0002", "sram_seed"),
        ("0004", "auth_valid"),
        ("0080", "valid"),
    ],
)
def test_each_bit_of_info_state_is_one_field(answer: str, field: str) -> None:
    tested, _ = element([(Command(Opcode.INFO, 2), bytes.fromhex(answer).ljust(4, b"\0"))])
    state = asdict(tested.info_state())
    assert [name for name, value in state.items() if value] == [field]


def test_self_test_status_03_is_an_error_and_no_map() -> None:
    tested, _ = element([(Command(Opcode.SELFTEST, 0x3D), b"\3")], "atecc608b")
    with pytest.raises(ElementError, match="0x03"):
        tested.self_test()


def test_a_self_test_map_that_looks_like_the_wake_status_is_believed_when_it_stays() -> None:
    tested, _ = element([(Command(Opcode.SELFTEST, 0x3D), b"\x11")] * 3, "atecc608b")
    assert tested.self_test() == SelfTest.RANDOM | SelfTest.AES


def test_a_proven_verify_believes_only_the_right_mac() -> None:
    mac = digests.verify_mac(BLOCK, BLOCK, BLOCK, SIGNATURE, 0x82, 4)
    command = Command(Opcode.VERIFY, 0x82, 4, SIGNATURE + PUBLIC)
    tested, _ = element([(command, mac)], "atecc608b")
    assert tested.verify_loaded_mac(PUBLIC, SIGNATURE, BLOCK, BLOCK, BLOCK)
    tested, _ = element([(command, b"\1")], "atecc608b")
    assert not tested.verify_loaded_mac(PUBLIC, SIGNATURE, BLOCK, BLOCK, BLOCK)
    tested, _ = element([(command, mac[::-1])], "atecc608b")
    with pytest.raises(ElementError, match="MAC of the answer is wrong"):
        tested.verify_loaded_mac(PUBLIC, SIGNATURE, BLOCK, BLOCK, BLOCK)


BAD_CALLS: list[Callable[[Element], object]] = [
    lambda e: e.public_key(16),
    lambda e: e.public_key(-1),
    lambda e: e.sign_digest(0, b"short"),
    lambda e: e.sign_digest(99, BLOCK),
    lambda e: e.verify_external(PUBLIC[:63], BLOCK, SIGNATURE),
    lambda e: e.verify_stored(7, SIGNATURE),
    lambda e: e.ecdh(0, PUBLIC + b"\0"),
    lambda e: e.nonce_random(b"\0" * 19),
    lambda e: e.nonce_load(b""),
    lambda e: e.load_message(b"\0" * 33),
    lambda e: e.gendig(0, b"abc"),
    lambda e: e.gendig_config(4),
    lambda e: e.gendig_counter(2),
    lambda e: e.counter(2),
    lambda e: e.read_slot(16),
    lambda e: e.read_slot_word(0, 0, 8),
    lambda e: e.read_config_word(3),
    lambda e: e.read_encrypted_block(8, 0, 4, b"short"),
    lambda e: e.verify_with_slot(9, BLOCK[:31], SIGNATURE),
    lambda e: e.verify_with_slot(9, BLOCK, SIGNATURE[:63]),
    lambda e: e.mac(0, BLOCK, mode=0x10),
    lambda e: e.mac(0, BLOCK, mode=0x01),
    lambda e: e.mac(0, BLOCK, mode=0x04),
    lambda e: e.check_mac(0, BLOCK, bytes(13), BLOCK, mode=0x01),
    lambda e: e.kdf_prf(b"", length=48),
    lambda e: e.kdf_prf(bytes(124)),
    lambda e: e.kdf_aes(BLOCK),
    lambda e: e.kdf_aes(BLOCK[:16], key_block=4),
    lambda e: e.sha_end(bytes(65)),
    lambda e: e.sha_end_to(ShaTarget.TEMPKEY, bytes(65)),
    lambda e: e.check_mac(0, BLOCK, bytes(12), BLOCK),
    lambda e: e.sha_update(b""),
    lambda e: e.sha_update(bytes(65)),
    lambda e: e.aes_encrypt(0, BLOCK[:16], key_block=2),
    lambda e: e.kdf_prf(b"", key_length=20),
    lambda e: e.kdf_prf(b"", aead=True),
    lambda e: e.sha_write_context(bytes(35)),
    lambda e: e.sha_write_context(bytes(100)),
]


@pytest.mark.parametrize("call", BAD_CALLS)
def test_what_cannot_be_right_is_refused_before_anything_is_sent(call: Callable[[Element], object]) -> None:
    tested, bus = element([], "atecc608b")
    with pytest.raises(UsageError):
        call(tested)
    assert bus.log == []


# Adapters for TLS


def test_adapters_satisfy_the_protocols_of_tls() -> None:
    tested, _ = element([])
    signer: SigningKey = ElementSigningKey(tested, 0)
    ecdh: EcdhUnit = ElementEcdh(tested, 2)
    verify: VerifyUnit = ElementVerify(tested)
    random: RandomSource = ElementRandom(tested)
    assert all((signer, ecdh, verify, random))


def test_a_608_keeps_its_ephemeral_key_by_idling_until_it_agrees() -> None:
    tested, bus = element(
        [(Command(Opcode.GENKEY, 4, 0xFFFF), PUBLIC), (Command(Opcode.ECDH, 0x0D, 0, PUBLIC), BLOCK)],
        "atecc608b",
    )
    unit = ElementEcdh(tested)
    assert unit.new_key() == PUBLIC
    assert bus.states == ["wake", "idle"]
    assert unit.agree(PUBLIC) == BLOCK
    assert bus.states == ["wake", "idle", "wake", "idle", "wake", "sleep"]


def test_an_agreement_that_is_given_up_lets_the_element_sleep() -> None:
    tested, bus = element([(Command(Opcode.GENKEY, 4, 0xFFFF), PUBLIC)], "atecc608b")
    unit = ElementEcdh(tested)
    unit.new_key()
    unit.close()
    assert bus.states[-1] == "sleep"


def test_a_508a_agrees_with_the_key_of_a_slot() -> None:
    tested, _ = element([(Command(Opcode.GENKEY, 0, 2), PUBLIC), (Command(Opcode.ECDH, 0, 2, PUBLIC), BLOCK)])
    unit = ElementEcdh(tested, 2)
    assert unit.new_key() == PUBLIC
    assert unit.agree(PUBLIC) == BLOCK


def test_a_508a_without_a_slot_cannot_agree() -> None:
    tested, _ = element([])
    with pytest.raises(UsageError, match="no ephemeral keys"):
        ElementEcdh(tested).new_key()


def test_random_bytes_come_in_portions_of_32() -> None:
    for length, commands in ((0, 0), (1, 1), (32, 1), (33, 2), (64, 2)):
        tested, bus = element([(Command(Opcode.RANDOM), BLOCK)] * commands)
        assert ElementRandom(tested).random(length) == (BLOCK + BLOCK)[:length]
        assert len(bus.log) == commands
    with pytest.raises(UsageError):
        ElementRandom(tested).random(-1)
