"""Keys and certificates in files: made where they are missing, checked where they are there.

A private file is readable for its owner alone, is never overwritten, and is on the disk before its
content goes into an element: a key that only a locked element knows helps nobody.
"""

from __future__ import annotations

import os
import re
import secrets
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import msgspec

from hil.discretion import SecretBytes, discreet
from hil.element.certificates.certificate import load
from hil.element.keyfiles import PrivateScalar, load_private_key, public_half
from hil.errors import CertificateError, ConfigError
from hil.provision.plan import read_bytes

if TYPE_CHECKING:
    from pathlib import Path

    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec

    from hil.provision.plan import Authority, Certificate, Plan

__all__ = ["Identity", "identity_for"]

KEK_BYTES = 32


class Identity(msgspec.Struct, frozen=True):
    """What an element is to be given; its secrets do not print themselves.

    Attributes:
        scalar: the private key.
        kek: the key-encryption key.
        certificate: PEM.
        made: names of what was made now, for people.
    """

    scalar: PrivateScalar
    kek: SecretBytes
    certificate: bytes
    made: tuple[str, ...] = ()

    @property
    def public_key(self) -> bytes:
        """64 bytes ``X ‖ Y``."""
        return public_half(self.scalar)


@discreet
def identity_for(plan: Plan, serial: str, *, now: float, make: bool = True) -> Identity:
    """Keys and certificate for one element, out of the plan's files.

    Args:
        plan: names the files.
        serial: the element's serial number, 18 hex digits.
        now: first second of a new certificate's validity, and when an old one has to be valid.
        make: write files that are missing; without it their content is made for this call only.

    Raises:
        ConfigError: a file is there and cannot be used, or cannot be written.
        CertificateError: the certificate is of another key, or not valid.
    """
    paths = plan.files(serial)
    kek_path, key_path, crt_path = paths.values()
    kek = _read_kek(kek_path) if kek_path.exists() else None
    scalar = load_private_key(key_path, plan.password(plan.key.password)) if key_path.exists() else None
    certificate = read_bytes(crt_path, "the certificate") if crt_path.exists() else None
    if scalar is None and certificate is not None:
        raise CertificateError(
            f"the certificate {crt_path} is there, and its private key {key_path} is not",
            hint="name the key that belongs to it, or move the certificate away to have both made",
        )
    new = {name: path for name, path in paths.items() if not path.exists()}
    if kek is None:
        kek = SecretBytes(secrets.token_bytes(KEK_BYTES))
    if scalar is None:
        scalar = _new_scalar()
    if certificate is None:
        certificate = _new_certificate(plan, plan.certificate, scalar, now)
    _check(plan, certificate, str(crt_path), scalar, now)
    if make:  # everything was read and checked: what is written now fits together
        contents = (kek.hex().encode() + b"\n", _pem(scalar), certificate)
        for (name, path), content in zip(paths.items(), contents, strict=True):
            if name in new:
                _write(path, content, 0o644 if path == crt_path else 0o600)
    return Identity(scalar, kek, certificate, tuple(f"{name} {path}" for name, path in new.items()))


@discreet
def _read_kek(path: Path) -> SecretBytes:
    text = read_bytes(path, "the key-encryption key").decode("ascii", "replace").strip()
    if not re.fullmatch(r"[0-9A-Fa-f]{64}", text):
        raise ConfigError(
            f"the key-encryption key {path} is not 64 hex digits",
            hint="`openssl rand -hex 32 > FILE` makes one",
        )
    return SecretBytes(bytes.fromhex(text))


@discreet
def _new_scalar() -> PrivateScalar:
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    return PrivateScalar(key.private_numbers().private_value.to_bytes(32, "big"))


@discreet
def _pem(scalar: bytes) -> bytes:
    """As `openssl ecparam -genkey` writes it, without the parameters."""
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    key = ec.derive_private_key(int.from_bytes(scalar, "big"), ec.SECP256R1())
    return key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())


@discreet
def _new_certificate(plan: Plan, wanted: Certificate, scalar: bytes, now: float) -> bytes:
    """A certificate for the key, self-signed or by the authority, PEM."""
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.serialization import Encoding

    from hil.element.certificates.selfsigned import subject_name

    key = ec.derive_private_key(int.from_bytes(scalar, "big"), ec.SECP256R1())
    subject = subject_name(wanted.subject)
    start = datetime.fromtimestamp(int(now), UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + timedelta(days=wanted.days))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    if wanted.dns_names:
        names = x509.SubjectAlternativeName([x509.DNSName(name) for name in wanted.dns_names])
        builder = builder.add_extension(names, critical=False)
    signer, issuer = key, subject
    if wanted.authority is not None:
        certificate, signer = _authority(plan, wanted.authority)
        issuer = certificate.subject
        identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key())
        builder = builder.add_extension(identifier, critical=False)
    return builder.issuer_name(issuer).sign(signer, SHA256()).public_bytes(Encoding.PEM)


@discreet
def _authority(plan: Plan, authority: Authority) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    """Certificate and private key of the authority.

    Raises:
        CertificateError: they do not belong together.
    """
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    path = plan.path(authority.certificate, "")
    certificate = x509.load_der_x509_certificate(load(read_bytes(path, "the authority's certificate")).der)
    scalar = load_private_key(plan.path(authority.key, ""), plan.password(authority.password))
    key = ec.derive_private_key(int.from_bytes(scalar, "big"), ec.SECP256R1())
    form = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    if certificate.public_key().public_bytes(*form) != key.public_key().public_bytes(*form):
        raise CertificateError(f"{path} is not the certificate of the authority's key")
    return certificate, key


@discreet
def _check(plan: Plan, certificate: bytes, name: str, scalar: bytes, now: float) -> None:
    """The certificate is of this key, valid now, and signed by whom the plan says."""
    loaded = load(certificate)
    if loaded.point != public_half(scalar):
        raise CertificateError(
            f"{name} is the certificate of another key than the plan's",
            hint="name the key that belongs to it, or move the certificate away to have a new one made",
        )
    if not loaded.not_before <= now <= loaded.not_after:
        raise CertificateError(f"{name} is not valid now: {' to '.join(loaded.validity)}")
    authority = plan.certificate.authority
    issuer = loaded
    if authority is not None:
        issuer = load(read_bytes(plan.path(authority.certificate, ""), "the authority's certificate"))
    loaded.verify_signed_by(issuer)


@discreet
def _write(path: Path, content: bytes, mode: int) -> None:
    """Write a new file completely or not at all; one that is there is never touched.

    Raises:
        ConfigError: it is there by now, or cannot be written.
    """
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.link(draft, path)  # unlike a rename, this does not replace what is there
        finally:
            draft.unlink()
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except FileExistsError as error:
        raise ConfigError(f"{path} is there already", hint="another process makes keys; run again") from error
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror or error}") from error
