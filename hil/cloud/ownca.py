"""A certificate authority of one's own, for the third way into AWS IoT.

Its key lies in memory: it stands for the customer's or factory's CA in tests and on emulated rigs.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from hil.clock import Calendar

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes

__all__ = ["OwnCa"]


class OwnCa:
    """A self-signed P-256 CA.

    Args:
        common_name: its name.
        calendar: date and time of what it signs.
        days: how long it and its certificates are valid.
    """

    def __init__(
        self, common_name: str = "hil test CA", *, calendar: Calendar | None = None, days: int = 3650
    ) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._calendar = calendar or Calendar()
        self._days = days
        self._name = _name(common_name)
        self.pem = self._sign(self._name, self._key.public_key(), ca=True)
        """The CA certificate as PEM text."""

    def issue(self, common_name: str, key: CertificatePublicKeyTypes) -> str:
        """A device certificate for ``key``, as PEM text."""
        return self._sign(_name(common_name), key, ca=False)

    def prove(self, registration_code: str) -> str:
        """The verification certificate that proves possession of the CA's key, as PEM text.

        Args:
            registration_code: what ``GetRegistrationCode`` said; it becomes the common name.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        return self._sign(_name(registration_code), key.public_key(), ca=False)

    def _sign(self, subject: x509.Name, key: CertificatePublicKeyTypes, *, ca: bool) -> str:
        start = datetime.fromtimestamp(self._calendar.time(), UTC).replace(microsecond=0) - timedelta(hours=1)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(start)
            .not_valid_after(start + timedelta(days=self._days))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False
            )
            .sign(self._key, hashes.SHA256())
        )
        return certificate.public_bytes(Encoding.PEM).decode()


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, common_name)])
