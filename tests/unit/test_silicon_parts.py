"""The pieces of a characterization: randomness, times, roles, the stopwatch, the file."""

from __future__ import annotations

import random
from statistics import median
from typing import TYPE_CHECKING

import pytest

from hil.element.configzone import ConfigZone
from hil.emulator.chip import Memory, load_profile
from hil.errors import ConfigError, UsageError
from hil.measure.statistics import Sample
from hil.rig.oneshot import one_rig
from hil.silicon.asking import in_words
from hil.silicon.characterize import characterize
from hil.silicon.observe import config_entries, flags
from hil.silicon.periods import execution_times, spread, watchdog_us
from hil.silicon.randomness import BLOCKS, judge
from hil.silicon.record import load, save
from hil.silicon.roles import Roles, roles_of
from hil.silicon.scene import FIXED, POINT, SIGNATURE
from hil.silicon.wake import wake_threshold
from hil.wire.serials import reserved_serial
from tests.unit.silicon_bench import Bench

if TYPE_CHECKING:
    from pathlib import Path

    from hil.i2c.bus import I2CBus


def blocks(draw: random.Random) -> list[bytes]:
    return [draw.randbytes(32) for _ in range(BLOCKS)]


def test_sound_generators_are_not_suspected() -> None:
    verdicts = {judge(blocks(random.Random(seed)))["Random | statistics"] for seed in range(60)}
    assert verdicts == {"as random as it looks"}


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ([bytes(32)] * BLOCKS, "a constant"),
        ([bytes.fromhex("ffff0000") * 8] * BLOCKS, "the constant of an open configuration zone, FFFF0000"),
        ([bytes((n % 2,)) * 32 for n in range(BLOCKS)], "not random: blocks repeat"),
        ([bytes(b | 0x10 for b in one) for one in blocks(random.Random(1))], "ones and zeros"),
        (
            [bytes(b & 0x0F | (b & 0x0F) << 4 for b in one) for one in blocks(random.Random(2))],
            "byte frequencies",
        ),
        ([bytes((0x55,)) * 31 + bytes((n,)) for n in range(BLOCKS)], "runs"),
    ],
)
def test_a_generator_that_is_grossly_wrong_is_told(bad: list[bytes], said: str) -> None:
    assert said in judge(bad)["Random | statistics"]


def test_the_signature_of_the_scenes_is_right() -> None:
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.asymmetric.utils import Prehashed, encode_dss_signature
    from cryptography.hazmat.primitives.hashes import SHA256

    key = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), b"\x04" + POINT)
    r, s = (int.from_bytes(SIGNATURE[at : at + 32], "big") for at in (0, 32))
    key.verify(encode_dss_signature(r, s), FIXED, ec.ECDSA(Prehashed(SHA256())))


def test_answers_in_words() -> None:
    assert in_words(b"\0") == "ok"
    assert in_words(b"\x0f") == "status 0f"
    assert in_words(bytes(32)) == "32 bytes"
    assert in_words(b"\1\2", exact=True) == "0102"
    assert in_words("no answer") == "no answer"
    assert flags(bytes.fromhex("50840000")) == "valid from input, GenKey, authorised"
    assert flags(bytes.fromhex("03000000")) == "not valid"
    assert flags(b"\x03") == "status 03"


def test_per_die_bytes_are_masked_and_bits_with_a_meaning_kept() -> None:
    profile = load_profile("atecc608b")
    one, other = (bytes(Memory.blank(profile, reserved_serial(n)).config) for n in (1, 2))
    assert one != other
    assert config_entries(one) == config_entries(other)
    swi = bytearray(one)
    swi[14] &= 0xFE
    changed = {key for key, value in config_entries(bytes(swi)).items() if config_entries(one)[key] != value}
    assert changed == {"Configuration | I2C enabled, byte 14 bit 0"}


def test_roles_prefer_slots_with_keys_and_leave_out_those_that_count() -> None:
    profile = load_profile("atecc508a")
    memory = Memory.configured(profile, reserved_serial(1), "mongoose-os")
    zone = ConfigZone.from_bytes(bytes(memory.config))
    assert roles_of(zone).private == 0
    known = roles_of(zone, {0: False, 1: True, 2: False})
    assert (known.private, known.empty) == (1, 0)
    for slot in range(16):
        memory.config[20 + 2 * slot] |= 0x20
    limited = roles_of(ConfigZone.from_bytes(bytes(memory.config)))
    assert {getattr(limited, name) for name in limited.__struct_fields__} == {None}


SIGN_ONLY = Roles(private=0)


@pytest.mark.parametrize(
    ("profile", "low", "high"), [("atecc508a", 42_000, 50_000), ("atecc608a", 60_000, 115_000)]
)
def test_times_lie_where_the_part_draws_them(tmp_path: Path, profile: str, low: int, high: int) -> None:
    with Bench(tmp_path, profile, "config-locked") as bench:
        times = execution_times(*bench.timed(), SIGN_ONLY, 20, deterministic=False)
    sign = times.samples["Sign"]
    assert low - 1_200 <= min(sign.values) <= max(sign.values) <= high + 1_200
    assert len(set(sign.values)) > 10, "they vary"
    assert 500 < times.resolution_us < 1_500


def test_a_model_that_does_not_vary_is_one_observation(tmp_path: Path) -> None:
    with Bench(tmp_path, "atecc508a", "config-locked", draw="typical") as bench:
        times = execution_times(*bench.timed(), SIGN_ONLY, 8, deterministic=True)
    sign = times.samples["Sign"]
    assert sign.deterministic
    assert all(abs(value - 42_000) < 700 for value in sign.values)
    assert "shorter than this bus can tell" in times.unobservable["Info | execution time"]
    assert times.unobservable["AES | execution time"] == "the command answers: status 03"


def test_the_watchdog_is_found_between_the_bounds(tmp_path: Path) -> None:
    with Bench(tmp_path, "atecc508a") as bench:
        short = watchdog_us(bench.timed()[0].element, long=False)
    assert short is not None
    assert short[0] <= 1_300_000 <= short[1] + 1_500
    with Bench(tmp_path, "atecc608a") as bench:
        bench.memory.config[19] |= 4
        element = bench.timed()[0].element
        assert watchdog_us(element, long=False) is None, "it does not fire within two seconds"
        long = watchdog_us(element, long=True)
    assert long is not None
    assert long[0] <= 13_000_000 <= long[1] + 1_500


@pytest.mark.parametrize(
    ("name", "woke", "not_"),
    [("emulated-esp8266-atecc508a", 60.0, 40.0), ("emulated-esp32-atecc608b", 30.0, 25.0)],
)
def test_the_wake_threshold_is_found_where_the_bus_has_several_speeds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, woke: float, not_: float
) -> None:
    """60 us on a 508A; a 608 wakes by traffic of about 300 kHz."""
    monkeypatch.setenv("HIL_HOME", str(tmp_path))
    with one_rig(name) as opened:
        before = opened.booted_board().config_get("i2c")
        shortest, failed = wake_threshold(opened)
        assert opened.booted_board().config_get("i2c") == before, "the board is as it was"
        assert opened.element.info_revision()
    assert (round(shortest), round(failed)) == (round(woke), round(not_))


def test_what_coarse_polls_add_is_taken_out_of_the_spread() -> None:
    values = Sample(tuple(50_000.0 + n * 1_000 for n in range(20)))
    assert spread(values, 0.0) == (59_500.0, 68_000.0)
    assert spread(values, 20_000.0) == (59_500.0, 59_500.0)


class Slow:
    """A road to the bus that takes four milliseconds each way."""

    physical = True
    name = "slow"

    def __init__(self, bus: I2CBus) -> None:
        self._bus = bus
        self.clock = bus.clock

    def write(self, address: int, data: bytes) -> None:
        self.clock.sleep(4_000)
        self._bus.write(address, data)
        self.clock.sleep(4_000)

    def read(self, address: int, length: int) -> bytes:
        self.clock.sleep(4_000)
        try:
            return self._bus.read(address, length)
        finally:
            self.clock.sleep(4_000)

    def wake_pulse(self) -> None:
        self._bus.wake_pulse()


@pytest.mark.parametrize(("slow", "within"), [(False, 700), (True, 3_000)])
def test_an_execution_lasts_as_long_behind_a_slow_road(tmp_path: Path, slow: bool, within: int) -> None:
    with Bench(tmp_path, "atecc508a", "config-locked", draw="typical") as bench:
        asker, watch = bench.timed(Slow(bench.subject.bus) if slow else None)
        times = execution_times(asker, watch, SIGN_ONLY, 16, deterministic=True)
    assert abs(median(times.samples["Sign"].values) - 42_000) < within
    assert (times.resolution_us > 8_000) is slow
    assert ("Verify" in times.samples) is True


def test_a_record_comes_back_as_it_was(tmp_path: Path) -> None:
    with Bench(tmp_path, "atecc508a", "config-locked") as bench:
        seen = characterize(bench.subject, samples=5)
    save(tmp_path / "new" / "seen.json", seen)
    assert load(tmp_path / "new" / "seen.json") == seen


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{}", "is no characterization"),
        ("no json", "is no characterization"),
        ("[]", "is no characterization"),
        ('{"characterization": 2}', "newer version"),
    ],
)
def test_a_file_that_is_none_is_refused(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "x.json"
    path.write_text(text)
    with pytest.raises(ConfigError, match=said):
        load(path)
    with pytest.raises(UsageError, match="cannot be read"):
        load(tmp_path / "nowhere.json")
