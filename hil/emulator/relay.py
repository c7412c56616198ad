"""Emulated relays: the contact, and the commonest board that carries one, the LCUS.

The board's answers tell what its driver was told; the contact is another matter, which is what
the faults are about.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hil.wire.relays import LcusReceiver, StatusRequest, Switch, lcus_status

if TYPE_CHECKING:
    from collections.abc import Callable

    from hil.clock import Event, World
    from hil.emulator.uart import Uart

__all__ = ["Contact", "EmulatedLcus", "drive", "make_contacts"]

OPERATE_US = 8_000
RELEASE_US = 5_000
"""Typical of an SRD-05VDC: at most 10 ms to operate or to release."""


class Contact:
    """A coil and its normally-open contact.

    Args:
        world: whose time the armature takes.
        on_switch: called, as an event, with True when the contact closes and False when it opens.
        operate_us, release_us: how long the armature takes.

    Attributes:
        driven: what the coil's driver was told.
        closed: whether the contact conducts.
    """

    def __init__(
        self,
        world: World,
        on_switch: Callable[[bool], None] = lambda closed: None,
        *,
        operate_us: int = OPERATE_US,
        release_us: int = RELEASE_US,
    ) -> None:
        self.on_switch = on_switch
        self.driven = False
        self.closed = False
        self._world = world
        self._operate_us = operate_us
        self._release_us = release_us
        self._stuck_off = self._stuck_on = self._contact_open = False
        self._moving: Event | None = None

    @property
    def stuck_off(self) -> bool:
        """Fault: the driver ignores commands and stays off; a readback says so."""
        return self._stuck_off

    @stuck_off.setter
    def stuck_off(self, value: bool) -> None:
        self._stuck_off = value
        self.drive(self.driven)

    @property
    def stuck_on(self) -> bool:
        """Fault: the contact is welded; a readback says what the driver was told."""
        return self._stuck_on

    @stuck_on.setter
    def stuck_on(self, value: bool) -> None:
        self._stuck_on = value
        self.drive(self.driven)

    @property
    def contact_open(self) -> bool:
        """Fault: the contact never conducts; a readback says what the driver was told."""
        return self._contact_open

    @contact_open.setter
    def contact_open(self, value: bool) -> None:
        self._contact_open = value
        self.drive(self.driven)

    def drive(self, on: bool) -> None:
        """The board drives the coil; the contact follows after its time."""
        self.driven = on and not self._stuck_off
        target = self._stuck_on or (self.driven and not self._contact_open)
        if self._moving is not None:
            self._moving.cancel()
            self._moving = None
        if target == self.closed:
            return
        delay = self._operate_us if target else self._release_us

        def move() -> None:
            self._moving = None
            self.closed = target
            self.on_switch(target)

        self._moving = self._world.after(delay, move, f"relay contact {'closes' if target else 'opens'}")


class EmulatedLcus:
    """An LCUS board on a UART.

    Args:
        uart: the relay's end; set to 9600 baud.
        channels: boards with more than one answer a status request.
        on_switch: for channel 1; the other contacts have their own.

    Attributes:
        contacts: one for each channel, channel 1 first.
    """

    def __init__(
        self, uart: Uart, *, channels: int = 1, on_switch: Callable[[bool], None] = lambda closed: None
    ) -> None:
        self.contacts = make_contacts(uart, channels, on_switch)
        self._uart = uart
        self._receiver = LcusReceiver()
        uart.baud = 9600
        uart.on_bytes = self._received

    def _received(self, data: bytes) -> None:
        for event in self._receiver.feed(data):
            if isinstance(event, StatusRequest):
                if len(self.contacts) > 1:
                    self._uart.send(lcus_status([contact.driven for contact in self.contacts]))
            else:
                drive(self.contacts, event)


def make_contacts(uart: Uart, channels: int, on_switch: Callable[[bool], None]) -> list[Contact]:
    """Contacts of a board with ``channels`` outputs; the first calls ``on_switch``."""
    contacts = [Contact(uart.world) for _ in range(channels)]
    contacts[0].on_switch = on_switch
    return contacts


def drive(contacts: list[Contact], event: Switch) -> None:
    """Switch the channel that ``event`` names; a board ignores one that it does not have."""
    if 1 <= event.channel <= len(contacts):
        contacts[event.channel - 1].drive(event.on)
