"""Who may end a chain: Microchip's roots, or the synthetic root of emulated parts.

The synthetic root is recognised by its name, which carries :data:`SYNTHETIC_UNIT`; whether it is
*accepted* is the caller's choice, by putting it among the anchors. Its private key is computable
by anyone who has this project, so it proves nothing about a physical part, and every report that
rests on it says so.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from importlib.resources import files

from hil.element.certificates.certificate import Certificate, load

__all__ = [
    "MICROCHIP_ROOTS",
    "SYNTHETIC_UNIT",
    "Anchor",
    "Origin",
    "anchor",
    "microchip_anchors",
    "origin_of",
]

SYNTHETIC_UNIT = "SYNTHETIC - emulated parts only - not Microchip"
"""Organizational unit in the name of the synthetic root, hence in the issuer of its signers."""

MICROCHIP_ROOTS = {
    "a5b883bf22933f43a9414fedcd4da87dd468e7301d875b86c5b783f22a0116bd": "crypto-authentication-root-ca-002",
    "7a09e57d8c5d0ac769bd90add894653632292113105acb8b40e12f1194b9111e": "atecc-root-ca-001",
}
"""SHA-256 of the DER bytes → file in ``hil/rigs/trust``. The fingerprint decides, not the file."""


class Origin(StrEnum):
    """What kind of root a chain ends in."""

    MICROCHIP = "genuine Microchip"
    SYNTHETIC = "synthetic (emulated parts)"
    OTHER = "neither Microchip's nor ours"


@dataclass(frozen=True, slots=True)
class Anchor:
    """A root that the caller accepts."""

    certificate: Certificate
    origin: Origin


def origin_of(root: Certificate) -> Origin:
    """What kind of root this is, whether accepted or not."""
    if root.fingerprint in MICROCHIP_ROOTS:
        return Origin.MICROCHIP
    return Origin.SYNTHETIC if root.subject.get("OU") == SYNTHETIC_UNIT else Origin.OTHER


def anchor(data: bytes) -> Anchor:
    """An anchor from a root certificate, PEM or DER.

    Raises:
        CertificateError: not a certificate.
    """
    root = load(data)
    return Anchor(root, origin_of(root))


@cache
def microchip_anchors() -> tuple[Anchor, ...]:
    """Microchip's published roots."""
    trust = files("hil.rigs") / "trust"
    return tuple(anchor((trust / f"{name}.pem").read_bytes()) for name in MICROCHIP_ROOTS.values())
