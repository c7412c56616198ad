"""What a driver needs of an I2C bus. Backends live beside this module, one each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from hil.clock import Clock

__all__ = ["I2CBus", "KnowsBusy"]


class I2CBus(Protocol):
    """One I2C bus; every call is one START … STOP transaction.

    Attributes:
        clock: the time that the bus and its devices live in.
        name: what errors and traces call it, e.g. ``"/dev/i2c-1"``.
        physical: False only for parts that this process emulates; the guard relies on it.
    """

    @property
    def clock(self) -> Clock: ...  # noqa: D102
    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def physical(self) -> bool: ...  # noqa: D102

    def write(self, address: int, data: bytes) -> None:
        """Write ``data`` to the 7-bit ``address``.

        Raises:
            I2CNack: the address or a byte was not acknowledged.
            I2CError: the bus failed otherwise.
        """
        ...

    def read(self, address: int, length: int) -> bytes:
        """Read exactly ``length`` bytes from the 7-bit ``address``.

        Raises:
            I2CNack: the address was not acknowledged.
            I2CError: the bus failed otherwise.
        """
        ...

    def wake_pulse(self) -> None:
        """Hold SDA low for at least 60 us: a zero byte to address 0 at 100 kHz or slower.

        The missing acknowledge is expected and no error. The caller waits tWHI itself.
        """
        ...


@runtime_checkable
class KnowsBusy(Protocol):
    """A bus that can tell how long a device will not answer, because it emulates the device."""

    def poll_in_vain(self, address: int, pause_us: int, deadline: int) -> None:
        """Let rounds of a read that is not acknowledged and a pause pass at once.

        Exactly those that the driver would do one by one, with the same time, bookings and count of bytes;
        none if anything could happen meanwhile.

        Args:
            address: 7-bit address that is read.
            pause_us: the pause behind each read.
            deadline: absolute; no round ends at it or later.
        """
        ...
