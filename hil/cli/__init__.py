"""The ``hil`` command, one module per verb.

A verb's module is imported when the verb is used. Exit codes: 0, or those of
:data:`hil.errors.EXIT_CODES`, or 130 after Ctrl-C.
"""

from __future__ import annotations

import importlib
import os
import sys
from typing import TYPE_CHECKING, NoReturn

import click

from hil.errors import HilError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["COMMANDS", "cli", "main"]

COMMANDS: dict[str, tuple[str, str]] = {
    "baseline": ("hil.cli.baseline", "What parts are known to do: list, approve."),
    "cert": ("hil.cli.cert", "Show, verify and extract certificates and chains."),
    "characterize": ("hil.cli.characterize", "Record what an element does, without harming it."),
    "cloud": ("hil.cli.cloud", "What runs have created in a cloud account: list it, delete it."),
    "compare": ("hil.cli.compare", "Two characterizations, or one and its approved baseline."),
    "config": ("hil.cli.config", "Element configurations: in words, linted, compared, approved."),
    "connect": ("hil.cli.connect", "How long a board takes to connect, and where the time goes."),
    "costs": ("hil.cli.costs", "Cost models of MCUs: list them, learn one from a rig."),
    "discover": ("hil.cli.discover", "List serial ports; write a rig file to start from."),
    "doctor": ("hil.cli.doctor", "Bring a rig up step by step, and say where it breaks."),
    "element": ("hil.cli.element", "One element by hand: info, certificate, keys, signature, shell."),
    "emulate": ("hil.cli.emulate", "Serve an emulated rig to outside programs, in real time."),
    "faults": ("hil.cli.faults", "List the faults that emulated rigs can be given."),
    "flash": ("hil.cli.flash", "Write firmware into a rig's board, and prove it by reading it back."),
    "history": ("hil.cli.history", "Trends, first bad runs and flaky tests of earlier runs."),
    "ledger": ("hil.cli.ledger", "Irreversible operations of elements, and those without a result."),
    "manifest": ("hil.cli.manifest", "Manifests of secure elements: show, verify, write, register."),
    "provision": ("hil.cli.provision", "Bring an element and its board to what a plan says."),
    "qualify": ("hil.cli.qualify", "Hold a release against its requirements, and sign what comes of it."),
    "report": ("hil.cli.report", "Make the views of a run again, from its journal."),
    "rigs": ("hil.cli.rigs", "List rigs, check rig files, print their schema."),
    "twin": ("hil.cli.twin", "Write an emulated rig that answers as a physical one did."),
    "safe-state": ("hil.cli.safe_state", "Switch a rig's relay to its safe state, after a crash."),
    "verify": ("hil.cli.verify", "Check the evidence of a qualification against a public key."),
}
"""Verb: the module whose ``command`` it is, and its line in ``hil --help``."""

INTERRUPTED = 130  # 128 + SIGINT, as shells count


class _Verbs(click.Group):
    """A group that imports a verb's module when the verb is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The verbs, sorted."""
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The verb's command, or None if there is none."""
        if cmd_name not in COMMANDS:
            return None
        command = importlib.import_module(COMMANDS[cmd_name][0]).command
        assert isinstance(command, click.Command), "the table names modules that have a command"
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list for ``--help``, from the table and without importing anything."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, COMMANDS[name][1]) for name in sorted(COMMANDS)])


@click.group(
    cls=_Verbs, invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]}
)
@click.version_option(package_name="atecc-hil", prog_name="hil", message="%(prog)s %(version)s")
@click.pass_context
def cli(context: click.Context) -> None:
    """Test boards that carry a Microchip ATECC secure element, physical or emulated.

    Suites are run by pytest: pytest --rig NAME.
    """
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


def run(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code; errors are one message on stderr."""
    try:
        result = cli.main(args=arguments, prog_name="hil", standalone_mode=False)
        sys.stdout.flush()
    except HilError as error:
        return _complain(error)
    except click.exceptions.Abort:
        click.echo("hil: interrupted", err=True)
        return INTERRUPTED
    except click.ClickException as error:
        where = (
            f" (see: {error.ctx.command_path} --help)"
            if isinstance(error, click.UsageError) and error.ctx
            else ""
        )
        click.echo(f"hil: {error.format_message()}{where}", err=True)
        return UsageError.exit_code
    except BrokenPipeError:
        # The reader went away, e.g. `hil rigs | head`; nothing is left to tell anybody.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return result if isinstance(result, int) else 0


def main() -> NoReturn:
    """Entry point of the ``hil`` program."""
    sys.exit(run())


def _complain(error: HilError) -> int:
    click.echo(f"hil: {error.message}", err=True)
    if error.hint:
        click.echo(f"  → {error.hint}", err=True)
    return error.exit_code
