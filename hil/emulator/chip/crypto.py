"""Cryptography of the chip: P-256, SHA-256, and a generator that can be repeated.

Keys are ``cryptography`` objects, made once and kept by the memory; digests are hashlib's.
"""

from __future__ import annotations

from functools import lru_cache
from hashlib import sha256

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import (
    Prehashed,
    decode_dss_signature,
    encode_dss_signature,
)
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

__all__ = [
    "ORDER",
    "Generator",
    "ecdh",
    "private_key",
    "public_bytes",
    "public_key",
    "sha",
    "sign",
    "sign_with_nonce",
    "verify",
    "xor",
]

CURVE = ec.SECP256R1()
ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
"""Order of the P-256 group (FIPS 186-5 / SP 800-186 section 3.2.1.3)."""

_SIGN = ec.ECDSA(Prehashed(SHA256()))
_ECDH = ec.ECDH()


class Generator:
    """A deterministic random generator: SHA-256 over key and counter.

    Two chips with the same seed and serial number give the same bytes, so that a run can be
    repeated; different serial numbers give independent ones.

    Args:
        seed: any integer.
        serial: the chip's serial number.
        drawn: blocks to skip: those that an earlier process took.
    """

    def __init__(self, seed: int, serial: bytes, drawn: int = 0) -> None:
        self._key = sha256(b"ATECC generator\0" + str(seed).encode() + b"\0" + serial).digest()
        self.drawn = drawn
        """Blocks drawn so far; kept in snapshots."""

    def block(self) -> bytes:
        """The next 32 bytes."""
        self.drawn += 1
        return sha256(self._key + self.drawn.to_bytes(8, "big")).digest()


def sha(*parts: bytes | bytearray) -> bytes:
    """SHA-256 of the parts in a row."""
    return sha256(b"".join(parts)).digest()


def xor(left: bytes, right: bytes) -> bytes:
    """Bytewise exclusive or of two strings of equal length."""
    return (int.from_bytes(left, "big") ^ int.from_bytes(right, "big")).to_bytes(len(left), "big")


def private_key(scalar: bytes) -> ec.EllipticCurvePrivateKey | None:
    """The key object of a scalar, or None if it is not between 1 and the order."""
    value = int.from_bytes(scalar, "big")
    return ec.derive_private_key(value, CURVE) if 0 < value < ORDER else None


@lru_cache(maxsize=256)
def public_key(point: bytes) -> ec.EllipticCurvePublicKey | None:
    """The key object of X and Y (64 bytes), or None if that is no point of the curve."""
    try:
        return ec.EllipticCurvePublicKey.from_encoded_point(CURVE, b"\x04" + point)
    except ValueError:
        return None


def public_bytes(key: ec.EllipticCurvePrivateKey) -> bytes:
    """X and Y of the public half, 64 bytes."""
    return key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)[1:]


def sign(key: ec.EllipticCurvePrivateKey, digest: bytes) -> bytes:
    """ECDSA over a digest of 32 bytes: R and S, 64 bytes."""
    r, s = decode_dss_signature(key.sign(digest, _SIGN))
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


def sign_with_nonce(key: ec.EllipticCurvePrivateKey, digest: bytes, nonce: int) -> bytes:
    """ECDSA with a given nonce: what a broken generator would produce."""
    r = ec.derive_private_key(nonce, CURVE).public_key().public_numbers().x % ORDER
    secret = key.private_numbers().private_value
    s = pow(nonce, -1, ORDER) * (int.from_bytes(digest, "big") + r * secret) % ORDER
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


def verify(key: ec.EllipticCurvePublicKey, digest: bytes, signature: bytes) -> bool:
    """Whether R and S (64 bytes) sign the digest."""
    der = encode_dss_signature(int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big"))
    try:
        key.verify(der, digest, _SIGN)
    except InvalidSignature:
        return False
    return True


def ecdh(key: ec.EllipticCurvePrivateKey, point: ec.EllipticCurvePublicKey) -> bytes:
    """The shared secret, X only, 32 bytes."""
    return key.exchange(_ECDH, point)
