"""What a lint rule sees and what it says: the slots of a configuration, and findings.

The lint decodes the 128 bytes itself, so that a mistake in the driver's model of the configuration
zone cannot hide in it.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

__all__ = ["AES", "OTHER", "P256", "Finding", "Severity", "Slot", "slots_of"]

Severity: TypeAlias = Literal["error", "warning", "note"]

P256, AES, OTHER = 4, 6, 7
"""Key types (DS508 table 2-12, DS40002138A table 2-3)."""


class Finding(msgspec.Struct, frozen=True):
    """One finding.

    Attributes:
        id: stable name, with the slot where it concerns one: ``508-on-608``, ``readable-kek:4``.
        severity: ``error`` and ``warning`` stand in the way of a lock unless accepted by id;
            ``note`` does not.
        where: bytes concerned, first and last.
        meaning: what is there.
        consequence: what comes of it.
        fix: what to do.
        source: where it is written.
    """

    id: str
    severity: Severity
    where: tuple[int, int]
    meaning: str
    consequence: str
    fix: str
    source: str

    @property
    def blocks(self) -> bool:
        """Whether a lock is refused because of it."""
        return self.severity != "note"

    @property
    def slot(self) -> int | None:
        """The slot it concerns, or None."""
        number = self.id.rpartition(":")[2]
        return int(number) if ":" in self.id and number.isdecimal() else None

    def __str__(self) -> str:
        first, last = self.where
        place = f"byte {first}" if first == last else f"bytes {first} to {last}"
        return (
            f"{self.severity} {self.id} ({place}): {self.meaning}; {self.consequence}\n"
            f"  → {self.fix} [{self.source}]"
        )


class Slot(msgspec.Struct, frozen=True):
    """One slot's two words, taken apart."""

    number: int
    slot_config: int
    key_config: int

    @property
    def private(self) -> bool:
        """It holds an ECC private key."""
        return bool(self.key_config & 0x0001)

    @property
    def pub_info(self) -> bool:
        """Private: the public key may be asked for. Public: it must be validated."""
        return bool(self.key_config & 0x0002)

    @property
    def key_type(self) -> int:
        """4 P-256, 6 AES, 7 anything else."""
        return self.key_config >> 2 & 7

    @property
    def lockable(self) -> bool:
        """It can be locked alone."""
        return bool(self.key_config & 0x0020)

    @property
    def req_auth(self) -> bool:
        """Its use needs an authorisation first."""
        return bool(self.key_config & 0x0080)

    @property
    def auth_key(self) -> int:
        """Slot of the key that authorises."""
        return self.key_config >> 8 & 0x0F

    @property
    def disabled(self) -> bool:
        """508A IntrusionDisable, 608 PersistentDisable."""
        return bool(self.key_config & 0x1000)

    @property
    def x509_id(self) -> int:
        """Which X509format a public key has."""
        return self.key_config >> 14

    @property
    def read_key(self) -> int:
        """Data: slot of the read key. Private: four permission bits."""
        return self.slot_config & 0x0F

    @property
    def limited(self) -> bool:
        """Its uses are counted."""
        return bool(self.slot_config & 0x20)

    @property
    def encrypt_read(self) -> bool:
        """It is read encrypted."""
        return bool(self.slot_config & 0x40)

    @property
    def secret(self) -> bool:
        """It is never read in clear."""
        return bool(self.slot_config & 0x80)

    @property
    def write_key(self) -> int:
        """Slot of the key for encrypted writes."""
        return self.slot_config >> 8 & 0x0F

    @property
    def write_config(self) -> int:
        """How it may be written (DS508 tables 2-8 to 2-11)."""
        return self.slot_config >> 12

    @property
    def written_encrypted(self) -> bool:
        """Encrypted Write or PrivWrite is possible."""
        return bool(self.write_config & 0x4)

    @property
    def written_clear(self) -> bool:
        """Anybody may write it in clear after the data lock."""
        return not self.private and self.write_config in (0, 1)

    @property
    def changeable(self) -> bool:
        """Its content can change after the data lock."""
        return self.written_clear or bool(self.write_config & 0x6)

    @property
    def where(self) -> tuple[int, int]:
        """Its SlotConfig's bytes."""
        return 20 + 2 * self.number, 21 + 2 * self.number

    @property
    def key_where(self) -> tuple[int, int]:
        """Its KeyConfig's bytes."""
        return 96 + 2 * self.number, 97 + 2 * self.number


def slots_of(config: bytes) -> list[Slot]:
    """The sixteen slots of 128 configuration bytes."""

    def word(offset: int) -> int:
        return config[offset] | config[offset + 1] << 8

    return [Slot(n, word(20 + 2 * n), word(96 + 2 * n)) for n in range(16)]
