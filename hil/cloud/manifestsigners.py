"""Who may sign a manifest: Microchip's log signers, or a certificate that the user names."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

from hil.element.certificates.certificate import load

if TYPE_CHECKING:
    from hil.element.certificates.certificate import Certificate

__all__ = ["log_signers", "validity_note"]

LOG_SIGNERS = ("log-signer-001", "log-signer-002", "log-signer-003")


@cache
def log_signers() -> tuple[Certificate, ...]:
    """The published certificates of Microchip's manifest signers; all of them have expired."""
    trust = files("hil.rigs") / "trust"
    return tuple(load((trust / f"{name}.pem").read_bytes()) for name in LOG_SIGNERS)


def validity_note(signer: Certificate, at: float) -> str:
    """What is to be said about the signer's own validity at ``at``; empty if it is valid."""
    if signer.not_before <= at <= signer.not_after:
        return ""
    first, last = (
        f"{datetime.fromtimestamp(d, UTC):%Y-%m-%d}" for d in (signer.not_before, signer.not_after)
    )
    return f"the manifest's signer {signer.subject} was valid from {first} to {last} only"
