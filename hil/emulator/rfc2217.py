"""A serial port over the network in front of an emulated UART: the only front that carries DTR and RTS.

One client at a time, in the world's one thread. A client that goes away, whatever it was doing, drops
its lines, so that the board runs on.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from hil.emulator.cable import CHUNK, Inlet
from hil.errors import PortError
from hil.wire.rfc2217 import Baud, Data, Lines, Paused, Purge, Reply, Server, escape

if TYPE_CHECKING:
    from hil.clock import Event, World
    from hil.emulator.cable import Cable
    from hil.wire.rfc2217 import Event as TelnetEvent

__all__ = ["Rfc2217Front"]

MAX_PENDING = 65_536
"""A client that reads nothing loses what the board says beyond this, as at a real port."""

RETRY_US = 5_000
BUSY = b"port in use by another client\r\n"


class Rfc2217Front:
    """Listens on a TCP port.

    Args:
        world: a paced world.
        cable: the line.
        host, port: where to listen; port 0 = any free one.

    Attributes:
        address: host and port.

    Raises:
        PortError: the address cannot be used.
    """

    def __init__(self, world: World, cable: Cable, host: str, port: int) -> None:
        self._world = world
        self.cable = cable
        self._client: _Client | None = None
        try:
            self._socket = socket.create_server((host, port))
        except (OSError, OverflowError) as error:
            raise PortError(
                f"cannot listen on {host}:{port}: {error}", hint="choose another address; port 0 takes any"
            ) from error
        self._socket.setblocking(False)
        bound = self._socket.getsockname()
        self.address: tuple[str, int] = (str(bound[0]), int(bound[1]))
        world.listen(self._socket, self._accept)

    @property
    def url(self) -> str:
        """What a client opens."""
        return f"rfc2217://{self.address[0]}:{self.address[1]}"

    def _accept(self) -> None:
        try:
            connection, _ = self._socket.accept()
        except OSError:  # the client was gone before we came to it
            return
        if self._client is not None:
            _refuse(connection)
            return
        connection.setblocking(False)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, MAX_PENDING)
        self._client = _Client(self._world, self, connection)

    def forget(self) -> None:
        """The client is gone: its lines drop."""
        self._client = None
        self.cable.uart.set_lines(dtr=False, rts=False)

    def close(self) -> None:
        """Drop the client and the address."""
        if self._client is not None:
            self._client.drop()
        self._world.unlisten(self._socket)
        self._socket.close()


def _refuse(connection: socket.socket) -> None:
    with connection:
        connection.setblocking(False)
        try:
            connection.send(BUSY)
        except OSError:  # it did not wait for the answer
            return


class _Client:
    """One connection."""

    def __init__(self, world: World, front: Rfc2217Front, connection: socket.socket) -> None:
        self._world = world
        self._front = front
        self._cable = front.cable
        self._connection = connection
        self._session = Server(self._cable.uart.host_baud)
        self._out = bytearray()
        self._held: bytearray | None = None
        self._retry: Event | None = None
        self._open = True
        self._inlet = Inlet(world, self._cable, connection, self._readable)
        self._cable.attach(self._from_part)
        self._send(self._session.greeting() + self._session.modem_state())

    def drop(self) -> None:
        """The connection ends."""
        if not self._open:
            return
        self._open = False
        self._inlet.close()
        self._cable.detach(self._from_part)
        if self._retry is not None:
            self._retry.cancel()
        self._connection.close()
        self._front.forget()

    def _readable(self) -> None:
        try:
            data = self._connection.recv(CHUNK)
        except BlockingIOError:
            return
        except OSError:  # reset by the client: it is gone
            data = b""
        if not data:
            self.drop()
            return
        for event in self._session.receive(data):
            if self._open:
                self._handle(event)

    def _handle(self, event: TelnetEvent) -> None:
        uart = self._cable.uart
        match event:
            case Data(data):
                uart.host_write(data)
            case Baud(rate):
                uart.host_baud = rate
            case Lines(dtr, rts):
                uart.set_lines(dtr, rts)
            case Reply(data):
                if len(self._out) > 2 * MAX_PENDING:  # asks and never reads
                    self.drop()
                else:
                    self._send(data)
            case Purge(received=True):
                if self._held is not None:
                    self._held.clear()
            case Paused(paused):
                self._pause(paused)

    def _pause(self, paused: bool) -> None:
        if paused:
            self._held = self._held or bytearray()
        elif self._held is not None:
            held, self._held = bytes(self._held), None
            self._send(escape(held))

    def _from_part(self, data: bytes) -> None:
        if self._held is not None:
            self._held += data[: MAX_PENDING - len(self._held)]
        elif len(self._out) <= MAX_PENDING:
            self._send(escape(data))

    def _send(self, data: bytes) -> None:
        self._out += data
        self._flush()

    def _flush(self) -> None:
        try:
            sent = self._connection.send(self._out)
        except BlockingIOError:
            sent = 0
        except OSError:  # gone; the inlet will notice as well
            self.drop()
            return
        del self._out[:sent]
        if self._out and self._retry is None:
            self._retry = self._world.after(RETRY_US, self._try_again, "client may read again")

    def _try_again(self) -> None:
        self._retry = None
        if self._open:
            self._flush()
