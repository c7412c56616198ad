"""pyserial's handler of ``emu://<rig>/<line>``: the bytes of an emulated UART, in virtual time.

Reading runs the world until enough bytes have arrived or the timeout has passed on its clock;
nothing waits on the computer's clock. The module name and the class name are pyserial's rule
(``serial.protocol_handler_packages``).
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from serial.serialutil import PortNotOpenError, SerialBase, SerialException

from hil.errors import PortError
from hil.serialport.emulated import EmulatedLine, find

if TYPE_CHECKING:
    from hil.clock import World

__all__ = ["Serial"]


class Serial(SerialBase):
    """One emulated line as a pyserial port."""

    _line: EmulatedLine | None = None

    def open(self) -> None:
        """Find the line in the table of this process."""
        if self.port is None:
            raise SerialException("the port has no name yet")
        if self.is_open:
            raise SerialException(f"{self.port} is open already")
        try:
            self._line = find(self.port)
        except PortError as error:
            raise SerialException(errno.ENOENT, str(error)) from error
        self.is_open = True
        self._reconfigure_port()
        self._set_lines()

    def close(self) -> None:
        """Let go of the line; what it has received stays in it."""
        self.is_open = False
        self._line = None

    @property
    def world(self) -> World:
        """The world that the line lives in."""
        return self._opened().world

    @property
    def line(self) -> EmulatedLine:
        """The line itself."""
        return self._opened()

    @property
    def in_waiting(self) -> int:
        """How many bytes have arrived."""
        return len(self._opened().received)

    @property
    def out_waiting(self) -> int:
        """Nothing waits: the line takes bytes at once and sends them at its rate."""
        return 0

    def read(self, size: int = 1, /) -> bytes:
        """Up to ``size`` bytes; fewer when ``timeout`` has passed on the world's clock."""
        line = self._opened()
        received = line.received
        if len(received) < size:
            timeout = self.timeout
            deadline = None if timeout is None else line.world.now + round(timeout * 1e6)
            line.world.run_until(lambda: len(received) >= size, deadline)
        data = bytes(received[:size])
        del received[:size]
        return data

    def read_by(self, deadline: int) -> tuple[int, bytes]:
        """When the oldest bytes arrived, and all that did then; ``b""`` at ``deadline`` of the world's clock.

        As soon as there are any. Nobody else keeps the times: a reader that comes late still gets them.
        """
        line = self._opened()
        received = line.received
        if not received and deadline > line.world.now:
            line.world.run_until(lambda: len(received) > 0, deadline)
        if not received:
            return line.world.now, b""
        at, count = line.first_arrival()
        data = bytes(received[:count])
        del received[:count]
        return at, data

    def write(self, data: bytes, /) -> int:  # type: ignore[override]  # pyserial takes any buffer; so do we
        """Send ``data``; returns at once, the line takes its time."""
        self._opened().host_write(bytes(data))
        return len(data)

    def flush(self) -> None:
        """Nothing is buffered on this side."""

    def reset_input_buffer(self) -> None:
        """Drop what has arrived."""
        self._opened().received.clear()

    def reset_output_buffer(self) -> None:
        """Nothing is buffered on this side."""

    def _opened(self) -> EmulatedLine:
        if self._line is None:
            raise PortNotOpenError
        return self._line

    def _reconfigure_port(self) -> None:
        self._opened().host_baud = self.baudrate

    def _set_lines(self) -> None:
        self._opened().set_lines(self.dtr, self.rts)

    def _update_dtr_state(self) -> None:
        self._set_lines()

    def _update_rts_state(self) -> None:
        self._set_lines()

    def _update_break_state(self) -> None:
        """A break condition has no effect on the emulated parts."""

    @property
    def cts(self) -> bool:
        """Not wired."""
        return False

    @property
    def dsr(self) -> bool:
        """Not wired."""
        return False

    @property
    def ri(self) -> bool:
        """Not wired."""
        return False

    @property
    def cd(self) -> bool:
        """Not wired."""
        return False
