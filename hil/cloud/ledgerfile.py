"""Where the ledger of a rig's cloud lies when what is created outlives the run."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from hil.cloud.ledger import Ledger
from hil.errors import RigBusyError
from hil.homes import find_homes, made

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from hil.clock import Calendar
    from hil.rigfile import RigFile

__all__ = ["ledger_path", "open_ledger"]


def ledger_path(file: RigFile) -> Path | None:
    """The ledger's file, one for each rig and account; None where everything ends with the run."""
    cloud = file.cloud
    if cloud.mode == "moto":
        return None
    return find_homes().ledgers / "cloud" / f"{file.rig}-{cloud.account_id}-{cloud.region}.jsonl"


@contextmanager
def open_ledger(file: RigFile, calendar: Calendar) -> Iterator[Ledger]:
    """The ledger of a rig's cloud, owned by this process until the end of the body.

    Raises:
        RigBusyError: another process writes it.
        ConfigError: the file holds something else, or its folder cannot be made.
    """
    path = ledger_path(file)
    if path is None:
        yield Ledger(calendar=calendar)
        return
    from filelock import FileLock, Timeout

    lock = FileLock(made(path.parent) / f"{path.name}.lock")
    try:
        lock.acquire(blocking=False)
    except Timeout as error:
        raise RigBusyError(
            f"another process uses the cloud of {file.rig}", hint=f"wait for it; it writes {path}"
        ) from error
    try:
        yield Ledger(path, calendar=calendar)
    finally:
        lock.release()
