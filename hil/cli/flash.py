"""``hil flash``: write firmware into a rig's board."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path

import click

from hil import homes, rigfile
from hil.errors import DeviceError, UsageError

__all__ = ["command"]


class _Offset(click.ParamType[int]):
    """A number as it is written in flash maps, ``0x1000``."""

    name = "offset"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """From text."""
        try:
            return int(str(value), 0)
        except ValueError:
            self.fail(f"{value!r} is no number", param, ctx)


@click.command()
@click.argument("rig")
@click.argument("image", type=click.Path(path_type=Path, exists=True, dir_okay=False), required=False)
@click.option("--offset", type=_Offset(), help="Where in the flash; default: what the rig file says.")
@click.option(
    "--baud",
    type=click.IntRange(9_600, 2_000_000),
    default=460_800,
    show_default=True,
    help="Rate of the transfer.",
)
@click.option("--runs", type=click.Path(path_type=Path), help="Where the journal is kept; default: runs.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(
    rig: str, image: Path | None, offset: int | None, baud: int, runs: Path | None, as_json: bool
) -> None:
    """Write IMAGE into the flash of RIG's board; without IMAGE, the one that the rig file names.

    The board must have the MAC address that the rig file names, the image must be one for its
    microcontroller, and what was written is read back and compared. Needs esptool
    (pip install 'atecc-hil[flash]'), which is run as a program of its own.
    """
    from hil.rig.flash import flash
    from hil.rig.oneshot import one_rig

    file = rigfile.load_rig(rig)
    path = image or rigfile.image_path(file)
    if path is None:
        raise UsageError(f"{file.rig} names no image", hint="give one, or add `image:` under `board:`")
    content = path.read_bytes()
    at = file.board.image_offset if offset is None else offset
    with one_rig(rig, runs=homes.runs_folder(runs)) as opened:
        done = flash(opened, content, at, baud=baud, progress=_shown if sys.stderr.isatty() else _nothing)
        if sys.stderr.isatty():
            click.echo(err=True)
        started = opened.boot is not None
        silence = "" if started else opened.diagnose_silence()
    if as_json:
        click.echo(json.dumps({"rig": file.rig, "image": str(path), **asdict(done), "started": started}))
    else:
        click.echo(
            f"{file.rig}: {done.size} bytes at 0x{done.offset:x} of the {done.chip.kind} {done.chip.mac}, "
            f"read back and equal; sha256 {done.sha256}"
        )
    if not started:
        raise DeviceError(f"the image is in flash, but {silence}")


def _shown(what: str, done: float) -> None:
    """One line that is written over; only on a terminal."""
    click.echo(f"\r{what} {done:4.0%}", nl=False, err=True)


def _nothing(what: str, done: float) -> None:
    """Nobody watches."""
