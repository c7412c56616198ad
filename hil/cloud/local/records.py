"""Client and CA certificates as the overlay keeps them.

Both classes say that they live in ``moto.iot.models``: a metaclass of moto reads the service's name from
``__module__``.
"""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

from moto.iot.models import FakeCaCertificate, FakeCertificate

from hil.cloud.local.issuing import first_certificate
from hil.cloud.pem import to_der
from hil.cloud.registry import certificate_id

if TYPE_CHECKING:
    from cryptography import x509

__all__ = ["CaCertificate", "Certificate"]


def _describe_validity(certificate: x509.Certificate) -> dict[str, Any]:
    return {"notBefore": certificate.not_valid_before_utc, "notAfter": certificate.not_valid_after_utc}


class Certificate(FakeCertificate):
    """A client certificate whose id is the hash of its DER and whose validity is its own.

    Args:
        certificate_pem: the certificate; of a chain the first one counts.
        status: one of the states of ``UpdateCertificate`` or ``PENDING_ACTIVATION``.
        account_id: owner.
        region_name: where it is registered.
        ca_certificate_id: the registered CA that signed it, if any.
        mode: ``DEFAULT`` or ``SNI_ONLY``.
    """

    __module__ = "moto.iot.models"

    def __init__(
        self,
        certificate_pem: str,
        status: str,
        account_id: str,
        region_name: str,
        ca_certificate_id: str | None = None,
        mode: str = "DEFAULT",
    ) -> None:
        super().__init__(
            certificate_pem=certificate_pem,
            status=status,
            account_id=account_id,
            region_name=region_name,
            ca_certificate_id=ca_certificate_id,
        )
        self.x509 = first_certificate(certificate_pem)
        self.mode = mode
        self.generation_id = str(uuid.uuid4())

    def compute_cert_id(self, certificate_pem: str) -> str:
        """SHA-256 of the DER of the first certificate, whatever moto's configuration says."""
        return certificate_id(to_der(first_certificate(certificate_pem)))

    def to_dict(self) -> dict[str, Any]:
        """As ``ListCertificates`` shows it."""
        return super().to_dict() | {"certificateMode": self.mode}

    def to_description_dict(self) -> dict[str, Any]:
        """As ``DescribeCertificate`` shows it."""
        description = super().to_description_dict() | {
            "certificateMode": self.mode,
            "customerVersion": 1,
            "generationId": self.generation_id,
            "validity": _describe_validity(self.x509),
        }
        if self.ca_certificate_id is not None:
            description["caCertificateId"] = self.ca_certificate_id
        return description


class CaCertificate(FakeCaCertificate):
    """A registered CA certificate.

    Args:
        ca_certificate: PEM text.
        status: ``ACTIVE`` or ``INACTIVE``.
        account_id: owner.
        region_name: where it is registered.
        registration_config: template and role for just-in-time provisioning, or None.
        mode: ``DEFAULT`` or ``SNI_ONLY``.
        auto_registration: whether devices may register themselves by connecting.
    """

    __module__ = "moto.iot.models"

    def __init__(
        self,
        ca_certificate: str,
        status: str,
        account_id: str,
        region_name: str,
        registration_config: dict[str, str],
        mode: str = "DEFAULT",
        auto_registration: bool = False,
    ) -> None:
        super().__init__(
            ca_certificate=ca_certificate,
            status=status,
            account_id=account_id,
            region_name=region_name,
            registration_config=registration_config,
        )
        self.x509 = first_certificate(ca_certificate)
        self.arn = self.arn.replace(":cert/", ":cacert/")
        self.mode = mode
        self.auto_registration = auto_registration
        self.generation_id = str(uuid.uuid4())

    compute_cert_id = Certificate.compute_cert_id

    def to_dict(self) -> dict[str, Any]:
        """As ``ListCACertificates`` shows it."""
        return {
            "certificateArn": self.arn,
            "certificateId": self.certificate_id,
            "status": self.status,
            "creationDate": self.creation_date,
        }

    def to_description_dict(self) -> dict[str, Any]:
        """As ``DescribeCACertificate`` shows it."""
        description = super().to_description_dict()
        del description["transferData"]
        return description | {
            "autoRegistrationStatus": "ENABLE" if self.auto_registration else "DISABLE",
            "certificateMode": self.mode,
            "customerVersion": 1,
            "generationId": self.generation_id,
            "validity": _describe_validity(self.x509),
        }
