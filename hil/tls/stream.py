"""The socket face that TLS runs on, and a real socket behind it."""

from __future__ import annotations

import selectors
import socket
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from hil.clock import Clock

__all__ = ["ByteStream", "SocketStream"]


class ByteStream(Protocol):
    """A connected byte stream; errors are those of sockets (``OSError`` and its children)."""

    def recv(self, size: int) -> bytes:
        """At least one byte, ``b""`` at the end; waits as :meth:`settimeout` said."""
        ...

    def send(self, data: bytes) -> int:
        """Send some of ``data``; returns how much."""
        ...

    def sendall(self, data: bytes) -> None:
        """Send all of ``data`` in one flight."""
        ...

    def settimeout(self, seconds: float | None) -> None:
        """How long ``recv`` waits."""
        ...

    def wait_readable(self, deadline: int | None) -> bool:
        """Wait until ``recv`` would not block; False when ``deadline`` (absolute us) came first."""
        ...

    def close(self) -> None:
        """Close in good order."""
        ...


class SocketStream:
    """A real, connected TCP socket on the computer's clock; no-delay is switched on.

    Args:
        sock: connected and blocking.
        clock: whose ``now`` deadlines refer to.
    """

    def __init__(self, sock: socket.socket, clock: Clock) -> None:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._sock = sock
        self._clock = clock

    def recv(self, size: int) -> bytes:
        """See :class:`ByteStream`."""
        return self._sock.recv(size)

    def send(self, data: bytes) -> int:
        """See :class:`ByteStream`."""
        return self._sock.send(data)

    def sendall(self, data: bytes) -> None:
        """See :class:`ByteStream`."""
        self._sock.sendall(data)

    def settimeout(self, seconds: float | None) -> None:
        """See :class:`ByteStream`."""
        self._sock.settimeout(seconds)

    def wait_readable(self, deadline: int | None) -> bool:
        """See :class:`ByteStream`."""
        timeout = None if deadline is None else max(deadline - self._clock.now, 0) / 1e6
        with selectors.DefaultSelector() as selector:
            selector.register(self._sock, selectors.EVENT_READ)
            return bool(selector.select(timeout))

    def close(self) -> None:
        """See :class:`ByteStream`."""
        self._sock.close()
