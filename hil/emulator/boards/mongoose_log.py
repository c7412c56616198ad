"""How Mongoose OS writes its console log.

A line has a 24-character prefix ``file:line``, left-justified, the file name cut to fit
(``mgos_i2c_gpio_maste:248 ``), then the message. There is no time and no level in it. Lines of
the TLS library (``ATCA:…``, ``SW ECDSA …``) come without a prefix, whatever the level.
Source: cesanta/mongoose-os ``common/cs_dbg.c``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from hil.clock import World
    from hil.emulator.uart import Uart

__all__ = ["DEBUG", "ERROR", "INFO", "WARN", "Console", "Origin", "log_line"]

ERROR: Final = 0
WARN: Final = 1
INFO: Final = 2
DEBUG: Final = 3

PREFIX_WIDTH = 24


class Origin(NamedTuple):
    """Where in the firmware's source a line is written; numbers are those of a 2.20 build."""

    file: str
    line: int


def log_line(origin: Origin, message: str) -> bytes:
    """One console line with its prefix and line end."""
    number = f":{origin.line}"
    name = origin.file[: PREFIX_WIDTH - 1 - len(number)]
    return f"{name + number:<{PREFIX_WIDTH}}{message}\n".encode("ascii", "replace")


class Console:
    """The board's transmitter on the console UART: log, library output and RPC frames.

    Args:
        world: whose running task is checked, so that a halted task says nothing more.
        uart: the line.

    Attributes:
        level: highest level that is printed (``debug.level``).
        muted: the log goes nowhere (``debug.stderr_uart`` is another UART); frames still go out.
        gated: the pins have no power.
    """

    def __init__(self, world: World, uart: Uart) -> None:
        self.level: int = INFO
        self.muted = False
        self.gated = True
        self._world = world
        self._uart = uart

    def log(self, origin: Origin, message: str, level: int = INFO) -> None:
        """A log line, if its level is on."""
        if level <= self.level:
            self.print(log_line(origin, message))

    def raw(self, text: str) -> None:
        """A line of a library that writes to stderr by itself."""
        self.print(text.encode("ascii", "replace") + b"\n")

    def print(self, data: bytes) -> None:
        """Console output, unless it is muted."""
        if not self.muted:
            self.transmit(data)

    def transmit(self, data: bytes) -> None:
        """Bytes on the line. A halted task ends here."""
        task = self._world.running
        if task is not None:
            task.check()
        if not self.gated:
            self._uart.send(data)
