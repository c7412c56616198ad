"""A UART between an emulated part and whoever holds the other end of the cable.

Bytes arrive through events, at the time their last bit has passed. Cutting the part's power
drops what is in flight.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from hil.clock import World

__all__ = ["Uart"]


class Uart:
    """One serial line, both ends.

    The part's end: :meth:`send`, :attr:`on_bytes`, :attr:`baud`. The cable's end (used by the
    ``emu://`` port and by the pty and rfc2217 fronts): :meth:`host_write`, :attr:`received`,
    :attr:`host_baud`, :meth:`set_lines`.

    Args:
        world: whose time the bits take.
        name: for traces.
        baud: initial rate of both ends.
    """

    def __init__(self, world: World, name: str, baud: int = 115_200) -> None:
        self.world = world
        self.name = name
        self.baud = baud
        self.host_baud = baud
        self.received = bytearray()
        """What has arrived at the cable's end and was not read yet."""
        self.on_bytes: Callable[[bytes], None] = lambda data: None
        """The part's receiver; called in an event."""
        self.on_lines: Callable[[bool, bool], None] = lambda dtr, rts: None
        """Called with (DTR, RTS), True = asserted, when the host changes a modem line."""
        self.arrived = world.signal(f"{name} bytes")
        self.skew = 1.0
        """The part's clock against its nominal rate; a wrong crystal makes every rate wrong."""
        self.noise: Callable[[bytes], bytes] = lambda data: data
        """What the cable does to bytes, in either direction."""
        self._total = 0
        self._arrivals: deque[tuple[int, int]] = deque()
        """For each piece that is not read yet: how many bytes had arrived with it, and when it did."""
        self._generation = 0
        self._to_host_free = 0
        self._to_part_free = 0

    def send(self, data: bytes) -> None:
        """The part sends ``data``; it does not wait for the line."""
        if not data:
            return
        start = max(self.world.now, self._to_host_free)
        baud = self._rate
        self._to_host_free = start + _line_us(len(data), baud)
        generation = self._generation

        def arrive() -> None:
            if generation == self._generation:
                self._arrive(self.noise(_garbled(data, baud, self.host_baud)))

        self.world.at(self._to_host_free, arrive, f"{self.name} → host {len(data)} bytes")

    def _arrive(self, data: bytes) -> None:
        self._forget_what_was_read()
        self.received += data
        self._total += len(data)
        self._arrivals.append((self._total, self.world.now))
        self.arrived.set()

    def first_arrival(self) -> tuple[int, int]:
        """When the oldest bytes of :attr:`received` arrived, and how many of them did then."""
        begin = self._forget_what_was_read()
        if not self._arrivals:
            return self.world.now, len(self.received)
        end, at = self._arrivals[0]
        return at, end - begin

    def _forget_what_was_read(self) -> int:
        """How many bytes were taken out of :attr:`received` so far; whoever reads just deletes them."""
        begin = self._total - len(self.received)
        while self._arrivals and self._arrivals[0][0] <= begin:
            self._arrivals.popleft()
        return begin

    @property
    def _rate(self) -> int:
        """The rate that the part really runs at."""
        return self.baud if self.skew == 1.0 else round(self.baud * self.skew)

    @property
    def idle_at(self) -> int:
        """When the part's transmitter will have sent everything."""
        return max(self.world.now, self._to_host_free)

    @property
    def host_idle_at(self) -> int:
        """When everything that the host has written will have arrived."""
        return max(self.world.now, self._to_part_free)

    def host_write(self, data: bytes) -> None:
        """The host sends ``data``."""
        if not data:
            return
        start = max(self.world.now, self._to_part_free)
        self._to_part_free = start + _line_us(len(data), self.host_baud)
        generation = self._generation
        baud = self.host_baud

        def arrive() -> None:
            if generation == self._generation:
                self.on_bytes(self.noise(_garbled(data, baud, self._rate)))

        self.world.at(self._to_part_free, arrive, f"host → {self.name} {len(data)} bytes")

    def set_lines(self, dtr: bool, rts: bool) -> None:
        """The host sets its modem lines."""
        self.on_lines(dtr, rts)

    def cut(self) -> None:
        """The part lost power: what is in flight in either direction is gone."""
        self._generation += 1
        self._to_host_free = self._to_part_free = self.world.now


def _line_us(nbytes: int, baud: int) -> int:
    """Time of ``nbytes`` at 8N1."""
    return nbytes * 10 * 1_000_000 // baud


def _garbled(data: bytes, sent: int, sampled: int) -> bytes:
    """What a receiver at ``sampled`` baud makes of bytes sent at ``sent`` baud."""
    if abs(sent - sampled) * 25 <= sampled:  # within 4 %: a UART's tolerance
        return data
    return bytes((byte * sampled // sent ^ 0xA5) & 0xFF | 0x80 for byte in data)
