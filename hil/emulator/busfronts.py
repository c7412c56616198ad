"""The emulated bus as other people's drivers know it: smbus2, CircuitPython's ``busio``, ``time``.

Each front talks to an :class:`~hil.i2c.bus.I2CBus` and raises what the real thing raises, so that
a driver runs unchanged. A repeated START ends a write as a STOP would: an ATECC that waits for
missing bytes stops waiting at either (ATECC508A data sheet DS20005927A, section 9.1.2).

Sources: smbus2 0.6 ``smbus2.py``; Linux ``Documentation/i2c/fault-codes.rst``; CircuitPython
``shared-bindings/busio/I2C.c``.
"""

from __future__ import annotations

import errno
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from hil.errors import I2CError, I2CNack

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import TracebackType

    from hil.clock import Clock
    from hil.i2c.bus import I2CBus

__all__ = ["BusioFront", "Message", "SMBusFront", "TimeFront"]

I2C_M_RD = 0x0001
BLOCK_MAX = 32
"""Bytes of an SMBus block transfer (``I2C_SMBUS_BLOCK_MAX``)."""


class Message(Protocol):
    """What :meth:`SMBusFront.i2c_rdwr` takes: ``smbus2.i2c_msg``."""

    addr: int
    flags: int
    len: int
    buf: MessageBuffer


class MessageBuffer(Protocol):
    """The bytes of a message; each item is one byte."""

    def __getitem__(self, at: int, /) -> bytes: ...
    def __setitem__(self, at: int, value: bytes, /) -> None: ...


class SMBusFront:
    """The bus as an open ``smbus2.SMBus``.

    Args:
        bus: where transactions go.

    Attributes:
        nack_errno: what a missing acknowledge raises as ``OSError``: ``EREMOTEIO`` as on a Raspberry
            Pi, or ``ENXIO`` as on most others.
    """

    def __init__(self, bus: I2CBus) -> None:
        self._bus = bus
        self.nack_errno = errno.EREMOTEIO

    def open(self, bus: int | str) -> None:
        """Nothing to do: there is one bus."""

    def close(self) -> None:
        """Nothing to do."""

    def __enter__(self) -> SMBusFront:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def i2c_rdwr(self, *messages: Message) -> None:
        """Messages one after the other; those with ``I2C_M_RD`` are filled."""
        for message in messages:
            if message.flags & I2C_M_RD:
                for at, byte in enumerate(self._read(message.addr, message.len)):
                    message.buf[at] = bytes((byte,))
            else:
                self._write(message.addr, b"".join(message.buf[at] for at in range(message.len)))

    def write_quick(self, i2c_addr: int, force: bool | None = None) -> None:
        """An address byte alone: whether somebody acknowledges."""
        self._write(i2c_addr, b"")

    def read_byte(self, i2c_addr: int, force: bool | None = None) -> int:
        """One byte."""
        return self._read(i2c_addr, 1)[0]

    def write_byte(self, i2c_addr: int, value: int, force: bool | None = None) -> None:
        """One byte."""
        self._write(i2c_addr, bytes((value,)))

    def read_byte_data(self, i2c_addr: int, register: int, force: bool | None = None) -> int:
        """One byte behind ``register``, which is written first."""
        return self.read_i2c_block_data(i2c_addr, register, 1)[0]

    def write_byte_data(self, i2c_addr: int, register: int, value: int, force: bool | None = None) -> None:
        """``register`` and one byte."""
        self._write(i2c_addr, bytes((register, value)))

    def read_i2c_block_data(
        self, i2c_addr: int, register: int, length: int, force: bool | None = None
    ) -> list[int]:
        """Up to 32 bytes behind ``register``, which is written first."""
        if length > BLOCK_MAX:
            raise ValueError(f"Desired block length over {BLOCK_MAX} bytes")
        self._write(i2c_addr, bytes((register,)))
        return list(self._read(i2c_addr, length))

    def write_i2c_block_data(
        self, i2c_addr: int, register: int, data: Sequence[int], force: bool | None = None
    ) -> None:
        """``register`` and up to 32 bytes."""
        if len(data) > BLOCK_MAX:
            raise ValueError(f"Data length cannot exceed {BLOCK_MAX} bytes")
        self._write(i2c_addr, bytes((register, *data)))

    def _write(self, address: int, data: bytes) -> None:
        with self._as_the_kernel():
            self._bus.write(address, data)

    def _read(self, address: int, length: int) -> bytes:
        with self._as_the_kernel():
            return self._bus.read(address, length)

    @contextmanager
    def _as_the_kernel(self) -> Iterator[None]:
        try:
            yield
        except I2CNack as error:
            raise OSError(self.nack_errno, os.strerror(self.nack_errno)) from error
        except I2CError as error:
            raise OSError(errno.EBUSY, os.strerror(errno.EBUSY)) from error


class BusioFront:
    """The bus as a ``busio.I2C`` of CircuitPython or Blinka.

    Args:
        bus: where transactions go.
    """

    def __init__(self, bus: I2CBus) -> None:
        self._bus = bus
        self._locked = False

    def try_lock(self) -> bool:
        """Take the bus; False if somebody has it."""
        if self._locked:
            return False
        self._locked = True
        return True

    def unlock(self) -> None:
        """Give the bus back.

        Raises:
            ValueError: nobody had it.
        """
        if not self._locked:
            raise ValueError("Not locked")
        self._locked = False

    def deinit(self) -> None:
        """Nothing to do."""

    def scan(self) -> list[int]:
        """Addresses from 8 to 119 that acknowledge."""
        return [address for address in range(0x08, 0x78) if self._acknowledges(address)]

    def writeto(self, address: int, buffer: bytes, *, start: int = 0, end: int | None = None) -> None:
        """Write ``buffer[start:end]``."""
        with self._as_circuitpython():
            self._bus.write(address, bytes(buffer[start:end]))

    def readfrom_into(
        self, address: int, buffer: bytearray, *, start: int = 0, end: int | None = None
    ) -> None:
        """Fill ``buffer[start:end]``."""
        stop = len(buffer) if end is None else end
        with self._as_circuitpython():
            buffer[start:stop] = self._bus.read(address, stop - start)

    def writeto_then_readfrom(
        self,
        address: int,
        out_buffer: bytes,
        in_buffer: bytearray,
        *,
        out_start: int = 0,
        out_end: int | None = None,
        in_start: int = 0,
        in_end: int | None = None,
    ) -> None:
        """Write, then read."""
        self.writeto(address, out_buffer, start=out_start, end=out_end)
        self.readfrom_into(address, in_buffer, start=in_start, end=in_end)

    def _acknowledges(self, address: int) -> bool:
        try:
            self._bus.write(address, b"")
        except I2CNack:
            return False
        return True

    @contextmanager
    def _as_circuitpython(self) -> Iterator[None]:
        if not self._locked:
            raise RuntimeError("Function requires lock")
        try:
            yield
        except I2CNack as error:
            raise OSError(errno.ENODEV, os.strerror(errno.ENODEV)) from error
        except I2CError as error:
            raise OSError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT)) from error


class TimeFront:
    """What a driver uses of the module ``time``, on the clock of the emulated part.

    Put it in the place of the module: ``monkeypatch.setattr(my_driver, "time", atecc.time)``.

    Args:
        clock: the part's clock.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def sleep(self, seconds: float) -> None:
        """Let time pass; it costs none on a virtual clock."""
        self._clock.sleep(round(seconds * 1e6))

    def sleep_ms(self, ms: int) -> None:
        """As in MicroPython."""
        self._clock.sleep(ms * 1000)

    def sleep_us(self, us: int) -> None:
        """As in MicroPython."""
        self._clock.sleep(us)

    def monotonic_ns(self) -> int:
        """Nanoseconds since an arbitrary origin."""
        return self._clock.now * 1000

    def monotonic(self) -> float:
        """Seconds since an arbitrary origin."""
        return self._clock.now / 1e6

    def perf_counter(self) -> float:
        """The same."""
        return self.monotonic()
