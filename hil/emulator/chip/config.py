"""The words of the configuration zone, taken apart (DS508 section 2.2; DS40002138A table 2-3).

Parsing is cached by value: a zone has sixteen slots and few distinct words.
"""

from __future__ import annotations

from enum import IntEnum
from functools import lru_cache

import msgspec

__all__ = [
    "ChipOptions",
    "KeyConfig",
    "KeyType",
    "SecureBootWord",
    "SlotConfig",
    "chip_options",
    "decode_counter",
    "encode_counter",
    "key_config",
    "secure_boot_word",
    "slot_config",
]

AES_ENABLE = 13
I2C_ADDRESS = 16
OTP_MODE = 18
"""508A: OTPmode; 608: CountMatch."""
CHIP_MODE = 19
SLOT_CONFIG = 20
COUNTER = (52, 60)
LAST_KEY_USE = 68
VOLATILE_KEY = 69
SECURE_BOOT = 70
KDF_IV_LOC = 72
KDF_IV_STR = 73
USER_EXTRA = 84
SELECTOR = 85
"""508A: Selector; 608: UserExtraAdd."""
LOCK_DATA = 86
LOCK_CONFIG = 87
SLOT_LOCKED = 88
CHIP_OPTIONS = 90
X509_FORMAT = 92
KEY_CONFIG = 96
UNLOCKED = 0x55
"""A zone is open only while its lock byte has this value (DS508 section 2.4)."""

COUNTER_MAX = 2_097_151


class KeyType(IntEnum):
    """KeyConfig bits 4:2."""

    P256 = 4
    AES = 6
    OTHER = 7


class SlotConfig(msgspec.Struct, frozen=True):
    """One SlotConfig word. ``read_key`` of a private slot holds its permissions instead."""

    read_key: int
    no_mac: bool
    limited: bool
    encrypt_read: bool
    secret: bool
    write_key: int
    write_config: int

    @property
    def external_sign(self) -> bool:
        """Private slot: may sign messages from outside."""
        return bool(self.read_key & 1)

    @property
    def internal_sign(self) -> bool:
        """Private slot: may sign digests that GenDig or GenKey made."""
        return bool(self.read_key & 2)

    @property
    def ecdh(self) -> bool:
        """Private slot: ECDH is allowed."""
        return bool(self.read_key & 4)

    @property
    def ecdh_to_next(self) -> bool:
        """Private slot: the shared secret goes to the next slot, not to the output."""
        return bool(self.read_key & 8)


class KeyConfig(msgspec.Struct, frozen=True):
    """One KeyConfig word. ``persistent_disable`` is IntrusionDisable on the 508A."""

    private: bool
    pub_info: bool
    key_type: int
    lockable: bool
    req_random: bool
    req_auth: bool
    auth_key: int
    persistent_disable: bool
    x509_id: int


class ChipOptions(msgspec.Struct, frozen=True):
    """ChipOptions word of the 608 (DS40002138A table 2-3)."""

    power_on_self_test: bool
    io_key_enabled: bool
    kdf_aes_enabled: bool
    auto_clear_health: bool
    ecdh_protect: int
    kdf_protect: int
    io_key: int


class SecureBootWord(msgspec.Struct, frozen=True):
    """SecureBoot word of the 608; ``mode`` 0 off, 1 FullBoth, 2 FullSig, 3 FullDig."""

    mode: int
    latch: bool
    random_nonce: bool
    digest_slot: int
    key_slot: int


@lru_cache(maxsize=4096)
def slot_config(word: int) -> SlotConfig:
    """A SlotConfig word, little-endian value."""
    return SlotConfig(
        read_key=word & 0xF,
        no_mac=bool(word & 0x10),
        limited=bool(word & 0x20),
        encrypt_read=bool(word & 0x40),
        secret=bool(word & 0x80),
        write_key=word >> 8 & 0xF,
        write_config=word >> 12,
    )


@lru_cache(maxsize=4096)
def key_config(word: int) -> KeyConfig:
    """A KeyConfig word, little-endian value."""
    return KeyConfig(
        private=bool(word & 1),
        pub_info=bool(word & 2),
        key_type=word >> 2 & 7,
        lockable=bool(word & 0x20),
        req_random=bool(word & 0x40),
        req_auth=bool(word & 0x80),
        auth_key=word >> 8 & 0xF,
        persistent_disable=bool(word & 0x1000),
        x509_id=word >> 14,
    )


@lru_cache(maxsize=64)
def chip_options(word: int) -> ChipOptions:
    """A ChipOptions word, little-endian value."""
    return ChipOptions(
        power_on_self_test=bool(word & 1),
        io_key_enabled=bool(word & 2),
        kdf_aes_enabled=bool(word & 4),
        auto_clear_health=bool(word & 8),
        ecdh_protect=word >> 8 & 3,
        kdf_protect=word >> 10 & 3,
        io_key=word >> 12,
    )


def secure_boot_word(word: int, *, latch_bit: int, nonce_bit: int) -> SecureBootWord:
    """A SecureBoot word; the sources disagree where the two flags are (see the knob)."""
    return SecureBootWord(
        mode=word & 3,
        latch=bool(word >> latch_bit & 1),
        random_nonce=bool(word >> nonce_bit & 1),
        digest_slot=word >> 8 & 0xF,
        key_slot=word >> 12,
    )


def encode_counter(value: int) -> bytes:
    """The 8 bytes of the configuration zone that stand for a counter value.

    Two unary halves (16 bits each, big-endian) advance in turn, two binary ones count their
    rounds, so that no interrupted write can lose a count (DS508 section 9.3).
    """
    lin_a = 0xFFFF >> (value % 32)
    bin_a = value // 32
    lin_b = 0xFFFF >> ((value - 16) % 32) if value >= 16 else 0xFFFF
    bin_b = (value - 16) // 32 if value >= 16 else 0
    return b"".join(part.to_bytes(2, "big") for part in (lin_a, lin_b, bin_a, bin_b))


def decode_counter(field: bytes) -> int:
    """The counter value that 8 bytes of the configuration zone stand for."""
    lin_a, lin_b, bin_a = (int.from_bytes(field[i : i + 2], "big") for i in (0, 2, 4))
    if lin_a:
        return 32 * bin_a + 16 - lin_a.bit_count()
    return 32 * bin_a + 32 - lin_b.bit_count()
