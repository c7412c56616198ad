"""A statistical CPU profile: whose line runs when the timer strikes.

A deterministic profiler charges every call, and so makes code of many small functions look dearer than
it is. Here a signal interrupts the program every half millisecond; nothing is added to a call.
"""

from __future__ import annotations

import ast
import linecache
import signal
import sysconfig
from collections import Counter
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import CodeType, FrameType

__all__ = ["Sampling", "Site", "calls"]

EVERY_S = 0.0005
_STDLIB = sysconfig.get_path("stdlib")

Site = tuple["CodeType", int]
"""A code object and the offset of an instruction in it."""


class Sampling:
    """Counts where the program was.

    Attributes:
        sites: the innermost code outside the standard library, with its current instruction.
    """

    def __init__(self) -> None:
        self.sites: Counter[Site] = Counter()

    @contextmanager
    def running(self) -> Iterator[None]:
        """Take samples meanwhile."""
        before = signal.signal(signal.SIGALRM, self._strike)
        signal.setitimer(signal.ITIMER_REAL, EVERY_S, EVERY_S)
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)

    def _strike(self, number: int, frame: FrameType | None) -> None:
        while frame is not None and _is_stdlib(frame.f_code.co_filename):
            frame = frame.f_back
        if frame is not None:
            self.sites[frame.f_code, frame.f_lasti] += 1


def _is_stdlib(file: str) -> bool:
    return file.startswith("<") or (file.startswith(_STDLIB) and "site-packages" not in file)


@cache
def calls(site: Site) -> str:
    """Name of the C function that ran there, as the source calls it; empty if it was no call.

    The interpreter looks at signals right behind a call of a C function, and so does not tell the
    function's time from the caller's: the instruction does.
    """
    code, offset = site
    if offset < 0:
        return ""
    line, end_line, column, end_column = list(code.co_positions())[offset // 2]
    if line is None or end_line is None:
        return ""
    lines = [linecache.getline(code.co_filename, number).encode() for number in range(line, end_line + 1)]
    lines[-1] = lines[-1][:end_column]
    lines[0] = lines[0][column:]
    try:
        node = ast.parse(b"".join(lines).decode(), mode="eval").body
    except SyntaxError:
        return ""  # no call: the beginning of a function, or the end of a loop
    if not isinstance(node, ast.Call):
        return ""
    match node.func:
        case ast.Attribute(attr=name) | ast.Name(id=name):
            return name
    return ""
