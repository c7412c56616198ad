"""The certificates of Microchip's Trust&GO and TrustFLEX parts, rebuilt from the element's slots.

The element holds two compressed certificates and the signer's public key; the device's key is
computed from slot 0; newer parts keep their EUI-48 in slot 5. The templates are assembled here,
field by field, after the certificates that Microchip publishes.

Sources: ATECC608A-TNGTLS data sheet DS40002112B tables 2-3 and following; Microchip's published
certificates in ``hil/rigs/trust``; template numbers and OTP codes after
``MicrochipTech/cryptoauthlib`` ``app/tng``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from hil.element.certificates import asn1
from hil.element.certificates.certificate import (
    AUTHORITY_KEY_ID,
    BASIC_CONSTRAINTS,
    KEY_USAGE,
    SUBJECT_ALT_NAME,
    SUBJECT_KEY_ID,
    load,
)
from hil.element.certificates.compressed import SIZE, Compressed, SerialSource, signature_der
from hil.element.certificates.templates import Template
from hil.errors import CertificateError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "DEVICE_TEMPLATES",
    "ORGANIZATION",
    "OTP_CODES",
    "SIGNER",
    "SIGNER_NAME",
    "TrustChain",
    "TrustData",
    "TrustElement",
    "names_element",
    "padded_key",
    "read_trust_data",
    "unpadded_key",
]

ORGANIZATION = "Microchip Technology Inc"
ROOT_NAME = "Crypto Authentication Root CA 002"
SIGNER_NAME = "Crypto Authentication Signer"

DEVICE_SLOT, SIGNER_KEY_SLOT, SIGNER_SLOT, EUI48_SLOT = 10, 11, 12, 5

OTP_CODES: Mapping[str, tuple[str, int]] = {
    "x6tjuZMy": ("TNGTLS", 3),
    "Rsuy5YJh": ("TNGTLS, older", 2),
    "wdNxAjae": ("TFLXTLS", 2),
    "KQp2ZkD8": ("608C-TFLXTLS", 3),
    "MKMwyhP1": ("TFLXTLS", 4),
}
"""First eight OTP characters of Trust parts: product and device template. The data sheet warns
that they may change, so reading goes by the template number of the compressed certificate."""

_SAMPLE_SERIAL = bytes.fromhex("012300000000000001")
_SAMPLE_KEY = bytes.fromhex(  # the base point of P-256: a valid key that is nobody's
    "6b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296"
    "4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5"
)
_ECDSA_SHA256 = asn1.sequence(asn1.oid("1.2.840.10045.4.3.2"))
_P256 = asn1.sequence(asn1.oid("1.2.840.10045.2.1"), asn1.oid("1.2.840.10045.3.1.7"))


def _name(common_name: str) -> bytes:
    pairs = (("2.5.4.10", ORGANIZATION), ("2.5.4.3", common_name))
    return asn1.sequence(
        *(
            asn1.tlv(asn1.SET, asn1.sequence(asn1.oid(kind), asn1.tlv(asn1.UTF8_STRING, text.encode())))
            for kind, text in pairs
        )
    )


def _extension(kind: str, value: bytes, *, critical: bool = False) -> bytes:
    flag = asn1.boolean(True) if critical else b""
    return asn1.sequence(asn1.oid(kind), flag, asn1.octet_string(value))


_IDENTIFIERS = (
    _extension(SUBJECT_KEY_ID, asn1.octet_string(bytes(20))),
    _extension(AUTHORITY_KEY_ID, asn1.sequence(asn1.context(0, bytes(20), constructed=False))),
)
_NO_CA = _extension(BASIC_CONSTRAINTS, asn1.sequence(), critical=True)
_DEVICE_USAGE = _extension(KEY_USAGE, asn1.bit_string(b"\x88", unused=3), critical=True)
_DEVICE_EXTENSIONS = (_NO_CA, _DEVICE_USAGE, *_IDENTIFIERS)
_SIGNER_EXTENSIONS = (
    _extension(KEY_USAGE, asn1.bit_string(b"\x86", unused=1), critical=True),
    _extension(BASIC_CONSTRAINTS, asn1.sequence(asn1.boolean(True), asn1.integer(0)), critical=True),
    *_IDENTIFIERS,
)
_EUI48_NAME = _extension(
    SUBJECT_ALT_NAME,
    asn1.sequence(
        asn1.context(
            4,
            asn1.sequence(
                asn1.tlv(
                    asn1.SET,
                    asn1.sequence(
                        asn1.oid("2.5.4.5"), asn1.tlv(asn1.PRINTABLE_STRING, b"eui48_000000000000")
                    ),
                )
            ),
        )
    ),
)


def _sample(subject: str, issuer: str, extensions: tuple[bytes, ...]) -> bytes:
    body = asn1.sequence(
        asn1.context(0, asn1.integer(2)),
        asn1.integer(0x40 << 120),
        _ECDSA_SHA256,
        _name(issuer),
        asn1.sequence(
            asn1.tlv(asn1.UTC_TIME, b"181108040000Z"), asn1.tlv(asn1.GENERALIZED_TIME, b"20491108040000Z")
        ),
        _name(subject),
        asn1.sequence(_P256, asn1.bit_string(b"\x04" + _SAMPLE_KEY)),
        asn1.context(3, asn1.sequence(*extensions)),
    )
    return asn1.sequence(body, _ECDSA_SHA256, asn1.bit_string(signature_der(bytes.fromhex("01" * 64))))


def _device(name: str, number: int, subject: str, extensions: tuple[bytes, ...]) -> Template:
    sample = _sample(subject.format(_SAMPLE_SERIAL.hex().upper()), f"{SIGNER_NAME} FFFF", extensions)
    return Template.from_certificate(sample, name=name, number=number, element_serial=_SAMPLE_SERIAL)


SIGNER = Template.from_certificate(
    _sample(f"{SIGNER_NAME} FFFF", ROOT_NAME, _SIGNER_EXTENSIONS),
    name="Crypto Authentication Signer",
    number=1,
    serial_source=SerialSource.KEY_HASH,
    signer=True,
)
"""Signers below Root CA 002."""

DEVICE_TEMPLATES: Mapping[int, Template] = {
    2: _device("Trust&GO device (CN = … ATECC)", 2, "{} ATECC", _DEVICE_EXTENSIONS),
    3: _device("Trust&GO device with EUI-48", 3, "sn{}", (_EUI48_NAME, *_DEVICE_EXTENSIONS)),
    4: _device("TrustFLEX device", 4, "sn{}", _DEVICE_EXTENSIONS),
}
"""Device templates by the number in byte 69 of the compressed certificate."""


def names_element(certificate: bytes, serial: bytes) -> bool:
    """Whether a device certificate (PEM or DER) is for the element with this serial number, 9 bytes.

    Its common name is ``sn`` and the serial number in hex, or on older parts that and `` ATECC``.
    """
    name = load(certificate).subject.get("CN") or ""
    return name.removeprefix("sn").removesuffix(" ATECC").lower() == serial.hex()


class TrustElement(Protocol):
    """What reading needs of the element's driver."""

    def serial_number(self) -> bytes:
        """9 bytes."""
        ...

    def public_key(self, slot: int) -> bytes:
        """64 bytes, computed from the private key."""
        ...

    def read_slot(self, slot: int) -> bytes:
        """The whole slot, read in the clear."""
        ...


@dataclass(frozen=True, slots=True)
class TrustData:
    """What the element holds for its certificates.

    Attributes:
        element_serial: 9 bytes.
        device_key: key of slot 0, 64 bytes.
        device: compressed certificate, slot 10.
        signer_key: the signer's key, slot 11, 64 bytes.
        signer: compressed certificate, slot 12.
        eui48: 12 hex digits of slot 5; None where the device template has none.
    """

    element_serial: bytes
    device_key: bytes
    device: Compressed
    signer_key: bytes
    signer: Compressed
    eui48: str | None = None

    def rebuild(self, root: bytes) -> TrustChain:
        """Both certificates, under ``root`` (PEM or DER).

        The root's key and name enter the signer's certificate, so a wrong root shows as a
        signature that does not verify.

        Raises:
            CertificateError: an unknown template.
        """
        anchor = load(root)
        template = DEVICE_TEMPLATES.get(self.device.template)
        if template is None:
            raise CertificateError(
                f"device template {self.device.template} is not known",
                hint="make a template of a sample certificate: Template.from_certificate",
            )
        device = template.rebuild(
            self.device,
            public_key=self.device_key,
            authority_key=self.signer_key,
            element_serial=self.element_serial,
            eui48=self.eui48,
        )
        signer = SIGNER.rebuild(
            self.signer, public_key=self.signer_key, authority_key=anchor.point, issuer=anchor.subject.raw
        )
        return TrustChain(device, signer, anchor.der)


@dataclass(frozen=True, slots=True)
class TrustChain:
    """Three certificates, DER."""

    device: bytes
    signer: bytes
    root: bytes


def read_trust_data(element: TrustElement) -> TrustData:
    """Read slots 0 (its public key), 10, 11, 12 and, if the template asks for it, 5.

    Raises:
        CertificateError: a slot does not hold what a Trust part has there.
        DeviceError: the element did not answer.
    """
    device = _compressed(element, DEVICE_SLOT)
    eui48 = None
    if device.template == 3:
        eui48 = element.read_slot(EUI48_SLOT)[:12].decode("latin-1")
        if not re.fullmatch("[0-9A-Fa-f]{12}", eui48):
            raise CertificateError(f"slot {EUI48_SLOT} holds no EUI-48: {eui48!r}")
    return TrustData(
        element.serial_number(),
        element.public_key(0),
        device,
        unpadded_key(element.read_slot(SIGNER_KEY_SLOT)),
        _compressed(element, SIGNER_SLOT),
        eui48,
    )


def _compressed(element: TrustElement, slot: int) -> Compressed:
    try:
        return Compressed.decode(element.read_slot(slot)[:SIZE])
    except CertificateError as error:
        raise CertificateError(f"slot {slot}: {error.message}", hint=error.hint) from error


def padded_key(public_key: bytes) -> bytes:
    """A public key as slots 8 to 15 store it: four zero bytes before X and before Y, 72 bytes."""
    return bytes(4) + public_key[:32] + bytes(4) + public_key[32:]


def unpadded_key(stored: bytes) -> bytes:
    """``X ‖ Y`` of a stored public key; the validity nibble in the first byte is ignored.

    Raises:
        CertificateError: too short.
    """
    if len(stored) < 72:
        raise CertificateError(f"a stored public key has 72 bytes, not {len(stored)}")
    return stored[4:36] + stored[40:72]
