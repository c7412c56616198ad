"""Relay boards that speak Modbus RTU (RS-485 adapters, 9600 baud): coil n is output n + 1."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hil.errors import FrameError, RelayError
from hil.power.exchange import ask
from hil.power.relay import State
from hil.wire.modbus import (
    READ_COILS,
    WRITE_COIL,
    coil_state,
    read_coil,
    reply_length,
    take_reply,
    write_coil,
)

if TYPE_CHECKING:
    from hil.serialport.port import Port

__all__ = ["BAUD", "ModbusRelay"]

BAUD = 9600


class ModbusRelay:
    """One coil of a Modbus board; every command is answered.

    Args:
        port: at :data:`BAUD`; owned and closed by the relay.
        channel: from 1.
        address: the board's address on the line.
    """

    def __init__(self, port: Port, *, channel: int = 1, address: int = 1) -> None:
        self._port = port
        self._coil = channel - 1
        self._address = address

    @property
    def name(self) -> str:
        """Port, board and channel."""
        return f"Modbus relay {self._address} on {self._port.name}, channel {self._coil + 1}"

    def on(self) -> None:
        """See :meth:`hil.power.relay.Relay.on`."""
        self._switch(True)

    def off(self) -> None:
        """See :meth:`hil.power.relay.Relay.off`."""
        self._switch(False)

    def readback(self) -> State:
        """The board's own word."""
        body = self._ask(read_coil(self._address, self._coil), READ_COILS)
        try:
            return State.of(coil_state(body))
        except FrameError as error:
            raise RelayError(f"{self.name}: {error}") from error

    def close(self) -> None:
        """Close the port."""
        self._port.close()

    def _switch(self, on: bool) -> None:
        request = write_coil(self._address, self._coil, on)
        if self._ask(request, WRITE_COIL) != request[2:-2]:
            raise RelayError(f"{self.name} confirmed another command than it was sent")

    def _ask(self, request: bytes, function: int) -> bytes:
        answer = ask(self._port, request, lambda answer: len(answer) >= reply_length(answer))
        try:
            return take_reply(answer, self._address, function)
        except FrameError as error:
            raise RelayError(
                f"{self.name}: {error}", hint="check the address, A and B of RS-485, and the baud rate"
            ) from error
