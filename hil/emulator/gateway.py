"""The way out of an emulated network: servers of the computer's own network, for a board in real time.

Bytes go there and back as they come; nothing is charged but the round trip of the emulated network. Only
for paced worlds: in virtual time a real server's answer would have no time (see
:mod:`hil.emulator.foreign` for that).
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from hil.clock import World
    from hil.emulator.network import Link, Network, Receiver

__all__ = ["Gateway"]

CONNECT_S: Final = 2.0
"""How long the world waits for a server to take the connection."""
READ: Final = 65_536


class Gateway:
    """Reaches one server of the computer's network under its own address.

    Args:
        world: a paced world.
        network: the world's network.
        host: address or name of the server, as boards name it.
        port: its port.
    """

    def __init__(self, world: World, network: Network, host: str, port: int) -> None:
        self._world = world
        self._network = network
        self._address = (host, port)
        self._open: set[_Connection] = set()
        network.listen(host, port, self._accept)

    def _accept(self, link: Link) -> Receiver:
        try:
            sock = socket.create_connection(self._address, timeout=CONNECT_S)
        except OSError:  # nobody is there: the board learns it by the closed connection
            link.close()
            return lambda data: None
        connection = _Connection(self._world, link, sock, self._open.discard)
        self._open.add(connection)
        return connection.receive

    def close(self) -> None:
        """Close every connection, and reach the server no more."""
        self._network.unlisten(*self._address)
        for connection in list(self._open):
            connection.drop()


class _Connection:
    """One connection of a board, carried on by a real socket."""

    def __init__(
        self, world: World, link: Link, sock: socket.socket, gone: Callable[[_Connection], object]
    ) -> None:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._world = world
        self._link = link
        self._socket = sock
        self._gone = gone
        self._dropped = False
        world.listen(sock, self._from_server)

    def receive(self, data: bytes) -> None:
        """What the board sent; ``b""`` is its end."""
        if not data or self._dropped:
            self.drop()
            return
        try:
            self._socket.sendall(data)
        except OSError:  # the server is gone
            self._end()

    def _from_server(self) -> None:
        try:
            data = self._socket.recv(READ)
        except OSError:
            data = b""
        if data:
            self._link.send(data)
        else:
            self._end()

    def _end(self) -> None:
        self._link.close()
        self.drop()

    def drop(self) -> None:
        """Close the socket once."""
        if self._dropped:
            return
        self._dropped = True
        self._gone(self)
        self._world.unlisten(self._socket)
        self._socket.close()
