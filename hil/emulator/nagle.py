"""Nagle's algorithm at the sender and delayed acknowledgement at the receiver, as they meet on TCP.

A small segment waits while something that was sent is not acknowledged (RFC 896), and a receiver that
has nothing to say acknowledges late (RFC 1122 section 4.2.3.2). Whoever writes twice and then waits for
an answer pays the delay each time; ``TCP_NODELAY`` ends it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from hil.clock import Event, World

__all__ = ["DELAYED_ACK_US", "Nagle"]

DELAYED_ACK_US: Final = 40_000
"""What Linux waits (``TCP_DELACK_MIN``); RFC 1122 allows 500 ms. A knob of the model."""
SEGMENT: Final = 1460
"""A full segment is never held back."""


class Nagle:
    """The sending half of one connection without ``TCP_NODELAY``.

    Args:
        world: whose time passes.
        rtt_us: round trip.
        transmit: puts bytes on the network.
    """

    def __init__(self, world: World, rtt_us: int, transmit: Callable[[bytes], None]) -> None:
        self._world = world
        self._late_us = rtt_us + DELAYED_ACK_US
        self._transmit = transmit
        self._held = bytearray()
        self._acknowledgement: Event | None = None

    def send(self, data: bytes) -> None:
        """Send ``data`` now, or when what is on its way was acknowledged."""
        self._held += data
        if self._acknowledgement is None or len(self._held) >= SEGMENT:
            self.flush()

    def acknowledged(self) -> None:
        """The receiver acknowledges everything: by data of its own, or after its delay."""
        self._forget()
        if self._held:
            self.flush()

    def flush(self) -> None:
        """Send what was held back; from now on an acknowledgement is awaited."""
        self._forget()
        if self._held:
            data = bytes(self._held)
            self._held.clear()
            self._acknowledgement = self._world.after(self._late_us, self.acknowledged, "TCP delayed ACK")
            self._transmit(data)

    def drop(self) -> None:
        """The connection is gone, and with it what was held back."""
        self._held.clear()
        self._forget()

    def _forget(self) -> None:
        if self._acknowledgement is not None:
            self._acknowledgement.cancel()
            self._acknowledgement = None
