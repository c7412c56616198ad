"""The element of an emulated rig between runs: a state file that the rig file names.

Without one the part is new in every run. With one it is made once, as the rig file says, and every
change of its non-volatile memory is on the disk before the command's answer can be read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hil.emulator.chip import state
from hil.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from hil.emulator.chip import Memory

__all__ = ["PartFile"]


class PartFile:
    """One part on the disk.

    Args:
        path: its file; made if it is absent.
        profile: name of the chip profile that it must be of.
        serial: serial number that it must have.
        make: makes the part the first time.

    Attributes:
        memory: the part's memory; only this object is saved.
        drawn: blocks that its random generator has given so far.

    Raises:
        ConfigError: the file is damaged, cannot be written, or holds another part.
    """

    def __init__(self, path: Path, profile: str, serial: bytes, make: Callable[[], Memory]) -> None:
        self._path = path
        self._profile = profile
        if path.is_file():
            saved = state.load(path)
            if (saved.profile, saved.memory.serial) != (profile, serial):
                raise ConfigError(
                    f"{path} holds {saved.profile} {saved.memory.serial.hex()}, "
                    f"the rig has {profile} {serial.hex()}",
                    hint="name another state_file, or move this one away to begin with a new part",
                )
            self.memory, self.drawn = saved.memory, saved.drawn
        else:
            self.memory, self.drawn = make(), 0
            self.save(self.memory, 0)

    def save(self, memory: Memory, drawn: int) -> None:
        """Write the part; a ``persist`` of :class:`hil.emulator.chip.Chip`."""
        state.save(self._path, self._profile, memory, drawn=drawn)
        self.drawn = drawn
