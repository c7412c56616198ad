"""Templates: what a compressed certificate leaves out, and where the rest of it goes.

A template is a whole certificate plus the places in it that differ from part to part. It is made
from a sample certificate (:meth:`Template.from_certificate`); the templates of Microchip's Trust
parts are samples that this module assembles itself. Rebuilding overwrites the places and corrects
every enclosing DER length, so device and signer certificates come out byte for byte.

Sources: "ATECC Compressed Certificate Definition" (Microchip); the shapes of the Trust&GO and
TrustFLEX certificates as read from Microchip's published ones (``hil/rigs/trust``) and, for the
older Trust&GO form, from ``MicrochipTech/cryptoauthlib`` ``app/tng`` (its field order is taken to
be that of the newer form).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from hil.element.certificates import asn1
from hil.element.certificates.certificate import (
    AUTHORITY_KEY_ID,
    SUBJECT_ALT_NAME,
    SUBJECT_KEY_ID,
    Certificate,
    key_identifier,
    load,
)
from hil.element.certificates.compressed import (
    Compressed,
    Dates,
    SerialSource,
    raw_signature,
    serial_number,
    signature_der,
)
from hil.errors import CertificateError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Field", "Place", "Template"]

_ISSUER, _VALIDITY, _SUBJECT, _EXTENSIONS = (0, 3), (0, 4), (0, 5), (0, 7, 0)
_EUI48 = re.compile(rb"eui48_([0-9A-Fa-f]{12})")


class Field(StrEnum):
    """What differs from part to part."""

    SERIAL = "serial number"
    ISSUED = "issue date"
    EXPIRES = "expiry date"
    SIGNER_ID = "signer id"
    DEVICE_SERIAL = "element serial number"
    PUBLIC_KEY = "public key"
    SUBJECT_KEY_ID = "subject key identifier"
    AUTHORITY_KEY_ID = "authority key identifier"
    EUI48 = "EUI-48"


@dataclass(frozen=True, slots=True)
class Place:
    """Bytes ``start`` to ``stop`` of the content of the element at ``path``."""

    path: asn1.Path
    start: int
    stop: int


@dataclass(frozen=True)
class Template:
    """One certificate definition.

    Attributes:
        name: what reports call it.
        number: template number in byte 69 of the compressed certificate.
        chain: chain number there.
        serial_source: how serial numbers are made.
        signer: whether it is a signer's (its id stands in the subject) or a device's (in the issuer).
        sample: the certificate that is overwritten.
        places: where each field stands.
    """

    name: str
    number: int
    serial_source: SerialSource
    signer: bool
    sample: bytes
    places: Mapping[Field, Place] = field(repr=False)
    chain: int = 0

    @classmethod
    def from_certificate(
        cls,
        sample: bytes,
        *,
        name: str,
        number: int,
        serial_source: SerialSource = SerialSource.KEY_HASH,
        signer: bool = False,
        chain: int = 0,
        element_serial: bytes | None = None,
    ) -> Template:
        """Make a template of a sample certificate, PEM or DER.

        Args:
            sample: version 3, P-256; the last four characters of the common name of the subject
                (a signer's) or of the issuer (a device's) are the signer id in hex.
            name: what reports call it.
            number: template number of its compressed certificates.
            serial_source: how serial numbers are made.
            signer: whether it is a signer's certificate.
            chain: chain number of its compressed certificates.
            element_serial: the serial number of the sample's element, 9 bytes; where it stands in
                the subject in hex, each part's own will stand.

        Raises:
            CertificateError: the sample lacks something that a template needs.
        """
        certificate = load(sample)
        if certificate.version != 3 or len(certificate.point) != 64:
            raise CertificateError("a template is a version 3 certificate of a P-256 key")
        dates = asn1.parse(certificate.der).children()[0].children()[4].children()
        places = {
            Field.SERIAL: Place((0, 1), 0, len(certificate.serial)),
            Field.ISSUED: Place((*_VALIDITY, 0), 0, len(dates[0].content)),
            Field.EXPIRES: Place((*_VALIDITY, 1), 0, len(dates[1].content)),
            Field.PUBLIC_KEY: Place((0, 6, 1), 2, 66),
            Field.SIGNER_ID: _signer_id_place(certificate, signer=signer),
        }
        if element_serial is not None:
            places[Field.DEVICE_SERIAL] = _element_serial_place(certificate, element_serial)
        places.update(_extension_places(certificate))
        return cls(name, number, serial_source, signer, certificate.der, places, chain)

    def rebuild(
        self,
        compressed: Compressed,
        *,
        public_key: bytes,
        authority_key: bytes,
        element_serial: bytes | None = None,
        eui48: str | None = None,
        issuer: bytes | None = None,
        stored_serial: bytes | None = None,
    ) -> bytes:
        """The whole certificate, DER.

        Args:
            compressed: what the slot holds.
            public_key: the subject's key, 64 bytes.
            authority_key: the issuer's key, 64 bytes.
            element_serial: 9 bytes, where the template or the serial-number rule needs them.
            eui48: 12 hex digits, where the template needs them.
            issuer: the issuer's name in DER if it is not the sample's (a device template writes the
                signer id into it nevertheless).
            stored_serial: the X.509 serial number for the rules 0 and 7.

        Raises:
            CertificateError: the compressed certificate belongs to another template, or something
                that this template needs was not given.
        """
        return self._filled(
            compressed,
            public_key=public_key,
            authority_key_id=key_identifier(b"\x04" + authority_key),
            element_serial=element_serial,
            eui48=eui48,
            issuer=issuer,
            stored_serial=stored_serial,
        )

    def compress(self, certificate: bytes) -> Compressed:
        """What the slot holds for a certificate that was made after this template.

        Raises:
            CertificateError: it differs from the template in more than the template's places.
        """
        loaded = load(certificate)
        dates = self._dates(loaded)
        compressed = Compressed(
            raw_signature(loaded.signature),
            dates,
            bytes.fromhex(self._text(loaded, Field.SIGNER_ID)),
            self.number,
            self.chain,
            self.serial_source,
            dates.needed_format,
        )
        again = self._filled(
            compressed,
            public_key=loaded.point,
            authority_key_id=loaded.authority_key_id or b"",
            element_serial=bytes.fromhex(self._text(loaded, Field.DEVICE_SERIAL)),
            eui48=self._text(loaded, Field.EUI48),
            issuer=loaded.issuer.raw,
            stored_serial=loaded.serial,
        )
        if again != loaded.der:
            at = next(i for i, (x, y) in enumerate(zip(again, loaded.der, strict=False)) if x != y)
            raise CertificateError(f"the certificate of {loaded.subject} leaves {self.name} at byte {at}")
        return compressed

    def _filled(
        self,
        compressed: Compressed,
        *,
        public_key: bytes,
        authority_key_id: bytes,
        element_serial: bytes | None,
        eui48: str | None,
        issuer: bytes | None,
        stored_serial: bytes | None,
    ) -> bytes:
        found = (compressed.template, compressed.chain, compressed.serial_source)
        if found != (self.number, self.chain, self.serial_source):
            raise CertificateError(
                f"the compressed certificate is of template {found[0]}, chain {found[1]}, "
                f"serial-number source {found[2]:X}; {self.name} is of template {self.number}, "
                f"chain {self.chain}, source {self.serial_source:X}"
            )
        serial = serial_number(
            self.serial_source,
            self.places[Field.SERIAL].stop,
            dates=compressed.hashed_dates,
            public_key=public_key,
            device=element_serial,
            signer_id=compressed.signer_id,
            stored=stored_serial,
        )
        expires = compressed.dates.expires(two_digits=self._two_digits(Field.EXPIRES))
        values: dict[Field, bytes | None] = {
            Field.SERIAL: serial,
            Field.ISSUED: self._date(Field.ISSUED, compressed.dates.issued),
            Field.EXPIRES: self._date(Field.EXPIRES, expires),
            Field.SIGNER_ID: compressed.signer_id.hex().upper().encode(),
            Field.DEVICE_SERIAL: None if element_serial is None else element_serial.hex().upper().encode(),
            Field.PUBLIC_KEY: public_key,
            Field.SUBJECT_KEY_ID: key_identifier(b"\x04" + public_key),
            Field.AUTHORITY_KEY_ID: authority_key_id,
            Field.EUI48: None if eui48 is None else eui48.encode(),
        }
        changes: dict[asn1.Path, bytes] = {(2,): b"\x00" + signature_der(compressed.signature)}
        if issuer is not None and self.signer:
            changes[_ISSUER] = asn1.parse(issuer).content
        for what, place in self.places.items():
            changes[place.path] = self._overwritten(what, place, values[what])
        return asn1.rewrite(self.sample, changes)

    def _date(self, what: Field, text: str) -> bytes:
        """A date as the sample writes it: UTCTime with two digits of the year, or four."""
        if not self._two_digits(what):
            return text.encode()
        if not "1950" <= text[:4] <= "2049":
            raise CertificateError(f"{self.name} writes the {what} as UTCTime, which has no year {text[:4]}")
        return text[2:].encode()

    def _two_digits(self, what: Field) -> bool:
        return self.places[what].stop == len("YYMMDDHHMMSSZ")

    def _overwritten(self, what: Field, place: Place, value: bytes | None) -> bytes:
        content = _content(self.sample, place.path)
        if value is None:
            raise CertificateError(f"{self.name} needs the {what}")
        if what is not Field.SERIAL and len(value) != place.stop - place.start:
            raise CertificateError(f"the {what} has {place.stop - place.start} bytes, not {len(value)}")
        return content[: place.start] + value + content[place.stop :]

    def _text(self, certificate: Certificate, what: Field) -> str:
        """The text at a place of another certificate; empty if the template has no such place."""
        place = self.places.get(what)
        if place is None:
            return ""
        text = _content(certificate.der, place.path)[place.start : place.stop].decode("latin-1")
        if not re.fullmatch("[0-9A-Fa-f]+", text):
            raise CertificateError(f"{text!r} stands where {self.name} has the {what}")
        return text

    def _dates(self, certificate: Certificate) -> Dates:
        issued, expires = certificate.validity
        never = Dates(2000, 1, 1, 0, 0).expires(two_digits=self._two_digits(Field.EXPIRES))
        if issued[10:14] != "0000" or (expires != never and expires[4:] != issued[4:]):
            raise CertificateError(
                f"the validity {issued} to {expires} cannot be compressed to hours and years"
            )
        years = 0 if expires == never else int(expires[:4]) - int(issued[:4])
        return Dates(int(issued[:4]), int(issued[4:6]), int(issued[6:8]), int(issued[8:10]), years)


def _content(data: bytes, path: asn1.Path) -> bytes:
    node = asn1.parse(data)
    for index in path:
        children = node.children()
        if index >= len(children):
            raise CertificateError(f"there is no element at {path}")
        node = children[index]
    return node.content


def _signer_id_place(certificate: Certificate, *, signer: bool) -> Place:
    name, path = (certificate.subject, _SUBJECT) if signer else (certificate.issuer, _ISSUER)
    for i, rdn in enumerate(name.rdns):
        for j, attribute in enumerate(rdn):
            if attribute.oid == "2.5.4.3" and re.search("[0-9A-F]{4}$", attribute.value or ""):
                length = len(asn1.parse(attribute.encoded).content)
                return Place((*path, i, j, 1), length - 4, length)
    raise CertificateError(f"{name} has no common name that ends in a signer id of four hex digits")


def _element_serial_place(certificate: Certificate, element_serial: bytes) -> Place:
    wanted = element_serial.hex().upper().encode()
    for i, rdn in enumerate(certificate.subject.rdns):
        for j, attribute in enumerate(rdn):
            start = asn1.parse(attribute.encoded).content.find(wanted)
            if start >= 0:
                return Place((*_SUBJECT, i, j, 1), start, start + len(wanted))
    raise CertificateError(
        f"the subject {certificate.subject} does not hold the serial number {wanted.decode()}"
    )


def _extension_places(certificate: Certificate) -> dict[Field, Place]:
    places = {}
    for i, extension in enumerate(certificate.extensions):
        path = (*_EXTENSIONS, i, 2 if extension.critical else 1)
        if extension.oid == SUBJECT_KEY_ID:
            places[Field.SUBJECT_KEY_ID] = Place(path, 2, 22)
        elif extension.oid == AUTHORITY_KEY_ID and certificate.authority_key_id is not None:
            start = extension.value.index(certificate.authority_key_id)
            places[Field.AUTHORITY_KEY_ID] = Place(path, start, start + 20)
        elif extension.oid == SUBJECT_ALT_NAME and (found := _EUI48.search(extension.value)):
            places[Field.EUI48] = Place(path, *found.span(1))
    return places
