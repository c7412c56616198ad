"""Distinguished names, printed as the ``openssl`` program prints them.

``openssl x509 -issuer -noout`` (OpenSSL 1.1 to 3.1; with ``-nameopt oneline`` every version)
prints ``O = Microchip Technology Inc, CN = Crypto Authentication Signer 2A00``. Scripts compare
that text, so :func:`Name.__str__` gives it to the character, escapes included.

Sources: OpenSSL, ``crypto/asn1/a_strex.c`` and the manual page openssl-namedisplay-options(1);
RFC 5280 section 4.1.2.4.
"""

from __future__ import annotations

from dataclasses import dataclass

from hil.element.certificates import asn1
from hil.errors import CertificateError

__all__ = ["SHORT_NAMES", "Attribute", "Name", "parse_name"]

SHORT_NAMES = {
    "2.5.4.3": "CN",
    "2.5.4.4": "SN",
    "2.5.4.5": "serialNumber",
    "2.5.4.6": "C",
    "2.5.4.7": "L",
    "2.5.4.8": "ST",
    "2.5.4.9": "street",
    "2.5.4.10": "O",
    "2.5.4.11": "OU",
    "2.5.4.12": "title",
    "2.5.4.13": "description",
    "2.5.4.15": "businessCategory",
    "2.5.4.17": "postalCode",
    "2.5.4.41": "name",
    "2.5.4.42": "GN",
    "2.5.4.43": "initials",
    "2.5.4.44": "generationQualifier",
    "2.5.4.46": "dnQualifier",
    "2.5.4.65": "pseudonym",
    "2.5.4.97": "organizationIdentifier",
    "0.9.2342.19200300.100.1.1": "UID",
    "0.9.2342.19200300.100.1.25": "DC",
    "1.2.840.113549.1.9.1": "emailAddress",
}
"""OpenSSL's short names; an attribute that is not listed prints as its dotted number."""

_CODECS = {
    0x0C: "utf-8",
    0x12: "latin-1",
    0x13: "latin-1",
    0x14: "latin-1",
    0x16: "latin-1",
    0x1C: "utf-32-be",
    0x1E: "utf-16-be",
}
"""Text codec by string tag, as OpenSSL reads them (it does not police character sets)."""

_NEEDS_QUOTES = frozenset(",+<>;")


@dataclass(frozen=True, slots=True)
class Attribute:
    """One attribute of a name.

    Attributes:
        oid: its type, dotted.
        value: its text; None when the value is no string.
        encoded: the value as it stands in the certificate.
    """

    oid: str
    value: str | None
    encoded: bytes

    def __str__(self) -> str:
        text = "#" + self.encoded.hex().upper() if self.value is None else _escaped(self.value)
        return f"{SHORT_NAMES.get(self.oid, self.oid)} = {text}"


@dataclass(frozen=True, slots=True)
class Name:
    """A distinguished name.

    Attributes:
        rdns: relative names in the order of the certificate, each of one or more attributes.
        raw: the DER bytes.
    """

    rdns: tuple[tuple[Attribute, ...], ...]
    raw: bytes

    def __str__(self) -> str:
        return ", ".join(" + ".join(map(str, rdn)) for rdn in self.rdns)

    def get(self, short: str) -> str | None:
        """Text of the last attribute called ``short``, e.g. ``CN``; None if there is none."""
        values = [a.value for rdn in self.rdns for a in rdn if SHORT_NAMES.get(a.oid, a.oid) == short]
        return values[-1] if values else None


def parse_name(raw: bytes) -> Name:
    """Read a name from its DER bytes.

    Raises:
        CertificateError: not a distinguished name.
    """
    node = asn1.parse(raw).expect(asn1.SEQUENCE, "name")
    return Name(tuple(_rdn(child) for child in node.children()), node.raw)


def _rdn(node: asn1.Node) -> tuple[Attribute, ...]:
    attributes = []
    for member in node.expect(asn1.SET, "relative name").children():
        parts = member.expect(asn1.SEQUENCE, "attribute").children()
        if len(parts) != 2:
            raise CertificateError(f"an attribute of a name has {len(parts)} parts")
        attributes.append(Attribute(parts[0].oid(), _text(parts[1]), parts[1].raw))
    return tuple(attributes)


def _text(node: asn1.Node) -> str | None:
    codec = _CODECS.get(node.tag)
    if codec is None:
        if node.tag not in (asn1.BIT_STRING, asn1.SEQUENCE):
            raise CertificateError(f"a name holds a value of tag 0x{node.tag:02x}, which is no text")
        return None
    try:
        return node.content.decode(codec)
    except UnicodeDecodeError as error:
        raise CertificateError(f"a name holds text that is not {codec}: {node.content.hex()}") from error


def _escaped(text: str) -> str:
    # A lone "#" is the last character to OpenSSL, not the first, and stays bare.
    first = len(text) > 1 and text[0] in "# "
    quoted = first or text.endswith(" ") or any(char in _NEEDS_QUOTES for char in text)
    body = "".join(_escape_one(char) for char in text)
    return f'"{body}"' if quoted else body


def _escape_one(char: str) -> str:
    if char in '"\\':
        return "\\" + char
    if ord(char) < 0x20 or ord(char) >= 0x7F:
        return "".join(f"\\{byte:02X}" for byte in char.encode())
    return char
