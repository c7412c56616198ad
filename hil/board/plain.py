"""A board of which a rig needs no more than its console and its starts: the ground for one of your own."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from hil.board.bootlog import Boot, BootWatch
from hil.board.console import Console
from hil.errors import DeviceTimeout

if TYPE_CHECKING:
    from hil.board.transcript import Line
    from hil.serialport.port import Port

__all__ = ["PlainBoard"]


class PlainBoard:
    """A board with a console.

    Args:
        port: the serial port; the board owns and closes it.
        ready: regular expression of the line with which a start is complete; it may lack its end, as
            a prompt does.
        banner: regular expression of the line with which a start begins; without it, the lines of
            Espressif's ROMs and of Mongoose OS. What was on the console's last line when the power
            went may stand before it.

    Attributes:
        console: reads the port; nobody else does.
    """

    def __init__(self, port: Port, *, ready: str, banner: str = "") -> None:
        self.console = Console(port)
        self._ready = ready
        self._banner = re.compile(banner)
        self._boots: list[Boot] = []
        self._unexpected: list[Boot] = []
        self._expecting_boot = False
        self._began = self.console.transcript.mark()
        watch = BootWatch(self._begins)
        self.console.on_line.append(self._look if banner else watch.feed)

    def close(self) -> None:
        """Close the port."""
        self.console.close()

    @property
    def boots(self) -> tuple[Boot, ...]:
        """Every start that the console has seen, oldest first."""
        return tuple(self._boots)

    @property
    def unexpected_boots(self) -> tuple[Boot, ...]:
        """Starts that nobody had announced; a test during which one happens has failed."""
        return tuple(self._unexpected)

    def expect_boot(self) -> None:
        """Announce a start: power is about to be switched on, or the chip to be reset."""
        self.console.drain()
        self._expecting_boot = True

    def wait_for_boot(self, *, timeout_us: int) -> Boot:
        """Wait until a start announced by :meth:`expect_boot` is complete.

        Raises:
            DeviceTimeout: no start, or one that stopped half way.
        """
        deadline = self.console.clock.now + timeout_us
        while self._expecting_boot:
            if not self.console.pump(deadline):
                raise DeviceTimeout(
                    f"no start within {timeout_us / 1e6:.3f} s on {self.console.name}; "
                    f"the last bytes: {self.console.last_bytes()!r}"
                )
        left = max(0, deadline - self.console.clock.now)
        self.console.expect(self._ready, timeout_us=left, since=self._began, partial=True)
        return self._boots[-1]

    def answers(self) -> bool:
        """Whether the firmware runs although no start of it was seen; a plain board cannot be asked."""
        return False

    def _look(self, line: Line) -> None:
        if self._banner.search(line.text):
            self._begins(Boot(line.at))

    def _begins(self, boot: Boot) -> None:
        self._boots.append(boot)
        self._began = self.console.transcript.mark()
        if self._expecting_boot:
            self._expecting_boot = False
        else:
            self._unexpected.append(boot)
