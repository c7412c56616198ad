"""A network connection as a port, for the RPC channels that run on one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hil.errors import PortError

if TYPE_CHECKING:
    from hil.clock import Clock
    from hil.tls.stream import ByteStream

__all__ = ["StreamPort"]

CHUNK = 4096


class StreamPort:
    """A :class:`hil.serialport.port.Port` on a connected byte stream.

    Args:
        stream: belongs to the port from now on.
        name: what errors call it.
        clock: whose time deadlines are.
        physical: False only for a stream inside an emulated world.
    """

    def __init__(self, stream: ByteStream, *, name: str, clock: Clock, physical: bool) -> None:
        self.name = name
        self.clock = clock
        self.physical = physical
        self._stream = stream
        self._closed = False

    def write(self, data: bytes) -> None:
        """See :meth:`hil.serialport.port.Port.write`."""
        try:
            self._stream.sendall(data)
        except OSError as error:
            raise PortError(f"{self.name} went away: {error}") from error

    def read(self, deadline: int) -> bytes:
        """See :meth:`hil.serialport.port.Port.read`."""
        try:
            if not self._stream.wait_readable(deadline):
                return b""
            data = self._stream.recv(CHUNK)
        except OSError as error:
            raise PortError(f"{self.name} went away: {error}") from error
        if not data:
            raise PortError(f"{self.name} was closed by the device")
        return data

    def close(self) -> None:
        """See :meth:`hil.serialport.port.Port.close`."""
        if not self._closed:
            self._closed = True
            self._stream.close()
