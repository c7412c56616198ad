"""``hil element``: one element by hand: who it is, its keys, a signature, a shell."""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar

import click

from hil import homes
from hil.errors import UsageError
from hil.rig.oneshot import PREPARED, element_facts, need, one_rig

if TYPE_CHECKING:
    from collections.abc import Callable


__all__ = ["command"]

F = TypeVar("F", bound="Callable[..., Any]")


def _common(function: F) -> F:
    """The rig, its preparation, and JSON."""
    decorate = (
        click.option("--json", "as_json", is_flag=True, help="Print JSON."),
        click.option(
            "--prepare",
            type=click.Choice(PREPARED),
            help="Bring an emulated part to this state first; else it is as delivered.",
        ),
        click.argument("rig"),
    )
    for one in decorate:
        function = one(function)
    return function


@click.group("element")
def command() -> None:
    """One element by hand. Nothing here changes it for good, except what is typed into the shell."""


@command.command()
@_common
def info(rig: str, prepare: str | None, as_json: bool) -> None:
    """Who the element of RIG is, what is locked, and what each slot is for."""
    with one_rig(rig, prepare=prepare) as opened:
        facts = element_facts(opened)
        words = ""
        if "config_locked" in facts:
            from hil.element.configwords import describe

            config = opened.element.config
            words = describe(config)
            facts["config"] = config.to_bytes().hex()
    if as_json:
        click.echo(json.dumps(facts, indent=2))
        return
    if facts["emulated"]:
        click.echo("EMULATED")
    for name in ("part", "serial", "revision"):
        click.echo(f"{name:<10}{facts[name]}")
    if words:
        click.echo(words)


@command.command()
@_common
@click.option("--self-signed", metavar="SUBJECT", help="Have the element sign a certificate for itself.")
@click.option("--slot", type=click.IntRange(0, 15), default=0, show_default=True, help="Its key.")
@click.option("--days", type=click.IntRange(1, 36500), default=3650, show_default=True)
def cert(rig: str, prepare: str | None, as_json: bool, self_signed: str | None, slot: int, days: int) -> None:
    """The certificate of the element of RIG, PEM on stdout, what is to be said about it on stderr.

    Without --self-signed the certificates that the element was delivered with: device, signer and root,
    judged link by link and against the key of slot 0; exit 0 only for a good chain.
    """
    with one_rig(rig, prepare=prepare) as opened:
        if self_signed is None:
            from hil.cli.cert import print_delivered

            need(opened, "certificates")
            print_delivered(opened, as_json=as_json)
            return
        from hil.element.certificates import selfsigned
        from hil.element.certificates.certificate import load, pem
        from hil.element.keys import ElementSigningKey

        need(opened, "sign")
        key, now = ElementSigningKey(opened.element, slot), opened.calendar.time()
        der = selfsigned.self_signed(key, self_signed, at=now, days=days)
        selfsigned.check_self_signed(der, opened.slot_key(slot), at=now)
    if as_json:
        certificate = load(der)
        facts = {"rig": rig, "sha256": certificate.fingerprint, "subject": str(certificate.subject)}
        click.echo(json.dumps({**facts, "pem": pem(der)}, indent=2))
    else:
        click.echo(pem(der), nl=False)


@command.command()
@_common
@click.argument("slot", type=click.IntRange(0, 15), default=0)
def pubkey(rig: str, prepare: str | None, as_json: bool, slot: int) -> None:
    """The public key of the private key in SLOT (0 if not given), PEM; the element computes it."""
    with one_rig(rig, prepare=prepare) as opened:
        need(opened, "pubkey")
        opened.need_start()
        point = opened.slot_key(slot)
    if as_json:
        click.echo(json.dumps({"rig": rig, "slot": slot, "xy": point.hex(), "pem": _spki(point)}, indent=2))
    else:
        click.echo(_spki(point), nl=False)


@command.command("random")
@_common
@click.argument("length", metavar="[BYTES]", type=click.IntRange(1, 65536), default=32)
def random_(rig: str, prepare: str | None, as_json: bool, length: int) -> None:
    """BYTES random bytes (32 if not given) of the element of RIG, in hex.

    An element whose configuration is not locked answers with a fixed pattern: that is refused.
    """
    from hil.element.keys import ElementRandom
    from hil.errors import DeviceError

    with one_rig(rig, prepare=prepare) as opened:
        need(opened, "i2c")
        opened.need_start()
        if not opened.element.lock_state().config:
            raise DeviceError(
                f"the element of {rig} is not configured: its generator answers FFFF0000…",
                hint="random numbers come once the configuration zone is locked",
            )
        data = ElementRandom(opened.element).random(length)
    click.echo(json.dumps({"rig": rig, "random": data.hex()}) if as_json else data.hex())


@command.command()
@_common
@click.argument("file", type=click.File("rb"), default="-")
@click.option("--slot", type=click.IntRange(0, 15), default=0, show_default=True, help="The private key.")
@click.option("--digest", metavar="HEX", help="Sign this SHA-256 instead of a file's.")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Write the DER signature to this file.")
def sign(
    rig: str,
    prepare: str | None,
    as_json: bool,
    file: BinaryIO,
    slot: int,
    digest: str | None,
    output: Path | None,
) -> None:
    """Sign FILE (standard input if not given) with SHA-256 and the key in a slot of the element of RIG.

    The signature is DER, as `openssl dgst -sha256 -verify` wants it; in hex unless -o is given. It is
    checked against the slot's public key before it is handed out.
    """
    from hil.element.certificates.compressed import signature_der
    from hil.errors import DeviceError
    from hil.tls.software import SoftwareVerify

    wanted = hashlib.sha256(file.read()).digest() if digest is None else _digest(digest)
    with one_rig(rig, prepare=prepare) as opened:
        need(opened, "sign")
        opened.need_start()
        signature = opened.element.sign_digest(slot, wanted)
        point = opened.slot_key(slot)
    if not SoftwareVerify().verify(point, wanted, signature):
        raise DeviceError(f"the signature of slot {slot} does not verify under the key of that slot")
    der = signature_der(signature)
    if output is not None:
        output.write_bytes(der)
    if as_json:
        facts = {"rig": rig, "slot": slot, "digest": wanted.hex(), "rs": signature.hex(), "der": der.hex()}
        click.echo(json.dumps(facts, indent=2))
    elif output is None:
        click.echo(der.hex())


@command.command()
@click.argument("rig")
@click.option("--prepare", type=click.Choice(PREPARED), help="Bring an emulated part to this state first.")
@click.option("--fault", "faults", multiple=True, metavar="NAME", help="Give an emulated rig a fault.")
@click.option(
    "--allow-irreversible", multiple=True, metavar="SERIAL", help="Element that may be changed for good."
)
@click.option("--allow-aws", metavar="ACCOUNT", help="The real account that the rig file names.")
@click.option("--runs", type=click.Path(path_type=Path), help="Where the journal goes; default: runs.")
@click.option("-c", "code", metavar="CODE", help="Run this instead of asking.")
def shell(
    rig: str,
    prepare: str | None,
    faults: tuple[str, ...],
    allow_irreversible: tuple[str, ...],
    allow_aws: str | None,
    runs: Path | None,
    code: str | None,
) -> None:
    """A Python prompt with the element of RIG, its certificates and the cloud at hand.

    IPython's if it is installed. The guard stands before the element here as everywhere.
    """
    from hil.shell import interact, names, run_code

    with one_rig(
        rig,
        runs=homes.runs_folder(runs),
        faults=faults,
        allow_irreversible=frozenset(allow_irreversible),
        allow_aws=allow_aws,
        prepare=prepare,
    ) as opened:
        at_hand = names(opened)
        if code is not None:
            run_code(code, at_hand.values)
        else:
            interact(at_hand, interactive=sys.stdin.isatty())


def _spki(point: bytes) -> str:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    from hil.tls.software import load_point

    return load_point(point).public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def _digest(text: str) -> bytes:
    try:
        digest = bytes.fromhex(text)
    except ValueError as error:
        raise UsageError(f"--digest is no hex: {error}") from error
    if len(digest) != 32:
        raise UsageError(f"--digest has 32 bytes, not {len(digest)}")
    return digest
