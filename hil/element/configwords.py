"""A configuration in words: what each slot is for, and what differs between two configurations.

Source: ATECC508A data sheet DS20005927A tables 2-5 to 2-12 (WriteConfig: 2-8 to 2-11).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hil.element.configzone import KEY_TYPE_AES, KEY_TYPE_P256
from hil.element.zones import CONFIG_SIZE, SLOT_SIZES, SLOTS, check_slot

if TYPE_CHECKING:
    from hil.element.configzone import ConfigZone, Slot

__all__ = ["Difference", "describe", "describe_slot", "diff", "field_at"]


@dataclass(frozen=True, slots=True)
class Difference:
    """One field that differs.

    Attributes:
        offset: first byte of the field in the zone.
        field: its name, e.g. ``"SlotConfig[4]"``.
        before, after: its bytes.
    """

    offset: int
    field: str
    before: bytes
    after: bytes

    def __str__(self) -> str:
        return f"byte {self.offset:3} {self.field}: {self.before.hex(' ')} → {self.after.hex(' ')}"


_FIELDS: tuple[tuple[int, int, str], ...] = (
    (0, 4, "SN[0:3]"),
    (4, 4, "RevNum"),
    (8, 5, "SN[4:8]"),
    (13, 1, "reserved 13 / AES_Enable"),
    (14, 1, "I2C_Enable"),
    (15, 1, "reserved 15"),
    (16, 1, "I2C_Address"),
    (17, 1, "reserved 17"),
    (18, 1, "OTPmode / CountMatch"),
    (19, 1, "ChipMode"),
    *((20 + 2 * n, 2, f"SlotConfig[{n}]") for n in range(SLOTS)),
    (52, 8, "Counter[0]"),
    (60, 8, "Counter[1]"),
    (68, 1, "LastKeyUse[0] / UseLock"),
    (69, 1, "LastKeyUse[1] / VolatileKeyPermission"),
    (70, 2, "LastKeyUse[2:3] / SecureBoot"),
    (72, 1, "LastKeyUse[4] / KdfIvLoc"),
    (73, 2, "LastKeyUse[5:6] / KdfIvStr"),
    (75, 9, "LastKeyUse[7:15] / reserved"),
    (84, 1, "UserExtra"),
    (85, 1, "Selector / UserExtraAdd"),
    (86, 1, "LockValue"),
    (87, 1, "LockConfig"),
    (88, 2, "SlotLocked"),
    (90, 2, "reserved 90 / ChipOptions"),
    (92, 4, "X509format"),
    *((96 + 2 * n, 2, f"KeyConfig[{n}]") for n in range(SLOTS)),
)


def field_at(offset: int) -> str:
    """Name of the field that the byte at ``offset`` belongs to."""
    return next(name for start, size, name in _FIELDS if start <= offset < start + size)


def diff(before: ConfigZone, after: ConfigZone) -> list[Difference]:
    """Every field that differs, in the order of the zone."""
    old, new = before.to_bytes(), after.to_bytes()
    assert len(old) == len(new) == CONFIG_SIZE
    return [
        Difference(start, name, old[start : start + size], new[start : start + size])
        for start, size, name in _FIELDS
        if old[start : start + size] != new[start : start + size]
    ]


def describe(config: ConfigZone) -> str:
    """The whole configuration, one line a slot."""
    locked = {True: "locked", False: "unlocked"}
    head = (
        f"address 0x{config.address:02x}, configuration {locked[config.config_locked]}, "
        f"data {locked[config.data_locked]}"
    )
    return "\n".join((head, *(f"slot {n:2}: {describe_slot(config, n)}" for n in range(SLOTS))))


def describe_slot(config: ConfigZone, slot: int) -> str:
    """One slot in words: what it holds, who may read, use and write it."""
    entry = config.slots[check_slot(slot)]
    parts = [_kind(entry, slot), *_use(entry), _reading(entry), _writing(entry)]
    if not config.slot_unlocked(slot):
        parts.append("locked for ever")
    elif entry.key.lockable:
        parts.append("can be locked alone")
    return "; ".join(part for part in parts if part)


def _kind(entry: Slot, slot: int) -> str:
    key = entry.key
    if entry.holds_private_key:
        return "P-256 private key" + ("" if entry.config.is_secret else " (unusable: IsSecret is 0)")
    if key.private:
        return f"private key of the unknown type {key.key_type}"
    if key.key_type == KEY_TYPE_P256:
        if slot < 8:
            return f"{SLOT_SIZES[slot]} bytes, too small for the public key that its type says"
        return "P-256 public key" + (", to be validated before use" if key.pub_info else "")
    if key.key_type == KEY_TYPE_AES:
        return f"AES keys, {SLOT_SIZES[slot]} bytes"
    return f"{SLOT_SIZES[slot]} bytes of {'secret' if entry.config.is_secret else 'data'}"


def _use(entry: Slot) -> list[str]:
    key, rules = entry.key, entry.config
    words = []
    if entry.holds_private_key:
        uses = [
            name
            for name, allowed in (
                ("signs digests from outside", rules.external_sign),
                ("signs the element's own messages", rules.internal_sign),
                ("agrees on keys (ECDH)", rules.ecdh),
                ("hands agreed keys to the next slot", rules.ecdh and rules.ecdh_to_next_slot),
            )
            if allowed
        ]
        words.append(", ".join(uses) or "may not be used at all")
        words.append("public key on request" if key.pub_info else "public key stays inside")
    if rules.no_mac:
        words.append("not for MACs")
    if rules.limited_use:
        words.append("uses are counted and limited")
    if key.req_random:
        words.append("needs a random nonce")
    if key.req_auth:
        words.append(f"needs authorisation by key {key.auth_key}")
    if key.disable:
        words.append("can be disabled by the latch")
    return words


def _reading(entry: Slot) -> str:
    rules = entry.config
    if entry.key.private:
        return "never readable"
    if rules.is_secret:
        return f"read encrypted under key {rules.read_key}" if rules.encrypt_read else "never readable"
    if rules.encrypt_read:
        return "EncryptRead without IsSecret, which the data sheet forbids"
    return "read in clear"


def _writing(entry: Slot) -> str:
    rules = entry.config
    nibble = rules.write_config
    ways = []
    if entry.key.private:
        if nibble & 0x2:
            ways.append("GenKey makes a new key")
        if nibble & 0x4:
            ways.append(f"PrivWrite encrypted under key {rules.write_key}")
        return ", ".join(ways) or "never changes once the data zone is locked"
    if nibble == 0:
        ways.append("written in clear")
    elif nibble == 1:
        ways.append("written in clear unless it holds a validated public key")
    elif nibble & 0x4:
        ways.append(f"written encrypted under key {rules.write_key}")
    if nibble & 0x2:
        how = f"from key {rules.write_key}" if nibble & 0x1 else "by rolling"
        ways.append(f"DeriveKey {how}" + (" with a MAC" if nibble & 0x8 else ""))
    return ", ".join(ways) or "never written once the data zone is locked"
