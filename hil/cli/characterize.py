"""``hil characterize``: what a part does, without harming it."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from hil import homes
from hil.rig.oneshot import PREPARED, need, one_rig

__all__ = ["command", "show_progress"]


@click.command("characterize")
@click.argument("rig")
@click.option(
    "-o", "--out", type=click.Path(path_type=Path, dir_okay=False), required=True, help="File to write."
)
@click.option(
    "--samples", type=click.IntRange(5, 1000), default=29, show_default=True, help="Executions per command."
)
@click.option(
    "--prepare",
    type=click.Choice(PREPARED),
    help="Bring an emulated part to this state first; else it is as delivered.",
)
@click.option(
    "--vary-bus",
    is_flag=True,
    help="Find the wake threshold: the board's configuration is changed for it, and changed back.",
)
@click.option("--irreversible", is_flag=True, help="Also what changes the part for good; it is used up.")
@click.option(
    "--allow-irreversible", metavar="SERIAL", multiple=True, help="The part that may be used up; repeatable."
)
@click.option(
    "--runs", type=click.Path(path_type=Path), help="Where an irreversible run is kept; default: runs."
)
def command(
    rig: str,
    out: Path,
    samples: int,
    prepare: str | None,
    vary_bus: bool,
    irreversible: bool,
    allow_irreversible: tuple[str, ...],
    runs: Path | None,
) -> None:
    """Record what the element of RIG does, into a file that `hil compare` and `hil twin` read.

    Only commands that change nothing are sent, and every byte passes the guard. With --irreversible the
    others are sent too, each with a permit, as far as the rig file says that the part is expendable.
    """
    from hil.silicon.characterize import characterize, subject_of
    from hil.silicon.record import save

    kept = homes.runs_folder(runs) if irreversible else None
    allowed = frozenset(serial.lower() for serial in allow_irreversible)
    with one_rig(rig, runs=kept, prepare=prepare, allow_irreversible=allowed) as opened:
        need(opened, "i2c")
        subject = subject_of(opened, vary_bus=vary_bus)
        seen = characterize(subject, samples=samples, irreversible=irreversible, progress=show_progress)
        show_progress("")
    save(out, seen)
    base = seen.observed
    if base.emulated:
        click.echo("EMULATED: nothing was measured on silicon")
    click.echo(
        f"{base.part} revision {base.revision}, {seen.state}: {len(base.entries)} observations in {out}"
    )
    if base.unobservable:
        click.echo(f"{len(base.unobservable)} not observable here:")
    for key, why in base.unobservable.items():
        click.echo(f"  {key}: {why}")


def show_progress(what: str) -> None:
    """A line on a terminal that says what is being looked at; empty wipes it."""
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\x1b[K{what}")
        sys.stderr.flush()
