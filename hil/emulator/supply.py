"""The supply wire of an emulated element: board power reaches it, unless the wire is broken."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hil.emulator.chip import Chip

__all__ = ["Supplied"]


class Supplied:
    """An element on the bus, behind its supply wire; exchangeable while it is off.

    Attributes:
        chip: the part in the socket.
        connected: False when the supply wire is broken.
        corrupts_private_keys: a fault: each private key that is written becomes another one.
    """

    def __init__(self, chip: Chip) -> None:
        self._chip = chip
        self.connected = True
        self.corrupts_private_keys = False
        self._on = False
        self._corrupted: dict[int, bytes] = {}

    @property
    def chip(self) -> Chip:
        """The part in the socket."""
        return self._chip

    @chip.setter
    def chip(self, chip: Chip) -> None:
        self._chip = chip

    @property
    def powered(self) -> bool:
        """Whether the board's supply is on."""
        return self._on

    def power(self, on: bool) -> None:
        """The board's supply goes on or off."""
        self._on = on
        if on and self.connected:
            self._chip.power_on()
        else:
            self._chip.power_off()

    def sda_low(self, us: int) -> None:
        """See :class:`hil.emulator.bus.I2CDevice`."""
        self._chip.sda_low(us)

    def acknowledges(self, address: int, read: bool) -> bool:
        """See :class:`hil.emulator.bus.I2CDevice`."""
        return self._chip.acknowledges(address, read)

    def written(self, data: bytes) -> int:
        """See :class:`hil.emulator.bus.I2CDevice`."""
        return self._chip.written(data)

    def read(self, length: int) -> bytes:
        """See :class:`hil.emulator.bus.I2CDevice`."""
        if self.corrupts_private_keys:
            self._corrupt()
        return self._chip.read(length)

    def _corrupt(self) -> None:
        memory = self._chip.memory
        for slot in range(16):
            content = memory.slot(slot)
            if memory.key_valid[slot] and self._corrupted.get(slot) != content:
                # One bit of the scalar's tail: still a key of the curve, but another one.
                memory.set_private_key(slot, content[4:35] + bytes((content[35] ^ 0x10,)))
                self._corrupted[slot] = memory.slot(slot)
