"""The operations of a handshake done in software, with the same faces as the element's.

A board whose element does everything passes units of the element in its :class:`Offload`; a board
without an element passes these. They compute; what the MCU would need for it is charged by whoever
observes the handshake.
"""

from __future__ import annotations

import secrets

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.utils import (
    Prehashed,
    decode_dss_signature,
    encode_dss_signature,
)
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from hil.errors import UsageError
from hil.tls.key import EcdhUnit, Offload, RandomSource, VerifyUnit

__all__ = [
    "SoftwareEcdh",
    "SoftwareKey",
    "SoftwareRandom",
    "SoftwareRsa",
    "SoftwareVerify",
    "der_signature",
    "load_point",
    "point_of",
    "raw_signature",
    "software_offload",
]


def point_of(key: ec.EllipticCurvePublicKey) -> bytes:
    """``X ‖ Y`` (64 bytes) of a P-256 public key."""
    return key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)[1:]


def load_point(point: bytes) -> ec.EllipticCurvePublicKey:
    """The P-256 public key with the coordinates ``X ‖ Y``.

    Raises:
        UsageError: the point is not on the curve.
    """
    try:
        return ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), b"\x04" + point)
    except ValueError as error:
        raise UsageError("these 64 bytes are not a point of P-256") from error


def raw_signature(der: bytes) -> bytes:
    """``R ‖ S`` (64 bytes) of a DER signature.

    Raises:
        ValueError: ``der`` is not a signature, or a number does not fit.
    """
    r, s = decode_dss_signature(der)
    try:
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")
    except OverflowError as error:
        raise ValueError("a number of the signature is negative or larger than P-256's order") from error


def der_signature(raw: bytes) -> bytes:
    """The DER form of ``R ‖ S``."""
    return encode_dss_signature(int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big"))


class SoftwareKey:
    """A P-256 private key in memory; a ``SigningKey``.

    Args:
        private: the key.

    Raises:
        UsageError: the key is of another curve.
    """

    def __init__(self, private: ec.EllipticCurvePrivateKey) -> None:
        if not isinstance(private.curve, ec.SECP256R1):
            raise UsageError(f"the TLS key must be of P-256, not {private.curve.name}")
        self._private = private

    def public_key(self) -> bytes:
        """64 bytes ``X ‖ Y``."""
        return point_of(self._private.public_key())

    def sign_digest(self, digest: bytes) -> bytes:
        """Sign a 32-byte digest; 64 bytes ``R ‖ S``."""
        return raw_signature(self._private.sign(digest, ec.ECDSA(Prehashed(SHA256()))))


class SoftwareEcdh:
    """Ephemeral P-256 keys in memory; an ``EcdhUnit``."""

    def __init__(self) -> None:
        self._private: ec.EllipticCurvePrivateKey | None = None

    def new_key(self) -> bytes:
        """Start an agreement; our public point, 64 bytes."""
        self._private = ec.generate_private_key(ec.SECP256R1())
        return point_of(self._private.public_key())

    def agree(self, peer: bytes) -> bytes:
        """The shared secret (32 bytes) with the peer's 64-byte point.

        Raises:
            UsageError: no key was made, or the point is not on the curve.
        """
        if self._private is None:
            raise UsageError("agree needs a key: call new_key first")
        return self._private.exchange(ec.ECDH(), load_point(peer))


class SoftwareVerify:
    """Verifies P-256 signatures; a ``VerifyUnit``."""

    def verify(self, public_key: bytes, digest: bytes, signature: bytes) -> bool:
        """Whether ``signature`` (64 bytes) is good."""
        try:
            load_point(public_key).verify(der_signature(signature), digest, ec.ECDSA(Prehashed(SHA256())))
        except InvalidSignature:
            return False
        return True


class SoftwareRandom:
    """Random bytes of the operating system; a ``RandomSource``."""

    def random(self, length: int) -> bytes:
        """``length`` random bytes."""
        return secrets.token_bytes(length)


class SoftwareRsa(msgspec.Struct, frozen=True):
    """An RSA client key in memory: what boards without an element did.

    Attributes:
        private: the key, 2048 bits or more.
        ecdh, verify, random: who does the rest; None = software.
    """

    private: rsa.RSAPrivateKey
    ecdh: EcdhUnit | None = None
    verify: VerifyUnit | None = None
    random: RandomSource | None = None


def software_offload(private: ec.EllipticCurvePrivateKey) -> Offload:
    """Software-only TLS with an EC client key."""
    return Offload(sign=SoftwareKey(private))
