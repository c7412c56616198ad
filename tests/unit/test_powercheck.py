from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from hil import serialport
from hil.board.mongoose import MongooseBoard
from hil.board.powercheck import PowerVerdict, verify_off, verify_on
from hil.clock import World
from hil.emulator.relay import EmulatedLcus
from hil.emulator.uart import Uart
from hil.power import Power, RelaySettings, open_relay

if TYPE_CHECKING:
    from collections.abc import Iterator

ROM = b"ets Jul 29 2019 12:21:46\nrst:0x%x (%s),boot:0x13 (SPI_FAST_FLASH_BOOT)\n"
BANNER = b"Mongoose OS 2.20.0 (x)\nmgos_init:36            Init done, RAM: 1\n"
POWER_ON = ROM % (1, b"POWERON_RESET") + BANNER


class Bench:
    """A relay and a board of which only the console exists."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.log = POWER_ON
        self.chatters = False
        board_line, relay_line = Uart(world, "board"), Uart(world, "relay", 9600)
        serialport.register("check", "board", board_line)
        serialport.register("check", "relay", relay_line)
        self.uart = board_line
        self.twin = EmulatedLcus(relay_line, channels=2, on_switch=self.switched)
        settings = RelaySettings(kind="lcus", port="emu://check/relay", channels=2)
        self.power = Power(open_relay(settings, world), world)
        self.board = MongooseBoard(serialport.open_port("emu://check/board", clock=world))

    def switched(self, closed: bool) -> None:
        if closed:
            self.uart.send(self.log)
        elif self.chatters:
            self.world.after(100_000, lambda: self.uart.send(b"noise\n"), "ghost")


@pytest.fixture
def bench() -> Iterator[Bench]:
    with World() as world:
        yield Bench(world)
    serialport.unregister("check")


def test_a_good_board_is_verified_on_and_off(bench: Bench) -> None:
    on = verify_on(bench.power, bench.board, timeout_us=5_000_000)
    assert on.ok, on.text
    assert on.boot is bench.board.boots[-1]
    off = verify_off(bench.power, bench.board.console, signs={"the element": lambda: False})
    assert off.ok, off.text


def test_a_dead_contact_is_no_power(bench: Bench) -> None:
    bench.twin.contacts[0].contact_open = True
    finding = verify_on(bench.power, bench.board, timeout_us=5_000_000)
    assert finding.verdict is PowerVerdict.NO_POWER
    assert "no start came: the console stayed silent" in finding.text


def test_a_relay_that_refuses_is_no_power(bench: Bench) -> None:
    bench.twin.contacts[0].stuck_off = True
    finding = verify_on(bench.power, bench.board, timeout_us=5_000_000)
    assert finding.verdict is PowerVerdict.NO_POWER
    assert "says that it is off" in finding.text


def test_a_start_with_another_cause_is_no_power_on(bench: Bench) -> None:
    bench.log = ROM % (15, b"RTCWDT_BROWN_OUT_RESET") + BANNER
    finding = verify_on(bench.power, bench.board, timeout_us=5_000_000)
    assert finding.verdict is PowerVerdict.NOT_A_POWER_ON
    assert "brown-out" in finding.text


def test_a_running_firmware_without_power_hangs_on_another_supply(bench: Bench) -> None:
    signs = {"the firmware": lambda: True, "the element": lambda: True}
    finding = verify_off(bench.power, bench.board.console, signs=signs, running="the firmware")
    assert finding.verdict is PowerVerdict.STILL_RUNNING
    assert "normally-closed" in finding.text


@pytest.mark.parametrize("element", [True, False])
def test_noise_or_an_element_that_answers_alone_is_ghost_power(bench: Bench, element: bool) -> None:
    bench.chatters = not element
    bench.power.on()
    bench.board.console.listen(1_000_000)
    signs = {"the firmware": lambda: False, "the element": lambda: element}
    finding = verify_off(bench.power, bench.board.console, signs=signs, running="the firmware")
    assert finding.verdict is PowerVerdict.GHOST_POWER
    assert ("the element answers" if element else "6 bytes on the console") in finding.text
