"""Check a certificate chain link by link, one verdict per rule, each with its reason.

Genuine Microchip chains break the web-PKI profile (GeneralizedTime before 2050, roots without key
usage), so generic verifiers refuse them. Here every rule is judged by itself: a report says all
that is wrong, not only the first thing. Whatever ``openssl verify`` refuses is refused here; what
is refused beyond that names its own rule.

Sources: RFC 5280 sections 4 and 6; "ATECC Compressed Certificate Definition" for the serial-number
rule.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, ParamSpec

from hil.element.certificates.anchors import Anchor, Origin, microchip_anchors, origin_of
from hil.element.certificates.certificate import (
    AUTHORITY_KEY_ID,
    BASIC_CONSTRAINTS,
    EXTENDED_KEY_USAGE,
    KEY_USAGE,
    SUBJECT_ALT_NAME,
    SUBJECT_KEY_ID,
    Certificate,
    key_identifier,
    load,
)
from hil.element.certificates.compressed import Dates, SerialSource, serial_number
from hil.errors import CertificateError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["ChainReport", "Link", "Rule", "Verdict", "verify_chain", "verify_path"]

KEY_CERT_SIGN = 5
KEY_USAGE_NAMES = (
    "digitalSignature",
    "contentCommitment",
    "keyEncipherment",
    "dataEncipherment",
    "keyAgreement",
    "keyCertSign",
    "cRLSign",
    "encipherOnly",
    "decipherOnly",
)
"""RFC 5280 section 4.2.1.3, by the number of the bit."""
_UNDERSTOOD = {
    SUBJECT_KEY_ID,
    KEY_USAGE,
    SUBJECT_ALT_NAME,
    BASIC_CONSTRAINTS,
    AUTHORITY_KEY_ID,
    EXTENDED_KEY_USAGE,
}
_NEVER = Dates(2000, 1, 1, 0, 0).expires()


class Rule(StrEnum):
    """What is judged; the value is what reports print."""

    ENCODING = "encoding"
    SIGNATURE = "signature"
    ISSUER_NAME = "issuer name"
    VALIDITY = "validity"
    CA = "CA and path length"
    KEY_USAGE = "key usage"
    KEY_IDENTIFIERS = "key identifiers"
    EXTENSIONS = "extensions"
    SERIAL_NUMBER = "serial-number rule"
    LEAF_KEY = "key of the slot"
    ANCHOR = "anchor"


@dataclass(frozen=True, slots=True)
class Verdict:
    """One rule on one link.

    Attributes:
        rule: what was judged.
        ok: True kept, False broken, None not applicable.
        reason: why, in words.
    """

    rule: Rule
    ok: bool | None
    reason: str


@dataclass(frozen=True, slots=True)
class Link:
    """A certificate and the one that signed it.

    Attributes:
        role: ``device``, ``signer``, ``root``, or ``certificate N`` in other paths.
        subject: as openssl prints it; empty if it cannot be read.
        verdicts: one per rule.
    """

    role: str
    subject: str
    verdicts: tuple[Verdict, ...]

    @property
    def ok(self) -> bool:
        """No rule is broken."""
        return all(verdict.ok is not False for verdict in self.verdicts)


@dataclass(frozen=True, slots=True)
class ChainReport:
    """The verdicts on a chain.

    Attributes:
        links: from the leaf to the root.
        origin: what kind of root it ends in.
        at: the calendar time it was judged for, seconds since 1970-01-01T00:00:00Z.
    """

    links: tuple[Link, ...]
    origin: Origin
    at: float

    @property
    def ok(self) -> bool:
        """No rule is broken on any link."""
        return all(link.ok for link in self.links)

    @property
    def refusals(self) -> tuple[tuple[str, Verdict], ...]:
        """The broken rules as (role of the link, verdict)."""
        return tuple((link.role, v) for link in self.links for v in link.verdicts if v.ok is False)

    def require(self) -> None:
        """Do nothing for a good chain.

        Raises:
            CertificateError: a rule is broken; all of them are named.
        """
        if not self.ok:
            lines = "; ".join(f"{role}: {v.rule}: {v.reason}" for role, v in self.refusals)
            raise CertificateError(f"the chain is not acceptable: {lines}")

    def __str__(self) -> str:
        lines = [f"chain {'good' if self.ok else 'REFUSED'}, root: {self.origin}"]
        for link in self.links:
            lines.append(f"{link.role}: {link.subject or '(unreadable)'}")
            for v in link.verdicts:
                mark = "-" if v.ok is None else "ok" if v.ok else "REFUSED"
                lines.append(f"  {mark:8}{v.rule}: {v.reason}")
        return "\n".join(lines)


def verify_chain(
    leaf: bytes | Certificate,
    signer: bytes | Certificate,
    root: bytes | Certificate | None = None,
    *,
    at: float,
    slot_key: bytes | None = None,
    anchors: Sequence[Anchor] | None = None,
) -> ChainReport:
    """Judge device ← signer ← root.

    Args:
        leaf: the device's certificate: PEM, DER or loaded.
        signer: the signer's.
        root: the root's; None = the anchor that bears the signer's issuer name.
        at: calendar time, seconds since 1970-01-01T00:00:00Z.
        slot_key: the key that the element computed from the slot, 64 bytes; None = not compared.
        anchors: roots that are accepted; None = Microchip's.
    """
    accepted = microchip_anchors() if anchors is None else tuple(anchors)
    if root is None:
        root = _named_anchor(signer, accepted)
    path = [leaf, signer] if root is None else [leaf, signer, root]
    roles = ("device", "signer", "root")[: len(path)]
    return verify_path(path, at=at, slot_key=slot_key, anchors=accepted, roles=roles)


def verify_path(
    path: Sequence[bytes | Certificate],
    *,
    at: float,
    slot_key: bytes | None = None,
    anchors: Sequence[Anchor],
    roles: Sequence[str] | None = None,
) -> ChainReport:
    """Judge a path of any length, leaf first; see :func:`verify_chain`.

    The last certificate must be self-signed and among the anchors.
    """
    names = roles or [f"certificate {i}" for i in range(len(path))]
    loaded: list[_Issuer] = [_try_load(item) for item in path]
    top = loaded[-1]
    origin = _origin(top)
    links = []
    for depth, (role, certificate) in enumerate(zip(names, loaded, strict=True)):
        if isinstance(certificate, CertificateError):
            links.append(Link(role, "", (Verdict(Rule.ENCODING, False, certificate.message),)))
            continue
        issuer = loaded[depth + 1] if depth + 1 < len(loaded) else _itself(certificate)
        verdicts = [
            Verdict(Rule.ENCODING, True, f"{len(certificate.der)} bytes of DER"),
            _judge(Rule.SIGNATURE, _signature, certificate, issuer),
            _judge(Rule.ISSUER_NAME, _issuer_name, certificate, issuer),
            _judge(Rule.KEY_IDENTIFIERS, _key_identifiers, certificate, issuer),
            _judge(Rule.VALIDITY, _validity, certificate, at),
            _judge(Rule.CA, _ca, certificate, depth),
            _judge(Rule.KEY_USAGE, _key_usage, certificate, depth),
            _judge(Rule.EXTENSIONS, _extensions, certificate),
            _judge(Rule.SERIAL_NUMBER, _serial_number, certificate, depth < len(loaded) - 1, origin),
        ]
        if depth == 0:
            verdicts.append(_judge(Rule.LEAF_KEY, _leaf_key, certificate, slot_key))
        if depth == len(loaded) - 1:
            verdicts.append(_judge(Rule.ANCHOR, _anchored, certificate, origin, anchors))
        links.append(Link(role, _subject(certificate), tuple(verdicts)))
    return ChainReport(tuple(links), origin, at)


_Outcome = tuple[bool | None, str]
_Issuer = Certificate | CertificateError
"""A certificate, or why there is none."""
_P = ParamSpec("_P")


def _judge(rule: Rule, judge: Callable[_P, _Outcome], *args: _P.args, **kwargs: _P.kwargs) -> Verdict:
    """Apply one rule; what it cannot read breaks that rule and no other."""
    try:
        return Verdict(rule, *judge(*args, **kwargs))
    except CertificateError as error:
        return Verdict(rule, False, error.message)


def _itself(top: Certificate) -> _Issuer:
    """The issuer of the last certificate of a path: itself if it is self-issued."""
    try:
        if top.issuer.raw == top.subject.raw:
            return top
        return CertificateError(f"no accepted root is called {top.issuer}")
    except CertificateError as error:
        return error


def _present(issuer: _Issuer) -> Certificate:
    if isinstance(issuer, CertificateError):
        raise CertificateError(f"the issuer's certificate is missing or unreadable: {issuer.message}")
    return issuer


def _signature(certificate: Certificate, issuer: _Issuer) -> _Outcome:
    certificate.verify_signed_by(_present(issuer))
    return True, "verifies under the issuer's key"


def _issuer_name(certificate: Certificate, issuer: _Issuer) -> _Outcome:
    above = _present(issuer).subject
    if certificate.issuer.raw == above.raw:
        return True, f"{above}"
    return False, f"the issuer is {certificate.issuer}, the certificate above is {above}"


def _validity(certificate: Certificate, at: float) -> _Outcome:
    issued, expires = certificate.validity
    if at < certificate.not_before:
        return False, f"not yet valid: begins {_readable(issued)}"
    if at > certificate.not_after:
        return False, f"expired {_readable(expires)}"
    return True, f"{_readable(issued)} to {_readable(expires)}"


def _readable(date: str) -> str:
    return f"{date[:4]}-{date[4:6]}-{date[6:8]} {date[8:10]}:{date[10:12]}:{date[12:14]}Z"


def _ca(certificate: Certificate, depth: int) -> _Outcome:
    constraints = certificate.basic_constraints
    if depth == 0:
        return (None, "no CA is needed here") if constraints is None or not constraints.ca else (True, "a CA")
    if constraints is None or not constraints.ca:
        return False, "signs certificates but is no CA"
    below = depth - 1
    if constraints.path_length is not None and below > constraints.path_length:
        return False, f"allows {constraints.path_length} CAs below it, there are {below}"
    length = constraints.path_length
    return True, "CA" if length is None else f"CA, path length {length}"


def _key_usage(certificate: Certificate, depth: int) -> _Outcome:
    usage = certificate.key_usage
    if usage is None:
        return None, "none stated"
    if depth > 0 and KEY_CERT_SIGN not in usage:
        return False, "signs certificates but its key usage lacks keyCertSign"
    named = [KEY_USAGE_NAMES[bit] if bit < len(KEY_USAGE_NAMES) else f"bit {bit}" for bit in sorted(usage)]
    return True, "keyCertSign" if depth > 0 else ", ".join(named)


def _key_identifiers(certificate: Certificate, issuer: _Issuer) -> _Outcome:
    issuer = _present(issuer)
    own, authority = certificate.subject_key_id, certificate.authority_key_id
    if own is not None and own != key_identifier(certificate.key_bits):
        return False, "the subject key identifier is not the SHA-1 of the key"
    expected = issuer.subject_key_id or key_identifier(issuer.key_bits)
    if authority is not None and authority != expected:
        return (
            False,
            f"the authority key identifier is {authority.hex()}, the issuer's key has {expected.hex()}",
        )
    serial = certificate.authority_serial
    if serial is not None and serial != issuer.serial:
        return False, "the authority key identifier names another serial number of the issuer"
    if own is None and authority is None:
        return None, "none stated"
    return True, "agree with the keys"


def _extensions(certificate: Certificate) -> _Outcome:
    if certificate.version != 3 and certificate.extensions:
        return False, f"a version {certificate.version} certificate has no extensions"
    unknown = [e.oid for e in certificate.extensions if e.critical and e.oid not in _UNDERSTOOD]
    if unknown:
        return False, f"critical and not understood: {', '.join(unknown)}"
    if any(e.oid == "2.5.29.30" for e in certificate.extensions):
        return False, "name constraints are not evaluated here"
    for oid in _UNDERSTOOD:
        certificate.extension(oid)
    certificate.check_alternative_names()
    certificate.check_extended_key_usage()
    return True, f"{len(certificate.extensions)}, none critical and unknown"


def _serial_number(certificate: Certificate, below_a_root: bool, origin: Origin) -> _Outcome:
    """Rule A: SHA-256 of key and packed dates. Below Microchip's and our factory roots only."""
    if not below_a_root or origin is Origin.OTHER:
        return None, "no rule for this certificate"
    issued, expires = certificate.validity
    years = 0 if expires == _NEVER else int(expires[:4]) - int(issued[:4])
    dates = Dates(int(issued[:4]), int(issued[4:6]), int(issued[6:8]), int(issued[8:10]), years)
    format = dates.needed_format
    packed, high = dates.encode(format)
    hashed = packed if format == 0 else packed + bytes((high,))
    expected = serial_number(SerialSource.KEY_HASH, 16, dates=hashed, public_key=certificate.point)
    if certificate.serial != expected:
        return False, f"is {certificate.serial.hex()}, the key and the dates give {expected.hex()}"
    return True, "hash of key and dates"


def _leaf_key(certificate: Certificate, slot_key: bytes | None) -> _Outcome:
    if slot_key is None:
        return None, "not compared: no slot key was given"
    if certificate.point != slot_key:
        return False, "the certificate is for another key than the slot holds"
    return True, "the certificate is for the key in the slot"


def _anchored(root: Certificate, origin: Origin, anchors: Sequence[Anchor]) -> _Outcome:
    if any(root.fingerprint == a.certificate.fingerprint for a in anchors):
        return True, f"{origin}: sha256 {root.fingerprint[:16]}…"
    if any(root.subject.raw == a.certificate.subject.raw for a in anchors):
        return False, f"bears the name of an accepted root but is another certificate ({origin})"
    return False, f"not among the accepted roots ({origin})"


def _origin(top: _Issuer) -> Origin:
    if isinstance(top, CertificateError):
        return Origin.OTHER
    try:
        return origin_of(top)
    except CertificateError:
        return Origin.OTHER  # an unreadable name; the link's own verdict says so


def _subject(certificate: Certificate) -> str:
    try:
        return str(certificate.subject)
    except CertificateError:
        return ""


def _try_load(item: bytes | Certificate) -> _Issuer:
    if isinstance(item, Certificate):
        return item
    try:
        return load(item)
    except CertificateError as error:
        return error


def _named_anchor(signer: bytes | Certificate, anchors: Sequence[Anchor]) -> Certificate | None:
    loaded = _try_load(signer)
    if isinstance(loaded, CertificateError):
        return None
    try:
        issuer = loaded.issuer.raw
    except CertificateError:
        return None
    return next((a.certificate for a in anchors if a.certificate.subject.raw == issuer), None)
