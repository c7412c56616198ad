"""``hil config``: element configurations in words, linted, compared, and approved for locking."""

from __future__ import annotations

import getpass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hil.errors import ConfigError, UsageError
from hil.guard.lint import lint, unknown_ids
from hil.guard.requirements import config_digest

if TYPE_CHECKING:
    from hil.element.configzone import ConfigZone

__all__ = ["command"]

_PARTS = ("atecc508a", "atecc608a", "atecc608b")


@click.group("config")
def command() -> None:
    """Configurations of elements: what they mean, what is wrong with them, which were reviewed.

    FILE is a YAML, JSON or hex file as `mos atca-get-config` writes them, or the name of a shipped one.
    """


@command.command()
@click.argument("file")
def show(file: str) -> None:
    """Say in words what each slot is for."""
    from hil.element.configwords import describe

    config = _load(file)
    click.echo(describe(config))
    click.echo(f"digest {config_digest(config.to_bytes())}")


@command.command()
@click.argument("before")
@click.argument("after")
@click.pass_context
def diff(context: click.Context, before: str, after: str) -> None:
    """List the fields that differ; exit code 1 if there are any."""
    from hil.element import configwords

    differing = configwords.diff(_load(before), _load(after))
    for difference in differing:
        click.echo(str(difference))
    context.exit(1 if differing else 0)


@command.command("lint")
@click.argument("file")
@click.option("--part", type=click.Choice(_PARTS), required=True, help="The part it is for.")
@click.option("--address", type=int, default=0x60, show_default=True, help="7-bit address that is expected.")
@click.option("--production", is_flag=True, help="It is for a product: what only suits tests is an error.")
@click.option("--accept", multiple=True, metavar="ID", help="A finding that was looked at and accepted.")
def lint_command(file: str, part: str, address: int, production: bool, accept: tuple[str, ...]) -> None:
    """Say what is wrong with a configuration; exit code 12 if something would stop a lock."""
    findings = lint(_load(file).to_bytes(), part=part, address=address, production=production)
    for finding in findings:
        click.echo(f"{finding}" + ("  (accepted)" if finding.id in accept else ""))
    for name in unknown_ids(accept, findings):
        click.echo(f"note: no finding is called {name!r}", err=True)
    blocking = [finding.id for finding in findings if finding.blocks and finding.id not in accept]
    if blocking:
        raise ConfigError(
            f"{file}: a lock would be refused: {', '.join(blocking)}",
            hint="mend it, or accept a finding by its id in the rig file",
        )


@command.command()
@click.argument("file")
@click.option("--part", type=click.Choice(_PARTS), required=True, help="The part it is for.")
@click.option("--address", type=int, default=0x60, show_default=True, help="7-bit address that is expected.")
@click.option("--yes", is_flag=True, help="It was reviewed; do not ask.")
def approve(file: str, part: str, address: int, yes: bool) -> None:
    """Review a configuration, slot by slot, and remember exactly these bytes as approved.

    Locks on physical elements need it. The lint is applied again at the lock.
    """
    from hil.element.configwords import describe
    from hil.rig.policy import approve as remember

    config = _load(file)
    click.echo(describe(config))
    for finding in lint(config.to_bytes(), part=part, address=address, production=False):
        if finding.blocks:
            click.echo(str(finding))
    if not yes:
        click.confirm("Approve exactly this configuration for locking?", abort=True)
    digest = remember(config.to_bytes(), name=file, by=getpass.getuser())
    click.echo(f"approved {digest}")


@command.command()
def approved() -> None:
    """List what was approved."""
    from hil.rig.policy import approvals

    rows = approvals()
    for digest, note in rows.items():
        click.echo(f"{digest}  {note.get('at', '')}  {note.get('by', '')}  {note.get('name', '')}")
    if not rows:
        click.echo("nothing is approved")


@command.command()
@click.argument("digest")
def revoke(digest: str) -> None:
    """Take an approval back; DIGEST may be shortened to what is unambiguous."""
    from hil.rig.policy import approvals
    from hil.rig.policy import revoke as forget

    matching = [known for known in approvals() if known.startswith(digest.lower())]
    if len(matching) != 1:
        raise UsageError(f"{digest} matches {len(matching)} approvals", hint="hil config approved lists them")
    forget(matching[0])
    click.echo(f"revoked {matching[0]}")


def _load(file: str) -> ConfigZone:
    """A configuration by path, or by the name of a shipped one."""
    from hil.element.configfiles import load_config
    from hil.rig.policy import named_config

    path = Path(file)
    return load_config(path) if path.suffix or path.is_file() else named_config(file)
