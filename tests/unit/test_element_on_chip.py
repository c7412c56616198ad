"""The driver against the emulated chip on an emulated bus: the article's whole path, on both families.

The two sides were written independently; ``cryptography`` is the third opinion.
"""

from __future__ import annotations

import hashlib
import hmac
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed, encode_dss_signature

from hil.clock import World
from hil.element import irreversible
from hil.element.configfiles import load_config
from hil.element.device import Element, SignRecipe
from hil.element.keyfiles import public_half
from hil.element.keys import ElementEcdh, ElementRandom
from hil.element.zones import SLOT_SIZES, config_crc
from hil.emulator.bus import I2CMaster, Lines
from hil.emulator.chip import Chip, Memory, load_profile
from hil.errors import ElementError, UsageError
from hil.guard.operations import Operation
from hil.guard.permit import Permit, RpcCall, issue
from hil.wire.atecc import Command, Opcode

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from hil.element.configzone import ConfigZone

SERIAL = bytes.fromhex("0123e07e00112233ee")
DIGEST = bytes(range(100, 132))
TEST_KEK = bytes(range(0xA0, 0xC0))
SCALARS = [
    bytes.fromhex("878f0ab6a526d7111c26e6170810796e7b33007f832b8d64467ed6f870537a19"),
    bytes.fromhex("0000b6a526d7111c26e6170810796e7b33007f832b8d64467ed6f870537a1900"),
]
"""Test keys; the second has leading zeros and a zero at its end."""
PARTS = {
    "atecc508a": "mongoose-os-test.yaml",
    "atecc608a": "hil-test-608.yaml",
    "atecc608b": "hil-test-608.yaml",
}


class AllowAll:
    """A permit issuer that allows everything."""

    @contextmanager
    def arm(self, permit: Permit, actions: Sequence[Command | RpcCall]) -> Iterator[None]:
        yield

    def __call__(self, operation: Operation, slot: int | None = None) -> Permit:
        return issue(self, operation, SERIAL.hex(), slot)


allow = AllowAll()


@dataclass
class Bench:
    world: World
    chip: Chip
    element: Element
    config: ConfigZone
    part: str


def make(part: str) -> Bench:
    world = World()
    profile = load_profile(part)
    chip = Chip(profile, Memory.blank(profile, SERIAL), now=lambda: world.now, seed=7)
    bus = I2CMaster(world, Lines(12, 14, [chip]), sda=12, scl=14)
    chip.power_on()
    world.sleep(1_000)
    path = Path(str(files("hil.rigs").joinpath("configs", PARTS[part])))
    return Bench(world, chip, Element(bus, 0x60), load_config(path), part)


def contents(config: ConfigZone) -> dict[int, bytes]:
    slots = {slot: bytes((slot,)) * SLOT_SIZES[slot] for slot in config.data_slots}
    return slots | {4: TEST_KEK + bytes(4)}


def configure(bench: Bench) -> None:
    irreversible.write_config(bench.element, bench.config, allow(Operation.WRITE_CONFIG))
    irreversible.lock_config(bench.element, bench.config, allow(Operation.LOCK_CONFIG))


def provision(bench: Bench) -> None:
    configure(bench)
    slots = contents(bench.config)
    for slot, data in slots.items():
        irreversible.write_slot(bench.element, slot, data, allow(Operation.WRITE_SLOT, slot))
    irreversible.write_otp(bench.element, bytes(64), allow(Operation.WRITE_OTP))
    irreversible.lock_data(bench.element, slots, bytes(64), allow(Operation.LOCK_DATA))


@pytest.fixture(params=PARTS)
def blank(request: pytest.FixtureRequest) -> Iterator[Bench]:
    bench = make(request.param)
    yield bench
    bench.world.close()


@pytest.fixture
def ready(blank: Bench) -> Bench:
    provision(blank)
    return blank


def verified(public: bytes, signature: bytes, digest: bytes) -> bool:
    numbers = ec.EllipticCurvePublicNumbers(
        int.from_bytes(public[:32], "big"), int.from_bytes(public[32:], "big"), ec.SECP256R1()
    )
    der = encode_dss_signature(int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big"))
    try:
        numbers.public_key().verify(der, digest, ec.ECDSA(Prehashed(hashes.SHA256())))
    except InvalidSignature:
        return False
    return True


def test_a_blank_part_answers_its_identity(blank: Bench) -> None:
    assert blank.element.wake().hex(" ") == "04 11 33 43"
    assert blank.element.part == blank.part
    assert blank.element.serial_number() == SERIAL
    locks = blank.element.lock_state()
    assert (locks.config, locks.data, locks.slots) == (False, False, frozenset())
    assert blank.element.random() == bytes.fromhex("ffff0000") * 8


def test_the_configuration_is_written_and_locked_with_its_checksum(blank: Bench) -> None:
    configure(blank)
    locks = [
        entry.command for entry in blank.chip.log if entry.command and entry.command.opcode == Opcode.LOCK
    ]
    present = blank.element.read_config()
    assert [(lock.p1, lock.p2) for lock in locks] == [(0, config_crc(present[:87] + b"\x55" + present[88:]))]
    assert blank.element.lock_state().config
    assert blank.element.random() != bytes.fromhex("ffff0000") * 8
    with pytest.raises(UsageError, match="is locked"):
        irreversible.write_config(blank.element, blank.config, allow(Operation.WRITE_CONFIG))


def test_a_wrong_checksum_locks_nothing(blank: Bench) -> None:
    irreversible.write_config(blank.element, blank.config, allow(Operation.WRITE_CONFIG))
    with pytest.raises(ElementError, match="0x0F"):
        blank.element.execute(Command(Opcode.LOCK, 0, 0x1234), 1)
    assert not blank.element.lock_state().config


def test_wrong_contents_do_not_lock_the_data_zone(blank: Bench) -> None:
    configure(blank)
    slots = contents(blank.config)
    for slot, data in slots.items():
        irreversible.write_slot(blank.element, slot, data, allow(Operation.WRITE_SLOT, slot))
    irreversible.write_otp(blank.element, bytes(64), allow(Operation.WRITE_OTP))
    with pytest.raises(ElementError, match="Lock: status 0x0F"):
        irreversible.lock_data(blank.element, slots | {9: bytes(72)}, bytes(64), allow(Operation.LOCK_DATA))
    assert not blank.element.lock_state().data
    irreversible.lock_data(blank.element, slots, bytes(64), allow(Operation.LOCK_DATA))
    assert blank.element.lock_state().data


def test_clear_slots_and_otp_read_back_and_secret_ones_do_not(ready: Bench) -> None:
    slots = contents(ready.config)
    for slot in (10, 11, 12, 13, 15):
        assert ready.element.read_slot(slot) == slots[slot]
    assert ready.element.read_otp() == bytes(64)
    for slot in (0, 4, 5, 6, 8):
        with pytest.raises(ElementError, match="Read: status 0x0F"):
            ready.element.read_slot(slot)


@pytest.mark.parametrize("scalar", SCALARS)
def test_an_encrypted_private_key_arrives_and_signs(ready: Bench, scalar: bytes) -> None:
    permit = allow(Operation.WRITE_PRIVATE_KEY, 0)
    public = irreversible.write_private_key(ready.element, 0, scalar, permit, write_key=TEST_KEK)
    assert public == public_half(scalar) == ready.element.public_key(0)
    signature = ready.element.sign_digest(0, DIGEST)
    assert verified(public, signature, DIGEST)
    assert not verified(public, signature, DIGEST[::-1])
    assert ready.element.verify_external(public, DIGEST, signature)
    assert not ready.element.verify_external(public, DIGEST[::-1], signature)
    assert ready.element.sign_digest(0, DIGEST)[:32] != signature[:32]


def test_a_wrong_write_key_is_refused_and_changes_nothing(ready: Bench) -> None:
    permit = allow(Operation.WRITE_PRIVATE_KEY, 0)
    public = irreversible.write_private_key(ready.element, 0, SCALARS[0], permit, write_key=TEST_KEK)
    with pytest.raises(ElementError, match="PrivWrite: status 0x0F"):
        irreversible.write_private_key(ready.element, 0, SCALARS[1], permit, write_key=bytes(32))
    assert ready.element.public_key(0) == public


def test_a_private_key_can_be_written_in_clear_before_the_data_lock(blank: Bench) -> None:
    configure(blank)
    permit = allow(Operation.WRITE_PRIVATE_KEY, 0)
    public = irreversible.write_private_key(blank.element, 0, SCALARS[0], permit)
    assert public == public_half(SCALARS[0])
    assert verified(public, blank.element.sign_digest(0, DIGEST), DIGEST)


def test_generated_keys_differ_and_sign(ready: Bench) -> None:
    first = irreversible.generate_key(ready.element, 1, allow(Operation.GENERATE_KEY, 1))
    second = irreversible.generate_key(ready.element, 1, allow(Operation.GENERATE_KEY, 1))
    assert first != second == ready.element.public_key(1)
    assert verified(second, ready.element.sign_digest(1, DIGEST), DIGEST)


@pytest.mark.parametrize("random_first", [False, True])
def test_every_recipe_of_a_part_signs(ready: Bench, random_first: bool) -> None:
    public = irreversible.generate_key(ready.element, 0, allow(Operation.GENERATE_KEY, 0))
    for buffer in (False,) if ready.part == "atecc508a" else (False, True):
        recipe = SignRecipe(random_first=random_first, message_buffer=buffer)
        assert verified(public, ready.element.sign_digest(0, DIGEST, recipe=recipe), DIGEST)


def test_a_sign_is_one_wake_one_nonce_and_one_sign(ready: Bench) -> None:
    irreversible.generate_key(ready.element, 0, allow(Operation.GENERATE_KEY, 0))
    ready.element.identify()
    ready.chip.log.clear()
    ready.element.sign_digest(0, DIGEST)
    assert [entry.command.label for entry in ready.chip.log if entry.command] == ["Nonce", "Sign"]


def test_a_locked_slot_cannot_be_written(ready: Bench) -> None:
    irreversible.lock_slot(ready.element, 10, allow(Operation.LOCK_SLOT, 10))
    assert ready.element.lock_state().slots == frozenset({10})
    with pytest.raises(ElementError, match="0x0F"):
        irreversible.write_slot(ready.element, 10, bytes(72), allow(Operation.WRITE_SLOT, 10))


def test_encrypted_blocks_are_written_and_read_back(ready: Bench) -> None:
    data = bytes(range(64))
    permit = allow(Operation.WRITE_SLOT, 8)
    irreversible.write_slot(ready.element, 8, data, permit, block=2, write_key=TEST_KEK)
    assert ready.element.read_encrypted_block(8, 2, 4, TEST_KEK) == data[:32]
    assert ready.element.read_encrypted_block(8, 3, 4, TEST_KEK) == data[32:]
    assert ready.element.read_encrypted_block(8, 4, 4, TEST_KEK) == bytes((8,)) * 32


def test_ecdh_equals_that_of_cryptography(ready: Bench) -> None:
    public = irreversible.write_private_key(
        ready.element, 2, SCALARS[0], allow(Operation.WRITE_PRIVATE_KEY, 2), write_key=TEST_KEK
    )
    peer = ec.derive_private_key(12345, ec.SECP256R1())
    numbers = peer.public_key().public_numbers()
    peer_public = numbers.x.to_bytes(32, "big") + numbers.y.to_bytes(32, "big")
    ours = ec.EllipticCurvePublicNumbers(
        int.from_bytes(public[:32], "big"), int.from_bytes(public[32:], "big"), ec.SECP256R1()
    )
    expected = peer.exchange(ec.ECDH(), ours.public_key())
    assert ready.element.ecdh(2, peer_public) == expected
    unit = ElementEcdh(ready.element, 2)
    assert unit.new_key() == public
    assert unit.agree(peer_public) == expected


def test_the_ephemeral_key_of_a_608_survives_a_pause_and_other_work(ready: Bench) -> None:
    if ready.part == "atecc508a":
        with pytest.raises(UsageError):
            ElementEcdh(ready.element).new_key()
        return
    peer = ec.derive_private_key(12345, ec.SECP256R1())
    numbers = peer.public_key().public_numbers()
    peer_public = numbers.x.to_bytes(32, "big") + numbers.y.to_bytes(32, "big")
    unit = ElementEcdh(ready.element)
    public = unit.new_key()
    ready.world.sleep(5_000_000)
    signature_of_peer = bytes(64)
    assert not ready.element.verify_external(peer_public, DIGEST, signature_of_peer[:-1] + b"\1")
    ready.world.sleep(5_000_000)
    ours = ec.EllipticCurvePublicNumbers(
        int.from_bytes(public[:32], "big"), int.from_bytes(public[32:], "big"), ec.SECP256R1()
    )
    assert unit.agree(peer_public) == peer.exchange(ec.ECDH(), ours.public_key())


def test_tempkey_survives_in_a_session_and_not_without(ready: Bench) -> None:
    irreversible.generate_key(ready.element, 0, allow(Operation.GENERATE_KEY, 0))
    with ready.element.session():
        ready.element.nonce_load(DIGEST)
        ready.world.sleep(10_000_000)
        assert len(ready.element.sign_loaded(0)) == 64
    ready.element.nonce_load(DIGEST)
    with pytest.raises(ElementError, match="0x0F"):
        ready.element.sign_loaded(0)


def test_random_bytes(ready: Bench) -> None:
    source = ElementRandom(ready.element)
    first = source.random(100)
    assert len(first) == 100
    assert len({first[n : n + 4] for n in range(0, 100, 4)}) == 25
    assert source.random(100) != first


def test_sha256_and_hmac(ready: Bench) -> None:
    message = bytes(range(200))
    for length in (0, 1, 63, 64, 65, 128, 200):
        assert ready.element.sha256(message[:length]) == hashlib.sha256(message[:length]).digest()
    key = contents(ready.config)[10][:32]
    assert ready.element.hmac_sha256(10, message) == hmac.digest(key, message, "sha256")


def test_the_driver_leaves_the_element_asleep(ready: Bench) -> None:
    ready.element.info_revision()
    assert ready.chip.power.value == "asleep"
