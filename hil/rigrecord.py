"""How a rig describes itself in the record, and how its console is read there."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from hil.rigfile import capabilities

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hil.board.console import Console
    from hil.board.transcript import Line, Mark
    from hil.rig import Rig
    from hil.rigfile import Wire

__all__ = ["ConsoleLines", "description", "heard"]


def description(rig: Rig) -> dict[str, object]:
    """The fields of the journal's ``rig`` event: every part with its identity."""
    file = rig.file
    physical = rig.emulated is None
    firmware = None if rig.boot is None else rig.boot.firmware
    element = file.element
    board = {"mcu": file.board.mcu, "mac": file.board.mac, "firmware": firmware}
    rows = (
        ("board", file.board.kind, file.board.port, board),
        ("element", element.part, "", {"serial": element.serial, "revision": element.revision}),
        ("power", file.power.kind, file.power.port, {"channel": file.power.channel}),
        ("cloud", file.cloud.mode, "", {"account": file.cloud.account_id, "region": file.cloud.region}),
    )
    wires = () if file.wiring is None else file.wiring.rows()
    return {
        "emulated": not physical,
        "clock": rig.clock.kind,
        "description": file.description,
        "file": str(file.path),
        "parts": [
            {
                "part": part,
                "kind": kind,
                "physical": physical if part != "cloud" else file.cloud.mode == "aws",
                "port": port,
                "identity": {name: value for name, value in identity.items() if value is not None},
            }
            for part, kind, port, identity in rows
        ],
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
