"""From a blank element to one that holds a key, step by step, each with a permit of its own.

The order makes a checksum possible at both locks: every non-private slot and the OTP zone are
written before the data zone is locked, because afterwards nobody could say what was in them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from hil.element import irreversible
from hil.element.zones import OTP_SIZE, SLOT_SIZES
from hil.guard.guard import Facts
from hil.guard.operations import Operation

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hil.element.configzone import ConfigZone
    from hil.element.device import Element
    from hil.guard.guard import Guard

__all__ = ["KEK_SLOT", "KEY_SLOT", "Contents", "install_key", "lock_configuration", "lock_data", "plan"]

KEY_SLOT = 0
KEK_SLOT = 4
"""The first article's slots: the private key, and the key that encrypts its write."""


@dataclass(frozen=True)
class Contents:
    """What goes into the data and OTP zones before they are locked.

    Attributes:
        slots: full content by slot; private-key slots are left out.
        otp: 64 bytes.
    """

    slots: Mapping[int, bytes] = field(repr=False)
    otp: bytes = bytes(OTP_SIZE)

    @classmethod
    def zeros(cls, config: ConfigZone, **slots: bytes) -> Contents:
        """Zeros everywhere; ``slot4=…`` and the like replace the beginning of a slot."""
        filled = {slot: bytes(SLOT_SIZES[slot]) for slot in config.data_slots}
        for name, data in slots.items():
            number = int(name.removeprefix("slot"))
            filled[number] = data.ljust(SLOT_SIZES[number], b"\x00")
        return cls(filled)


def plan(element: Element, wanted: ConfigZone) -> list[str]:
    """What provisioning would do to this element, in words; reads only, changes nothing."""
    locks = element.lock_state()
    lines = []
    if not locks.config:
        lines += [f"write-config and lock-config with CRC 0x{wanted.onto(element.config).crc:04X}"]
    if not locks.data:
        slots = ", ".join(str(slot) for slot in wanted.data_slots)
        lines += [f"write-slot {slots}; write-otp", "lock-data with CRC"]
    lines += [f"write-slot {KEK_SLOT}: key-encryption key", f"write-private-key slot {KEY_SLOT}, encrypted"]
    return [f"dry run, nothing is sent: {line}" for line in lines]


def lock_configuration(element: Element, guard: Guard, wanted: ConfigZone) -> None:
    """Write the configuration, read it back, lock it with its checksum."""
    serial = element.serial_number().hex()
    config = wanted.onto(element.config).to_bytes()
    permit = guard.permit(Operation.WRITE_CONFIG, Facts(serial, config=config))
    irreversible.write_config(element, wanted, permit)
    permit = guard.permit(Operation.LOCK_CONFIG, Facts(serial, config=config))
    irreversible.lock_config(element, wanted, permit)


def lock_data(element: Element, guard: Guard, contents: Contents) -> None:
    """Write every non-private slot and the OTP zone, then lock them with their checksum."""
    serial = element.serial_number().hex()
    for slot, data in contents.slots.items():
        permit = guard.permit(Operation.WRITE_SLOT, Facts(serial, slot=slot))
        irreversible.write_slot(element, slot, data, permit)
    irreversible.write_otp(element, contents.otp, guard.permit(Operation.WRITE_OTP, Facts(serial)))
    permit = guard.permit(Operation.LOCK_DATA, Facts(serial, config=element.config.to_bytes()))
    irreversible.lock_data(element, contents.slots, contents.otp, permit)


def install_key(element: Element, guard: Guard, scalar: bytes, kek: bytes) -> bytes:
    """The key-encryption key in clear, then the private key encrypted with it; returns the public key."""
    serial = element.serial_number().hex()
    permit = guard.permit(Operation.WRITE_SLOT, Facts(serial, slot=KEK_SLOT))
    irreversible.write_slot(element, KEK_SLOT, kek, permit)
    permit = guard.permit(Operation.WRITE_PRIVATE_KEY, Facts(serial, slot=KEY_SLOT))
    return irreversible.write_private_key(element, KEY_SLOT, scalar, permit, write_key=kek)
