"""The element of an emulated rig that a state file keeps between runs."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING, Literal

import pytest

from hil.clock import Calendar
from hil.emulator.builder import build
from hil.emulator.chip import state
from hil.errors import ConfigError
from hil.rigfile import load_rig
from hil.wire.atecc import Command, decode_response

if TYPE_CHECKING:
    from pathlib import Path

    from hil.emulator.builder import EmulatedRig
    from hil.rigfile import RigFile


def rig_file(
    folder: Path,
    rig: str = "emulated-esp8266-atecc508a",
    element: Literal["blank", "mongoose-configured"] = "blank",
) -> RigFile:
    file = load_rig(rig)
    assert file.emulation is not None
    changed = dataclasses.replace(file.emulation, state_file="part.json", element=element)
    return dataclasses.replace(file, emulation=changed, path=folder / "bench.yaml")


def opened(file: RigFile) -> EmulatedRig:
    return build(file, faults=(), calendar=Calendar(0))


def send(rig: EmulatedRig, opcode: int, p1: int = 0, p2: int = 0, data: bytes = b"") -> bytes:
    return decode_response(rig.element.chip.execute(Command(opcode, p1, p2, data).encode()))


def test_what_a_run_writes_the_next_one_finds(tmp_path: Path) -> None:
    file = rig_file(tmp_path, element="mongoose-configured")
    with opened(file) as rig:
        public = send(rig, 0x40, 4, 0)
        assert send(rig, 0x12, 0x82, 4 << 3, b"k" * 32) == b"\0"
    with opened(file) as rig:
        assert send(rig, 0x40, 0, 0) == public
        assert rig.memory.slot(4)[:32] == b"k" * 32


def test_a_change_is_on_the_disk_before_the_rig_is_closed(tmp_path: Path) -> None:
    file = rig_file(tmp_path, element="mongoose-configured")
    with opened(file) as rig:
        send(rig, 0x24, 1, 0)
        saved = json.loads((tmp_path / "part.json").read_text())
        assert bytes.fromhex(saved["config"]) == rig.memory.config
        assert rig.memory.counter(0) == 1


def test_random_numbers_go_on_where_the_last_run_stopped(tmp_path: Path) -> None:
    file = rig_file(tmp_path, element="mongoose-configured")
    seen = set()
    for _ in range(3):
        with opened(file) as rig:
            seen |= {send(rig, 0x1B), send(rig, 0x1B)}
    assert len(seen) == 6


def test_a_part_that_a_test_got_for_itself_is_not_kept(tmp_path: Path) -> None:
    file = rig_file(tmp_path, element="mongoose-configured")
    with opened(file) as rig:
        own, serial = rig.memory, rig.memory.serial
        rig.insert(rig.new_memory())
        send(rig, 0x12, 0x80, 8, bytes(32))
        assert rig.memory.serial != serial
        assert state.load(tmp_path / "part.json").memory.serial == serial
        rig.insert(own)
        assert send(rig, 0x24, 1, 1) == (1).to_bytes(4, "little")
    with opened(file) as rig:
        assert (rig.memory.serial, rig.memory.counter(1)) == (serial, 1)


def test_the_file_of_another_part_is_refused_with_both_names(tmp_path: Path) -> None:
    with opened(rig_file(tmp_path)):
        pass
    with pytest.raises(ConfigError, match="atecc508a.*the rig has atecc608b"):
        opened(rig_file(tmp_path, "emulated-esp32-atecc608b"))


def test_a_damaged_file_is_refused_and_kept(tmp_path: Path) -> None:
    (tmp_path / "part.json").write_text("{")
    with pytest.raises(ConfigError, match="part.json"):
        opened(rig_file(tmp_path))
    assert (tmp_path / "part.json").read_text() == "{"
