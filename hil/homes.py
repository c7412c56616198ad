"""Where things are written, and how long they live.

============  ======================================  ==========================================
what          where                                   why there
============  ======================================  ==========================================
runs          ``runs/`` of the project                evidence belongs to the project
baselines     ``baselines/`` of the project           approved by the project, under its version control
ledgers       user data folder                        one element may be used by several projects
counters      user data folder                        a relay wears out whoever switches it
history       user data folder                        rebuilt from journals at any time
locks         user runtime folder                     emptied when the computer starts
============  ======================================  ==========================================

``HIL_HOME`` puts all of it under one folder, for tests and for throw-away environments.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from hil.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Homes", "find_homes", "made", "runs_folder"]

_APP = "hil"


class Homes(msgspec.Struct, frozen=True):
    """The folders; none of them is made before :func:`made` is asked to."""

    runs: Path
    baselines: Path
    ledgers: Path
    counters: Path
    history: Path
    locks: Path


def find_homes(project: Path | None = None, environment: Mapping[str, str] = os.environ) -> Homes:
    """The folders for a project.

    Args:
        project: the project's folder; the current one if None.
        environment: where ``HIL_HOME`` is looked up.
    """
    project = Path() if project is None else project
    override = environment.get("HIL_HOME")
    if override:
        home = Path(override).expanduser()
        return Homes(
            runs=home / "runs",
            baselines=home / "baselines",
            ledgers=home / "ledgers",
            counters=home / "counters",
            history=home / "history",
            locks=home / "locks",
        )
    import platformdirs  # only here: the import is not free and HIL_HOME does without

    data = platformdirs.user_data_path(_APP, appauthor=False)
    return Homes(
        runs=project / "runs",
        baselines=project / "baselines",
        ledgers=data / "ledgers",
        counters=data / "counters",
        history=data / "history",
        locks=platformdirs.user_state_path(_APP, appauthor=False) / "locks",
    )


def runs_folder(chosen: str | Path | None = None) -> Path:
    """Where runs are written: the folder that was chosen, else the project's."""
    if chosen:
        return Path(chosen).expanduser()
    override = os.environ.get("HIL_HOME")  # without asking for the other folders, which costs an import
    return Path(override).expanduser() / "runs" if override else Path("runs")


def made(folder: Path) -> Path:
    """Make a folder, readable by its owner only, if it is not there.

    Raises:
        ConfigError: it cannot be made or is not a folder.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f"the folder {folder} cannot be made: {error.strerror or error}",
            hint="free the path or set HIL_HOME to a folder that may be written",
        ) from error
    return folder
