"""Judge the entries of a manifest, in the order in which they may be believed.

1. ``kid`` and ``x5t#S256`` name the trusted signer. 2. The ES256 signature. 3. The serial number
outside the signature is that inside. 4. The certificate beside the key of slot 0 is for that key,
and its chain leads to an accepted root. Common tools skip 3 (outside) and 4; each check here has a
verdict of its own, and no entry stops or hides another.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from hil.cloud.bulk import Candidate
from hil.cloud.manifest import expected_kid, expected_x5t, read_manifest
from hil.element.certificates.certificate import Certificate, pem
from hil.element.certificates.chain import verify_chain
from hil.errors import CertificateError
from hil.tls.software import SoftwareVerify

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from hil.cloud.manifest import Entry
    from hil.element.certificates.anchors import Anchor

__all__ = ["Check", "EntryReport", "Finding", "candidates", "judge_entry", "judge_manifest", "named_signer"]


class Check(StrEnum):
    """What is judged, in order."""

    FORM = "form"
    SIGNER = "kid and x5t#S256"
    SIGNATURE = "ES256 signature"
    UNIQUE_ID = "uniqueId"
    SLOT_KEY = "key of slot 0"
    CHAIN = "chain"


@dataclass(frozen=True, slots=True)
class Finding:
    """One check: kept (True), broken (False) or not applicable (None), with the reason."""

    check: Check
    ok: bool | None
    reason: str


@dataclass(frozen=True)
class EntryReport:
    """The verdicts on one entry.

    Attributes:
        identity: serial number, 18 lower-case hex digits; ``entry N`` if it cannot be read.
        findings: in order.
        certificates: device's and signer's, DER; empty unless every check is kept.
    """

    identity: str
    findings: tuple[Finding, ...]
    certificates: tuple[bytes, ...] = ()

    @property
    def ok(self) -> bool:
        """No check is broken."""
        return all(finding.ok is not False for finding in self.findings)

    @property
    def problem(self) -> str:
        """The broken checks with their reasons; empty for a good entry."""
        return "; ".join(f"{f.check}: {f.reason}" for f in self.findings if f.ok is False)


def judge_manifest(
    data: bytes,
    signer: Certificate | Sequence[Certificate],
    *,
    at: float,
    anchors: Sequence[Anchor] | None = None,
) -> Iterator[EntryReport]:
    """Judge every entry of a manifest.

    Args:
        data: the file.
        signer: the certificate that is trusted to sign manifests, or several of them; their own
            validity is the caller's business (Microchip's log signers have all expired).
        at: calendar time for the chains, seconds since 1970-01-01T00:00:00Z.
        anchors: roots that are accepted; None = Microchip's.

    Raises:
        CertificateError: the file as a whole is no manifest.
    """
    trusted = (signer,) if isinstance(signer, Certificate) else tuple(signer)
    for number, entry in enumerate(read_manifest(data)):
        if isinstance(entry, CertificateError):
            yield EntryReport(f"entry {number}", (Finding(Check.FORM, False, entry.message),))
        else:
            yield judge_entry(entry, named_signer(entry, trusted), at=at, anchors=anchors)


def named_signer(entry: Entry, trusted: Sequence[Certificate]) -> Certificate:
    """The trusted signer that the entry names; the last one if it names none of them.

    The name proves nothing: the entry is judged against the one that is chosen.
    """
    named = [signer for signer in trusted if expected_x5t(signer) == entry.x5t]
    return named[0] if named else trusted[-1]


def judge_entry(
    entry: Entry, signer: Certificate, *, at: float, anchors: Sequence[Anchor] | None = None
) -> EntryReport:
    """Judge one entry; see :func:`judge_manifest`."""
    findings = [_signer(entry, signer), _signature(entry, signer), _unique_id(entry)]
    certificates: tuple[bytes, ...] = ()
    key = entry.record.key(0)
    if key is None or not key.x5c:
        missing = "no key of slot 0" if key is None else "no certificate beside the key of slot 0"
        findings.append(Finding(Check.SLOT_KEY, None, missing))
        findings.append(Finding(Check.CHAIN, None, missing))
    else:
        try:
            point, chain = key.point(), key.certificates()
            findings.append(_slot_key(chain[0], point))
            findings.append(_chain(chain, entry.record.unique_id, at, anchors))
            certificates = tuple(certificate.der for certificate in chain)
        except CertificateError as error:
            findings.append(Finding(Check.CHAIN, False, error.message))
    report = EntryReport(entry.record.unique_id, tuple(findings))
    return EntryReport(report.identity, report.findings, certificates) if report.ok else report


def candidates(reports: Iterator[EntryReport]) -> Iterator[Candidate]:
    """What bulk registration takes: the certificate chains of good entries, the reasons of bad ones."""
    for report in reports:
        if report.ok and report.certificates:
            yield Candidate(report.identity, "".join(pem(der) for der in report.certificates))
        else:
            yield Candidate(report.identity, None, report.problem or "the entry holds no certificate")


def _signer(entry: Entry, signer: Certificate) -> Finding:
    if entry.kid != expected_kid(signer):
        return Finding(Check.SIGNER, False, f"kid {entry.kid!r} names another signer than {signer.subject}")
    if entry.x5t != expected_x5t(signer):
        return Finding(Check.SIGNER, False, f"x5t#S256 names another certificate than {signer.subject}")
    return Finding(Check.SIGNER, True, f"{signer.subject}")


def _signature(entry: Entry, signer: Certificate) -> Finding:
    if entry.algorithm != "ES256":
        return Finding(Check.SIGNATURE, False, f"the algorithm is {entry.algorithm!r}, not ES256")
    if len(entry.signature) != 64:
        return Finding(Check.SIGNATURE, False, f"an ES256 signature has 64 bytes, not {len(entry.signature)}")
    digest = hashlib.sha256(entry.signed).digest()
    if not SoftwareVerify().verify(signer.point, digest, entry.signature):
        return Finding(Check.SIGNATURE, False, "does not verify under the signer's key")
    return Finding(Check.SIGNATURE, True, "verifies")


def _unique_id(entry: Entry) -> Finding:
    inside = entry.record.unique_id
    if entry.header_id != inside:
        return Finding(Check.UNIQUE_ID, False, f"the header says {entry.header_id!r}, the payload {inside!r}")
    if len(inside) != 18 or not set(inside) <= set("0123456789abcdef"):
        return Finding(Check.UNIQUE_ID, False, f"{inside!r} is no serial number of 18 lower-case hex digits")
    return Finding(Check.UNIQUE_ID, True, "the same outside and inside")


def _slot_key(leaf: Certificate, point: bytes) -> Finding:
    if leaf.point != point:
        return Finding(Check.SLOT_KEY, False, "the certificate is for another key than the entry's")
    return Finding(Check.SLOT_KEY, True, "the certificate is for it")


def _chain(chain: list[Certificate], unique_id: str, at: float, anchors: Sequence[Anchor] | None) -> Finding:
    if len(chain) < 2:
        return Finding(Check.CHAIN, False, "the signer's certificate is missing")
    name = chain[0].subject.get("CN") or ""
    if unique_id.upper() not in name.upper():
        return Finding(Check.CHAIN, False, f"the certificate is for {name!r}, not for this serial number")
    report = verify_chain(chain[0], chain[1], at=at, anchors=anchors)
    broken = "; ".join(f"{role}: {v.rule}: {v.reason}" for role, v in report.refusals)
    return Finding(Check.CHAIN, report.ok, broken or f"good, root: {report.origin}")
