"""``hil emulate``: serve an emulated rig to outside programs in real time."""

from __future__ import annotations

import json
from pathlib import Path

import click

from hil import rigfile
from hil.clock import Calendar

__all__ = ["command"]


@click.command()
@click.argument("rig")
@click.option(
    "--board-pty", type=click.Path(path_type=Path), help="Link of this name to the board's console."
)
@click.option("--i2c-socket", type=click.Path(path_type=Path), help="Unix socket of the I2C bus.")
@click.option(
    "--i2c-hz",
    type=click.IntRange(1_000, 1_000_000),
    default=100_000,
    show_default=True,
    help="Its bus speed.",
)
@click.option("--fault", "faults", multiple=True, metavar="NAME", help="Give the rig a fault; repeatable.")
def command(
    rig: str, board_pty: Path | None, i2c_socket: Path | None, i2c_hz: int, faults: tuple[str, ...]
) -> None:
    """Serve RIG until SIGTERM: console, I2C bus, MQTT endpoint and AWS control plane.

    Prints one line of JSON with every address when it is ready. Power is on.

    I2C socket: request = 'W' or 'R', 7-bit address, length u16 little-endian, then for W the bytes;
    reply = 0 acknowledged or 1 not, then for an acknowledged R the bytes. Each request is one
    START … STOP transaction.
    """
    from hil.emulator.faults import check_faults
    from hil.serve import Fronts, serve

    file = rigfile.load_rig(rig)
    check_faults(faults, (file,))
    fronts = Fronts(board_pty, i2c_socket, i2c_hz)
    with serve(file, fronts, faults=faults, calendar=Calendar()) as served:
        click.echo(json.dumps(served.addresses))
        served.run()
