"""A process that is told to end lets go of its rig first: the relay goes to its safe state.

Ctrl-C raises ``KeyboardInterrupt``, which passes through everything that closes. A CI system that
cancels a job sends SIGTERM, a terminal that is closed SIGHUP; both would end Python on the spot.
"""

from __future__ import annotations

import signal
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import FrameType

__all__ = ["end_in_order"]

_SIGNALS = tuple(
    getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)
)  # SIGHUP: POSIX only


def end_in_order() -> None:
    """Let those signals do what Ctrl-C does, once; a handler that somebody else has set stays.

    Only the main thread can set handlers; in another one nothing is done.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    for number in _SIGNALS:
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, _interrupt)


def _interrupt(number: int, frame: FrameType | None) -> None:
    for other in _SIGNALS:  # what is closing now is not to be interrupted again
        signal.signal(other, signal.SIG_IGN)
    raise KeyboardInterrupt(f"signal {number}")
