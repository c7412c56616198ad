"""A TCP port of an emulated board on a real listening socket: a browser, curl or openssl can go there."""

from __future__ import annotations

import contextlib
import socket
from typing import TYPE_CHECKING, Final

from hil.errors import PortError

if TYPE_CHECKING:
    from hil.clock import Task, World
    from hil.emulator.network import Network, Socket

__all__ = ["NetworkFront"]

CHUNK: Final = 4096
CONNECT_US: Final = 5_000_000
RETRY_US: Final = 1_000
PATIENCE_US: Final = 5_000_000
"""How long a client may take nothing before it is dropped."""


class NetworkFront:
    """Carries bytes between real clients and a port of the board, wherever it is in its network.

    Args:
        world: a paced world.
        network: the world's network.
        board_port: the port that the firmware listens on.
        host: address to listen on.
        port: 0 picks a free one.

    Raises:
        PortError: the address cannot be listened on.
    """

    def __init__(
        self, world: World, network: Network, board_port: int, *, host: str = "127.0.0.1", port: int = 0
    ) -> None:
        self._world = world
        self._network = network
        self._board_port = board_port
        self._clients: set[_Client] = set()
        try:
            self._socket = socket.create_server((host, port))
        except OSError as error:
            raise PortError(
                f"cannot listen on {host}:{port}: {error}", hint="is another program using the port?"
            ) from error
        self._socket.setblocking(False)
        self.host, self.port = self._socket.getsockname()[:2]
        world.listen(self._socket, self._accept)

    def _accept(self) -> None:
        with contextlib.suppress(BlockingIOError):  # the client was gone before we came to it
            client, _ = self._socket.accept()
            self._clients.add(_Client(self, client))

    def dial(self) -> Socket | None:
        """A connection to the board; None when it is not in its network or nobody listens."""
        addresses = self._network.attached
        try:
            if addresses:
                return self._network.connect(addresses[-1], self._board_port, timeout_us=CONNECT_US)
        except OSError:  # refused or silent: the client learns it by the closed connection
            return None
        return None

    def forget(self, client: _Client) -> None:
        """A client is gone."""
        self._clients.discard(client)

    @property
    def world(self) -> World:
        """Whose tasks carry the bytes."""
        return self._world

    def close(self) -> None:
        """Drop every client and stop listening."""
        for client in list(self._clients):
            client.close()
        self._world.unlisten(self._socket)
        self._socket.close()


class _Client:
    """One connection: bytes to the board go by events, bytes from it by a task."""

    def __init__(self, front: NetworkFront, connection: socket.socket) -> None:
        self._front = front
        self._world = front.world
        self._connection = connection
        self._stream: Socket | None = None
        self._open = True
        connection.setblocking(False)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._task: Task = self._world.spawn(self._carry, "network client")

    def _carry(self) -> None:
        stream = self._front.dial()
        if stream is not None and self._open:
            self._stream = stream
            self._world.listen(self._connection, self._from_client)
            with contextlib.suppress(OSError):  # either end is gone
                while (data := stream.recv(CHUNK)) and self._send(data):
                    pass
        self._drop()

    def _send(self, data: bytes) -> bool:
        deadline = self._world.now + PATIENCE_US
        while data and self._open:
            try:
                data = data[self._connection.send(data) :]
            except BlockingIOError:
                if self._world.now >= deadline:
                    return False
                self._world.sleep(RETRY_US)
        return self._open

    def _from_client(self) -> None:
        try:
            data = self._connection.recv(CHUNK)
        except BlockingIOError:
            return
        except OSError:  # reset by the client
            data = b""
        stream = self._stream
        assert stream is not None, "nothing is read before the board answered"
        if not data:
            self.close()
            return
        with contextlib.suppress(OSError):  # the board is gone: the task closes the connection
            stream.sendall(data)

    def _drop(self) -> None:
        if not self._open:
            return
        self._open = False
        if self._stream is not None:
            self._world.unlisten(self._connection)
            self._stream.close()
        self._connection.close()
        self._front.forget(self)

    def close(self) -> None:
        """The client went away, or the front closes."""
        self._drop()
        self._task.halt("client closed")
