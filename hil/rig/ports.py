"""Opening a rig's board and bus: behind the guard, traced, and closed with the rig."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hil.board.mongoose import MongooseBoard
from hil.errors import RigError
from hil.guard.filter import GuardedBus
from hil.guard.line import GuardedLine
from hil.i2c.mongoose import MongooseI2C
from hil.i2c.trace import TracedBus
from hil.serialport import open_port

if TYPE_CHECKING:
    from hil.extensions import OwnBoard
    from hil.i2c.bus import I2CBus
    from hil.rig.rig import Rig
    from hil.serialport.port import Port

__all__ = ["open_board", "open_bus"]


def open_board(rig: Rig) -> OwnBoard | None:
    """Open the console of a rig's board; None for a rig without one.

    Raises:
        PortError: the port is absent, busy or not permitted.
        ConfigError, RigError: a board of another package cannot be opened.
    """
    section = rig.file.board
    if section.kind == "none":
        return None
    port = _port(rig, section.port, section.baud)
    board: OwnBoard
    if section.kind == "mongoose-os":
        board = MongooseBoard(GuardedLine(port, rig.guard, "rpc"))
        board.rpc.before_send = rig.guard.check_rpc
    elif section.kind == "esp-idf-console":
        from hil.board.espidf import EspIdfBoard

        board = EspIdfBoard(GuardedLine(port, rig.guard, "console"))
        board.before_send = rig.guard.check_call
    else:
        from hil.rig.own import open_own_board

        board = open_own_board(rig, port)
    rig.at_close(board.close)
    return board


def open_bus(rig: Rig, board: OwnBoard | None) -> I2CBus | None:
    """Open the way to the element's I2C bus; None where the board offers none.

    Raises:
        PortError, RigError: it cannot be opened.
        ConfigError: a bus of another package is none.
    """
    bus = rig.file.bus
    if bus.kind == "board":
        return _bus_of(rig, board)
    if bus.kind == "linux":
        from hil.i2c.linux import LinuxI2C

        if bus.number is None:
            raise RigError(f"{rig.name}: bus linux without a number")
        linux = LinuxI2C(bus.number, clock=rig.clock)
        rig.ports.append(linux)
        rig.at_close(linux.close)
        return TracedBus(GuardedBus(linux, rig.guard.filter), rig.trace.append)
    if bus.kind == "kit":
        from hil.i2c.kit import KitBus

        kit = KitBus(_port(rig, bus.port, 115_200), rig.file.element.address)
        return TracedBus(GuardedBus(kit, rig.guard.filter), rig.trace.append)
    from hil.rig.own import open_own_bus

    return open_own_bus(rig)


def _bus_of(rig: Rig, board: OwnBoard | None) -> I2CBus | None:
    if isinstance(board, MongooseBoard):
        # The guard looks at every call of this board's client: no second look is needed.
        return TracedBus(MongooseI2C(board.rpc), rig.trace.append)
    if board is None or rig.file.board.kind == "esp-idf-console":
        return None
    from hil.rig.own import own_board_bus

    return own_board_bus(rig, board)


def _port(rig: Rig, url: str, baud: int) -> Port:
    port = open_port(url, clock=rig.clock, baud=baud)
    rig.ports.append(port)
    rig.at_close(port.close)  # also if nothing that would close it is made of it
    return port
