"""GenKey, PrivWrite, Sign, ECDH: commands on private ECC keys."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hil.emulator.chip import config as words
from hil.emulator.chip.crypto import sha, xor
from hil.emulator.chip.execution import OK, Execution, Refused, refuse
from hil.emulator.chip.forms import NONE, SLOT, Form, lengths, modes
from hil.emulator.chip.policy import admit, count_use, gate, io_key, key_of, write_rights
from hil.wire.atecc import Opcode, Status

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric import ec

__all__ = ["FORMS"]

TEMP_KEY_SLOT = 0xFFFF
"""Param2 of the 608 that means TempKey instead of a slot."""


def public_key(x: Execution, point: bytes) -> ec.EllipticCurvePublicKey:
    """The key object of X and Y.

    Raises:
        Refused: no point of the curve; the status is the knob ``invalid_public_key``.
    """
    from hil.emulator.chip import ecc

    key = ecc.public_key(point)
    if key is None:
        raise Refused(x.knobs.invalid_public_key, "the public key is no point of P-256", late=True)
    return key


def check_ecc(x: Execution) -> None:
    """Answer 05 where chance or a fault says so.

    Raises:
        Refused: 05.
    """
    if x.services.ecc_fault():
        raise Refused(Status.ECC_FAULT, "ECC fault", late=True)


# -- GenKey --------------------------------------------------------------------------------------


def gen_key_create(x: Execution) -> bytes:
    """A new private key into a slot; the answer is its public key."""
    from hil.emulator.chip import ecc

    if x.p2 == TEMP_KEY_SLOT and not x.is_508:
        return _gen_key_ephemeral(x)
    slot = x.slot
    rules = gate(x, "gen key")
    digest = bool(x.p1 & 8)
    admit(x, "gen key create", slot)
    if digest:
        admit(x, "gen key digest", slot, temp=True)
    if not x.memory.slot_open(slot):
        raise refuse(f"slot {slot} is locked")
    if rules and not write_rights(x.memory, slot).gen_key:
        raise refuse(f"WriteConfig of slot {slot} forbids GenKey")
    scalar = _new_scalar(x)
    check_ecc(x)
    key = ecc.private_key(scalar)
    assert key is not None, "_new_scalar draws below the order"
    point = ecc.public_bytes(key)
    x.store(slot, 4, scalar, private=True)
    return _public_answer(x, slot, point, digest)


def _gen_key_ephemeral(x: Execution) -> bytes:
    from hil.emulator.chip import ecc

    if x.p1 != 4:
        raise refuse("an ephemeral key has no digest")
    if not x.memory.config_locked:
        raise refuse("GenKey needs a locked configuration")
    scalar = _new_scalar(x)
    check_ecc(x)
    key = ecc.private_key(scalar)
    assert key is not None, "_new_scalar draws below the order"
    x.load_secret(scalar).secret = True
    return ecc.public_bytes(key)


def _new_scalar(x: Execution) -> bytes:
    from hil.emulator.chip import ecc

    while True:
        scalar = x.random(update_seed=True)
        if 0 < int.from_bytes(scalar, "big") < ecc.ORDER:
            return scalar


def gen_key_public(x: Execution) -> bytes:
    """The public key of a stored private key."""
    slot = x.slot
    rules = gate(x, "gen key")
    digest = bool(x.p1 & 8)
    admit(x, "gen key digest" if digest else "gen key public", slot, temp=digest)
    if rules and not x.memory.key_config(slot).pub_info:
        raise refuse(f"slot {slot} gives no public key (PubInfo)")
    key_of(x, slot)
    check_ecc(x)
    point = x.memory.public_key(slot)
    assert point is not None, "key_of found a key"
    return _public_answer(x, slot, point, digest)


def _public_answer(x: Execution, slot: int, point: bytes, digest: bool) -> bytes:
    if digest:
        _digest(x, slot, x.tag[1:4], point)
    return point


def gen_key_digest_stored(x: Execution) -> bytes:
    """Digest of a stored public key into TempKey."""
    slot = x.slot
    gate(x, "public digest")
    admit(x, "public digest", slot, temp=True)
    count_use(x, slot)
    _digest(x, slot, x.data, x.memory.stored_public_key(slot))
    return OK


def _digest(x: Execution, slot: int, other: bytes, point: bytes) -> None:
    temp = x.session.temp_key
    no_mac = temp.no_mac
    message = (temp.value, bytes((x.opcode,)), other, x.sn8, x.sn01, bytes(25), point)
    temp = x.load_temp_key(sha(*message), from_input=temp.from_input)
    temp.gen_key, temp.key_id, temp.no_mac = True, slot, no_mac


def _slot_of_public_key(x: Execution) -> None:
    if x.slot < 8:
        raise Refused(Status.PARSE, "public keys live in slots 8 to 15")


# -- PrivWrite -----------------------------------------------------------------------------------


def priv_write(x: Execution) -> bytes:
    """A private key into a slot: clear while the data zone is open, else encrypted."""
    from hil.emulator.chip import ecc

    slot = x.slot
    rules = gate(x, "priv write")
    slot_rules = x.memory.slot_config(slot)
    key = x.memory.key_config(slot)
    if not (key.private and key.key_type == words.KeyType.P256 and slot_rules.secret):
        raise refuse(f"slot {slot} is no secret P-256 private key")
    if not x.memory.slot_open(slot):
        raise refuse(f"slot {slot} is locked")
    if rules and not write_rights(x.memory, slot).priv_write:
        raise refuse(f"WriteConfig of slot {slot} forbids PrivWrite")
    content = x.data[:36]
    if x.p1:
        temp = x.use_temp_key()
        if rules and not (temp.gen_dig and temp.key_id == slot_rules.write_key):
            raise refuse(f"TempKey is no GenDig over slot {slot_rules.write_key}")
        content = xor(content, temp.value + sha(temp.value)[:4])
        if sha(temp.value, x.tag, bytes(21), content) != x.data[36:]:
            raise Refused(x.knobs.mac_mismatch, "the MAC of the write is wrong", late=True)
    elif rules:
        raise refuse("a locked data zone takes private keys encrypted only")
    if ecc.private_key(content[4:]) is None:
        raise Refused(x.knobs.invalid_public_key, "not between 1 and the order of P-256", late=True)
    x.store(slot, 0, content, private=True)
    return OK


# -- Sign ----------------------------------------------------------------------------------------


def sign_external(x: Execution) -> bytes:
    """Sign a digest from outside, in TempKey or (608) MsgDigBuf."""
    slot = x.slot
    rules = gate(x, "sign external")
    from_buffer = bool(x.p1 & 0x20) and not x.is_508
    if rules and not x.memory.slot_config(slot).external_sign:
        raise refuse(f"slot {slot} signs no external messages")
    temp = admit(x, "sign", slot, temp=not from_buffer)
    key_of(x, slot)
    if temp is not None:
        digest = temp.value
    else:
        if x.session.msg_dig_buf is None:
            raise refuse("MsgDigBuf is not valid")
        digest = x.session.msg_dig_buf[:32]
    return _sign(x, slot, digest)


def sign_internal(x: Execution) -> bytes:
    """Sign what GenKey or GenDig left in TempKey, with the description of its key."""
    slot = x.slot
    gate(x, "sign internal")
    if not x.memory.slot_config(slot).internal_sign:
        raise refuse(f"slot {slot} signs no internal messages")
    temp = admit(x, "sign", slot, temp=True)
    assert temp is not None, "asked for"
    if not (temp.gen_dig or temp.gen_key):
        raise refuse("TempKey comes neither from GenDig nor from GenKey")
    needs_random = x.memory.key_config(slot).req_random and not x.is_508
    if needs_random and x.knobs.random_source_for_internal_sign and temp.from_input:
        raise refuse(f"slot {slot} asks for a TempKey of the random generator")
    key_of(x, slot)
    memory, subject = x.memory, temp.key_id
    full = bool(x.p1 & 0x40)
    public = memory.key_config(subject)
    validated = (
        not public.private
        and public.key_type == words.KeyType.P256
        and public.pub_info
        and subject >= 8
        and memory.validity(subject) == 5
    )
    serial = memory.serial
    message = (
        temp.value,
        x.tag[:4],
        memory.config[words.SLOT_CONFIG + 2 * subject :][:2],
        memory.config[words.KEY_CONFIG + 2 * subject :][:2],
        bytes((temp.flags, 0, 0)),
        x.sn8,
        serial[4:8] if full else bytes(4),
        x.sn01,
        serial[2:4] if full else bytes(2),
        bytes((memory.slot_open(subject), validated, 0)),
    )
    return _sign(x, slot, sha(*message))


def _buffer_bit(x: Execution) -> None:
    if x.knobs.sign_internal_buffer_bit == "parse":
        raise Refused(Status.PARSE, "Sign(internal) takes TempKey only")


def _sign(x: Execution, slot: int, digest: bytes) -> bytes:
    count_use(x, slot)
    check_ecc(x)
    key = x.memory.private_key(slot)
    assert key is not None, "key_of found a key"
    return x.services.sign(key, digest)


# -- ECDH ----------------------------------------------------------------------------------------

SLOT_RULES, TO_SLOT, TO_TEMP_KEY, TO_OUTPUT = 0x00, 0x04, 0x08, 0x0C


def ecdh(x: Execution) -> bytes:
    """A shared secret: clear, encrypted, into a slot, or into TempKey (DS40002138A 5.2.1)."""
    from hil.emulator.chip import ecc

    target = x.p1 & 0x0C
    encrypted = bool(x.p1 & 2)
    if x.p1 & 1:
        temp = x.use_temp_key(private=True)
        private = ecc.private_key(temp.value)
        target_slot = x.slot
        if target == SLOT_RULES:
            target = TO_OUTPUT
    else:
        slot = x.slot
        rules = gate(x, "use key")
        config = x.memory.slot_config(slot)
        if rules and not config.ecdh:
            raise refuse(f"slot {slot} does no ECDH")
        if target == SLOT_RULES:
            target = TO_SLOT if config.ecdh_to_next else TO_OUTPUT
        target_slot = slot + 1
        if target == TO_SLOT and slot % 2:
            raise refuse("the secret goes to the slot behind an even one only")
        admit(x, "ecdh", slot)
        key_of(x, slot)
        count_use(x, slot)
        private = x.memory.private_key(slot)
    assert private is not None, "checked above"
    if target == TO_SLOT:
        _check_target(x, target_slot)
    point = public_key(x, x.data)
    check_ecc(x)
    secret = ecc.ecdh(private, point)
    if target == TO_SLOT:
        x.store(target_slot, 0, secret)
        return OK
    if target == TO_TEMP_KEY:
        x.load_secret(secret)
        return OK
    return _ecdh_output(x, secret, encrypted)


def _check_target(x: Execution, slot: int) -> None:
    if x.memory.key_config(slot).private:
        raise refuse(f"slot {slot} is a private ECC key")
    if not x.memory.slot_open(slot):
        raise refuse(f"slot {slot} is locked")


def _ecdh_output(x: Execution, secret: bytes, encrypted: bool) -> bytes:
    if not x.is_508:
        protect = words.chip_options(x.memory.word(words.CHIP_OPTIONS)).ecdh_protect
        if protect > 1 and x.knobs.kdf_protect_output == "refused":
            raise refuse("ECDHPROT keeps the secret inside")
        encrypted = encrypted or protect > 0
    if not encrypted:
        return secret
    nonce = x.random(update_seed=True)
    return xor(secret, sha(io_key(x), nonce[:16])) + nonce


ONLY_508, ONLY_608 = (508,), (608,)
OTHER = lengths(0, 3)

FORMS = (
    Form(Opcode.GENKEY, "GenKey", modes(4, bits=8), SLOT, OTHER, gen_key_create, "DS508 9.7"),
    Form(Opcode.GENKEY, "GenKey public", modes(0, bits=8), SLOT, OTHER, gen_key_public, "DS508 9.7"),
    Form(
        Opcode.GENKEY,
        "GenKey digest of stored key",
        modes(0x10, bits=0x0C),
        SLOT,
        lengths(3),
        gen_key_digest_stored,
        "DS508 9.7",
        parse=_slot_of_public_key,
    ),
    Form(Opcode.PRIVWRITE, "PrivWrite", modes(0, 0x40), SLOT, lengths(68), priv_write, "DS508 9.14"),
    Form(Opcode.SIGN, "Sign external", modes(0x80, bits=0x40), SLOT, NONE, sign_external, "DS508 9.18"),
    Form(
        Opcode.SIGN,
        "Sign external from MsgDigBuf",
        modes(0xA0, bits=0x40),
        SLOT,
        NONE,
        sign_external,
        "DS40002138A 5.2.4",
        ONLY_608,
    ),
    Form(Opcode.SIGN, "Sign internal", modes(0, bits=0x41), SLOT, NONE, sign_internal, "DS508 9.18"),
    Form(
        Opcode.SIGN,
        "Sign internal with buffer bit",
        modes(0x20, bits=0x41),
        SLOT,
        NONE,
        sign_internal,
        "DS40002138A 5.2.4",
        ONLY_608,
        _buffer_bit,
    ),
    Form(Opcode.ECDH, "ECDH", modes(0), SLOT, lengths(64), ecdh, "DS508 9.5"),
    Form(
        Opcode.ECDH,
        "ECDH with target",
        modes(0x04, 0x05, 0x08, 0x09, 0x0C, 0x0D, 0x0E, 0x0F),
        SLOT,
        lengths(64),
        ecdh,
        "DS40002138A 5.2.1",
        ONLY_608,
    ),
)
"""Sources: DS508 is the ATECC508A data sheet DS20005927A; DS40002138A the TFLXTLS one."""
