"""What the MQTT endpoint asks about the certificate that a device presents.

The local control plane and a plain dictionary for tests answer the same questions. A certificate
is known by its id: the lower-case hexadecimal SHA-256 of its DER bytes, which is also the
fingerprint of what the device shows in the TLS handshake.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["CertificateRecord", "MemoryRegistry", "Registry", "Thing", "certificate_id"]


@dataclass(frozen=True)
class Thing:
    """A thing that a certificate is attached to; its fields feed policy variables.

    Attributes:
        name: the thing's name.
        type_name: its thing type, None without one.
        attributes: its attributes by name.
    """

    name: str
    type_name: str | None = None
    attributes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class CertificateRecord:
    """What the cloud knows about a registered certificate.

    Attributes:
        certificate_id: SHA-256 of the DER, lower-case hexadecimal.
        arn: the certificate's ARN.
        status: as ``DescribeCertificate`` says: ``ACTIVE``, ``INACTIVE``, ``REVOKED``,
            ``PENDING_TRANSFER``, ``REGISTER_INACTIVE`` or ``PENDING_ACTIVATION``.
        policies: the JSON documents of the attached policies.
        things: the things it is attached to.
    """

    certificate_id: str
    arn: str
    status: str
    policies: tuple[str, ...] = ()
    things: tuple[Thing, ...] = ()


class Registry(Protocol):
    """The control plane as the endpoint sees it; asked anew at every CONNECT."""

    def certificate(self, certificate_id: str) -> CertificateRecord | None:
        """The record of ``certificate_id``, or None if it is not registered."""
        ...


class MemoryRegistry:
    """A registry in a dictionary, for endpoints that need no control plane.

    Args:
        records: the certificates that are registered to begin with.
    """

    def __init__(self, records: Iterable[CertificateRecord] = ()) -> None:
        self.records = {record.certificate_id: record for record in records}

    def certificate(self, certificate_id: str) -> CertificateRecord | None:
        """The record of ``certificate_id``, or None."""
        return self.records.get(certificate_id)


def certificate_id(der: bytes) -> str:
    """The id that AWS IoT gives to the certificate with these DER bytes."""
    return hashlib.sha256(der).hexdigest()
