"""``hil faults``: the faults that emulated rigs can be given."""

from __future__ import annotations

import json

import click

__all__ = ["command"]


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(as_json: bool) -> None:
    """List the faults for --fault: what is broken, and which suite has to notice."""
    from hil.emulator.faults import FAULTS

    if as_json:
        rows = {
            n: {"meaning": f.meaning, "suite": f.owner, "needs": sorted(f.needs)} for n, f in FAULTS.items()
        }
        click.echo(json.dumps(rows, indent=2))
        return
    width = max(map(len, FAULTS))
    for name, fault in FAULTS.items():
        click.echo(f"{name:{width}}  {fault.meaning} (suite {fault.owner})")
