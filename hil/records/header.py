"""Who ran what, where, with which versions: the first event of a journal."""

from __future__ import annotations

import getpass
import os
import platform
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hil.records.journal import FORMAT, Journal, new_run_folder

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hil.clock import Calendar
    from hil.records.redaction import Redactor

__all__ = ["new_run", "run_header"]

_PACKAGES = (
    "atecc-hil",
    "pytest",
    "pyserial",
    "smbus2",
    "cryptography",
    "tlslite-ng",
    "pyOpenSSL",
    "boto3",
    "moto",
    "greenlet",
)
_CI = (
    # system, variable that reveals it, variable with the job's address or number
    ("GitHub Actions", "GITHUB_ACTIONS", "GITHUB_RUN_ID"),
    ("GitLab CI", "GITLAB_CI", "CI_JOB_URL"),
    ("Jenkins", "JENKINS_URL", "BUILD_URL"),
)
_GIT_PATIENCE_S = 5


def new_run(
    runs: Path,
    calendar: Calendar,
    redactor: Redactor | None = None,
    *,
    suites: Path | None = None,
    **fields: Any,  # noqa: ANN401  (any JSON value)
) -> Journal:
    """Make a run's folder, begin its journal and write the header.

    Args:
        runs: the folder of all runs.
        calendar: date and time of the events.
        redactor: keeps secrets out; a new one if None.
        suites: folder of the tests; their version is part of the record. Default: here.
        fields: further fields of the ``run-start`` event, e.g. ``rigs``, ``faults``.

    Raises:
        ConfigError: the folder or the journal cannot be written.
    """
    journal = Journal(new_run_folder(runs, calendar), calendar, redactor)
    journal.event("run-start", **{**run_header(journal.folder.name, suites), **fields})
    return journal


def run_header(
    run: str, suites: Path | None = None, environment: Mapping[str, str] = os.environ
) -> dict[str, Any]:
    """The fields of ``run-start`` that this process knows by itself."""
    return {
        "format": FORMAT,
        "run": run,
        "command": sys.argv,
        "versions": _versions(),
        "by": _by(environment),
        "suites": git_state(Path.cwd() if suites is None else suites),
        "host": {
            "name": platform.node(),
            "system": f"{platform.system()} {platform.release()}",
            "machine": platform.machine(),
        },
    }


def git_state(folder: Path) -> dict[str, Any]:
    """Commit of the checkout that ``folder`` is in and whether it was changed; empty outside of one."""
    command = ["git", "-C", str(folder), "describe", "--always", "--dirty", "--abbrev=40", "--exclude", "*"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_GIT_PATIENCE_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return {}  # no git here: the record then names versions only
    if done.returncode != 0:
        return {}
    commit, _, dirty = done.stdout.strip().partition("-")
    return {"commit": commit, "dirty": dirty == "dirty"}


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue  # smbus2 is installed on Linux only
    return found


def _by(environment: Mapping[str, str]) -> dict[str, str]:
    for system, reveals, job in _CI:
        if environment.get(reveals):
            return {"ci": system, "job": environment.get(job, "")}
    try:
        return {"operator": getpass.getuser()}
    except (OSError, KeyError):  # a container may run under a number without a name
        return {"operator": f"uid {os.getuid()}"}
