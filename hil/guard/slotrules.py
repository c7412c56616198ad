"""What cannot be seen in a packet: which keys count their uses, and where ECDH leaves its result.

Both are bits of the element's configuration. The guard reads the configuration zone before the
element is used and judges every command with it; as long as it has not, every use of a key counts
as one that may be limited. Nothing here is learned from traffic.

Sources: ATECC508A data sheet DS20005927A (DS508) sections 2.2.1 (table 2-5), 3.2.5, 9.1.6;
ATECC608A-TFLXTLS data sheet DS40002138A section 5 for the commands that a 508A lacks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from hil.guard.operations import Operation, classify, slot_of
from hil.wire.atecc import Command, Opcode

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["UNREAD", "SlotRules", "classify_on", "keys_used", "operation_slot"]

SLOTS = frozenset(range(16))
_NO_SLOT = 0xFFFF
_ONLY_608 = frozenset({Opcode.AES, Opcode.KDF})
"""Commands that a 508A does not have."""
_FAMILY, _SLOT_CONFIG, _SECURE_BOOT, _KEY_CONFIG = 6, 20, 70, 96


class SlotRules(msgspec.Struct, frozen=True):
    """What a configuration zone says about the effects of reversible-looking commands.

    Attributes:
        limited: slots whose keys count their uses (SlotConfig bit 5).
        ecdh_next: private slots whose ECDH result goes into the next slot (ReadKey bit 3).
        boot_slots: slots that SecureBoot uses (608).
        ephemeral: GenKey(04, FFFF) makes a key in TempKey; False on a 508A, which has no such mode.
        read: the configuration was read.
    """

    limited: frozenset[int]
    ecdh_next: frozenset[int]
    boot_slots: frozenset[int]
    ephemeral: bool
    read: bool = True

    @classmethod
    def of(cls, config: bytes) -> SlotRules:
        """The rules of 128 configuration bytes."""

        def word(at: int) -> int:
            return config[at] | config[at + 1] << 8

        private = {n for n in SLOTS if word(_KEY_CONFIG + 2 * n) & 1}
        is_608 = config[_FAMILY] == 0x60
        return cls(
            limited=frozenset(n for n in SLOTS if word(_SLOT_CONFIG + 2 * n) & 0x20),
            ecdh_next=frozenset(n for n in private if word(_SLOT_CONFIG + 2 * n) & 0x08),
            boot_slots=frozenset({word(_SECURE_BOOT) >> 12, word(_SECURE_BOOT) >> 8 & 0x0F})
            if is_608
            else frozenset(),
            ephemeral=is_608,
        )


UNREAD = SlotRules(limited=SLOTS, ecdh_next=SLOTS, boot_slots=SLOTS, ephemeral=False, read=False)
"""A configuration that nobody has read: every key may count its uses."""


def _p2_slot(command: Command) -> frozenset[int]:
    return frozenset() if command.p2 == _NO_SLOT else frozenset({command.p2 & 0x0F})


def _unless(mask: int) -> Callable[[Command], frozenset[int]]:
    """The slot of p2, unless mode bits say that the key comes from elsewhere."""
    return lambda command: frozenset() if command.p1 & mask else _p2_slot(command)


def _if_mode(*modes: int, mask: int = 0xFF) -> Callable[[Command], frozenset[int]]:
    return lambda command: _p2_slot(command) if command.p1 & mask in modes else frozenset()


def _kdf(command: Command) -> frozenset[int]:
    """The source slot, and for HKDF a message that lies in a slot (details bits 1:0 and 11:8)."""
    used = _p2_slot(command) if command.p1 & 0x03 == 2 else frozenset[int]()
    if command.p1 & 0x60 == 0x40 and len(command.data) >= 4 and not command.data[0] & 0x03:
        used |= {command.data[1] & 0x0F}
    return used


_KEY_USES: Mapping[int, Callable[[Command], frozenset[int]]] = {
    Opcode.MAC: _unless(0x02),
    Opcode.CHECKMAC: _unless(0x02),
    Opcode.HMAC: _p2_slot,
    Opcode.GENDIG: _if_mode(2),
    Opcode.GENKEY: _if_mode(0x10, mask=0x10),
    Opcode.SIGN: _p2_slot,
    Opcode.ECDH: _unless(0x01),
    Opcode.VERIFY: _if_mode(0, mask=0x07),
    Opcode.SHA: _if_mode(3, 4, mask=0x07),
    Opcode.AES: _p2_slot,
    Opcode.KDF: _kdf,
}
"""Which slots' keys a command uses (DS508 section 3.2.5); Read, Write and key generation use none."""


def keys_used(command: Command, rules: SlotRules) -> frozenset[int]:
    """Slots whose keys ``command`` uses, so that a limited one would count."""
    if command.opcode == Opcode.SECUREBOOT:
        return rules.boot_slots
    if command.p2 == _NO_SLOT and not rules.ephemeral and command.opcode not in _ONLY_608:
        # For a 608 that is TempKey. A 508A looks at the low four bits and takes slot 15.
        command = Command(command.opcode, command.p1, _NO_SLOT & 0x0F, command.data)
    use = _KEY_USES.get(command.opcode)
    return frozenset() if use is None else use(command)


def classify_on(command: Command, rules: SlotRules) -> Operation | None:
    """The irreversible operation that ``command`` performs on an element with these rules, or None."""
    operation = classify(command)
    if operation is not None:
        return operation
    if command.opcode == Opcode.GENKEY and command.p1 == 0x04 and not rules.ephemeral:
        return Operation.GENERATE_KEY  # p2 is FFFF here; a 508A may look at its low four bits only
    if command.opcode == Opcode.ECDH and command.p1 == 0x00 and command.p2 & 0x0F in rules.ecdh_next:
        return Operation.ECDH_INTO_SLOT if rules.read else Operation.LIMITED_USE
    if keys_used(command, rules) & rules.limited:
        return Operation.LIMITED_USE
    return None


def operation_slot(command: Command, rules: SlotRules) -> int | None:
    """The slot that an irreversible ``command`` changes, or None if it is not one slot.

    For a limited use that is the slot of the key.
    """
    operation = classify_on(command, rules)
    if operation is Operation.LIMITED_USE:
        used = sorted(keys_used(command, rules) & rules.limited)
        return used[0] if len(used) == 1 else None
    if operation is Operation.ECDH_INTO_SLOT and command.p1 == 0x00:
        return (command.p2 & 0x0F) + 1
    if operation is Operation.GENERATE_KEY:
        return command.p2 & 0x0F
    return slot_of(command)
