"""``hil connect``: how long a rig's board takes to connect, by scenario."""

from __future__ import annotations

import json
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from hil import homes
from hil.connecttime.scenario import SCENARIOS, cases, find_scenario
from hil.errors import DeviceError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from hil.connecttime.scenario import Case
    from hil.connecttime.study import Study
    from hil.rig.rig import Rig
    from hil.tls.client import Version

__all__ = ["command"]


@click.command()
@click.argument("rig")
@click.option("--samples", type=click.IntRange(1, 10_000), help="Connections per case; default: the rig's.")
@click.option(
    "--scenario",
    "scenarios",
    multiple=True,
    type=click.Choice(list(SCENARIOS)),
    help="Only these; repeatable. Default: every one that the rig can do.",
)
@click.option(
    "--tls", "versions", multiple=True, type=click.Choice(["1.2", "1.3"]), help="Only these versions."
)
@click.option(
    "--start",
    type=click.Choice(["reconnect", "power-on"]),
    help="What precedes each connection; default: reconnect where the endpoint is ours.",
)
@click.option("--approve", metavar="WHO", help="Make the result the rig's baseline, approved by WHO.")
@click.option("--fault", "faults", multiple=True, metavar="NAME", help="Give an emulated rig a fault.")
@click.option("--allow-aws", metavar="ACCOUNT", help="The real account that the rig file names.")
@click.option("--runs", type=click.Path(path_type=Path), help="Where the run is kept; default: runs.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(
    rig: str,
    samples: int | None,
    scenarios: tuple[str, ...],
    versions: tuple[Version, ...],
    start: Literal["reconnect", "power-on"] | None,
    approve: str | None,
    faults: tuple[str, ...],
    allow_aws: str | None,
    runs: Path | None,
    as_json: bool,
) -> None:
    """Let RIG's board connect again and again, and say how long it takes and where the time goes.

    Times are from the firmware's first line to CONNACK 0, in milliseconds. What an emulated rig shows is
    predicted, with the band in which it lies by what one believes of the cost model; acceptance is for
    physical rigs. The board must be able to connect: an emulated part is prepared on the way, on a physical
    rig nothing is locked or written into the element. Pictures and samples are kept as a run with a report.

    With 59 samples and none above the limit, p95 is below it with 95 % confidence; with 29, p90.
    """
    from hil.connecttime.record import as_test, ratios
    from hil.connecttime.sampler import Sampler
    from hil.connecttime.study import attach_samples, study
    from hil.records.views import REPORT, write_views
    from hil.rig.oneshot import one_rig

    wanted = [find_scenario(name) for name in scenarios] or list(SCENARIOS.values())
    with one_rig(rig, runs=homes.runs_folder(runs), faults=faults, allow_aws=allow_aws) as opened:
        able, unable = cases(opened.file, wanted, versions or None)
        if not able:
            raise UsageError(f"{opened.name} can do none of it: {unable[0][1]}")
        sampler = Sampler(opened)
        how = start or ("reconnect" if opened.cloud.serves else "power-on")
        n = samples or opened.file.connect.samples

        def play(case: Case) -> Study:
            with _progress(case, n) as progress:
                return as_test(opened, case, lambda: study(sampler, case, n, start=how, progress=progress))

        studies = [play(case) for case in able]
        attach_samples(opened.journal, None, studies)
        if approve is not None:
            _approve(opened, studies, approve)
        facts = {"rig": opened.name, "emulated": opened.file.emulated, **_identity(opened)}
        folder = opened.journal.folder
        sampler.restore()
    write_views(folder)
    facts |= {
        "report": str(folder / REPORT),
        "ratios": ratios(studies),
        "scenarios": [one.to_json() for one in studies],
        "not_applicable": {case.name: reason for case, reason in unable},
    }
    if as_json:
        click.echo(json.dumps(facts, indent=2))
    else:
        _print(facts, studies)
    dead = next((one for one in studies if not one.sampled.connections), None)
    if dead is not None:
        raise DeviceError(f"{dead.case.name}: {dead.sampled.failure}")


def _identity(rig: Rig) -> dict[str, Any]:
    firmware = None if rig.boot is None else rig.boot.firmware
    part, revision = rig.file.element.part, rig.element.info_revision().hex()
    return {"firmware": firmware, "element": part, "revision": revision}


def _approve(rig: Rig, studies: Sequence[Study], who: str) -> None:
    from hil.connecttime.regression import observe
    from hil.records.baseline import approve

    path = approve(homes.find_homes().baselines, observe(rig, studies), who, rig.calendar, replace=True)
    click.echo(f"baseline: {path}", err=True)


@contextmanager
def _progress(case: Case, n: int) -> Iterator[Callable[[int], None]]:
    """A line on a terminal that says how far it is."""
    shown = sys.stderr.isatty()

    def write(text: str) -> None:
        if shown:
            sys.stderr.write(f"\r\x1b[K{text}")
            sys.stderr.flush()

    write(f"{case.name}: the board restarts")
    try:
        yield lambda done: write(f"{case.name}: {done} of {n}")
    finally:
        write("")


def _print(facts: dict[str, Any], studies: Sequence[Study]) -> None:
    kind = "EMULATED: predicted, nothing was measured" if facts["emulated"] else "physical: measured"
    click.echo(f"{facts['rig']} ({kind}); milliseconds")
    width = max(len(one.case.name) for one in studies)
    heads = " ".join(f"{name:>6}" for name in ("n", "min", "median", "p90", "p95", "max"))
    click.echo(f"{'':{width}} {heads}   believable")
    for one in studies:
        row = one.to_json()
        figures = " ".join(f"{_ms(row[key]):>6}" for key in ("n", "min", "median", "p90", "p95", "max"))
        click.echo(f"{one.case.name:{width}} {figures}   {'' if one.band is None else one.band}".rstrip())
        if one.case.scenario.name == "element" and row["claim"]:
            click.echo(f"{'':{width}} {row['claim']}")
        for finding in one.findings:
            click.echo(f"{'':{width}} ! {finding}")
    for one_ratio in facts["ratios"]:
        low, high = one_ratio["interval"]
        interval = "" if low is None or high is None else f" ({low} … {high} with 95 % confidence)"
        click.echo(
            f"{one_ratio['scenario']} / element, TLS {one_ratio['tls']}: {one_ratio['ratio']} ×{interval}"
        )
    for name, reason in facts["not_applicable"].items():
        click.echo(f"{name:{width}} not applicable: {reason}")
    click.echo(f"report: {facts['report']}")


def _ms(value: float | None) -> str:
    return "–" if value is None else f"{value:.0f}"
