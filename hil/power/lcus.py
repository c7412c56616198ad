"""LCUS-1/2/4/8 and NOYITO serial relays (CH340, 9600 baud).

Commands are not acknowledged. Boards with several channels answer a status request; the LCUS-1
does not. The adapter has no serial number: name its port by path.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hil.power.relay import State
from hil.wire.relays import LCUS_STATUS_REQUEST, lcus_command, parse_lcus_status

if TYPE_CHECKING:
    from hil.serialport.port import Port

__all__ = ["BAUD", "Lcus"]

BAUD = 9600
STATUS_US = 500_000
"""Longest wait for a status answer. [U] vendors give none; known drivers wait up to 2 s."""
QUIET_US = 20_000
"""An answer in the form without line ends is over after this pause."""


class Lcus:
    """One channel of an LCUS relay.

    Args:
        port: at :data:`BAUD`; owned and closed by the relay.
        channel: from 1.
        has_status: the board answers ``FF`` (several channels); otherwise the state stays unknown.
    """

    def __init__(self, port: Port, *, channel: int = 1, has_status: bool = False) -> None:
        self._port = port
        self._channel = channel
        self._has_status = has_status

    @property
    def name(self) -> str:
        """Port and channel."""
        return f"LCUS relay on {self._port.name}, channel {self._channel}"

    def on(self) -> None:
        """See :meth:`hil.power.relay.Relay.on`."""
        self._port.write(lcus_command(self._channel, True))

    def off(self) -> None:
        """See :meth:`hil.power.relay.Relay.off`."""
        self._port.write(lcus_command(self._channel, False))

    def readback(self) -> State:
        """The board's own word, if it has a status answer."""
        if not self._has_status:
            return State.UNKNOWN
        clock = self._port.clock
        while self._port.read(clock.now):
            pass  # what an earlier, slower answer left behind
        self._port.write(LCUS_STATUS_REQUEST)
        deadline = clock.now + STATUS_US
        answer = b""
        while data := self._port.read(min(deadline, clock.now + QUIET_US) if answer else deadline):
            answer += data
        return State.of(parse_lcus_status(answer, self._channel))

    def close(self) -> None:
        """Close the port."""
        self._port.close()
