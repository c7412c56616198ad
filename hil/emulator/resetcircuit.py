"""The two transistors and the capacitor between a USB serial adapter and an ESP board's EN and IO0.

Each transistor's base is on one modem line and its emitter on the other, so that a line pulls its
pin only while the other one is not asserted:

    DTR  RTS   EN    IO0
     0    0    high  high    runs
     1    1    high  high    runs
     0    1    low   high    in reset
     1    0    high  low     boot strap

The capacitor at EN holds the chip in reset for a while after the transistor has let go; only then
does the chip look at IO0. Over a network port the lines change one after the other, and a host that
goes from reset (0,1) to the strap (1,0) passes through (1,1): without the capacitor the chip would
start its application there (espressif/esptool issue #383, "RFC2217 too slow for auto-reset").

Source: NodeMCU DevKit and ESP32-DevKitC schematics; the truth table was measured in
BetaRavener/uPyLoader issue 48.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from hil.clock import Event, World

__all__ = ["RC_US", "ResetCircuit"]

RC_US = 100_000
"""How long EN takes to rise. Boards differ by their capacitor; network ports need 60 ms at least."""


class ResetCircuit:
    """Modem lines in, EN and IO0 out.

    Args:
        world: whose time the capacitor takes.
        on_reset: called with True when EN falls and with False when it has risen, never twice alike.
        rc_us: rise time of EN.

    Attributes:
        in_reset: EN is low.
        io0_low: the boot strap is pulled at this moment.
    """

    def __init__(self, world: World, on_reset: Callable[[bool], None], *, rc_us: int = RC_US) -> None:
        self.in_reset = False
        self.io0_low = False
        self._world = world
        self._on_reset = on_reset
        self._rc_us = rc_us
        self._rising: Event | None = None

    def set_lines(self, dtr: bool, rts: bool) -> None:
        """The host's lines; True is asserted."""
        self.io0_low = dtr and not rts
        if rts and not dtr:
            self._stop_rising()
            if not self.in_reset:
                self.in_reset = True
                self._on_reset(True)
        elif self.in_reset and self._rising is None:
            self._rising = self._world.after(self._rc_us, self._risen, "EN rises")

    def _risen(self) -> None:
        self._rising = None
        self.in_reset = False
        self._on_reset(False)

    def _stop_rising(self) -> None:
        if self._rising is not None:
            self._rising.cancel()
            self._rising = None
