"""The receiving end of an emulated Mongoose OS board's console UART.

Bytes are handled by the main loop. While the loop is busy (a signature in software takes seconds)
they wait in the UART's buffer; with ``rpc.uart.fc_type`` 2 the firmware says XOFF before the buffer
is full and XON when there is room again, otherwise what does not fit is lost.
Source: mongoose-os ``src/mgos_uart.c``, ``include/mgos_uart.h``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from hil.wire.mgrpc import XOFF, XON

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["ReceiveBuffer"]

SIZE: Final = 384
"""Hardware FIFO of 128 bytes and ``rx_buf_size`` 256."""
STOP_AT: Final = 256
"""Where flow control says stop; not published, a knob of the model."""


class ReceiveBuffer:
    """Bytes that wait for the main loop.

    Args:
        handle: takes received bytes, in an event.
        send: puts a flow control byte on the line.

    Attributes:
        flow_control: whether XOFF and XON are sent.
        lost: how many bytes found no room since the last reset.
    """

    def __init__(self, handle: Callable[[bytes], None], send: Callable[[bytes], None]) -> None:
        self.flow_control = False
        self.lost = 0
        self._handle = handle
        self._send = send
        self._waiting = bytearray()
        self._stopped = False

    def arrived(self, data: bytes, *, busy: bool) -> None:
        """Bytes came in over the line."""
        if not busy and not self._waiting:
            self._handle(data)
            return
        room = SIZE - len(self._waiting)
        self._waiting += data[:room]
        self.lost += max(0, len(data) - room)
        if self.flow_control and not self._stopped and len(self._waiting) >= STOP_AT:
            self._stopped = True
            self._send(XOFF)

    @property
    def waiting(self) -> bool:
        """Whether bytes wait for the main loop."""
        return bool(self._waiting)

    def drain(self) -> None:
        """The main loop is free: handle what waits."""
        data = bytes(self._waiting)
        self._waiting.clear()
        if self._stopped:
            self._stopped = False
            self._send(XON)
        if data:
            self._handle(data)

    def reset(self) -> None:
        """Power-off or reset."""
        self._waiting.clear()
        self._stopped = False
        self.lost = 0
