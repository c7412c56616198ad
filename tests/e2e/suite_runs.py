"""Runs of the shipped suites in processes of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from hil.records.rebuild import load_run

if TYPE_CHECKING:
    from hil.records.model import Run

ROOT = Path(__file__).parents[2]


def run_suites(tmp_path: Path, *options: str, home: Path | None = None) -> tuple[int, Run]:
    """Run the shipped suites, or what ``options`` select of them; exit status and record."""
    environment = {**os.environ, "HIL_HOME": str(home or tmp_path / "home")}
    # Hypothesis is no part of the suites, and its plugin loads all of it at the end of every run.
    pytest = [sys.executable, "-m", "pytest", "-q", "-p", "no:hypothesispytest"]
    done = subprocess.run(
        [*pytest, "--no-report", "--runs", str(tmp_path / "runs"), *options],
        cwd=ROOT, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    folders = list((tmp_path / "runs").glob("*"))
    assert len(folders) == 1, done.stdout + done.stderr
    return done.returncode, load_run(folders[0])
