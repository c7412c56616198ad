"""The serial lines that this process emulates, by rig id and line name.

A rig registers its lines here; :mod:`hil.serialport.protocol_emu` finds them. What is not in this
table is physical: for the guard nothing else decides.
"""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urlsplit

from hil.errors import PortError, UsageError

if TYPE_CHECKING:
    from hil.clock import Signal, World

__all__ = ["EmulatedLine", "find", "register", "unregister"]


class EmulatedLine(Protocol):
    """The cable's end of an emulated UART.

    Attributes:
        received: what has arrived from the part and was not read yet.
        arrived: pulses when bytes arrive.
        host_baud: the rate of this end.
    """

    host_baud: int

    @property
    def world(self) -> World: ...  # noqa: D102
    @property
    def received(self) -> bytearray: ...  # noqa: D102
    @property
    def arrived(self) -> Signal: ...  # noqa: D102

    def first_arrival(self) -> tuple[int, int]:
        """When the oldest bytes of :attr:`received` arrived (world us), and how many of them did then."""
        ...

    def host_write(self, data: bytes) -> None:
        """The host sends ``data``."""
        ...

    def set_lines(self, dtr: bool, rts: bool) -> None:
        """The host sets its modem lines; True is asserted."""
        ...


_LINES: dict[str, dict[str, EmulatedLine]] = {}


def register(rig: str, line: str, emulated: EmulatedLine) -> None:
    """Make ``emulated`` reachable as ``emu://<rig>/<line>`` until :func:`unregister`.

    Raises:
        UsageError: the rig already has a line of that name.
    """
    lines = _LINES.setdefault(rig, {})
    if line in lines:
        raise UsageError(f"emu://{rig}/{line} is registered already")
    lines[line] = emulated


def unregister(rig: str) -> None:
    """Forget every line of ``rig``; harmless if there is none."""
    _LINES.pop(rig, None)


def find(url: str) -> EmulatedLine:
    """The line behind an ``emu://`` URL.

    Raises:
        PortError: no such line; the message lists what there is.
    """
    parts = urlsplit(url)
    line = _LINES.get(parts.netloc, {}).get(parts.path.strip("/"))
    if line is not None:
        return line
    known = [f"emu://{rig}/{name}" for rig, names in _LINES.items() for name in names]
    close = get_close_matches(url, known, n=1)
    if close:
        hint = f"did you mean {close[0]}?"
    elif known:
        hint = f"emulated lines are: {', '.join(known)}"
    else:
        hint = "no rig of this process has emulated lines; was it opened?"
    raise PortError(f"{url} is no emulated line of this process", hint=hint)
