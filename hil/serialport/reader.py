"""The thread that reads a physical port, so that every chunk gets the time of its arrival.

It lives as long as the port. An emulated line needs none: its bytes wait in the world.
"""

from __future__ import annotations

import threading
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import serial

    from hil.clock import Clock

__all__ = ["SLICE_S", "BackgroundReader"]

SLICE_S = 0.1
"""How often the thread looks whether it should end; data never waits for it."""


class BackgroundReader:
    """Reads ``handle`` until closed or broken.

    Args:
        handle: an open pyserial port whose timeout is :data:`SLICE_S`.
        clock: stamps the chunks; has to be the wall clock.
        name: of the thread.
    """

    def __init__(self, handle: serial.Serial, clock: Clock, name: str) -> None:
        self._handle = handle
        self._clock = clock
        self._ready = threading.Condition()
        self._chunks: deque[tuple[int, bytes]] = deque()
        self._error: OSError | None = None
        self._ending = False
        self._thread = threading.Thread(target=self._run, name=f"reads {name}", daemon=True)
        self._thread.start()

    def take(self, deadline: int) -> tuple[int, bytes]:
        """The oldest chunk and its time; an empty one at ``deadline`` (absolute clock us).

        Raises:
            OSError: the port broke; what had arrived before was handed out first.
        """
        with self._ready:
            while not self._chunks:
                if self._error is not None:
                    raise self._error
                left = deadline - self._clock.now
                if left <= 0:
                    return self._clock.now, b""
                self._ready.wait(left / 1e6)
            return self._chunks.popleft()

    def close(self) -> None:
        """End the thread; the handle may be closed afterwards."""
        self._ending = True
        with suppress(OSError, AttributeError):  # not every handle can cancel; the slice ends it then
            self._handle.cancel_read()
        self._thread.join()

    def _run(self) -> None:
        try:
            while not self._ending:
                data = self._handle.read(1)
                if data:
                    self._put(data + self._handle.read(self._handle.in_waiting))
        except OSError as error:
            with self._ready:
                self._error = error
                self._ready.notify_all()

    def _put(self, data: bytes) -> None:
        with self._ready:
            self._chunks.append((self._clock.now, data))
            self._ready.notify_all()
