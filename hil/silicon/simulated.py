"""A chip model asked the same questions, without bus and world: many candidates in little time."""

from __future__ import annotations

from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING

from hil.emulator.chip import Chip, Memory, Power
from hil.silicon.asking import NO_ANSWER
from hil.wire.atecc import COUNT_MAX, WordAddress

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from hil.emulator.chip import Profile
    from hil.wire.atecc import Command

__all__ = ["SimulatedAsker", "likeness"]

_PULSE_US = 80
_TEST_SCALAR = bytes.fromhex("0123456789abcdef" * 4)
_LONG_AGO_US = 60_000_000
_FRESH_US = 400_000
"""So long after a wake any command ends before the watchdog, whose shortest period is 0.7 s."""


@lru_cache(maxsize=4096)
def _packet(command: Command) -> bytes:
    return bytes((WordAddress.COMMAND,)) + command.encode()


class SimulatedAsker:
    """Asks a chip model through its I2C side, with time that only this class moves.

    Args:
        profile: the candidate.
        memory: what the part holds.
    """

    switches = True

    def __init__(self, profile: Profile, memory: Memory) -> None:
        self._now = 0
        self._fresh_until = 0
        self._profile = profile
        self.chip = Chip(profile, memory, now=lambda: self._now, keep_log=False)
        self._power_on()

    def _power_on(self) -> None:
        self.chip.power_on()
        self._now += self._profile.power_up_us

    def _wake(self) -> None:
        """Awake, with the whole watchdog period to come; what idle keeps is kept."""
        self.chip.written(bytes((WordAddress.IDLE,)))
        self.chip.sda_low(_PULSE_US)
        self._now = max(self._now, self.chip.busy_until)
        self._fresh_until = self._now + _FRESH_US

    @contextmanager
    def scene(self) -> Iterator[None]:
        """See :meth:`hil.silicon.asking.Asker.scene`."""
        self.sleep()
        yield

    def ask(self, command: Command) -> bytes | str:
        """See :meth:`hil.silicon.asking.Asker.ask`."""
        chip = self.chip
        if self._now >= self._fresh_until or chip.power is not Power.AWAKE:
            self._wake()
        chip.written(_packet(command))
        self._now = max(self._now, chip.busy_until)
        if not chip.acknowledges(chip.address, True):
            return NO_ANSWER
        group = chip.read(COUNT_MAX)
        return group[1 : group[0] - 2]

    def idle(self) -> None:
        """See :meth:`hil.silicon.asking.Asker.idle`."""
        self.chip.written(bytes((WordAddress.IDLE,)))

    def sleep(self) -> None:
        """See :meth:`hil.silicon.asking.Asker.sleep`."""
        self._wake()
        self.chip.written(bytes((WordAddress.SLEEP,)))

    def outlast_watchdog(self) -> None:
        """See :meth:`hil.silicon.asking.Asker.outlast_watchdog`."""
        self._now += _LONG_AGO_US

    def power_cycle(self) -> None:
        """See :meth:`hil.silicon.asking.Asker.power_cycle`."""
        self.chip.power_off()
        self._power_on()


def likeness(profile: Profile, config: bytes, keys: Mapping[int, bool]) -> Memory:
    """A memory with another part's configuration and test keys where that part has keys.

    Args:
        profile: the candidate.
        config: the 128 bytes that were read from the part.
        keys: for each private slot, whether it holds a complete key.
    """
    memory = Memory.blank(profile, config[:4] + config[8:13])
    memory.config[:] = config
    for slot, valid in keys.items():
        if valid:
            memory.set_private_key(slot, _TEST_SCALAR)
    return memory
