"""Zones of the parts: sizes, addresses, and the summary checksums that Lock compares.

Source: ATECC508A data sheet DS20005927A (DS508), sections 2 and 9.11; the 608 keeps the geometry.
"""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING

from hil.errors import UsageError
from hil.wire.atecc import crc16

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

__all__ = [
    "BLOCK",
    "CONFIG_SIZE",
    "OTP_SIZE",
    "SLOTS",
    "SLOT_SIZES",
    "Zone",
    "blocks_of",
    "check_length",
    "check_slot",
    "config_address",
    "config_crc",
    "data_address",
    "data_crc",
    "otp_address",
]

BLOCK = 32
CONFIG_SIZE = 128
OTP_SIZE = 64
SLOTS = 16
SLOT_SIZES: tuple[int, ...] = (36,) * 8 + (416,) + (72,) * 7
"""Bytes in slots 0 to 15 (DS508 table 2-1)."""


class Zone(IntEnum):
    """Bits 1:0 of the Read and Write mode (DS508 section 9.16)."""

    CONFIG = 0
    OTP = 1
    DATA = 2


def check_slot(slot: int) -> int:
    """``slot`` itself.

    Raises:
        UsageError: there is no such slot.
    """
    if not 0 <= slot < SLOTS:
        raise UsageError(f"slot {slot} does not exist", hint="slots are numbered 0 to 15")
    return slot


def check_length(data: bytes, length: int, what: str) -> bytes:
    """``data`` itself; the message names the lengths and never the bytes.

    Raises:
        UsageError: it has another length.
    """
    found = len(data)
    if found == length:
        return data
    del data  # it may be a key, and pytest shows the arguments of the function that raises
    raise UsageError(f"{what} has {length} bytes, not {found}")


def blocks_of(slot: int) -> int:
    """How many 32-byte blocks cover ``slot``; the last one is partly outside the slot."""
    return -(-SLOT_SIZES[check_slot(slot)] // BLOCK)


def config_address(offset: int) -> int:
    """Param2 for the configuration byte at ``offset``, a multiple of 4: block in 4:3, word in 2:0."""
    if not 0 <= offset < CONFIG_SIZE or offset % 4:
        raise UsageError(f"configuration offset {offset} is not a word in 0 to {CONFIG_SIZE - 4}")
    return offset // 4


def otp_address(offset: int) -> int:
    """Param2 for the OTP byte at ``offset``, a multiple of 4: block in bit 3, word in 2:0."""
    if not 0 <= offset < OTP_SIZE or offset % 4:
        raise UsageError(f"OTP offset {offset} is not a word in 0 to {OTP_SIZE - 4}")
    return offset // 4


def data_address(slot: int, block: int, word: int = 0) -> int:
    """Param2 for a data slot: word in 2:0, slot in 6:3, block from bit 8 on (DS508 table 9-8)."""
    if not 0 <= block < blocks_of(slot) or not 0 <= word < 8:
        raise UsageError(
            f"slot {slot} has no block {block} word {word}",
            hint=f"it holds {SLOT_SIZES[slot]} bytes in {blocks_of(slot)} blocks",
        )
    return word | slot << 3 | block << 8


def config_crc(config: bytes) -> int:
    """Param2 of Lock(config): CRC-16 over all 128 bytes as they are before the lock."""
    return int.from_bytes(crc16(check_length(config, CONFIG_SIZE, "the configuration zone")), "little")


def data_crc(slots: Mapping[int, bytes], otp: bytes, private: Collection[int]) -> int:
    """Param2 of Lock(data): CRC-16 over the slots in order, without ECC private keys, then OTP.

    Args:
        slots: full content of every slot that holds no ECC private key.
        otp: 64 bytes.
        private: slots whose KeyConfig says ECC private key; they are left out.

    Raises:
        UsageError: a slot is missing, has another size, or OTP is not 64 bytes.
    """
    counted = [slot for slot in range(SLOTS) if slot not in private]
    missing = [slot for slot in counted if slot not in slots]
    if missing:
        raise UsageError(
            f"the content of slots {', '.join(map(str, missing))} is unknown",
            hint="the data zone cannot be read before it is locked: write every non-private slot, then lock",
        )
    content = b"".join(check_length(slots[slot], SLOT_SIZES[slot], f"slot {slot}") for slot in counted)
    return int.from_bytes(crc16(content + check_length(otp, OTP_SIZE, "the OTP zone")), "little")
