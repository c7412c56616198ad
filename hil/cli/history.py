"""``hil history``: the runs of a project over time."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hil import homes
from hil.cli.inputs import moment
from hil.errors import UsageError
from hil.measure.compare import control_chart
from hil.measure.measurement import format_value
from hil.measure.verdict import Verdict
from hil.records.history import History, history_path
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
    """Trends, first bad runs, flaky tests and the health of rigs, from the journals of earlier runs."""


@command.command("list")
@click.option("--rig", help="Only runs with tests on this rig.")
@click.option("--plan", help="Only runs of this plan, e.g. nightly.")
@click.option(
    "--verdict", type=click.Choice([str(verdict) for verdict in Verdict]), help="Only runs that ended so."
)
@click.option("--since", metavar="DATE", help="Only runs that began then or later, e.g. 2025-01-31.")
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True, help="How many runs.")
@_runs_option
@_json_option
def list_runs(
    rig: str | None,
    plan: str | None,
    verdict: str | None,
    since: str | None,
    limit: int,
    runs: Path | None,
    as_json: bool,
) -> None:
    """List the last runs, newest first."""
    after = 0.0 if since is None else moment(since, "--since")
    with _history(runs) as history:
        rows = history.runs(rig=rig, plan=plan, verdict=verdict, since=after, limit=limit)
    if as_json:
        click.echo(json.dumps([dataclasses.asdict(row) for row in rows], indent=2))
        return
    for row in rows:
        commit = row.commit[:10] + ("-dirty" if row.commit.endswith("-dirty") else "")
        took = f"{row.tests:5} tests  {span(row.wall_us):>9}"
        click.echo(f"{row.run:20}  {row.verdict!s:18}  {row.kind:8}  {row.plan:10}  {took}  {commit}")


@command.command("rigs")
@click.option("--limit", type=click.IntRange(1), default=30, show_default=True, help="Runs that count.")
@_runs_option
@_json_option
def list_rigs(limit: int, runs: Path | None, as_json: bool) -> None:
    """Show the health of each rig: good runs, errors of the bench, and whether it was set aside."""
    with _history(runs) as history:
        found = history.rigs(limit=limit)
    if as_json:
        rows = {rig: [dataclasses.asdict(one) for one in those] for rig, those in found.items()}
        click.echo(json.dumps(rows, indent=2))
        return
    for rig, those in found.items():
        last, good = those[-1], sum(one.verdict.good for one in those)
        errors, aside = sum(one.rig_errors for one in those), sum(bool(one.aside) for one in those)
        said = f"{good} of {len(those)} runs good, {errors} rig errors, set aside {aside} times"
        click.echo(f"{rig:28}  {last.kind:8}  {last.verdict!s:18}  {said}")
        if last.aside:
            click.echo(f"{'':28}  {last.aside}")


@command.command()
@click.option("--out", type=click.Path(path_type=Path), help="File to write; default: RUNS/history.html.")
@_runs_option
def page(out: Path | None, runs: Path | None) -> None:
    """Write one HTML page: health of the rigs, failing and flaky tests, trends with charts, runs."""
    from hil.records.historypage import write_history

    folder = homes.runs_folder(runs)
    path = out or folder / "history.html"
    with _history(runs) as history:
        try:
            write_history(history, path)
        except OSError as error:
            raise UsageError(f"{path} cannot be written: {error.strerror or error}") from error
    click.echo(path)


@command.command()
@_runs_option
def rebuild(runs: Path | None) -> None:
    """Forget the history file and make it again from the journals; runs that are gone are left out."""
    path = history_path(homes.runs_folder(runs))
    path.unlink(missing_ok=True)
    with _history(runs) as history:
        click.echo(f"{len(history.runs(limit=1_000_000))} runs: {path}")


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
    history = History(history_path(folder))
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
