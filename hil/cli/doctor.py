"""``hil doctor``: bring a rig up step by step, and say where it breaks."""

from __future__ import annotations

import json
from dataclasses import asdict

import click

from hil import rigfile
from hil.clock import Calendar

__all__ = ["command"]

SIGNS = {"good": "✓", "broken": "✗", "skipped": "–"}


@click.command()
@click.argument("rig")
@click.option("--fault", "faults", multiple=True, metavar="NAME", help="Give an emulated rig a fault.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def command(context: click.Context, rig: str, faults: tuple[str, ...], as_json: bool) -> None:
    """Examine RIG from the host to the element and stop at the first broken step.

    Switches the power off and on. Nothing is written to the element; settings of the board that a
    diagnosis changes are put back. The exit code is 0, or that of what is broken: 13 for the bench, 15
    for the device.
    """
    from hil.bringup.doctor import examine, patient

    file = rigfile.load_rig(rig)
    if faults:
        from hil.emulator.faults import check_faults

        check_faults(faults, (file,))
    found = []
    with patient(file, Calendar(), faults=faults) as opened:
        for finding in examine(opened):
            found.append(finding)
            if not as_json:
                click.echo(f"{SIGNS[finding.verdict]} {finding.step:<10}  {finding.text}")
                if finding.hint:
                    click.echo(f"  → {finding.hint}")
    if as_json:
        click.echo(json.dumps([asdict(finding) for finding in found], indent=2))
    context.exit(found[-1].exit_code)
