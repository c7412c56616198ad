"""An emulated rig for outside programs, in real time: ``hil emulate``."""

from __future__ import annotations

import os
import signal
import socket
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.serialization import Encoding

from hil.cloud.local.endpoint import Endpoint
from hil.cloud.local.faults import Fault
from hil.cloud.local.front import Front
from hil.cloud.local.pki import ServerPki
from hil.cloud.local.server import LocalCloudServer
from hil.cloud.session import CloudSession
from hil.emulator.builder import build
from hil.emulator.bus import I2CMaster
from hil.emulator.fronts import I2CSocketFront, PtyFront
from hil.errors import UsageError
from hil.rigcloud import PORT

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from hil.clock import Calendar, World
    from hil.rigfile import RigFile

__all__ = ["Fronts", "Served", "serve"]


@dataclass(frozen=True)
class Fronts:
    """What outside programs want to open.

    Attributes:
        board_pty: link to the board's console; None = no link, the terminal's own name is told.
        i2c_socket: unix socket of the I2C bus; None = none.
        i2c_hz: its bus speed.
    """

    board_pty: Path | None = None
    i2c_socket: Path | None = None
    i2c_hz: int = 100_000


class Served:
    """A rig that is being served; a context manager.

    Args:
        file: an emulated rig.
        fronts: what to open.
        faults: named faults.
        calendar: date and time.

    Raises:
        UsageError: the rig is physical.
        PortError: an address or path cannot be used.
    """

    def __init__(self, file: RigFile, fronts: Fronts, *, faults: Sequence[str], calendar: Calendar) -> None:
        if not file.emulated:
            raise UsageError(f"{file.rig} is physical; only emulated rigs are served")
        with ExitStack() as stack:
            rig = stack.enter_context(build(file, faults=faults, calendar=calendar, paced=True))
            self.world: World = rig.world
            self.addresses: dict[str, object] = {"rig": file.rig}
            board = PtyFront(rig.world, rig.board.uart, fronts.board_pty)
            stack.callback(board.close)
            self.addresses["board_pty"] = str(fronts.board_pty or board.path)
            if fronts.i2c_socket is not None:
                bus = I2CMaster(
                    rig.world, rig.lines, sda=rig.lines.sda_gpio, scl=rig.lines.scl_gpio, hz=fronts.i2c_hz
                )
                i2c = I2CSocketFront(rig.world, bus, fronts.i2c_socket)
                stack.callback(i2c.close)
                self.addresses["i2c_socket"] = str(fronts.i2c_socket)
                self.addresses["i2c_hz"] = fronts.i2c_hz
            cloud = stack.enter_context(CloudSession(file.cloud, calendar=calendar))
            host = cloud.endpoint()
            local = cloud.local
            endpoint = Endpoint(
                cloud.registry,
                ServerPki(host, calendar, names=("localhost", "127.0.0.1")),
                account=cloud.account_id,
                region=cloud.region,
                host=host,
                names=("localhost",),
                first_connect=None if local is None else local.first_connect,
            )
            if rig.endpoint_refuses:
                endpoint.faults = lambda number: frozenset({Fault.REFUSE})
            front = Front(rig.world, endpoint)
            stack.callback(front.close)
            rig.network.listen(
                host,
                PORT,
                lambda link: (
                    endpoint.session(link.send, link.close, link.now, link.at, client=link.client).receive
                ),
            )
            server = stack.enter_context(LocalCloudServer(local))
            self.addresses["mqtt"] = {
                "host": front.host,
                "port": front.port,
                "server_name": host,
                "ca_pem": endpoint.pki.root("ec").public_bytes(Encoding.PEM).decode(),
            }
            self.addresses["aws"] = {
                "endpoint_url": server.url,
                "region": cloud.region,
                "account_id": cloud.account_id,
            }
            rig.power_on()
            self._stack = stack.pop_all()

    def run(self) -> None:
        """Serve until SIGTERM or SIGINT."""
        ours, theirs = socket.socketpair()
        stopped: list[bool] = []
        ours.setblocking(False)
        theirs.setblocking(False)
        old_descriptor = signal.set_wakeup_fd(theirs.fileno())
        old = {s: signal.signal(s, lambda *_: stopped.append(True)) for s in (signal.SIGTERM, signal.SIGINT)}
        self.world.listen(ours, lambda: void(ours.recv(64)))
        try:
            self.world.run_until(lambda: bool(stopped), None)
        finally:
            for number, handler in old.items():
                signal.signal(number, handler)
            signal.set_wakeup_fd(old_descriptor)
            self.world.unlisten(ours)
            ours.close()
            theirs.close()

    def __enter__(self) -> Served:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()


def void(_: bytes) -> None:
    """Drop what a wake-up byte says."""


def serve(file: RigFile, fronts: Fronts, *, faults: Sequence[str], calendar: Calendar) -> Served:
    """Open the fronts; the rig's power is on when this returns."""
    os.umask(0o077)  # sockets and links are for this user only
    return Served(file, fronts, faults=faults, calendar=calendar)
