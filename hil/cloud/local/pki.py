"""The server certificates of the local endpoint: chains shaped like Amazon Trust Services'.

Like there, an EC chain (P-256 throughout, as Amazon Root CA 3) and an RSA chain (2048 bits, as
Amazon Root CA 1), each server ← intermediate ← root. Keys are made when a chain is first asked for
(RSA takes a fraction of a second). The names say that they are emulated. Besides the good chain there
are the bad ones that AWS IoT Device Advisor shows to a device.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Literal

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hil.clock import Calendar

__all__ = ["CHAIN_KINDS", "ChainKind", "ServerChain", "ServerPki", "Variant"]

ChainKind = Literal["ec", "rsa"]
Variant = Literal["good", "expired", "not-yet-valid", "wrong-name", "unknown-ca", "oversized"]
PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey

_YEAR = timedelta(days=365)
CHAIN_KINDS: tuple[ChainKind, ...] = ("ec", "rsa")

_COMMON_NAMES = {
    "ec": ("Emulated Root CA 3", "Emulated ECDSA 256 M01"),
    "rsa": ("Emulated Root CA 1", "Emulated RSA 2048 M01"),
}
_WRONG_NAME = "wrong-name.invalid"
_SERIAL_TOP = 1 << 158
"""Every serial number takes 20 bytes, so that a chain has the same length in every run."""
_FILLER_NAMES = 220
"""Alternative names that bring the oversized certificate to about 12 kB."""


@dataclass(frozen=True)
class ServerChain:
    """What a server shows, and its key.

    Attributes:
        kind: ``"ec"`` or ``"rsa"``.
        key: the server's private key.
        certificates: the server's certificate, then the intermediate if there is one.
        root: the authority that ends the chain; not sent.
    """

    kind: ChainKind
    key: PrivateKey
    certificates: tuple[x509.Certificate, ...]
    root: x509.Certificate

    def pem(self) -> bytes:
        """The certificates as sent, in PEM."""
        return b"".join(one.public_bytes(Encoding.PEM) for one in self.certificates)

    def key_pem(self) -> bytes:
        """The private key in PEM (PKCS #8, not encrypted), for programs that read files."""
        return self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


@dataclass(frozen=True)
class _Authority:
    certificate: x509.Certificate
    key: PrivateKey


class ServerPki:
    """Authorities and server certificates of one endpoint.

    Args:
        host: the endpoint's name; the certificates are for it.
        calendar: today; the certificates are valid around it.
        names: further DNS names and IP addresses, for outside programs on loopback.
        intermediate: False for a root that signs the server's certificate itself.
    """

    def __init__(
        self, host: str, calendar: Calendar, *, names: Sequence[str] = (), intermediate: bool = True
    ) -> None:
        self.host = host
        self._names = tuple(names)
        self._intermediate = intermediate
        self._today = datetime.fromtimestamp(int(calendar.time()), UTC)
        self._roots: dict[tuple[str, bool], _Authority] = {}
        self._authorities: dict[tuple[str, bool], list[_Authority]] = {}
        self._chains: dict[tuple[str, str], ServerChain] = {}

    def chain(self, kind: ChainKind = "ec", variant: Variant = "good") -> ServerChain:
        """The chain of this kind; ``variant`` names what is wrong with it."""
        if (kind, variant) not in self._chains:
            self._chains[kind, variant] = self._make(kind, variant)
        return self._chains[kind, variant]

    def root(self, kind: ChainKind = "ec") -> x509.Certificate:
        """The root that a device must trust for chains of this kind."""
        return self._root(kind, trusted=True).certificate

    def _make(self, kind: ChainKind, variant: Variant) -> ServerChain:
        authorities = self._authority(kind, trusted=variant != "unknown-ca")
        key = _new_key(kind)
        start, end = self._validity(variant)
        host = _WRONG_NAME if variant == "wrong-name" else self.host
        names = [host] if variant == "wrong-name" else [host, *self._names]
        if variant == "oversized":
            names += [
                f"alternative-name-{number:03}.of-a-large-certificate.invalid"
                for number in range(_FILLER_NAMES)
            ]
        issuer = authorities[-1]
        builder = (
            _builder(host[:64], key, issuer, start, end)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(digital_signature=True, key_encipherment=kind == "rsa"), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .add_extension(x509.SubjectAlternativeName([_general_name(one) for one in names]), critical=False)
        )
        leaf = builder.sign(issuer.key, SHA256())
        sent = (leaf, *(one.certificate for one in reversed(authorities[1:])))
        return ServerChain(kind, key, sent, authorities[0].certificate)

    def _validity(self, variant: Variant) -> tuple[datetime, datetime]:
        day = timedelta(days=1)
        if variant == "expired":
            return self._today - 400 * day, self._today - day
        if variant == "not-yet-valid":
            return self._today + day, self._today + 396 * day
        return self._today - day, self._today + 395 * day

    def _root(self, kind: ChainKind, *, trusted: bool) -> _Authority:
        """The root of this kind; made without the rest, because RSA keys take long and often nobody asks."""
        if (kind, trusted) not in self._roots:
            name = _COMMON_NAMES[kind][0]
            self._roots[kind, trusted] = self._new_authority(
                kind, name if trusted else f"Unknown {name}", None, self._today + 15 * _YEAR
            )
        return self._roots[kind, trusted]

    def _authority(self, kind: ChainKind, *, trusted: bool) -> list[_Authority]:
        """The root and the intermediate (if there is one) of this kind."""
        if (kind, trusted) not in self._authorities:
            root = self._root(kind, trusted=trusted)
            made = [root]
            if self._intermediate:
                name = _COMMON_NAMES[kind][1]
                made.append(
                    self._new_authority(
                        kind, name if trusted else f"Unknown {name}", root, self._today + 7 * _YEAR
                    )
                )
            self._authorities[kind, trusted] = made
        return self._authorities[kind, trusted]

    def _new_authority(
        self, kind: ChainKind, name: str, issuer: _Authority | None, end: datetime
    ) -> _Authority:
        key = _new_key(kind)
        start = self._today - timedelta(days=365)
        builder = (
            _builder(name, key, issuer, start, end)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0 if issuer else None), critical=True)
            .add_extension(_usage(digital_signature=True, sign_certificates=True), critical=True)
        )
        return _Authority(builder.sign(issuer.key if issuer else key, SHA256()), key)


def _new_key(kind: ChainKind) -> PrivateKey:
    if kind == "ec":
        return ec.generate_private_key(ec.SECP256R1())
    return rsa.generate_private_key(65_537, 2048)


def _builder(
    common_name: str, key: PrivateKey, issuer: _Authority | None, start: datetime, end: datetime
) -> x509.CertificateBuilder:
    """Names, serial number, validity and key identifiers; ``issuer`` None for a root."""
    public = key.public_key()
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.COUNTRY_NAME, "US"),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Emulated Trust Services"),
            x509.NameAttribute(NameOID.COMMON_NAME, common_name),
        ]
    )
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.certificate.subject if issuer else subject)
        .public_key(public)
        .serial_number(x509.random_serial_number() | _SERIAL_TOP)
        .not_valid_before(start)
        .not_valid_after(end)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
    )
    if issuer is None:
        return builder
    identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.key.public_key())
    return builder.add_extension(identifier, critical=False)


def _usage(
    *, digital_signature: bool, key_encipherment: bool = False, sign_certificates: bool = False
) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=digital_signature,
        content_commitment=False,
        key_encipherment=key_encipherment,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=sign_certificates,
        crl_sign=sign_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)
