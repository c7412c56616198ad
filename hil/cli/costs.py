"""``hil costs``: cost models of MCUs, and learning one from a rig."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click

from hil import homes
from hil.errors import UsageError

__all__ = ["command"]


@click.group()
def command() -> None:
    """What software costs on the MCUs that are emulated."""


@command.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_models(as_json: bool) -> None:
    """List the shipped models with their sources: each says how far it can be trusted."""
    from hil.emulator.mcu import bounds, cost_model_names, load_costs

    rows: list[dict[str, Any]] = []
    for name in cost_model_names():
        sources = list(dict.fromkeys(bound.costs.source for bound in bounds(name)))
        rows.append({"name": name, "part": load_costs(name).part, "sources": sources})
    if as_json:
        click.echo(json.dumps(rows, indent=2))
        return
    for row in rows:
        click.echo(f"{row['name']:16}  {row['part']}: {', '.join(row['sources'])}")


@command.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def check(as_json: bool) -> None:
    """Compare the model of the elements with published connections, and list what was fitted.

    Figures were fitted to one log; the others check. The element's steps alone are compared: what the MCU
    takes is the part of a prediction that is known least, and carries a band instead.
    """
    from hil.connecttime.calibration import comparisons, fitted_inputs, statement

    if as_json:
        rows = [
            {
                "log": one.log.name,
                "fitted": one.log.fitted,
                "step": one.step,
                "published_ms": one.published_ms,
                "model_ms": round(one.model_ms, 3),
                "deviation": round(one.deviation, 4),
            }
            for one in comparisons()
        ]
        inputs = [{"input": one.input, "value": one.value, "why": one.why} for one in fitted_inputs()]
        click.echo(json.dumps({"steps": rows, "fitted": inputs}, indent=2))
        return
    for one in comparisons():
        times = f"log {one.published_ms:5.1f} ms  model {one.model_ms:5.1f} ms  {one.deviation:+4.0%}"
        click.echo(f"{one.log.name:20}  {one.step:16}  {times}{'  (fitted)' if one.log.fitted else ''}")
    for said in statement()[:-1]:
        click.echo(said)
    for fitted in fitted_inputs():
        click.echo(f"fitted: {fitted.input} = {fitted.value}: {fitted.why}")


@command.command()
@click.argument("rig")
@click.option(
    "--samples", type=click.IntRange(5, 1000), default=29, show_default=True, help="Connections per scenario."
)
@click.option("--base", help="Model for what cannot be seen; default: by the board's MCU and clock.")
@click.option(
    "--out", type=click.Path(path_type=Path), help="File to write; default: rigs/boards/learned-RIG.yaml."
)
@click.option("--force", is_flag=True, help="Replace the file if it exists.")
@click.option("--runs", type=click.Path(path_type=Path), help="Where the run is kept; default: runs.")
def learn(rig: str, samples: int, base: str | None, out: Path | None, force: bool, runs: Path | None) -> None:
    """Learn a cost model from RIG: what signing, ECDH and verification take on its board and element.

    The board connects with its element, with a P-256 key in a file and with an RSA key in a file, to this
    program's endpoint. Its emulated twin names the result as `cost_model`.
    """
    from hil.connecttime.learn import learn as learn_from
    from hil.connecttime.learn import to_yaml
    from hil.connecttime.sampler import Sampler
    from hil.rig.oneshot import one_rig

    with one_rig(rig, runs=homes.runs_folder(runs)) as opened:
        path = out or Path("rigs") / "boards" / f"learned-{opened.name}.yaml"
        if path.exists() and not force:
            raise UsageError(f"{path} exists", hint="--force replaces it, --out names another file")
        sampler = Sampler(opened)
        model = learn_from(sampler, samples, base=base, progress=_show)
        _show("", 0)
        sampler.restore()
        virtual = opened.clock.kind == "virtual"
    text = to_yaml(model)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}") from error
    operations = model["sources"]["learned"]["operations"]
    for name, entry in {**operations, **model["chip"]}.items():
        if "n" in entry:
            click.echo(
                f"{name:16}  median {entry['ms']:.1f} ms, p95 {entry['p95_ms']:.1f} ms, n {entry['n']}"
            )
        else:
            click.echo(f"{name:16}  {entry['provenance']}")
    if virtual:
        click.echo("learned from an emulated rig: still a prediction, nothing was measured")
    click.echo(f"{path}; the twin's rig file: emulation: {{cost_model: {model['name']}, ", nl=False)
    click.echo(f"rtt_ms: {model['learned']['rtt_ms']:g}}}")


def _show(scenario: str, done: int) -> None:
    """A line on a terminal that says how far it is."""
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\x1b[K{scenario}: {done}" if scenario else "\r\x1b[K")
        sys.stderr.flush()
