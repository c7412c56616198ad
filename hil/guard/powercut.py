"""A relay that does not cut the power while an element writes its memory.

A write that loses its power half way leaves a torn word, and a torn configuration or key may be the
end of the part. So a cut is refused while something irreversible is being sent, unless the cut
itself is armed; and it waits until an element whose answer was lost must have finished.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hil.clock import Clock
    from hil.guard.guard import Guard
    from hil.power.relay import Relay, State

__all__ = ["GuardedRelay"]


class GuardedRelay:
    """A :class:`hil.power.relay.Relay` behind the guard.

    Args:
        relay: does the switching.
        guard: knows what is being sent.
        clock: the rig's clock.
    """

    def __init__(self, relay: Relay, guard: Guard, clock: Clock) -> None:
        self._relay = relay
        self._guard = guard
        self._clock = clock

    @property
    def name(self) -> str:
        """The relay's name."""
        return self._relay.name

    def on(self) -> None:
        """See :meth:`hil.power.relay.Relay.on`."""
        self._relay.on()

    def off(self) -> None:
        """Ask the guard, wait if need be, then cut; see :meth:`hil.power.relay.Relay.off`.

        Raises:
            GuardRefusal: something irreversible is being sent.
        """
        self._clock.sleep(self._guard.check_power_off())
        self._relay.off()

    def readback(self) -> State:
        """See :meth:`hil.power.relay.Relay.readback`."""
        return self._relay.readback()

    def close(self) -> None:
        """See :meth:`hil.power.relay.Relay.close`."""
        self._relay.close()
