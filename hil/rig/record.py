"""How a rig describes itself in the record, and how its console is read there."""

from __future__ import annotations

import hashlib
from dataclasses import asdict
from typing import TYPE_CHECKING, Protocol

from hil.rig.identity import check_board, part_identities
from hil.rigfile import capabilities

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hil.board.console import Console
    from hil.board.transcript import Line, Mark
    from hil.rig.rig import Rig
    from hil.rigfile import Wire

__all__ = ["ConsoleLines", "console_lines", "console_text", "description", "heard"]


class HasConsole(Protocol):
    """A board with a console."""

    @property
    def console(self) -> Console: ...


def description(rig: Rig) -> dict[str, object]:
    """The fields of the journal's ``rig`` event: every part with its identity, asked of the part.

    Raises:
        BoardIdentityError: another board answers than the rig file names.
    """
    file = rig.file
    parts = part_identities(rig)
    check_board(rig, parts)
    wires = () if file.wiring is None else file.wiring.rows()
    return {
        "emulated": rig.emulated is not None,
        "clock": rig.clock.kind,
        "description": file.description,
        "file": str(file.path),
        "file_sha256": hashlib.sha256(file.path.read_bytes()).hexdigest(),
        "parts": parts,
        "wiring": [{"signal": signal, **_given(wire)} for signal, wire in wires],
        "capabilities": sorted(capabilities(file)),
    }


def _given(wire: Wire) -> dict[str, object]:
    return {name: value for name, value in asdict(wire).items() if value is not None}


class ConsoleLines:
    """A console's lines, for readers of the measuring layer."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self.clock = console.clock

    @property
    def lines(self) -> Sequence[Line]:
        """Every complete line so far."""
        return self._console.transcript.lines

    def pump(self, deadline: int) -> bool:
        """Read what comes before ``deadline``; False if nothing did."""
        return self._console.pump(deadline)


def heard(console: Console, mark: Mark) -> bytes:
    """What was received after ``mark``."""
    console.drain()
    entries = console.transcript.entries_since(mark)
    return b"".join(entry.data for entry in entries if entry.kind != "sent")


def console_text(board: HasConsole | None, mark: Mark | None) -> str:
    """What crossed a board's console after ``mark``, or all of it, for people."""
    if board is None:
        return ""
    transcript = board.console.transcript
    return transcript.render() if mark is None else transcript.render(mark)


def console_lines(board: HasConsole | None, mark: Mark | None) -> list[str]:
    """The complete lines of a board's console after ``mark``, or all of them."""
    if board is None:
        return []
    transcript = board.console.transcript
    return [line.text for line in (transcript.lines if mark is None else transcript.lines_since(mark))]
