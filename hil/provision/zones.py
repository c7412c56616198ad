"""The elementary steps of provisioning, each with a permit of its own.

The order makes a checksum possible at both locks: every non-private slot and the OTP zone are
written before the data zone is locked, because afterwards nobody could say what was in them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from hil.discretion import discreet
from hil.element import irreversible
from hil.element.keyfiles import public_half
from hil.element.zones import OTP_SIZE, SLOT_SIZES, check_slot, data_crc
from hil.errors import DeviceError, UsageError
from hil.guard.guard import Facts
from hil.guard.operations import Operation
from hil.wire.atecc import Command, Opcode

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hil.element.configzone import ConfigZone
    from hil.element.device import Element
    from hil.guard.guard import Guard

__all__ = [
    "KEK_SLOT",
    "KEY_SLOT",
    "Contents",
    "install_key",
    "lock_configuration",
    "lock_data",
    "lock_data_unchecked",
    "write_contents",
    "write_kek",
    "write_key",
]

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
    def zeros(cls, config: ConfigZone, given: Mapping[int, bytes] | None = None) -> Contents:
        """Zeros everywhere.

        Args:
            config: says which slots hold private keys.
            given: what stands at the beginning of some slots instead.

        Raises:
            UsageError: a slot holds a private key, or the content is longer than the slot.
        """
        filled = {slot: bytes(SLOT_SIZES[slot]) for slot in config.data_slots}
        for slot, data in (given or {}).items():
            size = SLOT_SIZES[check_slot(slot)]
            if slot not in filled:
                raise UsageError(f"slot {slot} holds a private key; its content cannot be given")
            if len(data) > size:
                raise UsageError(f"{len(data)} bytes do not fit into slot {slot}, which has {size}")
            filled[slot] = data.ljust(size, b"\0")
        return cls(filled)

    def covered(self) -> bytes:
        """What the checksum of the data lock covers: the slots in order, then the OTP zone."""
        return b"".join(self.slots[slot] for slot in sorted(self.slots)) + self.otp

    def crc(self, config: ConfigZone) -> int:
        """Param2 of the data lock."""
        return data_crc(self.slots, self.otp, config.private_slots)


def lock_configuration(element: Element, guard: Guard, wanted: ConfigZone) -> None:
    """Write the configuration, read it back, lock it with its checksum."""
    serial = element.serial_number().hex()
    facts = Facts(serial, config=wanted.onto(element.config).to_bytes())
    guard.permit(Operation.LOCK_CONFIG, facts)  # what could not be locked is not written either
    irreversible.write_config(element, wanted, guard.permit(Operation.WRITE_CONFIG, facts))
    irreversible.lock_config(element, wanted, guard.permit(Operation.LOCK_CONFIG, facts))


@discreet
def lock_data(element: Element, guard: Guard, contents: Contents) -> None:
    """Write every non-private slot and the OTP zone, then lock them with their checksum."""
    serial = element.serial_number().hex()
    facts = Facts(serial, config=element.config.to_bytes(), data=contents.covered())
    guard.permit(Operation.LOCK_DATA, facts)  # what could not be locked is not written either
    write_contents(element, guard, contents)
    irreversible.lock_data(element, contents.slots, contents.otp, guard.permit(Operation.LOCK_DATA, facts))


@discreet
def write_contents(element: Element, guard: Guard, contents: Contents) -> None:
    """Write every non-private slot and the OTP zone."""
    serial = element.serial_number().hex()
    for slot, data in contents.slots.items():
        permit = guard.permit(Operation.WRITE_SLOT, Facts(serial, slot=slot))
        irreversible.write_slot(element, slot, data, permit)
    irreversible.write_otp(element, contents.otp, guard.permit(Operation.WRITE_OTP, Facts(serial)))


def lock_data_unchecked(element: Element, guard: Guard) -> None:
    """Lock the data zone as it is, without a checksum; the plan has to allow that by name.

    Raises:
        GuardRefusal: it does not.
        DeviceError: the element accepted the lock, and the zone is not locked.
    """
    facts = Facts(element.serial_number().hex(), config=element.config.to_bytes())
    command = Command(Opcode.LOCK, 0x81)
    with guard.permit(Operation.LOCK_DATA, facts).armed([command]):
        element.execute(command, 1)
    if not element.lock_state().data:
        raise DeviceError("the element accepted Lock but its data zone is not locked")


@discreet
def write_kek(element: Element, guard: Guard, kek: bytes, slot: int = KEK_SLOT) -> None:
    """The key-encryption key in clear; it crosses the bus."""
    permit = guard.permit(Operation.WRITE_SLOT, Facts(element.serial_number().hex(), slot=slot))
    irreversible.write_slot(element, slot, kek, permit)


@discreet
def install_key(
    element: Element,
    guard: Guard,
    scalar: bytes,
    kek: bytes,
    *,
    slot: int = KEY_SLOT,
    kek_slot: int = KEK_SLOT,
) -> bytes:
    """The key-encryption key in clear, then the private key encrypted with it; returns the public key."""
    write_kek(element, guard, kek, kek_slot)
    return write_key(element, guard, scalar, kek, slot)


@discreet
def write_key(element: Element, guard: Guard, scalar: bytes, kek: bytes, slot: int = KEY_SLOT) -> bytes:
    """The private key, encrypted with the key-encryption key that is in its slot already."""
    facts = Facts(element.serial_number().hex(), slot=slot, public_key=public_half(scalar))
    permit = guard.permit(Operation.WRITE_PRIVATE_KEY, facts)
    return irreversible.write_private_key(element, slot, scalar, permit, write_key=kek)
