"""``hil manifest``: files that describe secure elements and are signed."""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hil import rigfile
from hil.cli.inputs import moment, read_bytes
from hil.clock import Calendar, WallClock
from hil.cloud.manifestcheck import candidates, judge_manifest
from hil.cloud.manifestsigners import log_signers, validity_note
from hil.element.certificates.anchors import anchor, microchip_anchors
from hil.element.certificates.certificate import load
from hil.errors import CertificateError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from hil.cloud.bulk import BulkReport, Fate, Pace
    from hil.cloud.manifestcheck import EntryReport
    from hil.element.certificates.anchors import Anchor
    from hil.element.certificates.certificate import Certificate
    from hil.rigfile import RigFile

__all__ = ["command"]

_FILE = click.Path(path_type=Path)
_SIGNER = click.option(
    "--signer",
    "signers",
    multiple=True,
    type=_FILE,
    help="Certificate that may sign the manifest; repeatable. Default: Microchip's published log signers.",
)
_ROOT = click.option(
    "--root", "roots", multiple=True, type=_FILE, help="Root that chains may end in; default: Microchip's."
)
_AT = click.option("--at", metavar="DATE", help="Judge chains at this time (ISO 8601, UTC) instead of today.")
_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.group("manifest")
def command() -> None:
    """Manifests of secure elements: signed lists of serial numbers, keys and certificates."""


@command.command()
@click.argument("file", type=_FILE)
@_JSON
def show(file: Path, as_json: bool) -> None:
    """List the entries of FILE as they stand there; nothing is checked, nothing is to be believed."""
    from hil.cloud.manifest import read_manifest

    rows, broken = [], 0
    for number, entry in enumerate(read_manifest(read_bytes(file))):
        if isinstance(entry, CertificateError):
            broken += 1
            rows.append({"entry": number, "error": entry.message})
            continue
        record = entry.record
        keys = [] if record.public_key_set is None else record.public_key_set.keys
        rows.append(
            {
                "entry": number,
                "serial": record.unique_id,
                "version": record.version,
                "part": record.part_number or record.model,
                "keys": [key.kid for key in keys],
                "certificates": sum(len(key.x5c) for key in keys),
                "provisioned": record.provisioning_timestamp,
                "signer_kid": entry.kid,
            }
        )
    if as_json:
        click.echo(json.dumps(rows, indent=2))
    for row in () if as_json else rows:
        if "error" in row:
            click.echo(f"{row['entry']:>6}  {row['error']}")
        else:
            slots = ", ".join(row["keys"]) if isinstance(row["keys"], list) else ""
            click.echo(
                f"{row['entry']:>6}  {row['serial']}  {row['part']}  v{row['version']}"
                f"  keys of slots {slots or 'none'}; {row['certificates']} certificates"
            )
    if broken:
        raise CertificateError(f"{broken} of {len(rows)} entries of {file} cannot be read")


@command.command()
@click.argument("file", type=_FILE)
@_SIGNER
@_ROOT
@_AT
@_JSON
@click.pass_context
def verify(
    context: click.Context,
    file: Path,
    signers: tuple[Path, ...],
    roots: tuple[Path, ...],
    at: str | None,
    as_json: bool,
) -> None:
    """Judge every entry of FILE: signer, signature, serial number, key of slot 0, chain.

    Exit 0 only if all of them are good and there is at least one.
    """
    trusted, when = _signers(signers), moment(at)
    reports = list(judge_manifest(read_bytes(file), trusted, at=when, anchors=_anchors(roots)))
    if as_json:
        click.echo(json.dumps([_row(report) for report in reports], indent=2))
    else:
        for report in reports:
            click.echo(f"{'good' if report.ok else 'REFUSED':8}{report.identity}  {report.problem}".rstrip())
        _tell_signers(trusted, when)
    bad = sum(not report.ok for report in reports)
    click.echo(f"{len(reports)} entries, {bad} refused", err=True)
    if bad or not reports:
        context.exit(CertificateError.exit_code)


@command.command()
@click.argument("rig")
@click.option("-o", "--output", type=_FILE, required=True, help="The manifest; an existing one is replaced.")
@click.option("--key", "key_file", type=_FILE, required=True, help="P-256 private key that signs it, PEM.")
@click.option("--signer", "signer_file", type=_FILE, required=True, help="The certificate of that key, PEM.")
@click.option("--new-signer", is_flag=True, help="Make both first; neither file may exist.")
@click.option("--version", type=click.IntRange(1, 3), default=1, show_default=True, help="Of the format.")
@click.option("--add", is_flag=True, help="Add to the entries of an existing manifest.")
@click.option(
    "--prepare", type=click.Choice(("config-locked", "provisioned")), help="An emulated part's state."
)
def write(
    rig: str,
    output: Path,
    key_file: Path,
    signer_file: Path,
    new_signer: bool,
    version: int,
    add: bool,
    prepare: str | None,
) -> None:
    """Read the element of RIG and write its entry: serial number, public keys, delivered certificates."""
    from hil.cloud.manifest import encode_manifest, sign_entry
    from hil.cloud.manifestwrite import live_record, make_signer, read_signer
    from hil.rig.oneshot import element_facts, need, one_rig

    if new_signer:
        make_signer(key_file, signer_file, at=Calendar().time())
    key, certificate = read_signer(key_file, signer_file)
    entries = _entries(output) if add else []
    with one_rig(rig, prepare=prepare) as opened:
        need(opened, "pubkey")
        facts = element_facts(opened)
        trust = opened.file.element.state == "trust"
        record = live_record(
            opened,
            bytes.fromhex(str(facts["serial"])),
            part=str(facts["part"]),
            address=opened.file.element.address,
            chain=opened.delivered_chain() if trust else None,
            slots=() if trust else opened.element.config.private_slots,
            version=version,
        )
    entry = sign_entry(record, certificate, key)
    replaced = [old for old in entries if old["header"].get("uniqueId") != record.unique_id]
    draft = output.with_name(output.name + ".new")
    draft.write_bytes(encode_manifest([*replaced, entry]))
    draft.replace(output)
    click.echo(f"{output}: {record.unique_id}, {len(replaced) + 1} entries")


@command.command()
@click.argument("file", type=_FILE)
@click.argument("rig")
@_SIGNER
@_ROOT
@_AT
@click.option(
    "--policy", metavar="NAME", help="Policy that exists; default: one that lets a device be itself."
)
@click.option(
    "--record", type=_FILE, help="JSONL file of every entry's fate, to resume from. Default: beside FILE."
)
@click.option("--per-second", type=click.FloatRange(min=0), default=0.0, help="Entries per second at most.")
@click.option(
    "--attempts",
    type=click.IntRange(min=1),
    default=8,
    show_default=True,
    help="Per entry, when AWS is busy.",
)
@click.option("--allow-aws", metavar="ACCOUNT", help="The real account that the rig file names.")
@_JSON
@click.pass_context
def register(
    context: click.Context,
    file: Path,
    rig: str,
    signers: tuple[Path, ...],
    roots: tuple[Path, ...],
    at: str | None,
    policy: str | None,
    record: Path | None,
    per_second: float,
    attempts: int,
    allow_aws: str | None,
    as_json: bool,
) -> None:
    """Register every good entry of FILE in the cloud account of RIG: certificate, thing, policy, active.

    A bad entry never stops or hides the others. Run it again to go on where it was. Exit 0 only if every
    entry is registered; 16 if some are bad, 17 if the cloud refused some.
    """
    from hil.cloud.bulk import Pace

    settings = rigfile.load_rig(rig)
    if settings.cloud.mode == "moto" and record is not None:
        raise UsageError(
            f"the account of {rig} ends with this command: there is nothing to resume (--record)"
        )
    if settings.cloud.mode != "moto" and record is None:
        record = file.with_name(f"{file.name}.{settings.cloud.account_id}.fates.jsonl")
    trusted, when = _signers(signers), moment(at)
    reports = judge_manifest(read_bytes(file), trusted, at=when, anchors=_anchors(roots))
    pace = Pace(per_second=per_second, attempts=attempts)
    report = _register(settings, reports, policy, record, pace, allow_aws)
    _tell_outcome(report, record, as_json=as_json)
    if settings.cloud.mode == "moto":
        click.echo(f"note: a rehearsal; the in-process account of {rig} is gone", err=True)
    context.exit(report.exit_code)


def _register(
    settings: RigFile,
    reports: Iterator[EntryReport],
    policy: str | None,
    record: Path | None,
    pace: Pace,
    allow_aws: str | None,
) -> BulkReport:
    from hil.cloud.bulk import register_all
    from hil.cloud.devicepolicy import device_policy
    from hil.cloud.ledgerfile import open_ledger
    from hil.cloud.registration import Registrar
    from hil.cloud.session import CloudSession

    with (
        CloudSession(settings.cloud, allow_aws=allow_aws) as session,
        open_ledger(settings, Calendar()) as ledger,
    ):
        registrar = Registrar(session, ledger)
        if policy is None:
            policy = registrar.ensure_policy("device", device_policy(session.account_id, session.region))
        with _Progress() as progress:
            return register_all(
                registrar,
                candidates(reports),
                policy=policy,
                clock=WallClock(),
                record=record,
                pace=pace,
                progress=progress.add,
            )


class _Progress:
    """A counter on stderr: in place on a terminal, a line every 500 entries elsewhere."""

    EVERY = 500

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._terminal = sys.stderr.isatty()

    def add(self, fate: Fate) -> None:
        """Count a fate."""
        self._counts[fate.outcome] += 1
        done = self._counts.total()
        if self._terminal:
            click.echo(f"\r{self}", err=True, nl=False)
        elif done % self.EVERY == 0:
            click.echo(str(self), err=True)

    def __str__(self) -> str:
        return f"{self._counts.total()} entries: " + ", ".join(
            f"{n} {o}" for o, n in sorted(self._counts.items())
        )

    def __enter__(self) -> _Progress:
        return self

    def __exit__(self, *_: object) -> None:
        if self._terminal and self._counts:
            click.echo(err=True)


def _tell_outcome(report: BulkReport, record: Path | None, *, as_json: bool) -> None:
    problems = [
        {"serial": fate.identity, "outcome": fate.outcome, "reason": fate.reason} for fate in report.problems
    ]
    where = None if record is None else str(record)
    if as_json:
        summary = {
            "counts": dict(report.counts),
            "stopped": report.stopped,
            "record": where,
            "problems": problems,
        }
        click.echo(json.dumps(summary, indent=2))
        return
    for row in problems:
        click.echo(f"{row['outcome']:12}{row['serial']}  {row['reason']}")
    more = report.counts["bad"] + report.counts["refused"] - len(problems)
    if more > 0:
        click.echo(f"… and {more} more" + (f", see {where}" if where else ""))
    click.echo(
        ", ".join(f"{count} {outcome}" for outcome, count in sorted(report.counts.items())) or "no entries"
    )
    if report.stopped:
        click.echo(f"stopped: {report.stopped}", err=True)


def _row(report: EntryReport) -> dict[str, object]:
    return {
        "serial": report.identity,
        "ok": report.ok,
        "checks": [{"check": str(f.check), "ok": f.ok, "reason": f.reason} for f in report.findings],
    }


def _tell_signers(trusted: Sequence[Certificate], when: float) -> None:
    for signer in trusted:
        note = validity_note(signer, when)
        if note:
            click.echo(f"note: {note}", err=True)


def _signers(files: tuple[Path, ...]) -> tuple[Certificate, ...]:
    return tuple(load(read_bytes(file)) for file in files) or log_signers()


def _anchors(files: tuple[Path, ...]) -> Sequence[Anchor]:
    return tuple(anchor(read_bytes(file)) for file in files) or microchip_anchors()


def _entries(file: Path) -> list[dict[str, Any]]:
    """The entries of a manifest that is added to, as they stand there."""
    if not file.exists():
        return []
    try:
        value = json.loads(read_bytes(file))
    except ValueError as error:
        raise CertificateError(f"{file} is no manifest: {error}") from error
    entries = value if isinstance(value, list) else [value]
    for number, entry in enumerate(entries):
        if not isinstance(entry, dict) or not isinstance(entry.get("header"), dict):
            raise CertificateError(f"{file} is no manifest: entry {number} has no header")
    return entries
