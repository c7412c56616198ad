"""The 72-byte compressed certificate that a slot holds, both ways.

Layout: R (32) · S (32) · dates (3) · signer id (2) · template and chain (1) · serial-number source
and format (1) · reserved (1). What it leaves out comes from a definition (``templates.py``).

Sources: "ATECC Compressed Certificate Definition" (Microchip); formats 1 and 2 and the serial-number
sources 7 to F after ``MicrochipTech/cryptoauthlib``, ``lib/atcacert`` (facts, not code).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import IntEnum

from hil.element.certificates import asn1
from hil.errors import CertificateError

__all__ = ["SIZE", "Compressed", "Dates", "SerialSource", "raw_signature", "serial_number", "signature_der"]

SIZE = 72
NEVER = 0
"""``expire_years`` of a certificate that never expires."""


class SerialSource(IntEnum):
    """Where the X.509 serial number comes from (upper half of byte 70)."""

    STORED = 0x0
    STORED_DYNAMIC = 0x7
    DEVICE = 0x8
    SIGNER_ID = 0x9
    KEY_HASH = 0xA
    DEVICE_HASH = 0xB
    KEY_HASH_POSITIVE = 0xC
    DEVICE_HASH_POSITIVE = 0xD
    KEY_HASH_RAW = 0xE
    DEVICE_HASH_RAW = 0xF


_KEY_HASHES = (SerialSource.KEY_HASH, SerialSource.KEY_HASH_POSITIVE, SerialSource.KEY_HASH_RAW)


@dataclass(frozen=True, slots=True)
class Dates:
    """Validity in whole hours.

    Attributes:
        year, month, day, hour: issue date; the year is 2000 to 2031, or to 2127 in formats 1 and 2.
        expire_years: years of validity, 0 (never ends) to 31, or to 127 in formats 1 and 2.
    """

    year: int
    month: int
    day: int
    hour: int
    expire_years: int

    def encode(self, format: int = 0) -> tuple[bytes, int]:
        """Three packed bytes, and the upper half of byte 71 (0 in format 0).

        Raises:
            CertificateError: a figure does not fit the format.
        """
        years = 31 if format == 0 else 127
        if not 2000 <= self.year <= 2000 + years:
            raise CertificateError(
                f"format {format} holds issue years 2000 to {2000 + years}, not {self.year}"
            )
        if not 0 <= self.expire_years <= years:
            raise CertificateError(f"format {format} holds 0 to {years} years, not {self.expire_years}")
        if not (1 <= self.month <= 12 and 1 <= self.day <= 31 and 0 <= self.hour <= 23):
            raise CertificateError(f"{self} is no date")
        year = self.year - 2000
        packed = (
            (year & 31) << 19 | self.month << 15 | self.day << 10 | self.hour << 5 | self.expire_years & 31
        )
        return packed.to_bytes(3, "big"), (year >> 5) << 6 | (self.expire_years >> 5) << 4

    @classmethod
    def decode(cls, packed: bytes, high: int = 0) -> Dates:
        """From the three packed bytes and, in formats 1 and 2, byte 71.

        Raises:
            CertificateError: not a date.
        """
        value = int.from_bytes(packed, "big")
        dates = cls(
            2000 + (value >> 19 | (high >> 6 & 3) << 5),
            value >> 15 & 15,
            value >> 10 & 31,
            value >> 5 & 31,
            value & 31 | (high >> 4 & 3) << 5,
        )
        if not (1 <= dates.month <= 12 and dates.day >= 1 and dates.hour <= 23):
            raise CertificateError(f"the packed dates {packed.hex(' ')} are no date")
        return dates

    @property
    def needed_format(self) -> int:
        """The lowest format that holds these dates."""
        return 0 if self.year <= 2031 and self.expire_years <= 31 else 1

    @property
    def issued(self) -> str:
        """``YYYYMMDDHHMMSSZ`` of the issue date."""
        return f"{self.year:04}{self.month:02}{self.day:02}{self.hour:02}0000Z"

    def expires(self, *, two_digits: bool = False) -> str:
        """``YYYYMMDDHHMMSSZ`` of the end; the greatest date of the encoding if there is no end.

        Args:
            two_digits: the certificate writes this date as UTCTime.
        """
        if self.expire_years == NEVER:
            return "20491231235959Z" if two_digits else "99991231235959Z"
        return f"{self.year + self.expire_years:04}{self.issued[4:]}"


@dataclass(frozen=True, slots=True)
class Compressed:
    """A compressed certificate.

    Attributes:
        signature: ``R ‖ S``, 64 bytes.
        dates: validity.
        signer_id: two bytes, printed as the last four hex digits of the signer's common name.
        template: which template rebuilds the rest (0 to 15).
        chain: which chain (0 to 15).
        serial_source: how the X.509 serial number is made.
        format: 0, or 1 and 2 with wider dates.
        reserved: byte 71 without the date bits that formats 1 and 2 keep there.
    """

    signature: bytes
    dates: Dates
    signer_id: bytes
    template: int
    chain: int
    serial_source: SerialSource
    format: int = 0
    reserved: int = 0

    def encode(self) -> bytes:
        """The 72 bytes.

        Raises:
            CertificateError: a field does not fit.
        """
        if len(self.signature) != 64 or len(self.signer_id) != 2:
            raise CertificateError("a signature has 64 bytes and a signer id 2")
        if self.format not in (0, 1, 2):
            raise CertificateError(f"compressed certificates have format 0, 1 or 2, not {self.format}")
        if not (0 <= self.template <= 15 and 0 <= self.chain <= 15):
            raise CertificateError(f"template {self.template} or chain {self.chain} is not 0 to 15")
        if not 0 <= self.reserved <= (0xFF if self.format == 0 else 0x0F):
            raise CertificateError(f"reserved bits 0x{self.reserved:02x} do not fit format {self.format}")
        dates, high = self.dates.encode(self.format)
        tail = (self.template << 4 | self.chain, self.serial_source << 4 | self.format, high | self.reserved)
        return self.signature + dates + self.signer_id + bytes(tail)

    @classmethod
    def decode(cls, data: bytes) -> Compressed:
        """Take 72 bytes apart.

        Raises:
            CertificateError: another length, an unknown format or serial-number source, no date.
        """
        if len(data) != SIZE:
            raise CertificateError(f"a compressed certificate has {SIZE} bytes, not {len(data)}")
        format, source = data[70] & 15, data[70] >> 4
        if format > 2:
            raise CertificateError(
                f"compressed certificate of unknown format {format}",
                hint="does the slot hold a certificate? An unwritten one reads as one repeated byte",
            )
        if source not in SerialSource.__members__.values():
            raise CertificateError(f"unknown serial-number source {source:X}")
        high = 0 if format == 0 else data[71] & 0xF0
        return cls(
            bytes(data[:64]),
            Dates.decode(data[64:67], high),
            bytes(data[67:69]),
            data[69] >> 4,
            data[69] & 15,
            SerialSource(source),
            format,
            data[71] ^ high,
        )

    @property
    def hashed_dates(self) -> bytes:
        """The date bytes that serial-number rules hash: three, in formats 1 and 2 four."""
        dates, high = self.dates.encode(self.format)
        return dates if self.format == 0 else dates + bytes((high,))


def serial_number(
    source: SerialSource,
    size: int,
    *,
    dates: bytes,
    public_key: bytes,
    device: bytes | None = None,
    signer_id: bytes = b"",
    stored: bytes | None = None,
) -> bytes:
    """The X.509 serial number, as the content of its INTEGER.

    Args:
        source: the rule.
        size: bytes of a hashed serial number (16 in Microchip's templates).
        dates: :attr:`Compressed.hashed_dates`.
        public_key: the subject's key, 64 bytes.
        device: the element's serial number, 9 bytes; rules 8, B, D, F need it.
        signer_id: two bytes; rule 9 needs it.
        stored: the number itself for rules 0 and 7.

    Raises:
        CertificateError: what the rule needs was not given.
    """
    if source in (SerialSource.STORED, SerialSource.STORED_DYNAMIC):
        if not stored:
            raise CertificateError("the serial number is stored by itself and was not given")
        return stored
    if source == SerialSource.SIGNER_ID:
        return b"\x40" + signer_id
    if source in _KEY_HASHES:
        subject = public_key
    elif device is None:
        raise CertificateError(f"serial-number source {source:X} needs the element's serial number")
    elif source == SerialSource.DEVICE:
        return b"\x40" + device
    else:
        subject = device
    number = bytearray(hashlib.sha256(subject + dates).digest()[:size])
    if source not in (SerialSource.KEY_HASH_RAW, SerialSource.DEVICE_HASH_RAW):
        number[0] &= 0x7F
    if source in (SerialSource.KEY_HASH, SerialSource.DEVICE_HASH):
        number[0] |= 0x40
    return bytes(number)


def signature_der(signature: bytes) -> bytes:
    """``R ‖ S`` as the SEQUENCE of two minimal positive INTEGERs."""
    return asn1.sequence(
        *(asn1.integer(int.from_bytes(half, "big")) for half in (signature[:32], signature[32:]))
    )


def raw_signature(encoded: bytes) -> bytes:
    """``R ‖ S``, 64 bytes, of a DER signature.

    Raises:
        CertificateError: not a P-256 signature.
    """
    numbers = [node.integer() for node in asn1.parse(encoded).expect(asn1.SEQUENCE, "signature").children()]
    if len(numbers) != 2 or not all(0 <= n < 1 << 256 for n in numbers):
        raise CertificateError("not a P-256 signature")
    return b"".join(n.to_bytes(32, "big") for n in numbers)
