"""``hil baseline``: what a part of a revision is known to do, approved by somebody."""

from __future__ import annotations

from pathlib import Path

import click

from hil.clock import Calendar
from hil.errors import ConfigError
from hil.homes import find_homes
from hil.records.baseline import approve as approve_baseline
from hil.records.baseline import find_baseline, list_baselines
from hil.records.journal import utc

__all__ = ["command"]


@click.group("baseline")
def command() -> None:
    """Baselines of parts, one for each part and revision, under the project's version control."""


@command.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--by", required=True, metavar="NAME", help="Who looked at it and approves.")
@click.option("--replace", is_flag=True, help="There is one already, and the difference is understood.")
def approve(file: Path, by: str, replace: bool) -> None:
    """Make the characterization FILE the baseline of its part and revision.

    Nothing becomes a baseline by itself. A revision without one is reported as that by `hil compare`.
    """
    from hil.silicon.record import load

    observed = load(file).observed
    path = approve_baseline(find_homes().baselines, observed, by, Calendar(), replace=replace)
    label = "EMULATED " if observed.emulated else ""
    click.echo(f"{label}{observed.part} revision {observed.revision} approved by {by.strip()}: {path}")


@command.command("list")
def list_all() -> None:
    """List the approved baselines."""
    folder = find_homes().baselines
    for part, revision in list_baselines(folder):
        try:
            found = find_baseline(folder, part, revision)
        except ConfigError as error:
            click.echo(f"{part:28}  {revision}  {error.message}")
            continue
        assert found is not None, "its file was listed"
        kind = "emulated" if found.emulated else "physical"
        on = utc(found.approved_at)[:10]
        size = len(found.entries)
        click.echo(
            f"{part:28}  {revision}  {kind:8}  {size} observations, approved by {found.approved_by}, {on}"
        )
