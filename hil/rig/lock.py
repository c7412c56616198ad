"""One process owns a rig: a kernel lock that dies with its holder."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

from hil.errors import RigBusyError
from hil.homes import find_homes, made

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

    from filelock import FileLock

    from hil.rigfile import RigFile

__all__ = ["RigLock"]


class RigLock:
    """The lock of one rig, keyed by the rig's name.

    A rig whose every part is emulated inside this process, without a state file, shares nothing
    with another process: holding the object is holding the rig.

    Args:
        file: the rig file.
    """

    def __init__(self, file: RigFile) -> None:
        self._rig = file.rig
        self._shared = not file.emulated or (
            file.emulation is not None and file.emulation.state_file is not None
        )
        self._lock: FileLock | None = None
        self._entered = False

    @property
    def held(self) -> bool:
        """Whether this process holds the rig at this moment."""
        if not self._shared:
            return self._entered
        return self._lock is not None and self._lock.is_locked

    def __enter__(self) -> RigLock:
        """Take the lock.

        Raises:
            RigBusyError: another process holds it; says which.
        """
        if self._shared:
            from filelock import FileLock, Timeout

            folder = made(find_homes().locks)
            lock = FileLock(folder / f"{self._rig}.lock")
            holder = folder / f"{self._rig}.holder"
            try:
                lock.acquire(blocking=False)
            except Timeout as error:
                raise RigBusyError(
                    f"{self._rig} is in use by {_who(holder)}",
                    hint="wait for it, or end it; the lock is given back when that process ends",
                ) from error
            holder.write_text(json.dumps({"pid": os.getpid()}))
            self._lock = lock
        self._entered = True
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._entered = False
        if self._lock is not None:
            self._lock.release()
            self._lock = None


def _who(holder: Path) -> str:
    try:
        return f"process {json.loads(holder.read_text())['pid']}"
    except (OSError, ValueError, KeyError):
        return "another process"
