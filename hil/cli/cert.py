"""``hil cert``: look at certificates and judge chains."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hil.clock import Calendar
from hil.element.certificates.anchors import Origin, anchor, microchip_anchors, origin_of
from hil.element.certificates.certificate import load, load_all
from hil.element.certificates.chain import verify_chain
from hil.errors import CertificateError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from hil.element.certificates.certificate import Certificate

__all__ = ["command"]

_FILE = click.Path(path_type=Path)


@click.group("cert")
def command() -> None:
    """Certificates of secure elements: show them, verify chains."""


@command.command()
@click.argument("files", nargs=-1, required=True, type=_FILE)
def show(files: tuple[Path, ...]) -> None:
    """Print what is in certificates (PEM or DER), names as openssl prints them."""
    certificates = [(path, item) for path in files for item in load_all(_read(path))]
    for number, (path, certificate) in enumerate(certificates):
        if number:
            click.echo()
        click.echo(f"{path}")
        for label, value in _facts(certificate):
            click.echo(f"  {label:<12}{value}")


@command.command()
@click.argument("device", type=_FILE)
@click.argument("signer", type=_FILE)
@click.argument("root", type=_FILE, required=False)
@click.option("--at", metavar="DATE", help="Judge for this time (ISO 8601, UTC) instead of now.")
@click.option(
    "--slot-key", metavar="HEX", help="Key that the element computed from the slot, 64 bytes X and Y."
)
@click.pass_context
def verify(
    context: click.Context,
    device: Path,
    signer: Path,
    root: Path | None,
    at: str | None,
    slot_key: str | None,
) -> None:
    """Judge DEVICE ← SIGNER ← ROOT, rule by rule; exit 0 only for a good chain.

    Without ROOT the chain must end in one of Microchip's roots. A ROOT that is given is accepted as
    the anchor, and the report says what kind it is.
    """
    given = None if root is None else _read(root)
    report = verify_chain(
        load(_read(device)),
        load(_read(signer)),
        None if given is None else load(given),
        at=Calendar().time() if at is None else _time(at),
        slot_key=None if slot_key is None else _key(slot_key),
        anchors=microchip_anchors() if given is None else (anchor(given),),
    )
    click.echo(str(report))
    if report.origin is not Origin.MICROCHIP:
        click.echo(f"note: the root is {report.origin}; the chain says nothing about a genuine part")
    if not report.ok:
        context.exit(CertificateError.exit_code)


def _facts(certificate: Certificate) -> list[tuple[str, str]]:
    """Label and text of each field; a field that cannot be read says why and hides no other."""
    fields: list[tuple[str, Callable[[], str]]] = [
        ("subject", lambda: str(certificate.subject)),
        ("issuer", lambda: str(certificate.issuer)),
        ("valid", lambda: f"{_date(certificate.not_before)} to {_date(certificate.not_after)}"),
        ("serial", lambda: certificate.serial.hex()),
        ("key", lambda: certificate.point.hex()),
        ("key id", lambda: (certificate.subject_key_id or b"").hex() or "none"),
        ("signer's id", lambda: (certificate.authority_key_id or b"").hex() or "none"),
        ("sha256", lambda: certificate.fingerprint),
    ]
    facts = [(label, _said(field)) for label, field in fields]
    if _said(lambda: str(certificate.issuer)) == _said(lambda: str(certificate.subject)):
        facts.append(("root", _said(lambda: str(origin_of(certificate)))))
    return facts


def _said(field: Callable[[], str]) -> str:
    try:
        return field()
    except CertificateError as error:
        return f"({error.message})"


def _date(seconds: int) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%SZ}"


def _time(text: str) -> float:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise UsageError(
            f"--at {text!r} is no date: {error}", hint="for example 2025-01-31T12:00:00Z"
        ) from error
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _key(text: str) -> bytes:
    try:
        key = bytes.fromhex(text)
    except ValueError as error:
        raise UsageError(f"--slot-key is no hex: {error}") from error
    if len(key) != 64:
        raise UsageError(f"--slot-key has 64 bytes, not {len(key)}")
    return key


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from error
