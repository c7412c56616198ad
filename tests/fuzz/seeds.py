"""Exchanges that no fuzzer guesses: where each command is carried out, as scripts of the targets.

``python -m tests.fuzz.corpus`` starts from them too.
"""

from __future__ import annotations

from hashlib import sha256

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed, decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

from hil.wire.atecc import Command
from tests.fuzz.targets import LENGTHS, PARTS
from tests.unit.chip_bench import DIGEST, SERIAL, TEST_POINT, TEST_SCALAR
from tests.unit.chip_oracle import OPCODES

RICH = [which for which, (_, configuration, _) in enumerate(PARTS) if configuration == "rich"]
KEY = bytes(range(32))
TAIL = SERIAL[8:9] + SERIAL[0:2]
NONCE = Command(0x16, 3, 0, DIGEST)
RANDOM_NONCE = Command(0x16, 0, 0, bytes(20))
GEN_DIG = Command(0x15, 2, 4)


def signature() -> bytes:
    """Over ``DIGEST`` by the key in slot 0; the same every time (RFC 6979)."""
    key = ec.derive_private_key(int.from_bytes(TEST_SCALAR, "big"), ec.SECP256R1())
    r, s = decode_dss_signature(key.sign(DIGEST, ec.ECDSA(Prehashed(SHA256()), deterministic_signing=True)))
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


def exchanges() -> list[list[Command]]:
    """Rows of commands that belong together."""
    other = bytes(13)
    mac = sha256(
        KEY + DIGEST + bytes(12) + bytes(3) + SERIAL[8:9] + bytes(4) + SERIAL[0:2] + bytes(2)
    ).digest()
    temp = sha256(KEY + b"\x15\x02\x04\0" + TAIL + bytes(25) + DIGEST).digest()
    clear = bytes(range(32))
    sealed = bytes(a ^ b for a, b in zip(clear, temp, strict=True))
    write = sha256(temp + b"\x12\xc2\x28\0" + TAIL + bytes(25) + clear).digest()
    hkdf, prf = b"\2\0\0\x20" + KEY, b"\1\0\0\x20" + KEY
    signed = DIGEST + signature()
    return [
        [Command(0x40, 4, 0), NONCE, Command(0x41, 0x80, 0), Command(0x40, 0, 0)],
        [NONCE, Command(0x45, 2, 4, signature() + TEST_POINT), NONCE, Command(0x45, 0, 13, signature())],
        [Command(0x43, 0, slot, TEST_POINT) for slot in (0, 2)] + [Command(0x43, 0x0C, 0, TEST_POINT)],
        [Command(0x40, 4, 0xFFFF), Command(0x43, 0x0D, 0, TEST_POINT)],
        [Command(0x28, 0, 4, DIGEST + mac + other), NONCE, Command(0x15, 2, 7), Command(0x30, 2)],
        [NONCE, GEN_DIG, Command(0x12, 0xC2, 0x28, sealed + write)],
        [RANDOM_NONCE, GEN_DIG, Command(0x02, 0x82, 5 << 3), RANDOM_NONCE, GEN_DIG, Command(0x41, 0x40, 0)],
        [RANDOM_NONCE, Command(0x1C, 0, 5), RANDOM_NONCE, Command(0x1C, 0, 7)],
        [Command(0x08, 0, 4, DIGEST), NONCE, Command(0x08, 6, 4, DIGEST), NONCE, Command(0x11, 4, 4)],
        [Command(0x47, 0), Command(0x47, 1, 64, bytes(64)), Command(0x47, 2, 3, b"end")],
        [Command(0x47, 4, 4), Command(0x47, 1, 64, bytes(64)), Command(0x47, 5, 0), Command(0x47, 6)],
        [Command(0x47, 0), Command(0x47, 3, 14), Command(0x47, 2, 0), Command(0x45, 1, 14, signature())],
        [Command(0x24, 1, 0), Command(0x24, 0, 0), *(Command(0x20, mode, 7) for mode in range(3))],
        [Command(0x02, 0x80, 0), Command(0x02, 0x82, 8 << 3), Command(0x12, 0x82, 8 << 3, DIGEST)],
        [Command(0x1B), Command(0x30), Command(0x01, 0), Command(0x17, 0x02 | 3 << 2)],
        [Command(0x51, 0, 9, KEY[:16]), NONCE, Command(0x51, 1, 0xFFFF, KEY[:16]), Command(0x51, 3, 0, KEY)],
        [NONCE, Command(0x56, 0x50, 0, hkdf), NONCE, Command(0x56, 0x10, 0, prf)],
        [Command(0x77, 0x3D), Command(0x80, 5, 0, signed), Command(0x80, 7, 0, signed)],
        [NONCE, Command(0x40, 0x10, 14, b"abc"), Command(0x45, 3, 14, signature() + bytes(19))],
        [Command(0x46, 0, 0, bytes(4) + TEST_SCALAR + bytes(32)), Command(0x17, 0, 1), Command(0x17, 1, 1)],
    ]  # fmt: skip


def packets_script(which: int, commands: list[Command]) -> bytes:
    """A script of ``chip-packets``."""
    return bytes((which,)) + b"".join(map(_encode, commands))


def bus_script(which: int, commands: list[Command]) -> bytes:
    """A script of ``chip-bus``: each command sent and waited for, its answer read."""
    return bytes((which,)) + b"".join(b"\0" + _encode(command) + b"\x05\x50" for command in commands)


def _encode(command: Command) -> bytes:
    size = len(command.data)
    length = LENGTHS.index(size) if size in LENGTHS else 240 + size
    head = bytes((OPCODES.index(command.opcode), length, command.p1))
    return head + command.p2.to_bytes(2, "little") + command.data


def seeds(target: str) -> list[bytes]:
    """The scripts for a target."""
    if target == "packets":
        return [command.encode() for row in exchanges() for command in row]
    make = packets_script if target == "chip-packets" else bus_script
    return [make(which, row) for which in range(len(PARTS)) for row in exchanges()]
