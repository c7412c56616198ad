"""Certificates and signing requests between PEM text, DER bytes and keys."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from hil.errors import CertificateError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes

__all__ = ["key_digest", "load_certificate", "load_csr", "to_der", "to_pem"]


def load_certificate(pem: str) -> x509.Certificate:
    """The first certificate of a PEM text; text before it and certificates behind it are ignored.

    Raises:
        CertificateError: there is none.
    """
    try:
        return x509.load_pem_x509_certificate(pem.encode())
    except ValueError as error:
        raise CertificateError(f"not a PEM certificate: {error}") from error


def load_csr(pem: str) -> x509.CertificateSigningRequest:
    """A PKCS#10 signing request.

    Raises:
        CertificateError: it is none.
    """
    try:
        return x509.load_pem_x509_csr(pem.encode())
    except ValueError as error:
        raise CertificateError(f"not a PEM certificate signing request: {error}") from error


def to_pem(certificate: x509.Certificate) -> str:
    """The certificate as PEM text."""
    return certificate.public_bytes(Encoding.PEM).decode()


def to_der(certificate: x509.Certificate) -> bytes:
    """The certificate as DER bytes."""
    return certificate.public_bytes(Encoding.DER)


def key_digest(key: CertificatePublicKeyTypes) -> str:
    """SHA-256 of the key's SubjectPublicKeyInfo, in hexadecimal."""
    return hashlib.sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).hexdigest()
