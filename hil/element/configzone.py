"""The configuration zone as a typed model that gives back its 128 bytes exactly.

Source: ATECC508A data sheet DS20005927A (DS508) tables 2-5 to 2-12; ATECC608A-TFLXTLS data sheet
DS40002138A table 2-3 for what a 608 reads in bytes 18, 19, 68 to 74, 85 and 90. The file forms are
in :mod:`hil.element.configfiles`, the words in :mod:`hil.element.configwords`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from hil.element.zones import CONFIG_SIZE, SLOTS, check_length, config_crc
from hil.errors import UsageError

__all__ = ["KEY_TYPE_AES", "KEY_TYPE_OTHER", "KEY_TYPE_P256", "ConfigZone", "KeyConfig", "Slot", "SlotConfig"]

KEY_TYPE_P256 = 4
KEY_TYPE_AES = 6
KEY_TYPE_OTHER = 7

UNLOCKED = 0x55
LOCKED = 0x00


def _bits(value: int, low: int, width: int) -> int:
    return value >> low & ((1 << width) - 1)


@dataclass(frozen=True, slots=True)
class SlotConfig:
    """Access rules of one slot (DS508 table 2-5).

    Attributes:
        read_key: slot of the read key; on a private slot four permission bits, see the properties.
        no_mac: the key is not usable by MAC, HMAC and SHA-HMAC.
        limited_use: each use is counted.
        encrypt_read: reads are encrypted under ``read_key``.
        is_secret: no clear reads, no 4-byte access.
        write_key: slot of the key for encrypted writes, and parent of DeriveKey.
        write_config: nibble that says how the slot may be written (DS508 tables 2-8 to 2-11).
    """

    read_key: int = 0
    no_mac: bool = False
    limited_use: bool = False
    encrypt_read: bool = False
    is_secret: bool = False
    write_key: int = 0
    write_config: int = 0

    @classmethod
    def from_int(cls, value: int) -> SlotConfig:
        """Decode 16 bits."""
        return cls(
            read_key=_bits(value, 0, 4),
            no_mac=bool(_bits(value, 4, 1)),
            limited_use=bool(_bits(value, 5, 1)),
            encrypt_read=bool(_bits(value, 6, 1)),
            is_secret=bool(_bits(value, 7, 1)),
            write_key=_bits(value, 8, 4),
            write_config=_bits(value, 12, 4),
        )

    def to_int(self) -> int:
        """The 16 bits."""
        return (
            _nibble(self.read_key, "ReadKey")
            | self.no_mac << 4
            | self.limited_use << 5
            | self.encrypt_read << 6
            | self.is_secret << 7
            | _nibble(self.write_key, "WriteKey") << 8
            | _nibble(self.write_config, "WriteConfig") << 12
        )

    @property
    def external_sign(self) -> bool:
        """Private slot: may sign digests from outside."""
        return bool(self.read_key & 0x1)

    @property
    def internal_sign(self) -> bool:
        """Private slot: may sign the element's own messages."""
        return bool(self.read_key & 0x2)

    @property
    def ecdh(self) -> bool:
        """Private slot: may agree on keys."""
        return bool(self.read_key & 0x4)

    @property
    def ecdh_to_next_slot(self) -> bool:
        """Private slot: the agreed key goes to the next slot instead of out in clear."""
        return bool(self.read_key & 0x8)


@dataclass(frozen=True, slots=True)
class KeyConfig:
    """What a slot holds (DS508 table 2-12).

    Attributes:
        private: an ECC private key.
        pub_info: private: its public key may be asked for. Public: it must be validated before use.
        key_type: 4 P-256, 6 AES (608), 7 anything else.
        lockable: the slot can be locked alone.
        req_random: needs a nonce from the random generator.
        req_auth: needs an authorisation with ``auth_key`` first.
        auth_key: slot of that key.
        disable: 508A IntrusionDisable, 608 PersistentDisable.
        reserved13: bit 13, zero on all known parts.
        x509_id: which X509format applies to a public key.
    """

    private: bool = False
    pub_info: bool = False
    key_type: int = KEY_TYPE_OTHER
    lockable: bool = False
    req_random: bool = False
    req_auth: bool = False
    auth_key: int = 0
    disable: bool = False
    reserved13: bool = False
    x509_id: int = 0

    @classmethod
    def from_int(cls, value: int) -> KeyConfig:
        """Decode 16 bits."""
        return cls(
            private=bool(_bits(value, 0, 1)),
            pub_info=bool(_bits(value, 1, 1)),
            key_type=_bits(value, 2, 3),
            lockable=bool(_bits(value, 5, 1)),
            req_random=bool(_bits(value, 6, 1)),
            req_auth=bool(_bits(value, 7, 1)),
            auth_key=_bits(value, 8, 4),
            disable=bool(_bits(value, 12, 1)),
            reserved13=bool(_bits(value, 13, 1)),
            x509_id=_bits(value, 14, 2),
        )

    def to_int(self) -> int:
        """The 16 bits."""
        if not 0 <= self.key_type <= 7 or not 0 <= self.x509_id <= 3:
            raise UsageError(f"key type {self.key_type} or X509id {self.x509_id} does not fit")
        return (
            int(self.private)
            | self.pub_info << 1
            | self.key_type << 2
            | self.lockable << 5
            | self.req_random << 6
            | self.req_auth << 7
            | _nibble(self.auth_key, "AuthKey") << 8
            | self.disable << 12
            | self.reserved13 << 13
            | self.x509_id << 14
        )


@dataclass(frozen=True, slots=True)
class Slot:
    """Both configuration words of one slot."""

    config: SlotConfig
    key: KeyConfig

    @property
    def holds_private_key(self) -> bool:
        """Whether Lock(data) leaves the slot out of its checksum: an ECC private key."""
        return self.key.private and self.key.key_type == KEY_TYPE_P256


@dataclass(frozen=True, slots=True)
class ConfigZone:
    """All 128 bytes, by field; ``from_bytes`` and ``to_bytes`` lose nothing.

    Attributes:
        serial: SN[0:8], configuration bytes 0 to 3 and 8 to 12.
        revision: bytes 4 to 7; only Info(Revision) identifies the silicon.
        reserved13: byte 13; bit 0 is AES_Enable on a 608.
        i2c_enable: byte 14; bit 0 = I2C, the rest differs from die to die.
        reserved15, reserved17: bytes 15 and 17.
        i2c_address: byte 16, the address shifted left by one.
        otp_mode: byte 18; on a 608 CountMatch.
        chip_mode: byte 19.
        slots: SlotConfig (20 to 51) and KeyConfig (96 to 127) of the 16 slots.
        counter0, counter1: bytes 52 to 67 in their EEPROM encoding.
        last_key_use: bytes 68 to 83; on a 608 UseLock, VolatileKeyPermission, SecureBoot, KdfIv.
        user_extra, selector: bytes 84 and 85.
        lock_value, lock_config: bytes 86 and 87; 55 = unlocked, anything else is locked.
        slot_locked: bytes 88 and 89; bit n = 1: slot n is *not* locked.
        chip_options: bytes 90 and 91; zero on a 508A.
        x509_format: bytes 92 to 95.
    """

    serial: bytes
    revision: bytes
    reserved13: int
    i2c_enable: int
    reserved15: int
    i2c_address: int
    reserved17: int
    otp_mode: int
    chip_mode: int
    slots: tuple[Slot, ...]
    counter0: bytes
    counter1: bytes
    last_key_use: bytes
    user_extra: int
    selector: int
    lock_value: int
    lock_config: int
    slot_locked: int
    chip_options: int
    x509_format: bytes

    @classmethod
    def from_bytes(cls, data: bytes) -> ConfigZone:
        """Decode the zone as Read delivers it.

        Raises:
            UsageError: it is not 128 bytes.
        """
        raw = check_length(bytes(data), CONFIG_SIZE, "the configuration zone")

        def word(at: int) -> int:
            return raw[at] | raw[at + 1] << 8

        return cls(
            serial=raw[0:4] + raw[8:13],
            revision=raw[4:8],
            reserved13=raw[13],
            i2c_enable=raw[14],
            reserved15=raw[15],
            i2c_address=raw[16],
            reserved17=raw[17],
            otp_mode=raw[18],
            chip_mode=raw[19],
            slots=tuple(
                Slot(SlotConfig.from_int(word(20 + 2 * n)), KeyConfig.from_int(word(96 + 2 * n)))
                for n in range(SLOTS)
            ),
            counter0=raw[52:60],
            counter1=raw[60:68],
            last_key_use=raw[68:84],
            user_extra=raw[84],
            selector=raw[85],
            lock_value=raw[86],
            lock_config=raw[87],
            slot_locked=word(88),
            chip_options=word(90),
            x509_format=raw[92:96],
        )

    def to_bytes(self) -> bytes:
        """The 128 bytes.

        Raises:
            UsageError: a field does not fit; the message names it.
        """
        if len(self.slots) != SLOTS:
            raise UsageError(f"a configuration has {SLOTS} slots, not {len(self.slots)}")
        check_length(self.serial, 9, "the serial number")
        head = self.serial[:4] + check_length(self.revision, 4, "the revision") + self.serial[4:]
        return b"".join(
            (
                head,
                _byte(self.reserved13, "byte 13"),
                _byte(self.i2c_enable, "I2C_Enable"),
                _byte(self.reserved15, "byte 15"),
                _byte(self.i2c_address, "I2C_Address"),
                _byte(self.reserved17, "byte 17"),
                _byte(self.otp_mode, "OTPmode"),
                _byte(self.chip_mode, "ChipMode"),
                *(_word(slot.config.to_int(), "SlotConfig") for slot in self.slots),
                check_length(self.counter0, 8, "Counter[0]"),
                check_length(self.counter1, 8, "Counter[1]"),
                check_length(self.last_key_use, 16, "LastKeyUse"),
                _byte(self.user_extra, "UserExtra"),
                _byte(self.selector, "Selector"),
                _byte(self.lock_value, "LockValue"),
                _byte(self.lock_config, "LockConfig"),
                _word(self.slot_locked, "SlotLocked"),
                _word(self.chip_options, "ChipOptions"),
                check_length(self.x509_format, 4, "X509format"),
                *(_word(slot.key.to_int(), "KeyConfig") for slot in self.slots),
            )
        )

    @property
    def address(self) -> int:
        """The 7-bit I2C address."""
        return self.i2c_address >> 1

    @property
    def config_locked(self) -> bool:
        """Whether the configuration zone is locked."""
        return self.lock_config != UNLOCKED

    @property
    def data_locked(self) -> bool:
        """Whether the data and OTP zones are locked."""
        return self.lock_value != UNLOCKED

    @property
    def private_slots(self) -> tuple[int, ...]:
        """Slots that hold ECC private keys."""
        return tuple(n for n, slot in enumerate(self.slots) if slot.holds_private_key)

    @property
    def data_slots(self) -> tuple[int, ...]:
        """Slots that Lock(data) counts in its checksum."""
        return tuple(n for n, slot in enumerate(self.slots) if not slot.holds_private_key)

    def slot_unlocked(self, slot: int) -> bool:
        """Whether the slot was not locked by itself."""
        return bool(self.slot_locked >> slot & 1)

    @property
    def crc(self) -> int:
        """Param2 of Lock(config) for exactly these bytes."""
        return config_crc(self.to_bytes())

    def onto(self, part: ConfigZone) -> ConfigZone:
        """This configuration with the bytes of ``part`` that no Write can change.

        Those are bytes 0 to 15 (identity) and 84 to 87 (UserExtra, Selector and the locks): what
        the zone of that part will be once this configuration has been written to it.
        """
        return replace(
            self,
            serial=part.serial,
            revision=part.revision,
            reserved13=part.reserved13,
            i2c_enable=part.i2c_enable,
            reserved15=part.reserved15,
            user_extra=part.user_extra,
            selector=part.selector,
            lock_value=part.lock_value,
            lock_config=part.lock_config,
        )


def _nibble(value: int, what: str) -> int:
    if not 0 <= value <= 0xF:
        raise UsageError(f"{what} {value} does not fit in four bits")
    return value


def _byte(value: int, what: str) -> bytes:
    if not 0 <= value <= 0xFF:
        raise UsageError(f"{what} {value} does not fit in a byte")
    return bytes((value,))


def _word(value: int, what: str) -> bytes:
    if not 0 <= value <= 0xFFFF:
        raise UsageError(f"{what} {value} does not fit in two bytes")
    return value.to_bytes(2, "little")
