"""One question and its answer on a relay's port."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from hil.serialport.port import Port

__all__ = ["ANSWER_US", "ask"]

ANSWER_US = 500_000
"""Longest wait for an answer. [U] vendors give none; known drivers wait up to 2 s."""


def ask(
    port: Port, request: bytes, complete: Callable[[bytes], bool], *, timeout_us: int = ANSWER_US
) -> bytes:
    """Drop what an earlier answer left behind, send ``request`` and read until ``complete``.

    Args:
        port: the relay's port.
        request: the bytes to send.
        complete: whether what has arrived so far is the whole answer.
        timeout_us: how long to wait for it, in microseconds.

    Returns:
        What arrived; incomplete, or nothing, if the time was over.
    """
    clock = port.clock
    while port.read(clock.now):
        pass
    port.write(request)
    deadline = clock.now + timeout_us
    answer = b""
    while not complete(answer):
        data = port.read(deadline)
        if not data:
            break
        answer += data
    return answer
