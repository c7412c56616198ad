"""Manifests of secure elements, versions 1 to 3: read, judge, write.

A manifest is a JSON array (or one object, as the EduKit tool writes) of signed entries. An entry is
a JSON Web Signature with divided fields: ``header`` (unprotected), ``protected``, ``payload``,
``signature``. The payload describes one element: its serial number, its public keys and, beside
the key of slot 0, its certificate and its signer's.

Version 1 has everything, 2 has no keys, 3 has no encrypted secrets. The text of version 1 spells
``distributer``, everybody else ``distributor``; both are read.

Sources: Microchip, "Secure Element Manifest Format"; RFC 7515 (JWS), RFC 7517 (JWK); the files that
``esp-cryptoauth-utility`` writes.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from hil.element.certificates.certificate import Certificate, key_identifier, load
from hil.errors import CertificateError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from hil.element.certificates.trustgo import TrustChain
    from hil.tls.key import SigningKey

__all__ = [
    "ElementRecord",
    "Entry",
    "Jwk",
    "KeySet",
    "Organization",
    "element_record",
    "encode_manifest",
    "read_manifest",
    "sign_entry",
]

T = TypeVar("T")


class Organization(msgspec.Struct, frozen=True, rename="camel"):
    """A company and its division."""

    organization_name: str = ""
    organizational_unit_name: str = ""


class Jwk(msgspec.Struct, frozen=True, omit_defaults=True):
    """One key; ``kid`` is its slot, ``x5c`` certificates in standard base64 of DER."""

    kid: str
    kty: str = ""
    crv: str = ""
    x: str = ""
    y: str = ""
    x5c: list[str] = []

    def point(self) -> bytes:
        """``X ‖ Y``, 64 bytes.

        Raises:
            CertificateError: not a P-256 key.
        """
        halves = [_unbase64url(half, f"key {self.kid}") for half in (self.x, self.y)]
        if (self.kty, self.crv) != ("EC", "P-256") or any(len(half) != 32 for half in halves):
            raise CertificateError(f"key {self.kid} is no P-256 key")
        return b"".join(halves)

    def certificates(self) -> list[Certificate]:
        """The certificates beside the key, leaf first.

        Raises:
            CertificateError: not base64, or not certificates.
        """
        return [load(_unbase64(text)) for text in self.x5c]


class KeySet(msgspec.Struct, frozen=True):
    """Public keys of an element."""

    keys: list[Jwk] = []


class ElementRecord(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """The payload of an entry. Fields that are not known are ignored."""

    unique_id: str
    version: int = 1
    model: str = ""
    part_number: str = ""
    manufacturer: Organization = Organization()
    provisioner: Organization = Organization()
    distributor: Organization = Organization()
    group_id: str = ""
    provisioning_timestamp: str = ""
    public_key_set: KeySet | None = None
    encrypted_secret_key_set: dict[str, Any] | None = None
    model_info: dict[str, Any] | None = None

    def key(self, slot: int) -> Jwk | None:
        """The public key of a slot, or None."""
        keys = [] if self.public_key_set is None else self.public_key_set.keys
        return next((key for key in keys if key.kid == str(slot)), None)


class _Protected(msgspec.Struct, frozen=True):
    alg: str
    typ: str = ""
    kid: str = ""
    x5t: str = msgspec.field(default="", name="x5t#S256")
    crit: list[str] | None = None


class _Header(msgspec.Struct, frozen=True, rename="camel"):
    unique_id: str = ""


class _Jws(msgspec.Struct, frozen=True):
    payload: str
    protected: str
    signature: str
    header: _Header = _Header()


@dataclass(frozen=True)
class Entry:
    """One signed entry as it stands in the manifest; nothing in it is trusted yet.

    Attributes:
        signed: what the signature is over, ``protected.payload`` in ASCII.
        signature: ``R ‖ S``.
        algorithm, kid, x5t: from the protected header.
        header_id: serial number in the unprotected header.
        record: the payload.
    """

    signed: bytes
    signature: bytes
    algorithm: str
    kid: str
    x5t: str
    header_id: str
    record: ElementRecord


def read_manifest(data: bytes) -> Iterator[Entry | CertificateError]:
    """The entries one by one; in place of one that cannot be read, the reason.

    Raises:
        CertificateError: the file as a whole is no manifest.
    """
    try:
        if data.lstrip()[:1] == b"{":
            items = [msgspec.Raw(data)]
        else:
            items = msgspec.json.decode(data, type=list[msgspec.Raw])
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise CertificateError(
            f"not a manifest: {error}", hint="a manifest is a JSON array of objects"
        ) from error
    return _entries(items)


def _entries(items: list[msgspec.Raw]) -> Iterator[Entry | CertificateError]:
    for number, item in enumerate(items):
        try:
            yield _entry(bytes(item))
        except CertificateError as error:
            yield CertificateError(f"entry {number}: {error.message}")


def _entry(item: bytes) -> Entry:
    jws = _decoded(item, _Jws, "entry")
    protected = _decoded(_unbase64url(jws.protected, "protected header"), _Protected, "protected header")
    if protected.crit is not None:  # RFC 7515 section 4.1.11: what is critical must be understood
        raise CertificateError(f"the protected header has critical members: {protected.crit}")
    payload = _decoded(_unbase64url(jws.payload, "payload"), dict[str, Any], "payload")
    if "distributer" in payload:
        payload.setdefault("distributor", payload.pop("distributer"))
    try:
        record = msgspec.convert(payload, ElementRecord)
    except msgspec.ValidationError as error:
        raise CertificateError(f"payload: {error}") from error
    return Entry(
        f"{jws.protected}.{jws.payload}".encode("ascii"),
        _unbase64url(jws.signature, "signature"),
        protected.alg,
        protected.kid,
        protected.x5t,
        jws.header.unique_id,
        record,
    )


def _decoded(data: bytes, kind: type[T], what: str) -> T:
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise CertificateError(f"{what}: {error}") from error


# -- writing ------------------------------------------------------------------------------------


def element_record(
    serial: bytes,
    keys: Mapping[int, bytes],
    chain: TrustChain | None = None,
    *,
    version: int = 1,
    part_number: str = "ATECC608A-TNGTLS",
    model: str = "ATECC608A",
    distributor: str = "Microchip Direct",
    group_id: str = "",
) -> ElementRecord:
    """Describe an element; the defaults are what the EduKit tool writes, for every part.

    Args:
        serial: 9 bytes.
        keys: public key (64 bytes) by slot.
        chain: its certificates, put beside the key of slot 0; their issue date is the timestamp.
        version: 1, 2 (without keys) or 3.
        part_number: what was ordered.
        model: the part.
        distributor: name of its division.
        group_id: free.

    Raises:
        UsageError: an unknown version, or another length of serial number or key.
    """
    if version not in (1, 2, 3):
        raise UsageError(f"manifests have version 1, 2 or 3, not {version}")
    if len(serial) != 9 or any(len(key) != 64 for key in keys.values()):
        raise UsageError("a serial number has 9 bytes and a public key 64")
    microchip = "Microchip Technology Inc"
    x5c = [] if chain is None else [base64.b64encode(c).decode() for c in (chain.device, chain.signer)]
    key_set = KeySet(
        [
            Jwk(
                str(slot),
                "EC",
                "P-256",
                _base64url(key[:32]),
                _base64url(key[32:]),
                x5c if slot == 0 else [],
            )
            for slot, key in sorted(keys.items())
        ]
    )
    return ElementRecord(
        unique_id=serial.hex(),
        version=version,
        model=model,
        part_number=part_number,
        manufacturer=Organization(microchip, "Secure Products Group"),
        provisioner=Organization(microchip, "Secure Products Group"),
        distributor=Organization(microchip, distributor),
        group_id=group_id,
        provisioning_timestamp="" if chain is None else _timestamp(load(chain.device).not_before),
        public_key_set=None if version == 2 else key_set,
        encrypted_secret_key_set={"keys": []} if version == 1 else None,
    )


def sign_entry(record: ElementRecord, signer: bytes, key: SigningKey) -> dict[str, Any]:
    """One entry, signed; put it in a list and write that as JSON.

    Args:
        record: the payload.
        signer: certificate of ``key``, PEM or DER.
        key: signs.

    Raises:
        UsageError: the certificate is for another key.
    """
    certificate = load(signer)
    if certificate.point != key.public_key():
        raise UsageError("the manifest signer's certificate is for another key")
    protected = _base64url(
        json.dumps(
            {
                "typ": "JWT",
                "alg": "ES256",
                "kid": expected_kid(certificate),
                "x5t#S256": expected_x5t(certificate),
            }
        ).encode()
    )
    payload = _base64url(json.dumps(_version_first(record)).encode())
    signature = key.sign_digest(hashlib.sha256(f"{protected}.{payload}".encode()).digest())
    return {
        "payload": payload,
        "protected": protected,
        "header": {"uniqueId": record.unique_id},
        "signature": _base64url(signature),
    }


def encode_manifest(entries: list[dict[str, Any]]) -> bytes:
    """The file's content."""
    return json.dumps(entries, indent=2).encode() + b"\n"


def _version_first(record: ElementRecord) -> dict[str, Any]:
    """The payload with its version, which is written even where it is the default."""
    return {"version": record.version, **msgspec.to_builtins(record)}


def expected_kid(signer: Certificate) -> str:
    """The ``kid`` that names a signer: its subject key identifier."""
    return _base64url(signer.subject_key_id or key_identifier(signer.key_bits))


def expected_x5t(signer: Certificate) -> str:
    """The ``x5t#S256`` that names a signer: the hash of its certificate."""
    return _base64url(hashlib.sha256(signer.der).digest())


# -- base64 -------------------------------------------------------------------------------------


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _unbase64url(text: str, what: str) -> bytes:
    """Strictly: no padding, no foreign characters, the unused bits zero."""
    try:
        data = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as error:
        raise CertificateError(f"{what}: not base64url: {error}") from error
    if _base64url(data) != text:
        raise CertificateError(f"{what}: not canonical base64url")
    return data


def _unbase64(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise CertificateError(f"x5c: not base64: {error}") from error


def _timestamp(seconds: int) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.000Z"
