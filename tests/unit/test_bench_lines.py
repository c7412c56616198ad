"""Wires, supply and cable of an emulated bench: what is physical about them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from hil.clock import World
from hil.emulator.benchfaults import ForeignDevice
from hil.emulator.bus import I2CMaster, Lines
from hil.emulator.chip import Chip, Memory, load_profile
from hil.emulator.chip.chip import Power
from hil.emulator.supply import HOLD_UP_US, Supplied
from hil.emulator.uart import Uart
from hil.errors import I2CError, I2CNack
from tests.unit.firmware_bench import SERIAL, bench

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def world() -> Iterator[World]:
    with World() as world:
        yield world


def master(world: World, lines: Lines, hz: int = 100_000) -> I2CMaster:
    return I2CMaster(world, lines, sda=12, scl=14, hz=hz)


# -- lines ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rise_us", "slowest_that_fails"), [(0.4, None), (0.6, 1_000_000), (2.0, 400_000), (6.0, 100_000)]
)
def test_a_slow_line_fails_from_some_speed_on(
    world: World, rise_us: float, slowest_that_fails: int | None
) -> None:
    lines = Lines(12, 14, [ForeignDevice(0x50)], rise_us=rise_us)
    for hz in (10_000, 100_000, 400_000, 1_000_000):
        bus = master(world, lines, hz)
        if slowest_that_fails is not None and hz >= slowest_that_fails:
            with pytest.raises(I2CError, match="does not rise in time"):
                bus.write(0x50, b"")
        else:
            bus.write(0x50, b"")


@pytest.mark.parametrize(("clocks", "free"), [(1, True), (16, True), (17, False)])
def test_clock_pulses_free_a_line_that_a_part_holds(world: World, clocks: int, free: bool) -> None:
    lines = Lines(12, 14, [ForeignDevice(0x50)], stuck_clocks=clocks)
    bus = master(world, lines)
    with pytest.raises(I2CError, match="SDA is low"):
        bus.write(0x50, b"")
    bus.recover()
    assert lines.sda_is_low is not free
    bus.recover()
    bus.write(0x50, b"")


def test_a_short_is_not_freed_by_clocks_and_not_seen_on_other_pins(world: World) -> None:
    lines = Lines(12, 14, [ForeignDevice(0x50)], held_low=True)
    bus = master(world, lines)
    bus.recover()
    with pytest.raises(I2CError, match="SDA is low"):
        bus.write(0x50, b"")
    elsewhere = I2CMaster(world, lines, sda=4, scl=5)
    with pytest.raises(I2CNack):
        elsewhere.write(0x50, b"")


def test_the_firmware_frees_the_bus_at_its_start(world: World) -> None:
    board = bench(world)
    board.lines.stuck_clocks = 9
    board.on()
    assert board.call("I2C.Scan") == [0x60]


def test_lines_too_slow_for_the_speed_look_like_a_part_at_every_address(world: World) -> None:
    board = bench(world, settings={"i2c.enable": True, "i2c.freq": 400_000})
    board.lines.rise_us = 2.0
    board.on()
    assert board.call("I2C.Scan") == list(range(1, 0x78))
    assert board.call("I2C.Read", {"addr": 0x60, "len": 3}) == {"data_hex": "7fffff"}


def test_a_foreign_device_answers_for_itself_only(world: World) -> None:
    board = bench(world)
    board.lines.devices.append(ForeignDevice(0x50))
    board.on()
    assert board.call("I2C.Scan") == [0x50, 0x60]
    assert board.call("I2C.Read", {"addr": 0x50, "len": 2}) == {"data_hex": "ffff"}


# -- supply --------------------------------------------------------------------------------------


def supplied(world: World) -> Supplied:
    profile = load_profile("atecc508a")
    return Supplied(Chip(profile, Memory.blank(profile, SERIAL), now=lambda: world.now), world)


@pytest.mark.parametrize(("off_us", "survives"), [(HOLD_UP_US - 1, True), (HOLD_UP_US + 1, False)])
def test_the_rail_holds_for_a_moment(world: World, off_us: int, survives: bool) -> None:
    part = supplied(world)
    part.power(True)
    part.chip._enter_idle()  # as after an idle command: RAM is kept
    part.power(False)
    assert not part.powered
    world.run_for(off_us)
    part.power(True)
    world.run_for(10 * HOLD_UP_US)
    assert (part.chip._power is Power.IDLE) is survives


def test_a_part_that_is_fed_by_its_signals_never_loses_its_power(world: World) -> None:
    part = supplied(world)
    part.fed_by_signals = True
    part.power(True)
    part.chip._enter_idle()
    part.power(False)
    world.run_for(1_000_000)
    assert part.chip._power is Power.IDLE


def test_a_new_part_comes_without_power(world: World) -> None:
    part, other = supplied(world), supplied(world)
    part.power(True)
    part.power(False)
    part.chip = other.chip
    assert part.chip._power is Power.OFF


@pytest.mark.parametrize(("off_us", "cause"), [(5_000, "hw wdt"), (50_000, "power on")])
def test_the_board_remembers_a_short_interruption_as_a_dip(world: World, off_us: int, cause: str) -> None:
    board = bench(world)
    board.on()
    board.off()
    board.run(off_us)
    board.text.clear()
    board.on()
    assert f"({cause})" in next(m for m in board.messages() if m.startswith("Reset cause"))


def test_an_esp32_names_its_brown_out(world: World) -> None:
    board = bench(world, arch="esp32", costs="esp32-240mhz")
    board.on()
    board.off()
    board.on()
    assert board.logged("rst:0xf (RTCWDT_BROWN_OUT_RESET)")


# -- cable ---------------------------------------------------------------------------------------


def test_a_wrong_crystal_makes_every_rate_wrong(world: World) -> None:
    uart = Uart(world, "test")
    uart.skew = 26 / 40
    uart.send(b"hello")
    start = world.now
    world.run_until(lambda: bool(uart.received), 1_000_000)
    assert uart.received != b"hello"
    assert world.now - start == 5 * 10 * 1_000_000 // 74_880
    uart.received.clear()
    uart.host_baud = 74_880
    uart.send(b"hello")
    world.run_for(10_000)
    assert uart.received == b"hello"


def test_noise_hits_both_directions(world: World) -> None:
    uart, heard = Uart(world, "test"), bytearray()
    uart.on_bytes = heard.extend
    uart.noise = lambda data: data.replace(b"e", b"?")
    uart.send(b"hello")
    uart.host_write(b"there")
    world.run_for(10_000)
    assert (bytes(uart.received), bytes(heard)) == (b"h?llo", b"th?r?")
