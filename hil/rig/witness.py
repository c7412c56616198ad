"""The guard's own look at the element of a rig: over the rig's bus, or its board's console."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hil.element.device import Element
from hil.errors import DeviceError

if TYPE_CHECKING:
    from hil.rig.rig import Rig

__all__ = ["RigWitness"]


class RigWitness:
    """A :class:`hil.guard.requirements.Witness`.

    It reads with a driver object of its own, so that nothing that a test keeps open decides what is
    seen. What is physical is decided by the ports that were really opened.

    Args:
        rig: the opened rig.
    """

    def __init__(self, rig: Rig) -> None:
        self._rig = rig

    @property
    def physical(self) -> bool:
        """False only if ports were opened and every one is a line that this process emulates."""
        return not self._rig.ports or any(port.physical for port in self._rig.ports)

    def serial(self) -> str:
        """See :meth:`hil.guard.requirements.Witness.serial`."""
        element = self._element()
        if element is not None:
            return element.serial_number().hex()
        board = self._rig.console_board
        if board is None:
            raise DeviceError(f"{self._rig.name} has no way to read the element's serial number")
        return board.chip_info().serial.hex()

    def config(self) -> bytes | None:
        """See :meth:`hil.guard.requirements.Witness.config`."""
        element = self._element()
        return None if element is None else element.read_config()

    def firmware_serial(self) -> str:
        """See :meth:`hil.guard.requirements.Witness.firmware_serial`."""
        board = self._rig.mongoose_board
        if board is None:
            raise DeviceError(f"{self._rig.name} has no firmware with a driver of its own")
        config = board.atca_get_config()
        return (config[0:4] + config[8:13]).hex()

    def _element(self) -> Element | None:
        bus = self._rig.bus_or_none
        if bus is None:
            return None
        return Element(bus, self._rig.file.element.address, part=self._rig.file.element.part)
