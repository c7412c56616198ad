"""Fronts: emulated lines as things that outside programs open. All in the world's one thread.

``PtyFront`` puts a UART behind a pseudo terminal, ``I2CSocketFront`` the I2C bus behind a unix
socket. The socket's protocol, one request at a time:

    request  = op byte ``W`` or ``R``, 7-bit address, length u16 little-endian, then for ``W`` the bytes
    reply    = 0 acknowledged / 1 not, then for an acknowledged ``R`` the bytes

Each request is one START … STOP transaction at the front's bus speed.
"""

from __future__ import annotations

import contextlib
import errno
import os
import pty
import socket
import stat
import struct
import tty
from typing import TYPE_CHECKING

from hil.emulator.cable import CHUNK, Inlet
from hil.errors import I2CError, PortError
from hil.serialport.terminal import terminal_baud

if TYPE_CHECKING:
    from pathlib import Path

    from hil.clock import Task, World
    from hil.emulator.bus import I2CMaster
    from hil.emulator.cable import Cable

__all__ = ["I2CSocketFront", "PtyFront"]

_HEADER = struct.Struct("<cBH")


class PtyFront:
    """A UART behind a pseudo terminal.

    A real UART drops what nobody reads: so does this, when the terminal's buffer is full.

    Args:
        world: a paced world.
        cable: the line.
        link: make a symbolic link of this name to the terminal.

    Raises:
        PortError: the link's place is taken by something that is no link.
    """

    def __init__(self, world: World, cable: Cable, link: Path | None = None) -> None:
        self._cable = cable
        self._link = link
        self._master, self._slave = pty.openpty()  # our own slave keeps reads from failing between clients
        tty.setraw(self._slave)
        os.set_blocking(self._master, False)
        self.path = os.ttyname(self._slave)
        if link is not None:
            _make_link(link, self.path)
        self._inlet = Inlet(world, cable, self._master, self._from_client)
        cable.attach(self._to_client)

    def _from_client(self) -> None:
        try:
            data = os.read(self._master, CHUNK)
        except OSError as error:
            if error.errno in (errno.EIO, errno.EAGAIN):  # the client went away; the next one is welcome
                return
            raise
        uart = self._cable.uart
        uart.host_baud = terminal_baud(self._master) or uart.host_baud
        uart.host_write(data)

    def _to_client(self, data: bytes) -> None:
        with contextlib.suppress(BlockingIOError):  # nobody reads: dropped, as a UART does
            os.write(self._master, data)

    def close(self) -> None:
        """Close the terminal and take the link away."""
        self._inlet.close()
        self._cable.detach(self._to_client)
        os.close(self._master)
        os.close(self._slave)
        if self._link is not None and self._link.is_symlink():
            self._link.unlink()


def _make_link(link: Path, target: str) -> None:
    if link.is_symlink():
        link.unlink()
    elif link.exists():
        raise PortError(f"{link} exists and is no link", hint="choose another path")
    try:
        link.symlink_to(target)
    except OSError as error:
        raise PortError(f"cannot make the link {link}: {error.strerror or error}") from error


class I2CSocketFront:
    """The I2C bus behind a unix socket; several clients take turns, transaction by transaction.

    Args:
        world: a paced world.
        bus: the master whose transactions clients make.
        path: where the socket is made; a left-over socket is replaced.

    Raises:
        PortError: the path cannot be used.
    """

    def __init__(self, world: World, bus: I2CMaster, path: Path) -> None:
        self._world = world
        self.bus = bus
        self.path = path
        self._clients: set[_I2CClient] = set()
        self._busy = False
        self.freed = world.signal("I2C bus is free")
        try:
            if path.exists() and stat.S_ISSOCK(path.stat().st_mode):
                path.unlink()
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            self._socket.bind(str(path))
        except OSError as error:
            raise PortError(f"cannot make the socket {path}: {error.strerror or error}") from error
        self._socket.listen()
        self._socket.setblocking(False)
        world.listen(self._socket, self._accept)

    def _accept(self) -> None:
        with contextlib.suppress(BlockingIOError):  # the client was gone before we came to it
            client, _ = self._socket.accept()
            self._clients.add(_I2CClient(self._world, self, client))

    def take(self) -> None:
        """Wait for the bus; called by a client's task."""
        while self._busy:
            self._world.wait(self.freed, None)
        self._busy = True

    def give(self) -> None:
        """Let the next client have the bus."""
        self._busy = False
        self.freed.set()

    def forget(self, client: _I2CClient) -> None:
        """A client is gone."""
        self._clients.discard(client)

    def close(self) -> None:
        """Drop every client and remove the socket."""
        for client in list(self._clients):
            client.close()
        self._world.unlisten(self._socket)
        self._socket.close()
        self.path.unlink(missing_ok=True)


class _I2CClient:
    """One connection: bytes come by events, transactions are made by a task."""

    def __init__(self, world: World, front: I2CSocketFront, connection: socket.socket) -> None:
        self._world = world
        self._front = front
        self._connection = connection
        self._buffer = bytearray()
        self._open = True
        self._arrived = world.signal("I2C request")
        connection.setblocking(False)
        world.listen(connection, self._readable)
        self._task: Task = world.spawn(self._serve, "I2C client")

    def _readable(self) -> None:
        try:
            data = self._connection.recv(CHUNK)
        except BlockingIOError:
            return
        except OSError:  # reset by the client: it is gone
            data = b""
        if not data:
            self._drop()
        self._buffer += data
        self._arrived.set()

    def _serve(self) -> None:
        while self._open:
            request = self._take_request()
            if request is None:
                self._world.wait(self._arrived, None)
                continue
            self._front.take()
            try:
                reply = self._transaction(*request)
            finally:
                self._front.give()
            if self._open:
                try:
                    self._connection.sendall(reply)
                except OSError:  # gone, or it does not read its replies
                    self._drop()

    def _take_request(self) -> tuple[bytes, int, int, bytes] | None:
        if len(self._buffer) < _HEADER.size:
            return None
        op, address, length = _HEADER.unpack_from(self._buffer)
        if op not in (b"W", b"R") or address > 0x7F:
            self._drop()  # out of step: nothing sensible can follow
            return None
        end = _HEADER.size + (length if op == b"W" else 0)
        if len(self._buffer) < end:
            return None
        data = bytes(self._buffer[_HEADER.size : end])
        del self._buffer[:end]
        return op, address, length, data

    def _transaction(self, op: bytes, address: int, length: int, data: bytes) -> bytes:
        try:
            if op == b"W":
                self._front.bus.write(address, data)
                return b"\x00"
            return b"\x00" + self._front.bus.read(address, length)
        except I2CError:
            return b"\x01"

    def _drop(self) -> None:
        if self._open:
            self._open = False
            self._world.unlisten(self._connection)
            self._connection.close()
            self._front.forget(self)
            self._arrived.set()

    def close(self) -> None:
        """The front closes."""
        self._drop()
        self._task.halt("front closed")
