"""Calls into a world from other threads.

A world belongs to one thread. moto's server answers in threads of its own, and a test waits in another
than the one that serves the endpoint: they hand their calls over, and the world makes them as events.
"""

from __future__ import annotations

import socket
from collections import deque
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from typing import TYPE_CHECKING, TypeVar

from hil.errors import WorldError

if TYPE_CHECKING:
    from collections.abc import Callable

    from hil.clock import World

__all__ = ["Handover"]

T = TypeVar("T")

_READ = 4096


class Handover:
    """The way into a paced world; made in the world's own thread.

    Args:
        world: runs the calls for as long as somebody runs it.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self._calls: deque[Callable[[], None]] = deque()
        self._ours, self._theirs = socket.socketpair()
        self._ours.setblocking(False)
        self._theirs.setblocking(False)
        self._open = True
        world.listen(self._ours, self._run)

    def post(self, call: Callable[[], object]) -> None:
        """Have ``call`` made soon; from any thread. What comes after :meth:`close` is dropped."""
        if not self._open:
            return
        self._calls.append(lambda: void(call()))
        try:
            self._theirs.send(b"!")
        except OSError:  # full: the world has been told already; closed: nobody is there any more
            return

    def ask(self, call: Callable[[], T], patience_s: float = 10.0) -> T:
        """The answer of ``call``, made in the world's thread; from any other thread.

        Raises:
            WorldError: the world did not answer in time.
        """
        answer: Future[T] = Future()

        def make() -> None:
            try:
                answer.set_result(call())
            except BaseException as error:  # it belongs to whoever asked
                answer.set_exception(error)

        self.post(make)
        try:
            return answer.result(patience_s)
        except FutureTimeout as error:
            raise WorldError(f"the world did not answer within {patience_s:g} s") from error

    def close(self) -> None:
        """Take no more calls; in the world's own thread."""
        self._open = False
        self._world.unlisten(self._ours)
        self._ours.close()
        self._theirs.close()

    def _run(self) -> None:
        self._ours.recv(_READ)
        while self._calls:
            self._calls.popleft()()


def void(_: object) -> None:
    """Drop an answer that nobody waits for."""
