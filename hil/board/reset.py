"""The reset line of a board: RTS pulls EN low through a transistor, DTR would pull IO0.

Source: Espressif ESP32-DevKitC schematic, the two transistors behind the USB bridge; ESP8266 boards
have the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hil.serialport.port import SerialPort

__all__ = ["RESET_US", "pulse_reset"]

RESET_US = 100_000
"""How long EN is held low."""


def pulse_reset(port: SerialPort) -> None:
    """Restart the chip; IO0 stays high, so that it boots what lies in flash.

    Raises:
        PortError: the port has no modem lines, or went away.
    """
    port.set_lines(dtr=False, rts=True)
    port.clock.sleep(RESET_US)
    port.set_lines(dtr=False, rts=False)
