"""``hil qualify``: hold a release against its requirements, and sign what comes of it."""

from __future__ import annotations

import os
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hil import homes
from hil.errors import UsageError

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from hil.records.attestation import Signer

__all__ = ["PASSWORD", "command"]

PASSWORD = "HIL_KEY_PASSWORD"
"""Environment variable with the password of an encrypted key file."""


@click.command()
@click.argument("release", type=click.Path(path_type=Path))
@click.option(
    "--rig", "rigs", multiple=True, metavar="NAME",
    help="Rig to run on; repeatable. Default: every rig that is known and fits.",
)  # fmt: skip
@click.option("--rehearsal", is_flag=True, help="Try everything on emulated rigs. It qualifies nothing.")
@click.option(
    "--key", type=click.Path(path_type=Path),
    help=f"Private key in PEM, Ed25519 or P-256, that signs; its password is read from {PASSWORD}.",
)  # fmt: skip
@click.option("--key-element", metavar="RIG", help="Sign with the secure element of this rig instead.")
@click.option("--key-slot", type=click.IntRange(0, 15), default=0, show_default=True, help="Its key.")
@click.option("--public", type=click.Path(path_type=Path), help="Write the signer's public key here (PEM).")
@click.option(
    "--allow-irreversible", multiple=True, metavar="SERIAL",
    help="Serial number of an element that may be locked or keyed for good; repeatable.",
)  # fmt: skip
@click.option("--allow-aws", metavar="ACCOUNT", help="The real account that rig files name.")
@click.option("--runs", type=click.Path(path_type=Path), help="Where the evidence is kept; default: runs.")
@click.pass_context
def command(
    context: click.Context,
    release: Path,
    rigs: tuple[str, ...],
    rehearsal: bool,
    key: Path | None,
    key_element: str | None,
    key_slot: int,
    public: Path | None,
    allow_irreversible: tuple[str, ...],
    allow_aws: str | None,
    runs: Path | None,
) -> None:
    """Run every suite that the file RELEASE asks for, on every combination, and sign the evidence.

    The firmware is written and read back first. Nothing is quarantined and nothing is tried again. Only
    physical rigs count; an emulated one that passes for physical is refused. What comes of it is one folder:
    journal, report, JUnit, requirement matrix and a signed in-toto statement, which `hil verify` checks.
    Exit 0 if the release passes, 23 if it does not, 13 if a bench broke.
    """
    from hil.records.attestation import FileSigner
    from hil.records.rebuild import load_run
    from hil.release import qualify
    from hil.release.files import load_release

    if (key is None) == (key_element is None):
        raise UsageError("name what signs: --key FILE or --key-element RIG", hint="hil qualify --help")
    wanted = load_release(release)
    chosen = qualify.choose_rigs(wanted, rigs, rehearsal=rehearsal)
    signer: FileSigner | None = None
    if key is not None:
        password = os.environ.get(PASSWORD)
        signer = FileSigner(key, None if password is None else password.encode())
    else:
        assert key_element is not None, "one of the two is given"
        qualify.check_signer(key_element, key_slot, rehearsal=rehearsal, rigs=chosen)
    status, folder = qualify.run_session(
        wanted,
        chosen,
        rehearsal=rehearsal,
        runs=homes.runs_folder(runs),
        allow_irreversible=allow_irreversible,
        allow_aws=allow_aws,
    )
    if folder is None:
        context.exit(status or UsageError.exit_code)
    run = load_run(folder)
    if run.aborted:
        click.echo(f"the run was aborted, nothing is signed: {folder}", err=True)
        context.exit(status)
    signing: AbstractContextManager[Signer] = (
        nullcontext(signer)
        if signer is not None
        else qualify.element_signer(
            str(key_element), key_slot, rehearsal=rehearsal, under_test=qualify.under_test(folder)
        )
    )
    with signing as hand:
        _sign(folder, hand, public)
    context.exit(qualify.exit_code(status, run))


def _sign(folder: Path, signer: Signer, public: Path | None) -> None:
    from hil.records.attestation import attest, verify, write_public_key

    attest(folder, signer)
    attested = verify(folder, signer.public_key)
    if public is not None:
        write_public_key(signer.public_key, public)
    click.echo(attested.sentence)
    click.echo(f"evidence: {folder}")
    click.echo(f"signed by the key {attested.keyid}")
    click.echo(f"check it with: hil verify {folder} --key {public or 'PUBLIC.pem'}")
