"""Lint rules about the configuration zone as a whole.

Sources: ATECC508A data sheet DS20005927A (DS508) section 2.2; ATECC608A-TFLXTLS data sheet
DS40002138A table 2-3; Microchip AN3539 on migrating a 508A configuration.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from hil.guard.findings import Finding, Slot

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["ZONE_RULES", "Zone"]

GENERIC = 0xEE
"""SN[8] of parts that one configures oneself; Trust&GO, TrustFLEX and LoRa parts have others."""
COUNTER_START = bytes.fromhex("ffffffff00000000")
LEGAL_USES = frozenset({0xFF, 0x7F, 0x3F, 0x1F, 0x0F, 0x07, 0x03, 0x01, 0x00})

MONGOOSE_SLOTS = bytes.fromhex("87648764876487648f0f8f8f9f8f8220c444c4440f0f0f0f0f0f0f0f834f0f0f")
MONGOOSE_KEYS = bytes.fromhex("33003300330033003c001c001c0033001c001c003c003c003c003c0013003c00")
"""SlotConfig and KeyConfig of mongoose-os-libs/atca tools/atca-test-config.yaml."""


class Zone(msgspec.Struct, frozen=True):
    """What the rules look at.

    Attributes:
        config: 128 bytes.
        part: the part that the rig file names.
        address: the 7-bit address that the rig expects.
        production: the rig qualifies a product.
        slots: the sixteen slots.
    """

    config: bytes
    part: str
    address: int
    production: bool
    slots: tuple[Slot, ...]

    @property
    def is_608(self) -> bool:
        """Whether the rig file names a 608."""
        return self.part.startswith("atecc608")

    @property
    def of_a_part(self) -> bool:
        """Whether the bytes were read from a part; a file may come without an identity."""
        return any(self.config[0:13])


def _identity(zone: Zone) -> Iterator[Finding]:
    config = zone.config
    if not zone.of_a_part:
        return
    if config[0:2] != b"\x01\x23" or config[15]:
        yield Finding(
            "identity", "error", (0, 15), "the serial number does not begin with 01 23, or byte 15 is not 00",
            "the bytes are shifted or stem from something else: every field would be wrong",
            "read the zone again; give all 128 bytes", "DS508 2.2 (table 2-5)",
        )  # fmt: skip
    elif config[12] != GENERIC:
        yield Finding(
            "trust-part", "error", (12, 12),
            f"SN[8] is {config[12]:02X}: a Trust&GO, TrustFLEX or other pre-provisioned part",
            "such a part comes configured, locked and with keys and certificates of its own; there is "
            "nothing to configure, and what is not locked yet must stay as it is",
            "use a generic part (SN[8] = EE), or leave this one alone", "DS40002138A table 2-3",
        )  # fmt: skip
    if config[6] in (0x50, 0x60) and (config[6] == 0x60) is not zone.is_608:
        yield Finding(
            "other-part", "error", (4, 7),
            f"RevNum says {'ATECC608' if config[6] == 0x60 else 'ATECC508A'}, the rig file {zone.part}",
            "the same bytes mean other things on the other part",
            "name the part that is in the rig", "DS508 9.9, AN3539",
        )  # fmt: skip


def _address(zone: Zone) -> Iterator[Finding]:
    byte = zone.config[16]
    if byte >> 1 != zone.address:
        yield Finding(
            "address", "error", (16, 16),
            f"I2C address byte {byte:02X} = 0x{byte >> 1:02x}, the rig expects 0x{zone.address:02x}",
            "after the next wake nobody answers where the firmware looks",
            "set byte 16 to twice the 7-bit address, or change the rig file", "DS508 2.2 (I2C_Address)",
        )  # fmt: skip
    if byte & 1:
        yield Finding(
            "address-bit-0", "error", (16, 16), "bit 0 of the I2C address byte is set",
            "it must be zero", "clear it", "DS508 2.2 (I2C_Address)",
        )  # fmt: skip
    if zone.is_608 and zone.config[19] & 1:
        extra = zone.config[85]
        where = f"UserExtraAdd is {extra:02X}" if extra else "UserExtraAdd is still open"
        yield Finding(
            "address-from-extra", "error" if extra else "warning", (19, 19),
            f"ChipMode bit 0 lets UserExtraAdd (byte 85) move the I2C address; {where}",
            "whoever sets that byte moves the element to another address for good",
            "clear ChipMode bit 0", "DS40002138A table 2-3 (ChipMode)",
        )  # fmt: skip


def _lock_bytes(zone: Zone) -> Iterator[Finding]:
    config = zone.config
    if config[86] != 0x55 or config[87] != 0x55:
        yield Finding(
            "lock-bytes", "error", (86, 87), "a lock byte is not 55",
            "the zone would count as locked already", "leave bytes 86 and 87 at 55", "DS508 2.4",
        )  # fmt: skip
    for n in range(16):
        if not config[88 + n // 8] >> n % 8 & 1:
            yield Finding(
                f"slot-locked:{n}", "error", (88 + n // 8, 88 + n // 8),
                f"SlotLocked bit {n} is 0: slot {n} is born locked",
                "nothing can ever be written into it", "set bytes 88 and 89 to FF FF", "DS508 2.4.3",
            )  # fmt: skip


def _reserved(zone: Zone) -> Iterator[Finding]:
    at = [17] + ([] if zone.is_608 else [90, 91])
    for n in at:
        if zone.config[n]:
            yield Finding(
                f"reserved-{n}", "error", (n, n), f"byte {n} is {zone.config[n]:02X} and must be 00",
                "the data sheet promises nothing", "set it to 00", "DS508 2.2 (table 2-5)",
            )  # fmt: skip


def _chip_mode(zone: Zone) -> Iterator[Finding]:
    mode = zone.config[19]
    divider = mode >> 3
    if divider not in ((0x00, 0x05, 0x0D) if zone.is_608 else (0x00,)):
        yield Finding(
            "chip-mode", "error", (19, 19), f"ChipMode bits 7:3 are {divider:02X}",
            "an undefined clock divider" if zone.is_608 else "these bits must be zero",
            "set them to 00" + (", 05 or 0D" if zone.is_608 else ""),
            "DS40002138A table 2-3" if zone.is_608 else "DS508 2.2 (ChipMode)",
        )  # fmt: skip


def _migration(zone: Zone) -> Iterator[Finding]:
    """A 508A configuration on a 608: what the sample configuration of Mongoose OS does."""
    config = zone.config
    if not zone.is_608:
        return
    if config[18] in (0x55, 0xAA) or config[68:84] == b"\xff" * 16:
        trap = [n for n in (18, *range(68, 84)) if config[n] and n not in (73, 74)]
        yield Finding(
            "508-on-608", "error", (18, 83),
            "a 508A configuration on a 608: bytes " + ", ".join(map(str, trap[:4])) + " … are set",
            "OTPmode 55 becomes CountMatch enabled with key slot 5; LastKeyUse FF becomes UseLock, "
            "volatile key permission, SecureBoot and KDF settings",
            "set byte 18 and bytes 68 to 83 to 00", "AN3539 section on configuration",
        )  # fmt: skip
        return
    if config[18]:
        yield Finding(
            "count-match", "warning", (18, 18),
            f"CountMatch is {config[18]:02X}: limited keys end where slot {config[18] >> 4} says",
            "without the right value in that slot every limited key is unusable",
            "set it to 00, or accept it and write the value twice into the slot before the data lock",
            "DS40002138A table 2-3 (CountMatch)",
        )  # fmt: skip
    if config[68]:
        yield Finding(
            "use-lock", "warning", (68, 68), f"UseLock is {config[68]:02X}",
            "the part may refuse every command until it is unlocked with a key", "set it to 00",
            "DS40002138A table 2-3 (UseLock)",
        )  # fmt: skip
    if config[69] & 0x80:
        yield Finding(
            "volatile-key", "warning", (69, 69),
            f"VolatileKeyPermission lets slot {config[69] & 0x0F} switch keys on and off",
            "keys with PersistentDisable work only after an authorisation in every power cycle",
            "set byte 69 to 00 unless that is the purpose", "DS40002138A table 2-3",
        )  # fmt: skip
    if config[70] & 0x03:
        yield Finding(
            "secure-boot", "warning", (70, 71), f"SecureBoot mode {config[70] & 3} is on",
            "firmware is judged with the key in slot "
            f"{config[71] >> 4}; with a wrong one the board may never start again",
            "set bytes 70 and 71 to 00 unless that is the purpose", "DS40002138A table 2-3 (SecureBoot)",
        )  # fmt: skip
    if any(config[75:84]):
        yield Finding(
            "reserved-75", "error", (75, 83), "bytes 75 to 83 are not all 00",
            "the data sheet promises nothing", "set them to 00", "DS40002138A table 2-3",
        )  # fmt: skip


def _otp_mode(zone: Zone) -> Iterator[Finding]:
    byte = zone.config[18]
    if not zone.is_608 and byte not in (0xAA, 0x55):
        yield Finding(
            "otp-mode", "error", (18, 18), f"OTPmode {byte:02X} is neither AA nor 55",
            "the behaviour of the OTP zone is not defined", "use AA (read-only) or 55 (consumption)",
            "DS508 table 2-5",
        )  # fmt: skip


def _counters(zone: Zone) -> Iterator[Finding]:
    for number, at in enumerate((52, 60)):
        if zone.config[at : at + 8] != COUNTER_START:
            yield Finding(
                f"counter-{number}", "warning", (at, at + 7),
                f"Counter[{number}] does not begin at 0 ({zone.config[at : at + 8].hex(' ')})",
                "it never goes back; an illegal pattern may end it at once",
                "begin with FF FF FF FF 00 00 00 00", "DS508 2.2.6",
            )  # fmt: skip


def _last_key_use(zone: Zone) -> Iterator[Finding]:
    if zone.is_608:
        return
    uses = zone.config[68:84]
    if zone.slots[15].limited and not any(uses):
        yield Finding(
            "last-key-use", "error", (68, 83), "slot 15 counts its uses and LastKeyUse has none left",
            "the key in slot 15 can never be used", "set bytes 68 to 83 to FF", "DS508 3.2.6",
        )  # fmt: skip
    if not LEGAL_USES.issuperset(uses):
        yield Finding(
            "last-key-use-form", "warning", (68, 83), "LastKeyUse holds bytes that no use leaves behind",
            "how many uses are left is not defined", "use FF, or FF shifted right", "DS508 3.2.6",
        )  # fmt: skip


def _chip_options(zone: Zone) -> Iterator[Finding]:
    if not zone.is_608:
        return
    options = zone.config[90] | zone.config[91] << 8
    if options & 0x00F0:
        yield Finding(
            "chip-options", "error", (90, 91), "ChipOptions bits 7:4 are set", "they must be zero",
            "clear them", "DS40002138A table 2-3 (ChipOptions)",
        )  # fmt: skip
    key = zone.slots[options >> 12]
    if options & 0x0002 and not key.private and not key.secret:
        yield Finding(
            "readable-io-key", "error", key.where,
            f"the IO protection key in slot {key.number} can be read in clear",
            "protection of the bus with a key that anybody reads from the bus protects nothing",
            "set IsSecret on the slot", "DS40002138A table 2-3 (ChipOptions)",
        )  # fmt: skip


def _test_configuration(zone: Zone) -> Iterator[Finding]:
    if zone.config[20:52] == MONGOOSE_SLOTS and zone.config[96:128] == MONGOOSE_KEYS:
        yield Finding(
            "test-configuration", "error" if zone.production else "note", (20, 127),
            "the sample configuration of Mongoose OS, very permissive and only suitable for testing",
            "anybody on the bus replaces keys and data", "make a configuration of your own",
            "mongoose-os-libs/atca tools/atca-test-config.yaml",
        )  # fmt: skip


ZONE_RULES: tuple[Callable[[Zone], Iterator[Finding]], ...] = (
    _identity,
    _address,
    _reserved,
    _otp_mode,
    _migration,
    _chip_mode,
    _counters,
    _last_key_use,
    _lock_bytes,
    _chip_options,
    _test_configuration,
)
"""Every rule about the zone."""
