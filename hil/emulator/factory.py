"""The factory of emulated parts: keys, certificates and memories as a real part is delivered with.

Everything is derived from a seed, so a rig gets the same part in every run and no key is ever a
file. That also means that anybody can compute these keys: they prove nothing, and are marked.
The root's name carries :data:`~hil.element.certificates.anchors.SYNTHETIC_UNIT`, the serial
numbers of the elements lie in the reserved range, and release qualification refuses both. Below
the root all is as Microchip does it, so that a signer prints as
``O = Microchip Technology Inc, CN = Crypto Authentication Signer 2A00``.

Sources for the memories: ATECC608A-TNGTLS data sheet DS40002112B tables 2-3 to 2-17, ATECC608A-TFLXTLS
data sheet DS40002138A tables 2-3 to 2-17.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from hil.element.certificates.anchors import SYNTHETIC_UNIT, Anchor, anchor
from hil.element.certificates.certificate import load
from hil.element.certificates.compressed import Compressed, Dates, raw_signature
from hil.element.certificates.selfsigned import sign_again
from hil.element.certificates.trustgo import (
    DEVICE_SLOT,
    DEVICE_TEMPLATES,
    EUI48_SLOT,
    ORGANIZATION,
    ROOT_NAME,
    SIGNER,
    SIGNER_KEY_SLOT,
    SIGNER_SLOT,
)
from hil.emulator.chip.memory import SLOTS, Memory
from hil.errors import UsageError
from hil.tls.software import point_of
from hil.wire.serials import TRUST_END, is_reserved

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hil.element.certificates.templates import Template
    from hil.emulator.chip.profile import Profile

__all__ = [
    "DEFAULT_SEED",
    "FactoryCa",
    "FactoryKey",
    "SignerKit",
    "mongoose_configured",
    "seeded_bytes",
    "seeded_scalar",
    "synthetic_anchor",
    "trust_flex",
    "trust_go",
]

DEFAULT_SEED = "hil synthetic factory, test keys"
ROOT_DATES = (datetime(2018, 11, 8, 19, 12, 19, tzinfo=UTC), datetime(2058, 11, 8, 19, 12, 19, tzinfo=UTC))
SIGNER_DATES = Dates(2020, 1, 15, 10, 31)
DEVICE_DATES = Dates(2021, 6, 9, 22, 28)
_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


def seeded_bytes(seed: str, label: str, length: int = 32) -> bytes:
    """Reproducible bytes for a test secret, e.g. a key-encryption key; never a real one."""
    return hashlib.shake_256(f"{seed}\0{label}".encode()).digest(length)


def seeded_scalar(seed: str, label: str) -> bytes:
    """A reproducible P-256 private key, 32 bytes; never a real one."""
    return (int.from_bytes(seeded_bytes(seed, label, 48), "big") % (_ORDER - 1) + 1).to_bytes(32, "big")


@dataclass(frozen=True, slots=True)
class FactoryKey:
    """A private key of the factory; the same digest gives the same signature (RFC 6979).

    Args:
        private: on P-256.
    """

    private: ec.EllipticCurvePrivateKey

    @classmethod
    def from_scalar(cls, scalar: bytes) -> FactoryKey:
        """The key with a private scalar of 32 bytes."""
        return cls(ec.derive_private_key(int.from_bytes(scalar, "big"), ec.SECP256R1()))

    def public_key(self) -> bytes:
        """64 bytes ``X ‖ Y``."""
        return point_of(self.private.public_key())

    def sign_digest(self, digest: bytes) -> bytes:
        """64 bytes ``R ‖ S``."""
        algorithm = ec.ECDSA(Prehashed(SHA256()), deterministic_signing=True)
        return raw_signature(self.private.sign(digest, algorithm))


@dataclass(frozen=True, slots=True)
class SignerKit:
    """A signer below a synthetic root.

    Attributes:
        key: its private key.
        compressed: what slot 12 of its parts holds.
        certificate: DER.
    """

    key: FactoryKey
    compressed: Compressed
    certificate: bytes


class FactoryCa:
    """Plays Microchip's certificate authority for emulated parts.

    Args:
        seed: text from which every key follows. Another seed is another, foreign factory whose
            root has the same name and is nobody's anchor.
    """

    def __init__(self, seed: str = DEFAULT_SEED) -> None:
        self.seed = seed
        self._key = FactoryKey.from_scalar(seeded_scalar(seed, "root"))
        self.root = self._make_root()
        """The root certificate, DER."""
        self._signers: dict[str, SignerKit] = {}

    def signer(self, signer_id: str = "2A00", dates: Dates = SIGNER_DATES) -> SignerKit:
        """The signer with an id of four upper-case hex digits.

        Raises:
            UsageError: not such an id.
        """
        if len(signer_id) != 4 or not set(signer_id) <= set("0123456789ABCDEF"):
            raise UsageError(f"a signer id is four upper-case hex digits, not {signer_id!r}")
        known = self._signers.get(signer_id)
        if known is not None and known.compressed.dates == dates:
            return known
        key = FactoryKey.from_scalar(seeded_scalar(self.seed, f"signer {signer_id}"))
        root = load(self.root)
        draft = _draft(SIGNER, bytes.fromhex(signer_id), dates)

        def rebuild(compressed: Compressed) -> bytes:
            return SIGNER.rebuild(
                compressed, public_key=key.public_key(), authority_key=root.point, issuer=root.subject.raw
            )

        certificate = sign_again(rebuild(draft), self._key)
        compressed = replace(draft, signature=raw_signature(load(certificate).signature))
        kit = SignerKit(key, compressed, certificate)
        self._signers[signer_id] = kit
        return kit

    def device(
        self,
        serial: bytes,
        public_key: bytes,
        *,
        template: int = 3,
        signer_id: str = "2A00",
        eui48: str | None = None,
        dates: Dates = DEVICE_DATES,
    ) -> tuple[Compressed, bytes]:
        """Certify an element's key; what slot 10 holds, and the certificate in DER.

        Args:
            serial: the element's serial number, 9 bytes.
            public_key: 64 bytes.
            template: number of a device template.
            signer_id: which signer signs.
            eui48: 12 hex digits; template 3 needs them.
            dates: validity.
        """
        signer = self.signer(signer_id)
        definition = DEVICE_TEMPLATES[template]
        draft = _draft(definition, signer.compressed.signer_id, dates)
        filled = definition.rebuild(
            draft,
            public_key=public_key,
            authority_key=signer.key.public_key(),
            element_serial=serial,
            eui48=eui48,
        )
        certificate = sign_again(filled, signer.key)
        return replace(draft, signature=raw_signature(load(certificate).signature)), certificate

    def _make_root(self) -> bytes:
        name = x509.Name(
            [
                x509.NameAttribute(NameOID.ORGANIZATION_NAME, ORGANIZATION),
                x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, SYNTHETIC_UNIT),
                x509.NameAttribute(NameOID.COMMON_NAME, ROOT_NAME),
            ]
        )
        public = self._key.private.public_key()
        identifier = x509.SubjectKeyIdentifier.from_public_key(public)
        draft = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(public)
            .serial_number(int.from_bytes(seeded_bytes(self.seed, "root serial", 16), "big") >> 1 | 1)
            .not_valid_before(ROOT_DATES[0])
            .not_valid_after(ROOT_DATES[1])
            .add_extension(identifier, critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier), critical=False
            )
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(self._key.private, SHA256())
        )
        return sign_again(draft.public_bytes(Encoding.DER), self._key)


def _draft(template: Template, signer_id: bytes, dates: Dates) -> Compressed:
    return Compressed(
        bytes(64),
        dates,
        signer_id,
        template.number,
        template.chain,
        template.serial_source,
        dates.needed_format,
    )


def synthetic_anchor(ca: FactoryCa | None = None) -> Anchor:
    """The synthetic root as an anchor that a check of emulated parts may accept."""
    return anchor((ca or FactoryCa()).root)


# SlotConfig and KeyConfig as 16-bit values. Slots that the data sheets call reserved are not
# published; they get what read-only certificate slots have.
_READ_ONLY = (0x8F0F, 0x001C)
_TRUST_SLOTS: Mapping[int, tuple[int, int]] = {
    0: (0x0085, 0x0053),
    1: (0x0082, 0x0053),
    2: (0x2085, 0x0073),
    3: (0x2085, 0x0073),
    4: (0x2085, 0x0073),
    5: _READ_ONLY,
    6: (0x0F8F, 0x007C),
    7: _READ_ONLY,
    8: (0x0F0F, 0x003C),
    9: (0x0F8F, 0x001A),
    10: _READ_ONLY,
    11: (0x8F0F, 0x0010),
    12: _READ_ONLY,
    13: _READ_ONLY,
    14: _READ_ONLY,
    15: _READ_ONLY,
}
_FLEX_SLOTS: Mapping[int, tuple[int, int]] = {
    **_TRUST_SLOTS,
    5: (0x468F, 0x0038),
    7: (0x8F9F, 0x001C),
    13: (0x0F0F, 0x0030),
    14: (0x1F0D, 0x0012),
    15: (0x0F0F, 0x0030),
}
_COUNTER = bytes.fromhex("ffffffff00000000")


def trust_go(
    profile: Profile,
    serial: bytes,
    *,
    ca: FactoryCa | None = None,
    seed: str = DEFAULT_SEED,
    signer_id: str = "2A00",
    template: int = 3,
) -> Memory:
    """A Trust&GO part (TNGTLS) as delivered: keys, certificates, address 0x35, both zones locked.

    Args:
        profile: a 608.
        serial: of the reserved range, ending in 01.
        ca: who certifies it; None = the factory of the default seed.
        seed: where the part's own keys come from.
        signer_id: which signer.
        template: 3, or 2 for an older part without EUI-48.

    Raises:
        UsageError: the serial number or the profile does not fit.
    """
    code = {2: b"Rsuy5YJh", 3: b"x6tjuZMy"}.get(template)
    if code is None:
        raise UsageError(f"a Trust&GO part has device template 2 or 3, not {template}")
    memory = _trust_part(profile, serial, 0x6A, bytes(2), _TRUST_SLOTS, code)
    _certify(memory, ca or FactoryCa(), seed, signer_id, template)
    return memory


def trust_flex(
    profile: Profile,
    serial: bytes,
    *,
    ca: FactoryCa | None = None,
    seed: str = DEFAULT_SEED,
    signer_id: str = "2A00",
) -> Memory:
    """A TrustFLEX part (TFLXTLS) as delivered: as :func:`trust_go`, address 0x36, slots for own use.

    Raises:
        UsageError: the serial number or the profile does not fit.
    """
    memory = _trust_part(profile, serial, 0x6C, bytes.fromhex("03f7"), _FLEX_SLOTS, b"MKMwyhP1")
    _certify(memory, ca or FactoryCa(), seed, signer_id, template=4)
    return memory


def mongoose_configured(
    profile: Profile,
    serial: bytes,
    *,
    configuration: bytes | None = None,
    provisioned: bool = False,
    seed: str = DEFAULT_SEED,
) -> Memory:
    """A generic part with a Mongoose OS configuration, locked.

    Args:
        profile: any part.
        serial: 9 bytes of the reserved range.
        configuration: bytes 16 to 127; None = the profile's own ``mongoose-os``.
        provisioned: also give every private-key slot a test key and slot 4 the test
            key-encryption key ``seeded_bytes(seed, "kek")``, and lock the data zone.
        seed: where the keys come from.

    Raises:
        UsageError: the serial number is not of the reserved range.
        ConfigError: the profile has no such configuration.
    """
    _reserved(serial)
    memory = Memory.blank(profile, serial)
    memory.set_config(16, profile.configuration("mongoose-os") if configuration is None else configuration)
    memory.lock_config()
    if provisioned:
        memory.set_slot(4, seeded_bytes(seed, "kek"))
        for slot in range(SLOTS):
            if memory.key_config(slot).private:
                memory.set_private_key(slot, seeded_scalar(seed, f"{serial.hex()} slot {slot}"))
        memory.lock_data()
    return memory


def _reserved(serial: bytes) -> None:
    if not is_reserved(serial):
        raise UsageError(
            f"{serial.hex()} is not a serial number for emulated parts", hint="they begin 0123e07e"
        )


def _trust_part(
    profile: Profile,
    serial: bytes,
    address: int,
    secure_boot: bytes,
    slots: Mapping[int, tuple[int, int]],
    code: bytes,
) -> Memory:
    _reserved(serial)
    if serial[8] != TRUST_END or profile.family != 608:
        raise UsageError(
            f"a Trust part is a 608 whose serial number ends in 01, not {profile.name} {serial.hex()}"
        )
    memory = Memory.blank(profile, serial)
    memory.set_config(16, bytes((address, 0, 0, 1)))
    for slot, (slot_config, key_config) in slots.items():
        memory.set_config(20 + 2 * slot, slot_config.to_bytes(2, "little"))
        memory.set_config(96 + 2 * slot, key_config.to_bytes(2, "little"))
    memory.set_config(52, _COUNTER * 2)
    memory.set_config(68, bytes(2) + secure_boot + bytes((0, 0x69, 0x76)) + bytes(9))
    memory.set_config(84, bytes(2))
    memory.set_config(88, bytes.fromhex("ffff0e6000000000"))
    memory.set_otp(code + bytes(56))
    return memory


def _certify(memory: Memory, ca: FactoryCa, seed: str, signer_id: str, template: int) -> None:
    """Put keys and certificates in, then lock both zones."""
    serial = memory.serial
    for slot in range(5):
        memory.set_private_key(slot, seeded_scalar(seed, f"{serial.hex()} slot {slot}"))
    eui48 = f"02E07E{serial[5:8].hex().upper()}" if template == 3 else None
    if eui48 is not None:
        memory.set_slot(EUI48_SLOT, eui48.encode())
    key = FactoryKey.from_scalar(seeded_scalar(seed, f"{serial.hex()} slot 0"))
    device, _ = ca.device(serial, key.public_key(), template=template, signer_id=signer_id, eui48=eui48)
    signer = ca.signer(signer_id)
    memory.set_slot(DEVICE_SLOT, device.encode())
    memory.set_public_key(SIGNER_KEY_SLOT, signer.key.public_key())
    memory.set_slot(SIGNER_SLOT, signer.compressed.encode())
    memory.lock_config()
    memory.lock_data()
