"""``hil report``: make the views of a run again, from its journal."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path

import click

from hil import homes
from hil.errors import UsageError

__all__ = ["command"]

LAST = "last"


@click.command()
@click.argument("run", default=LAST)
@click.option("--runs", type=click.Path(path_type=Path), help="Folder of the runs; default: runs.")
@click.option("--no-html", is_flag=True, help="Leave report.html as it is.")
@click.option("--json", "as_json", is_flag=True, help="Print a summary as JSON instead of the table.")
def command(run: str, runs: Path | None, no_html: bool, as_json: bool) -> None:
    """Write junit.xml and report.html of RUN again and print its verdict table.

    RUN is a run's folder, its journal, its id, or `last` (the default).
    """
    from hil.records.rebuild import load_run
    from hil.records.views import JUNIT, REPORT, write_views

    path = find_run(run, homes.runs_folder(runs))
    colour = sys.stdout.isatty() and "NO_COLOR" not in os.environ
    table = write_views(path, html=not no_html, width=shutil.get_terminal_size().columns, colour=colour)
    if not as_json:
        click.echo("\n".join(table))
        return
    record = load_run(path)
    summary = {
        "run": record.name,
        "verdict": str(record.verdict),
        "counts": {str(verdict): count for verdict, count in record.counts.items()},
        "kind": record.kind,
        "junit": str(record.folder / JUNIT),
        "report": None if no_html else str(record.folder / REPORT),
    }
    click.echo(json.dumps(summary, indent=2))


def find_run(run: str, runs: Path) -> Path:
    """The folder or journal of a run given by path, id or ``last``.

    Raises:
        UsageError: there is no such run.
    """
    if run == LAST:
        # Folders are named after their UTC time; a run of the same second has a higher number.
        folders = [folder for folder in runs.glob("*") if folder.is_dir()]
        if not folders:
            raise UsageError(
                f"there are no runs in {runs}", hint="run pytest first, or name the run's folder"
            )
        return max(folders, key=lambda folder: folder.stat().st_mtime_ns)
    for path in (Path(run), runs / run):
        if path.exists():
            return path
    raise UsageError(f"there is no run {run!r}, neither here nor in {runs}", hint="hil report last")
