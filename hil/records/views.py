"""Every view of a run, made from its journal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hil.records.junit import write_junit
from hil.records.matrix import MATRIX, write_matrix
from hil.records.qualification import judge
from hil.records.rebuild import load_run
from hil.records.terminal import verdict_table

if TYPE_CHECKING:
    from pathlib import Path

    from hil.records.model import Run

__all__ = ["JUNIT", "MATRIX", "REPORT", "write_views", "write_views_of"]

JUNIT = "junit.xml"
REPORT = "report.html"


def write_views(path: Path, *, html: bool = True, width: int = 100, colour: bool = False) -> list[str]:
    """Write the views of a run again, from its journal; see :func:`write_views_of`.

    Args:
        path: the run's folder, or its journal.
        html: False leaves the report out.
        width: columns of the table.
        colour: the table with ANSI colours.

    Raises:
        ConfigError: the journal is damaged, of a newer format, or not there.
    """
    return write_views_of(load_run(path), html=html, width=width, colour=colour)


def write_views_of(run: Run, *, html: bool = True, width: int = 100, colour: bool = False) -> list[str]:
    """Write ``junit.xml``, ``report.html`` and a release's ``requirements.csv`` beside the journal.

    Returns:
        The verdict table.
    """
    write_junit(run, run.folder / JUNIT)
    if run.release:
        write_matrix(judge(run), run.folder / MATRIX)
    report = None
    if html:
        from hil.records.report import write_report  # brings a template engine along

        report = run.folder / REPORT
        write_report(run, report)
    return verdict_table(run, width=width, colour=colour, report=report)
