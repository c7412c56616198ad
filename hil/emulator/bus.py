"""The emulated I2C bus: wires, and the master that a firmware model or a front drives.

A transaction takes nine bit times a byte, at the configured speed. Devices see the longest
time that SDA stays low, because that is what wakes a sleeping ATECC.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Protocol

from hil.clock import World
from hil.errors import I2CError, I2CNack

if TYPE_CHECKING:
    from collections.abc import Callable

    from hil.clock import Clock
    from hil.i2c.trace import Transaction

__all__ = ["I2CDevice", "I2CMaster", "Lines"]


class I2CDevice(Protocol):
    """A part on the bus. Times are the world's; methods are called when the bits have passed."""

    def sda_low(self, us: int) -> None:
        """SDA was low for ``us`` microseconds without a break: traffic that this part does not answer."""
        ...

    def acknowledges(self, address: int, read: bool) -> bool:
        """Whether the part pulls SDA low after the address byte."""
        ...

    def deaf_until(self, address: int) -> int:
        """Before when reads of ``address`` are neither acknowledged nor noticed; 0 = nothing is certain."""
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


_RISES_UNTIL = 500_000
"""Rise time in us times speed in Hz at which a line needs half a bit to rise."""
_ON_SDA = tuple(f"{byte:08b}0" for byte in range(256))
"""Levels of SDA while a byte crosses that is acknowledged."""


@lru_cache(maxsize=512)
def _address_on_sda(address: int, read: bool, acknowledged: bool) -> str:
    return f"{address << 1 | int(read):08b}" + ("0" if acknowledged else "1")


def longest_low_bits(address: int, read: bool, acknowledged: bool, data: bytes = b"") -> int:
    """Longest run of low bit times on SDA that the master causes; data bits only if acknowledged."""
    bits = _address_on_sda(address, read, acknowledged)
    if data and acknowledged and not read:
        bits += "".join(map(_ON_SDA.__getitem__, data))
    return len(max(bits.split("1")))  # of strings of zeros, the longest is the greatest


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
        device = self._transfer(address, False, len(data), data)
        if device is None:
            raise I2CNack(address)
        accepted = device.written(data)
        if accepted < len(data):
            raise I2CNack(address, at=accepted)

    def read(self, address: int, length: int) -> bytes:
        """One read transaction; see :meth:`hil.i2c.bus.I2CBus.read`."""
        device = self._transfer(address, True, length)
        if device is None:
            raise I2CNack(address)
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
            device = self._transfer(0, False, 1, b"\x00")
            if device is not None:  # nobody has address 0 as a rule: the low time is all that counts
                device.written(b"\x00")
        finally:
            self.hz = configured

    def poll_in_vain(self, address: int, pause_us: int, deadline: int) -> None:
        """See :class:`hil.i2c.bus.KnowsBusy`."""
        clock, lines = self.clock, self._lines
        usual = self._on_the_wires and not (lines.open or lines.sda_is_low)
        if not usual or self.too_fast or not isinstance(clock, World):
            return
        until = deadline
        for device in lines.devices:
            until = min(until, device.deaf_until(address))
        byte_us = 9_000_000 // self.hz + self._gap_us
        first, round_us = clock.now + byte_us, byte_us + pause_us
        rounds = (until - 1 - first) // round_us + 1  # so many times the byte ends before
        if rounds > 0:
            rounds = (clock.quiet_until(clock.now + rounds * round_us + 1) - 1 - clock.now) // round_us
        if rounds > 0:
            self.bytes += rounds
            clock.spend("i2c", rounds * byte_us)
            clock.sleep(rounds * pause_us)

    def recover(self, clocks: int = 16) -> None:
        """Clock pulses and a STOP, as firmware frees the bus when it starts."""
        self.clock.spend("i2c", clocks * 1_000_000 // self.hz)
        if self._on_the_wires:
            self._lines.stuck_clocks = max(0, self._lines.stuck_clocks - clocks)

    @property
    def analyser(self) -> Callable[[Transaction], None] | None:
        """Whoever watches the wires; see :class:`Lines`."""
        return self._lines.analyser

    @property
    def _on_the_wires(self) -> bool:
        return self._sda == self._lines.sda_gpio and self._scl == self._lines.scl_gpio

    @property
    def too_fast(self) -> bool:
        """Whether the lines do not rise in time for this speed."""
        return self._lines.rise_us * self.hz > _RISES_UNTIL

    def _transfer(self, address: int, read: bool, length: int, data: bytes = b"") -> I2CDevice | None:
        """The bits of a transaction; whoever acknowledges its address byte, without which it ends there."""
        clock, lines, hz, gap_us = self.clock, self._lines, self.hz, self._gap_us
        self.bytes += 1
        clock.spend("i2c", 9_000_000 // hz + gap_us)
        if lines.open or self._sda != lines.sda_gpio or self._scl != lines.scl_gpio:
            return None
        if lines.held_low or lines.stuck_clocks:
            raise I2CError("SDA is low while the bus should be idle", hint="something holds the line down")
        if lines.rise_us * hz > _RISES_UNTIL:
            raise I2CError(f"SDA does not rise in time for {hz} Hz", hint="check the pull-ups")
        answering: I2CDevice | None = None
        others: list[I2CDevice] = []
        for device in lines.devices:
            if device.acknowledges(address, read) and answering is None:
                answering = device
            else:
                others.append(device)
        if others:
            low_bits = longest_low_bits(address, read, answering is not None, data)
            for device in others:
                device.sda_low(low_bits * 1_000_000 // hz)
        if answering is not None:
            self.bytes += length
            clock.spend("i2c", length * 9_000_000 // hz + length * gap_us)
        return answering
