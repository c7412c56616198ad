"""``hil verify``: check the evidence of a qualification against a public key."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from pathlib import Path

import click

from hil.cli.inputs import read_bytes
from hil.errors import NOT_QUALIFIED_EXIT, CertificateError

__all__ = ["command"]


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option(
    "--key", type=click.Path(path_type=Path), required=True,
    help="Public key in PEM of whoever is trusted to sign. Never take it from the folder.",
)  # fmt: skip
@click.option(
    "--firmware", type=click.Path(path_type=Path), help="The image that you are about to use: is it this one?"
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def command(context: click.Context, folder: Path, key: Path, firmware: Path | None, as_json: bool) -> None:
    """Check signature, hashes and completeness of the evidence in FOLDER, and say what it attests.

    Exit 0 only if a release is qualified by it. 16 if anything was changed, is missing or was added, or
    if another key signed; 23 if the evidence is authentic and does not qualify a release: one that did not
    pass, or a rehearsal.
    """
    from hil.records.attestation import load_public_key, verify

    attested = verify(folder, load_public_key(key))
    if firmware is not None:
        digest = hashlib.sha256(read_bytes(firmware)).hexdigest()
        if digest not in attested.firmware:
            raise CertificateError(
                f"{firmware} ({digest[:16]}…) is no firmware that this evidence speaks of",
                hint=f"it says: {attested.sentence}",
            )
    if as_json:
        click.echo(json.dumps({**asdict(attested), "firmware": sorted(attested.firmware)}, indent=2))
    else:
        click.echo(attested.sentence)
    if not attested.qualified:
        context.exit(NOT_QUALIFIED_EXIT)
