"""``hil rigs``: list rigs, check rig files, print their schema."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from hil import rigfile
from hil.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["command"]


@click.group(invoke_without_command=True)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def command(context: click.Context, as_json: bool) -> None:
    """List the rigs that can be named with --rig: the project's and the shipped ones."""
    if context.invoked_subcommand is not None:
        return
    entries = [_entry(path) for path in rigfile.list_rigs().values()]
    if as_json:
        click.echo(json.dumps(entries, indent=2))
        return
    width = max((len(entry["rig"]) for entry in entries), default=0)
    for entry in entries:
        kind = entry["kind"] if "error" not in entry else "broken"
        click.echo(f"{entry['rig']:{width}}  {kind:8}  {entry.get('error') or entry['description']}")
    if not entries:
        click.echo("no rigs")


@command.command()
@click.argument("files", metavar="FILE…", nargs=-1, required=True)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def check(files: tuple[str, ...], as_json: bool) -> None:
    """Check rig files, given by path or by name, and say what each rig can do.

    Every mistake is reported with file, line and column; the exit code is then 12.
    """
    paths = [rigfile.find_rig(file) for file in files]
    entries, broken = [], []
    for path in paths:
        try:
            rigfile.load(path)
        except ConfigError as error:
            broken.append(error.message)
        entries.append(_entry(path))
    if as_json:
        click.echo(json.dumps(entries, indent=2))
    else:
        for entry in entries:
            if "error" not in entry:
                click.echo(
                    f"{entry['file']}: good, {entry['kind']} rig; can do: {', '.join(entry['capabilities'])}"
                )
    if broken:
        raise ConfigError("\n".join(broken))


@command.command()
def schema() -> None:
    """Print the JSON Schema of rig files, e.g. for an editor."""
    click.echo(json.dumps(rigfile.json_schema(), indent=2))


def _entry(path: Path) -> dict[str, Any]:
    """One rig for people and machines; a broken file has an ``error`` instead of its content."""
    try:
        rig = rigfile.load(path)
    except ConfigError as error:
        return {"rig": path.stem, "file": str(path), "error": error.message}
    return {
        "rig": rig.rig,
        "file": str(path),
        "kind": "emulated" if rig.emulated else "physical",
        "description": rig.description,
        "board": rig.board.kind,
        "element": {"part": rig.element.part, "address": rig.element.address, "state": rig.element.state},
        "capabilities": sorted(rigfile.capabilities(rig)),
    }
