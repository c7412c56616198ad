from __future__ import annotations

import base64
import hashlib
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed, encode_dss_signature
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import ECB
from cryptography.hazmat.primitives.hashes import SHA256

from hil.clock import World
from hil.emulator.boards.mongoose_atca import HEAP_RESIDUE, library_status
from hil.emulator.chip import Memory, load_profile
from hil.emulator.chip.chip import Power
from hil.errors import DeviceError, DeviceTimeout, ElementError, FrameError, I2CNack, RpcError, WakeError
from tests.unit.firmware_bench import SERIAL, Bench, bench

if TYPE_CHECKING:
    from collections.abc import Iterator

KEK = hashlib.sha256(b"test key-encryption key").digest()
SCALAR = hashlib.sha256(b"test private key").digest()
SHORT_SCALAR = b"\0" + SCALAR[1:]
"""One key in 256 begins with a zero byte."""


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def member(reply: object, name: str) -> bytes:
    assert isinstance(reply, dict)
    return base64.b64decode(reply[name])


def point(scalar: bytes) -> bytes:
    numbers = (
        ec.derive_private_key(int.from_bytes(scalar, "big"), ec.SECP256R1()).public_key().public_numbers()
    )
    return numbers.x.to_bytes(32, "big") + numbers.y.to_bytes(32, "big")


def refusal(board: Bench, method: str, params: object = None) -> tuple[int, str]:
    with pytest.raises(RpcError) as caught:
        board.call(method, params)
    return caught.value.code, caught.value.text


@pytest.fixture
def world() -> Iterator[World]:
    with World() as world:
        yield world


@pytest.fixture
def blank(world: World) -> Bench:
    made = bench(world)
    made.on()
    return made


@pytest.fixture(params=["atecc508a", "atecc608b"])
def locked(world: World, request: pytest.FixtureRequest) -> Bench:
    """Configured, both zones locked, key-encryption key in slot 4."""
    profile = load_profile(request.param)
    memory = Memory.configured(profile, SERIAL, "mongoose-os")
    memory.set_slot(4, KEK)
    memory.lock_config()
    memory.lock_data()
    made = bench(world, chip=request.param, memory=memory)
    made.on()
    return made


# -- zones -------------------------------------------------------------------------------------


def test_get_config_reads_the_128_bytes(blank: Bench) -> None:
    assert member(blank.call("ATCA.GetConfig"), "config") == bytes(blank.chip.memory.config)


def test_set_config_writes_16_to_127_and_leaves_identity_and_locks(blank: Bench) -> None:
    before = bytes(blank.chip.memory.config)
    wanted = bytearray(load_profile("atecc508a").configuration("mongoose-os").rjust(128, b"\xee"))
    wanted[86:88] = b"\0\0"  # would lock the part, were it written
    assert blank.call("ATCA.SetConfig", {"config": b64(bytes(wanted))}) is None
    after = bytes(blank.chip.memory.config)
    assert after[:16] == before[:16]
    assert after[16:84] == wanted[16:84]
    assert after[84:88] == wanted[84:86] + before[86:88]
    assert after[88:] == wanted[88:]


def test_set_config_wants_128_bytes(blank: Bench) -> None:
    assert refusal(blank, "ATCA.SetConfig", {"config": b64(bytes(100))}) == (
        400,
        "Expected 128 bytes, got 100",
    )
    assert refusal(blank, "ATCA.SetConfig") == (400, "Expected 128 bytes, got 0")


def test_zones_lock_once_and_for_good(blank: Bench) -> None:
    blank.chip.memory.set_config(16, load_profile("atecc508a").configuration("mongoose-os"))
    assert refusal(blank, "ATCA.LockZone", {"zone": 1}) == (500, "Failed to lock zone 1: 0xf4")
    assert blank.call("ATCA.LockZone", {"zone": 0}) is None
    assert blank.chip.memory.config_locked
    assert blank.call("ATCA.LockZone", {"zone": 1}) is None
    assert blank.chip.memory.data_locked
    assert refusal(blank, "ATCA.LockZone", {"zone": 0}) == (500, "Failed to lock zone 0: 0xf4")
    config = {"config": b64(bytes(blank.chip.memory.config))}
    assert refusal(blank, "ATCA.SetConfig", config) == (500, "Failed to set config: 0xf4")


@pytest.mark.parametrize("params", [{}, {"zone": 2}, {"zone": -1}])
def test_other_zones_are_403(blank: Bench, params: dict[str, int]) -> None:
    assert refusal(blank, "ATCA.LockZone", params) == (403, "Invalid zone")
    assert not blank.chip.memory.config_locked


# -- keys --------------------------------------------------------------------------------------


def test_blank_chip_is_detected_but_makes_no_key(blank: Bench) -> None:
    assert refusal(blank, "ATCA.GenKey", {"slot": 0}) == (500, "Failed generate key on slot 0: 0xf4")
    assert refusal(blank, "ATCA.GetPubKey", {"slot": 0}) == (500, "Failed get public key for slot 0: 0xf4")
    assert refusal(blank, "ATCA.Sign", {"slot": 0, "digest": b64(bytes(32))}) == (500, "Failed to sign: 0xf4")


@pytest.mark.parametrize("method", ["ATCA.SetKey", "ATCA.GenKey", "ATCA.GetPubKey", "ATCA.Sign", "ATCA.AES"])
@pytest.mark.parametrize("params", [{}, {"slot": 16}, {"slot": -1}])
def test_slots_are_0_to_15(blank: Bench, method: str, params: dict[str, int]) -> None:
    before = len(blank.chip.log)
    assert refusal(blank, method, params) == (400, "Invalid slot")
    assert len(blank.chip.log) == before


@pytest.mark.parametrize("scalar", [SCALAR, SHORT_SCALAR])
def test_private_key_goes_in_encrypted_and_its_public_half_comes_back(locked: Bench, scalar: bytes) -> None:
    params = {"slot": 0, "ecc": True, "key": b64(scalar), "wkey": b64(KEK), "wkslot": 4}
    assert locked.call("ATCA.SetKey", params) is None
    assert member(locked.call("ATCA.GetPubKey", {"slot": 0}), "pubkey") == point(scalar)
    written = [
        entry.command
        for entry in locked.chip.log
        if entry.command is not None and entry.command.opcode == 0x46
    ]
    assert len(written) == 1
    assert scalar not in written[0].data


@pytest.mark.parametrize("chip", ["atecc508a", "atecc608b"])
def test_private_key_goes_in_clear_while_the_data_zone_is_open(world: World, chip: str) -> None:
    memory = Memory.configured(load_profile(chip), SERIAL, "mongoose-os")
    memory.lock_config()
    made = bench(world, chip=chip, memory=memory)
    made.on()
    assert made.call("ATCA.SetKey", {"slot": 0, "ecc": True, "key": b64(SCALAR)}) is None
    assert member(made.call("ATCA.GetPubKey", {"slot": 0}), "pubkey") == point(SCALAR)


def test_wrong_write_key_is_refused_and_the_old_key_stays(locked: Bench) -> None:
    locked.chip.memory.set_private_key(0, SCALAR)
    params = {"slot": 0, "ecc": True, "key": b64(KEK), "wkey": b64(bytes(32)), "wkslot": 4}
    code, text = refusal(locked, "ATCA.SetKey", params)
    assert code == 500
    assert text.startswith("Failed to set key: 0x")
    assert member(locked.call("ATCA.GetPubKey", {"slot": 0}), "pubkey") == point(SCALAR)


def test_short_key_is_copied_with_what_lies_behind_it(locked: Bench) -> None:
    params = {"slot": 0, "ecc": True, "key": b64(SCALAR[:31]), "wkey": b64(KEK), "wkslot": 4}
    assert locked.call("ATCA.SetKey", params) is None
    assert member(locked.call("ATCA.GetPubKey", {"slot": 0}), "pubkey") == point(SCALAR[:31] + HEAP_RESIDUE)


def test_lengths_of_keys_are_checked_as_the_firmware_does(locked: Bench) -> None:
    long = {"slot": 0, "ecc": True, "key": b64(bytes(33))}
    assert refusal(locked, "ATCA.SetKey", long) == (400, "Expected 32 bytes, got 33")
    wkey = {"slot": 0, "ecc": True, "key": b64(bytes(7)), "wkey": b64(bytes(16))}
    assert refusal(locked, "ATCA.SetKey", wkey) == (
        400,
        "Expected 32 bytes, got 7",
    )  # it prints the wrong one
    plain = {"slot": 4, "key": b64(bytes(16))}
    assert refusal(locked, "ATCA.SetKey", plain) == (500, "Failed to set key: 0xe2")


def test_clear_write_goes_to_the_slot_that_allows_it(locked: Bench) -> None:
    new = hashlib.sha256(b"test new kek").digest()
    assert locked.call("ATCA.SetKey", {"slot": 4, "key": b64(new)}) is None
    assert locked.chip.memory.secret(4) == new
    assert refusal(locked, "ATCA.SetKey", {"slot": 0, "key": b64(new)})[0] == 500


def test_encrypted_data_block_lands_in_its_block(locked: Bench) -> None:
    data = hashlib.sha256(b"test data").digest()
    params = {"slot": 8, "block": 2, "key": b64(data), "wkey": b64(KEK), "wkslot": 4}
    assert locked.call("ATCA.SetKey", params) is None
    assert locked.chip.memory.slot(8)[64:96] == data
    assert not any(data in entry.raw for entry in locked.chip.log)


def test_generated_key_signs_and_only_for_its_digest(locked: Bench) -> None:
    public = member(locked.call("ATCA.GenKey", {"slot": 0}), "pubkey")
    assert public == locked.chip.memory.public_key(0)
    digest = hashlib.sha256(b"test message").digest()
    raw = member(locked.call("ATCA.Sign", {"slot": 0, "digest": b64(digest)}), "signature")
    der = encode_dss_signature(int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big"))
    key = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), b"\x04" + public)
    key.verify(der, digest, ec.ECDSA(Prehashed(SHA256())))
    assert refusal(locked, "ATCA.Sign", {"slot": 0, "digest": b64(bytes(31))}) == (
        400,
        "Expected 32 bytes, got 31",
    )


def test_the_library_idles_the_element_after_each_command(locked: Bench) -> None:
    locked.call("ATCA.GenKey", {"slot": 0})
    assert locked.chip.power is Power.IDLE
    executed = len(locked.chip.log)
    locked.call("ATCA.Sign", {"slot": 0, "digest": b64(bytes(32))})
    assert locked.chip.power is Power.IDLE
    labels = [entry.command.label for entry in locked.chip.log[executed:] if entry.command is not None]
    assert labels == ["Random", "Nonce", "Sign"]


def test_calls_leave_the_time_of_bus_and_chip_only(locked: Bench) -> None:
    before = locked.world.account.copy()
    locked.call("ATCA.GenKey", {"slot": 0})
    spent = locked.world.account - before
    assert spent["mcu"] == locked.board.costs.us("rpc")
    executed = locked.chip.log[-1].us
    bus_us = 90 * (2 + 5 + 9 + 68 + 2)  # pulse, wake answer, command, answer, idle
    waited = spent["sleep"] + spent["i2c"] - bus_us - 1_500
    assert executed <= waited <= executed + 1_500  # polled once a millisecond
    assert set(spent) == {"sleep", "i2c", "mcu"}


# -- AES ---------------------------------------------------------------------------------------


def test_aes_is_refused_by_a_508(blank: Bench) -> None:
    params = {"slot": 5, "data": b64(bytes(16))}
    assert refusal(blank, "ATCA.AES", params) == (500, "Failed to encrypt: 0xd2")
    assert refusal(blank, "ATCA.AES", {**params, "mode": 1}) == (500, "Failed to decrypt: 0xd2")


def test_aes_of_a_608_is_aes(world: World) -> None:
    key = hashlib.sha256(b"test AES key").digest()
    memory = Memory.configured(load_profile("atecc608b"), SERIAL, "mongoose-os")
    memory.set_config(13, b"\x01")
    memory.set_slot(5, key)
    memory.lock_config()
    memory.lock_data()
    made = bench(world, chip="atecc608b", memory=memory)
    made.on()
    plain = bytes(range(32))
    cipher = Cipher(AES(key[16:32]), ECB()).encryptor()
    expected = cipher.update(plain) + cipher.finalize()
    params = {"slot": 5, "block": 1}
    assert member(made.call("ATCA.AES", {**params, "data": b64(plain)}), "data") == expected
    assert member(made.call("ATCA.AES", {**params, "mode": 1, "data": b64(expected)}), "data") == plain


def test_aes_checks_its_arguments(blank: Bench) -> None:
    assert refusal(blank, "ATCA.AES", {"slot": 5, "data": b64(bytes(15))}) == (
        400,
        "Data must be padded to AES block (16)",
    )
    assert refusal(blank, "ATCA.AES", {"slot": 5, "mode": 2, "data": b64(bytes(16))}) == (400, "Invalid mode")
    assert refusal(blank, "ATCA.AES", {"slot": 5, "block": -1})[0] == 400
    assert blank.call("ATCA.AES", {"slot": 5}) == {"data": ""}


# -- status codes ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (ElementError("Sign", 0x0F, ""), 0xF4),
        (ElementError("Verify", 0x01, ""), 0xD1),
        (ElementError("X", 0x03, ""), 0xD2),
        (ElementError("X", 0x05, ""), 0xD6),
        (ElementError("X", 0x07, ""), 0xD7),
        (ElementError("X", 0x08, ""), 0xFA),
        (ElementError("X", 0xFF, ""), 0xD4),
        (ElementError("X", 0xEE, ""), 0xE1),
        (ElementError("X", 0x42, ""), 0xE1),
        (WakeError("x"), 0xD0),
        (FrameError("x"), 0xE5),
        (I2CNack(0x60), 0xF0),
        (DeviceTimeout("x"), 0xF0),
        (DeviceError("x"), 0xE1),
    ],
)
def test_failures_become_the_librarys_codes(error: DeviceError, status: int) -> None:
    assert library_status(error) == status


def test_element_that_loses_its_power_is_a_wake_failure(locked: Bench) -> None:
    locked.chip.power_off()
    assert refusal(locked, "ATCA.GetConfig") == (500, "Failed to read config zone block 0: 0xd0")
