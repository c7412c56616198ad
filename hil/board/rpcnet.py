"""RPC frames over the network: TCP, HTTP and WebSocket.

No handshake and no checksum there. TLS is not spoken: a bench network is closed, and the firmware
authenticates by digest. Sources: mongoose-os/mos ``common/mgrpc/codec/{tcp,http_out,websocket}.go``.
"""

from __future__ import annotations

import base64
import secrets
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from hil.errors import DeviceTimeout, FrameError, PortError, RpcError, UsageError
from hil.serialport.port import open_port
from hil.wire.http import HttpReader, encode_request
from hil.wire.mgrpc import ClientReceiver, Corrupted, Frame, encode_frame
from hil.wire.redact import redact_frame
from hil.wire.websocket import Opcode, WsReader, accept_key
from hil.wire.websocket import encode_frame as encode_ws_frame

if TYPE_CHECKING:
    from hil.board.rpc import Channel
    from hil.clock import Clock
    from hil.serialport.port import Port

__all__ = ["HttpChannel", "TcpChannel", "WebSocketChannel", "open_channel"]

PATH = "/rpc"
SHOWN_BYTES = 120


class _NetChannel:
    """What the three have in common: a port, a count, and no step to get out of."""

    def __init__(self, port: Port, host: str) -> None:
        self.received = 0
        self._port = port
        self._host = host
        self._tail = b""

    @property
    def clock(self) -> Clock:
        """The port's clock."""
        return self._port.clock

    @property
    def name(self) -> str:
        """The port's name."""
        return self._port.name

    @property
    def physical(self) -> bool:
        """False only for a board that this process emulates."""
        return self._port.physical

    def close(self) -> None:
        """Close the connection."""
        self._port.close()

    def prepare(self, deadline: int) -> None:
        """Nothing to get in step with."""

    def out_of_step(self) -> None:
        """Nothing to get out of step with."""

    def last_bytes(self) -> bytes:
        """See :meth:`hil.board.rpc.Channel.last_bytes`."""
        return redact_frame(self._tail)

    def _read(self, deadline: int) -> bytes:
        data = self._port.read(deadline)
        self.received += len(data)
        self._tail = (self._tail + data)[-SHOWN_BYTES:]
        return data


class TcpChannel(_NetChannel):
    """Frames between quotes on a TCP stream."""

    def __init__(self, port: Port, host: str) -> None:
        super().__init__(port, host)
        self._receiver = ClientReceiver()
        self._frames: list[bytes] = []

    def send(self, json: bytes, deadline: int) -> None:
        """See :meth:`hil.board.rpc.Channel.send`."""
        self._frames.clear()
        self._port.write(encode_frame(json, crc=False))

    def receive(self, deadline: int) -> bytes | None:
        """See :meth:`hil.board.rpc.Channel.receive`."""
        while not self._frames:
            data = self._read(deadline)
            if not data:
                return None
            for event in self._receiver.feed(data):
                if isinstance(event, Frame):
                    self._frames.append(event.json)
                elif isinstance(event, Corrupted):
                    raise FrameError(f"a reply arrived damaged on {self.name}: {event.why}")
        return self._frames.pop(0)


class HttpChannel(_NetChannel):
    """Each frame a POST, each reply its response."""

    def __init__(self, port: Port, host: str, path: str = PATH) -> None:
        super().__init__(port, host)
        self._path = path
        self._reader = HttpReader(responses=True)

    def send(self, json: bytes, deadline: int) -> None:
        """See :meth:`hil.board.rpc.Channel.send`."""
        headers = {"Content-Type": "application/json"}
        self._port.write(encode_request("POST", self._path, host=self._host, body=json, headers=headers))

    def receive(self, deadline: int) -> bytes | None:
        """See :meth:`hil.board.rpc.Channel.receive`."""
        while True:
            data = self._read(deadline)
            if not data:
                return None
            for message in self._reader.feed(data):
                if message.body.startswith(b"{"):
                    return message.body.strip()
                raise RpcError(self._path, message.status, f"no RPC reply but {message.body[:60]!r}")


class WebSocketChannel(_NetChannel):
    """Each frame a text message."""

    def __init__(self, port: Port, host: str, path: str = PATH) -> None:
        super().__init__(port, host)
        self._path = path
        self._reader: WsReader | None = None
        self._frames: list[bytes] = []

    def prepare(self, deadline: int) -> None:
        """Upgrade the connection, once."""
        if self._reader is not None:
            return
        key = base64.b64encode(secrets.token_bytes(16)).decode()
        headers = {
            "Upgrade": "websocket",
            "Connection": "Upgrade",
            "Sec-WebSocket-Key": key,
            "Sec-WebSocket-Version": "13",
        }
        self._port.write(encode_request("GET", self._path, host=self._host, headers=headers))
        http = HttpReader(responses=True)
        while True:
            data = self._read(deadline)
            if not data:
                raise DeviceTimeout(f"{self.name}: no answer to the WebSocket upgrade")
            for message in http.feed(data):
                if message.status != 101 or message.headers.get("sec-websocket-accept") != accept_key(key):
                    raise FrameError(f"{self.name}: no WebSocket at {self._path}: {message.start}")
                self._reader = WsReader()
                self._take(http.pending)
                return

    def send(self, json: bytes, deadline: int) -> None:
        """See :meth:`hil.board.rpc.Channel.send`."""
        self._frames.clear()
        self._port.write(encode_ws_frame(Opcode.TEXT, json, mask=secrets.token_bytes(4)))

    def receive(self, deadline: int) -> bytes | None:
        """See :meth:`hil.board.rpc.Channel.receive`."""
        while not self._frames:
            data = self._read(deadline)
            if not data:
                return None
            self._take(data)
        return self._frames.pop(0)

    def _take(self, data: bytes) -> None:
        if self._reader is None:
            raise FrameError(f"{self.name}: WebSocket data before the upgrade")
        for message in self._reader.feed(data):
            if message.opcode is Opcode.PING:
                self._port.write(encode_ws_frame(Opcode.PONG, message.data, mask=secrets.token_bytes(4)))
            elif message.opcode is Opcode.CLOSE:
                raise PortError(f"{self.name}: the device closed the WebSocket")
            elif message.opcode in (Opcode.TEXT, Opcode.BINARY):
                self._frames.append(message.data)


def open_channel(url: str, *, clock: Clock) -> Channel:
    """Connect to a device's RPC service.

    Args:
        url: ``tcp://host:port``, ``http://host[:port][/path]`` or ``ws://host[:port][/path]``.
        clock: the rig's clock.

    Raises:
        UsageError: another kind of URL.
        PortError: nobody listens there.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("tcp", "http", "ws") or not parts.hostname:
        raise UsageError(f"{url!r} is no RPC address", hint="use tcp://, http:// or ws:// with a host")
    if parts.scheme == "tcp" and parts.port is None:
        raise UsageError(f"{url!r} names no TCP port")
    port = open_port(f"socket://{parts.hostname}:{parts.port or 80}", clock=clock)
    path = parts.path or PATH
    if parts.scheme == "tcp":
        return TcpChannel(port, parts.netloc)
    if parts.scheme == "http":
        return HttpChannel(port, parts.netloc, path)
    return WebSocketChannel(port, parts.netloc, path)
