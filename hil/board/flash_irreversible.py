"""Runs of esptool that change a board for good: eFuses, flash encryption; each takes a permit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hil.errors import UsageError
from hil.guard.programs import program_action

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hil.board.flash import Flasher
    from hil.guard.permit import Permit

__all__ = ["run_esptool"]


def run_esptool(flasher: Flasher, arguments: Sequence[str], permit: Permit) -> str:
    """Run a command of esptool that :func:`hil.guard.programs.program_action` finds irreversible.

    Args:
        flasher: of the board.
        arguments: the command and what follows it.
        permit: for ``BOARD_FUSE``.

    Raises:
        UsageError: the command needs no permit.
        GuardRefusal: the permit is for something else.
    """
    action = program_action([*flasher.esptool.program, *arguments])
    if action is None:
        raise UsageError(f"esptool {arguments[0]} needs no permit", hint="use Flasher.run")
    with permit.armed([action]):
        return flasher.run(arguments)
