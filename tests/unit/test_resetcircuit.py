"""The auto-reset circuit, and the trap of lines that change one after the other."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from hil.clock import World
from hil.emulator.resetcircuit import RC_US, ResetCircuit

if TYPE_CHECKING:
    from collections.abc import Iterator

POLL_US = 50_000
"""How long pyserial's rfc2217 client takes for each line."""


@pytest.fixture
def world() -> Iterator[World]:
    with World() as world:
        yield world


class Chip:
    """Looks at IO0 when EN has risen."""

    def __init__(self, world: World, rc_us: int = RC_US) -> None:
        self.events: list[str] = []
        self.circuit = ResetCircuit(world, self.reset, rc_us=rc_us)

    def reset(self, low: bool) -> None:
        strapped = "loader" if self.circuit.io0_low else "application"
        self.events.append("reset" if low else strapped)


@pytest.mark.parametrize(
    ("dtr", "rts", "in_reset", "io0_low"),
    [
        (False, False, False, False),
        (True, True, False, False),
        (False, True, True, False),
        (True, False, False, True),
    ],
)
def test_truth_table(world: World, dtr: bool, rts: bool, in_reset: bool, io0_low: bool) -> None:
    chip = Chip(world)
    chip.circuit.set_lines(dtr, rts)
    assert (chip.circuit.in_reset, chip.circuit.io0_low) == (in_reset, io0_low)


def test_opening_and_closing_a_port_resets_nothing(world: World) -> None:
    """Linux raises both lines at once and drops them at once; pyserial sets them one by one."""
    chip = Chip(world)
    for lines in ((True, True), (False, False), (True, False), (True, True), (False, False)):
        chip.circuit.set_lines(*lines)
        world.run_for(1_000_000)
    assert chip.events == []


def test_a_pulse_on_rts_restarts_the_application(world: World) -> None:
    chip = Chip(world)
    chip.circuit.set_lines(False, True)
    world.run_for(100_000)
    chip.circuit.set_lines(False, False)
    world.run_for(RC_US - 1)
    assert chip.events == ["reset"], "EN is still rising"
    world.run_for(1)
    assert chip.events == ["reset", "application"]


def over_the_network(world: World, rc_us: int) -> list[str]:
    """esptool's ClassicReset through an rfc2217 client: reset, then the strap, line by line."""
    chip = Chip(world, rc_us)
    lines = chip.circuit.set_lines
    for dtr, rts, us in (
        (False, False, POLL_US),
        (False, True, POLL_US + 100_000),
        (True, True, POLL_US),  # on the way to (1, 0)
        (True, False, POLL_US + 50_000),
        (False, False, POLL_US),
    ):
        lines(dtr, rts)
        world.run_for(us)
    world.run_for(1_000_000)
    return chip.events


def test_the_capacitor_bridges_the_moment_when_both_lines_are_asserted(world: World) -> None:
    assert over_the_network(world, RC_US) == ["reset", "loader"]


def test_60_ms_suffice(world: World) -> None:
    assert over_the_network(world, 60_000) == ["reset", "loader"]


@pytest.mark.parametrize("rc_us", [0, 20_000])
def test_without_enough_capacitor_the_application_starts(world: World, rc_us: int) -> None:
    """The trap: at (1, 1) nobody pulls EN and nobody pulls IO0."""
    assert over_the_network(world, rc_us) == ["reset", "application"]


def test_a_second_reset_while_en_rises_starts_the_wait_again(world: World) -> None:
    chip = Chip(world)
    chip.circuit.set_lines(False, True)
    chip.circuit.set_lines(False, False)
    world.run_for(RC_US // 2)
    chip.circuit.set_lines(False, True)
    world.run_for(RC_US)
    assert chip.events == ["reset"], "the chip is held in reset"
    chip.circuit.set_lines(False, False)
    world.run_for(RC_US)
    assert chip.events == ["reset", "application"]
