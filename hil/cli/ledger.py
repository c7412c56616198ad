"""``hil ledger``: irreversible operations of every element, and what became of those without a result."""

from __future__ import annotations

import getpass
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

import click

from hil.clock import Calendar
from hil.errors import UsageError
from hil.guard.ledger import Ledger
from hil.homes import find_homes

if TYPE_CHECKING:
    from hil.guard.ledger import LedgerEntry

__all__ = ["command"]


@click.group(invoke_without_command=True)
@click.pass_context
def command(context: click.Context) -> None:
    """Irreversible operations of every element that this user has touched."""
    if context.invoked_subcommand is not None:
        return
    ledger = _ledger()
    found = False
    for serial in ledger.serials():
        found = True
        entries, still_open = ledger.entries(serial), ledger.open_intents(serial)
        operations = sum(entry.kind == "intent" for entry in entries)
        click.echo(f"{serial}  {operations:4} operations" + ("  NEEDS INSPECTION" if still_open else ""))
        for entry in still_open:
            click.echo(f"  {_words(entry)}")
            click.echo(f"    {_what_to_do(entry)}")
    if not found:
        click.echo("no element has a ledger")


@command.command()
@click.argument("serial")
def show(serial: str) -> None:
    """Everything recorded of the element SERIAL, oldest first."""
    entries = _ledger().entries(serial.lower())
    if not entries:
        raise UsageError(f"element {serial} has no ledger", hint="`hil ledger` lists those that have")
    for entry in entries:
        click.echo(_words(entry))


@command.command()
@click.argument("rig")
@click.option("--by", default=None, help="Who says so; default: the user's name.")
@click.option("--yes", is_flag=True, help="Also close what reading back cannot decide.")
@click.option(
    "--allow-irreversible", multiple=True, metavar="SERIAL",
    help="Serial number of the element, if its provisioning console was never introduced.",
)  # fmt: skip
def resolve(rig: str, by: str | None, yes: bool, allow_irreversible: tuple[str, ...]) -> None:
    """Read the element of RIG back and record what became of its open operations.

    What the element cannot tell is shown, and is closed only after it was confirmed.
    """
    from hil.rig.inspection import inspect, inspect_by_console
    from hil.rig.oneshot import one_rig

    named = frozenset(serial.lower() for serial in allow_irreversible)
    with one_rig(rig, allow_irreversible=named) as opened:
        opened.need_start()
        if opened.bus_or_none is None:
            console = opened.esp_idf_board()
            serial = console.chip_info().serial.hex()
            look = partial(inspect_by_console, console.public_key)
        else:
            serial = opened.element.serial_number().hex()
            look = partial(inspect, opened.element)
        still_open = opened.guard.ledger.open_intents(serial)
        if not still_open:
            click.echo(f"element {serial}: every operation has a result")
        for other, _ in opened.guard.ledger.needs_inspection(opened.name):
            if other != serial:
                click.echo(
                    f"element {other}, which is not in the rig now, has an open operation: insert it and "
                    f"resolve again, or: hil ledger withdraw {other}"
                )
        for entry in still_open:
            click.echo(_words(entry))
            inspection = look(entry)
            click.echo(f"  read back: {inspection.found}")
            if not (inspection.certain or yes):
                click.confirm("  reading back cannot decide it; close it nevertheless?", abort=True)
            opened.guard.ledger.resolve(serial, entry.intent, inspection.found, by or getpass.getuser())
            click.echo("  closed")


@command.command()
@click.argument("serial")
@click.option("--why", required=True, help="What became of the part, e.g. 'scrapped'.")
@click.option("--by", default=None, help="Who says so; default: the user's name.")
def withdraw(serial: str, why: str, by: str | None) -> None:
    """Say that the element SERIAL cannot be inspected any more: lost, scrapped, dead.

    Its rig is free for another part. The element itself is never allowed anything irreversible again,
    unless it is inspected after all.
    """
    count = _ledger().withdraw(serial.lower(), why, by or getpass.getuser())
    click.echo(f"element {serial.lower()} is withdrawn: {count} operations without a result stay so")


def _what_to_do(entry: LedgerEntry) -> str:
    rig = entry.fields.get("rig")
    return f"to find out: hil ledger resolve {rig or 'RIG'}"


def _ledger() -> Ledger:
    return Ledger(find_homes().ledgers, Calendar())


def _words(entry: LedgerEntry) -> str:
    at = f"{datetime.fromtimestamp(entry.at, UTC):%Y-%m-%d %H:%M:%SZ}"
    fields = entry.fields
    if entry.kind == "intent":
        slot = "" if fields.get("slot") is None else f" slot {fields['slot']}"
        packets = fields.get("packets", [])
        count = packets[0] if len(packets) == 1 else f"{len(packets)} packets"
        what = f"{fields.get('operation')}{slot} on {fields.get('rig') or 'an unnamed rig'}: {count}"
    elif entry.kind == "result":
        what = str(fields.get("outcome"))
    elif entry.kind == "withdrawal":
        what = f"by {fields.get('by')}: {fields.get('why')}"
    else:
        what = f"resolved by {fields.get('by')}: {fields.get('found')}"
    return f"{at}  #{entry.intent} {entry.kind}  {what}"
