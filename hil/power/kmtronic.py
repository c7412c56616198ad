"""KMTronic USB relays (FTDI, 9600 baud)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hil.power.exchange import ask
from hil.power.relay import State
from hil.wire.kmtronic import parse_status, status_command, status_length, switch_command

if TYPE_CHECKING:
    from hil.serialport.port import Port

__all__ = ["BAUD", "Kmtronic"]

BAUD = 9600


class Kmtronic:
    """One output of a KMTronic board; commands are not acknowledged, the state can be read.

    Args:
        port: at :data:`BAUD`; owned and closed by the relay.
        channel: from 1.
        channels: how many outputs the board has; decides the form of its status.
    """

    def __init__(self, port: Port, *, channel: int = 1, channels: int = 1) -> None:
        self._port = port
        self._channel = channel
        self._channels = channels

    @property
    def name(self) -> str:
        """Port and channel."""
        return f"KMTronic relay on {self._port.name}, channel {self._channel}"

    def on(self) -> None:
        """See :meth:`hil.power.relay.Relay.on`."""
        self._port.write(switch_command(self._channel, True))

    def off(self) -> None:
        """See :meth:`hil.power.relay.Relay.off`."""
        self._port.write(switch_command(self._channel, False))

    def readback(self) -> State:
        """The board's own word; unknown if it does not answer."""
        length = status_length(self._channels)
        answer = ask(
            self._port, status_command(self._channel, self._channels), lambda answer: len(answer) >= length
        )
        return State.of(parse_status(answer, self._channel, self._channels))

    def close(self) -> None:
        """Close the port."""
        self._port.close()
