"""The local endpoint on a real listening socket, for outside programs and physical boards.

The same sessions as in an emulated world, in a paced one: accept, read and the sessions' timers are
events of one thread.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from hil.errors import PortError

if TYPE_CHECKING:
    from hil.clock import World
    from hil.cloud.local.endpoint import Endpoint
    from hil.cloud.local.session import Session

__all__ = ["Front"]

_READ = 65_536
_RETRY_US = 1_000
_BACKLOG = 512


class Front:
    """Listens and serves for as long as somebody runs the world.

    Args:
        world: a paced world.
        endpoint: makes the sessions.
        host: address to listen on; a LAN address lets physical boards in.
        port: 0 picks a free one.
        as_port: the AWS port it stands for; 443 requires ALPN.

    Raises:
        PortError: the address cannot be listened on.
    """

    def __init__(
        self, world: World, endpoint: Endpoint, *, host: str = "127.0.0.1", port: int = 0, as_port: int = 8883
    ) -> None:
        self._world = world
        self._endpoint = endpoint
        self._as_port = as_port
        self._connections: set[_Connection] = set()
        self.host, self.port = host, port
        self.open()

    def open(self) -> None:
        """Listen, again after :meth:`close` on the same port.

        Raises:
            PortError: the address cannot be listened on.
        """
        try:
            self._socket = socket.create_server((self.host, self.port), backlog=_BACKLOG)
        except OSError as error:
            raise PortError(
                f"cannot listen on {self.host}:{self.port}: {error}",
                hint="is another program using the port?",
            ) from error
        self._socket.setblocking(False)
        self.host, self.port = self._socket.getsockname()[:2]
        self._world.listen(self._socket, self._accept)

    def _accept(self) -> None:
        while True:
            try:
                connection, address = self._socket.accept()
            except BlockingIOError:
                return
            except OSError:  # the client was gone before we came to it
                return
            connection.setblocking(False)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            client = f"{address[0]}:{address[1]}"
            self._connections.add(_Connection(self, self._world, connection, client))

    def session(self, connection: _Connection, client: str) -> Session:
        """A session of the endpoint behind ``connection``."""
        return self._endpoint.session(
            connection.send,
            connection.close,
            lambda: self._world.now,
            self._world.at,
            client=client,
            port=self._as_port,
        )

    def forget(self, connection: _Connection) -> None:
        """The connection is closed."""
        self._connections.discard(connection)

    def close(self) -> None:
        """Stop listening and drop every connection."""
        self._world.unlisten(self._socket)
        self._socket.close()
        for connection in list(self._connections):
            connection.session.end("the endpoint is shutting down")
            connection.drop()


class _Connection:
    """One accepted socket and its session."""

    def __init__(self, front: Front, world: World, sock: socket.socket, client: str) -> None:
        self._front = front
        self._world = world
        self._socket = sock
        self._outgoing = bytearray()
        self._closing = False
        self._closed = False
        self._retry_due = False
        self.session = front.session(self, client)
        world.listen(sock, self._readable)

    def _readable(self) -> None:
        try:
            data = self._socket.recv(_READ)
        except BlockingIOError:
            return
        except OSError as error:
            self.session.end(f"the connection was lost: {error}")
            self.drop()
            return
        self.session.receive(data)
        if not data:
            self.drop()

    def send(self, data: bytes) -> None:
        """Queue ``data`` and send what the kernel takes."""
        self._outgoing += data
        self._drain()

    def close(self) -> None:
        """Close behind what was queued."""
        self._closing = True
        self._drain()

    def _drain(self) -> None:
        """Send; what does not fit is tried again in a millisecond (the world waits for reading only)."""
        if self._closed:
            return
        try:
            while self._outgoing:
                del self._outgoing[: self._socket.send(self._outgoing)]
        except BlockingIOError:
            if not self._retry_due:
                self._retry_due = True
                self._world.after(_RETRY_US, self._retry, "front: send the rest")
            return
        except OSError:  # the client is gone: its end of the stream is noticed by reading
            self._outgoing.clear()
        if self._closing:
            self._hang_up()

    def _retry(self) -> None:
        self._retry_due = False
        self._drain()

    def _hang_up(self) -> None:
        """Send FIN, then wait for the client's: closing with unread data would send a reset.

        A reset can overtake the alert or the close_notify that was sent last.
        """
        try:
            self._socket.shutdown(socket.SHUT_WR)
        except OSError:  # the client was faster
            self.drop()
            return
        self._world.after(5_000_000, self.drop, "front: the client did not close")

    def drop(self) -> None:
        """Close the socket now."""
        if self._closed:
            return
        self._closed = True
        self._world.unlisten(self._socket)
        self._socket.close()
        self._front.forget(self)
