"""A part on disk and in a snapshot: nothing is lost, nothing is half written, old files load."""

from __future__ import annotations

import json
import os
import stat
from typing import TYPE_CHECKING, Any

import pytest

from hil.emulator.chip import Chip, load_profile, state
from hil.errors import ConfigError
from hil.wire.atecc import Command
from tests.unit.chip_bench import DIGEST, ECC_PRIVATE, SERIAL, TEST_POINT, TEST_SCALAR, Part

if TYPE_CHECKING:
    from pathlib import Path

FORMAT_1 = {
    "format": 1,
    "profile": "atecc508a",
    "drawn": 3,
    "config": (
        "012300000000500000000000eec05500c0005500832087208f20c48f8f8f8f8f9f8faf8f000000000000000000000000"
        "0000af8fffffffff00000000ffffffff00000000ffffffffffffffffffffffffffffffff00005555ffff000000000000"
        "3300330033001c001c001c001c001c003c003c003c003c003c003c003c001c00"
    ),
    "otp": "ff" * 64,
    "slots": ["00000000" + TEST_SCALAR.hex(), *["00" * 36] * 7, "00" * 416, *["00" * 72] * 7],
    "key_valid": [True] + [False] * 15,
}
"""A file as the first version of the project wrote it; never edit."""
FILES = {1: FORMAT_1}
"""One of each format that was ever written, all of the same part."""


def private_part(**options: Any) -> Part:
    part = Part(**options).slot(0, 0x6487, ECC_PRIVATE)
    part.memory.set_private_key(0, TEST_SCALAR)
    return part.locked(data=False)


def test_a_part_survives_the_disk(tmp_path: Path) -> None:
    part = private_part()
    part.memory.set_slot(8, bytes(n & 0xFF for n in range(416)))
    part.memory.set_otp(b"test", 4)
    path = tmp_path / "part.json"
    state.save(path, "atecc508a", part.memory, drawn=9)
    saved = state.load(path)
    assert (saved.profile, saved.drawn) == ("atecc508a", 9)
    assert saved.memory.config == part.memory.config
    assert saved.memory.otp == part.memory.otp
    assert [saved.memory.slot(n) for n in range(16)] == [part.memory.slot(n) for n in range(16)]
    assert saved.memory.public_key(0) == TEST_POINT
    assert saved.memory.public_key(1) is None


@pytest.mark.parametrize("number", FILES)
def test_a_file_of_each_format_keeps_loading(tmp_path: Path, number: int) -> None:
    path = tmp_path / "old.json"
    path.write_text(json.dumps(FILES[number]))
    saved = state.load(path)
    assert (saved.profile, saved.drawn) == ("atecc508a", 3)
    assert saved.memory.public_key(0) == TEST_POINT
    assert saved.memory.config.hex() == FORMAT_1["config"]
    assert saved.memory.otp == b"\xff" * 64
    assert list(saved.memory.key_valid) == [True] + [False] * 15


def test_there_is_a_file_of_each_format() -> None:
    assert sorted(FILES) == list(range(1, state.FORMAT + 1))
    assert sorted(state.UPGRADES) == list(range(1, state.FORMAT))


def test_the_file_holds_secrets_and_is_its_owners_alone(tmp_path: Path) -> None:
    path = tmp_path / "part.json"
    state.save(path, "atecc508a", private_part().memory)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [entry.name for entry in tmp_path.iterdir()] == ["part.json"]


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "part.json"
    state.save(path, "atecc508a", private_part().memory)
    before = path.read_bytes()

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ConfigError, match="No space left"):
        state.save(path, "atecc508a", Part().memory)
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["part.json"]


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"format": 99}, "format 99 is not known"),
        ({"format": None}, "format None is not known"),
        ({"otp": "00"}, "wrong size"),
        ({"config": "zz" * 128}, "damaged"),
        ({"key_valid": []}, "wrong size"),
        ({"surprise": 1}, "damaged"),
        ({"slots": "none"}, "damaged"),
    ],
)
def test_a_bad_file_is_an_error_that_names_it(tmp_path: Path, change: object, complaint: str) -> None:
    path = tmp_path / "bad.json"
    path.write_text(json.dumps(FORMAT_1 | change))  # type: ignore[operator]
    with pytest.raises(ConfigError, match=complaint) as caught:
        state.load(path)
    assert "bad.json" in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe"])
def test_a_file_of_something_else_is_an_error(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "bad.json"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"bad\.json"):
        state.load(path)


def test_an_absent_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        state.load(tmp_path / "none.json")


def test_the_owner_is_told_of_each_change() -> None:
    told: list[tuple[bool, int]] = []
    part = Part(persist=lambda memory, drawn: told.append((memory.config_locked, drawn)))
    part.start()
    part.transact(0x30)
    assert told == []
    part.write(b"\x03" + Command(0x17, 0x80).encode())
    assert told == []
    part.time = part.chip.busy_until
    part.chip.settle()
    assert told == [(True, 0)]


def test_a_later_process_does_not_repeat_random_numbers() -> None:
    first = Part().locked()
    drawn = [first.send(0x1B) for _ in range(3)]
    later = Part(drawn=3).locked()
    assert later.send(0x1B) not in drawn
    assert Part().locked().send(0x1B) == drawn[0]


def test_a_snapshot_goes_back_to_the_same_part() -> None:
    part = private_part().start()
    part.transact(0x16, 3, 0, DIGEST)
    part.write(b"\x03" + Command(0x24, 1).encode())
    part.time += 1_000
    snapshot = part.chip.snapshot()
    part.time += 50_000
    expected_random = part.send(0x1B)
    part.send(0x40, 4, 0)
    part.send(0x17, 0x81)
    part.chip.power_off()
    part.time += 7_000_000
    part.chip.restore(snapshot)
    assert part.read(1) is None, "the command is still running"
    part.time += 4_000
    assert part.read(7) == bytes.fromhex("0701000000") + part.chip.log[1].response[5:]
    assert part.memory.counter(0) == 1
    assert not part.memory.data_locked
    assert part.send(0x40, 0, 0) == TEST_POINT
    assert part.send(0x1B) == expected_random


def test_a_snapshot_is_not_touched_by_what_follows() -> None:
    part = private_part()
    part.nonce(DIGEST)
    snapshot = part.chip.snapshot()
    for _ in range(2):
        part.chip.restore(snapshot)
        assert part.temp == DIGEST
        part.nonce(bytes(32))
        part.send(0x40, 4, 0)
    part.chip.restore(snapshot)
    assert part.send(0x40, 0, 0) == TEST_POINT
    assert TEST_SCALAR.hex() not in repr(snapshot)


def test_a_thousand_parts_fit_into_one_process() -> None:
    profile = load_profile("atecc608b")
    chips = [Chip(profile, Part("atecc608b").memory, now=lambda: 0) for _ in range(1000)]
    group = Command(0x30).encode()
    assert {chip.execute(group) for chip in chips} == {bytes.fromhex("070000600383bb")}
    assert chips[0].memory.serial == SERIAL
