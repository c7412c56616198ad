"""The driver on the emulated part: SecureBoot, the latch, results into slots, stored keys, words."""

from __future__ import annotations

import hashlib
import hmac
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from hil.element import digests
from hil.element import irreversible_boot as secure
from hil.element import irreversible_state as state
from hil.element import irreversible_words as words
from hil.element.commands608 import KdfSource, ShaTarget
from hil.element.device import Element
from hil.emulator.standalone import EmulatedElement, emulated_element
from hil.errors import ElementError, UsageError
from hil.guard.operations import Operation
from hil.guard.permit import issue
from tests.unit.chip_bench import (
    DATA_KEY,
    DIGEST,
    ECC_PRIVATE,
    ECC_PUBLIC,
    TEST_POINT,
    TEST_SCALAR,
    host_key,
    point,
    sign,
    verifies,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from hil.guard.permit import Permit, RpcCall
    from hil.wire.atecc import Command

IO_KEY, KEY = bytes(range(0x80, 0xA0)), bytes(range(32))
OTHER = hashlib.sha256(b"another image").digest()
FULL_BOTH, FULL_SIGNATURE, FULL_DIGEST = 1, 2, 3
EMPTY: Mapping[int, tuple[int, int]] = {}
PUB_INFO = 0x02
SLOTS = {0: (0x6487, ECC_PRIVATE), 4: (0x8F8F, DATA_KEY), 6: (0x0F8F, DATA_KEY), 15: (0x0F0F, ECC_PUBLIC)}
"""SlotConfig and KeyConfig; all others hold open data."""


@dataclass
class Bench:
    """A locked part, its driver, and somebody who allows everything."""

    part: EmulatedElement
    element: Element
    fault_when_armed: str = ""

    @contextmanager
    def arm(self, permit: Permit, actions: Sequence[Command | RpcCall]) -> Iterator[None]:
        if self.fault_when_armed:
            self.part.faults.add(self.fault_when_armed, times=3)
        yield

    def allow(self, operation: Operation, slot: int | None = None) -> Permit:
        return issue(self, operation, self.part.memory.serial.hex(), slot)


@contextmanager
def bench(
    name: str,
    slots: Mapping[int, tuple[int, int]] = EMPTY,
    *,
    boot: int = FULL_BOTH,
    otp_mode: int | None = None,
) -> Iterator[Bench]:
    with emulated_element(name) as part:
        memory = part.memory
        for slot in range(16):
            rules, key = {**SLOTS, **slots}.get(slot, (0x0F0F, DATA_KEY))
            memory.set_config(20 + 2 * slot, rules.to_bytes(2, "little"))
            memory.set_config(96 + 2 * slot, key.to_bytes(2, "little"))
        if part.profile.family == 608:
            memory.set_config(69, b"\x84")  # the latch asks for an authorisation with slot 4
            memory.set_config(70, (15 << 12 | 8 << 8 | boot).to_bytes(2, "little"))
            memory.set_config(90, bytes.fromhex("0E60"))
        if otp_mode is not None:
            memory.set_config(18, bytes((otp_mode,)))
        memory.set_private_key(0, TEST_SCALAR)
        memory.set_slot(4, KEY)
        memory.set_slot(6, IO_KEY)
        memory.set_slot(9, bytes(range(72)))
        memory.set_public_key(15, point(host_key()))
        memory.lock_config()
        memory.lock_data()
        yield Bench(part, Element(part.bus, part.address))


EVERY = pytest.mark.parametrize("name", ["atecc508a", "atecc608a", "atecc608b", "atecc608-next"])
ON_608 = pytest.mark.parametrize("name", ["atecc608a", "atecc608b", "atecc608-next"])


@ON_608
def test_the_latch_is_set_after_its_authorisation_and_gone_with_the_power(name: str) -> None:
    with bench(name) as b:
        assert not b.element.latch()
        with pytest.raises(ElementError, match="0x0F"):
            b.element.set_latch(True)
        other = bytes(13)
        response = digests.check_mac_response(KEY, DIGEST, other, b.part.memory.serial)
        with b.element.session():
            assert b.element.check_mac(4, response, other, DIGEST)
            b.element.set_latch(True)
        assert b.element.latch()
        b.part.power_cycle()
        assert not b.element.latch()


@ON_608
def test_secure_boot_in_clear(name: str) -> None:
    signature = sign(host_key(), DIGEST)
    with bench(name) as b:
        assert b.element.secure_boot_check(DIGEST, signature)
        assert not b.element.secure_boot_check(OTHER, signature)


@ON_608
def test_secure_boot_with_a_proof(name: str) -> None:
    signature = sign(host_key(), DIGEST)
    with bench(name) as b, b.element.session():
        nonce = b.element.nonce_random()
        assert b.element.secure_boot_check_mac(DIGEST, signature, nonce.tempkey, IO_KEY)
        nonce = b.element.nonce_random()
        assert not b.element.secure_boot_check_mac(OTHER, signature, nonce.tempkey, IO_KEY)
        nonce = b.element.nonce_random()
        # Under another IO protection key the element deciphers another digest.
        assert not b.element.secure_boot_check_mac(DIGEST, signature, nonce.tempkey, KEY)


@ON_608
@pytest.mark.parametrize("boot", [FULL_SIGNATURE, FULL_DIGEST])
def test_a_copied_image_is_accepted_by_its_digest_alone(name: str, boot: int) -> None:
    signature = sign(host_key(), DIGEST)
    with bench(name, boot=boot) as b:
        permit = b.allow(Operation.SECURE_BOOT)
        assert not secure.secure_boot_copy(b.element, OTHER, signature, permit)
        assert secure.secure_boot_copy(b.element, DIGEST, signature, permit)
        assert secure.secure_boot_copy_mac(b.element, DIGEST, signature, IO_KEY, permit)
        assert not secure.secure_boot_copy_mac(b.element, OTHER, signature, IO_KEY, permit)
        kept = signature if boot == FULL_SIGNATURE else DIGEST
        assert b.element.read_slot(8).startswith(kept)
        assert secure.secure_boot_check_stored(b.element, DIGEST, permit)
        assert not secure.secure_boot_check_stored(b.element, OTHER, permit)
        proof = signature if boot == FULL_SIGNATURE else b""
        check = secure.secure_boot_check_stored_mac
        assert check(b.element, DIGEST, IO_KEY, permit, signature=proof)
        assert not check(b.element, OTHER, IO_KEY, permit, signature=proof)
        assert b.element.read_slot(8).startswith(kept), "nothing was stored"
        with pytest.raises(ElementError, match="the MAC of the answer is wrong"):
            check(b.element, DIGEST, IO_KEY, permit, signature=signature if not proof else bytes(64))


@ON_608
def test_a_secret_is_agreed_into_a_slot(name: str) -> None:
    peer = host_key()
    with bench(name) as b:
        with b.element.session():
            public = b.element.ephemeral_key()
            state.agree_into_slot(b.element, 10, point(peer), b.allow(Operation.ECDH_INTO_SLOT, 10))
        assert b.element.read_slot(10)[:32] == shared(peer, public)


@EVERY
def test_a_secret_is_agreed_into_the_next_slot(name: str) -> None:
    peer = host_key()
    with bench(name, {0: (0x648F, ECC_PRIVATE), 1: (0x0F0F, DATA_KEY), 2: (0x6487, ECC_PRIVATE)}) as b:
        permit = b.allow(Operation.ECDH_INTO_SLOT, 1)
        state.agree_into_next_slot(b.element, 0, point(peer), permit)
        assert b.element.read_slot(1)[:32] == shared(peer, TEST_POINT)
        with pytest.raises(UsageError, match="does not send"):
            state.agree_into_next_slot(b.element, 2, point(peer), b.allow(Operation.ECDH_INTO_SLOT, 3))
        assert sent(b, "ECDH") == 1


@ON_608
@pytest.mark.parametrize("buffer", [False, True])
def test_a_verification_is_proven_to_come_from_the_element(name: str, buffer: bool) -> None:
    nonce, right, wrong = bytes(range(32)), sign(host_key(), DIGEST), sign(host_key(), OTHER)

    def stored(signature: bytes, key: bytes) -> bool:
        load(b.element, nonce, buffer)
        return b.element.verify_stored_mac(15, signature, DIGEST, nonce, key, message_buffer=buffer)

    def external(signature: bytes, key: bytes) -> bool:
        load(b.element, nonce, buffer)
        public = point(host_key())
        return b.element.verify_loaded_mac(public, signature, DIGEST, nonce, key, message_buffer=buffer)

    with bench(name) as b, b.element.session():
        for verify in (stored, external):
            assert verify(right, IO_KEY)
            assert not verify(wrong, IO_KEY)
            with pytest.raises(ElementError, match="the MAC of the answer is wrong"):
                verify(right, KEY)


def load(element: Element, nonce: bytes, buffer: bool) -> None:
    """The message and the host's nonce, where Verify with a MAC looks for them."""
    if buffer:
        element.load_message(DIGEST + nonce)
    else:
        element.nonce_load(DIGEST)
        element.load_message(nonce)


@ON_608
def test_an_hmac_is_keyed_by_temp_key(name: str) -> None:
    with bench(name) as b, b.element.session():
        b.element.nonce_load(KEY)
        b.element.sha_hmac_start(None)
        b.element.sha_update(b"a mes")
        assert b.element.sha_hmac_end(b"sage") == hmac.digest(KEY, b"a message", "sha256")
    with bench("atecc508a") as b:
        with pytest.raises(UsageError, match="from a slot"):
            b.element.sha_hmac_start(None)
        assert sent(b, "SHA") == 0


def shared(private: ec.EllipticCurvePrivateKey, public: bytes) -> bytes:
    return private.exchange(
        ec.ECDH(), ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), b"\x04" + public)
    )


@ON_608
def test_a_key_is_derived_into_a_slot(name: str) -> None:
    with bench(name) as b:
        permit = b.allow(Operation.KDF_INTO_SLOT, 10)
        state.hkdf_into_slot(b.element, 10, b"label", permit, source=KdfSource.SLOT, source_slot=4)
        assert b.element.read_slot(10)[:32] == hmac.digest(KEY, b"label", "sha256")
        permit = b.allow(Operation.KDF_INTO_SLOT, 9)
        state.prf_into_slot(
            b.element, 9, b"label", permit, source=KdfSource.SLOT, source_slot=4, key_length=16, length=64
        )
        assert b.element.read_slot(9)[:64] == digests.kdf_prf(KEY[:16], b"label", 64)


@ON_608
def test_64_bytes_go_into_temp_key_and_message_buffer(name: str) -> None:
    value = bytes(range(64))
    with bench(name) as b, b.element.session():
        b.element.nonce_load(value)
        assert b.element.aes_encrypt(None, DIGEST[:16]) == ecb(value[:16], DIGEST[:16])
        b.element.load_message(DIGEST + value[:32])
        assert b.element.verify_stored(15, sign(host_key(), DIGEST), message_buffer=True)


def ecb(key: bytes, block: bytes) -> bytes:
    encryptor = Cipher(algorithms.AES(key), modes.ECB()).encryptor()
    return encryptor.update(block) + encryptor.finalize()


@ON_608
def test_a_digest_goes_on_to_be_signed_in_the_message_buffer(name: str) -> None:
    with bench(name) as b, b.element.session():
        b.element.sha_start()
        b.element.sha_update(b"a message")
        digest = b.element.sha_end_to(ShaTarget.MESSAGE_BUFFER, b" in two pieces")
        assert digest == hashlib.sha256(b"a message in two pieces").digest()
        assert verifies(TEST_POINT, digest, b.element.sign_loaded(0, message_buffer=True))


def test_a_stored_key_goes_into_the_digest_of_a_508a() -> None:
    with bench("atecc508a") as b:
        with b.element.session():
            b.element.sha_start()
            b.element.sha_update(bytes(64))
            b.element.sha_public(15)
            digest = b.element.sha_end(b"end")
        assert digest == hashlib.sha256(bytes(64) + point(host_key()) + b"end").digest()


@pytest.mark.parametrize("name", ["atecc508a", "atecc608a", "atecc608b", "atecc608-next"])
@pytest.mark.parametrize(
    ("what", "expected"),
    [
        (lambda e: e.read_slot_word(9, 1, 2), bytes(range(40, 44))),
        (lambda e: e.read_slot(9), bytes(range(72))),
        (lambda e: e.public_key(0), TEST_POINT),
        (lambda e: e.verify_with_slot(15, DIGEST, sign(host_key(), DIGEST)), True),
        (lambda e: e.verify_with_slot(15, OTHER, sign(host_key(), DIGEST)), False),
        (lambda e: e.hmac_sha256(4, b"x" * 70), hmac.digest(KEY, b"x" * 70, "sha256")),
        (lambda e: e.ecdh(0, point(host_key())), shared(host_key(), TEST_POINT)),
        (lambda e: e.lock_state().data, True),
        (lambda e: e.info_key_valid(0), True),
        (lambda e: e.info_key_valid(9), False),
    ],
)
def test_what_is_read_and_computed(name: str, what: Callable[[Element], object], expected: object) -> None:
    with bench(name) as b:
        assert what(b.element) == expected


def test_a_stored_key_is_validated_by_a_certificate_that_holds_it() -> None:
    parent = host_key()
    before, after = bytes(range(128)), bytes(range(100))
    certificate = before + TEST_POINT + after
    with bench("atecc508a", {14: (0x0F0D, ECC_PUBLIC | PUB_INFO), 13: (0x0F0F, ECC_PUBLIC)}) as b:
        memory = b.part.memory
        memory.set_public_key(13, point(parent))
        memory.set_public_key(14, TEST_POINT, validity=0xA)
        memory.set_config(92, b"\x53")  # the key is the third of five blocks
        permit = b.allow(Operation.KEY_VALIDITY, 14)
        signature = sign(parent, hashlib.sha256(certificate).digest())
        for wrong in (sign(parent, OTHER), signature[:63] + bytes((signature[63] ^ 1,))):
            assert not state.validate_by_certificate(b.element, 14, before, after, wrong, permit)
            assert not b.element.info_key_valid(14)
        assert state.validate_by_certificate(b.element, 14, before, after, signature, permit)
        assert b.element.info_key_valid(14)
        memory.set_public_key(14, TEST_POINT, validity=0xA)
        elsewhere = sign(parent, hashlib.sha256(before[64:] + TEST_POINT + after).digest())
        with pytest.raises(ElementError, match="0x0F"):
            state.validate_by_certificate(b.element, 14, before[64:], after, elsewhere, permit)
        with pytest.raises(UsageError, match="no whole blocks"):
            state.validate_by_certificate(b.element, 14, before[1:], after, signature, permit)
    with bench("atecc608b") as b:
        permit = b.allow(Operation.KEY_VALIDITY, 15)
        with pytest.raises(UsageError, match="only a 508A"):
            state.validate_by_certificate(b.element, 15, before, after, signature, permit)


@pytest.mark.parametrize("lost", [False, True])
def test_a_certificate_is_offered_again_only_if_it_had_no_effect(lost: bool) -> None:
    parent = host_key()
    with bench("atecc508a", {14: (0x0F0D, ECC_PUBLIC | PUB_INFO), 13: (0x0F0F, ECC_PUBLIC)}) as b:
        b.part.memory.set_public_key(13, point(parent))
        b.part.memory.set_public_key(14, TEST_POINT, validity=0xA)
        if lost:
            b.fault_when_armed = "wrong-crc"
        signature = sign(parent, hashlib.sha256(TEST_POINT).digest())
        permit = b.allow(Operation.KEY_VALIDITY, 14)
        assert state.validate_by_certificate(b.element, 14, b"", b"", signature, permit)
        assert sent(b, "Verify") == 1


def sent(b: Bench, label: str) -> int:
    """How many commands of that name the part has heard."""
    return sum(one.command.label == label for one in b.part.log if one.command is not None)


@EVERY
def test_a_word_of_an_open_slot_is_written(name: str) -> None:
    with bench(name, {9: (0x000F, DATA_KEY), 10: (0x100F, DATA_KEY)}) as b:
        permit = b.allow(Operation.WRITE_SLOT, 9)
        words.write_slot_word(b.element, 9, 52, b"word", permit)
        words.write_slot_word(b.element, 9, 68, b"last", permit)
        content = bytes(range(72))
        assert b.element.read_slot(9) == content[:52] + b"word" + content[56:68] + b"last"
        for slot, offset, data in ((9, 72, b"word"), (9, 2, b"word"), (9, -4, b"word"), (9, 0, b"words")):
            with pytest.raises(UsageError):
                words.write_slot_word(b.element, slot, offset, data, permit)
        for slot in (0, 4, 10):  # a private key, a secret, PubInvalid
            with pytest.raises(UsageError, match="takes no words"):
                words.write_slot_word(b.element, slot, 0, b"word", b.allow(Operation.WRITE_SLOT, slot))
        b.part.memory.set_config(89, b"\xfd")
        with pytest.raises(UsageError, match="slot 9 is locked"):
            words.write_slot_word(b.element, 9, 0, b"word", permit)
        assert sent(b, "Write") == 2


def test_a_word_whose_answer_was_lost_is_read_back_and_not_written_twice() -> None:
    with bench("atecc608b", {9: (0x000F, DATA_KEY)}) as b:
        b.part.faults.add("power-lost-after-write")
        words.write_slot_word(b.element, 9, 0, b"word", b.allow(Operation.WRITE_SLOT, 9))
        assert b.element.read_slot(9)[:4] == b"word"
        assert sent(b, "Write") == 1


def test_bits_of_an_otp_zone_in_consumption_mode_are_cleared_for_good() -> None:
    with bench("atecc508a", otp_mode=0x55) as b:
        permit = b.allow(Operation.WRITE_OTP)
        assert words.clear_otp_bits(b.element, 36, bytes.fromhex("F0FFFFFE"), permit).hex() == "f0fffffe"
        assert words.clear_otp_bits(b.element, 36, bytes.fromhex("0FFFFFFF"), permit).hex() == "00fffffe"
        assert b.element.read_otp()[32:44].hex() == "ffffffff" + "00fffffe" + "ffffffff"
    for name, mode in (("atecc508a", 0xAA), ("atecc608b", 0)):
        with bench(name, otp_mode=mode) as b, pytest.raises(UsageError, match="can be consumed"):
            words.clear_otp_bits(b.element, 0, bytes(4), b.allow(Operation.WRITE_OTP))
