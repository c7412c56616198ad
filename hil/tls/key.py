"""What TLS needs of a secure element. Points are ``X ‖ Y``, signatures ``R ‖ S``, 64 bytes each."""

from __future__ import annotations

from typing import Protocol

import msgspec

__all__ = ["EcdhUnit", "Offload", "RandomSource", "SigningKey", "VerifyUnit"]


class SigningKey(Protocol):
    """A P-256 private key that never leaves where it is."""

    def public_key(self) -> bytes:
        """64 bytes ``X ‖ Y``."""
        ...

    def sign_digest(self, digest: bytes) -> bytes:
        """Sign a 32-byte digest; 64 bytes ``R ‖ S``."""
        ...


class EcdhUnit(Protocol):
    """Makes an ephemeral P-256 key and agrees with it."""

    def new_key(self) -> bytes:
        """Start an agreement; our public point, 64 bytes."""
        ...

    def agree(self, peer: bytes) -> bytes:
        """The shared secret (32 bytes) with the peer's 64-byte point."""
        ...


class VerifyUnit(Protocol):
    """Verifies P-256 signatures over 32-byte digests."""

    def verify(self, public_key: bytes, digest: bytes, signature: bytes) -> bool:
        """Whether ``signature`` (64 bytes) is good."""
        ...


class RandomSource(Protocol):
    """Random bytes."""

    def random(self, length: int) -> bytes:
        """``length`` random bytes."""
        ...


class Offload(msgspec.Struct, frozen=True):
    """Which operations of a handshake the element does; None = the MCU (software) does it."""

    sign: SigningKey
    ecdh: EcdhUnit | None = None
    verify: VerifyUnit | None = None
    random: RandomSource | None = None
