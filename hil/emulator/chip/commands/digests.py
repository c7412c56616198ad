"""GenDig, MAC, CheckMac, HMAC, DeriveKey: digests over symmetric keys and TempKey.

Layouts: DS508 sections 9.2, 9.4, 9.6, 9.8, 9.11. GenDig(KeyConfig) follows DS508; table 5-98 of
DS40002138A has 65 bytes and another order.
"""

from __future__ import annotations

import hmac

from hil.emulator.chip import config as words
from hil.emulator.chip.crypto import sha
from hil.emulator.chip.execution import OK, Execution, Refused, refuse
from hil.emulator.chip.forms import ANY, ANY_LENGTH, NONE, SLOT, Form, lengths, modes
from hil.emulator.chip.policy import admit, count_use, gate, write_rights
from hil.wire.atecc import Opcode, Status

__all__ = ["FORMS"]

TRANSPORT = 0x8000
"""KeyIDs from here on are the maker's transport keys, not slots."""


# -- GenDig --------------------------------------------------------------------------------------


def gen_dig_zone(x: Execution) -> bytes:
    """A block of the configuration or OTP zone into the digest."""
    zone = x.memory.otp if x.p1 else x.memory.config
    temp = x.use_temp_key()
    block = zone[32 * x.p2 : 32 * x.p2 + 32]
    _load(x, sha(block, x.tag, bytes(25), temp.value))
    return OK


def gen_dig_data(x: Execution) -> bytes:
    """A key into the digest: the way to encrypted reads and writes."""
    if x.p2 >= TRANSPORT:
        return _gen_dig_transport(x)
    slot = x.slot
    gate(x, "gen dig data")
    no_mac = x.memory.slot_config(slot).no_mac
    if no_mac and len(x.data) < 4:
        raise refuse(f"slot {slot} has NoMac: OtherData is required")
    temp = admit(x, "gen dig", slot, temp=True)
    assert temp is not None, "asked for"
    count_use(x, slot)
    tag = x.data[:4] + x.sn8 + x.sn01 if no_mac else x.tag
    _load(x, sha(x.memory.secret(slot), tag, bytes(25), temp.value), slot=slot, no_mac=no_mac)
    return OK


def _gen_dig_transport(x: Execution) -> bytes:
    """The maker's keys are not public: these are ours, and differ for each number."""
    temp = x.use_temp_key()
    if temp.from_input:
        raise refuse("a transport key asks for a TempKey of the random generator")
    key = sha(b"synthetic transport key", x.p2_bytes)
    _load(x, sha(key, x.tag, bytes(25), temp.value))
    return OK


def gen_dig_nonce(x: Execution) -> bytes:
    """32 bytes of the host into the digest, before or behind TempKey."""
    temp = x.use_temp_key()
    first, last = (temp.value, x.data[:32]) if x.p2 & TRANSPORT else (x.data[:32], temp.value)
    tag = bytes((x.opcode, x.p1, x.p2 & 0xFF, 0)) + x.sn8 + x.sn01
    _load(x, sha(first, tag, bytes(25), last))
    return OK


def gen_dig_counter(x: Execution) -> bytes:
    """The value of a counter into the digest."""
    temp = x.use_temp_key()
    value = x.memory.counter(x.p2).to_bytes(4, "little")
    _load(x, sha(bytes(32), x.tag, b"\0", value, bytes(20), temp.value))
    return OK


def gen_dig_key_config(x: Execution) -> bytes:
    """A slot's configuration into the digest."""
    temp = x.use_temp_key()
    memory, slot = x.memory, x.slot
    description = (
        memory.config[words.SLOT_CONFIG + 2 * slot :][:2],
        memory.config[words.KEY_CONFIG + 2 * slot :][:2],
        bytes((memory.slot_open(slot),)),
    )
    _load(x, sha(bytes(32), x.tag, b"\0", *description, bytes(19), temp.value))
    return OK


def _load(x: Execution, value: bytes, *, slot: int | None = None, no_mac: bool = False) -> None:
    """Put the digest into TempKey; a key's digest says whose it is."""
    old = x.session.temp_key
    gen_key, sticky = old.gen_key, old.no_mac
    temp = x.load_temp_key(value, from_input=old.from_input)
    temp.gen_dig = slot is not None
    temp.key_id = slot or 0
    temp.no_mac = sticky or no_mac
    temp.gen_key = gen_key and x.knobs.gen_key_data_after_gen_dig == "unchanged"


# -- MAC, HMAC -----------------------------------------------------------------------------------

FIRST_TEMP, SECOND_TEMP, SOURCE, WITH_SERIAL = 0x02, 0x01, 0x04, 0x40


def mac(x: Execution) -> bytes:
    """SHA-256 over a key and a challenge, either of which may be TempKey."""
    slot = x.slot
    uses_temp = bool(x.p1 & 3)
    first = b""
    if not x.p1 & FIRST_TEMP:
        gate(x, "use key")
        temp = admit(x, "mac", slot, temp=uses_temp)
        first = x.memory.secret(slot)
    else:
        temp = x.use_temp_key()
    if temp is not None:
        _check_source(x, temp.from_input, temp.no_mac)
    if x.p1 & FIRST_TEMP:
        first = x.session.temp_key.value
    else:
        count_use(x, slot)
    second = x.session.temp_key.value if x.p1 & SECOND_TEMP else x.data[:32]
    return sha(first, second, _mac_tail(x))


def _mac_length(x: Execution) -> None:
    if not x.p1 & SECOND_TEMP and len(x.data) != 32:
        raise Refused(Status.PARSE, "the challenge has 32 bytes")


def _mac_tail(x: Execution) -> bytes:
    serial = x.memory.serial
    full = bool(x.p1 & WITH_SERIAL)
    return b"".join(
        (
            x.tag[:4],
            bytes(11),
            x.sn8,
            serial[4:8] if full else bytes(4),
            x.sn01,
            serial[2:4] if full else bytes(2),
        )
    )


def _check_source(x: Execution, from_input: bool, no_mac: bool) -> None:
    if bool(x.p1 & SOURCE) != from_input:
        raise refuse("the mode's source bit differs from TempKey's SourceFlag")
    if no_mac:
        raise refuse("TempKey has NoMacFlag")


def hmac_command(x: Execution) -> bytes:
    """HMAC-SHA256 with a slot's key over TempKey (ATECC508A)."""
    slot = x.slot
    gate(x, "use key")
    temp = admit(x, "hmac", slot, temp=True)
    assert temp is not None, "asked for"
    _check_source(x, temp.from_input, temp.no_mac)
    count_use(x, slot)
    return hmac.digest(x.memory.secret(slot), bytes(32) + temp.value + _mac_tail(x), "sha256")


# -- CheckMac ------------------------------------------------------------------------------------


def check_mac(x: Execution) -> bytes:
    """Compare another part's MAC; success authorises, and may copy a slot into TempKey."""
    slot = x.slot
    slot_is_first = not x.p1 & FIRST_TEMP
    if slot_is_first:
        gate(x, "use key")
        temp = admit(x, "check mac", slot, temp=_check_mac_needs_temp(x))
        _check_mac_random(x)
    else:
        temp = x.use_temp_key()
    if temp is not None and x.p1 & 3 and bool(x.p1 & SOURCE) != temp.from_input:
        raise refuse("the mode's source bit differs from TempKey's SourceFlag")
    if slot_is_first:
        count_use(x, slot)
    value = x.session.temp_key.value
    challenge, response, other = x.data[:32], x.data[32:64], x.data[64:]
    message = (
        x.memory.secret(slot) if slot_is_first else value,
        value if x.p1 & SECOND_TEMP else challenge,
        other[0:4],
        bytes(8),
        other[4:7],
        x.sn8,
        other[7:11],
        x.sn01,
        other[11:13],
    )
    if sha(*message) != response:
        raise Refused(Status.MISCOMPARE, "the MAC does not match", late=True)
    if slot_is_first == (x.knobs.check_mac_authorises == "slot key"):
        x.auth_given = slot
    if x.p1 in (1, 5):
        _copy_slot(x, slot)
    return OK


def _check_mac_needs_temp(x: Execution) -> bool:
    asks = x.memory.data_locked and x.memory.key_config(x.slot).req_random
    return bool(x.p1 & 3) or (asks and x.knobs.check_mac_mode0_needs_random)


def _check_mac_random(x: Execution) -> None:
    asks = x.memory.data_locked and x.memory.key_config(x.slot).req_random
    if asks and _check_mac_needs_temp(x) and x.session.temp_key.from_input:
        raise refuse(f"slot {x.slot} asks for a TempKey of the random generator")


def _copy_slot(x: Execution, slot: int) -> None:
    """A password check hands out the key behind it, into TempKey (DS508 section 3.2.7)."""
    target = slot if slot % 2 else slot + 1
    if x.memory.slot_config(target).read_key == 0 and not x.memory.key_config(target).private:
        x.load_temp_key(x.memory.secret(target), from_input=True)


# -- DeriveKey -----------------------------------------------------------------------------------


def derive_key(x: Execution) -> bytes:
    """Replace a symmetric key by a digest of itself or of its parent."""
    target = x.slot
    gate(x, "derive key")
    memory = x.memory
    rights = write_rights(memory, target)
    if memory.key_config(target).private:
        raise refuse(f"slot {target} is a private ECC key")
    if not memory.slot_open(target):
        raise refuse(f"slot {target} is locked")
    asks_bit13 = memory.data_locked or x.knobs.derive_key_bit13_before_data_lock
    if rights.derive == "no" and asks_bit13:
        raise refuse(f"WriteConfig of slot {target} forbids DeriveKey")
    parent = memory.slot_config(target).write_key
    rolls = not memory.slot_config(target).write_config & 1
    source = target if rolls else parent
    temp = admit(x, "derive roll" if rolls else "derive parent", source, temp=True)
    assert temp is not None, "asked for"
    if bool(x.p1 & SOURCE) != temp.from_input:
        raise refuse("the mode's source bit differs from TempKey's SourceFlag")
    if temp.no_mac and x.knobs.derive_key_no_mac_flag == "refused":
        raise refuse("TempKey has NoMacFlag")
    if rights.derive_mac:
        _check_derive_mac(x, parent, admitted=not rolls)
    elif not rolls:
        count_use(x, parent)
    key = sha(memory.secret(source), x.tag, bytes(25), temp.value)
    x.store(target, 0, key)
    return OK


def _check_derive_mac(x: Execution, parent: int, *, admitted: bool) -> None:
    if not admitted:
        admit(x, "derive mac", parent)
    if len(x.data) != 32:
        raise refuse("this slot asks for an authorising MAC")
    count_use(x, parent)
    if sha(x.memory.secret(parent), x.tag) != x.data:
        raise Refused(x.knobs.mac_mismatch, "the authorising MAC is wrong", late=True)


ONLY_508, ONLY_608 = (508,), (608,)

FORMS = (
    Form(Opcode.GENDIG, "GenDig config", modes(0), range(4), ANY_LENGTH, gen_dig_zone, "DS508 9.6"),
    Form(Opcode.GENDIG, "GenDig OTP", modes(1), range(2), ANY_LENGTH, gen_dig_zone, "DS508 9.6"),
    Form(Opcode.GENDIG, "GenDig data", modes(2), ANY, ANY_LENGTH, gen_dig_data, "DS508 9.6"),
    Form(Opcode.GENDIG, "GenDig shared nonce", modes(3), ANY, lengths(32), gen_dig_nonce, "DS508 9.6"),
    Form(Opcode.GENDIG, "GenDig counter", modes(4), range(2), ANY_LENGTH, gen_dig_counter, "DS508 9.6"),
    Form(Opcode.GENDIG, "GenDig key config", modes(5), SLOT, ANY_LENGTH, gen_dig_key_config, "DS508 9.6"),
    Form(
        Opcode.MAC,
        "MAC",
        modes(0, 1, 2, 5, 6, bits=0x40),
        SLOT,
        ANY_LENGTH,
        mac,
        "DS508 9.11",
        parse=_mac_length,
    ),
    Form(
        Opcode.MAC,
        "MAC unlisted modes",
        modes(3, 4, 7, bits=0x40),
        SLOT,
        ANY_LENGTH,
        mac,
        "DS508 9.11",
        ONLY_508,
        _mac_length,
    ),
    Form(Opcode.HMAC, "HMAC", modes(0, bits=0x44), SLOT, NONE, hmac_command, "DS508 9.8", ONLY_508),
    Form(Opcode.CHECKMAC, "CheckMac", modes(0, 1, 2, 5, 6), SLOT, lengths(77), check_mac, "DS508 9.2"),
    Form(
        Opcode.CHECKMAC,
        "CheckMac unlisted modes",
        modes(3, 4, 7),
        SLOT,
        lengths(77),
        check_mac,
        "DS508 9.2",
        ONLY_508,
    ),
    Form(Opcode.DERIVEKEY, "DeriveKey", modes(0, bits=4), SLOT, lengths(0, 32), derive_key, "DS508 9.4"),
)
