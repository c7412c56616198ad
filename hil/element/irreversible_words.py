"""What cannot be undone, four bytes at a time: words of data slots, and of an OTP zone that is consumed.

As in :mod:`hil.element.irreversible`, every function takes a permit and sends nothing on a guess.

Source: ATECC508A data sheet DS20005927A (DS508) sections 2.3, 2.4 and 9.21.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hil.element.change import change, covers
from hil.element.zones import (
    BLOCK,
    SLOT_SIZES,
    Zone,
    check_length,
    check_slot,
    data_address,
    otp_address,
)
from hil.errors import UsageError
from hil.guard.operations import Operation
from hil.wire.atecc import Command, Opcode

if TYPE_CHECKING:
    from hil.element.device import Element
    from hil.guard.permit import Permit

__all__ = ["clear_otp_bits", "write_slot_word"]

WORD = 4
_ALWAYS = 0
_CONSUMPTION = 0x55


def write_slot_word(element: Element, slot: int, offset: int, data: bytes, permit: Permit) -> None:
    """Write four bytes of a slot that everybody may read and write.

    Args:
        element: the element; its data zone must be locked, as words cannot be written before.
        slot: 0 to 15; IsSecret 0 and WriteConfig Always, no private key, not locked.
        offset: where in the slot, a multiple of 4.
        data: 4 bytes.
        permit: for ``WRITE_SLOT``.

    Raises:
        UsageError: it does not fit, or the slot's configuration does not allow it; nothing was sent.
    """
    check_length(data, WORD, "a word")
    if offset % WORD or not 0 <= offset <= SLOT_SIZES[check_slot(slot)] - WORD:
        raise UsageError(f"slot {slot} has no word at {offset}", hint=f"it holds {SLOT_SIZES[slot]} bytes")
    covers(element, permit, Operation.WRITE_SLOT, slot)
    config = element.config
    rules = config.slots[slot]
    if not config.data_locked:
        raise UsageError("the data zone is not locked: until then slots take 32 bytes at a time")
    if rules.key.private or rules.config.is_secret or rules.config.write_config != _ALWAYS:
        raise UsageError(
            f"slot {slot} takes no words: that needs IsSecret 0 and WriteConfig Always",
            hint="write_slot writes whole blocks",
        )
    if not config.slot_unlocked(slot):
        raise UsageError(f"slot {slot} is locked")
    block, word = offset // BLOCK, offset % BLOCK // WORD
    command = Command(Opcode.WRITE, Zone.DATA, data_address(slot, block, word), data)
    change(element, permit, [command], lambda _: element.read_slot_word(slot, block, word) == data)


def clear_otp_bits(element: Element, offset: int, mask: bytes, permit: Permit) -> bytes:
    """Clear bits of a word of the OTP zone of a 508A in consumption mode; returns what is left of it.

    Args:
        element: a 508A with OTPmode 55 and a locked data zone.
        offset: where in the zone, a multiple of 4.
        mask: 4 bytes; a bit stays 1 only if it was 1 and is 1 here.
        permit: for ``WRITE_OTP``.

    Raises:
        UsageError: this OTP zone cannot be consumed; nothing was sent.
    """
    check_length(mask, WORD, "a word")
    address = otp_address(offset)
    covers(element, permit, Operation.WRITE_OTP, None)
    config = element.config
    if not element.is_508 or config.otp_mode != _CONSUMPTION:
        raise UsageError("only the OTP zone of a 508A with OTPmode 55 can be consumed")
    if not config.data_locked:
        raise UsageError("the data zone is not locked: write_otp writes the whole zone", hint="lock it first")

    def word() -> bytes:
        return element.read_otp_block(offset // BLOCK)[offset % BLOCK :][:WORD]

    wanted = bytes(old & kept for old, kept in zip(word(), mask, strict=True))
    change(element, permit, [Command(Opcode.WRITE, Zone.OTP, address, mask)], lambda _: word() == wanted)
    return word()
