"""``hil history``: the runs of a project over time."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hil import homes
from hil.errors import UsageError
from hil.measure.compare import control_chart
from hil.measure.measurement import format_value
from hil.records.history import History
from hil.records.journal import utc
from hil.records.terminal import span

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hil.records.history import Point

__all__ = ["command"]

_runs_option = click.option(
    "--runs", type=click.Path(path_type=Path), help="Folder of the runs; default: runs."
)
_json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.group()
def command() -> None:
    """Trends, first bad runs and flaky tests, from the journals of earlier runs."""


@command.command("list")
@click.option("--rig", help="Only runs with tests on this rig.")
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True, help="How many runs.")
@_runs_option
@_json_option
def list_runs(rig: str | None, limit: int, runs: Path | None, as_json: bool) -> None:
    """List the last runs, newest first."""
    with _history(runs) as history:
        rows = history.runs(rig=rig, limit=limit)
    if as_json:
        click.echo(json.dumps([dataclasses.asdict(row) for row in rows], indent=2))
        return
    for row in rows:
        commit = row.commit[:10] + ("-dirty" if row.commit.endswith("-dirty") else "")
        took = f"{row.tests:5} tests  {span(row.wall_us):>9}"
        click.echo(f"{row.run:20}  {row.verdict!s:18}  {row.kind:8}  {took}  {commit}")


@command.command()
@click.argument("measurement", required=False)
@click.option("--rig", help="The rig; needed if the measurement was taken on several.")
@_runs_option
@_json_option
def trend(measurement: str | None, rig: str | None, runs: Path | None, as_json: bool) -> None:
    """Show the values of MEASUREMENT over the runs, and whether they drift.

    Without a name: which measurements there are.
    """
    with _history(runs) as history:
        known = history.measurements()
        if measurement is None:
            for name, where, count in known:
                click.echo(f"{name}  on {where or 'no rig'}: {count}")
            return
        points = history.trend(measurement, _the_rig(known, measurement, rig))
    if as_json:
        click.echo(json.dumps([dataclasses.asdict(point) for point in points], indent=2))
        return
    _print_trend(points)


@command.command()
@_runs_option
@_json_option
def flaky(runs: Path | None, as_json: bool) -> None:
    """List tests that failed and passed, those that change most often first."""
    with _history(runs) as history:
        found = history.flaky()
    if as_json:
        click.echo(json.dumps([dataclasses.asdict(one) for one in found], indent=2))
        return
    for one in found:
        click.echo(f"{one.failures} of {one.attempts} failed, {one.flips} changes: {one.test}")


@command.command("first-bad")
@click.argument("test")
@_runs_option
def first_bad(test: str, runs: Path | None) -> None:
    """Name the run since which TEST has failed without a pass in between."""
    with _history(runs) as history:
        found = history.first_bad(test)
    click.echo(found or "good")


def _history(runs: Path | None) -> History:
    """The project's history, brought up to date with its journals."""
    folder = homes.runs_folder(runs).resolve()
    # One file for each project, named after where its runs lie.
    name = str(folder).strip("/").replace("/", "-") or "root"
    history = History(homes.find_homes().history / f"{name}.sqlite")
    for problem in history.take_all(folder):
        click.echo(f"hil: left out: {problem}", err=True)
    return history


def _the_rig(known: list[tuple[str, str, int]], measurement: str, rig: str | None) -> str:
    rigs = [where for name, where, _ in known if name == measurement]
    if not rigs or (rig is not None and rig not in rigs):
        on = "" if rig is None else f" on {rig}"
        raise UsageError(f"there is no measurement {measurement!r}{on}", hint="hil history trend lists them")
    if rig is None and len(rigs) > 1:
        raise UsageError(
            f"{measurement!r} was taken on several rigs", hint=f"--rig {' or --rig '.join(rigs)}"
        )
    return rig or rigs[0]


def _print_trend(points: Sequence[Point]) -> None:
    for point in points:
        value = format_value(point.value, point.unit)
        click.echo(
            f"{utc(point.started)}  {value:>12}  {point.provenance:9}  {point.verdict!s:18}  {point.run}"
        )
    if len(points) < 2:
        return
    chart = control_chart([point.value for point in points])
    limits = f"{format_value(chart.low, '')} … {format_value(chart.high, points[0].unit)}"
    drifting = sorted({*chart.beyond, *chart.runs})
    said = f"drifts, first at {points[drifting[0]].run}" if drifting else "no drift"
    click.echo(f"natural limits {limits}: {said}")
