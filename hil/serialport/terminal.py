"""The baud rate that the program at a pseudo terminal's other end has set."""

from __future__ import annotations

import fcntl
import struct
import sys
import termios
from contextlib import suppress

__all__ = ["terminal_baud"]

_TCGETS2 = 0x802C_542A
_TERMIOS2 = struct.Struct("=4I20B2I")
"""``struct termios2`` of Linux (asm-generic/termbits.h): flags, control characters, rates in and out."""

_BAUDS = {
    getattr(termios, name): int(name[1:]) for name in dir(termios) if name[0] == "B" and name[1:].isdigit()
}


def terminal_baud(descriptor: int) -> int | None:
    """Output rate of a terminal in bits a second, also an odd one such as 74880; None if unknown."""
    if sys.platform == "linux":
        with suppress(OSError):  # a few architectures number the call otherwise
            raw = fcntl.ioctl(descriptor, _TCGETS2, bytes(_TERMIOS2.size))
            return int(_TERMIOS2.unpack(raw)[-1]) or None
    return _BAUDS.get(termios.tcgetattr(descriptor)[5])
