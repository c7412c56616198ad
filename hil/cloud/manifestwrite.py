"""A manifest's entry of a live element, and the key that signs it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Protocol

from hil.cloud.manifest import element_record
from hil.discretion import discreet
from hil.element.certificates.certificate import load, pem
from hil.element.certificates.selfsigned import self_signed
from hil.element.keyfiles import parse_private_key
from hil.errors import DeviceError, UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from hil.cloud.manifest import ElementRecord
    from hil.element.certificates.trustgo import TrustChain
    from hil.tls.key import SigningKey

__all__ = ["KeyReader", "live_record", "make_signer", "read_signer"]

TRUST_SLOTS = range(5)
"""Private keys of a Trust part: what the EduKit tool lists."""
SIGNER_NAME = "O=hil,CN=hil manifest signer"
SIGNER_DAYS = 3650


class KeyReader(Protocol):
    """What is asked about the element."""

    def slot_key(self, slot: int) -> bytes:
        """Its public key, 64 bytes."""
        ...


def live_record(
    reader: KeyReader,
    serial: bytes,
    *,
    part: str,
    address: int,
    chain: TrustChain | None,
    slots: tuple[int, ...],
    version: int = 1,
) -> ElementRecord:
    """Describe an element that is at hand.

    Args:
        reader: computes the public keys.
        serial: 9 bytes.
        part: e.g. ``atecc608b``; unlike in the EduKit tool the model is what it really is.
        address: 7-bit I2C address; 0x35 is Trust&GO, 0x36 TrustFLEX.
        chain: its delivered certificates, or None.
        slots: its private keys; those without a key yet are left out.
        version: of the format.

    Raises:
        DeviceError: no slot has a key.
    """
    keys = {}
    reason: DeviceError | None = None
    for slot in slots if chain is None else TRUST_SLOTS:
        try:
            keys[slot] = reader.slot_key(slot)
        except DeviceError as error:
            reason = error
    if not keys:
        raise DeviceError(f"the element has no key to list: {reason}") from reason
    product = {0x35: "-TNGTLS", 0x36: "-TFLXTLS"}.get(address, "")
    return element_record(
        serial,
        keys,
        chain,
        version=version,
        model=part.upper(),
        part_number=part.upper() + product,
        distributor="Microchip Direct" if chain is not None else "",
    )


def make_signer(key_file: Path, signer_file: Path, *, at: float) -> None:
    """A new P-256 key (readable by its owner only) and its self-signed certificate.

    Raises:
        UsageError: a file exists or cannot be written.
    """
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    from hil.tls.software import SoftwareKey

    private = ec.generate_private_key(ec.SECP256R1())
    secret = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    certificate = self_signed(SoftwareKey(private), SIGNER_NAME, at=at, days=SIGNER_DAYS)
    for path, content in ((key_file, secret), (signer_file, pem(certificate).encode())):
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except OSError as error:
            raise UsageError(f"{path} cannot be made: {error.strerror}") from error
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)


@discreet
def read_signer(key_file: Path, signer_file: Path) -> tuple[SigningKey, bytes]:
    """The key that signs and its certificate (DER).

    Raises:
        UsageError: a file cannot be read.
        ConfigError: the key is no P-256 private key.
        CertificateError: the certificate cannot be read.
    """
    from cryptography.hazmat.primitives.asymmetric import ec

    from hil.tls.software import SoftwareKey

    try:
        secret, certificate = key_file.read_bytes(), signer_file.read_bytes()
    except OSError as error:
        raise UsageError(f"{error.filename} cannot be read: {error.strerror}") from error
    scalar = int.from_bytes(parse_private_key(secret, str(key_file)), "big")
    return SoftwareKey(ec.derive_private_key(scalar, ec.SECP256R1())), load(certificate).der
