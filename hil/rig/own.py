"""Opening the boards and buses that other packages bring, behind the guard like built-in ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hil.board.mongoose import MongooseBoard
from hil.errors import ConfigError
from hil.extensions import BoardKind, BoardOpening, BusKind, load, opened
from hil.guard.filter import GuardedBus
from hil.guard.line import GuardedLine
from hil.i2c.own import BUS_MEMBERS, OwnBus
from hil.i2c.trace import TracedBus

if TYPE_CHECKING:
    from hil.extensions import OwnBoard
    from hil.i2c.bus import I2CBus
    from hil.rig.rig import Rig
    from hil.serialport.port import Port

__all__ = ["open_own_board", "open_own_bus", "own_board_bus"]

_MEMBERS = ("console", "boots", "unexpected_boots", "expect_boot", "wait_for_boot", "answers", "close")
_OF_MONGOOSE_OS = frozenset({"atca", "config", "fs", "https", "mqtt", "rpc"})
"""Capabilities whose tests call methods of :class:`MongooseBoard`."""


def open_own_board(rig: Rig, port: Port) -> OwnBoard:
    """Make the board that the rig file names.

    Args:
        rig: the rig that is being opened.
        port: the board's port.

    Raises:
        ConfigError: no package brings it, or what it brings does not fit what it promises.
        RigError: it cannot be opened.
    """
    section, guard = rig.file.board, rig.guard
    kind = load(BoardKind, section.kind)
    what = f"the board {section.kind!r}"
    line = port if kind.speech is None else GuardedLine(port, guard, kind.speech)
    opening = BoardOpening(
        port=line,
        settings=section,
        options=section.options,
        check_rpc=guard.check_rpc,
        check_call=guard.check_call,
    )
    board = opened(what, lambda: kind.open(opening), _MEMBERS)
    promised = sorted(kind.capabilities & _OF_MONGOOSE_OS)
    if isinstance(board, MongooseBoard):
        if kind.speech != "rpc":
            raise ConfigError(f"{what} runs Mongoose OS, so its speech is 'rpc', not {kind.speech!r}")
        board.rpc.before_send = guard.check_rpc
    elif promised:
        raise ConfigError(
            f"{what} promises {', '.join(promised)}, but it is no MongooseBoard",
            hint="those capabilities mean the methods of hil.board.mongoose.MongooseBoard",
        )
    return board


def own_board_bus(rig: Rig, board: OwnBoard) -> I2CBus | None:
    """The element's bus behind the board, guarded and traced; None if it offers none.

    Raises:
        ConfigError, RigError: see :func:`open_own_board`.
    """
    make = load(BoardKind, rig.file.board.kind).bus
    if make is None:
        return None
    bus = opened(f"the bus of the board {rig.file.board.kind!r}", lambda: make(board), BUS_MEMBERS)
    return _guarded(rig, bus)


def open_own_bus(rig: Rig) -> I2CBus:
    """Open the bus that the rig file names, guarded and traced.

    Raises:
        ConfigError: no package brings it, or what it brings is none.
        RigError: it cannot be opened.
    """
    section = rig.file.bus
    kind = load(BusKind, section.kind)
    bus = opened(
        f"the bus {section.kind!r}", lambda: kind.open(section, section.options, rig.clock), BUS_MEMBERS
    )
    return _guarded(rig, bus)


def _guarded(rig: Rig, bus: I2CBus) -> I2CBus:
    own = OwnBus(bus)
    rig.ports.append(own)
    close = getattr(bus, "close", None)
    if callable(close):
        rig.at_close(close)
    return TracedBus(GuardedBus(own, rig.guard.filter), rig.trace.append)
