from __future__ import annotations

import os
import pty
import threading
from functools import partial
from typing import TYPE_CHECKING

import pytest
import serial

from hil import serialport
from hil.clock import WallClock, World
from hil.emulator.uart import Uart
from hil.errors import PortError, UsageError
from hil.serialport import port as port_module

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def world() -> Iterator[World]:
    with World() as world:
        yield world
    serialport.unregister("rig")


@pytest.fixture
def uart(world: World) -> Uart:
    uart = Uart(world, "board")
    serialport.register("rig", "board", uart)
    return uart


@pytest.fixture
def pty_pair() -> Iterator[tuple[int, str]]:
    master, slave = pty.openpty()
    yield master, os.ttyname(slave)
    for descriptor in (slave, master):
        os.close(descriptor)


def test_an_emulated_line_echoes_at_line_speed(world: World, uart: Uart) -> None:
    uart.on_bytes = uart.send
    port = serialport.open_port("emu://rig/board", clock=world)
    port.write(b"0123456789")
    assert port.read(world.now + 1_000_000) == b"0123456789"
    assert world.now == 2 * 10 * 10 * 1_000_000 // 115_200
    assert port.physical is False


def test_a_silent_emulated_line_ends_at_the_deadline_exactly(world: World, uart: Uart) -> None:
    port = serialport.open_port("emu://rig/board", clock=world)
    assert port.read(world.now + 30_000_000) == b""
    assert world.now == 30_000_000


def test_a_read_with_a_past_deadline_only_looks(world: World, uart: Uart) -> None:
    port = serialport.open_port("emu://rig/board", clock=world)
    uart.received += b"x"
    assert port.read(world.now) == b"x"
    assert port.read(world.now) == b""
    assert world.now == 0


def test_a_late_reader_gets_each_piece_with_the_time_of_its_arrival(world: World, uart: Uart) -> None:
    port = serialport.open_port("emu://rig/board", clock=world)
    for at, text in ((10_000, b"first"), (20_000, b"second"), (20_000, b" third"), (300_000, b"last")):
        world.at(at, partial(uart.send, text), "the part speaks")
    world.sleep(1_000_000)
    pieces = []
    while data := port.read(world.now):
        pieces.append((port.arrived_at, data))
    us = 10_000_000 / 115_200
    assert pieces == [
        (10_000 + int(5 * us), b"first"),
        (20_000 + int(6 * us), b"second"),
        (20_000 + int(6 * us) + int(6 * us), b" third"),
        (300_000 + int(4 * us), b"last"),
    ]
    uart.send(b"half a line")
    world.sleep(50_000)
    del uart.received[:5]  # somebody else has read a part of it
    assert port.read(world.now) == b"a line"
    assert port.arrived_at == 1_000_000 + int(11 * us)


def test_the_baud_rate_reaches_the_line_and_a_wrong_one_garbles(world: World, uart: Uart) -> None:
    port = serialport.open_port("emu://rig/board", clock=world, baud=74_880)
    uart.send(b"plain")
    assert port.read(world.now + 100_000) != b"plain"
    port.baud = 115_200
    uart.send(b"plain")
    assert port.read(world.now + 100_000) == b"plain"
    assert port.baud == 115_200


def test_modem_lines_are_off_at_open_and_can_be_set(world: World, uart: Uart) -> None:
    seen: list[tuple[bool, bool]] = []
    uart.on_lines = lambda dtr, rts: seen.append((dtr, rts))
    port = serialport.open_port("emu://rig/board", clock=world)
    assert set(seen) == {(False, False)}
    port.set_lines(dtr=True, rts=False)
    assert seen[-1] == (True, False)


def test_pyserial_opens_the_url_by_itself(world: World, uart: Uart) -> None:
    uart.on_bytes = uart.send
    with serial.serial_for_url("emu://rig/board", baudrate=115_200, timeout=1) as handle:
        handle.write(b"abc")
        assert handle.read(3) == b"abc"
        assert handle.read(1) == b""
        uart.received += b"old"
        handle.reset_input_buffer()
        assert handle.in_waiting == 0
    with pytest.raises(serial.SerialException):
        handle.read(1)


def test_an_unknown_emulated_line_names_the_nearest(world: World, uart: Uart) -> None:
    with pytest.raises(PortError, match=r"did you mean emu://rig/board\?"):
        serialport.open_port("emu://rig/baord", clock=world)


def test_a_line_of_a_closed_rig_is_gone(world: World, uart: Uart) -> None:
    serialport.unregister("rig")
    with pytest.raises(PortError, match="no rig of this process"):
        serialport.open_port("emu://rig/board", clock=world)


def test_a_line_cannot_be_registered_twice(world: World, uart: Uart) -> None:
    with pytest.raises(UsageError):
        serialport.register("rig", "board", uart)


def test_a_pty_is_read_and_written(pty_pair: tuple[int, str]) -> None:
    master, path = pty_pair
    clock = WallClock()
    port = serialport.open_port(path, clock=clock)
    os.write(master, b"hello")
    assert port.read(clock.now + 2_000_000) == b"hello"
    port.write(b"answer")
    assert os.read(master, 100) == b"answer"
    assert port.physical is True
    before = clock.now
    assert port.read(before + 30_000) == b""
    assert clock.now >= before + 30_000
    port.close()


def test_bytes_that_are_read_late_have_the_time_of_their_arrival(pty_pair: tuple[int, str]) -> None:
    master, path = pty_pair
    clock = WallClock()
    port = serialport.open_port(path, clock=clock)
    os.write(master, b"early")
    arrived = clock.now
    assert port.read(arrived + 2_000_000) == b"early"
    os.write(master, b"late")
    sent = clock.now
    clock.sleep(200_000)
    assert port.read(clock.now) == b"late"
    assert sent - 1_000 <= port.arrived_at <= sent + 150_000
    port.close()


def test_closing_a_port_ends_its_thread(pty_pair: tuple[int, str]) -> None:
    before = threading.active_count()
    port = serialport.open_port(pty_pair[1], clock=WallClock())
    assert threading.active_count() == before + 1
    port.close()
    port.close()
    assert threading.active_count() == before


def test_a_port_is_opened_exclusively(pty_pair: tuple[int, str]) -> None:
    clock = WallClock()
    first = serialport.open_port(pty_pair[1], clock=clock)
    with pytest.raises(PortError, match="in use by another process"):
        serialport.open_port(pty_pair[1], clock=clock)
    first.close()
    serialport.open_port(pty_pair[1], clock=clock).close()


def test_a_pty_has_no_modem_lines(pty_pair: tuple[int, str]) -> None:
    port = serialport.open_port(pty_pair[1], clock=WallClock())
    with pytest.raises(PortError, match="DTR and RTS"):
        port.set_lines(dtr=True, rts=False)
    port.close()


def test_an_unplugged_port_is_a_rig_error() -> None:
    master, slave = pty.openpty()
    clock = WallClock()
    port = serialport.open_port(os.ttyname(slave), clock=clock)
    os.close(slave)
    os.close(master)
    with pytest.raises(PortError, match="went away"):
        port.read(clock.now + 1_000_000)
    with pytest.raises(PortError, match="went away"):
        port.write(b"x")
    port.close()


def test_an_absent_port_lists_what_exists(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "usb-1a86_USB_Serial-if00-port0").touch()
    monkeypatch.setattr(port_module, "BY_ID", tmp_path)
    monkeypatch.setattr("serial.tools.list_ports.comports", lambda: [])
    near, far = str(tmp_path / "usb-1a86_USB_Serial-if00-port1"), "/dev/absent"
    with pytest.raises(PortError, match=r"did you mean .*port0\?"):
        serialport.open_port(near, clock=WallClock())
    with pytest.raises(PortError, match=r"ports here: .*port0"):
        serialport.open_port(far, clock=WallClock())


def test_a_missing_permission_names_the_group() -> None:
    error = port_module._not_opened("/dev/null", PermissionError(13, "Permission denied"))
    assert "no permission to open /dev/null" in str(error)
    assert "usermod -aG" in str(error)


@pytest.mark.parametrize("url", ["foo://x", "socket://127.0.0.1:1"])
def test_a_url_that_cannot_be_opened_is_a_port_error(url: str) -> None:
    with pytest.raises(PortError, match="cannot open"):
        serialport.open_port(url, clock=WallClock())
