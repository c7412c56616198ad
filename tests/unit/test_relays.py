from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hil.clock import World
from hil.emulator.relay import OPERATE_US, RELEASE_US, Contact, EmulatedLcus
from hil.emulator.uart import Uart
from hil.wire.relays import (
    LcusReceiver,
    StatusRequest,
    Switch,
    lcus_command,
    lcus_status,
    parse_lcus_status,
)

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def world() -> Iterator[World]:
    with World() as world:
        yield world


@pytest.mark.parametrize(
    ("channel", "on", "packet"),
    [(1, True, "a00101a2"), (1, False, "a00100a1"), (2, True, "a00201a3")],
)
def test_lcus_commands_are_the_product_pages(channel: int, on: bool, packet: str) -> None:
    assert lcus_command(channel, on).hex() == packet
    assert LcusReceiver().feed(bytes.fromhex(packet)) == [Switch(channel, on)]


@given(
    st.lists(st.tuples(st.integers(1, 8), st.booleans()), max_size=6),
    st.lists(st.integers(0, 40), max_size=6),
)
def test_lcus_commands_survive_chopping(commands: list[tuple[int, bool]], places: list[int]) -> None:
    stream = b"".join(lcus_command(channel, on) for channel, on in commands)
    bounds = sorted({0, len(stream), *(place for place in places if place < len(stream))})
    receiver = LcusReceiver()
    found = [e for a, b in pairwise(bounds) for e in receiver.feed(stream[a:b])]
    assert found == [Switch(channel, on) for channel, on in commands]


def test_a_wrong_sum_is_dropped_and_the_next_command_is_found() -> None:
    receiver = LcusReceiver()
    assert receiver.feed(bytes.fromhex("a00101a3") + lcus_command(1, False)) == [Switch(1, False)]
    assert receiver.feed(b"junk\xff") == [StatusRequest()]


@pytest.mark.parametrize(
    ("answer", "channel", "state"),
    [
        (b"CH1: ON\r\nCH2: OFF\r\n", 1, True),
        (b"CH1: ON\r\nCH2: OFF\r\n", 2, False),
        (b"ch1:off\r\n", 1, False),
        (b"CH1: ON\r\n", 3, None),
        (b"\x01\x00", 1, True),
        (b"\x01\x00", 2, False),
        (b"\x01\x00", 3, None),
        (b"", 1, None),
        (b"noise", 1, None),
    ],
)
def test_status_answers_of_both_known_forms_are_read(answer: bytes, channel: int, state: bool | None) -> None:
    assert parse_lcus_status(answer, channel) is state


def test_what_the_relay_says_is_what_the_host_reads() -> None:
    assert [parse_lcus_status(lcus_status([True, False, True]), n) for n in (1, 2, 3)] == [True, False, True]


# -- the emulated relay -------------------------------------------------------------------------


def test_the_contact_follows_its_coil_after_its_time(world: World) -> None:
    moves: list[tuple[int, bool]] = []
    contact = Contact(world, lambda closed: moves.append((world.now, closed)))
    contact.drive(True)
    world.run_for(100_000)
    contact.drive(False)
    world.run_for(100_000)
    assert moves == [(OPERATE_US, True), (100_000 + RELEASE_US, False)]


def test_a_pulse_shorter_than_the_armature_moves_nothing(world: World) -> None:
    moves: list[bool] = []
    contact = Contact(world, moves.append)
    contact.drive(True)
    world.run_for(OPERATE_US // 2)
    contact.drive(False)
    world.run_for(100_000)
    assert moves == []
    assert not contact.closed


@pytest.mark.parametrize(
    ("fault", "after_on", "after_off", "driven"),
    [
        ("stuck_off", False, False, False),
        ("contact_open", False, False, True),
        ("stuck_on", True, True, True),
    ],
)
def test_faults_of_the_contact(
    world: World, fault: str, after_on: bool, after_off: bool, driven: bool
) -> None:
    contact = Contact(world)
    setattr(contact, fault, True)
    contact.drive(True)
    world.run_for(100_000)
    assert (contact.closed, contact.driven) == (after_on, driven)
    contact.drive(False)
    world.run_for(100_000)
    assert (contact.closed, contact.driven) == (after_off, False)
    setattr(contact, fault, False)
    world.run_for(100_000)
    contact.drive(True)
    world.run_for(100_000)
    assert contact.closed


def test_a_weld_conducts_without_any_command(world: World) -> None:
    moves: list[bool] = []
    contact = Contact(world, moves.append)
    contact.stuck_on = True
    world.run_for(100_000)
    assert moves == [True]


def test_an_emulated_lcus_switches_by_its_own_protocol(world: World) -> None:
    uart = Uart(world, "relay", 9600)
    moves: list[bool] = []
    board = EmulatedLcus(uart, channels=2, on_switch=moves.append)
    uart.host_write(lcus_command(1, True) + lcus_command(7, True) + b"\xff")
    world.run_for(100_000)
    assert moves == [True]
    assert [contact.closed for contact in board.contacts] == [True, False]
    assert bytes(uart.received) == b"CH1: ON\r\nCH2: OFF\r\n"


def test_a_single_channel_lcus_answers_nothing(world: World) -> None:
    uart = Uart(world, "relay", 9600)
    EmulatedLcus(uart)
    uart.host_write(lcus_command(1, True) + b"\xff")
    world.run_for(100_000)
    assert uart.received == b""
