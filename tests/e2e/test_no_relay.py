"""A rig without a relay: the board is reset instead of being powered anew, and every board test runs."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from hil import rigfile, serialport
from hil.board.bootlog import ResetKind
from hil.bringup import doctor
from hil.clock import Calendar, World
from hil.emulator.uart import Uart
from hil.records.header import new_run
from hil.rig.opening import open_rig, unopened_rig
from hil.rig.reset import board_port
from hil.rigfile import Power, capabilities

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from hil.rig.rig import Rig
    from hil.rigfile import RigFile

ESP8266, EDUKIT = "emulated-esp8266-atecc508a", "emulated-edukit-trustgo"


def plugged(name: str) -> RigFile:
    return replace(rigfile.load_rig(name), power=Power())


@contextmanager
def opened(name: str, folder: Path, faults: Sequence[str] = ()) -> Iterator[Rig]:
    calendar = Calendar()
    with new_run(folder, calendar) as journal:
        rig = open_rig(
            plugged(name), faults=faults, allow_irreversible=frozenset(), journal=journal, calendar=calendar
        )
        try:
            yield rig
        finally:
            rig.close()


@contextmanager
def without_transistors(name: str, folder: Path) -> Iterator[Rig]:
    """The ports are open, nothing was started, and RTS does not reach the chip."""
    calendar = Calendar()
    with (
        new_run(folder, calendar) as journal,
        unopened_rig(
            plugged(name), faults=(), allow_irreversible=frozenset(), journal=journal, calendar=calendar
        ) as rig,
    ):
        assert rig.emulated is not None
        rig.emulated.board.uart.on_lines = lambda dtr, rts: None
        rig.open_power()
        rig.open_board()
        rig.open_bus()
        yield rig


def test_the_reset_line_starts_the_board(tmp_path: Path) -> None:
    with opened(ESP8266, tmp_path) as rig:
        assert rig.boot is not None, rig.diagnose_silence()
        assert rig.boot.reset.kind is ResetKind.EXTERNAL
        assert rig.booted_board().i2c_scan() == [96]
        assert not rig.unexpected_boots
        assert "power" not in capabilities(rig.file)


def test_a_part_is_exchanged_by_pulling_the_plug(tmp_path: Path) -> None:
    with opened(ESP8266, tmp_path) as rig:
        first = rig.element.serial_number()
        assert rig.element_in("config-locked", own=True).lock_state().config
        assert rig.element.serial_number() != first
        assert rig.boot is not None
        assert rig.boot.reset.may_be_power_on


def test_a_board_with_a_console_is_reset_too(tmp_path: Path) -> None:
    with opened(EDUKIT, tmp_path) as rig:
        assert rig.boot is not None, rig.diagnose_silence()
        assert rig.esp_idf_board().chip_info().serial.hex() == rig.file.element.serial


def test_mongoose_os_is_asked_where_no_line_resets_it(tmp_path: Path) -> None:
    with without_transistors(ESP8266, tmp_path) as rig:
        rig.start_again()
        assert rig.boot is not None, rig.diagnose_silence()
        assert rig.boot.reset.kind is ResetKind.SOFTWARE
        assert rig.booted_board().i2c_scan() == [96]


def test_a_console_that_nothing_resets_is_used_as_it_was_found(tmp_path: Path) -> None:
    with opened(EDUKIT, tmp_path) as rig:
        assert rig.emulated is not None
        rig.emulated.board.uart.on_lines = lambda dtr, rts: None
        rig.start_again()
        assert (rig.boot, rig.running) == (None, True)
        assert rig.esp_idf_board().chip_info().serial.hex() == rig.file.element.serial


def test_a_console_that_gave_up_before_anybody_came_blocks(tmp_path: Path) -> None:
    """Newer firmware waits a second for its first word; only a reset brings it back."""
    with (
        without_transistors(EDUKIT, tmp_path) as rig,
        pytest.raises(pytest.skip.Exception, match="the board did not start"),
    ):
        rig.need_start()


@pytest.mark.parametrize("name", [ESP8266, EDUKIT])
def test_a_board_without_power_blocks_with_what_to_check(tmp_path: Path, name: str) -> None:
    with opened(name, tmp_path, ["relay-contact-open"]) as rig:
        assert not rig.running
        with pytest.raises(pytest.skip.Exception, match="was reset and stayed silent .* has it power"):
            rig.need_start()


def test_the_line_that_resets_is_the_boards_own() -> None:
    """A kit board on another port hangs on the same rig: its lines are left alone."""
    with World() as world:
        for name in ("kit", "board"):
            serialport.register("bench", name, Uart(world, name))
        try:
            kit, board = (
                serialport.open_port(f"emu://bench/{name}", clock=world) for name in ("kit", "board")
            )
        finally:
            serialport.unregister("bench")
        rig: Any = SimpleNamespace(
            file=SimpleNamespace(board=SimpleNamespace(port="emu://bench/board")), ports=[kit, board]
        )
        assert board_port(rig) is board
        rig.ports.remove(board)
        assert board_port(rig) is None


def test_bring_up_says_that_it_was_reset() -> None:
    with doctor.patient(plugged(ESP8266), Calendar()) as rig:
        found = {finding.step: finding for finding in doctor.examine(rig)}
    assert {step for step, one in found.items() if one.verdict is doctor.Verdict.SKIPPED} == {
        "relay",
        "power off",
    }
    assert "no relay: the board was reset and starts by external reset" in found["power on"].text


def test_bring_up_stops_at_a_board_without_power() -> None:
    with doctor.patient(plugged(ESP8266), Calendar(), faults=["relay-contact-open"]) as rig:
        *_, last = doctor.examine(rig)
    assert (last.step, last.verdict) == ("power on", doctor.Verdict.BROKEN)
    assert "has it power" in last.text
