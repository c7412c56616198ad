"""The end of a run: its verdict, its exit status, its views."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from hil import errors
from hil.errors import BLOCKED_EXIT, NOT_QUALIFIED_EXIT, RigError
from hil.measure.verdict import Verdict
from hil.records.qualification import judge
from hil.records.rebuild import load_run
from hil.records.views import write_views_of

if TYPE_CHECKING:
    from hil.records.journal import Journal
    from hil.records.model import Run

__all__ = ["end_run", "exit_status"]


def end_run(
    journal: Journal, exitstatus: int, *, wall_us: int, foreign_failures: bool, html: bool
) -> tuple[int, list[str]]:
    """Write the end event and the views.

    Args:
        journal: of the whole run, without an end.
        exitstatus: what pytest would exit with.
        wall_us: how long the run took.
        foreign_failures: a test that uses no rig failed.
        html: write the report too.

    Returns:
        The exit status, and the verdict table as lines.
    """
    run = load_run(journal.folder)
    interrupted = exitstatus == pytest.ExitCode.INTERRUPTED
    status = exit_status(exitstatus, run, foreign_failures=foreign_failures)
    fields = {
        "verdict": str(Verdict.ABORTED if interrupted else run.judged),
        "exit_status": status,
        "wall_us": wall_us,
        "counts": {str(verdict): count for verdict, count in run.counts.items()},
    }
    journal.event("run-end", **fields)
    journal.close()
    run.end = fields
    columns = shutil.get_terminal_size((100, 24)).columns
    table = write_views_of(run, html=html, width=columns, colour=sys.stdout.isatty())
    _tell_github(run)
    return status, table


def exit_status(exitstatus: int, run: Run, *, foreign_failures: bool = False) -> int:
    """What a session exits with: a failing product, a broken bench and a blocked test are told apart.

    Anything but 0 and 1 of pytest's stays.
    """
    if exitstatus not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
        return exitstatus
    if foreign_failures or run.counts[Verdict.FAIL]:
        return int(pytest.ExitCode.TESTS_FAILED)
    broken = [failure for failure in run.rig_errors if not failure.retried]
    if broken:
        return int(getattr(errors, broken[0].error, RigError).exit_code)
    if run.judged in (Verdict.RIG_ERROR, Verdict.ABORTED):
        return RigError.exit_code
    if run.judged is Verdict.BLOCKED:
        return BLOCKED_EXIT
    return NOT_QUALIFIED_EXIT if run.release and judge(run).objections else exitstatus


def _tell_github(run: Run) -> None:
    """The summary of a plan's run on the page of the job."""
    page = os.environ.get("GITHUB_STEP_SUMMARY")
    if page and run.plan:
        from hil.records.markdown import summary

        with Path(page).open("a", encoding="utf-8") as file:
            file.write(summary(run) + "\n")
