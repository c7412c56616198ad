"""The server's end of an in-world connection for firmware that blocks, as an HTTPS server on a board does."""

from __future__ import annotations

import errno
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hil.clock import World
    from hil.emulator.network import Link, Receiver

__all__ = ["Listener", "ServerStream"]


class Listener:
    """Connections that wait to be served; give :meth:`accept` to :meth:`Network.listen`.

    Args:
        world: whose tasks wait.
        backlog: how many may wait; more are closed.
    """

    def __init__(self, world: World, *, backlog: int = 4) -> None:
        self._world = world
        self._backlog = backlog
        self._waiting: deque[ServerStream] = deque()
        self._arrived = world.signal("a client")

    def accept(self, link: Link) -> Receiver:
        """A client connects."""
        stream = ServerStream(self._world, link)
        if len(self._waiting) >= self._backlog:
            link.close()
        else:
            self._waiting.append(stream)
            self._arrived.set()
        return stream.receive

    def next(self, deadline: int | None) -> ServerStream | None:
        """The next client; None when the absolute ``deadline`` came first."""
        while not self._waiting:
            if not self._world.wait(self._arrived, deadline):
                return None
        return self._waiting.popleft()


class ServerStream:
    """A byte stream with the face of a socket; see :class:`hil.emulator.network.Stream`."""

    def __init__(self, world: World, link: Link) -> None:
        self._world = world
        self._link = link
        self._inbox = bytearray()
        self._ended = False
        self._timeout_us: int | None = None
        self._readable = world.signal(f"data from {link.client}")
        self.client = link.client

    def receive(self, data: bytes) -> None:
        """Called by the network with what arrived; ``b""`` is the end."""
        self._inbox += data
        self._ended = self._ended or not data
        self._readable.set()

    def settimeout(self, seconds: float | None) -> None:
        """Let ``recv`` wait at most so long."""
        self._timeout_us = None if seconds is None else round(seconds * 1e6)

    def recv(self, size: int) -> bytes:
        """At least one byte, or ``b""`` at the end of the stream.

        Raises:
            TimeoutError: the time of ``settimeout`` passed.
        """
        deadline = None if self._timeout_us is None else self._world.now + self._timeout_us
        if not self.wait_readable(deadline):
            raise TimeoutError("timed out")
        data = bytes(self._inbox[:size])
        del self._inbox[:size]
        return data

    def wait_readable(self, deadline: int | None) -> bool:
        """Wait until ``recv`` would not block; False when ``deadline`` came first."""
        self._check()
        while not self._inbox and not self._ended:
            if not self._world.wait(self._readable, deadline):
                return bool(self._inbox) or self._ended
        return True

    def send(self, data: bytes) -> int:
        """Send all of ``data``."""
        self.sendall(data)
        return len(data)

    def sendall(self, data: bytes) -> None:
        """Send ``data``; it leaves at once.

        Raises:
            BrokenPipeError: the stream is closed.
        """
        self._check()
        if self._link.closed:
            raise BrokenPipeError(errno.EPIPE, "the stream is closed")
        self._link.send(bytes(data))

    def close(self) -> None:
        """Close in good order."""
        self._check()
        self._link.close()

    def _check(self) -> None:
        task = self._world.running
        if task is not None:
            task.check()
