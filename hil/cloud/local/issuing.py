"""What AWS IoT demands of a certificate, and the authority that issues for the local stand-in.

Rules: AWS IoT Core developer guide, "X.509 client certificates" (signing algorithms, key types) and
the ``iot`` service model of botocore (``CreateCertificateFromCsr``: RSA of at least 2048 bits, or
NIST P-256, P-384, P-521).
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes

__all__ = [
    "EXPIRY",
    "Issuer",
    "Unacceptable",
    "check_certificate",
    "check_key",
    "first_certificate",
    "is_ca",
    "is_signed_by",
    "load_csr",
]

EXPIRY = datetime(2049, 12, 31, 23, 59, 59, tzinfo=UTC)
"""When every certificate that AWS IoT issues by itself expires (developer guide)."""

SMALLEST_RSA = 2048
CURVES = {"secp256r1", "secp384r1", "secp521r1"}
HASHES = {"sha256", "sha384", "sha512"}
CLOCK_SKEW = timedelta(minutes=2)


class Unacceptable(ValueError):
    """A certificate, request or key that AWS IoT would refuse; says why."""


def first_certificate(pem: str) -> x509.Certificate:
    """The first certificate of a PEM text; a chain behind it and text before it are ignored.

    Raises:
        Unacceptable: there is no certificate in it.
    """
    try:
        return x509.load_pem_x509_certificate(pem.encode())
    except ValueError as error:
        raise Unacceptable(f"not a PEM certificate ({error})") from error


def load_csr(pem: str) -> x509.CertificateSigningRequest:
    """A signing request whose signature proves possession of its key.

    Raises:
        Unacceptable: syntax, signature or key.
    """
    try:
        csr = x509.load_pem_x509_csr(pem.encode())
        valid = csr.is_signature_valid
        key = csr.public_key()
    except (ValueError, UnsupportedAlgorithm, InvalidSignature) as error:
        raise Unacceptable(f"not a PEM certificate signing request ({error})") from error
    if not valid:
        raise Unacceptable("the request is not signed by the key it carries")
    check_key(key)
    return csr


def check_key(key: CertificatePublicKeyTypes) -> None:
    """Refuse a key that AWS IoT does not accept.

    Raises:
        Unacceptable: neither RSA of 2048 bits or more nor one of the three NIST curves.
    """
    if isinstance(key, rsa.RSAPublicKey):
        if key.key_size < SMALLEST_RSA:
            raise Unacceptable(f"RSA key of {key.key_size} bits, at least {SMALLEST_RSA} are required")
    elif isinstance(key, ec.EllipticCurvePublicKey):
        if key.curve.name not in CURVES:
            raise Unacceptable(f"curve {key.curve.name} is not one of {', '.join(sorted(CURVES))}")
    else:
        raise Unacceptable(f"keys of type {type(key).__name__} are not supported")


def check_certificate(certificate: x509.Certificate, now: float) -> None:
    """Refuse a certificate that AWS IoT does not register.

    Args:
        certificate: what is to be registered.
        now: seconds since the epoch.

    Raises:
        Unacceptable: key, signing algorithm or validity.
    """
    try:
        key = certificate.public_key()
        algorithm = certificate.signature_hash_algorithm
    except (ValueError, UnsupportedAlgorithm) as error:
        raise Unacceptable(f"unsupported key or signature ({error})") from error
    check_key(key)
    if algorithm is None or algorithm.name not in HASHES:
        name = algorithm.name if algorithm else "no digest"
        raise Unacceptable(f"signed with {name}; AWS IoT takes {', '.join(sorted(HASHES))}")
    moment = datetime.fromtimestamp(now, UTC)
    if moment > certificate.not_valid_after_utc:
        raise Unacceptable(f"expired at {certificate.not_valid_after_utc:%Y-%m-%dT%H:%M:%SZ}")
    if moment + CLOCK_SKEW < certificate.not_valid_before_utc:
        raise Unacceptable(f"not valid before {certificate.not_valid_before_utc:%Y-%m-%dT%H:%M:%SZ}")


def is_ca(certificate: x509.Certificate) -> bool:
    """True if basicConstraints says ``CA:TRUE``; unreadable extensions count as no."""
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except (x509.ExtensionNotFound, ValueError):
        return False


def is_signed_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    """True if the issuer's name is the subject of ``issuer`` and the signature verifies with its key."""
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return True


class Issuer:
    """The certificate authority of one local account; its name says that it is not Amazon's."""

    NAME = x509.Name(
        [
            x509.NameAttribute(x509.NameOID.ORGANIZATION_NAME, "atecc-hil"),
            x509.NameAttribute(x509.NameOID.ORGANIZATIONAL_UNIT_NAME, "local stand-in for AWS IoT"),
            x509.NameAttribute(x509.NameOID.COMMON_NAME, "not Amazon"),
        ]
    )

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())

    def issue(self, subject: x509.Name, key: CertificatePublicKeyTypes, now: float) -> str:
        """Issue a client certificate as AWS IoT does: any subject, the given key, until 2049.

        Args:
            subject: taken as it is.
            key: the public key of the device.
            now: seconds since the epoch; the certificate is valid from two minutes before.

        Returns:
            The certificate as PEM text.
        """
        start = datetime.fromtimestamp(now, UTC).replace(microsecond=0) - CLOCK_SKEW
        usage = x509.KeyUsage(
            digital_signature=True,
            content_commitment=False,
            key_encipherment=False,
            data_encipherment=False,
            key_agreement=False,
            key_cert_sign=False,
            crl_sign=False,
            encipher_only=False,
            decipher_only=False,
        )
        certificate = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self.NAME)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(start)
            .not_valid_after(EXPIRY)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False
            )
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(usage, critical=True)
            .sign(self._key, hashes.SHA256())
        )
        return certificate.public_bytes(serialization.Encoding.PEM).decode()
