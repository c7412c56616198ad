"""SHA: digests and HMAC in steps (DS508 section 9.17; DS40002138A section 5.1.8).

The 508A keeps the state in TempKey, so any other command ends it; the 608 has a register of its
own that can be read out and put back.
"""

from __future__ import annotations

from hil.emulator.chip import config as words
from hil.emulator.chip.execution import OK, Execution, Refused, refuse
from hil.emulator.chip.forms import ANY, NONE, SLOT, ZERO, Form, lengths, modes
from hil.emulator.chip.hashing import Sha256
from hil.emulator.chip.policy import admit, count_use, gate
from hil.emulator.chip.session import ShaContext
from hil.wire.atecc import Opcode, Status

__all__ = ["FORMS"]

BLOCK = 64
TEMP_KEY_SLOT = 0xFFFF
TO_MSG_DIG_BUF, TO_OUTPUT = 0x40, 0xC0


def start(x: Execution) -> bytes:
    """Begin a digest; on the 508A TempKey's value is lost."""
    x.session.sha = ShaContext(Sha256())
    _occupy_temp_key(x)
    return OK


def hmac_start(x: Execution) -> bytes:
    """Begin an HMAC with a slot's key, on the 608 also with TempKey."""
    if x.p2 == TEMP_KEY_SLOT and not x.is_508:
        key = x.use_temp_key().value
    else:
        gate(x, "use key")
        admit(x, "sha hmac", x.slot)
        count_use(x, x.slot)
        key = x.memory.secret(x.slot)
    state = Sha256()
    state.update(bytes(byte ^ 0x36 for byte in key + bytes(BLOCK - len(key))))
    x.session.sha = ShaContext(state, key=key)
    _occupy_temp_key(x)
    return OK


def _occupy_temp_key(x: Execution) -> None:
    if x.is_508:
        x.session.temp_key.clear()


def _context(x: Execution) -> ShaContext:
    if x.session.sha is None:
        raise refuse("no digest was started")
    return x.session.sha


def update(x: Execution) -> bytes:
    """More of the message."""
    context = _context(x)
    context.state.update(x.data)
    context.blocks += 1
    return OK


def public(x: Execution) -> bytes:
    """A stored public key into the digest, as the block of a certificate that holds it (508A)."""
    context = _context(x)
    slot = x.slot
    gate(x, "use key")
    key = x.memory.key_config(slot)
    if slot < 8 or key.private or key.key_type != words.KeyType.P256:
        raise refuse(f"slot {slot} is no P-256 public key")
    context.state.update(x.memory.stored_public_key(slot))
    context.blocks += 1
    context.public = (slot, context.blocks)
    return OK


def end(x: Execution) -> bytes:
    """The last bytes; the digest goes to the output and to TempKey or MsgDigBuf."""
    context = _context(x)
    if x.is_508 and (context.key is not None) != (x.p1 == 5):
        raise refuse("the digest was started in the other way")
    context.state.update(x.data)
    x.session.sha = None
    digest = context.state.digest()
    if context.key is not None:
        outer = Sha256()
        outer.update(bytes(byte ^ 0x5C for byte in context.key + bytes(BLOCK - len(context.key))) + digest)
        digest = outer.digest()
    target = x.p1 & 0xC0
    if target == TO_MSG_DIG_BUF:
        x.session.msg_dig_buf = digest
    elif target != TO_OUTPUT:
        temp = x.load_temp_key(digest, from_input=True)
        if context.public is not None:
            slot, block = context.public
            temp.sha_public = (slot, block, context.blocks + bool(x.data))
    return digest


def read_context(x: Execution) -> bytes:
    """The state of a plain digest, to be put back later."""
    context = _context(x)
    if context.key is not None:
        raise refuse("the context of an HMAC stays inside")
    state = context.state
    header = state.length.to_bytes(4, "little") + b"".join(w.to_bytes(4, "little") for w in state.words)
    return header + bytes(x.knobs.sha_context_header - len(header)) + state.pending


def write_context(x: Execution) -> bytes:
    """A state that was read before."""
    header = x.knobs.sha_context_header
    length = int.from_bytes(x.data[:4], "little")
    state = tuple(int.from_bytes(x.data[at : at + 4], "little") for at in range(4, 36, 4))
    x.session.sha = ShaContext(Sha256(state, length, x.data[header:]), blocks=length // BLOCK)
    return OK


def _is_context(x: Execution) -> None:
    length = int.from_bytes(x.data[:4], "little")
    if len(x.data) != x.knobs.sha_context_header + length % BLOCK:
        raise Refused(Status.PARSE, "the context's length differs from what its first bytes say")


def _length_is_p2(x: Execution) -> None:
    if x.p2 != len(x.data):
        raise Refused(Status.PARSE, "param2 differs from the number of bytes")


ONLY_508, ONLY_608 = (508,), (608,)
OP = Opcode.SHA
LAST = lengths(range(64))
OF_608 = "DS40002138A 5.1.8"

FORMS = (
    Form(OP, "SHA start", modes(0), ZERO, NONE, start, "DS508 9.17"),
    Form(OP, "SHA update", modes(1), ANY, lengths(BLOCK), update, "DS508 9.17", ONLY_508, _length_is_p2),
    Form(OP, "SHA end", modes(2), ANY, LAST, end, "DS508 9.17", ONLY_508, _length_is_p2),
    Form(OP, "SHA public", modes(3), SLOT, NONE, public, "DS508 9.17", ONLY_508),
    Form(OP, "SHA HMAC start", modes(4), SLOT, NONE, hmac_start, "DS508 9.17"),
    Form(OP, "SHA HMAC end", modes(5), ANY, LAST, end, "DS508 9.17", ONLY_508, _length_is_p2),
    Form(OP, "SHA update", modes(1), ANY, lengths(range(1, 65)), update, OF_608, ONLY_608, _length_is_p2),
    Form(OP, "SHA end", modes(2), ANY, lengths(range(65)), end, OF_608, ONLY_608, _length_is_p2),
    Form(
        OP, "SHA end to MsgDigBuf", modes(0x42), ANY, lengths(range(65)), end, OF_608, ONLY_608, _length_is_p2
    ),
    Form(OP, "SHA end to output", modes(0xC2), ANY, lengths(range(65)), end, OF_608, ONLY_608, _length_is_p2),
    Form(OP, "SHA read context", modes(6), ANY, NONE, read_context, OF_608, ONLY_608),
    Form(
        OP,
        "SHA write context",
        modes(7),
        ANY,
        lengths(range(36, 104)),
        write_context,
        OF_608,
        ONLY_608,
        _is_context,
    ),
)
