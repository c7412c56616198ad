"""Starting a board that no relay switches: by its reset line, or by asking its firmware."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from hil.board.reset import pulse_reset
from hil.errors import DeviceError, PortError
from hil.serialport.port import SerialPort

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from hil.rig.rig import Rig

__all__ = ["board_port", "restart"]


def board_port(rig: Rig) -> SerialPort | None:
    """The serial port of the rig's board, or None if none is open."""
    name = rig.file.board.port
    return next((port for port in rig.ports if isinstance(port, SerialPort) and port.name == name), None)


def restart(rig: Rig) -> None:
    """Make the board start, and wait for it; see :attr:`hil.rig.rig.Rig.boot`.

    The reset line comes first: it also reaches firmware that hangs. A board without the two transistors
    behind its USB bridge does not notice; Mongoose OS is then asked to restart. A board that does not
    start but answers was found running (:attr:`hil.rig.rig.Rig.running`).

    Raises:
        PortError: the board's port went away.
    """
    for way in _ways(rig):
        # A socket or a pty has no reset line, and firmware that hangs does not answer: then the next way.
        with suppress(PortError, DeviceError):
            rig.start_by(way)
        if rig.boot is not None:
            return
    rig.look_for_running()


def _ways(rig: Rig) -> Iterator[Callable[[], object]]:
    port, board = board_port(rig), rig.mongoose_board
    if port is not None:
        yield lambda: pulse_reset(port)
    if board is not None:
        yield lambda: board.rpc.call("Sys.Reboot")
