"""``hil cloud``: what runs have created in an account that outlives them."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from hil import rigfile
from hil.clock import Calendar
from hil.errors import CloudError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hil.cloud.cleanup import Fate
    from hil.cloud.ledger import Entry
    from hil.rigfile import RigFile

__all__ = ["command"]

NOTHING = "the account of {rig} ends with each run (cloud mode moto): there is nothing to clean up"


@click.group("cloud")
def command() -> None:
    """What runs on a rig have created in a cloud account: list it, delete it."""


@command.command("ledger")
@click.argument("rig")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def ledger_(rig: str, as_json: bool) -> None:
    """List what stands in the account of RIG because a run created it, from the ledger alone."""
    from hil.cloud.ledgerfile import open_ledger

    file = rigfile.load_rig(rig)
    if _ephemeral(file, as_json=as_json):
        return
    with open_ledger(file, Calendar()) as ledger:
        standing, unsure = ledger.standing(), ledger.unsure()
    if as_json:
        rows = {"standing": [asdict(e) for e in standing], "unsure": [asdict(e) for e in unsure]}
        click.echo(json.dumps(rows, indent=2))
        return
    for entry in standing:
        click.echo(f"{entry.kind:<20}{entry.identity}")
    if not standing:
        click.echo("nothing stands")
    _tell_unsure(unsure)


@command.command("clean-up")
@click.argument("rig")
@click.option("--allow-aws", metavar="ACCOUNT", help="The real account that the rig file names.")
@click.option("--dry-run", is_flag=True, help="Say what would be deleted; ask the account nothing.")
@click.option(
    "--looked",
    is_flag=True,
    help="Forget the intents whose outcome a crash left open: somebody has looked at the account.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def clean_up(
    context: click.Context, rig: str, allow_aws: str | None, dry_run: bool, looked: bool, as_json: bool
) -> None:
    """Delete what runs on RIG have created in its account, and nothing else.

    Exit 17 if something could not be deleted or nobody knows whether it exists.
    """
    from hil.cloud import cleanup
    from hil.cloud.ledgerfile import open_ledger
    from hil.cloud.session import CloudSession

    file = rigfile.load_rig(rig)
    if _ephemeral(file, as_json=as_json):
        return
    with open_ledger(file, Calendar()) as ledger:
        if dry_run:
            fates = [cleanup.Fate(entry, "left", "dry run") for entry in ledger.standing()]
        elif not ledger.standing():
            fates = []
        else:
            with CloudSession(file.cloud, allow_aws=allow_aws) as session:
                fates = cleanup.clean_up(session, ledger)
        if looked and not dry_run:
            for entry in ledger.unsure():
                ledger.forget(entry)
        unsure = ledger.unsure()
    _tell(fates, unsure, as_json=as_json)
    if not dry_run and (unsure or any(fate.outcome == "left" for fate in fates)):
        context.exit(CloudError.exit_code)


def _ephemeral(file: RigFile, *, as_json: bool) -> bool:
    if file.cloud.mode != "moto":
        return False
    words = NOTHING.format(rig=file.rig)
    click.echo(json.dumps({"note": words}) if as_json else words)
    return True


def _tell(fates: Sequence[Fate], unsure: Sequence[Entry], *, as_json: bool) -> None:
    if as_json:
        rows = [
            {"kind": f.entry.kind, "identity": f.entry.identity, "outcome": f.outcome, "reason": f.reason}
            for f in fates
        ]
        click.echo(json.dumps({"fates": rows, "unsure": [asdict(entry) for entry in unsure]}, indent=2))
        return
    for fate in fates:
        reason = f": {fate.reason}" if fate.reason else ""
        click.echo(f"{fate.outcome:<8}{fate.entry.kind:<20}{fate.entry.identity}{reason}")
    if not fates:
        click.echo("nothing stands")
    _tell_unsure(unsure)


def _tell_unsure(unsure: Sequence[Entry]) -> None:
    for entry in unsure:
        click.echo(f"unsure  {entry.kind:<20}{entry.identity}", err=True)
    if unsure:
        click.echo(
            "  → a run died while it asked for these; look for them in the account, delete what is there,"
            " then: hil cloud clean-up RIG --looked",
            err=True,
        )
