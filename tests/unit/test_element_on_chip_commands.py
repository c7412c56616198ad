"""Every command of the driver against the emulated chip; digests and ``cryptography`` are the judges.

The host's digest layouts and the chip's were written independently.
"""

from __future__ import annotations

import hashlib
import hmac
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import (
    Prehashed,
    decode_dss_signature,
    encode_dss_signature,
)
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from hil.clock import World
from hil.element import digests, irreversible, irreversible_state
from hil.element.commands608 import KdfSource, KdfTarget, SelfTest, ShaTarget
from hil.element.device import Element
from hil.emulator.bus import I2CMaster, Lines
from hil.emulator.chip import Chip, Memory, load_profile
from hil.errors import DeviceError, DeviceTimeout, ElementError
from hil.guard.operations import Operation
from hil.guard.permit import Permit, RpcCall, issue
from hil.wire.atecc import Command, Opcode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

SERIAL = bytes.fromhex("0123e07e00112233ee")
BLOCK = bytes(range(32))
KEYS = {slot: bytes((slot * 16 + n) & 0xFF for n in range(32)) for slot in range(16)}
TEST_SCALAR = bytes.fromhex("878f0ab6a526d7111c26e6170810796e7b33007f832b8d64467ed6f870537a19")
PARENT = ec.derive_private_key(777, ec.SECP256R1())

MAC, ROLL, CREATE, SECRET, AES, IO, NO_MAC, CLEAR, PUBLIC, TRUSTED, LIMITED = (
    1,
    2,
    3,
    4,
    5,
    6,
    7,
    8,
    9,
    10,
    11,
)
SLOTS = {  # SlotConfig, KeyConfig
    0: (0x2087, 0x0033),
    MAC: (0x8F8F, 0x001C),
    ROLL: (0x218F, 0x001C),
    CREATE: (0xB18F, 0x001C),
    SECRET: (0x41C1, 0x001C),
    AES: (0x8F8F, 0x0018),
    IO: (0x8F8F, 0x001C),
    NO_MAC: (0x8F9F, 0x001C),
    CLEAR: (0x0F0F, 0x003C),
    PUBLIC: (0x1F0A, 0x0012),
    TRUSTED: (0x0F0F, 0x0010),
    LIMITED: (0x8FAF, 0x001C),
}


class AllowAll:
    @contextmanager
    def arm(self, permit: Permit, actions: Sequence[Command | RpcCall]) -> Iterator[None]:
        yield

    def __call__(self, operation: Operation, slot: int | None = None) -> Permit:
        return issue(self, operation, SERIAL.hex(), slot)


allow = AllowAll()


def point(key: ec.EllipticCurvePrivateKey) -> bytes:
    numbers = key.public_key().public_numbers()
    return numbers.x.to_bytes(32, "big") + numbers.y.to_bytes(32, "big")


def public_key(raw: bytes) -> ec.EllipticCurvePublicKey:
    x, y = int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big")
    return ec.EllipticCurvePublicNumbers(x, y, ec.SECP256R1()).public_key()


def signed(key: ec.EllipticCurvePrivateKey, digest: bytes) -> bytes:
    r, s = decode_dss_signature(key.sign(digest, ec.ECDSA(Prehashed(hashes.SHA256()))))
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


def verified(raw: bytes, signature: bytes, digest: bytes) -> bool:
    der = encode_dss_signature(int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big"))
    try:
        public_key(raw).verify(der, digest, ec.ECDSA(Prehashed(hashes.SHA256())))
    except InvalidSignature:
        return False
    return True


@dataclass
class Bench:
    world: World
    chip: Chip
    element: Element
    is_508: bool


@contextmanager
def part(name: str) -> Iterator[Bench]:
    with World() as world:
        profile = load_profile(name)
        memory = Memory.blank(profile, SERIAL)
        for slot in range(16):
            rules, key = SLOTS.get(slot, (0x0F0F, 0x003C))
            memory.set_config(20 + 2 * slot, rules.to_bytes(2, "little"))
            memory.set_config(96 + 2 * slot, key.to_bytes(2, "little"))
            memory.set_slot(slot, KEYS[slot])
        memory.set_private_key(0, TEST_SCALAR)
        memory.set_public_key(PUBLIC, point(PARENT), validity=0xA)
        memory.set_public_key(TRUSTED, point(PARENT))
        memory.set_otp(bytes(range(64)))
        if name != "atecc508a":
            memory.set_config(90, bytes.fromhex("0660"))  # IO key slot 6, IO protection, KDF-AES
        memory.lock_config()
        memory.lock_data()
        chip = Chip(profile, memory, now=lambda: world.now, seed=3)
        chip.power_on()
        world.sleep(1_000)
        element = Element(I2CMaster(world, Lines(12, 14, [chip]), sda=12, scl=14), 0x60)
        yield Bench(world, chip, element, element.is_508)


@pytest.fixture(params=["atecc508a", "atecc608a", "atecc608b"])
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    with part(request.param) as made:
        yield made


@pytest.fixture(params=["atecc608a", "atecc608b"])
def of_608(request: pytest.FixtureRequest) -> Iterator[Bench]:
    with part(request.param) as made:
        yield made


def tempkey_as_mac(bench: Bench, expected: bytes, *, from_input: bool = False) -> None:
    """The chip's TempKey equals ``expected``: MAC hashes it as the challenge."""
    answer = bench.element.mac(MAC, None, source_is_input=from_input)
    parts = digests.MacParts(0x01 | 0x04 * from_input, MAC, SERIAL)
    assert answer == digests.mac_response(KEYS[MAC], expected, parts)


# MACs and what feeds them


@pytest.mark.parametrize("mode", [0x00, 0x40])
def test_mac_over_a_challenge(bench: Bench, mode: int) -> None:
    answer = bench.element.mac(MAC, BLOCK, mode=mode)
    assert answer == digests.mac_response(KEYS[MAC], BLOCK, digests.MacParts(mode, MAC, SERIAL))


def test_mac_over_a_random_nonce(bench: Bench) -> None:
    with bench.element.session():
        tempkey_as_mac(bench, bench.element.nonce_random().tempkey)


def test_mac_over_a_loaded_nonce(bench: Bench) -> None:
    with bench.element.session():
        bench.element.nonce_load(BLOCK)
        tempkey_as_mac(bench, BLOCK, from_input=True)


def test_mac_with_tempkey_as_the_key(bench: Bench) -> None:
    with bench.element.session():
        bench.element.nonce_load(BLOCK)
        answer = bench.element.mac(MAC, KEYS[3], mode=2, source_is_input=True)
    assert answer == digests.mac_response(BLOCK, KEYS[3], digests.MacParts(6, MAC, SERIAL))


def test_a_nonce_from_tempkey(bench: Bench) -> None:
    with bench.element.session():
        first = bench.element.nonce_random().tempkey
        second = bench.element.nonce_from_tempkey(bytes(20))
        assert second == digests.nonce_tempkey(first, bytes(20), 0, 0x8000)
        tempkey_as_mac(bench, second)


def test_hmac_is_there_on_a_508a_only(bench: Bench) -> None:
    with bench.element.session():
        tempkey = bench.element.nonce_random().tempkey
        if bench.is_508:
            answer = bench.element.hmac(MAC)
            assert answer == digests.hmac_response(KEYS[MAC], tempkey, digests.MacParts(0, MAC, SERIAL))
        else:
            with pytest.raises(ElementError, match="HMAC: status 0x03"):
                bench.element.hmac(MAC)


def test_check_mac_accepts_the_right_answer_and_authorises(bench: Bench) -> None:
    other = bytes(range(13))
    response = digests.check_mac_response(KEYS[MAC], BLOCK, other, SERIAL)
    with bench.element.session():
        assert not bench.element.check_mac(MAC, response[::-1], other, BLOCK)
        assert bench.element.check_mac(MAC, response, other, BLOCK)
        state = bench.element.info_state()
    assert (state.auth_valid, state.auth_key_id) == (True, MAC)


def test_gendig_of_every_kind(bench: Bench) -> None:
    config = bench.element.read_config()
    cases: list[tuple[Callable[[Element], None], Callable[[bytes], bytes]]] = [
        (lambda e: e.gendig(SECRET), lambda t: digests.gendig_zone(KEYS[SECRET], 2, SECRET, SERIAL, t)),
        (lambda e: e.gendig_config(1), lambda t: digests.gendig_zone(config[32:64], 0, 1, SERIAL, t)),
        (lambda e: e.gendig_otp(1), lambda t: digests.gendig_zone(bytes(range(32, 64)), 1, 1, SERIAL, t)),
        (lambda e: e.gendig_shared(BLOCK), lambda t: digests.gendig_shared(BLOCK, 0, SERIAL, t)),
        (lambda e: e.gendig_shared(BLOCK, 0x8004), lambda t: digests.gendig_shared(BLOCK, 0x8004, SERIAL, t)),
        (lambda e: e.gendig_counter(1), lambda t: digests.gendig_counter(0, 1, SERIAL, t)),
        (
            lambda e: e.gendig_keyconfig(ROLL),
            lambda t: digests.gendig_keyconfig(config[24:26], config[100:102], True, ROLL, SERIAL, t),
        ),
    ]
    for send, expected in cases:
        with bench.element.session():
            tempkey = bench.element.nonce_random().tempkey
            send(bench.element)
            tempkey_as_mac(bench, expected(tempkey))


def test_gendig_over_a_no_mac_slot_taints_tempkey(bench: Bench) -> None:
    with bench.element.session():
        bench.element.nonce_random()
        bench.element.gendig(NO_MAC, bytes(4))
        assert bench.element.info_state().no_mac
        with pytest.raises(ElementError, match="MAC: status 0x0F"):
            bench.element.mac(MAC, None)


def test_a_limited_use_key_counts_each_use(bench: Bench) -> None:
    before = bench.element.counter(0)
    bench.element.mac(LIMITED, BLOCK)
    assert bench.element.counter(0) == before + 1
    irreversible_state.burn_use(bench.element, LIMITED, allow(Operation.UPDATE_EXTRA))
    assert bench.element.counter(0) == before + 2


# Signatures over the element's own messages, stored public keys


def flags(bench: Bench) -> int:
    state = bench.element.info_state()
    return state.key_id | state.from_input << 4 | state.gen_dig << 5 | state.gen_key << 6 | state.no_mac << 7


@pytest.mark.parametrize("full_serial", [False, True])
def test_an_internal_signature_covers_the_message_of_the_data_sheet(bench: Bench, full_serial: bool) -> None:
    config = bench.element.read_config()
    public = bench.element.public_key(0)
    with bench.element.session():
        tempkey = bench.element.nonce_random().tempkey
        bench.element.gendig(SECRET)
        tempkey = digests.gendig_zone(KEYS[SECRET], 2, SECRET, SERIAL, tempkey)
        present = flags(bench)
        signature = bench.element.sign_internal(0, full_serial=full_serial)
    digest = digests.internal_message(
        tempkey,
        0x40 * full_serial,
        0,
        slot_config=config[20 + 2 * SECRET : 22 + 2 * SECRET],
        key_config=config[96 + 2 * SECRET : 98 + 2 * SECRET],
        flags=present,
        serial=SERIAL,
        slot_unlocked=True,
    )
    assert verified(public, signature, digest)


def test_genkey_with_digest(bench: Bench) -> None:
    with bench.element.session():
        tempkey = bench.element.nonce_random().tempkey
        public = bench.element.public_key_digest(0)
        tempkey_as_mac(bench, digests.genkey_digest(tempkey, public, bytes((8, 0, 0)), SERIAL))


def test_a_public_key_is_validated_by_its_parent_then_used_then_invalidated(bench: Bench) -> None:
    element = bench.element
    signature = signed(PARENT, BLOCK)
    with pytest.raises(ElementError, match="Verify: status 0x0F"):
        element.verify_with_slot(PUBLIC, BLOCK, signature)
    for valid in (True, False):
        other = bytes((0, 0, 0)) + bytes(14) + bytes((0 if valid else 1, 0))
        tempkey = digests.genkey_digest(BLOCK, point(PARENT), other[:3], SERIAL)
        good = signed(PARENT, digests.validation_message(tempkey, other, SERIAL))
        permit = allow(Operation.KEY_VALIDITY, PUBLIC)
        assert not irreversible_state.set_key_validity(
            element, PUBLIC, BLOCK, signature, other, permit, valid=valid
        )
        assert irreversible_state.set_key_validity(element, PUBLIC, BLOCK, good, other, permit, valid=valid)
        assert element.info_key_valid(PUBLIC) is valid
        if valid:
            assert element.verify_with_slot(PUBLIC, BLOCK, signature)
            assert not element.verify_with_slot(PUBLIC, BLOCK[::-1], signature)


# What changes for good


def test_a_key_is_rolled_and_created(bench: Bench) -> None:
    nonce = irreversible_state.derive_key(bench.element, ROLL, allow(Operation.DERIVE_KEY, ROLL))
    expected = digests.derive_key(KEYS[ROLL], 0, ROLL, SERIAL, nonce.tempkey)
    assert bench.chip.memory.slot(ROLL)[:32] == expected
    permit = allow(Operation.DERIVE_KEY, CREATE)
    with pytest.raises(ElementError):
        irreversible_state.derive_key(bench.element, CREATE, permit)
    nonce = irreversible_state.derive_key(bench.element, CREATE, permit, parent=KEYS[MAC])
    expected = digests.derive_key(KEYS[MAC], 0, CREATE, SERIAL, nonce.tempkey)
    assert bench.chip.memory.slot(CREATE)[:32] == expected


def test_counters_and_extra_bytes(bench: Bench) -> None:
    permit = allow(Operation.COUNTER)
    assert [irreversible_state.increment_counter(bench.element, 1, permit) for _ in range(3)] == [1, 2, 3]
    assert bench.element.counter(1) == 3
    extra = allow(Operation.UPDATE_EXTRA)
    irreversible_state.update_extra(bench.element, 0x2A, extra)
    assert bench.element.read_config_word(84)[0] == 0x2A
    with pytest.raises(ElementError, match="UpdateExtra: status 0x0F"):
        irreversible_state.update_extra(bench.element, 0x2B, extra)
    irreversible_state.update_selector(bench.element, 0x6A, extra)
    assert bench.element.read_config_word(84)[1] == 0x6A


# What only a 608 has


def test_aes_equals_that_of_cryptography(of_608: Bench) -> None:
    for block in (0, 1):
        key = KEYS[AES][16 * block : 16 * block + 16]
        expected = Cipher(algorithms.AES(key), modes.ECB()).encryptor().update(BLOCK[:16])
        assert of_608.element.aes_encrypt(AES, BLOCK[:16], key_block=block) == expected
        assert of_608.element.aes_decrypt(AES, expected, key_block=block) == BLOCK[:16]


def test_aes_with_tempkey(of_608: Bench) -> None:
    with of_608.element.session():
        of_608.element.nonce_load(KEYS[3])
        answer = of_608.element.aes_encrypt(None, BLOCK[:16])
    assert answer == Cipher(algorithms.AES(KEYS[3][:16]), modes.ECB()).encryptor().update(BLOCK[:16])


def test_gfm_is_the_multiplication_of_gcm(of_608: Bench) -> None:
    def product(x: int, y: int) -> int:
        z = 0
        for bit in range(127, -1, -1):
            if x >> bit & 1:
                z ^= y
            y = y >> 1 ^ (0xE1 << 120 if y & 1 else 0)
        return z

    h, x = BLOCK[:16], BLOCK[16:]
    expected = product(int.from_bytes(x, "big"), int.from_bytes(h, "big")).to_bytes(16, "big")
    assert of_608.element.aes_gfm(h, x) == expected


def test_kdf_from_tempkey(of_608: Bench) -> None:
    element = of_608.element
    with element.session():
        element.nonce_load(KEYS[3])
        assert element.kdf_prf(b"seed", length=64).output == digests.kdf_prf(KEYS[3], b"seed", 64)
        assert element.kdf_hkdf(b"info").output == digests.kdf_hkdf(KEYS[3], b"info")
        cipher = Cipher(algorithms.AES(KEYS[3][:16]), modes.ECB()).encryptor().update(BLOCK[:16])
        assert element.kdf_aes(BLOCK[:16]).output == cipher + bytes(16)
        sealed = element.kdf_prf(b"seed", length=64, target=KdfTarget.ENCRYPTED)
        assert sealed.output != digests.kdf_prf(KEYS[3], b"seed", 64)
        assert sealed.decrypted(KEYS[IO]) == digests.kdf_prf(KEYS[3], b"seed", 64)


def test_kdf_through_the_alternate_key(of_608: Bench) -> None:
    element = of_608.element
    with element.session():
        element.load_alternate_key(KEYS[3])
        answer = element.kdf_hkdf(b"x", source=KdfSource.ALTERNATE)
        assert answer.output == hmac.digest(KEYS[3], b"x", "sha256")
        element.kdf_hkdf(b"y", source=KdfSource.ALTERNATE, target=KdfTarget.TEMPKEY)
        derived = hmac.digest(KEYS[3], b"y", "sha256")
        assert element.kdf_hkdf(b"z").output == hmac.digest(derived, b"z", "sha256")


def test_ecdh_to_every_target(of_608: Bench) -> None:
    element = of_608.element
    peer = ec.derive_private_key(4242, ec.SECP256R1())
    static = peer.exchange(ec.ECDH(), public_key(element.public_key(0)))
    assert element.ecdh(0, point(peer)) == static
    assert element.ecdh_output(0, point(peer)) == static
    assert element.ecdh_encrypted(0, point(peer), KEYS[IO]) == static
    with element.session():
        element.ecdh_to_tempkey(0, point(peer))
        assert element.kdf_hkdf(b"m").output == hmac.digest(static, b"m", "sha256")
    with element.session():
        ephemeral = element.ephemeral_key()
        secret = element.ecdh_encrypted(None, point(peer), KEYS[IO])
    assert secret == peer.exchange(ec.ECDH(), public_key(ephemeral))
    with element.session():
        ephemeral = element.ephemeral_key()
        element.ecdh_to_tempkey(None, point(peer))
        expected = peer.exchange(ec.ECDH(), public_key(ephemeral))
        assert element.kdf_hkdf(b"m").output == hmac.digest(expected, b"m", "sha256")


def test_a_verify_that_proves_itself(of_608: Bench) -> None:
    element = of_608.element
    for signature, good in ((signed(PARENT, BLOCK), True), (signed(PARENT, BLOCK[::-1]), False)):
        with element.session():
            element.nonce_load(BLOCK)
            element.load_message(KEYS[3])
            result = element.verify_loaded_mac(point(PARENT), signature, BLOCK, KEYS[3], KEYS[IO])
        assert result is good


def test_sha_contexts_are_saved_and_continued(of_608: Bench) -> None:
    element = of_608.element
    message = bytes(range(100))
    with element.session():
        element.sha_start()
        element.sha_update(message[:64])
        element.sha_update(message[64:69])
        context = element.sha_read_context()
        assert len(context) == 41
        assert int.from_bytes(context[:4], "little") == 69
        element.sha_start()
        element.sha_write_context(context)
        answer = element.sha_end_to(ShaTarget.OUTPUT_ONLY, message[69:])
    assert answer == hashlib.sha256(message).digest()


def test_self_test_and_latch(of_608: Bench) -> None:
    element = of_608.element
    assert element.self_test() == SelfTest.NONE
    assert element.self_test(SelfTest.NONE) == SelfTest.NONE
    of_608.chip.faults.add("self-test-fails")
    with element.session():
        assert element.self_test() == SelfTest.SHA


# Faults: what a careful driver lives through

SAFE_FAULTS = [
    "nack",
    "flipped-bit",
    "wrong-crc",
    "bad-count",
    "reset-in-command",
    "status-05",
    "status-ee",
    "status-ff",
    "watchdog-early",
    "spurious-wake",
]


@pytest.mark.parametrize("fault", SAFE_FAULTS)
def test_a_signature_survives_a_passing_fault(bench: Bench, fault: str) -> None:
    public = bench.element.public_key(0)
    bench.chip.faults.add(fault, times=None if fault == "spurious-wake" else 1)
    signature = bench.element.sign_digest(0, BLOCK)
    assert verified(public, signature, BLOCK)


@pytest.mark.parametrize("fault", SAFE_FAULTS)
def test_hashing_survives_a_passing_fault_without_a_wrong_digest(bench: Bench, fault: str) -> None:
    message = bytes(range(150))
    element = bench.element
    element.identify()
    with element.session():
        element.info_revision()
        bench.chip.faults.add(fault, times=None if fault == "spurious-wake" else 1)
        assert element.sha256(message) == hashlib.sha256(message).digest()


@pytest.mark.parametrize(
    "fault", ["flipped-bit", "wrong-crc", "bad-count", "reset-in-command", "status-ff", "status-ee"]
)
def test_a_counter_is_never_counted_twice(bench: Bench, fault: str) -> None:
    element = bench.element
    for _ in range(3):
        before = bench.chip.memory.counter(1)
        element.serial_number()
        bench.chip.faults.add(fault, times=1)
        try:
            irreversible_state.increment_counter(element, 1, allow(Operation.COUNTER))
        except DeviceError:
            assert bench.chip.memory.counter(1) in (before, before + 1)
        else:
            assert bench.chip.memory.counter(1) == before + 1


@pytest.mark.parametrize(
    "fault", ["power-lost-before-write", "power-lost-after-write", "power-lost-during-write"]
)
def test_a_power_dip_at_a_counter_is_told_truthfully(bench: Bench, fault: str) -> None:
    before = bench.chip.memory.counter(1)
    bench.chip.faults.add(fault)
    try:
        value = irreversible_state.increment_counter(bench.element, 1, allow(Operation.COUNTER))
    except DeviceError:
        assert bench.chip.memory.counter(1) >= before
    else:
        assert bench.chip.memory.counter(1) == value > before


@pytest.mark.parametrize("fault", ["power-lost-before-write", "power-lost-after-write"])
def test_a_power_dip_at_genkey_ends_with_the_key_that_is_there(bench: Bench, fault: str) -> None:
    before = bench.element.public_key(0)
    bench.chip.faults.add(fault)
    public = irreversible.generate_key(bench.element, 0, allow(Operation.GENERATE_KEY, 0))
    assert public == bench.element.public_key(0) != before
    assert verified(public, bench.element.sign_digest(0, BLOCK), BLOCK)


def test_a_sign_of_three_times_its_longest_time_is_a_timeout_or_a_good_signature(bench: Bench) -> None:
    """A 508A's 150 ms are within the driver's patience, a 608's 345 ms are not."""
    public = bench.element.public_key(0)
    bench.chip.faults.add("sign-slow")
    if bench.is_508:
        assert verified(public, bench.element.sign_digest(0, BLOCK), BLOCK)
    else:
        with pytest.raises(DeviceTimeout):
            bench.element.sign_digest(0, BLOCK)


def test_no_command_is_ever_left_awake(bench: Bench) -> None:
    for fault in SAFE_FAULTS[:-1]:
        bench.chip.faults.clear()
        bench.chip.faults.add(fault, times=1)
        bench.element.random()
        assert bench.chip.power.value == "asleep"
    log = [entry.command.opcode for entry in bench.chip.log if entry.command]
    assert log.count(Opcode.RANDOM) >= len(SAFE_FAULTS) - 1
