"""``hil discover``: which serial ports there are, and a rig file to start from."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import click

__all__ = ["command"]


@click.command()
@click.option(
    "--ask", "asked", is_flag=True, help="Open each port and ask the board there who it is; resets nothing."
)
@click.option("--write", "target", type=click.Path(path_type=Path), help="Write a rig file to start from.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(asked: bool, target: Path | None, as_json: bool) -> None:
    """List serial ports with what is known of them.

    Without --ask nothing is opened. A port is opened with DTR and RTS off, so that no board restarts.
    """
    from hil.bringup.discover import ask, discover, write_rig

    found = discover()
    if asked:
        found = tuple(ask(port) for port in found)
    if as_json:
        click.echo(json.dumps([asdict(port) for port in found], indent=2))
    else:
        for port in found:
            about = [port.adapter, port.usb, port.serial and f"serial {port.serial}", port.firmware]
            about += [port.mac and f"MAC {port.mac}", ", ".join(f"I2C {a}" for a in port.addresses)]
            click.echo(f"{port.device}: " + (", ".join(filter(None, about)) or "nothing is known of it"))
            if port.stable != port.device:
                click.echo(f"  {port.stable}")
            if port.note:
                click.echo(f"  {port.note}")
        if not found:
            click.echo("no serial ports; is the adapter plugged in?")
    if target is not None:
        write_rig(target, found)
        click.echo(f"wrote {target}; next: hil rigs check {target}", err=as_json)
