"""What cannot be undone. Every function takes a :class:`~hil.guard.permit.Permit`.

Each one checks its arguments and the state of the element before anything is sent, arms exactly
the packets it sends, and finds out what happened if an answer is lost: by reading back, by comparing
public keys (:mod:`hil.element.change`). Counters, derived keys and the like are in
:mod:`hil.element.irreversible_state`.

Sources: ATECC508A data sheet DS20005927A (DS508) sections 2.4, 4.2, 9.7, 9.10, 9.14 and 9.21.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from hil.discretion import discreet
from hil.element import digests
from hil.element.change import change, covers, retried, send_once
from hil.element.configwords import diff
from hil.element.configzone import ConfigZone
from hil.element.keyfiles import check_scalar, public_half
from hil.element.zones import (
    BLOCK,
    OTP_SIZE,
    SLOT_SIZES,
    Zone,
    blocks_of,
    check_length,
    check_slot,
    config_address,
    data_address,
    data_crc,
    otp_address,
)
from hil.errors import DeviceError, ElementError, UsageError
from hil.guard.operations import Operation
from hil.wire.atecc import Command, Opcode, Status

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hil.element.change import Happened
    from hil.element.device import Element
    from hil.guard.permit import Permit

__all__ = [
    "generate_key",
    "lock_config",
    "lock_data",
    "lock_slot",
    "write_config",
    "write_otp",
    "write_private_key",
    "write_slot",
]

_WRITE_32 = 0x80
_ENCRYPTED = 0x40
_WORDS = (16, *range(20, 32, 4), *range(64, 84, 4), 88, 92)
"""Configuration words of blocks 0 and 2 that may be written: their blocks also hold bytes that may not."""
_BLOCKS = (32, 96)
"""Configuration blocks that may be written whole."""


def write_config(element: Element, config: bytes | ConfigZone, permit: Permit) -> ConfigZone:
    """Write the configuration zone and read it back; returns what the zone holds now.

    Bytes 0 to 15 and 84 to 87 of ``config`` are ignored, as no Write can change them. Only words
    and blocks that differ are written.

    Args:
        element: the element; its configuration must be unlocked.
        config: 128 bytes or the model.
        permit: for ``WRITE_CONFIG``.

    Raises:
        UsageError: the zone is locked, or ``config`` would move the element to another address.
        DeviceError: after the write the zone holds something else.
    """
    given = _model(config)
    covers(element, permit, Operation.WRITE_CONFIG, None)
    present = element.config
    if present.config_locked:
        raise UsageError("the configuration zone is locked", hint="no command can unlock it")
    wanted = given.onto(present)
    if wanted.i2c_address != present.i2c_address:
        raise UsageError(
            f"the configuration moves the element from address 0x{present.address:02x} "
            f"to 0x{wanted.address:02x}",
            hint=f"set byte 16 to 0x{present.i2c_address:02x}, or wire the rig for the other address",
        )
    old, new = present.to_bytes(), wanted.to_bytes()
    commands = [
        Command(
            Opcode.WRITE, _WRITE_32 * (size == BLOCK) | Zone.CONFIG, config_address(at), new[at : at + size]
        )
        for at, size in sorted([(at, 4) for at in _WORDS] + [(at, BLOCK) for at in _BLOCKS])
        if old[at : at + size] != new[at : at + size]
    ]
    change(element, permit, commands, lambda command: _config_holds(element, command))
    result = element.config
    wrong = diff(wanted, result)
    if wrong:
        raise DeviceError(
            f"{len(wrong)} fields of the configuration zone differ after the write, first {wrong[0]}",
            hint="do not lock it; write it again",
        )
    return result


def _config_holds(element: Element, command: Command) -> bool:
    """Whether a Write to the configuration zone has taken effect."""
    at = command.p2 * 4
    return element.read_config()[at : at + len(command.data)] == command.data


def lock_config(element: Element, config: bytes | ConfigZone, permit: Permit) -> None:
    """Lock the configuration zone, with a checksum over what it must hold.

    Args:
        element: the element; its zone must hold ``config`` already.
        config: the configuration as intended, *not* as read back; identity and lock bytes are the
            element's own.
        permit: for ``LOCK_CONFIG``.

    Raises:
        UsageError: it is locked already, or holds something other than ``config``.
        ElementError: the element refused; nothing is locked.
        DeviceError: it is not locked afterwards.
    """
    given = _model(config)
    covers(element, permit, Operation.LOCK_CONFIG, None)
    present = element.config
    if present.config_locked:
        raise UsageError("the configuration zone is locked already")
    wanted = given.onto(present)
    wrong = diff(wanted, present)
    if wrong:
        raise UsageError(
            f"the zone differs from the configuration to be locked in {len(wrong)} fields, first {wrong[0]}",
            hint="write the configuration first; nothing was locked",
        )
    command = Command(Opcode.LOCK, 0x00, wanted.crc)
    change(element, permit, [command], lambda _: element.lock_state().config)
    if not element.lock_state().config:
        raise DeviceError("the element accepted Lock but its configuration zone is not locked")


@discreet
def lock_data(element: Element, slots: Mapping[int, bytes], otp: bytes, permit: Permit) -> None:
    """Lock the data and OTP zones, with a checksum over what they must hold.

    Args:
        element: the element; its configuration must be locked.
        slots: full content of every slot that holds no ECC private key.
        otp: 64 bytes.
        permit: for ``LOCK_DATA``.

    Raises:
        UsageError: it is locked already, or the content is not known completely.
        ElementError: the element refused, e.g. 0F because the checksum differs; nothing is locked.
    """
    covers(element, permit, Operation.LOCK_DATA, None)
    present = element.config
    if not present.config_locked:
        raise UsageError("the configuration zone must be locked before the data zone")
    if present.data_locked:
        raise UsageError("the data zone is locked already")
    command = Command(Opcode.LOCK, 0x01, data_crc(slots, otp, present.private_slots))
    change(element, permit, [command], lambda _: element.lock_state().data)
    if not element.lock_state().data:
        raise DeviceError("the element accepted Lock but its data zone is not locked")


def lock_slot(element: Element, slot: int, permit: Permit) -> None:
    """Lock one slot; its KeyConfig must say Lockable.

    Raises:
        UsageError: it is locked already, or not lockable.
    """
    covers(element, permit, Operation.LOCK_SLOT, check_slot(slot))
    present = element.config
    if not present.slots[slot].key.lockable:
        raise UsageError(f"slot {slot} is not lockable: KeyConfig bit 5 is 0")
    if not present.slot_unlocked(slot):
        raise UsageError(f"slot {slot} is locked already")
    command = Command(Opcode.LOCK, 0x02 | slot << 2)
    change(element, permit, [command], lambda _: slot in element.lock_state().slots)
    if slot not in element.lock_state().slots:
        raise DeviceError(f"the element accepted Lock but slot {slot} is not locked")


def generate_key(element: Element, slot: int, permit: Permit) -> bytes:
    """Make a new private key in ``slot``; returns its public key, 64 bytes.

    Raises:
        UsageError: the slot holds no private key by its configuration.
        ElementError: the element refused.
    """
    covers(element, permit, Operation.GENERATE_KEY, check_slot(slot))
    _private(element, slot)
    before = _public_key_or_none(element, slot)
    command = Command(Opcode.GENKEY, 0x04, slot)

    def changed(_: Command) -> bool | None:
        after = _public_key_or_none(element, slot)
        return None if after is None else after != before

    def run() -> bytes:
        with permit.armed([command]):
            return send_once(element, command, changed, 64)

    return retried(element, run) or element.public_key(slot)


@discreet
def write_private_key(
    element: Element, slot: int, scalar: bytes, permit: Permit, *, write_key: bytes | None = None
) -> bytes:
    """Write a P-256 private key into ``slot``; returns its public key as the element computes it.

    Args:
        element: the element; its configuration must be locked.
        slot: 0 to 15, a private-key slot.
        scalar: 32 bytes, big-endian, leading zeros included.
        permit: for ``WRITE_PRIVATE_KEY``.
        write_key: content of the slot that SlotConfig.WriteKey names, for an encrypted write.
            Once the data zone is locked there is no other way.

    Raises:
        UsageError: sizes, range, or the slot's configuration do not allow it; nothing was sent.
        DeviceError: the public key of the slot is not that of the scalar afterwards.
    """
    check_scalar(scalar)
    expected = public_half(scalar)
    if write_key is not None:
        check_length(write_key, 32, "the write key")
    covers(element, permit, Operation.WRITE_PRIVATE_KEY, check_slot(slot))
    rules = _private(element, slot)
    if element.lock_state().data and write_key is None:
        raise UsageError(
            f"the data zone is locked: slot {slot} can only be written encrypted",
            hint=f"give the key that slot {rules.slots[slot].config.write_key} holds",
        )

    def stored(_: Command) -> bool | None:
        found = _public_key_or_none(element, slot)
        return None if found is None else found == expected

    def run() -> None:
        with element.exchange():
            command = _priv_write(element, slot, scalar, rules.slots[slot].config.write_key, write_key)
            with permit.armed([command]):
                send_once(element, command, stored)

    retried(element, run)
    if rules.slots[slot].key.pub_info or not element.lock_state().data:
        found = element.public_key(slot)
        if found != expected:
            raise DeviceError(
                f"slot {slot} holds another key than the one that was written: its public key is "
                f"{found.hex()}, not {expected.hex()}",
                hint="the scalar was changed on its way to the element",
            )
    return expected


def _priv_write(
    element: Element, slot: int, scalar: bytes, key_slot: int, write_key: bytes | None
) -> Command:
    """The PrivWrite command; for an encrypted one TempKey is prepared and the element idles."""
    if write_key is None:
        return Command(Opcode.PRIVWRITE, 0x00, slot, bytes(4) + scalar + bytes(32))
    serial = element.serial_number()
    tempkey = element.key_tempkey(key_slot, write_key)
    element.idle()  # arming syncs a file, which may outlast the watchdog
    data = digests.encrypted_private_key(tempkey, _ENCRYPTED, slot, serial, scalar)
    return Command(Opcode.PRIVWRITE, _ENCRYPTED, slot, data)


@discreet
def write_slot(
    element: Element,
    slot: int,
    data: bytes,
    permit: Permit,
    *,
    block: int = 0,
    write_key: bytes | None = None,
) -> None:
    """Write 32-byte blocks of a slot; what hangs over the end of the slot is not stored.

    Args:
        element: the element; its configuration must be locked.
        slot: a slot that holds no private key.
        data: whole blocks, or up to the end of the slot; the last block is filled with zeros.
        permit: for ``WRITE_SLOT``.
        block: the first block.
        write_key: content of the slot that SlotConfig.WriteKey names, to write encrypted.

    Raises:
        UsageError: it does not fit; nothing was sent.
    """
    end = block * BLOCK + len(data)
    if not data or not 0 <= block < blocks_of(slot) or end > blocks_of(slot) * BLOCK:
        raise UsageError(f"{len(data)} bytes from block {block} on do not fit into slot {slot}")
    if len(data) % BLOCK and end != SLOT_SIZES[slot]:
        raise UsageError(
            f"{len(data)} bytes are no whole blocks of {BLOCK} and do not end with the slot",
            hint=f"slot {slot} has {SLOT_SIZES[slot]} bytes",
        )
    if write_key is not None:
        check_length(write_key, 32, "the write key")
    covers(element, permit, Operation.WRITE_SLOT, slot)
    config = element.config
    if config.slots[slot].key.private:
        raise UsageError(
            f"slot {slot} holds a private key", hint="write_private_key and generate_key change it"
        )
    padded = data + bytes(-len(data) % BLOCK)
    blocks = [padded[at : at + BLOCK] for at in range(0, len(padded), BLOCK)]
    addresses = [data_address(slot, block + n) for n in range(len(blocks))]
    if write_key is None:
        readable = config.data_locked and not config.slots[slot].config.is_secret
        proof = partial(_slot_holds, element) if readable else None
        _write_clear(element, permit, Zone.DATA, addresses, blocks, proof)
        return
    key_slot = config.slots[slot].config.write_key
    for address, plain in zip(addresses, blocks, strict=True):
        _write_encrypted(element, permit, address, plain, key_slot, write_key)


def write_otp(element: Element, otp: bytes, permit: Permit) -> None:
    """Write the 64 bytes of the OTP zone; the data zone must still be unlocked."""
    check_length(otp, OTP_SIZE, "the OTP zone")
    covers(element, permit, Operation.WRITE_OTP, None)
    if element.lock_state().data:
        raise UsageError("the data zone is locked, and with it the OTP zone")
    blocks = [otp[:BLOCK], otp[BLOCK:]]
    _write_clear(element, permit, Zone.OTP, [otp_address(0), otp_address(BLOCK)], blocks)


def _slot_holds(element: Element, command: Command) -> bool:
    """Whether a clear Write has taken effect; what hangs over the end of the slot reads as zeros."""
    slot, block = command.p2 >> 3 & 0x0F, command.p2 >> 8
    size = min(BLOCK, SLOT_SIZES[slot] - block * BLOCK)
    return element.read_slot_block(slot, block)[:size] == command.data[:size]


def _write_clear(
    element: Element,
    permit: Permit,
    zone: Zone,
    addresses: list[int],
    blocks: list[bytes],
    happened: Happened | None = None,
) -> None:
    pairs = zip(addresses, blocks, strict=True)
    commands = [Command(Opcode.WRITE, _WRITE_32 | zone, address, block) for address, block in pairs]
    change(element, permit, commands, happened)


def _write_encrypted(
    element: Element, permit: Permit, address: int, plain: bytes, key_slot: int, key: bytes
) -> None:
    mode = _WRITE_32 | _ENCRYPTED | Zone.DATA

    def run() -> None:
        with element.exchange():
            serial = element.serial_number()
            tempkey = element.key_tempkey(key_slot, key)
            data = digests.encrypted_write(tempkey, mode, address, serial, plain)
            element.idle()  # arming syncs a file, which may outlast the watchdog
            command = Command(Opcode.WRITE, mode, address, data)
            with permit.armed([command]):
                send_once(element, command, None)

    retried(element, run)


def _model(config: bytes | ConfigZone) -> ConfigZone:
    return config if isinstance(config, ConfigZone) else ConfigZone.from_bytes(config)


def _private(element: Element, slot: int) -> ConfigZone:
    config = element.config
    if not config.config_locked:
        raise UsageError("the configuration zone must be locked before keys are made or written")
    if not config.slots[slot].holds_private_key:
        raise UsageError(f"slot {slot} holds no P-256 private key by its KeyConfig")
    return config


def _public_key_or_none(element: Element, slot: int) -> bytes | None:
    """Public key of a slot, or None where the element refuses to tell (no key yet, PubInfo 0)."""
    try:
        return element.public_key(slot)
    except ElementError as error:
        if error.status != Status.EXECUTION:
            raise
        return None
