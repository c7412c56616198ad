"""The supply wire of an emulated element: board power reaches it, unless the wire is broken.

The rail outlasts the relay's contact a little, because its capacitors feed the element alone: what
the element keeps in its RAM survives an interruption that is shorter.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from hil.clock import Event, World
    from hil.emulator.chip import Chip
    from hil.emulator.lockflaws import Flaw

__all__ = ["HOLD_UP_US", "Supplied"]

HOLD_UP_US: Final = 10_000
"""How long the rail holds. Benches differ; a knob of the model."""


class Supplied:
    """An element on the bus, behind its supply wire; exchangeable while it is off.

    Args:
        chip: the part in the socket.
        world: whose time the rail needs to fall.

    Attributes:
        chip: the part in the socket; a new one comes without power.
        connected: False when the supply wire is broken.
        fed_by_signals: a fault: the rail never falls, because pull-ups or the UART feed it.
        corrupts_private_keys: a fault: each private key that is written becomes another one.
        flaws: faults between the bus and the part.
    """

    sda_low: Callable[[int], None]
    """See :class:`hil.emulator.bus.I2CDevice`; this one and the next two are the part's own."""
    acknowledges: Callable[[int, bool], bool]
    deaf_until: Callable[[int], int]

    def __init__(self, chip: Chip, world: World) -> None:
        self._put_in(chip)
        self._world = world
        self.connected = True
        self.fed_by_signals = False
        self.corrupts_private_keys = False
        self.flaws: list[Flaw] = []
        self._on = False
        self._falling: Event | None = None
        self._corrupted: dict[int, bytes] = {}

    @property
    def chip(self) -> Chip:
        """The part in the socket."""
        return self._chip

    @chip.setter
    def chip(self, chip: Chip) -> None:
        self._chip.power_off()
        self._put_in(chip)
        for flaw in self.flaws:
            flaw.inserted(chip)

    def _put_in(self, chip: Chip) -> None:
        self._chip = chip
        self.sda_low, self.acknowledges, self.deaf_until = chip.sda_low, chip.acknowledges, chip.deaf_until

    def add_flaw(self, flaw: Flaw) -> None:
        """A fault between the bus and whatever part is in the socket."""
        self.flaws.append(flaw)
        flaw.inserted(self._chip)

    @property
    def powered(self) -> bool:
        """Whether the board's supply is on."""
        return self._on

    def power(self, on: bool) -> None:
        """The board's supply goes on, at once, or off, when the rail has fallen."""
        self._on = on
        if self._falling is not None:
            self._falling.cancel()
            self._falling = None
        if on and self.connected:
            self._chip.power_on()
        elif not self.fed_by_signals:
            self._falling = self._world.after(HOLD_UP_US, lambda: self._chip.power_off(), "rail falls")

    def written(self, data: bytes) -> int:
        """See :class:`hil.emulator.bus.I2CDevice`."""
        for flaw in self.flaws:
            data = flaw.before(self._chip, data)
        taken = self._chip.written(data)
        for flaw in self.flaws:
            flaw.after(self._chip)
        return taken

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
