"""The cable's end of an emulated UART, for any number of fronts at once.

Each front gets everything that the part sends; what any of them writes goes to the part. A client
that writes faster than the line carries has to wait, as at a real port: nothing piles up here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from hil.clock import Event, World
    from hil.emulator.uart import Uart

__all__ = ["Cable", "Inlet"]

CHUNK = 4096
BACKLOG_US = 200_000
"""With so much on its way to the part, a client has to wait."""


class Cable:
    """One UART's other end.

    Args:
        world: a paced world.
        uart: the line.
    """

    def __init__(self, world: World, uart: Uart) -> None:
        self.uart = uart
        self._world = world
        self._receivers: list[Callable[[bytes], None]] = []
        self._task = world.spawn(self._carry, f"{uart.name} cable")

    def attach(self, receive: Callable[[bytes], None]) -> None:
        """Have ``receive`` called with what the part sends; it may not wait."""
        self._receivers.append(receive)

    def detach(self, receive: Callable[[bytes], None]) -> None:
        """No more calls."""
        self._receivers.remove(receive)

    @property
    def backlog_us(self) -> int:
        """How long the line needs for what is on its way to the part."""
        return self.uart.host_idle_at - self._world.now

    def close(self) -> None:
        """Let go of the line."""
        self._task.halt("cable pulled")

    def _carry(self) -> None:
        uart = self.uart
        while True:
            while uart.received:
                data = bytes(uart.received[:CHUNK])
                del uart.received[: len(data)]
                for receive in tuple(self._receivers):
                    receive(data)
            self._world.wait(uart.arrived, None)


class Inlet:
    """Reads a descriptor or socket only as fast as the line takes it.

    Args:
        world: a paced world.
        cable: the line.
        source: what becomes readable.
        readable: reads it and writes to the cable.
    """

    def __init__(
        self, world: World, cable: Cable, source: int | socket.socket, readable: Callable[[], None]
    ) -> None:
        self._world = world
        self._cable = cable
        self._source = source
        self._readable = readable
        self._resuming: Event | None = None
        self._closed = False
        world.listen(source, self._read)

    def close(self) -> None:
        """Stop reading; the source is not closed."""
        if self._closed:
            return
        self._closed = True
        if self._resuming is None:
            self._world.unlisten(self._source)
        else:
            self._resuming.cancel()

    def _read(self) -> None:
        self._readable()
        backlog = self._cable.backlog_us
        if backlog > BACKLOG_US and not self._closed:
            self._world.unlisten(self._source)
            self._resuming = self._world.after(backlog // 2, self._resume, "client may write again")

    def _resume(self) -> None:
        self._resuming = None
        self._world.listen(self._source, self._read)
