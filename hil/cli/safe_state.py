"""``hil safe-state``: switch a rig's relay to its safe state, after a crash for one."""

from __future__ import annotations

import click

from hil import rigfile

__all__ = ["command"]


@click.command()
@click.argument("rig")
def command(rig: str) -> None:
    """Switch the relay of RIG to the state that its file declares as safe.

    Needs the rig file and the relay, nothing else: no lock is taken, no board is asked, no earlier run
    is remembered. It does not wait for an element that is just being written.
    """
    from hil.rig.relay import safe_state

    file = rigfile.load_rig(rig)
    click.echo(f"{file.rig}: {safe_state(file)}")
