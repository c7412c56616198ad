"""Numato USB relay modules (CDC-ACM, command line)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hil.errors import RelayError
from hil.power.exchange import ask
from hil.power.relay import State
from hil.wire.numato import PROMPT, parse_state, read_command, switch_command

if TYPE_CHECKING:
    from hil.serialport.port import Port

__all__ = ["Numato"]


class Numato:
    """One output of a Numato module; every command is echoed, so a dead module is noticed.

    Args:
        port: at any rate; owned and closed by the relay.
        channel: from 1; the module itself counts from 0.
        channels: how many outputs the module has; decides how it names them.
    """

    def __init__(self, port: Port, *, channel: int = 1, channels: int = 8) -> None:
        self._port = port
        self._channel = channel
        self._channels = channels

    @property
    def name(self) -> str:
        """Port and channel."""
        return f"Numato relay on {self._port.name}, channel {self._channel}"

    def on(self) -> None:
        """See :meth:`hil.power.relay.Relay.on`."""
        self._command(switch_command(self._channel, True, self._channels))

    def off(self) -> None:
        """See :meth:`hil.power.relay.Relay.off`."""
        self._command(switch_command(self._channel, False, self._channels))

    def readback(self) -> State:
        """The module's own word."""
        return State.of(parse_state(self._command(read_command(self._channel, self._channels))))

    def close(self) -> None:
        """Close the port."""
        self._port.close()

    def _command(self, command: bytes) -> bytes:
        """Finish a line that may be under way, then send ``command`` and read its echo and prompt."""
        ask(self._port, b"\r", lambda answer: PROMPT in answer)
        answer = ask(self._port, command, lambda answer: answer.rstrip().endswith(PROMPT))
        if command.strip() not in answer or PROMPT not in answer:
            raise RelayError(
                f"{self.name} answered {answer!r} to {command!r}",
                hint="is this port a Numato module, and is it powered?",
            )
        return answer
