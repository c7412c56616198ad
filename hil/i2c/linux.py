"""An I2C bus of the Linux kernel, ``/dev/i2c-N``, through smbus2.

Each transaction is one ``I2C_RDWR`` ioctl with one message: one START … STOP, no repeated start.
User space cannot change the bus speed: for the wake pulse the adapter must run at 100 kHz (133 kHz
at most), which is the usual default (Raspberry Pi: ``dtparam=i2c_arm_baudrate=100000``).

Sources: Linux ``Documentation/i2c/dev-interface.rst`` and ``Documentation/i2c/fault-codes.rst``.
"""

from __future__ import annotations

import errno
from contextlib import suppress
from typing import TYPE_CHECKING

from smbus2 import I2cFunc, SMBus, i2c_msg

from hil.errors import I2CError, I2CNack, PortError

if TYPE_CHECKING:
    from collections.abc import Collection

    from hil.clock import Clock

__all__ = ["NACK_ERRNOS", "LinuxI2C"]

NACK_ERRNOS = frozenset({errno.ENXIO, errno.EREMOTEIO})
"""What adapters report when nobody acknowledges: it depends on the driver."""

_MEANING = {
    errno.EAGAIN: "arbitration was lost: is there another master?",
    errno.ETIMEDOUT: "the transfer timed out: SCL is held low",
    errno.EBUSY: "the bus is busy: SDA is held low",
    errno.EIO: "the adapter reports an input/output error",
    errno.EOPNOTSUPP: "the adapter cannot do this transfer",
}


class LinuxI2C:
    """An ``I2CBus`` on a Linux adapter.

    Args:
        bus: the adapter's number, or the path of its device.
        clock: the rig's clock.
        nack_errnos: errors that mean a missing acknowledge on this adapter.

    Raises:
        PortError: the device is absent, not permitted, or no I2C adapter.
    """

    physical = True

    def __init__(self, bus: int | str, *, clock: Clock, nack_errnos: Collection[int] = NACK_ERRNOS) -> None:
        self.name = bus if isinstance(bus, str) else f"/dev/i2c-{bus}"
        self.clock = clock
        self._nack_errnos = nack_errnos
        self._bus = SMBus()
        try:
            self._bus.open(self.name)
        except FileNotFoundError as error:
            hint = "load the module i2c-dev; on a Raspberry Pi switch I2C on with raspi-config"
            raise PortError(f"there is no {self.name}", hint=hint) from error
        except PermissionError as error:
            raise PortError(f"no permission to open {self.name}", hint="join the group i2c") from error
        except OSError as error:
            self.close()
            raise PortError(f"{self.name} is no I2C adapter: {error}") from error
        if not self._bus.funcs & I2cFunc.I2C:
            self.close()
            raise PortError(f"{self.name} is an SMBus adapter without plain I2C transfers")

    def close(self) -> None:
        """Let go of the device; harmless when closed."""
        self._bus.close()

    def write(self, address: int, data: bytes) -> None:
        """One write transaction; see :meth:`hil.i2c.bus.I2CBus.write`.

        The kernel does not tell which byte was refused: :class:`I2CNack` names the address.
        """
        self._transfer(address, i2c_msg.write(address, data))

    def read(self, address: int, length: int) -> bytes:
        """One read transaction; see :meth:`hil.i2c.bus.I2CBus.read`."""
        message = i2c_msg.read(address, length)
        self._transfer(address, message)
        return bytes(message)

    def wake_pulse(self) -> None:
        """A zero byte to address 0; see :meth:`hil.i2c.bus.I2CBus.wake_pulse`."""
        with suppress(I2CNack):  # nobody has address 0: the low time is all that counts
            self.write(0, b"\x00")

    def _transfer(self, address: int, message: i2c_msg) -> None:
        try:
            self._bus.i2c_rdwr(message)
        except OSError as error:
            if error.errno in self._nack_errnos:
                raise I2CNack(address) from error
            if error.errno in (errno.ENODEV, errno.EBADF):
                raise PortError(f"{self.name} went away: {error}") from error
            meaning = _MEANING.get(error.errno or 0, str(error))
            raise I2CError(f"0x{address:02x} on {self.name}: {meaning}") from error
