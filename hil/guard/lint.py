"""What is wrong with a configuration, said before it is locked for ever.

Works on the 128 bytes alone and decodes them itself, so that a mistake in the driver's model of
the configuration zone cannot hide here.

Sources: ATECC508A data sheet DS20005927A (DS508) sections 2.2 and 9; ATECC608A-TFLXTLS data sheet
DS40002138A table 2-3; Microchip AN3539 on migrating a 508A configuration.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Finding", "lint"]

KEY_P256 = 4


@dataclass(frozen=True)
class Finding:
    """One finding.

    Attributes:
        id: stable name, with the slot where it concerns one: ``508-on-608``, ``clear-key:3``.
        severity: ``error`` and ``warning`` stand in the way of a lock unless accepted by id;
            ``note`` does not.
        where: bytes concerned, first and last.
        meaning: what is there.
        consequence: what comes of it.
        fix: what to do.
        source: where it is written.
    """

    id: str
    severity: Literal["error", "warning", "note"]
    where: tuple[int, int]
    meaning: str
    consequence: str
    fix: str
    source: str

    @property
    def blocks(self) -> bool:
        """Whether a lock is refused because of it."""
        return self.severity != "note"


@dataclass(frozen=True)
class _Slot:
    number: int
    slot_config: int
    key_config: int

    @property
    def private(self) -> bool:
        return bool(self.key_config & 1)

    @property
    def key_type(self) -> int:
        return self.key_config >> 2 & 7

    @property
    def secret(self) -> bool:
        return bool(self.slot_config & 0x80)

    @property
    def encrypted_read(self) -> bool:
        return bool(self.slot_config & 0x40)

    @property
    def read_key(self) -> int:
        return self.slot_config & 0x0F

    @property
    def write_key(self) -> int:
        return self.slot_config >> 8 & 0x0F

    @property
    def write_config(self) -> int:
        return self.slot_config >> 12

    @property
    def where(self) -> tuple[int, int]:
        return 20 + 2 * self.number, 21 + 2 * self.number


def _slots(config: bytes) -> list[_Slot]:
    def word(offset: int) -> int:
        return config[offset] | config[offset + 1] << 8

    return [_Slot(n, word(20 + 2 * n), word(96 + 2 * n)) for n in range(16)]


def lint(config: bytes, *, part: str, address: int, production: bool) -> list[Finding]:
    """Everything questionable in a configuration zone, in the order of its bytes.

    Args:
        config: the zone as it is to be locked.
        part: ``atecc508a``, ``atecc608a``, ``atecc608b`` …
        address: the 7-bit I2C address that the rig expects afterwards.
        production: the rig qualifies a product.
    """
    if len(config) != 128:
        return [
            Finding(
                "length", "error", (0, 127), f"{len(config)} bytes instead of 128",
                "every byte behind the first missing one would land in the wrong field",
                "give the whole zone", "DS508 2.2",
            )
        ]  # fmt: skip
    findings = list(_zone(config, part, address))
    for slot in _slots(config):
        findings += _slot(slot, _slots(config), production)
    return findings


def _zone(config: bytes, part: str, address: int) -> Iterator[Finding]:
    is_608 = part.startswith("atecc608")
    if config[16] >> 1 != address:
        yield Finding(
            "address", "error", (16, 16),
            f"I2C address byte {config[16]:02X} = 0x{config[16] >> 1:02x}, the rig expects 0x{address:02x}",
            "after the next wake nobody answers where the firmware looks",
            "set byte 16 to twice the 7-bit address, or change the rig file", "DS508 2.2 (I2C_Address)",
        )  # fmt: skip
    if config[16] & 1:
        yield Finding(
            "address-bit-0", "error", (16, 16), "bit 0 of the I2C address byte is set",
            "it must be zero", "clear it", "DS508 2.2 (I2C_Address)",
        )  # fmt: skip
    if config[86] != 0x55 or config[87] != 0x55:
        yield Finding(
            "lock-bytes", "error", (86, 87), "a lock byte is not 55",
            "the zone would count as locked already", "leave bytes 86 and 87 at 55", "DS508 2.4",
        )  # fmt: skip
    if is_608:
        trap = [n for n in (18, *range(68, 84)) if config[n] != 0 and n not in (73, 74)]
        if config[18] == 0x55 or config[18] == 0xAA or config[68:84] == b"\xff" * 16:
            yield Finding(
                "508-on-608", "error", (18, 83),
                "a 508A configuration on a 608: bytes " + ", ".join(map(str, trap[:4])) + " … are set",
                "OTPmode 55 becomes CountMatch enabled with key slot 5; LastKeyUse FF becomes UseLock, "
                "volatile key permission, SecureBoot and KDF settings",
                "set byte 18 and bytes 68 to 83 to 00", "AN3539 section on configuration",
            )  # fmt: skip
    elif config[18] not in (0xAA, 0x55):
        yield Finding(
            "otp-mode", "error", (18, 18), f"OTPmode {config[18]:02X} is neither AA nor 55",
            "the behaviour of the OTP zone is not defined", "use AA (read-only) or 55 (consumption)",
            "DS508 table 2-5",
        )  # fmt: skip


def _slot(slot: _Slot, slots: list[_Slot], production: bool) -> Iterator[Finding]:
    n = slot.number
    if slot.private and not slot.secret:
        yield Finding(
            f"private-not-secret:{n}", "error", slot.where, f"slot {n} holds a private key but IsSecret is 0",
            "GenKey, Sign and PrivWrite fail: the slot can never be used", "set SlotConfig bit 7",
            "DS508 table 2-5 (IsSecret)",
        )  # fmt: skip
    if slot.private and slot.key_type != KEY_P256:
        yield Finding(
            f"private-key-type:{n}", "error", (96 + 2 * n, 97 + 2 * n),
            f"slot {n} is private with KeyType {slot.key_type}, only 4 (P-256) is possible",
            "no private-key command works on it", "set KeyType 4 or clear Private", "DS508 table 2-12",
        )  # fmt: skip
    if not slot.private and slot.encrypted_read and not slot.secret:
        yield Finding(
            f"encrypted-not-secret:{n}", "error", slot.where,
            f"slot {n} has EncryptRead without IsSecret, a prohibited combination",
            "the data sheet promises nothing", "set IsSecret too", "DS508 table 2-6",
        )  # fmt: skip
    if slot.private and not slot.write_config & 0x6:
        yield Finding(
            f"never-keyed:{n}", "note", slot.where,
            f"slot {n}: neither GenKey nor PrivWrite is allowed after the data lock",
            "a key must be put in before the data zone is locked, or the slot stays unusable",
            "make the key between the two locks", "DS508 tables 2-8 to 2-11",
        )  # fmt: skip
    uses_kek = slot.write_config & 0x4 or (slot.encrypted_read and not slot.private)
    if uses_kek:
        kek = slots[slot.write_key if slot.write_config & 0x4 else slot.read_key]
        if not kek.private and not kek.secret:
            yield Finding(
                f"readable-kek:{kek.number}", "error", kek.where,
                f"slot {kek.number} encrypts slot {n} but can be read in clear",
                "anyone on the bus can read the key that protects the other",
                "set IsSecret on the key-encryption slot", "DS508 3.2.3",
            )  # fmt: skip
        if kek.secret and kek.write_config == 0:
            yield Finding(
                f"open-kek:{kek.number}", "error" if production else "note", kek.where,
                f"slot {kek.number} encrypts slot {n} but anyone may overwrite it in clear",
                "whoever reaches the bus sets a key of his own and replaces what it protects",
                "set WriteConfig of the slot to Never or Encrypt", "DS508 table 2-8",
            )  # fmt: skip
