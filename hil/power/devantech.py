"""Devantech USB-RLY02, -RLY08 and -RLY16 (CDC-ACM, any rate)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hil.power.exchange import ask
from hil.power.relay import State
from hil.wire.devantech import GET_STATES, parse_states, switch_command

if TYPE_CHECKING:
    from hil.serialport.port import Port

__all__ = ["Devantech"]


class Devantech:
    """One output of a Devantech board; commands are not acknowledged, the state can be read.

    Args:
        port: owned and closed by the relay.
        channel: 1 to 8.
    """

    def __init__(self, port: Port, *, channel: int = 1) -> None:
        self._port = port
        self._channel = channel

    @property
    def name(self) -> str:
        """Port and channel."""
        return f"Devantech relay on {self._port.name}, channel {self._channel}"

    def on(self) -> None:
        """See :meth:`hil.power.relay.Relay.on`."""
        self._port.write(switch_command(self._channel, True))

    def off(self) -> None:
        """See :meth:`hil.power.relay.Relay.off`."""
        self._port.write(switch_command(self._channel, False))

    def readback(self) -> State:
        """The board's own word; unknown if it does not answer."""
        return State.of(parse_states(ask(self._port, GET_STATES, bool), self._channel))

    def close(self) -> None:
        """Close the port."""
        self._port.close()
