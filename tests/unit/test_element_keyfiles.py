"""Private keys from files: every usual form, leading zeros kept, bad ones refused with advice."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from hil.element.keyfiles import PrivateScalar, check_scalar, load_private_key, parse_private_key, public_half
from hil.errors import ConfigError, UsageError

if TYPE_CHECKING:
    from pathlib import Path

SHORT = 0xA1B2C3D4E5F60718293A4B5C6D7E8F90A1B2C3D4E5F60718293A4B5C6D7E8F
"""A test scalar of 31 bytes: its first byte of 32 is zero."""
SCALAR = SHORT.to_bytes(32, "big")
KEY = ec.derive_private_key(SHORT, ec.SECP256R1())


def encoded(form: PrivateFormat, encoding: Encoding = Encoding.PEM, password: bytes | None = None) -> bytes:
    how = BestAvailableEncryption(password) if password else NoEncryption()
    return KEY.private_bytes(encoding, form, how)


PARAMETERS = b"-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n"

GOOD = {
    "sec1-pem": encoded(PrivateFormat.TraditionalOpenSSL),
    "sec1-pem-after-parameters": PARAMETERS + encoded(PrivateFormat.TraditionalOpenSSL),
    "pkcs8-pem": encoded(PrivateFormat.PKCS8),
    "sec1-der": encoded(PrivateFormat.TraditionalOpenSSL, Encoding.DER),
    "pkcs8-der": encoded(PrivateFormat.PKCS8, Encoding.DER),
    "hex": SCALAR.hex().encode() + b"\n",
    "hex-upper": b"0x" + SCALAR.hex().upper().encode(),
    "hex-without-leading-zeros": SCALAR.hex().encode()[2:],
}


@pytest.mark.parametrize("form", GOOD)
def test_every_form_gives_32_bytes_with_the_leading_zero(form: str) -> None:
    scalar = parse_private_key(GOOD[form])
    assert scalar == SCALAR
    assert len(scalar) == 32


@pytest.mark.parametrize("encoding", [Encoding.PEM, Encoding.DER])
def test_encrypted_files_need_the_password(encoding: Encoding) -> None:
    data = encoded(PrivateFormat.PKCS8, encoding, b"test secret")
    assert parse_private_key(data, password=b"test secret") == SCALAR
    with pytest.raises(ConfigError, match="encrypted and no password"):
        parse_private_key(data)
    with pytest.raises(ConfigError, match="is the password right"):
        parse_private_key(data, password=b"another")


def test_an_encrypted_sec1_pem_needs_the_password() -> None:
    data = encoded(PrivateFormat.TraditionalOpenSSL, password=b"test secret")
    assert parse_private_key(data, password=b"test secret") == SCALAR
    with pytest.raises(ConfigError, match="encrypted and no password"):
        parse_private_key(data)


def test_a_password_for_a_plain_file_does_no_harm() -> None:
    assert parse_private_key(GOOD["pkcs8-pem"], password=b"unneeded") == SCALAR
    assert parse_private_key(GOOD["pkcs8-der"], password=b"unneeded") == SCALAR


def test_a_file_is_read_by_its_path(tmp_path: Path) -> None:
    path = tmp_path / "ecc.key.pem"
    path.write_bytes(GOOD["sec1-pem"])
    assert load_private_key(path) == SCALAR
    with pytest.raises(ConfigError, match="cannot read the key file"):
        load_private_key(tmp_path / "absent.pem")


PUBLIC_PEM = KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
PUBLIC_DER = KEY.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
P384 = ec.derive_private_key(SHORT, ec.SECP384R1()).private_bytes(
    Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
)
ED25519 = ed25519.Ed25519PrivateKey.from_private_bytes(SCALAR).private_bytes(
    Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (P384, "on the curve secp384r1"),
        (ED25519, "no elliptic-curve key"),
        (PUBLIC_PEM, "holds no private key but: PUBLIC KEY"),
        (PUBLIC_DER, "holds a public key"),
        (PARAMETERS, "holds no private key but: EC PARAMETERS"),
        (GOOD["pkcs8-pem"] * 2, "holds 2 private keys"),
        (
            b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
            "no private key in PEM, DER or hex",
        ),
        (b"", "no private key in PEM, DER or hex"),
        (b"hello", "no private key in PEM, DER or hex"),
        (bytes(range(200)), "no private key in PEM, DER or hex"),
        (SCALAR.hex().encode()[4:], "60 hex digits"),
        (b"00" * 32, "zero or not below the order"),
        (b"ff" * 32, "zero or not below the order"),
    ],
)
def test_what_is_no_p256_private_key_is_refused_with_advice(data: bytes, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        parse_private_key(data, "ecc.key.pem")
    assert "ecc.key.pem" in str(caught.value)


def test_rsa_is_refused() -> None:
    pem = rsa.generate_private_key(65537, 1024).private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
    )
    with pytest.raises(ConfigError, match="no elliptic-curve key"):
        parse_private_key(pem)


def test_the_smallest_and_the_largest_scalar_are_keys() -> None:
    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    for value in (1, order - 1):
        scalar = value.to_bytes(32, "big")
        assert parse_private_key(scalar.hex().encode()) == check_scalar(scalar) == scalar
    with pytest.raises(ConfigError, match="order"):
        parse_private_key(order.to_bytes(32, "big").hex().encode())
    with pytest.raises(UsageError, match="order"):
        check_scalar(order.to_bytes(32, "big"))


def test_a_scalar_does_not_print_itself() -> None:
    scalar = parse_private_key(GOOD["hex"])
    shown = f"{scalar} {scalar!r} {[scalar]} {(scalar,)}"
    assert SCALAR.hex() not in shown
    assert "\\x" not in shown
    assert shown.count("<private scalar, 32 bytes>") == 4
    assert isinstance(scalar, PrivateScalar)


def test_the_public_half_of_a_known_key() -> None:
    scalar = bytes.fromhex("878f0ab6a526d7111c26e6170810796e7b33007f832b8d64467ed6f870537a19")
    assert public_half(scalar).hex() == (
        "8f8d182bd819048582a9927ea0c56defb4159548e11ca5f7abac45bbce76815b"
        "e5c64fcd2fd12698544de037951726666073046119ad5e11a90aa49773aeac86"
    )


@pytest.mark.parametrize("scalar", [SCALAR[1:], SCALAR + b"\0", bytes(32), b"\xff" * 32])
def test_impossible_scalars_are_usage_errors(scalar: bytes) -> None:
    with pytest.raises(UsageError) as caught:
        check_scalar(scalar)
    assert SCALAR.hex()[2:20] not in str(caught.value)
