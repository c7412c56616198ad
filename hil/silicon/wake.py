"""How long a wake pulse has to be, where the bus can run at several speeds.

The pulse is the address byte 0 with eight low bits, so it lasts eight bit times. A board whose firmware
takes the speed of its bus from its configuration makes shorter pulses when it runs faster. Its
configuration is written for that, and written back at the end.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hil.errors import I2CError, RigError
from hil.silicon.asking import WATCHDOG_US
from hil.wire.atecc import WAKE_RESPONSE, WordAddress

if TYPE_CHECKING:
    from hil.rig.rig import Rig

__all__ = ["SPEEDS", "pulse_us", "wake_threshold"]

SPEEDS = (100_000, 133_000, 200_000, 266_000, 320_000, 400_000)
"""Hz. The sheets speak of 60 us and 133 kHz (DS20005927A sections 8, 8.3), for a 608 of about 300 kHz."""
_LOW_BITS = 8
_READY_US, _SELF_TEST_US, _POLL_US = 1_500, 25_000, 1_000


def pulse_us(hz: int) -> float:
    """How long SDA is low for an address byte of 0."""
    return _LOW_BITS * 1_000_000 / hz


def wake_threshold(rig: Rig) -> tuple[float, float]:
    """The shortest pulse that woke the element and the longest that did not, in microseconds; 0 if all did.

    Args:
        rig: its board runs Mongoose OS.

    Raises:
        RigError: not even the longest pulse wakes the element.
    """
    usual = rig.file.bus.hz
    woke: list[float] = []
    failed = 0.0
    try:
        for hz in SPEEDS:
            rig.configure({"i2c": {"freq": hz}})
            if not _wakes(rig):
                failed = pulse_us(hz)
                break
            woke.append(pulse_us(hz))
    finally:
        rig.configure({"i2c": {"freq": usual}})
    if not woke:
        raise RigError(f"{rig.name}: a wake pulse of {failed:.0f} us does not wake the element")
    return woke[-1], failed


def _wakes(rig: Rig) -> bool:
    """Whether the pulse of the present speed wakes an element that surely sleeps."""
    bus, address = rig.bus, rig.file.element.address
    rig.clock.sleep(WATCHDOG_US)  # what the firmware's start woke has gone to sleep
    bus.wake_pulse()
    rig.clock.sleep(_READY_US)
    deadline = rig.clock.now + _SELF_TEST_US
    while True:
        try:
            awake = bus.read(address, len(WAKE_RESPONSE)) == WAKE_RESPONSE
            bus.write(address, bytes((WordAddress.SLEEP,)))
            return awake
        except I2CError:
            if rig.clock.now >= deadline:
                return False
        rig.clock.sleep(_POLL_US)
