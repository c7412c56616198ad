"""The emulated I2C bus: wires, and the master that a firmware model or a front drives.

A transaction takes nine bit times a byte, at the configured speed. Devices see the longest
time that SDA stays low, because that is what wakes a sleeping ATECC.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Protocol

from hil.errors import I2CError, I2CNack

if TYPE_CHECKING:
    from collections.abc import Callable

    from hil.clock import Clock
    from hil.i2c.trace import Transaction

__all__ = ["I2CDevice", "I2CMaster", "Lines"]


class I2CDevice(Protocol):
    """A part on the bus. Times are the world's; methods are called when the bits have passed."""

    def sda_low(self, us: int) -> None:
        """SDA was low for ``us`` microseconds without a break (traffic for anybody)."""
        ...

    def acknowledges(self, address: int, read: bool) -> bool:
        """Whether the part pulls SDA low after the address byte."""
        ...

    def written(self, data: bytes) -> int:
        """A write transaction of ``data`` reached its STOP; returns how many bytes were acknowledged."""
        ...

    def read(self, length: int) -> bytes:
        """A read transaction of ``length`` bytes."""
        ...


@dataclass
class Lines:
    """SDA, SCL and what hangs on them.

    Attributes:
        sda_gpio: MCU pin that the SDA wire really goes to.
        scl_gpio: MCU pin that the SCL wire really goes to.
        devices: parts on the bus.
        held_low: SDA is stuck low for good (a short, or a dead part).
        open: a wire is broken: nobody is reached.
        rise_us: how long a line takes to rise through its pull-up; a 1 is seen as a 0 where this is
            longer than half a bit. 0.4 us is 4.7 kilo-ohm at 100 pF.
        stuck_clocks: a part that was interrupted within a byte holds SDA until it has seen so many
            clock pulses.
        analyser: a logic analyser on the wires: firmware that starts while one is attached has each of
            its transactions told to it.
    """

    sda_gpio: int
    scl_gpio: int
    devices: list[I2CDevice] = field(default_factory=list)
    held_low: bool = False
    open: bool = False
    rise_us: float = 0.4
    stuck_clocks: int = 0
    analyser: Callable[[Transaction], None] | None = None

    @property
    def sda_is_low(self) -> bool:
        """Whether somebody holds SDA while the bus should be idle."""
        return self.held_low or self.stuck_clocks > 0


@lru_cache(maxsize=256)
def longest_low_bits(address: int, read: bool, acknowledged: bool, data: bytes = b"") -> int:
    """Longest run of low bit times on SDA that the master causes; data bits only if acknowledged."""
    bits = f"{address << 1 | int(read):08b}" + ("0" if acknowledged else "1")
    if acknowledged and not read:
        bits += "".join(f"{byte:08b}0" for byte in data)
    return max(map(len, bits.split("1")))


class I2CMaster:
    """The MCU's I2C peripheral (or bit-banged pins) on :class:`Lines`; an ``I2CBus``.

    Args:
        clock: whose time transactions take, usually a ``World``.
        lines: the wires.
        sda, scl: the pins that the firmware is configured for.
        hz: bus speed.
        gap_us: extra time a byte that bit-banging firmware takes.
        name: what errors and traces call the bus.
    """

    physical = False

    def __init__(
        self,
        clock: Clock,
        lines: Lines,
        *,
        sda: int,
        scl: int,
        hz: int = 100_000,
        gap_us: int = 0,
        name: str = "emulated I2C",
    ) -> None:
        self.clock = clock
        self.name = name
        self.hz = hz
        self.bytes = 0
        """Bytes that crossed the bus so far, address bytes included."""
        self._lines = lines
        self._sda = sda
        self._scl = scl
        self._gap_us = gap_us

    def write(self, address: int, data: bytes) -> None:
        """One write transaction; see :meth:`hil.i2c.bus.I2CBus.write`."""
        device = self._address(address, read=False, data=data)
        self._spend(len(data))
        accepted = device.written(data)
        if accepted < len(data):
            raise I2CNack(address, at=accepted)

    def read(self, address: int, length: int) -> bytes:
        """One read transaction; see :meth:`hil.i2c.bus.I2CBus.read`."""
        device = self._address(address, read=True)
        self._spend(length)
        return device.read(length)

    def probe(self, address: int) -> bool:
        """A zero-length write: whether somebody acknowledges ``address``."""
        try:
            self.write(address, b"")
        except I2CNack:
            return False
        return True

    def wake_pulse(self) -> None:
        """A zero byte to address 0 at 100 kHz or slower, whatever the configured speed."""
        configured, self.hz = self.hz, min(self.hz, 100_000)
        try:
            self.write(0, b"\x00")
        except I2CNack:
            pass  # nobody has address 0: the low time is all that counts
        finally:
            self.hz = configured

    def recover(self, clocks: int = 16) -> None:
        """Clock pulses and a STOP, as firmware frees the bus when it starts."""
        self.clock.spend("i2c", clocks * 1_000_000 // self.hz)
        if (self._sda, self._scl) == (self._lines.sda_gpio, self._lines.scl_gpio):
            self._lines.stuck_clocks = max(0, self._lines.stuck_clocks - clocks)

    @property
    def analyser(self) -> Callable[[Transaction], None] | None:
        """Whoever watches the wires; see :class:`Lines`."""
        return self._lines.analyser

    @property
    def too_fast(self) -> bool:
        """Whether the lines do not rise in time for this speed."""
        return self._lines.rise_us * self.hz * 2 > 1_000_000

    def _address(self, address: int, *, read: bool, data: bytes = b"") -> I2CDevice:
        self._spend(1)
        lines = self._lines
        if lines.open or (self._sda, self._scl) != (lines.sda_gpio, lines.scl_gpio):
            raise I2CNack(address)
        if lines.sda_is_low:
            raise I2CError("SDA is low while the bus should be idle", hint="something holds the line down")
        if self.too_fast:
            raise I2CError(f"SDA does not rise in time for {self.hz} Hz", hint="check the pull-ups")
        answering = [d for d in lines.devices if d.acknowledges(address, read)]
        low_us = longest_low_bits(address, read, bool(answering), data) * 1_000_000 // self.hz
        for device in lines.devices:
            device.sda_low(low_us)
        if not answering:
            raise I2CNack(address)
        return answering[0]

    def _spend(self, nbytes: int) -> None:
        self.bytes += nbytes
        self.clock.spend("i2c", nbytes * 9 * 1_000_000 // self.hz + nbytes * self._gap_us)
