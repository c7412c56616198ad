"""Every relay driver against its emulated twin, over an emulated line."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from hil import serialport
from hil.clock import World
from hil.emulator.httprelays import EmulatedShellyGen2, EmulatedTasmota
from hil.emulator.relaykinds import EMULATED_RELAYS
from hil.emulator.serialrelays import EmulatedModbus
from hil.emulator.uart import Uart
from hil.errors import ConfigError, PortError, RelayError, UsageError
from hil.power import Power, RelaySettings, State, open_relay
from hil.power.httpclient import HttpClient, Login
from hil.power.registry import KINDS
from hil.wire.http import encode_response

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from hil.power.relay import Relay

URL = "emu://driver-test/relay"
TWINS = sorted(EMULATED_RELAYS)


@pytest.fixture
def world() -> Iterator[World]:
    with World() as world:
        yield world


@pytest.fixture
def uart(world: World) -> Iterator[Uart]:
    uart = Uart(world, "relay")
    serialport.register("driver-test", "relay", uart)
    yield uart
    serialport.unregister("driver-test")


def opened(kind: str, world: World, **more: object) -> Relay:
    settings = {"kind": kind, "port": URL, "channels": 4, "channel": 2, **more}
    return open_relay(RelaySettings(**settings), world)  # type: ignore[arg-type]  # as the rig file has it


@pytest.mark.parametrize("kind", TWINS)
def test_a_driver_switches_its_twin_and_reads_it_back(kind: str, world: World, uart: Uart) -> None:
    twin = EMULATED_RELAYS[kind](uart, channels=4)
    with Power(opened(kind, world), world) as power:
        power.off()
        assert power.relay.readback() is State.OFF
        power.on()
        assert [contact.closed for contact in twin.contacts] == [False, True, False, False]
        assert power.relay.readback() is State.ON
        power.cycle()
        assert twin.contacts[1].closed
    assert not any(contact.closed for contact in twin.contacts)


@pytest.mark.parametrize("kind", TWINS)
def test_a_driver_that_is_stuck_off_says_so(kind: str, world: World, uart: Uart) -> None:
    twin = EMULATED_RELAYS[kind](uart, channels=4)
    twin.contacts[1].stuck_off = True
    power = Power(opened(kind, world), world)
    with pytest.raises(RelayError):
        power.on()


@pytest.mark.parametrize("kind", TWINS)
def test_a_readback_knows_nothing_of_the_contact(kind: str, world: World, uart: Uart) -> None:
    twin = EMULATED_RELAYS[kind](uart, channels=4)
    twin.contacts[1].contact_open = True
    power = Power(opened(kind, world), world)
    power.on()
    assert power.state is State.ON
    assert not twin.contacts[1].closed


@pytest.mark.parametrize("kind", TWINS)
def test_opening_and_closing_switches_nothing(kind: str, world: World, uart: Uart) -> None:
    twin = EMULATED_RELAYS[kind](uart, channels=4)
    relay = opened(kind, world)
    relay.on()
    world.run_for(100_000)
    relay.close()
    opened(kind, world).close()
    world.run_for(100_000)
    assert twin.contacts[1].closed


@pytest.mark.parametrize("kind", TWINS)
def test_names_tell_port_and_channel(kind: str, world: World, uart: Uart) -> None:
    assert URL in opened(kind, world).name
    assert "channel 2" in opened(kind, world).name


@pytest.mark.parametrize("kind", ["numato", "modbus", "shelly-gen1", "shelly-gen2", "tasmota"])
def test_a_silent_relay_that_should_answer_is_an_error_in_time(kind: str, world: World, uart: Uart) -> None:
    with pytest.raises(RelayError):
        opened(kind, world).on()
    assert world.now <= 3_000_000


@pytest.mark.parametrize("kind", ["lcus", "kmtronic", "devantech"])
def test_a_silent_relay_without_acknowledge_has_an_unknown_state(kind: str, world: World, uart: Uart) -> None:
    relay = opened(kind, world)
    relay.on()
    assert relay.readback() is State.UNKNOWN
    assert world.now <= 1_000_000


@pytest.mark.parametrize("kind", ["modbus", "shelly-gen1", "shelly-gen2", "tasmota"])
def test_a_channel_that_the_board_does_not_have_is_an_error(kind: str, world: World, uart: Uart) -> None:
    EMULATED_RELAYS[kind](uart, channels=1)
    with pytest.raises(RelayError):
        opened(kind, world, channel=9).on()


def test_every_kind_with_a_wire_has_a_twin() -> None:
    assert set(KINDS) - set(TWINS) == {"command", "gpio", "hid-dcttech", "hid-lcus"}


# -- Modbus -------------------------------------------------------------------------------------


def test_another_modbus_address_gets_no_answer(world: World, uart: Uart) -> None:
    twin = EmulatedModbus(uart, channels=4, address=7)
    with pytest.raises(RelayError, match="checksum or length"):
        opened("modbus", world).on()
    opened("modbus", world, address=7).on()
    assert twin.contacts[1].driven


def test_a_damaged_modbus_reply_is_a_relay_error(world: World, uart: Uart) -> None:
    uart.on_bytes = lambda data: uart.send(data[:-1] + b"\0")
    with pytest.raises(RelayError, match="checksum"):
        opened("modbus", world).on()


# -- HTTP ---------------------------------------------------------------------------------------


def test_a_shelly_with_a_password_wants_the_right_one(world: World, uart: Uart) -> None:
    twin = EmulatedShellyGen2(uart, channels=2, password="test-password")
    with pytest.raises(RelayError, match="refuses the login"):
        opened("shelly-gen2", world).on()
    with pytest.raises(RelayError, match="refuses the login"):
        opened("shelly-gen2", world, password="test-wrong").on()
    opened("shelly-gen2", world, password="test-password").on()
    assert twin.contacts[1].driven


def test_a_tasmota_with_a_password_wants_it(world: World, uart: Uart) -> None:
    twin = EmulatedTasmota(uart, channels=2, password="test-password")
    with pytest.raises(RelayError) as caught:
        opened("tasmota", world, password="test-wrong").on()
    assert "test-wrong" not in str(caught.value)
    opened("tasmota", world, password="test-password").on()
    assert twin.contacts[1].driven


def test_a_tasmota_with_one_output_leaves_the_number_out(world: World, uart: Uart) -> None:
    twin = EmulatedTasmota(uart, channels=1)
    relay = opened("tasmota", world, channel=1)
    relay.on()
    assert relay.readback() is State.ON
    assert twin.contacts[0].driven


def test_basic_login_is_sent_when_asked_for(world: World, uart: Uart) -> None:
    seen: list[bytes] = []

    def answer(data: bytes) -> None:
        seen.append(data)
        if b"Authorization: Basic dXNlcjp0ZXN0\r\n" in data:
            uart.send(encode_response(200, b'{"ison":true}'))
        else:
            uart.send(encode_response(401, headers={"WWW-Authenticate": 'Basic realm="x"'}))

    uart.on_bytes = answer
    uart.baud = 10_000_000
    assert opened("shelly-gen1", world, user="user", password="test").readback() is State.ON
    assert len(seen) == 2


@pytest.mark.parametrize(
    ("kind", "answer"),
    [
        ("shelly-gen1", encode_response(200, b"<html>")),
        ("shelly-gen2", encode_response(200, b"<html>")),
        ("shelly-gen2", encode_response(200, b'{"id":1,"result":{"volts":1}}')),
        ("tasmota", encode_response(200, b'{"POWER2":1}')),
        ("tasmota", encode_response(404, b"")),
        ("tasmota", b"SSH-2.0-x\r\n\r\n"),
        ("tasmota", encode_response(200)[:-6] + b"99\r\n\r\nshort"),
    ],
)
def test_answers_of_something_else_are_relay_errors(
    kind: str, answer: bytes, world: World, uart: Uart
) -> None:
    uart.on_bytes = lambda data: uart.send(answer)
    uart.baud = 10_000_000
    with pytest.raises(RelayError):
        opened(kind, world).readback()


def test_a_connection_that_the_relay_closed_is_opened_again(
    world: World, uart: Uart, monkeypatch: pytest.MonkeyPatch
) -> None:
    EmulatedTasmota(uart, channels=2)
    client = HttpClient(URL, clock=world)
    assert client.get("/cm?cmnd=Power1")
    port = client._port
    assert port is not None

    def gone(data: bytes) -> None:
        raise PortError("closed")

    monkeypatch.setattr(port, "write", gone)
    assert client.get("/cm?cmnd=Power1")
    assert client._port is not port


@pytest.mark.parametrize("url", ["https://host", "host", "http://", ""])
def test_addresses_that_are_none_are_refused(url: str, world: World) -> None:
    with pytest.raises(UsageError):
        HttpClient(url, clock=world)


def test_passwords_are_not_shown() -> None:
    assert "test-secret" not in repr(Login("user", "test-secret"))
    assert "test-secret" not in repr(RelaySettings(kind="tasmota", password="test-secret"))


# -- command ------------------------------------------------------------------------------------


def command_settings(folder: Path, **more: str) -> RelaySettings:
    switch = f"{sys.executable} -c \"import sys; open(r'{folder}/state', 'w').write(sys.argv[1])\""
    return RelaySettings(
        kind="command",
        on_command=f"{switch} ON",
        off_command=f"{switch} OFF",
        **more,  # type: ignore[arg-type]
    )


def test_a_command_switches_and_reads_back(world: World, tmp_path: Path) -> None:
    state = f"{sys.executable} -c \"print(open(r'{tmp_path}/state').read())\""
    relay = open_relay(command_settings(tmp_path, state_command=state, on_pattern="^ON$"), world)
    relay.on()
    assert relay.readback() is State.ON
    relay.off()
    assert relay.readback() is State.OFF
    assert "relay command" in relay.name
    relay.close()


def test_a_command_without_state_is_unknown(world: World, tmp_path: Path) -> None:
    assert open_relay(command_settings(tmp_path), world).readback() is State.UNKNOWN


def test_a_failing_command_shows_its_words(world: World) -> None:
    failing = f"{sys.executable} -c \"import sys; sys.exit('no such hub')\""
    relay = open_relay(RelaySettings(kind="command", on_command=failing, off_command=failing), world)
    with pytest.raises(RelayError, match="ended with status 1: no such hub"):
        relay.on()


def test_an_absent_program_is_a_relay_error(world: World) -> None:
    relay = open_relay(RelaySettings(kind="command", on_command="no-such-program x", off_command="y"), world)
    with pytest.raises(RelayError, match="cannot run no-such-program"):
        relay.on()


@pytest.mark.parametrize(
    "more",
    [
        {"on_command": ""},
        {"on_command": "'unbalanced"},
        {"state_command": "x"},
        {"on_pattern": "x"},
        {"state_command": "x", "on_pattern": "("},
    ],
)
def test_a_command_relay_that_makes_no_sense_is_refused(more: dict[str, str], world: World) -> None:
    settings = {"on_command": "true", "off_command": "true", **more}
    with pytest.raises(ConfigError):
        open_relay(RelaySettings(kind="command", **settings), world)  # type: ignore[arg-type]


# -- GPIO and HID, against stand-ins of their libraries -----------------------------------------


class FakeLines:
    """What ``gpiod.request_lines`` returns."""

    def __init__(self) -> None:
        self.value = "inactive"
        self.settings: list[object] = []
        self.released = False

    def get_value(self, line: int) -> str:
        return self.value

    def set_value(self, line: int, value: str) -> None:
        self.value = value

    def reconfigure_lines(self, config: dict[int, object]) -> None:
        self.settings += config.values()

    def release(self) -> None:
        self.released = True


def install_gpiod(monkeypatch: pytest.MonkeyPatch, request_lines: Callable[..., object]) -> None:
    line = SimpleNamespace(
        Direction=SimpleNamespace(AS_IS="as-is", OUTPUT="output"),
        Value=SimpleNamespace(ACTIVE="active", INACTIVE="inactive"),
    )
    module = SimpleNamespace(line=line, LineSettings=lambda **fields: fields, request_lines=request_lines)
    monkeypatch.setitem(sys.modules, "gpiod", module)


def test_a_gpio_line_keeps_its_level_until_it_is_switched(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = FakeLines()
    lines.value = "active"
    install_gpiod(monkeypatch, lambda chip, consumer, config: lines)
    settings = RelaySettings(kind="gpio", port="/dev/gpiochip0", channel=17, active_low=True)
    relay = open_relay(settings, world)
    assert lines.settings == [{"direction": "output", "active_low": True, "output_value": "active"}]
    assert relay.readback() is State.ON
    relay.off()
    assert relay.readback() is State.OFF
    relay.on()
    assert lines.value == "active"
    relay.close()
    assert lines.released


def test_a_gpio_line_that_is_taken_is_a_port_error(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def busy(chip: str, consumer: str, config: object) -> object:
        raise OSError(16, "Device or resource busy")

    install_gpiod(monkeypatch, busy)
    with pytest.raises(PortError, match="GPIO 17 of /dev/gpiochip0"):
        open_relay(RelaySettings(kind="gpio", port="/dev/gpiochip0", channel=17), world)


class FakeHid:
    """What ``hid.device()`` returns."""

    def __init__(self) -> None:
        self.opened: tuple[object, ...] = ()
        self.reports: list[bytes] = []
        self.mask = 0
        self.result = 9

    def open(self, *what: object) -> None:
        self.opened = what

    def send_feature_report(self, report: bytes) -> int:
        self.reports.append(report)
        bit = 1 << report[2] - 1
        self.mask = self.mask | bit if report[1] == 0xFF else self.mask & ~bit
        return self.result

    def get_feature_report(self, number: int, length: int) -> list[int]:
        return [*b"ABCDE", 0, 0, self.mask]

    def write(self, report: bytes) -> int:
        self.reports.append(report)
        return self.result

    def close(self) -> None:
        self.opened = ()


def test_a_dcttech_relay_is_switched_by_feature_reports(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    device = FakeHid()
    monkeypatch.setitem(sys.modules, "hid", SimpleNamespace(device=lambda: device))
    relay = open_relay(RelaySettings(kind="hid-dcttech", channel=2), world)
    assert device.opened == (0x16C0, 0x05DF, None)
    relay.on()
    assert device.reports[-1] == b"\x00\xff\x02" + bytes(6)
    assert relay.readback() is State.ON
    relay.off()
    assert device.reports[-1][:3] == b"\x00\xfd\x02"
    assert relay.readback() is State.OFF
    device.result = -1
    with pytest.raises(RelayError, match="took no command"):
        relay.on()
    relay.close()
    assert not device.opened


def test_an_lcus_hid_relay_takes_the_serial_command_and_cannot_say(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    device = FakeHid()
    monkeypatch.setitem(sys.modules, "hid", SimpleNamespace(device=lambda: device))
    relay = open_relay(RelaySettings(kind="hid-lcus", serial="A1"), world)
    relay.on()
    assert device.opened == (0x5131, 0x2007, "A1")
    assert device.reports == [bytes.fromhex("00a00101a2")]
    assert relay.readback() is State.UNKNOWN


@pytest.mark.parametrize(("kind", "module"), [("gpio", "gpiod"), ("hid-dcttech", "hid")])
def test_a_missing_library_names_its_extra(
    kind: str, module: str, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ConfigError, match=r"pip install 'atecc-hil\["):
        open_relay(RelaySettings(kind=kind, port="/dev/gpiochip0"), world)
