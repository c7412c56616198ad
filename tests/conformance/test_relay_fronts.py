"""Every relay driver against its emulated twin over a real pty or a real TCP connection, in real time."""

from __future__ import annotations

import os
import pty
import socket
import threading
import tty
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from hil.clock import WallClock, World
from hil.emulator.relaykinds import EMULATED_RELAYS
from hil.emulator.uart import Uart
from hil.errors import RigError
from hil.power import Power, RelaySettings, State, open_relay

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

NETWORK = frozenset({"shelly-gen1", "shelly-gen2", "tasmota"})
SERIAL = sorted(set(EMULATED_RELAYS) - NETWORK)


class Bridge:
    """A twin in a world of its own thread, its line carried to a file descriptor."""

    def __init__(self, kind: str, connect: Callable[[], int]) -> None:
        self.moves: list[bool] = []
        self._kind = kind
        self._connect = connect
        self._stop, self._stopped = os.pipe()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def close(self) -> None:
        os.write(self._stopped, b"x")
        self._thread.join(10)
        os.close(self._stopped)
        os.close(self._stop)

    def _run(self) -> None:
        descriptor = self._connect()
        with World(paced=True) as world:
            uart = Uart(world, "relay")
            twin = EMULATED_RELAYS[self._kind](uart, channels=2)
            twin.contacts[1].on_switch = self.moves.append
            uart.host_baud = uart.baud
            ended: list[bytes] = []

            def arrived() -> None:
                data = os.read(descriptor, 4096)
                uart.host_write(data)
                if not data:
                    world.unlisten(descriptor)

            world.listen(descriptor, arrived)
            world.listen(self._stop, lambda: ended.append(os.read(self._stop, 1)))
            while not ended:
                world.run_until(lambda: bool(uart.received or ended), None)
                if uart.received:
                    os.write(descriptor, bytes(uart.received))
                    uart.received.clear()


@contextmanager
def on_a_pty(kind: str) -> Iterator[tuple[str, Bridge]]:
    master, slave = pty.openpty()
    tty.setraw(slave)
    bridge = Bridge(kind, lambda: master)
    try:
        yield os.ttyname(slave), bridge
    finally:
        bridge.close()
        os.close(master)
        os.close(slave)


@contextmanager
def on_tcp(kind: str) -> Iterator[tuple[str, Bridge]]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        connections: list[socket.socket] = []

        def accept() -> int:
            connections.append(server.accept()[0])
            return connections[0].fileno()

        bridge = Bridge(kind, accept)
        try:
            yield f"http://127.0.0.1:{server.getsockname()[1]}", bridge
        finally:
            bridge.close()
            for connection in connections:
                connection.close()


@pytest.mark.parametrize("kind", sorted(EMULATED_RELAYS))
def test_a_driver_switches_its_twin_over_a_real_line(kind: str) -> None:
    clock = WallClock()
    with (on_tcp if kind in NETWORK else on_a_pty)(kind) as (port, bridge):
        settings = RelaySettings(kind=kind, port=port, channel=2, channels=2)
        with Power(open_relay(settings, clock), clock, settle_us=50_000, min_off_us=0) as power:
            power.on()
            assert power.relay.readback() is State.ON
            power.off()
            assert power.relay.readback() is State.OFF
            power.on()
    assert bridge.moves == [True, False, True, False]


@pytest.mark.parametrize("kind", SERIAL)
def test_an_unplugged_relay_is_a_rig_error(kind: str) -> None:
    clock = WallClock()
    master, slave = pty.openpty()
    settings = RelaySettings(kind=kind, port=os.ttyname(slave), channel=2, channels=2)
    relay = open_relay(settings, clock)
    os.close(slave)
    os.close(master)
    with pytest.raises(RigError):
        relay.on()
    relay.close()
