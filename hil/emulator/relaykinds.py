"""Emulated relay boards by the kind that a rig file names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from hil.emulator.httprelays import EmulatedShellyGen1, EmulatedShellyGen2, EmulatedTasmota
from hil.emulator.relay import Contact, EmulatedLcus
from hil.emulator.serialrelays import EmulatedDevantech, EmulatedKmtronic, EmulatedModbus, EmulatedNumato

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hil.clock import World
    from hil.emulator.uart import Uart

__all__ = ["EMULATED_RELAYS", "OVER_NETWORK", "EmulatedRelay", "Plug"]


class EmulatedRelay(Protocol):
    """A relay board on a line: what it switches are its contacts, channel 1 first."""

    @property
    def contacts(self) -> list[Contact]: ...  # noqa: D102


class Plug:
    """No relay: somebody plugs the board in by hand.

    Args:
        world: whose time passes.

    Attributes:
        contacts: the plug.
    """

    def __init__(self, world: World) -> None:
        self.contacts = [Contact(world)]


class RelayFactory(Protocol):
    """Makes a board with some outputs behind ``uart``."""

    def __call__(self, uart: Uart, *, channels: int) -> EmulatedRelay: ...


EMULATED_RELAYS: Mapping[str, RelayFactory] = {
    "lcus": EmulatedLcus,
    "numato": EmulatedNumato,
    "kmtronic": EmulatedKmtronic,
    "devantech": EmulatedDevantech,
    "modbus": EmulatedModbus,
    "shelly-gen1": EmulatedShellyGen1,
    "shelly-gen2": EmulatedShellyGen2,
    "tasmota": EmulatedTasmota,
}
"""Kind → board. The kinds that are missing here have no wire that could be emulated."""

OVER_NETWORK = frozenset({"shelly-gen1", "shelly-gen2", "tasmota"})
"""Kinds that have no serial line: their bytes are those of a TCP connection."""
