"""Read, Write, Lock: the zones (DS508 sections 9.16, 9.21, 9.10)."""

from __future__ import annotations

import msgspec

from hil.emulator.chip import config as words
from hil.emulator.chip.crypto import sha, xor
from hil.emulator.chip.execution import OK, Execution, Refused, refuse
from hil.emulator.chip.forms import ANY, NONE, Form, lengths, modes
from hil.emulator.chip.memory import SLOT_BYTES, SLOTS
from hil.emulator.chip.nonvolatile import CONFIG, OTP
from hil.emulator.chip.policy import gate, write_rights
from hil.wire.atecc import Opcode, Status, crc16

__all__ = ["FORMS"]

ZONE_CONFIG, ZONE_OTP, ZONE_DATA = 0, 1, 2
LONG = 0x80
"""Param1 bit of a 32-byte access."""
ENCRYPTED = 0x40

CONSUMPTION = 0x55
"""OTPmode of the 508A: bits may be cleared after the lock."""
NEVER_WRITTEN = ((0, 16), (words.USER_EXTRA, words.SLOT_LOCKED))
"""Bytes of the configuration zone that Write leaves alone: identity, and extras with the lock bytes."""


class Place(msgspec.Struct, frozen=True):
    """Where an address leads.

    Attributes:
        slot: data slot, or -1.
        offset: first byte in the zone or slot.
        length: 4, or 32; in a partial last block fewer bytes exist (``present``).
        present: bytes that the zone has from ``offset`` on, at most ``length``.
    """

    slot: int
    offset: int
    length: int
    present: int


def locate(x: Execution) -> Place:
    """Decode param2 of Read and Write (DS508 tables 8-1 to 8-5).

    Raises:
        Refused: the zone has no such block or word.
    """
    length = 32 if x.p1 & LONG else 4
    zone = x.p1 & 3
    word = 0 if length == 32 else x.p2 & 7
    if zone == ZONE_DATA:
        slot = x.p2 >> 3 & 0xF
        block_mask = 0x100 if slot < 8 else 0xF00 if slot == 8 else 0x300
        used, block = block_mask | 0x7F, (x.p2 & block_mask) >> 8
        size = SLOT_BYTES[slot]
    else:
        slot = -1
        used, block = (0x1F, x.p2 >> 3 & 3) if zone == ZONE_CONFIG else (0x0F, x.p2 >> 3 & 1)
        size = 128 if zone == ZONE_CONFIG else 64
    if x.p2 & ~used and x.knobs.unused_address_bits == "parse":
        raise Refused(Status.PARSE, f"address {x.p2:04X} has bits that the zone does not use")
    offset = 32 * block + 4 * word
    if offset >= size:
        raise Refused(x.knobs.address_beyond, f"address {x.p2:04X} lies beyond the zone")
    return Place(slot, offset, length, min(length, size - offset))


def check_address(x: Execution) -> None:
    """Refuse an impossible address before the state is looked at: the geometry is fixed."""
    locate(x)


# -- Read ----------------------------------------------------------------------------------------


def read_config(x: Execution) -> bytes:
    """Bytes of the configuration zone, always in clear."""
    place = locate(x)
    return bytes(x.memory.config[place.offset : place.offset + place.length])


def read_otp(x: Execution) -> bytes:
    """Bytes of the OTP zone, after the data lock."""
    place = locate(x)
    gate(x, "read otp")
    first_words = place.offset < 8 and x.is_508 and x.memory.config[words.OTP_MODE]
    if first_words and x.knobs.otp_first_words == "refused":
        raise refuse("OTP words 0 and 1 are not readable in this OTP mode")
    return bytes(x.memory.otp[place.offset : place.offset + place.length])


def read_data(x: Execution) -> bytes:
    """Bytes of a data slot, clear or encrypted under TempKey (DS508 table 2-5)."""
    place = locate(x)
    content = x.memory.slot(place.slot)[place.offset : place.offset + place.present]
    content += bytes(place.length - place.present)
    if x.services.readable_anyway(place.slot):
        return content
    gate(x, "read data")
    rules = x.memory.slot_config(place.slot)
    if x.memory.key_config(place.slot).private:
        raise refuse(f"slot {place.slot} is a private ECC key")
    if not rules.secret:
        if rules.encrypt_read:
            raise refuse(f"slot {place.slot} has EncryptRead without IsSecret")
        return content
    if not rules.encrypt_read:
        raise refuse(f"slot {place.slot} is secret")
    if place.length == 4:
        raise refuse("an encrypted read takes 32 bytes")
    temp = x.use_temp_key()
    if not temp.gen_dig or temp.key_id != rules.read_key or temp.from_input:
        raise refuse(f"TempKey is no GenDig over slot {rules.read_key} of a random nonce")
    return xor(content, temp.value)


# -- Write ---------------------------------------------------------------------------------------


def write_config(x: Execution) -> bytes:
    """Bytes of the configuration zone, while it is open."""
    place = locate(x)
    gate(x, "write config")
    end = place.offset + place.length
    if any(place.offset < stop and end > start for start, stop in NEVER_WRITTEN):
        raise refuse(f"bytes {place.offset} to {end - 1} include some that Write may not touch")
    x.store(CONFIG, place.offset, x.data)
    return OK


def write_otp(x: Execution) -> bytes:
    """Bytes of the OTP zone: free between the locks; 508A in consumption mode: clear bits after."""
    place = locate(x)
    if not gate(x, "write otp"):
        if place.length == 4:
            raise refuse("the OTP zone takes 32 bytes at a time before the data lock")
        x.store(OTP, place.offset, _open_zone_content(x))
        return OK
    if not x.is_508 or x.memory.config[words.OTP_MODE] != CONSUMPTION:
        raise refuse("the OTP zone is read-only")
    if len(x.data) != place.length:
        raise refuse("a consumption write is in clear")
    old = x.memory.otp[place.offset : place.offset + place.length]
    x.store(OTP, place.offset, bytes(a & b for a, b in zip(old, x.data, strict=True)))
    return OK


def write_data(x: Execution) -> bytes:
    """Bytes of a data slot, as WriteConfig says."""
    place = locate(x)
    slot = place.slot
    rules = gate(x, "write data")
    key = x.memory.key_config(slot)
    if key.private:
        raise refuse(f"slot {slot} is a private ECC key")
    if not x.memory.slot_open(slot):
        raise refuse(f"slot {slot} is locked")
    if rules:
        content = _content_by_rules(x, place)
    elif place.length == 4:
        raise refuse("a data slot takes 32 bytes at a time before the data lock")
    else:
        content = _open_zone_content(x)
    content = content[: place.present]
    typed = key.key_type == words.KeyType.P256 or x.knobs.pub_info_on_other_key_types
    marked = key.pub_info and slot >= 8 and typed
    if marked and place.offset == 0:
        content = bytes((0xA0 | content[0] & 0x0F,)) + content[1:]
    elif marked:
        x.store(slot, 0, bytes((0xA0 | x.memory.slot(slot)[0] & 0x0F,)))
    x.store(slot, place.offset, content)
    return OK


def _content_by_rules(x: Execution, place: Place) -> bytes:
    """What a write to a locked data zone brings, after WriteConfig had its say."""
    slot = place.slot
    kind = write_rights(x.memory, slot).write
    rules = x.memory.slot_config(slot)
    if kind == "never":
        raise refuse(f"slot {slot} is never written")
    if kind == "encrypted":
        if len(x.data) != 64:
            raise refuse(f"slot {slot} takes encrypted writes only")
        temp = x.use_temp_key()
        if not temp.gen_dig or temp.key_id != rules.write_key:
            raise refuse(f"TempKey is no GenDig over slot {rules.write_key}")
        return _decrypted(x)
    if len(x.data) != place.length:
        raise refuse(f"slot {slot} takes clear writes only")
    if kind == "unless validated" and x.memory.validity(slot) == 5:
        raise refuse(f"slot {slot} holds a validated public key")
    if place.length == 4 and (kind != "always" or rules.secret):
        raise refuse(f"slot {slot} takes 32 bytes at a time")
    return x.data


def _open_zone_content(x: Execution) -> bytes:
    """What a write to an open data or OTP zone brings: param1 says whether it is encrypted."""
    if len(x.data) == 64:
        x.use_temp_key()
        return _decrypted(x)
    if x.p1 & ENCRYPTED:
        raise refuse("an encrypted write brings 64 bytes")
    return x.data


def _decrypted(x: Execution) -> bytes:
    """Decrypt and check an encrypted write (DS508 section 9.21)."""
    temp = x.session.temp_key
    clear = xor(x.data[:32], temp.value)
    if sha(temp.value, x.tag, bytes(25), clear) != x.data[32:]:
        raise Refused(x.knobs.mac_mismatch, "the MAC of the write is wrong", late=True)
    return clear


# -- Lock ----------------------------------------------------------------------------------------


def lock_config(x: Execution) -> bytes:
    """Close the configuration zone, after comparing its CRC."""
    if x.memory.config_locked:
        raise refuse("the configuration zone is already locked")
    _check_summary(x, bytes(x.memory.config))
    x.store(CONFIG, words.LOCK_CONFIG, b"\0")
    return OK


def lock_data(x: Execution) -> bytes:
    """Close the data and OTP zones, after comparing the CRC over all but the private slots."""
    if x.memory.data_locked:
        raise refuse("the data zone is already locked")
    if not (x.memory.config_locked or x.knobs.lock_data_before_config):
        raise refuse("the configuration zone is not locked")
    public = (x.memory.slot(n) for n in range(SLOTS) if not x.memory.key_config(n).private)
    _check_summary(x, b"".join(public) + bytes(x.memory.otp))
    x.store(CONFIG, words.LOCK_DATA, b"\0")
    return OK


def lock_slot(x: Execution) -> bytes:
    """Close one slot that KeyConfig calls lockable."""
    slot = x.p1 >> 2 & 0xF
    gate(x, "lock slot")
    if not x.memory.key_config(slot).lockable:
        raise refuse(f"slot {slot} is not lockable")
    if not x.memory.slot_open(slot):
        raise refuse(f"slot {slot} is already locked")
    at = words.SLOT_LOCKED + (slot >> 3)
    x.store(CONFIG, at, bytes((x.memory.config[at] & ~(1 << (slot & 7)) & 0xFF,)))
    return OK


def _check_summary(x: Execution, content: bytes) -> None:
    if not x.p1 & 0x80 and crc16(content) != x.p2_bytes:
        raise Refused(x.knobs.lock_crc_mismatch, "the summary CRC does not match", late=True)


WRITE_LONG = lengths(32, 64)
SHORT = lengths(4)

FORMS = (
    Form(
        Opcode.READ, "Read config", modes(0, 0x80), ANY, NONE, read_config, "DS508 9.16", parse=check_address
    ),
    Form(Opcode.READ, "Read OTP", modes(1, 0x81), ANY, NONE, read_otp, "DS508 9.16", parse=check_address),
    Form(Opcode.READ, "Read data", modes(2, 0x82), ANY, NONE, read_data, "DS508 9.16", parse=check_address),
    Form(
        Opcode.WRITE,
        "Write config word",
        modes(0),
        ANY,
        SHORT,
        write_config,
        "DS508 9.21",
        parse=check_address,
    ),
    Form(
        Opcode.WRITE,
        "Write config block",
        modes(0x80),
        ANY,
        lengths(32),
        write_config,
        "DS508 9.21",
        parse=check_address,
    ),
    Form(Opcode.WRITE, "Write OTP word", modes(1), ANY, SHORT, write_otp, "DS508 9.21", parse=check_address),
    Form(
        Opcode.WRITE,
        "Write OTP block",
        modes(0x81, 0xC1),
        ANY,
        WRITE_LONG,
        write_otp,
        "DS508 9.21",
        parse=check_address,
    ),
    Form(
        Opcode.WRITE, "Write data word", modes(2), ANY, SHORT, write_data, "DS508 9.21", parse=check_address
    ),
    Form(
        Opcode.WRITE,
        "Write data block",
        modes(0x82, 0xC2),
        ANY,
        WRITE_LONG,
        write_data,
        "DS508 9.21",
        parse=check_address,
    ),
    Form(Opcode.LOCK, "Lock config", modes(0, 0x80), ANY, NONE, lock_config, "DS508 9.10"),
    Form(Opcode.LOCK, "Lock data", modes(1, 0x81), ANY, NONE, lock_data, "DS508 9.10"),
    Form(Opcode.LOCK, "Lock slot", modes(2, bits=0xBC), ANY, NONE, lock_slot, "DS508 9.10"),
)
