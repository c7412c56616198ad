"""P-256 of the chip, by ``cryptography``; imported when the first key is touched."""

from __future__ import annotations

from functools import lru_cache

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import (
    Prehashed,
    decode_dss_signature,
    encode_dss_signature,
)
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

__all__ = ["ORDER", "ecdh", "private_key", "public_bytes", "public_key", "sign", "sign_with_nonce", "verify"]

CURVE = ec.SECP256R1()
ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
"""Order of the P-256 group (FIPS 186-5 / SP 800-186 section 3.2.1.3)."""

_SIGN = ec.ECDSA(Prehashed(SHA256()))
_ECDH = ec.ECDH()


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
