"""Verify: signatures by external and stored public keys, and validation of stored ones.

Sources: DS508 section 9.20; the 608's sources and MAC, DS40002138A section 5.2.5. Its table 5-63
swaps modes 82 and A2; the table for stored keys has them right: 80 adds a MAC, 20 is the source.
"""

from __future__ import annotations

from hil.emulator.chip import config as words
from hil.emulator.chip.commands.keys import check_ecc, public_key
from hil.emulator.chip.crypto import sha
from hil.emulator.chip.execution import OK, Execution, Refused, refuse
from hil.emulator.chip.forms import SLOT, Form, lengths, modes
from hil.emulator.chip.policy import admit, count_use, gate, io_key
from hil.wire.atecc import Opcode, Status

__all__ = ["FORMS"]

WITH_MAC = 0x80
FROM_BUFFER = 0x20
P256 = frozenset({0x0004})
VALID, INVALID = 0x50, 0xA0


def external(x: Execution) -> bytes:
    """A signature by a key that comes with the command."""
    key = _mac_key(x)
    digest = _message(x)
    nonce = _nonce(x) if key is not None else b""
    _check(x, x.data[64:], digest, x.data[:64])
    return _answer(x, key, digest, nonce)


def stored(x: Execution) -> bytes:
    """A signature by a public key in a slot; success authorises that slot."""
    slot = x.slot
    rules = gate(x, "use key")
    key = _mac_key(x)
    from_buffer = bool(x.p1 & FROM_BUFFER)
    admit(x, "verify", slot, temp=not from_buffer)
    if rules:
        _check_validated(x, slot, f"slot {slot} holds a public key that is not validated")
    digest = _message(x)
    nonce = _nonce(x) if key is not None else b""
    count_use(x, slot)
    _check(x, x.memory.stored_public_key(slot), digest, x.data[:64])
    x.auth_given = slot
    return _answer(x, key, digest, nonce)


def validate(x: Execution) -> bytes:
    """Validate or invalidate a stored public key by a signature of its parent key."""
    slot = x.slot
    gate(x, "validate")
    key = x.memory.key_config(slot)
    parent = x.memory.slot_config(slot).read_key
    _check_target(x, slot)
    if x.memory.config[words.X509_FORMAT + key.x509_id]:
        raise refuse("the slot's X509format asks for a certificate (ValidateExternal)")
    other = x.data[64:]
    if (other[17] & 1) != (x.p1 >> 2 & 1):
        raise refuse("OtherData says the opposite of the mode")
    if x.memory.key_config(parent).pub_info and x.knobs.unvalidated_parent == "refused":
        _check_validated(x, parent, f"the parent key in slot {parent} is not validated")
    temp = admit(x, "verify", parent, temp=True)
    assert temp is not None, "asked for"
    if not (temp.gen_key and temp.key_id == slot):
        raise refuse(f"TempKey is no GenKey digest of slot {slot}")
    count_use(x, parent)
    count_use(x, slot)
    message = (temp.value, b"\x41", other[:10], x.sn8, other[10:14], x.sn01, other[14:19])
    _check(x, x.memory.stored_public_key(parent), sha(*message), x.data[:64])
    _mark(x, slot, INVALID if x.p1 & 4 else VALID)
    return OK


def validate_external(x: Execution) -> bytes:
    """Validate a stored public key by a certificate hashed with SHA(Public)."""
    slot = x.slot
    gate(x, "validate")
    key = x.memory.key_config(slot)
    parent = x.memory.slot_config(slot).read_key
    _check_target(x, slot)
    if x.memory.key_config(parent).pub_info and x.knobs.unvalidated_parent == "refused":
        _check_validated(x, parent, f"the parent key in slot {parent} is not validated")
    temp = admit(x, "verify", parent, temp=True)
    assert temp is not None, "asked for"
    if temp.sha_public is None or temp.sha_public[0] != slot:
        raise refuse(f"TempKey is no digest with SHA(Public) of slot {slot}")
    layout = x.memory.config[words.X509_FORMAT + key.x509_id]
    _, block, blocks = temp.sha_public
    if layout and (block, blocks) != (layout & 0x0F, layout >> 4):
        raise refuse("the public key is not where X509format wants it in the certificate")
    count_use(x, parent)
    count_use(x, slot)
    _check(x, x.memory.stored_public_key(parent), temp.value, x.data[:64])
    _mark(x, slot, VALID)
    return OK


def _check_target(x: Execution, slot: int) -> None:
    key = x.memory.key_config(slot)
    if key.private or key.key_type != words.KeyType.P256 or not key.pub_info:
        raise refuse(f"slot {slot} holds no public key that can be validated")


def _check_validated(x: Execution, slot: int, complaint: str) -> None:
    if x.memory.key_config(slot).pub_info and x.memory.validity(slot) != 5:
        raise refuse(complaint)


def _mark(x: Execution, slot: int, nibble: int) -> None:
    x.store(slot, 0, bytes((nibble | x.memory.slot(slot)[0] & 0x0F,)))


def _message(x: Execution) -> bytes:
    if not x.p1 & FROM_BUFFER:
        return x.use_temp_key().value
    if x.session.msg_dig_buf is None:
        raise refuse("MsgDigBuf is not valid")
    return x.session.msg_dig_buf[:32]


def _nonce(x: Execution) -> bytes:
    """The host's nonce of a MAC: behind the message, or alone in MsgDigBuf."""
    at = 32 if x.p1 & FROM_BUFFER else 0
    nonce = (x.session.msg_dig_buf or b"")[at : at + 32]
    if len(nonce) != 32:
        raise refuse("MsgDigBuf holds no nonce for the MAC")
    return nonce


def _mac_key(x: Execution) -> bytes | None:
    return io_key(x) if x.p1 & WITH_MAC else None


def _check(x: Execution, point: bytes, digest: bytes, signature: bytes) -> None:
    from hil.emulator.chip import ecc

    check_ecc(x)
    if not ecc.verify(public_key(x, point), digest, signature):
        raise Refused(Status.MISCOMPARE, "the signature does not match", late=True)


def _answer(x: Execution, key: bytes | None, digest: bytes, nonce: bytes) -> bytes:
    if key is None:
        return OK
    return sha(key, digest, nonce, x.data[:64], bytes((x.opcode, x.p1)), x.p2_bytes)


def _high_slot(x: Execution) -> None:
    if x.slot < 8:
        raise Refused(Status.PARSE, "public keys live in slots 8 to 15")


ONLY_608 = (608,)
EXTRA = modes(0x80, 0x20, 0xA0)

FORMS = (
    Form(Opcode.VERIFY, "Verify external", modes(2), P256, lengths(128), external, "DS508 9.20"),
    Form(
        Opcode.VERIFY,
        "Verify external with source or MAC",
        frozenset(2 | bits for bits in EXTRA),
        P256,
        lengths(128),
        external,
        "DS40002138A 5.2.5",
        ONLY_608,
    ),
    Form(Opcode.VERIFY, "Verify stored", modes(0), SLOT, lengths(64), stored, "DS508 9.20"),
    Form(
        Opcode.VERIFY,
        "Verify stored with source or MAC",
        EXTRA,
        SLOT,
        lengths(64),
        stored,
        "DS40002138A 5.2.5",
        ONLY_608,
    ),
    Form(
        Opcode.VERIFY,
        "Verify validate",
        modes(3, 7),
        SLOT,
        lengths(83),
        validate,
        "DS508 9.20",
        parse=_high_slot,
    ),
    Form(
        Opcode.VERIFY,
        "Verify validate external",
        modes(1),
        SLOT,
        lengths(64),
        validate_external,
        "DS508 9.20",
        parse=_high_slot,
    ),
)
