"""``hil provision``: bring an element and its board to what a plan says."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from hil.errors import DeviceError, UsageError
from hil.homes import runs_folder
from hil.rig.oneshot import need, one_rig

if TYPE_CHECKING:
    from hil.provision.plan import Plan
    from hil.rig.rig import Rig

__all__ = ["command"]


@click.command("provision")
@click.argument("rig")
@click.option(
    "--plan",
    "plan_file",
    type=click.Path(path_type=Path),
    help="Plan file; default: the first article's way.",
)
@click.option("--dry-run/--no-dry-run", default=True, show_default=True, help="Only show what would be sent.")
@click.option(
    "--allow-irreversible", multiple=True, metavar="SERIAL",
    help="Serial number of the element that may be locked and keyed for good.",
)  # fmt: skip
@click.option("--batch", is_flag=True, help="Part after part: insert, confirm, next.")
@click.option(
    "--records", type=click.Path(path_type=Path), default=Path("provisioned"), show_default=True,
    help="Where a batch keeps one record for each serial number.",
)  # fmt: skip
@click.option("--runs", type=click.Path(path_type=Path), help="Where the run's journal is kept.")
@click.option("--fault", multiple=True, metavar="NAME", help="Give an emulated rig a fault.")
@click.pass_context
def command(
    context: click.Context,
    rig: str,
    plan_file: Path | None,
    dry_run: bool,
    allow_irreversible: tuple[str, ...],
    batch: bool,
    records: Path,
    runs: Path | None,
    fault: tuple[str, ...],
) -> None:
    """Configuration, locks, keys, certificate and settings of the element and board of RIG, by a plan.

    Without --no-dry-run nothing is sent: the plan is rehearsed on a twin in memory, and every packet
    that would be sent is printed. Running it twice changes nothing the second time; after an
    interruption it goes on where it stopped.
    """
    from hil.provision.plan import default_plan, load_plan

    if batch and dry_run:
        raise UsageError("a batch provisions parts for good", hint="add --no-dry-run; each part is confirmed")
    plan = default_plan() if plan_file is None else load_plan(plan_file)
    named = frozenset(serial.lower() for serial in allow_irreversible)
    with one_rig(rig, runs=runs_folder(runs), faults=fault, allow_irreversible=named) as opened:
        need(opened, "provision")
        if batch:
            failed = _batch(opened, plan, records)
            if failed:
                context.exit(DeviceError.exit_code)
        elif dry_run:
            _preview(opened, plan)
        else:
            _provision(opened, plan)


def _preview(rig: Rig, plan: Plan) -> None:
    from hil.provision.flow import preview

    shown = preview(rig, plan)
    for line in shown.lines():
        click.echo(line)
    if not shown.nothing_to_do:
        click.echo("set --no-dry-run to do it")


def _provision(rig: Rig, plan: Plan) -> None:
    from hil.provision.flow import described, provision

    click.echo(described(rig))
    outcome = provision(rig, plan, lambda result: click.echo(str(result)))
    if outcome.changed:
        click.echo(f"{described(rig)}; provisioned and verified")
    else:
        click.echo("nothing was changed: everything is as the plan wants it already")
    for what, name in plan.files(outcome.serial).items():
        click.echo(f"{what}: {name}")


def _batch(rig: Rig, plan: Plan, records: Path) -> int:
    """How many parts failed."""
    from hil.provision.batch import Batch

    def ask(question: str) -> str:
        try:
            return str(click.prompt(question, default="", show_default=False, prompt_suffix=""))
        except click.Abort:  # the end of the input ends the box
            click.echo()
            return "q"

    box = Batch(rig, plan, records, ask, click.echo)
    box.run()
    return box.verdicts.get("failed", 0)
