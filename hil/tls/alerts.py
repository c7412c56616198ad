"""What goes wrong in TLS, with the alert and who sent it."""

from __future__ import annotations

from typing import Literal

from hil.errors import CertificateError, CloudError

__all__ = ["ServerChainError", "TlsError"]


class TlsError(CloudError):
    """The TLS connection failed or ended.

    Args:
        message: what happened.
        alert: name of the alert as in RFC 8446, section 6, e.g. ``"unknown_ca"``; None without one.
        by: who sent the alert, or closed the connection; None when it was lost or timed out.
    """

    def __init__(
        self, message: str, *, alert: str | None = None, by: Literal["us", "peer"] | None = None
    ) -> None:
        super().__init__(message)
        self.alert = alert
        self.by = by


class ServerChainError(CertificateError):
    """The server's certificate chain is not acceptable; nothing was signed.

    Args:
        reason: the rule that is broken: ``expired``, ``not-yet-valid``, ``wrong-name``,
            ``unknown-ca``, ``bad-signature`` or ``not-acceptable``.
        message: the same in words, with names and times.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(f"server certificate refused: {message}")
        self.reason = reason

    @property
    def alert(self) -> str:
        """The alert that tells the server (RFC 8446, section 6.2)."""
        return {
            "expired": "certificate_expired",
            "unknown-ca": "unknown_ca",
        }.get(self.reason, "bad_certificate")
