"""P-256 private keys from files: PEM (SEC1, PKCS#8), DER, or the scalar in hex.

A scalar is always 32 bytes, leading zeros included: a 31-byte scalar that is written left-aligned
is another key. Private bytes appear in no message and no ``repr``.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    load_der_private_key,
    load_der_public_key,
    load_pem_private_key,
)

from hil.discretion import SecretBytes, discreet
from hil.errors import ConfigError, UsageError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["PrivateScalar", "check_scalar", "load_private_key", "parse_private_key", "public_half"]

P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551

_PEM_BLOCK = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----.*?-----END \1-----", re.DOTALL)
_HEX_SCALAR = re.compile(r"(?:0x)?[0-9a-fA-F]{1,64}")


class PrivateScalar(SecretBytes):
    """A private key, 32 bytes, big-endian, that does not print itself."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "<private scalar, 32 bytes>"

    __str__ = __repr__


@discreet
def check_scalar(scalar: bytes) -> bytes:
    """``scalar`` itself.

    Raises:
        UsageError: it is not 32 bytes, or no P-256 private key; the message does not show it.
    """
    if len(scalar) != 32:
        raise UsageError(
            f"a P-256 private scalar has 32 bytes, not {len(scalar)}", hint="put zeros in front, never behind"
        )
    if not 0 < int.from_bytes(scalar, "big") < P256_ORDER:
        raise UsageError("the private scalar is zero or not below the order of P-256")
    return scalar


@discreet
def public_half(scalar: bytes) -> bytes:
    """64 bytes ``X ‖ Y`` that belong to a private scalar."""
    key = ec.derive_private_key(int.from_bytes(check_scalar(scalar), "big"), ec.SECP256R1())
    numbers = key.public_key().public_numbers()
    return numbers.x.to_bytes(32, "big") + numbers.y.to_bytes(32, "big")


@discreet
def load_private_key(path: Path, password: bytes | None = None) -> PrivateScalar:
    """Read a private key file.

    Args:
        path: PEM, DER, or one scalar in hex.
        password: for an encrypted file.

    Raises:
        ConfigError: no P-256 private key can be had from it; the hint says what to do.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"cannot read the key file {path}: {error.strerror}") from error
    return parse_private_key(data, str(path), password)


@discreet
def parse_private_key(data: bytes, source: str = "the key", password: bytes | None = None) -> PrivateScalar:
    """The same from the content of a file; ``source`` is what errors call it."""
    blocks = list(_PEM_BLOCK.finditer(data))
    if blocks:
        return _from_pem(blocks, source, password)
    text = data.decode("ascii", "replace").strip()
    if _HEX_SCALAR.fullmatch(text):
        return _from_hex(text, source)
    return _from_der(data, source, password)


def _from_pem(blocks: list[re.Match[bytes]], source: str, password: bytes | None) -> PrivateScalar:
    private = [block for block in blocks if block[1].endswith(b"PRIVATE KEY")]
    if not private:
        kinds = ", ".join(sorted({block[1].decode() for block in blocks}))
        raise ConfigError(
            f"{source} holds no private key but: {kinds}",
            hint="give the file that `openssl ecparam -genkey -name prime256v1 -noout` wrote",
        )
    if len(private) > 1:
        raise ConfigError(f"{source} holds {len(private)} private keys", hint="give a file with one")
    if password is None and (b"ENCRYPTED" in private[0][0]):
        raise _needs_password(source)
    try:
        key = load_pem_private_key(private[0][0], password if b"ENCRYPTED" in private[0][0] else None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise _unreadable(source, password) from None
    return _scalar(key, source)


def _from_der(data: bytes, source: str, password: bytes | None) -> PrivateScalar:
    try:
        key = load_der_private_key(data, None)
    except TypeError:
        if password is None:
            raise _needs_password(source) from None
        try:
            key = load_der_private_key(data, password)
        except (ValueError, UnsupportedAlgorithm):
            raise _unreadable(source, password) from None
    except (ValueError, UnsupportedAlgorithm):
        if _is_public_der(data):
            raise ConfigError(f"{source} holds a public key", hint="give the private key's file") from None
        raise _unreadable(source, None) from None
    return _scalar(key, source)


def _is_public_der(data: bytes) -> bool:
    try:
        load_der_public_key(data)
    except (ValueError, UnsupportedAlgorithm):
        return False
    return True


def _from_hex(text: str, source: str) -> PrivateScalar:
    digits = text.removeprefix("0x")
    if len(digits) not in (62, 64):
        raise ConfigError(
            f"{source} holds {len(digits)} hex digits, a P-256 private scalar has 64",
            hint="leading zeros belong to it",
        )
    return _checked(int(digits, 16), source)


def _scalar(key: object, source: str) -> PrivateScalar:
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ConfigError(
            f"{source} holds a key that is no elliptic-curve key", hint="the element needs P-256"
        )
    if not isinstance(key.curve, ec.SECP256R1):
        raise ConfigError(
            f"{source} holds a key on the curve {key.curve.name}",
            hint="the element knows P-256 (prime256v1, secp256r1) and no other curve",
        )
    return _checked(key.private_numbers().private_value, source)


def _checked(value: int, source: str) -> PrivateScalar:
    if not 0 < value < P256_ORDER:
        raise ConfigError(f"{source} holds a scalar that is zero or not below the order of P-256")
    return PrivateScalar(value.to_bytes(32, "big"))


def _needs_password(source: str) -> ConfigError:
    return ConfigError(
        f"{source} is encrypted and no password was given",
        hint="give the password, or decrypt it: `openssl ec -in FILE -out PLAIN`",
    )


def _unreadable(source: str, password: bytes | None) -> ConfigError:
    if password is not None:
        return ConfigError(f"{source} cannot be decrypted", hint="is the password right?")
    return ConfigError(
        f"{source} is no private key in PEM, DER or hex",
        hint="`openssl pkey -in FILE -noout -text` shows what openssl makes of it",
    )
