"""What an open intent came to: said by reading the element back, never by guessing.

Each operation has its own way of showing. Some show nothing that can be read: then that is said, and a
person has to decide.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from hil.element.configwords import diff
from hil.element.configzone import ConfigZone
from hil.errors import ElementError
from hil.guard.operations import Operation
from hil.wire.atecc import Status

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from hil.element.device import Element
    from hil.guard.ledger import LedgerEntry

__all__ = ["Inspection", "inspect", "inspect_by_console"]


_COUNTERS = slice(52, 68)
"""Both counters in the configuration zone (DS508 table 2-5)."""


class Inspection(msgspec.Struct, frozen=True):
    """What the element shows.

    Attributes:
        found: in words.
        certain: it tells whether the operation took effect.
    """

    found: str
    certain: bool


def inspect(element: Element, intent: LedgerEntry) -> Inspection:
    """Read back what an intent was about.

    Args:
        element: the element, answering.
        intent: an open intent of this element's ledger.
    """
    look = _LOOKS.get(str(intent.fields.get("operation")), _nothing_to_see)
    return look(element, intent)


def inspect_by_console(public_key: Callable[[int], bytes], intent: LedgerEntry) -> Inspection:
    """Read back what a provisioning console can show, which is public keys.

    Args:
        public_key: asks the console for the public key of a slot.
        intent: an open intent of the ledger of the element behind it.
    """
    operation, slot = intent.fields.get("operation"), intent.fields.get("slot")
    if operation not in (Operation.GENERATE_KEY, Operation.WRITE_PRIVATE_KEY):
        return Inspection(f"{operation} cannot be read back over a provisioning console", certain=False)
    return _key_found(int(str(slot)), public_key(int(str(slot))), intent)


def _zone_lock(element: Element, intent: LedgerEntry) -> Inspection:
    locks = element.lock_state()
    config = intent.fields["operation"] == Operation.LOCK_CONFIG
    name, locked = ("configuration", locks.config) if config else ("data", locks.data)
    words = f"the {name} zone is {'locked' if locked else 'open: nothing was locked'}"
    if config and locked and "config" in intent.fields:
        words += f", {_compared(element.config, intent)}"
    return Inspection(words, certain=True)


def _slot_lock(element: Element, intent: LedgerEntry) -> Inspection:
    slot = intent.fields.get("slot")
    locked = slot in element.lock_state().slots
    return Inspection(f"slot {slot} is {'locked' if locked else 'open: it was not locked'}", certain=True)


def _configuration(element: Element, intent: LedgerEntry) -> Inspection:
    present = element.config
    return Inspection(
        f"the configuration zone {_compared(present, intent)}", certain="config" in intent.fields
    )


def _compared(present: ConfigZone, intent: LedgerEntry) -> str:
    if "config" not in intent.fields:
        return f"reads {present.to_bytes().hex()}"
    intended = ConfigZone.from_bytes(bytes.fromhex(str(intent.fields["config"])))
    differing = diff(intended.onto(present), present)
    if not differing:
        return "holds what was intended"
    return (
        f"differs from what was intended in {len(differing)} fields (intended → found), first {differing[0]}"
    )


def _counters(element: Element, intent: LedgerEntry) -> Inspection:
    values = ", ".join(f"counter {n} is {element.counter(n)}" for n in (0, 1))
    if "before" not in intent.fields:
        return Inspection(values, certain=False)
    before = bytes.fromhex(str(intent.fields["before"]))
    same = before[_COUNTERS] == element.read_config()[_COUNTERS]
    return Inspection(f"{values}: {'nothing was' if same else 'it was'} counted", certain=True)


def _extra(element: Element, intent: LedgerEntry) -> Inspection:
    word = element.read_config_word(84)
    return Inspection(f"UserExtra is {word[0]:02X}, Selector is {word[1]:02X}", certain=True)


def _key(element: Element, intent: LedgerEntry) -> Inspection:
    slot = int(str(intent.fields["slot"]))
    try:
        public = element.public_key(slot)
    except ElementError as error:
        if error.status != Status.EXECUTION:
            raise
        return Inspection(f"slot {slot} tells no public key: it holds no complete key", certain=True)
    return _key_found(slot, public, intent)


def _key_found(slot: int, public: bytes, intent: LedgerEntry) -> Inspection:
    intended = intent.fields.get("public_key")
    if intended is None:
        return Inspection(f"slot {slot} holds the key with the public key {public.hex()}", certain=False)
    same = "the intended key" if public.hex() == intended else f"another key, {public.hex()}"
    return Inspection(f"slot {slot} holds {same}", certain=True)


def _slot(element: Element, intent: LedgerEntry) -> Inspection:
    slot = int(str(intent.fields["slot"]))
    try:
        content = element.read_slot(slot)
    except ElementError as error:
        if error.status != Status.EXECUTION:
            raise
        return Inspection(f"slot {slot} cannot be read; write it again to be sure", certain=False)
    return Inspection(f"slot {slot} begins with {content[:16].hex(' ')}", certain=False)


def _otp(element: Element, intent: LedgerEntry) -> Inspection:
    if not element.lock_state().data:
        return Inspection("the OTP zone cannot be read before it is locked; write it again", certain=False)
    return Inspection(f"the OTP zone reads {element.read_otp().hex()}", certain=True)


def _nothing_to_see(element: Element, intent: LedgerEntry) -> Inspection:
    return Inspection(f"{intent.fields.get('operation')} leaves nothing that can be read", certain=False)


_LOOKS: Mapping[str, Callable[[Element, LedgerEntry], Inspection]] = {
    Operation.LOCK_CONFIG: _zone_lock,
    Operation.LOCK_DATA: _zone_lock,
    Operation.LOCK_SLOT: _slot_lock,
    Operation.WRITE_CONFIG: _configuration,
    Operation.UPDATE_EXTRA: _extra,
    Operation.COUNTER: _counters,
    Operation.GENERATE_KEY: _key,
    Operation.WRITE_PRIVATE_KEY: _key,
    Operation.WRITE_SLOT: _slot,
    Operation.WRITE_OTP: _otp,
}
"""How each operation shows; the others leave nothing behind that can be read."""
