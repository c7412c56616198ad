from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from hil import serialport
from hil.clock import World
from hil.emulator.relay import EmulatedLcus
from hil.emulator.uart import Uart
from hil.errors import ConfigError, RelayError
from hil.power import Power, RelaySettings, State, open_relay

if TYPE_CHECKING:
    from collections.abc import Iterator

URL = "emu://power-test/relay"


class FakeRelay:
    name = "test relay"

    def __init__(self, world: World) -> None:
        self.world = world
        self.calls: list[tuple[int, str]] = []
        self.says = State.UNKNOWN
        self.broken = False

    def on(self) -> None:
        self._did("on")

    def off(self) -> None:
        self._did("off")

    def readback(self) -> State:
        return self.says

    def close(self) -> None:
        self._did("close")

    def _did(self, what: str) -> None:
        self.calls.append((self.world.now, what))
        if self.broken and what != "close":
            raise RelayError("test relay is broken")


@pytest.fixture
def world() -> Iterator[World]:
    with World() as world:
        yield world


@pytest.fixture
def relay(world: World) -> FakeRelay:
    return FakeRelay(world)


def test_switching_on_waits_for_the_minimum_off_time_and_settles(world: World, relay: FakeRelay) -> None:
    power = Power(relay, world, settle_us=20_000, min_off_us=2_000_000)
    power.off()
    power.on()
    assert relay.calls == [(0, "off"), (2_000_000, "on")]
    assert world.now == 2_020_000


def test_a_longer_pause_counts_towards_the_minimum(world: World, relay: FakeRelay) -> None:
    power = Power(relay, world, min_off_us=2_000_000)
    power.off()
    world.sleep(5_000_000)
    power.on()
    assert relay.calls[-1] == (5_020_000, "on")


def test_off_twice_does_not_restart_the_minimum(world: World, relay: FakeRelay) -> None:
    power = Power(relay, world, settle_us=0, min_off_us=1_000_000)
    power.off()
    world.sleep(900_000)
    power.off()
    power.on()
    assert relay.calls[-1] == (1_000_000, "on")


def test_cycles_are_counted_when_power_comes(world: World, relay: FakeRelay) -> None:
    counts: list[int] = []
    power = Power(relay, world, on_cycle=counts.append)
    power.on()
    power.on()
    power.cycle()
    power.cycle()
    assert counts == [1, 2, 3]
    assert power.cycles == 3


def test_the_state_is_the_relays_word_or_what_it_was_told(world: World, relay: FakeRelay) -> None:
    power = Power(relay, world)
    states = [power.state]
    power.on()
    states.append(power.state)
    relay.says = State.OFF
    states.append(power.state)
    assert states == [State.UNKNOWN, State.ON, State.OFF]


@pytest.mark.parametrize("wanted", ["on", "off"])
def test_a_relay_that_says_otherwise_is_an_error(world: World, relay: FakeRelay, wanted: str) -> None:
    power = Power(relay, world)
    relay.says = State.OFF if wanted == "on" else State.ON
    with pytest.raises(RelayError, match=f"was switched {wanted}"):
        getattr(power, wanted)()
    assert power.commanded is State.UNKNOWN


@pytest.mark.parametrize("safe", ["off", "on"])
def test_closing_leaves_the_safe_state_once(world: World, relay: FakeRelay, safe: str) -> None:
    with Power(relay, world, safe_state="on" if safe == "on" else "off", min_off_us=0) as power:
        power.cycle()
    power.close()
    assert [what for _, what in relay.calls] == ["off", "on", safe, "close"]


def test_an_exception_in_the_middle_still_cuts_the_power(world: World, relay: FakeRelay) -> None:
    def run() -> None:
        with Power(relay, world) as power:
            power.on()
            raise KeyError

    with pytest.raises(KeyError):
        run()
    assert [what for _, what in relay.calls] == ["on", "off", "close"]


def test_the_port_is_closed_even_if_the_relay_fails_at_the_end(world: World, relay: FakeRelay) -> None:
    power = Power(relay, world)
    relay.broken = True
    with pytest.raises(RelayError):
        power.close()
    assert relay.calls[-1][1] == "close"


# -- LCUS over its wire -------------------------------------------------------------------------


@pytest.fixture
def uart(world: World) -> Iterator[Uart]:
    uart = Uart(world, "relay", 9600)
    serialport.register("power-test", "relay", uart)
    yield uart
    serialport.unregister("power-test")


def test_an_lcus_relay_switches_its_emulated_twin(world: World, uart: Uart) -> None:
    twin = EmulatedLcus(uart, channels=2)
    relay = open_relay(RelaySettings(kind="lcus", port=URL, channel=2, has_status=True), world)
    with Power(relay, world) as power:
        power.on()
        assert [contact.closed for contact in twin.contacts] == [False, True]
        assert power.state.value == "on"
        power.off()
        assert power.state.value == "off"
        power.on()
    assert not twin.contacts[1].closed
    assert relay.name == f"LCUS relay on {URL}, channel 2"


def test_a_single_lcus_has_no_readback_and_costs_no_time(world: World, uart: Uart) -> None:
    EmulatedLcus(uart)
    relay = open_relay(RelaySettings(kind="lcus", port=URL), world)
    relay.on()
    assert relay.readback() is State.UNKNOWN
    assert world.now == 0


def test_a_board_that_does_not_answer_its_status_request_is_unknown(world: World, uart: Uart) -> None:
    relay = open_relay(RelaySettings(kind="lcus", port=URL, has_status=True), world)
    assert relay.readback() is State.UNKNOWN
    assert world.now == 500_000


def test_a_relay_that_is_stuck_off_and_says_so_is_a_relay_error(world: World, uart: Uart) -> None:
    twin = EmulatedLcus(uart, channels=2)
    twin.contacts[0].stuck_off = True
    power = Power(open_relay(RelaySettings(kind="lcus", port=URL, has_status=True), world), world)
    with pytest.raises(RelayError, match="was switched on and says that it is off"):
        power.on()


def test_an_unknown_kind_names_the_known_ones(world: World) -> None:
    with pytest.raises(ConfigError, match=r"kinds: .*lcus"):
        open_relay(RelaySettings(kind="lucs"), world)
