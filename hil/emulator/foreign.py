"""A real server that an emulated board talks to while the world stands still.

Virtual time does not know how long mosquitto thinks. So a flight to a foreign server costs one round
trip of the model, and the computer's time that passed meanwhile is kept beside it and never added.
Such a connection is for request and answer only: the server's timers run on the computer's clock, a
message that it sends unasked has no virtual time, and its silence is believed after a patience of
wall-clock time.
"""

from __future__ import annotations

import errno
import selectors
import socket
from typing import TYPE_CHECKING

from hil.clock import wall_us

if TYPE_CHECKING:
    from hil.clock import World

__all__ = ["ForeignPeer", "ForeignStream"]


class ForeignPeer:
    """Stands for one foreign server in :meth:`hil.emulator.network.Network.foreign`.

    Args:
        world: whose time round trips are charged to.
        address: real address and port of the server.
        rtt_us: what a round trip costs.
        patience_us: wall-clock time after which the server's silence is believed.
    """

    def __init__(
        self, world: World, address: tuple[str, int], *, rtt_us: int, patience_us: int = 2_000_000
    ) -> None:
        self.world = world
        self.address = address
        self.rtt_us = rtt_us
        self.patience_us = patience_us
        self.wall_us = 0
        """The computer's time that was spent waiting for the server; not part of the world's."""
        self._open: list[ForeignStream] = []

    def connect(self, host: str, port: int) -> ForeignStream:
        """A connection; costs one round trip."""
        start = wall_us()
        try:
            sock = socket.create_connection(self.address, timeout=self.patience_us / 1e6)
        finally:
            self.wall_us += wall_us() - start
        self.world.spend("net", self.rtt_us)
        stream = ForeignStream(self, sock)
        self._open.append(stream)
        return stream

    def close(self) -> None:
        """Close what vanished: a real socket cannot disappear, so it stays open until now."""
        for stream in self._open:
            stream.discard()
        self._open.clear()


class ForeignStream:
    """One connection to a foreign server; the socket face of :class:`hil.emulator.network.Stream`."""

    def __init__(self, peer: ForeignPeer, sock: socket.socket) -> None:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.settimeout(None)
        self._peer = peer
        self._world = peer.world
        self._socket = sock
        self._timeout_us: int | None = None
        self._owes_round_trip = False
        self._gone = False
        self.flights = 0
        """Flights that were answered, each charged as one round trip."""

    def settimeout(self, seconds: float | None) -> None:
        """Let ``recv`` wait at most so much virtual time."""
        self._timeout_us = None if seconds is None else round(seconds * 1e6)

    def recv(self, size: int) -> bytes:
        """At least one byte, or ``b""`` at the end of the stream.

        Raises:
            TimeoutError: the server stayed silent beyond the patience; the virtual time is up.
        """
        self._check()
        deadline = None if self._timeout_us is None else self._world.now + self._timeout_us
        if not self.wait_readable(deadline):
            raise TimeoutError("timed out")
        return self._socket.recv(size)

    def wait_readable(self, deadline: int | None) -> bool:
        """Wait in wall-clock time while the world stands still; then charge the round trip.

        After the patience the world jumps to the deadline.

        Raises:
            TimeoutError: there is no deadline to jump to.
        """
        self._check()
        start = wall_us()
        with selectors.DefaultSelector() as selector:
            selector.register(self._socket, selectors.EVENT_READ)
            over = deadline is not None and deadline <= self._world.now
            ready = bool(selector.select(0 if over else self._peer.patience_us / 1e6))
        self._peer.wall_us += wall_us() - start
        if ready:
            if self._owes_round_trip:
                self._owes_round_trip = False
                self.flights += 1
                self._world.spend("net", self._peer.rtt_us)
            return True
        if deadline is None:
            raise TimeoutError(f"{self._peer.address} stayed silent and nobody set a deadline")
        self._world.spend("net", max(deadline - self._world.now, 0))
        return False

    def send(self, data: bytes) -> int:
        """Send all of ``data``; returns its length."""
        self.sendall(data)
        return len(data)

    def sendall(self, data: bytes) -> None:
        """Send ``data``; the answer costs a round trip."""
        self._check()
        if data:
            self._owes_round_trip = True
            self._socket.sendall(data)

    def close(self) -> None:
        """Close in good order."""
        task = self._world.running
        if task is not None:
            task.check()
        if not self._gone:
            self._gone = True
            self._socket.close()

    def vanish(self) -> None:
        """Power-off: say nothing and read nothing; the socket stays open until the peer is closed."""
        self._gone = True

    def discard(self) -> None:
        """Close the socket of a stream that vanished or was never closed."""
        self._gone = True
        self._socket.close()

    def _check(self) -> None:
        task = self._world.running
        if task is not None:
            task.check()
        if self._gone:
            raise BrokenPipeError(errno.EPIPE, "the stream is closed")
