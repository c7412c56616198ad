"""Power to the board: switching with the waits that hardware needs, and a safe end.

Wire the board to the relay's normally-open contact: a lost USB cable or a crashed computer then
cuts the power. Set, settle, verify; the readback is the relay's word only, the truth is the
board's console and the element.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from hil.errors import RelayError
from hil.power.relay import State

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from hil.clock import Clock
    from hil.power.relay import Relay

__all__ = ["Power"]


class Power:
    """Switches one relay.

    Args:
        relay: owned and closed by the power control.
        clock: the rig's clock.
        settle_us: wait after each switch. A contact operates within 10 ms and bounces up to 5 ms.
        min_off_us: shortest time without power: bulk capacitors discharge.
        safe_state: how :meth:`close` leaves the relay.
        on_cycle: called with the number of power-ons so far, after each.

    Attributes:
        commanded: what the relay was told last; unknown before the first command.
        cycles: power-ons since the control was made.
    """

    def __init__(
        self,
        relay: Relay,
        clock: Clock,
        *,
        settle_us: int = 20_000,
        min_off_us: int = 2_000_000,
        safe_state: Literal["off", "on"] = "off",
        on_cycle: Callable[[int], None] = lambda cycles: None,
    ) -> None:
        self.relay = relay
        self.clock = clock
        self.commanded = State.UNKNOWN
        self.cycles = 0
        self._settle_us = settle_us
        self._min_off_us = min_off_us
        self._safe_state = safe_state
        self._on_cycle = on_cycle
        self._off_since: int | None = None
        self._closed = False

    @property
    def name(self) -> str:
        """The relay's name."""
        return self.relay.name

    @property
    def state(self) -> State:
        """The relay's word, or what it was told last if it has none."""
        said = self.relay.readback()
        return self.commanded if said is State.UNKNOWN else said

    def on(self) -> None:
        """Switch on, not sooner than ``min_off_us`` after the last switch-off; then settle.

        Raises:
            RelayError: the relay says that it is still off.
        """
        if self._off_since is not None:
            self.clock.sleep(max(0, self._off_since + self._min_off_us - self.clock.now))
        was = self.commanded
        self.commanded = State.UNKNOWN
        self.relay.on()
        self._off_since = None
        self._settled(State.ON)
        if was is not State.ON:
            self.cycles += 1
            self._on_cycle(self.cycles)

    def off(self) -> None:
        """Switch off and settle; harmless when off.

        Raises:
            RelayError: the relay says that it is still on.
        """
        was = self.commanded
        self.commanded = State.UNKNOWN
        self.relay.off()
        if was is not State.OFF or self._off_since is None:
            self._off_since = self.clock.now
        self._settled(State.OFF)

    def cycle(self) -> None:
        """Off, long enough to discharge, and on."""
        self.off()
        self.on()

    def close(self) -> None:
        """Leave the relay in its safe state and let go of it; harmless when closed.

        Raises:
            RelayError: the relay does not say that it reached the safe state.
        """
        if self._closed:
            return
        self._closed = True
        try:
            if self._safe_state == "on":
                self.on()
            else:
                self.off()
        finally:
            self.relay.close()

    def __enter__(self) -> Power:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _settled(self, wanted: State) -> None:
        self.clock.sleep(self._settle_us)
        said = self.relay.readback()
        if said not in (wanted, State.UNKNOWN):
            raise RelayError(
                f"{self.relay.name} was switched {wanted} and says that it is {said}",
                hint="check the relay's own supply and its channel number",
            )
        self.commanded = wanted
