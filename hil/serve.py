"""An emulated rig for outside programs, in real time: ``hil emulate``."""

from __future__ import annotations

import os
import signal
import socket
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives.serialization import Encoding

from hil.cloud.local.endpoint import Endpoint
from hil.cloud.local.faults import Fault
from hil.cloud.local.front import Front
from hil.cloud.local.handover import Handover, void
from hil.cloud.local.pki import CHAIN_KINDS, ServerPki
from hil.cloud.local.server import LocalCloudServer
from hil.cloud.recipe import board_recipe
from hil.cloud.session import CloudSession
from hil.emulator.builder import build
from hil.emulator.bus import I2CMaster
from hil.emulator.cable import Cable
from hil.emulator.fronts import I2CSocketFront, PtyFront
from hil.emulator.gateway import Gateway
from hil.emulator.netfront import NetworkFront
from hil.emulator.relaykinds import OVER_NETWORK
from hil.emulator.rfc2217 import Rfc2217Front
from hil.errors import UsageError
from hil.rig.endpoint import PORT

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from hil.clock import Calendar, World
    from hil.cloud.local.endpoint import Refusal
    from hil.emulator.builder import EmulatedRig
    from hil.rigfile import RigFile

__all__ = ["Fronts", "MqttFront", "Served", "serve"]


@dataclass(frozen=True)
class MqttFront:
    """Where and how the MQTT endpoint is offered.

    Attributes:
        host: address to listen on; one of the LAN lets physical boards in.
        port: 0 picks a free one.
        names: further names under which clients find this computer; they go into the certificate.
        refusal: how a device that is not wanted learns it.
    """

    host: str = "127.0.0.1"
    port: int = 0
    names: tuple[str, ...] = ()
    refusal: Refusal = "close"


@dataclass(frozen=True)
class Fronts:
    """What outside programs want to open.

    Attributes:
        board_pty: link to the board's console; None = no link, the terminal's own name is told.
        i2c_socket: unix socket of the I2C bus; None = none.
        i2c_hz: its bus speed.
        mqtt: the MQTT endpoint.
        board_ports: TCP ports of the board that are forwarded, each to a free port of loopback.
        board_rfc2217: host and port of the board's console with its modem lines; port 0 = any free one.
        relay_pty: link to the relay's serial line; whoever opens it switches the power, which is off first.
        boot_button: IO0 is held low, so that the board waits in its ROM loader.
        reach: hosts and ports of the computer's network that the board can reach.
    """

    board_pty: Path | None = None
    i2c_socket: Path | None = None
    i2c_hz: int = 100_000
    mqtt: MqttFront = field(default_factory=MqttFront)
    board_ports: tuple[int, ...] = ()
    board_rfc2217: tuple[str, int] | None = None
    relay_pty: Path | None = None
    boot_button: bool = False
    reach: tuple[tuple[str, int], ...] = ()


class Served:
    """A rig that is being served; a context manager.

    Args:
        file: an emulated rig.
        fronts: what to open.
        faults: named faults.
        calendar: date and time.
        allow_aws: the real account that the command line allows, or None.

    Attributes:
        addresses: where everything is, for the line of JSON.
        recipe: how a physical board is told to come here; empty on loopback.

    Raises:
        UsageError: the rig is physical, or wants an account that is not allowed.
        PortError: an address or path cannot be used.
    """

    def __init__(
        self,
        file: RigFile,
        fronts: Fronts,
        *,
        faults: Sequence[str],
        calendar: Calendar,
        allow_aws: str | None = None,
    ) -> None:
        if not file.emulated:
            raise UsageError(f"{file.rig} is physical; only emulated rigs are served")
        with ExitStack() as stack:
            rig = stack.enter_context(build(file, faults=faults, calendar=calendar, paced=True))
            self.world: World = rig.world
            self.addresses: dict[str, object] = {"rig": file.rig}
            self.recipe = ""
            self._stack = stack
            self._serve_parts(rig, fronts)
            cloud = stack.enter_context(CloudSession(file.cloud, allow_aws=allow_aws, calendar=calendar))
            self._serve_mqtt(rig, cloud, fronts.mqtt)
            self._serve_control_plane(cloud)
            if fronts.relay_pty is None:
                rig.power_on()
            self._stack = stack.pop_all()

    def _serve_parts(self, rig: EmulatedRig, fronts: Fronts) -> None:
        cable = Cable(rig.world, rig.board.uart)
        self._stack.callback(cable.close)
        board = PtyFront(rig.world, cable, fronts.board_pty)
        self._stack.callback(board.close)
        self.addresses["board_pty"] = str(fronts.board_pty or board.path)
        if fronts.board_rfc2217 is not None:
            network = Rfc2217Front(rig.world, cable, *fronts.board_rfc2217)
            self._stack.callback(network.close)
            self.addresses["board_rfc2217"] = network.url
        if fronts.relay_pty is not None:
            self._serve_relay(rig, fronts.relay_pty)
        rig.esp.boot_button = fronts.boot_button
        if fronts.i2c_socket is not None:
            bus = I2CMaster(
                rig.world, rig.lines, sda=rig.lines.sda_gpio, scl=rig.lines.scl_gpio, hz=fronts.i2c_hz
            )
            i2c = I2CSocketFront(rig.world, bus, fronts.i2c_socket)
            self._stack.callback(i2c.close)
            self.addresses["i2c_socket"] = str(fronts.i2c_socket)
            self.addresses["i2c_hz"] = fronts.i2c_hz
        for host, port in fronts.reach:
            self._stack.callback(Gateway(rig.world, rig.network, host, port).close)
        if fronts.board_ports:
            self._serve_board_ports(rig, fronts.board_ports)

    def _serve_relay(self, rig: EmulatedRig, link: Path) -> None:
        kind = rig.file.power.kind
        if kind == "none":
            raise UsageError(f"{rig.file.rig} has no relay")
        if kind in OVER_NETWORK:
            raise UsageError(f"the relay of {rig.file.rig} is a {kind}: it has no serial line")
        cable = Cable(rig.world, rig.relay_line)
        self._stack.callback(cable.close)
        relay = PtyFront(rig.world, cable, link)
        self._stack.callback(relay.close)
        self.addresses["relay_pty"] = str(link)

    def _serve_board_ports(self, rig: EmulatedRig, ports: Sequence[int]) -> None:
        opened = {}
        for number in ports:
            front = NetworkFront(rig.world, rig.network, number)
            self._stack.callback(front.close)
            opened[str(number)] = {"host": front.host, "port": front.port}
        self.addresses["board_ports"] = opened

    def _serve_mqtt(self, rig: EmulatedRig, cloud: CloudSession, wanted: MqttFront) -> None:
        host = cloud.endpoint()
        local = cloud.local
        names = tuple(dict.fromkeys(("localhost", "127.0.0.1", *wanted.names, *_shown(wanted.host))))
        endpoint = Endpoint(
            cloud.registry,
            ServerPki(host, rig.calendar, names=names),
            account=cloud.account_id,
            region=cloud.region,
            host=host,
            names=names,
            first_connect=None if local is None else local.first_connect,
            refusal=wanted.refusal,
        )
        if rig.endpoint_refuses:
            endpoint.faults = lambda number: frozenset({Fault.REFUSE})
        front = Front(rig.world, endpoint, host=wanted.host, port=wanted.port)
        self._stack.callback(front.close)
        rig.network.listen(
            host,
            PORT,
            lambda link: (
                endpoint.session(link.send, link.close, link.now, link.at, client=link.client).receive
            ),
        )
        # The control plane answers in threads of its own.
        handover = Handover(rig.world)
        self._stack.callback(handover.close)
        cloud.on_status(lambda: handover.post(endpoint.recheck))
        if local is not None:
            # At a CONNECT, hence in the world's thread.
            local.on_registration(
                lambda event: endpoint.publish(event.topic, event.payload(), now=rig.world.now)
            )
        # Both, as AWS asks of devices: which chain it shows depends on what the client offers.
        roots = b"".join(endpoint.pki.root(kind).public_bytes(Encoding.PEM) for kind in CHAIN_KINDS)
        mqtt: dict[str, Any] = {
            "host": front.host,
            "port": front.port,
            "server_name": host,
            "ca_pem": roots.decode(),
        }
        if not _is_loopback(front.host):
            name = wanted.names[0] if wanted.names else front.host
            self.recipe = board_recipe(f"{name}:{front.port}", aws_host=host)
            mqtt["recipe"] = self.recipe
        self.addresses["mqtt"] = mqtt

    def _serve_control_plane(self, cloud: CloudSession) -> None:
        url = cloud.settings.endpoint_url
        if cloud.local is not None:
            url = self._stack.enter_context(LocalCloudServer(cloud.local)).url
        self.addresses["aws"] = {
            "endpoint_url": url,
            "region": cloud.region,
            "account_id": cloud.account_id,
        }

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


def _is_loopback(host: str) -> bool:
    return host == "::1" or host.startswith("127.")


def _shown(host: str) -> tuple[str, ...]:
    """The address as a name that clients may use; none for `every address`."""
    return () if host in ("0.0.0.0", "::", "") else (host,)


def serve(
    file: RigFile,
    fronts: Fronts,
    *,
    faults: Sequence[str],
    calendar: Calendar,
    allow_aws: str | None = None,
) -> Served:
    """Open the fronts; the rig's power is on when this returns."""
    os.umask(0o077)  # sockets and links are for this user only
    return Served(file, fronts, faults=faults, calendar=calendar, allow_aws=allow_aws)
