"""A bus that another package brings: physical for the guard, and its errors are the bus's."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from hil.errors import HilError, I2CError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hil.clock import Clock
    from hil.i2c.bus import I2CBus

__all__ = ["BUS_MEMBERS", "OwnBus"]

BUS_MEMBERS = ("clock", "name", "write", "read", "wake_pulse")
"""What a bus must have; see :class:`hil.i2c.bus.I2CBus`."""


class OwnBus:
    """A :class:`hil.i2c.bus.I2CBus` around a foreign one.

    Attributes:
        physical: always: only what this process emulates counts as emulated.
    """

    physical = True

    def __init__(self, bus: I2CBus) -> None:
        self._bus = bus

    @property
    def clock(self) -> Clock:
        """The bus's clock."""
        return self._bus.clock

    @property
    def name(self) -> str:
        """The bus's name."""
        return self._bus.name

    def write(self, address: int, data: bytes) -> None:
        """See :meth:`hil.i2c.bus.I2CBus.write`."""
        with self._its_errors():
            self._bus.write(address, data)

    def read(self, address: int, length: int) -> bytes:
        """See :meth:`hil.i2c.bus.I2CBus.read`.

        Raises:
            I2CError: the bus failed, or gave another number of bytes.
        """
        with self._its_errors():
            data = bytes(self._bus.read(address, length))
        if len(data) != length:
            raise I2CError(f"{self.name} gave {len(data)} bytes for a read of {length}")
        return data

    def wake_pulse(self) -> None:
        """See :meth:`hil.i2c.bus.I2CBus.wake_pulse`."""
        with self._its_errors():
            self._bus.wake_pulse()

    @contextmanager
    def _its_errors(self) -> Iterator[None]:
        try:
            yield
        except HilError:
            raise
        except Exception as error:  # whatever a foreign package does
            raise I2CError(f"{self.name}: {error!r}") from error
