"""A driver that others wrote, on the emulated bus: Adafruit's for CircuitPython, unchanged, from PyPI.

It waits 1 ms after the wake pulse, where the data sheets ask for 1.5 ms (tWHI): physical parts are
ready earlier, and so is the emulated one with ``wake_ready_us=1000``. It waits fixed times for
answers; that for Nonce is shorter than the typical time published for the 608.
"""

from __future__ import annotations

import random
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from hil.emulator.chip import load_profile, profile_names
from hil.emulator.standalone import emulated_element
from tests.unit.chip_bench import DIGEST, host_key, point, verifies

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from hil.emulator.standalone import EmulatedElement, State

driver = pytest.importorskip(
    "adafruit_atecc.adafruit_atecc", reason="adafruit-circuitpython-atecc is not installed"
)

EVERY_PART = pytest.mark.parametrize("name", profile_names())
ONE_OF_EACH = pytest.mark.parametrize("name", ["atecc508a", "atecc608b"])
QUICK = {"atecc508a": 1.0, "atecc608a": 0.5, "atecc608b": 0.5, "atecc608-next": 0.5}
"""Factor on the execution times, so that a 608 keeps to the times this driver waits."""


@pytest.fixture
def plug(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., tuple[Any, EmulatedElement]]]:
    """Makes a part and the driver on it."""
    made: list[EmulatedElement] = []

    def plug(
        name: str, state: State = "provisioned", *, wake_ready_us: int = 1_000
    ) -> tuple[Any, EmulatedElement]:
        part = emulated_element(name, state, wake_ready_us=wake_ready_us, time_scale=QUICK[name])
        made.append(part)
        monkeypatch.setattr(driver, "time", part.time)
        return driver.ATECC(part.busio, part.address), part

    yield plug
    for part in made:
        part.close()


@EVERY_PART
def test_version(plug: Any, name: str) -> None:
    atecc, _ = plug(name, "blank")
    assert atecc.version() == int.from_bytes(load_profile(name).revision_bytes[2:], "big")


@EVERY_PART
def test_serial_number(plug: Any, name: str) -> None:
    atecc, part = plug(name, "blank")
    assert atecc.serial_number == part.memory.serial.hex().upper()


@ONE_OF_EACH
def test_locked(plug: Any, name: str) -> None:
    assert not plug(name, "blank")[0].locked
    assert plug(name)[0].locked


@ONE_OF_EACH
def test_random(plug: Any, name: str) -> None:
    atecc, part = plug(name)
    numbers = [bytes(atecc._random(bytearray(32))) for _ in range(4)]
    assert len(set(numbers)) == 4
    assert all(0 <= atecc.random(0, 100) < 100 for _ in range(10))
    assert (
        numbers
        == [line.response[1:-2] for line in part.log if line.command and line.command.opcode == 0x1B][:4]
    )


@ONE_OF_EACH
def test_random_of_a_blank_part(plug: Any, name: str) -> None:
    atecc, _ = plug(name, "blank")
    assert atecc._random(bytearray(32)) == bytes.fromhex("FFFF0000") * 8


@ONE_OF_EACH
@pytest.mark.parametrize("size", [0, 1, 55, 63, 64, 65, 200])
def test_sha(plug: Any, name: str, size: int) -> None:
    atecc, _ = plug(name)
    message = random.Random(size).randbytes(size)
    whole = size // 64 * 64
    atecc.sha_start()
    for at in range(0, whole, 64):
        atecc.sha_update(message[at : at + 64])
    digest = atecc.sha_digest(bytearray(message[whole:]))
    assert digest == sha256(message).digest()


@ONE_OF_EACH
def test_gen_key_makes_a_key_and_shows_its_public_half(plug: Any, name: str) -> None:
    atecc, part = plug(name)
    old = atecc.gen_key(bytearray(64), 2)
    new = atecc.gen_key(bytearray(64), 2, private_key=True)
    assert new != old
    assert atecc.gen_key(bytearray(64), 2) == new == part.memory.public_key(2)


@ONE_OF_EACH
def test_nonce(plug: Any, name: str) -> None:
    atecc, part = plug(name)
    drawn = atecc.nonce(bytes(20), mode=0)
    assert part.chip.session.temp_key.value == sha256(drawn + bytes(20) + b"\x16\0\0").digest()
    assert atecc.nonce(DIGEST, mode=3) == b"\0"
    assert part.chip.session.temp_key.value == DIGEST


@ONE_OF_EACH
def test_ecdsa_sign(plug: Any, name: str) -> None:
    atecc, part = plug(name)
    public = part.memory.public_key(0)
    signatures = [bytes(atecc.ecdsa_sign(0, DIGEST)) for _ in range(2)]
    assert all(verifies(public, DIGEST, signature) for signature in signatures)
    assert signatures[0] != signatures[1]


@pytest.mark.parametrize(("name", "mode"), [("atecc508a", 0x00), ("atecc608b", 0x0C)])
def test_ecdh(plug: Any, name: str, mode: int) -> None:
    atecc, part = plug(name)
    peer = host_key()
    ours = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), b"\x04" + part.memory.public_key(2))
    assert atecc.ecdh(2, point(peer), mode) == peer.exchange(ec.ECDH(), ours)


@ONE_OF_EACH
def test_counter(plug: Any, name: str) -> None:
    atecc, part = plug(name)
    values = [int.from_bytes(atecc.counter(0), "little") for _ in range(3)]
    assert values == [1, 2, 3]
    assert atecc.counter(0, increment_counter=False) == (3).to_bytes(4, "little")
    assert part.memory.counter(0) == 3


@ONE_OF_EACH
def test_a_blank_part_is_configured_locked_keyed_and_signs(plug: Any, name: str) -> None:
    atecc, part = plug(name, "blank")
    with emulated_element(name, "config-locked") as model:
        wanted = bytes(model.memory.config)
    atecc.write_config(bytearray(wanted))
    assert part.memory.config[16:84] == wanted[16:84]
    atecc.lock(0)
    public = bytes(atecc.gen_key(bytearray(64), 0, private_key=True))
    atecc.lock(1)
    assert atecc.locked
    assert part.memory.config_locked
    assert part.memory.data_locked
    assert verifies(public, DIGEST, bytes(atecc.ecdsa_sign(0, DIGEST)))
    atecc.write_config(bytearray(128))
    assert part.memory.config[16:84] == wanted[16:84]


def test_it_misses_a_part_that_takes_the_whole_wake_time_of_the_data_sheet(plug: Any) -> None:
    with pytest.raises(OSError, match="No such device"):
        plug("atecc508a", wake_ready_us=1_500)


def test_it_says_so_when_nothing_is_on_the_bus(plug: Any) -> None:
    atecc, part = plug("atecc508a")
    part.power_off()
    with pytest.raises(OSError, match="No such device"):
        atecc.version()


def test_it_notices_a_damaged_answer(plug: Any) -> None:
    atecc, part = plug("atecc508a")
    part.faults.add("flipped-bit")
    with pytest.raises(RuntimeError, match="CRC"):
        atecc.version()
    assert atecc.version() == 0x5000
