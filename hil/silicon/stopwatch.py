"""A bus that remembers when a command was sent and when the element answered again."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from hil.errors import I2CNack
from hil.wire.atecc import WordAddress

if TYPE_CHECKING:
    from hil.clock import Clock
    from hil.i2c.bus import I2CBus

__all__ = ["Execution", "Stopwatch"]


@dataclass(frozen=True)
class Execution:
    """Between what bounds one execution ended, microseconds after the command's last byte.

    Attributes:
        busy_us: the element was seen busy then; 0 if it never was.
        ready_us: it answered then.
    """

    busy_us: float
    ready_us: float

    @property
    def seen_busy(self) -> bool:
        """Whether both bounds were seen."""
        return self.busy_us > 0

    @property
    def middle_us(self) -> float:
        """The middle of the bounds."""
        return (self.busy_us + self.ready_us) / 2


@dataclass
class Stopwatch:
    """Another bus, timed; an ``I2CBus``.

    A call through a board's firmware takes longer than its bits on the bus. For a write of one byte, whose
    request and answer are equally short, half of the difference lies before and half behind them. The answer
    to any write and the request of any read are as short, so that half is taken for all of them.

    Args:
        bus: the bus that does the work.
        hz: its speed.
    """

    bus: I2CBus
    hz: int
    _sent_at: float | None = field(default=None, init=False)
    _busy_at: float = field(default=0.0, init=False)
    _lag: float = field(default=0.0, init=False)
    last: Execution | None = field(default=None, init=False)
    """The last execution that ended with an answer."""

    @property
    def clock(self) -> Clock:
        """Clock of the bus."""
        return self.bus.clock

    @property
    def name(self) -> str:
        """Name of the bus."""
        return self.bus.name

    @property
    def physical(self) -> bool:
        """Whether the bus is a physical one."""
        return self.bus.physical

    def write(self, address: int, data: bytes) -> None:
        """See :meth:`hil.i2c.bus.I2CBus.write`."""
        start = self.clock.now
        self.bus.write(address, data)
        now = self.clock.now
        if len(data) == 1:
            beyond = max(0.0, now - start - 2 * 9 * 1_000_000 / self.hz)
            self._lag = min(self._lag or beyond / 2, beyond / 2)
        if data[:1] == bytes((WordAddress.COMMAND,)):
            self._sent_at, self._busy_at = now - self._lag, 0.0

    def read(self, address: int, length: int) -> bytes:
        """See :meth:`hil.i2c.bus.I2CBus.read`."""
        start = self.clock.now
        try:
            data = self.bus.read(address, length)
        except I2CNack:
            if self._sent_at is not None:
                self._busy_at = start + self._lag - self._sent_at
            raise
        if self._sent_at is not None:
            self.last = Execution(self._busy_at, start + self._lag - self._sent_at)
            self._sent_at = None
        return data

    def wake_pulse(self) -> None:
        """See :meth:`hil.i2c.bus.I2CBus.wake_pulse`."""
        self._sent_at = None
        self.bus.wake_pulse()
