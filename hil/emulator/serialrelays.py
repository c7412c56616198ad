"""Emulated relay boards on serial lines: Numato, KMTronic, Devantech, Modbus."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hil.emulator.relay import drive, make_contacts
from hil.wire import devantech, kmtronic, modbus, numato
from hil.wire.relays import StatusRequest, Switch

if TYPE_CHECKING:
    from collections.abc import Callable

    from hil.emulator.relay import Contact
    from hil.emulator.uart import Uart

__all__ = ["EmulatedDevantech", "EmulatedKmtronic", "EmulatedModbus", "EmulatedNumato"]


def _nothing(closed: bool) -> None:
    """Nobody hangs on this contact."""


class EmulatedNumato:
    """A Numato module; each typed byte is echoed.

    Args:
        uart: the module's end; the module itself has no rate, the line's stays.
        channels: how many outputs.
        on_switch: for channel 1; the other contacts have their own.

    Attributes:
        contacts: one for each channel, channel 1 first.
    """

    def __init__(
        self, uart: Uart, *, channels: int = 8, on_switch: Callable[[bool], None] = _nothing
    ) -> None:
        self.contacts = make_contacts(uart, channels, on_switch)
        self._uart = uart
        self._receiver = numato.NumatoReceiver(channels)
        uart.on_bytes = self._received

    def _received(self, data: bytes) -> None:
        for byte in data:
            echo = bytes((byte,))
            answer = b""
            for event in self._receiver.feed(echo):
                answer = numato.state_line(self._act(event))
            self._uart.send(answer or echo)

    def _act(self, event: Switch | StatusRequest | None) -> bool | None:
        if isinstance(event, Switch):
            drive(self.contacts, event)
        return self.contacts[event.channel - 1].driven if isinstance(event, StatusRequest) else None


class EmulatedKmtronic:
    """A KMTronic board; arguments and attributes as in :class:`EmulatedNumato`."""

    def __init__(
        self, uart: Uart, *, channels: int = 1, on_switch: Callable[[bool], None] = _nothing
    ) -> None:
        self.contacts = make_contacts(uart, channels, on_switch)
        self._uart = uart
        self._receiver = kmtronic.KmtronicReceiver(channels)
        uart.baud = 9600
        uart.on_bytes = self._received

    def _received(self, data: bytes) -> None:
        for event in self._receiver.feed(data):
            if isinstance(event, Switch):
                drive(self.contacts, event)
            else:
                self._uart.send(kmtronic.encode_status(_driven(self.contacts), event))


class EmulatedDevantech:
    """A Devantech USB-RLY board; arguments and attributes as in :class:`EmulatedNumato`."""

    def __init__(
        self, uart: Uart, *, channels: int = 8, on_switch: Callable[[bool], None] = _nothing
    ) -> None:
        self.contacts = make_contacts(uart, channels, on_switch)
        self._uart = uart
        uart.on_bytes = self._received

    def _received(self, data: bytes) -> None:
        for byte in data:
            event = devantech.parse_command(byte)
            if isinstance(event, StatusRequest):
                self._uart.send(devantech.encode_states(_driven(self.contacts)))
            elif event is not None and event.channel:
                drive(self.contacts, event)
            elif event is not None:
                for contact in self.contacts:
                    contact.drive(event.on)


class EmulatedModbus:
    """A Modbus RTU relay board at an address; otherwise as :class:`EmulatedNumato`."""

    def __init__(
        self,
        uart: Uart,
        *,
        channels: int = 8,
        on_switch: Callable[[bool], None] = _nothing,
        address: int = 1,
    ) -> None:
        self.contacts = make_contacts(uart, channels, on_switch)
        self._uart = uart
        self._address = address
        self._receiver = modbus.ModbusReceiver()
        uart.baud = 9600
        uart.on_bytes = self._received

    def _received(self, data: bytes) -> None:
        for request in self._receiver.feed(data):
            if request.address == self._address:
                self._uart.send(self._answer(request))

    def _answer(self, request: modbus.CoilRequest) -> bytes:
        count = request.value if request.function == modbus.READ_COILS else 1
        if request.function not in (modbus.READ_COILS, modbus.WRITE_COIL):
            return modbus.encode_exception(self._address, request.function, modbus.ILLEGAL_FUNCTION)
        if not 1 <= count <= len(self.contacts) - request.coil:
            return modbus.encode_exception(self._address, request.function, modbus.ILLEGAL_ADDRESS)
        if request.function == modbus.READ_COILS:
            return modbus.encode_coils(
                self._address, _driven(self.contacts)[request.coil : request.coil + count]
            )
        if request.writes is None:
            return modbus.encode_exception(self._address, request.function, modbus.ILLEGAL_VALUE)
        self.contacts[request.coil].drive(request.writes)
        return request.raw


def _driven(contacts: list[Contact]) -> list[bool]:
    return [contact.driven for contact in contacts]
