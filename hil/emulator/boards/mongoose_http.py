"""The servers of an emulated Mongoose OS board: files and RPC over HTTP, WebSocket and TCP, with TLS.

With ``http.ssl_cert`` the HTTP server speaks TLS; ``http.ssl_key=ATCA:<slot>`` leaves the private
key in the element. RPC frames come as ``POST /rpc``, over a WebSocket at ``/rpc``, or between quotes
on a TCP stream; ``/rpc/Method`` takes bare parameters and answers with the bare result.

Sources: mongoose-os-libs/http-server ``src/mgos_http_server.c``, mongoose-os-libs/rpc-common
``src/mg_rpc_channel_http.c`` and ``mg_rpc_channel_ws.c``, mongoose-os/mos
``common/mgrpc/codec/tcp.go``. The library that listens on plain TCP is not public; its setting
``rpc.tcp.listen_addr`` is a knob of the model.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import msgspec

from hil.emulator.boards.mongoose_log import DEBUG, ERROR, Origin
from hil.emulator.boards.mongoose_node import FAILURES, Plain, reason_of
from hil.emulator.serverstream import Listener
from hil.errors import FrameError
from hil.wire.http import HttpReader, encode_response
from hil.wire.mgrpc import DeviceReceiver, Frame, decode_response
from hil.wire.websocket import Opcode, WsReader, accept_key, encode_frame

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from hil.emulator.boards.mongoose_auth import Access
    from hil.emulator.boards.mongoose_https import Https
    from hil.emulator.boards.mongoose_node import Connection, Node
    from hil.emulator.boards.mongoose_rpc import Dispatcher
    from hil.emulator.serverstream import ServerStream
    from hil.wire.http import HttpMessage

__all__ = ["Servers"]

_HTTP = Origin("mgos_http_server.c", 325)
_SSL = Origin("mongoose.c", 4912)
_NET = Origin("mongoose.c", 2731)

RPC: Final = "/rpc"
IDLE_US: Final = 60_000_000
"""How long a client may say nothing; the firmware keeps it for ever, which nobody waits for here."""
MAX_CLIENTS: Final = 4
"""More wait; about what the memory of an ESP8266 holds. A knob of the model."""

_ADDRESS = re.compile(r"(?:tcp://)?(?:[^:]*:)?(\d{1,5})")
_TYPES: Mapping[str, str] = {
    "html": "text/html",
    "json": "application/json",
    "txt": "text/plain",
    "pem": "text/plain",
}


class Servers(msgspec.Struct, frozen=True):
    """What listens once the firmware runs.

    Attributes:
        node: the running firmware's parts.
        dispatcher: answers RPC frames; None when RPC is disabled.
        access: who may do what.
        spawn: starts a task that ends with the firmware.
    """

    node: Node
    dispatcher: Dispatcher | None
    access: Access
    spawn: Callable[[Callable[[], None], str], None]

    def start(self) -> None:
        """Listen as the configuration says; the log tells what could not be done."""
        config = self.node.config
        if config.flag("http.enable"):
            self._start_http(config.text("http.listen_addr"))
        address = config.text("rpc.tcp.listen_addr")
        if address and self.dispatcher is not None:
            self._listen(address, self._serve_rpc, "rpc tcp")

    def _start_http(self, address: str) -> None:
        log = self.node.console.log
        secure = bool(self.node.config.text("http.ssl_cert"))
        try:
            port = self._listen(address, self._secured() if secure else self._serve_http, "http")
        except FAILURES as error:
            log(_SSL, f"SSL init error: {reason_of(error)}", ERROR)
            port = None
        if port is None:
            log(_HTTP, f"Error binding to [{address}]", ERROR)
        else:
            log(_HTTP, f"HTTP server started on [{port}]{' (SSL)' if secure else ''}")

    def _secured(self) -> Callable[[ServerStream], None]:
        # Only a board that serves HTTPS pays for TLS and X.509.
        from hil.emulator.boards.mongoose_https import Https

        https = Https(self.node)
        return lambda stream: self._serve_https(stream, https)

    def _listen(self, address: str, serve: Callable[[ServerStream], None], name: str) -> int | None:
        found = _ADDRESS.fullmatch(address)
        if found is None or not 0 < int(found[1]) < 1 << 16:
            return None
        listener = Listener(self.node.world)
        port = int(found[1])
        self.node.network.listen(port, listener.accept)
        for number in range(MAX_CLIENTS):
            self.spawn(lambda: self._serve(listener, serve), f"{name} {number}")
        return port

    def _serve(self, listener: Listener, serve: Callable[[ServerStream], None]) -> None:
        while True:
            stream = listener.next(None)
            assert stream is not None, "there is no deadline"
            try:
                serve(stream)
            except FAILURES as error:
                self.node.console.log(_NET, f"{stream.client}: {reason_of(error)}", DEBUG)
            stream.close()

    def _serve_https(self, stream: ServerStream, https: Https) -> None:
        connection = https.accept(stream)
        if connection is not None:
            self._converse(connection, stream.client)
            connection.close()

    # -- HTTP ------------------------------------------------------------------------------

    def _serve_http(self, stream: ServerStream) -> None:
        self._converse(Plain(stream), stream.client)

    def _converse(self, connection: Connection, channel: str) -> None:
        reader = HttpReader(responses=False)
        while data := self._receive(connection):
            try:
                messages = reader.feed(data)
            except FrameError:
                connection.send(encode_response(400, b"bad request"))
                return
            for message in messages:
                if self._upgrades(message):
                    key = message.headers["sec-websocket-key"]
                    headers = {"Upgrade": "websocket", "Connection": "Upgrade"}
                    headers["Sec-WebSocket-Accept"] = accept_key(key)
                    connection.send(encode_response(101, headers=headers))
                    self._serve_websocket(connection, reader.pending, channel)
                    return
                connection.send(self._answer(message, channel))
                if message.headers.get("connection", "").lower() == "close":
                    return

    def _receive(self, connection: Connection) -> bytes:
        """What arrived; empty at the end, or when the client has been silent for too long."""
        if not connection.wait_readable(self.node.world.now + IDLE_US):
            return b""
        return connection.recv()

    def _upgrades(self, message: HttpMessage) -> bool:
        wanted = message.headers.get("upgrade", "").lower() == "websocket"
        return wanted and "sec-websocket-key" in message.headers and self._rpc_path(message) == ""

    def _rpc_path(self, message: HttpMessage) -> str | None:
        """What follows ``/rpc/`` in the target; empty for ``/rpc`` itself, None for other targets."""
        if self.dispatcher is None or not self.node.config.flag("rpc.http.enable"):
            return None
        path = message.request[1].partition("?")[0].rstrip("/")
        if path == RPC:
            return ""
        return path.removeprefix(RPC + "/") if path.startswith(RPC + "/") else None

    def _answer(self, message: HttpMessage, channel: str) -> bytes:
        challenge = self.access.challenge(message)
        if challenge is not None:
            return encode_response(401, headers={"WWW-Authenticate": challenge})
        method = self._rpc_path(message)
        if method is None:
            return self._file(message)
        if method:
            return self._call(method, message.body, channel)
        reply = self._rpc(message.body, channel)
        return encode_response(400) if reply is None else _json(200, reply)

    def _file(self, message: HttpMessage) -> bytes:
        """A file of the document root."""
        verb, target = message.request
        name = target.partition("?")[0].lstrip("/") or "index.html"
        if verb not in ("GET", "HEAD") or not self.node.fs.exists(name):
            return encode_response(404, b"Not Found")
        kind = _TYPES.get(name.rpartition(".")[2], "application/octet-stream")
        content = self.node.fs.read(name) if verb == "GET" else b""
        return encode_response(200, content, headers={"Content-Type": kind})

    # -- RPC -------------------------------------------------------------------------------

    def _rpc(self, frame: bytes, channel: str) -> bytes | None:
        """The reply to a frame; None for one that gets none."""
        dispatcher = self.dispatcher
        assert dispatcher is not None, "asked only where RPC is enabled"
        request = dispatcher.accept(frame)
        if request is None:
            return None
        with self.node.cpu.turn():
            self.node.cpu.mcu.spend("rpc")
            return dispatcher.answer(request, channel)

    def _call(self, method: str, body: bytes, channel: str) -> bytes:
        """``/rpc/Method``: parameters in, result out."""
        dispatcher = self.dispatcher
        assert dispatcher is not None, "asked only where RPC is enabled"
        request = dispatcher.accept(b'{"id":1,"method":"%b","params":%b}' % (method.encode(), body or b"{}"))
        if request is None:
            return encode_response(400)
        with self.node.cpu.turn():
            self.node.cpu.mcu.spend("rpc")
            reply = decode_response(dispatcher.answer(request, channel) or b"{}")
        if reply.error is None:
            return _json(200, bytes(reply.result) or b"null")
        status = reply.error.code if reply.error.code in (400, 401, 403, 404) else 500
        return encode_response(status, reply.error.message.encode("utf-8", "replace"))

    def _serve_websocket(self, connection: Connection, pending: bytes, channel: str) -> None:
        reader = WsReader()
        data = pending
        while True:
            for message in reader.feed(data):
                if message.opcode is Opcode.CLOSE:
                    connection.send(encode_frame(Opcode.CLOSE, message.data))
                    return
                if message.opcode is Opcode.PING:
                    connection.send(encode_frame(Opcode.PONG, message.data))
                elif message.opcode is not Opcode.PONG:
                    reply = self._rpc(message.data, channel)
                    if reply is not None:
                        connection.send(encode_frame(Opcode.TEXT, reply))
            data = self._receive(connection)
            if not data:
                return

    def _serve_rpc(self, stream: ServerStream) -> None:
        """Frames between quotes, without checksums."""
        connection, receiver = Plain(stream), DeviceReceiver()
        while data := self._receive(connection):
            for event in receiver.feed(data):
                reply = self._rpc(event.json, stream.client) if isinstance(event, Frame) else None
                if reply is not None:
                    connection.send(receiver.reply(reply))


def _json(status: int, body: bytes) -> bytes:
    return encode_response(status, body, headers={"Content-Type": "application/json"})
