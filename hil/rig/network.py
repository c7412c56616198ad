"""The board on its network: its address, TCP to it, its RPC over HTTP, WebSocket and TCP, its HTTPS.

On an emulated rig the network is the world's; on a bench it is the computer's own.
"""

from __future__ import annotations

import socket
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Literal

from hil.board.calls import MongooseCalls
from hil.board.netport import StreamPort
from hil.board.rpc import RpcClient
from hil.board.rpcnet import HttpChannel, TcpChannel, WebSocketChannel
from hil.errors import DeviceTimeout, PortError, UsageError
from hil.tls.stream import SocketStream

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hil.board.rpc import Channel, Credentials
    from hil.rig.rig import Rig
    from hil.rigfile import RigFile
    from hil.tls.stream import ByteStream

__all__ = ["RigNetwork", "station"]

CONNECT_US = 5_000_000
ADDRESS_US = 30_000_000

_GOT_IP = "WiFi STA: ready"

Road = Literal["http", "ws", "tcp"]


def station(file: RigFile) -> dict[str, object]:
    """The ``wifi.sta`` settings for the network of a rig."""
    if file.wifi is None:
        return {"enable": True, "ssid": "emulated", "pass": ""}
    return {"enable": True, "ssid": file.wifi.ssid, "pass": file.wifi.password.value()}


class RigNetwork:
    """The network of one rig, seen from the host.

    Args:
        rig: the opened rig.
    """

    def __init__(self, rig: Rig) -> None:
        self._rig = rig

    def address(self, *, timeout_us: int = ADDRESS_US) -> str:
        """The board's IP address in the network that it joined.

        Raises:
            DeviceTimeout: it has none by then.
        """
        rig = self._rig
        board, mark = rig.booted_board(), rig.console.mark()
        wifi = board.sys_get_info().wifi
        if wifi is None or not wifi.sta_ip:
            with suppress(DeviceTimeout):  # older firmware words it differently: it is asked again
                rig.console.expect(_GOT_IP, timeout_us=timeout_us, since=mark)
            wifi = board.sys_get_info().wifi
        if wifi is None or not wifi.sta_ip:
            status = "unknown" if wifi is None else wifi.status or "not started"
            raise DeviceTimeout(
                f"the board has no IP address within {timeout_us / 1e6:g} s; Wi-Fi: {status}",
                hint="check the section `wifi` of the rig file, and that the network is in reach",
            )
        return wifi.sta_ip

    def connect(self, port: int, *, timeout_us: int = CONNECT_US) -> ByteStream:
        """A TCP connection to the board.

        Raises:
            PortError: nobody answers there.
        """
        return self.dial(self.address(), port, timeout_us=timeout_us)

    def dial(self, host: str, port: int, *, timeout_us: int = CONNECT_US) -> ByteStream:
        """A TCP connection to anybody in the board's network.

        Raises:
            PortError: nobody answers there.
        """
        rig = self._rig
        try:
            if rig.emulated is not None:
                return rig.emulated.network.connect(host, port, timeout_us=timeout_us)
            sock = socket.create_connection((host, port), timeout_us / 1e6)
        except OSError as error:
            raise PortError(
                f"{host}:{port} does not answer: {error}",
                hint="is the computer in the board's network, and does somebody listen there?",
            ) from error
        sock.settimeout(None)
        return SocketStream(sock, rig.clock)

    @contextmanager
    def out_of_reach(self) -> Iterator[None]:
        """The access point is switched off meanwhile: what is sent is lost, connecting fails.

        Raises:
            UsageError: the rig is physical; nobody can switch its access point.
        """
        if self._rig.emulated is None:
            raise UsageError(f"{self._rig.name} is physical: its access point cannot be switched")
        interface = self._rig.emulated.firmware.network
        interface.up = False
        try:
            yield
        finally:
            interface.up = True

    @contextmanager
    def rpc(
        self, road: Road, port: int, *, over: ByteStream | None = None, credentials: Credentials | None = None
    ) -> Iterator[MongooseCalls]:
        """The firmware's calls over the network, behind the guard as on the console.

        Args:
            road: which of the firmware's roads.
            port: TCP port.
            over: an established connection to use instead, e.g. one with TLS.
            credentials: for firmware that asks for them.
        """
        rig = self._rig
        stream = self.connect(port) if over is None else over
        name = f"{road}://{rig.name}:{port}"
        line = StreamPort(stream, name=name, clock=rig.clock, physical=rig.emulated is None)
        channels: dict[Road, type[HttpChannel | WebSocketChannel | TcpChannel]] = {
            "http": HttpChannel,
            "ws": WebSocketChannel,
            "tcp": TcpChannel,
        }
        channel: Channel = channels[road](line, rig.name)
        client = RpcClient(channel, credentials=credentials)
        client.before_send = rig.guard.check_rpc
        try:
            yield MongooseCalls(client)
        finally:
            client.close()
