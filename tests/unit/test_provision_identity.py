"""Keys and certificates in files: made once, readable for their owner alone, checked when they are there."""

from __future__ import annotations

import os
import stat
import subprocess
from dataclasses import replace
from shutil import which
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from hil.element.keyfiles import load_private_key, public_half
from hil.errors import CertificateError, ConfigError
from hil.provision.identity import identity_for
from hil.provision.plan import Authority, Certificate, Kek, Plan, PrivateKey
from hil.rigfile.binding import Secret

if TYPE_CHECKING:
    from pathlib import Path

SERIAL = "0123e07e00112233ee"
NOW = 1_700_000_000.0
DAY = 86_400
PADDED = 0x00A1B2C3D4E5F60718293A4B5C6D7E8F90A1B2C3D4E5F60718293A4B5C6D7E8F
KEY = ec.derive_private_key(PADDED, ec.SECP256R1())
PASSWORD = b"test password"


def pem(key: ec.EllipticCurvePrivateKey, password: bytes | None = None) -> bytes:
    how = NoEncryption() if password is None else BestAvailableEncryption(password)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, how)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_what_is_missing_is_made_once_and_private_files_are_their_owners_alone(tmp_path: Path) -> None:
    previous = os.umask(0)  # the most careless user there is
    try:
        plan = Plan(folder=tmp_path)
        first = identity_for(plan, SERIAL, now=NOW)
    finally:
        os.umask(previous)
    files = plan.files(SERIAL)
    assert [mode(files[name]) for name in ("private key", "key-encryption key")] == [0o600, 0o600]
    assert mode(files["private key"].parent) == 0o700
    assert [line.rpartition(" ")[0] for line in first.made] == list(files)
    assert load_private_key(files["private key"]) == first.scalar
    assert bytes.fromhex(files["key-encryption key"].read_text()) == first.kek
    assert sorted(path.name for path in files["private key"].parent.iterdir()) == [
        "ecc.crt.pem",
        "ecc.key.pem",
        "slot4.key",
    ], "a draft was left behind"
    again = identity_for(plan, SERIAL, now=NOW + DAY)
    assert again.made == ()
    assert (again.scalar, again.kek, again.certificate) == (first.scalar, first.kek, first.certificate)


def test_without_leave_to_make_anything_nothing_is_written(tmp_path: Path) -> None:
    identity = identity_for(Plan(folder=tmp_path), SERIAL, now=NOW, make=False)
    assert len(identity.made) == 3
    assert list(tmp_path.iterdir()) == []


def test_the_certificate_is_of_the_key_and_lasts_as_long_as_the_plan_says(tmp_path: Path) -> None:
    plan = Plan(folder=tmp_path, certificate=Certificate(days=30, dns_names=("board.example",)))
    identity = identity_for(plan, SERIAL, now=NOW)
    made = x509.load_pem_x509_certificate(identity.certificate)
    public = made.public_key()
    assert isinstance(public, ec.EllipticCurvePublicKey)
    assert public.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)[1:] == public_half(
        identity.scalar
    )
    assert made.subject.rfc4514_string() == "CN=test.acme.com,OU=Testing,O=ACME Ltd,L=Dublin,C=IE"
    assert (made.not_valid_after_utc - made.not_valid_before_utc).days == 30
    names = made.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["board.example"]
    made.verify_directly_issued_by(made)
    with pytest.raises(CertificateError, match="is not valid now"):
        identity_for(plan, SERIAL, now=NOW + 31 * DAY)


def test_an_authority_of_yours_signs_it(tmp_path: Path) -> None:
    authority = identity_for(Plan(folder=tmp_path / "ca"), "ca", now=NOW)
    files = Plan(folder=tmp_path / "ca").files("ca")
    (tmp_path / "ca.key").write_bytes(
        pem(ec.derive_private_key(int.from_bytes(authority.scalar, "big"), ec.SECP256R1()), PASSWORD)
    )
    (tmp_path / "password").write_bytes(PASSWORD + b"\n")
    signer = Authority(
        certificate=str(files["certificate"]), key="ca.key", password=Secret("file", "password", tmp_path)
    )
    plan = Plan(folder=tmp_path, certificate=Certificate(authority=signer, subject="/CN=board"))
    identity = identity_for(plan, SERIAL, now=NOW)
    made = x509.load_pem_x509_certificate(identity.certificate)
    made.verify_directly_issued_by(x509.load_pem_x509_certificate(authority.certificate))
    other = replace(signer, key="other.key", password=None)
    (tmp_path / "other.key").write_bytes(pem(ec.generate_private_key(ec.SECP256R1())))
    wrong = replace(plan, certificate=replace(plan.certificate, file="another.crt", authority=other))
    with pytest.raises(CertificateError, match="is not the certificate of the authority's key"):
        identity_for(wrong, SERIAL, now=NOW)
    assert not (tmp_path / "another.crt").exists()


SEC1_DER = KEY.private_bytes(Encoding.DER, PrivateFormat.TraditionalOpenSSL, NoEncryption())
IMPORTED = {
    "ecc.key.pem": KEY.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()),
    "pkcs8.pem": pem(KEY),
    "sec1.der": SEC1_DER,
    "pkcs8.der": KEY.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()),
    "scalar.hex": f"{PADDED:064x}\n".encode(),
    "short.hex": f"{PADDED:062x}".encode(),
    "encrypted.pem": pem(KEY, PASSWORD),
}


@pytest.mark.parametrize("name", IMPORTED)
def test_a_key_of_yours_is_taken_from_its_file_with_its_leading_zeros(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(IMPORTED[name])
    (tmp_path / "password").write_bytes(PASSWORD)
    password = Secret("file", "password", tmp_path) if "encrypted" in name else None
    plan = Plan(folder=tmp_path, key=PrivateKey(file=name, password=password))
    identity = identity_for(plan, SERIAL, now=NOW)
    assert identity.scalar == PADDED.to_bytes(32, "big")
    assert identity.scalar[0] == 0
    assert not any("private key" in line for line in identity.made)


REFUSED = {
    "another curve": (pem(ec.generate_private_key(ec.SECP384R1())), "on the curve secp384r1"),
    "encrypted": (pem(KEY, PASSWORD), "is encrypted and no password was given"),
    "public": (
        KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        "holds no private key but: PUBLIC KEY",
    ),
    "public DER": (
        KEY.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        "holds a public key",
    ),
    "half": (SEC1_DER[: len(SEC1_DER) // 2], "no private key in PEM, DER or hex"),
    "empty": (b"", "no private key in PEM, DER or hex"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_file_that_is_no_key_for_the_element_is_refused_clearly_and_nothing_is_made(
    tmp_path: Path, name: str
) -> None:
    data, message = REFUSED[name]
    (tmp_path / "mine.key").write_bytes(data)
    plan = Plan(folder=tmp_path, key=PrivateKey(file="mine.key"))
    with pytest.raises(ConfigError, match=message) as caught:
        identity_for(plan, SERIAL, now=NOW)
    assert "mine.key" in str(caught.value)
    assert caught.value.hint
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine.key"]
    assert (tmp_path / "mine.key").read_bytes() == data


def test_a_wrong_password_is_told(tmp_path: Path) -> None:
    (tmp_path / "mine.key").write_bytes(pem(KEY, PASSWORD))
    (tmp_path / "password").write_bytes(b"another")
    key = PrivateKey(file="mine.key", password=Secret("file", "password", tmp_path))
    with pytest.raises(ConfigError, match="cannot be decrypted") as caught:
        identity_for(Plan(folder=tmp_path, key=key), SERIAL, now=NOW)
    assert "another" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "11" * 31, "11" * 33, "zz" * 32, "-----BEGIN PUBLIC KEY-----"])
def test_a_key_encryption_key_is_64_hex_digits_and_never_shown(tmp_path: Path, text: str) -> None:
    (tmp_path / "kek.hex").write_text(text)
    with pytest.raises(ConfigError, match="is not 64 hex digits") as caught:
        identity_for(Plan(folder=tmp_path, kek=Kek(file="kek.hex")), SERIAL, now=NOW)
    assert not text or text not in str(caught.value)


def test_a_certificate_of_another_key_is_refused(tmp_path: Path) -> None:
    plan = Plan(folder=tmp_path)
    identity_for(plan, SERIAL, now=NOW)
    key = plan.files(SERIAL)["private key"]
    key.write_bytes(pem(KEY))
    with pytest.raises(CertificateError, match="certificate of another key than the plan's"):
        identity_for(plan, SERIAL, now=NOW)
    key.unlink()
    with pytest.raises(CertificateError, match="is there, and its private key .* is not"):
        identity_for(plan, SERIAL, now=NOW)
    assert not key.exists(), "a key that no certificate belongs to was made"


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ConfigError, match="cannot be written"):
        identity_for(Plan(folder=tmp_path / "file"), SERIAL, now=NOW)


def test_an_identity_does_not_print_its_secrets(tmp_path: Path) -> None:
    identity = identity_for(Plan(folder=tmp_path), SERIAL, now=NOW)
    shown = repr(identity)
    for secret in (identity.scalar, identity.kek):
        assert secret.hex() not in shown
        assert repr(bytes(secret))[2:-1] not in shown


@pytest.mark.skipif(which("openssl") is None, reason="needs the openssl program")
def test_openssl_reads_what_was_made(tmp_path: Path) -> None:
    """The first article's tool has the last word on key and certificate."""
    plan = Plan(folder=tmp_path)
    identity_for(plan, SERIAL, now=NOW)
    files = plan.files(SERIAL)
    key = subprocess.run(
        ["openssl", "pkey", "-in", files["private key"], "-pubout"], capture_output=True, check=True
    )
    certificate = subprocess.run(
        ["openssl", "x509", "-in", files["certificate"], "-noout", "-pubkey"], capture_output=True, check=True
    )
    assert key.stdout == certificate.stdout != b""
