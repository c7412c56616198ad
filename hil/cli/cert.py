"""``hil cert``: look at certificates and judge chains."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hil.cli.inputs import moment, read_bytes
from hil.element.certificates.anchors import Origin, anchor, microchip_anchors, origin_of
from hil.element.certificates.certificate import Certificate, load, load_all, pem
from hil.element.certificates.chain import verify_chain
from hil.errors import CertificateError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from hil.element.certificates.chain import ChainReport
    from hil.rig.rig import Rig

__all__ = ["command", "print_delivered"]

_FILE = click.Path(path_type=Path)


@click.group("cert")
def command() -> None:
    """Certificates of secure elements: show them, verify chains."""


@command.command()
@click.argument("files", nargs=-1, required=True, type=_FILE)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def show(files: tuple[Path, ...], as_json: bool) -> None:
    """Print what is in certificates (PEM or DER), names as openssl prints them."""
    certificates = [(path, item) for path in files for item in load_all(read_bytes(path))]
    if as_json:
        rows = [{"file": str(path), **dict(_facts(certificate))} for path, certificate in certificates]
        click.echo(json.dumps(rows, indent=2))
        return
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
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def verify(
    context: click.Context,
    device: Path,
    signer: Path,
    root: Path | None,
    at: str | None,
    slot_key: str | None,
    as_json: bool,
) -> None:
    """Judge DEVICE ← SIGNER ← ROOT, rule by rule; exit 0 only for a good chain.

    Without ROOT the chain must end in one of Microchip's roots. A ROOT that is given is accepted as
    the anchor, and the report says what kind it is.
    """
    given = None if root is None else read_bytes(root)
    report = verify_chain(
        load(read_bytes(device)),
        load(read_bytes(signer)),
        None if given is None else load(given),
        at=moment(at),
        slot_key=None if slot_key is None else _key(slot_key),
        anchors=microchip_anchors() if given is None else (anchor(given),),
    )
    if as_json:
        click.echo(json.dumps(_as_json(report), indent=2))
    else:
        click.echo(str(report))
        if report.origin is not Origin.MICROCHIP:
            click.echo(f"note: the root is {report.origin}; the chain says nothing about a genuine part")
    if not report.ok:
        context.exit(CertificateError.exit_code)


@command.command()
@click.argument("rig")
@click.option("-o", "--output", type=_FILE, help="Folder for device.pem, signer.pem and root.pem.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def extract(rig: str, output: Path | None, as_json: bool) -> None:
    """Read the certificates that the element of RIG was delivered with, and judge them.

    They are rebuilt from the element's slots, or read through the board's console. PEM on stdout, device
    first, unless -o names a folder; the verdict on stderr. Exit 0 only for a good chain whose leaf carries
    the key of slot 0.
    """
    from hil.rig.oneshot import need, one_rig

    with one_rig(rig) as opened:
        need(opened, "certificates")
        print_delivered(opened, as_json=as_json, folder=output)


def print_delivered(rig: Rig, *, as_json: bool, folder: Path | None = None) -> None:
    """Print (or write into a folder) the delivered chain of a rig and what is to be said about it.

    Raises:
        CertificateError: the chain is refused; it is printed all the same.
    """
    chain = rig.delivered_chain()
    report = verify_chain(
        chain.device,
        chain.signer,
        chain.root,
        at=rig.calendar.time(),
        slot_key=rig.slot_key(0),
        anchors=rig.anchors(),
    )
    files = {"device": chain.device, "signer": chain.signer, "root": chain.root}
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        for name, der in files.items():
            (folder / f"{name}.pem").write_text(pem(der))
    if as_json:
        certificates = {
            name: {**dict(_facts(Certificate(der))), "pem": pem(der)} for name, der in files.items()
        }
        click.echo(json.dumps({"rig": rig.name, "certificates": certificates, **_as_json(report)}, indent=2))
    else:
        if folder is None:
            click.echo("".join(pem(der) for der in files.values()), nl=False)
        click.echo(str(report), err=True)
    report.require()


def _as_json(report: ChainReport) -> dict[str, object]:
    return {
        "ok": report.ok,
        "root": str(report.origin),
        "refused": [
            {"certificate": role, "rule": str(verdict.rule), "reason": verdict.reason}
            for role, verdict in report.refusals
        ],
    }


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


def _key(text: str) -> bytes:
    try:
        key = bytes.fromhex(text)
    except ValueError as error:
        raise UsageError(f"--slot-key is no hex: {error}") from error
    if len(key) != 64:
        raise UsageError(f"--slot-key has 64 bytes, not {len(key)}")
    return key
