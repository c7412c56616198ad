"""One processor of an emulated board, and who waits for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hil.clock import World

__all__ = ["Cpu"]


class Cpu:
    """One MCU's processor: tasks that need it at the same time queue, first come first served."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._free_at = 0

    def spend(self, us: int, category: str = "mcu") -> None:
        """Wait for the processor, then use it for ``us`` microseconds."""
        start = max(self._world.now, self._free_at)
        self._free_at = start + us
        if start > self._world.now:
            self._world.spend("cpu-queue", start - self._world.now)
        self._world.spend(category, us)

    def reset(self) -> None:
        """Power-off: whoever queued is gone."""
        self._free_at = self._world.now
