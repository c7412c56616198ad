"""A certificate, read tolerantly: what OpenSSL parses can be judged here.

General-purpose parsers refuse some genuine Microchip certificates as a whole (an underscore in a
PrintableString of the subject alternative name). Here each field is read by itself when it is
asked for: an odd extension costs that extension's verdict and nothing else.

Source: RFC 5280 section 4.
"""

from __future__ import annotations

import base64
import binascii
import calendar
import hashlib
import re
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA1, SHA256, SHA384, SHA512, HashAlgorithm
from cryptography.hazmat.primitives.serialization import load_der_public_key

from hil.element.certificates import asn1
from hil.element.certificates.names import Name, parse_name
from hil.errors import CertificateError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes

__all__ = ["BasicConstraints", "Certificate", "Extension", "key_identifier", "load", "load_all", "pem"]

SUBJECT_KEY_ID, KEY_USAGE, SUBJECT_ALT_NAME = "2.5.29.14", "2.5.29.15", "2.5.29.17"
BASIC_CONSTRAINTS, AUTHORITY_KEY_ID, EXTENDED_KEY_USAGE = "2.5.29.19", "2.5.29.35", "2.5.29.37"

_HASHES: dict[str, type[HashAlgorithm]] = {
    "1.2.840.10045.4.1": SHA1,
    "1.2.840.10045.4.3.2": SHA256,
    "1.2.840.10045.4.3.3": SHA384,
    "1.2.840.10045.4.3.4": SHA512,
    "1.2.840.113549.1.1.5": SHA1,
    "1.2.840.113549.1.1.11": SHA256,
    "1.2.840.113549.1.1.12": SHA384,
    "1.2.840.113549.1.1.13": SHA512,
}
_GENERAL_NAMES = frozenset((0xA0, 0x81, 0x82, 0xA3, 0xA4, 0xA5, 0x86, 0x87, 0x88))
_DIRECTORY_NAME = 0xA4
_TIME = {asn1.UTC_TIME: (re.compile(r"\d{12}Z"), 2), asn1.GENERALIZED_TIME: (re.compile(r"\d{14}Z"), 4)}
_PEM = re.compile(rb"-----BEGIN ((?:X509 |TRUSTED )?CERTIFICATE)-----(.*?)-----END \1-----", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Extension:
    """One extension: type, critical flag, and the bytes of its value."""

    oid: str
    critical: bool
    value: bytes


@dataclass(frozen=True, slots=True)
class BasicConstraints:
    """Whether the subject is a CA, and how many CAs may follow below it."""

    ca: bool
    path_length: int | None


@dataclass(frozen=True)
class Certificate:
    """A certificate as DER bytes; properties raise ``CertificateError`` for what cannot be read.

    Args:
        der: the bytes; their outermost structure has been checked by :func:`load`.
    """

    der: bytes

    @cached_property
    def _outer(self) -> list[asn1.Node]:
        parts = asn1.parse(self.der).expect(asn1.SEQUENCE, "certificate").children()
        if len(parts) != 3:
            raise CertificateError(f"a certificate has 3 parts, this has {len(parts)}")
        return parts

    @cached_property
    def _fields(self) -> list[asn1.Node]:
        """Body without version: serial, algorithm, issuer, validity, subject, key, optional rest."""
        fields = self._outer[0].expect(asn1.SEQUENCE, "certificate body").children()
        if fields and fields[0].tag == 0xA0:
            fields = fields[1:]
        if len(fields) < 6:
            raise CertificateError(f"a certificate body has at least 6 fields, this has {len(fields)}")
        return fields

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the DER bytes, lower-case hex."""
        return hashlib.sha256(self.der).hexdigest()

    @property
    def body(self) -> bytes:
        """What is signed (tbsCertificate)."""
        return self._outer[0].raw

    @property
    def version(self) -> int:
        """1, 2 or 3."""
        first = self._outer[0].children()[0]
        if first.tag != 0xA0:
            return 1
        inside = first.children()
        if len(inside) != 1:
            raise CertificateError("the version field is malformed")
        return inside[0].integer() + 1

    @property
    def serial(self) -> bytes:
        """Content of the serial number as encoded."""
        return self._fields[0].expect(asn1.INTEGER, "serial number").content

    @cached_property
    def issuer(self) -> Name:
        """Who signed it."""
        return parse_name(self._fields[2].raw)

    @cached_property
    def subject(self) -> Name:
        """Whom it is about."""
        return parse_name(self._fields[4].raw)

    @property
    def validity(self) -> tuple[str, str]:
        """The two dates as text, ``YYYYMMDDHHMMSSZ``.

        Raises:
            CertificateError: not in the form of RFC 5280.
        """
        dates = self._fields[3].expect(asn1.SEQUENCE, "validity").children()
        if len(dates) != 2:
            raise CertificateError(f"the validity has {len(dates)} dates")
        return _date(dates[0], "not before"), _date(dates[1], "not after")

    @property
    def not_before(self) -> int:
        """First second of validity, since 1970-01-01T00:00:00Z."""
        return _seconds(self.validity[0])

    @property
    def not_after(self) -> int:
        """Last second of validity, since 1970-01-01T00:00:00Z."""
        return _seconds(self.validity[1])

    @cached_property
    def key(self) -> PublicKeyTypes:
        """The subject's public key."""
        try:
            return load_der_public_key(self._fields[5].raw)
        except (ValueError, UnsupportedAlgorithm) as error:
            raise CertificateError(f"the public key cannot be read: {error}") from error

    @property
    def point(self) -> bytes:
        """The subject's P-256 key as ``X ‖ Y``, 64 bytes.

        Raises:
            CertificateError: another kind of key.
        """
        key = self.key
        if not isinstance(key, ec.EllipticCurvePublicKey) or key.curve.name != "secp256r1":
            raise CertificateError("the public key is not on P-256")
        numbers = key.public_numbers()
        return numbers.x.to_bytes(32, "big") + numbers.y.to_bytes(32, "big")

    @property
    def key_bits(self) -> bytes:
        """The public key's bit string, which key identifiers are hashed from."""
        parts = self._fields[5].expect(asn1.SEQUENCE, "public key").children()
        if len(parts) != 2:
            raise CertificateError("the public key field is malformed")
        return parts[1].bits()

    @property
    def signature(self) -> bytes:
        """The signature's bytes."""
        return self._outer[2].bits()

    @cached_property
    def extensions(self) -> tuple[Extension, ...]:
        """All extensions, none of them interpreted."""
        for field in self._fields[6:]:
            if field.tag == 0xA3:
                inside = field.children()
                if len(inside) != 1:
                    raise CertificateError("the extensions field is malformed")
                return tuple(map(_extension, inside[0].expect(asn1.SEQUENCE, "extensions").children()))
        return ()

    def extension(self, oid: str) -> Extension | None:
        """The extension of a type, or None.

        Raises:
            CertificateError: it is there twice.
        """
        found = [e for e in self.extensions if e.oid == oid]
        if len(found) > 1:
            raise CertificateError(f"the extension {oid} is there {len(found)} times")
        return found[0] if found else None

    @property
    def basic_constraints(self) -> BasicConstraints | None:
        """The basic constraints, or None if the certificate has none."""
        extension = self.extension(BASIC_CONSTRAINTS)
        if extension is None:
            return None
        fields = asn1.parse(extension.value).expect(asn1.SEQUENCE, "basic constraints").children()
        ca = bool(fields) and fields[0].tag == asn1.BOOLEAN and fields[0].boolean()
        rest = fields[1:] if fields and fields[0].tag == asn1.BOOLEAN else fields
        if len(rest) > 1:
            raise CertificateError("the basic constraints are malformed")
        length = rest[0].integer() if rest else None
        if length is not None and (length < 0 or not ca):
            raise CertificateError(
                f"a path length of {length} in the certificate of a {'CA' if ca else 'non-CA'}"
            )
        return BasicConstraints(ca, length)

    @property
    def key_usage(self) -> frozenset[int] | None:
        """Numbers of the bits that are set (0 digitalSignature … 5 keyCertSign); None if absent."""
        extension = self.extension(KEY_USAGE)
        if extension is None:
            return None
        content = asn1.parse(extension.value).expect(asn1.BIT_STRING, "key usage").content
        bits = "".join(f"{byte:08b}" for byte in content[1:])
        usage = frozenset(i for i, bit in enumerate(bits) if bit == "1")
        if not usage:
            raise CertificateError("the key usage allows nothing")
        return usage

    @property
    def subject_key_id(self) -> bytes | None:
        """The subject key identifier, or None if absent."""
        extension = self.extension(SUBJECT_KEY_ID)
        return (
            None
            if extension is None
            else asn1.parse(extension.value).expect(asn1.OCTET_STRING, "subject key identifier").content
        )

    @property
    def authority_key_id(self) -> bytes | None:
        """The key identifier in the authority key identifier, or None if absent."""
        extension = self.extension(AUTHORITY_KEY_ID)
        if extension is None:
            return None
        fields = asn1.parse(extension.value).expect(asn1.SEQUENCE, "authority key identifier").children()
        return next((f.content for f in fields if f.tag == 0x80), None)

    @property
    def authority_serial(self) -> bytes | None:
        """The serial number in the authority key identifier, or None if absent."""
        extension = self.extension(AUTHORITY_KEY_ID)
        if extension is None:
            return None
        fields = asn1.parse(extension.value).expect(asn1.SEQUENCE, "authority key identifier").children()
        return next((f.content for f in fields if f.tag == 0x82), None)

    def check_alternative_names(self) -> None:
        """Check the form of the subject alternative name, if there is one.

        Character sets are not policed: genuine device certificates have an underscore in a
        PrintableString.

        Raises:
            CertificateError: not a list of general names (RFC 5280 section 4.2.1.6).
        """
        extension = self.extension(SUBJECT_ALT_NAME)
        if extension is None:
            return
        for name in asn1.parse(extension.value).expect(asn1.SEQUENCE, "alternative names").children():
            if name.tag not in _GENERAL_NAMES:
                raise CertificateError(f"an alternative name has the unknown form 0x{name.tag:02x}")
            if name.tag == _DIRECTORY_NAME:
                parse_name(name.content)

    def check_extended_key_usage(self) -> None:
        """Check the form of the extended key usage, if there is one.

        Raises:
            CertificateError: not a list of object identifiers.
        """
        extension = self.extension(EXTENDED_KEY_USAGE)
        if extension is not None:
            for purpose in asn1.parse(extension.value).expect(asn1.SEQUENCE, "extended key usage").children():
                purpose.oid()

    def verify_signed_by(self, issuer: Certificate) -> None:
        """Check the signature under the issuer's key.

        Raises:
            CertificateError: it does not verify; the message says why.
        """
        algorithm = self._fields[1].expect(asn1.SEQUENCE, "signature algorithm")
        if algorithm.raw != self._outer[1].raw:
            raise CertificateError("the signed and the outer signature algorithm differ")
        name = algorithm.children()[0].oid() if algorithm.content else ""
        key, signature = issuer.key, self.signature
        try:
            if isinstance(key, (ed25519.Ed25519PublicKey, ed448.Ed448PublicKey)):
                key.verify(signature, self.body)
            elif name not in _HASHES:
                raise CertificateError(f"the signature algorithm {name} is not supported")
            elif isinstance(key, ec.EllipticCurvePublicKey) and name.startswith("1.2.840.10045."):
                key.verify(signature, self.body, ec.ECDSA(_HASHES[name]()))
            elif isinstance(key, rsa.RSAPublicKey) and name.startswith("1.2.840.113549."):
                key.verify(signature, self.body, padding.PKCS1v15(), _HASHES[name]())
            else:
                raise CertificateError(f"the signature algorithm {name} does not fit the issuer's key")
        except InvalidSignature as error:
            raise CertificateError("the signature does not verify under the issuer's key") from error


def _date(node: asn1.Node, what: str) -> str:
    pattern, digits = _TIME.get(node.tag, (None, 0))
    text = node.content.decode("latin-1")
    if pattern is None or not pattern.fullmatch(text):
        raise CertificateError(f"{what}: {text!r} is no date of a certificate")
    if digits == 2:
        text = ("19" if int(text[:2]) >= 50 else "20") + text
    _seconds(text)
    return text


def _seconds(text: str) -> int:
    year, month, day, hour, minute, second = (int(text[a:b]) for a, b in _SPLIT)
    fits = 1 <= month <= 12 and hour < 24 and minute < 60 and second < 60
    if not (fits and year >= 1 and 1 <= day <= calendar.monthrange(year, month)[1]):
        raise CertificateError(f"{text} is no date of the calendar")
    return calendar.timegm((year, month, day, hour, minute, second))


_SPLIT = ((0, 4), (4, 6), (6, 8), (8, 10), (10, 12), (12, 14))


def _extension(node: asn1.Node) -> Extension:
    parts = node.expect(asn1.SEQUENCE, "extension").children()
    if len(parts) == 3:
        critical = parts[1].boolean()
    elif len(parts) == 2:
        critical = False
    else:
        raise CertificateError(f"an extension has {len(parts)} parts")
    return Extension(parts[0].oid(), critical, parts[-1].expect(asn1.OCTET_STRING, "extension value").content)


def key_identifier(key_bits: bytes) -> bytes:
    """SHA-1 over a public key's bit string (RFC 5280 section 4.2.1.2, first method), 20 bytes."""
    return hashlib.sha1(key_bits, usedforsecurity=False).digest()


def load(data: bytes) -> Certificate:
    """The first certificate of a PEM text, or a DER certificate.

    Raises:
        CertificateError: neither.
    """
    return load_all(data)[0]


def load_all(data: bytes) -> list[Certificate]:
    """All certificates of a PEM text, or the one DER certificate.

    Raises:
        CertificateError: there is none, or one cannot be read.
    """
    if data[:1] == b"\x30":
        return [_checked(data)]
    blocks = [_unarmoured(body) for _, body in _PEM.findall(data)]
    if not blocks:
        raise CertificateError(
            "neither DER nor PEM: no certificate found", hint="is this a certificate file?"
        )
    return [_checked(block) for block in blocks]


def _unarmoured(body: bytes) -> bytes:
    try:
        return base64.b64decode(b"".join(body.split()), validate=True)
    except binascii.Error as error:
        raise CertificateError(f"a PEM block is not base64: {error}") from error


def _checked(data: bytes) -> Certificate:
    certificate = Certificate(bytes(data))
    _ = certificate._fields, certificate.serial
    return certificate


def pem(data: bytes, label: str = "CERTIFICATE") -> str:
    """PEM text of DER bytes, with a final newline."""
    text = base64.b64encode(data).decode()
    lines = [text[i : i + 64] for i in range(0, len(text), 64)]
    return "\n".join((f"-----BEGIN {label}-----", *lines, f"-----END {label}-----", ""))
