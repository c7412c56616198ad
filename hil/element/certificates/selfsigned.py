"""Certificates and requests signed by a key that is not in this process.

The bytes are assembled with a throw-away key; then the signature is replaced by one that the
:class:`~hil.tls.key.SigningKey` makes over the digest of the body. So the private key may sit in a
slot of the element, where only digests go in.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from hil.element.certificates import asn1
from hil.element.certificates.certificate import load
from hil.element.certificates.compressed import signature_der
from hil.errors import CertificateError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hil.tls.key import SigningKey

__all__ = [
    "check_self_signed",
    "self_signed",
    "sign_again",
    "signing_request",
    "subject_name",
]

_ATTRIBUTES = {
    "C": NameOID.COUNTRY_NAME,
    "ST": NameOID.STATE_OR_PROVINCE_NAME,
    "L": NameOID.LOCALITY_NAME,
    "O": NameOID.ORGANIZATION_NAME,
    "OU": NameOID.ORGANIZATIONAL_UNIT_NAME,
    "CN": NameOID.COMMON_NAME,
}


def subject_name(text: str) -> x509.Name:
    """A name from ``C=IE,L=Dublin,O=ACME Ltd,OU=Testing,CN=test.acme.com``.

    Also openssl's form ``/C=IE/L=Dublin/…``. Values may not hold the separator.

    Raises:
        UsageError: an attribute is unknown, or the text is not of that form.
    """
    separator = "/" if text.startswith("/") else ","
    attributes = []
    for part in text.strip("/").split(separator):
        kind, equals, value = part.strip().partition("=")
        if not equals or not value or kind not in _ATTRIBUTES:
            raise UsageError(
                f"{part!r} is no attribute of a name", hint=f"known are {', '.join(_ATTRIBUTES)}"
            )
        try:
            attributes.append(x509.NameAttribute(_ATTRIBUTES[kind], value))
        except ValueError as error:
            raise UsageError(f"{part!r}: {error}") from error
    return x509.Name(attributes)


def self_signed(
    key: SigningKey,
    subject: str,
    *,
    at: float,
    days: int = 365,
    dns_names: Sequence[str] = (),
    serial: int | None = None,
) -> bytes:
    """A self-signed certificate for ``key``, DER.

    Args:
        key: signs the digest of the body.
        subject: see :func:`subject_name`.
        at: first second of validity, since 1970-01-01T00:00:00Z.
        days: how long it is valid.
        dns_names: host names for the subject alternative name.
        serial: X.509 serial number; None = a hash of key, subject and dates.
    """
    name = subject_name(subject)
    public_key = key.public_key()
    start = datetime.fromtimestamp(int(at), UTC)
    if serial is None:
        mixed = hashlib.sha256(public_key + subject.encode() + f"{int(at)}+{days}".encode()).digest()
        serial = int.from_bytes(mixed[:16], "big") >> 1 | 1
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(_public(public_key))
        .serial_number(serial)
        .not_valid_before(start)
        .not_valid_after(start + timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(_public(public_key)), critical=False)
    )
    if dns_names:
        names = x509.SubjectAlternativeName([x509.DNSName(n) for n in dns_names])
        builder = builder.add_extension(names, critical=False)
    draft = builder.sign(ec.generate_private_key(ec.SECP256R1()), SHA256())
    return sign_again(draft.public_bytes(Encoding.DER), key)


def signing_request(key: SigningKey, subject: str) -> bytes:
    """A certificate signing request (PKCS #10) for ``key``, DER."""
    throw_away = ec.generate_private_key(ec.SECP256R1())
    draft = (
        x509.CertificateSigningRequestBuilder().subject_name(subject_name(subject)).sign(throw_away, SHA256())
    )
    point = asn1.bit_string(b"\x04" + key.public_key())
    encoded = draft.public_bytes(Encoding.DER)
    body = asn1.parse(encoded).children()[0]
    algorithm = body.children()[2].children()[0].raw
    return sign_again(asn1.rewrite(encoded, {(0, 2): algorithm + point}), key)


def sign_again(draft: bytes, key: SigningKey) -> bytes:
    """A certificate or request (DER) with its signature replaced by one of ``key``.

    Raises:
        CertificateError: the draft is not made of body, algorithm and signature.
    """
    parts = asn1.parse(draft).children()
    if len(parts) != 3:
        raise CertificateError(f"a signed structure has 3 parts, not {len(parts)}")
    signature = key.sign_digest(hashlib.sha256(parts[0].raw).digest())
    return asn1.rewrite(draft, {(2,): b"\x00" + signature_der(signature)})


def check_self_signed(certificate: bytes, slot_key: bytes, *, at: float) -> None:
    """Check a self-signed certificate against the key that the slot holds.

    Raises:
        CertificateError: another key, a signature that does not verify, another issuer than the
            subject, or not valid at ``at``.
    """
    loaded = load(certificate)
    if loaded.point != slot_key:
        raise CertificateError("the certificate is for another key than the slot holds")
    if loaded.issuer.raw != loaded.subject.raw:
        raise CertificateError(f"issued by {loaded.issuer}, not by its subject {loaded.subject}")
    if not loaded.not_before <= at <= loaded.not_after:
        raise CertificateError(f"not valid at the given time: {' to '.join(loaded.validity)}")
    loaded.verify_signed_by(loaded)


def _public(point: bytes) -> ec.EllipticCurvePublicKey:
    return ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), b"\x04" + point)
