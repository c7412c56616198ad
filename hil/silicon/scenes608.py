"""Scenes for what the 608 added: AES, KDF, SelfTest, SecureBoot, SHA contexts; a 508A refuses them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hil.silicon.scene import FIXED, MESSAGE, POINT, SIGNATURE, Scene, load, load_message
from hil.wire.atecc import Command, Opcode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from hil.silicon.scene import Kit

__all__ = ["SCENES_608"]

_TEMP_KEY = 0xFFFF
_BLOCK = MESSAGE[:16]
_LONG = Command(Opcode.NONCE, 0x23, 0, MESSAGE)
_ALTERNATE = Command(Opcode.NONCE, 0x83, 0, FIXED)


def _aes(kit: Kit) -> Iterator[Scene]:
    def aes(case: str, p1: int, p2: int, data: bytes, *setup: Command) -> Scene:
        # What comes of a slot's key is never kept: it would be as good as the key.
        return Scene("AES", case, Command(Opcode.AES, p1, p2, data), setup, exact=p2 == _TEMP_KEY or p1 == 3)

    for mode, name in ((0x00, "encrypt"), (0x01, "decrypt")):
        yield aes(f"{name}, key in TempKey", mode, _TEMP_KEY, _BLOCK, load())
        yield aes(f"{name}, second block of TempKey", mode | 0x40, _TEMP_KEY, _BLOCK, load())
    yield aes("encrypt, third block of a long TempKey", 0x80, _TEMP_KEY, _BLOCK, _LONG)
    yield aes("encrypt, third block of a short TempKey", 0x80, _TEMP_KEY, _BLOCK, load())
    yield aes("encrypt, no TempKey", 0x00, _TEMP_KEY, _BLOCK)
    yield aes("encrypt, 15 bytes", 0x00, _TEMP_KEY, _BLOCK[:15], load())
    yield aes("encrypt, 17 bytes", 0x00, _TEMP_KEY, MESSAGE[:17], load())
    yield aes("mode 02", 0x02, _TEMP_KEY, _BLOCK, load())
    yield aes("multiply", 0x03, 0, MESSAGE[:32], load())
    yield aes("multiply, param2 1", 0x03, 1, MESSAGE[:32], load())
    for name in ("aes", "secret", "private"):
        slot = getattr(kit.roles, name)
        if slot is not None:
            yield aes(f"encrypt, {name} slot", 0x00, slot, _BLOCK, load())


def _kdf(kit: Kit) -> Iterator[Scene]:
    def kdf(case: str, p1: int, details: int, message: bytes, *setup: Command, p2: int = 0) -> Scene:
        command = Command(Opcode.KDF, p1, p2, details.to_bytes(4, "little") + message)
        # What comes of a slot's key is never kept: it would be as good as the key.
        return Scene("KDF", case, command, setup, exact=p1 & 0x1C == 0x10 and p1 & 0x03 != 0x02)

    prf, hkdf = 16 << 24 | 0x01, 16 << 24 | 0x02
    for name, target in (("TempKey", 0x00), ("upper TempKey", 0x04), ("AltKeyBuf", 0x0C), ("output", 0x10),
                         ("encrypted output", 0x14)):  # fmt: skip
        yield kdf(f"PRF to {name}", 0x00 | target, prf, _BLOCK, load())
        yield kdf(f"HKDF to {name}", 0x40 | target, hkdf, _BLOCK, load())
        yield kdf(f"AES to {name}", 0x20 | target, 0, _BLOCK, load())
    yield kdf("PRF, no TempKey", 0x10, prf, _BLOCK)
    yield kdf("PRF, 64 bytes", 0x10, prf | 0x100, _BLOCK, load())
    yield kdf("PRF, two halves", 0x10, prf | 0x300, _BLOCK, load())
    yield kdf("PRF, AEAD field 2", 0x10, prf | 0x400, _BLOCK, load())
    yield kdf("PRF, another length in the details", 0x10, 15 << 24 | 1, _BLOCK, load())
    yield kdf("HKDF, key in AltKeyBuf", 0x53, hkdf, _BLOCK, _ALTERNATE)
    yield kdf("HKDF, AltKeyBuf empty", 0x53, hkdf, _BLOCK, load())
    yield kdf("HKDF, key in upper TempKey", 0x51, hkdf, _BLOCK, _LONG)
    yield kdf("HKDF, upper TempKey empty", 0x51, hkdf, _BLOCK, load())
    yield kdf("HKDF, zero key", 0x50, hkdf | 0x04, _BLOCK, load())
    yield kdf("HKDF, key, message and target TempKey", 0x40, 32 << 24 | 0x01, b"", load())
    yield kdf("HKDF, the longest message", 0x50, 123 << 24 | 2, bytes(123), load())
    yield kdf("no data", 0x10, 0, b"", load())
    if kit.roles.secret is not None:
        yield kdf("HKDF, key in the secret slot", 0x52, hkdf, _BLOCK, load(), p2=kit.roles.secret)
    if kit.roles.private is not None:
        yield kdf("HKDF, key in the private slot", 0x52, hkdf, _BLOCK, load(), p2=kit.roles.private)


def _sha_context(kit: Kit) -> Iterator[Scene]:
    start, read = Command(Opcode.SHA, 0x00), Command(Opcode.SHA, 0x06)
    five = Command(Opcode.SHA, 0x01, 5, MESSAGE[:5])
    yield Scene("SHA", "read context without start", read)
    yield Scene("SHA", "read context after 5 bytes", read, (start, five), exact=True)
    yield Scene("SHA", "read context, then end", Command(Opcode.SHA, 0x02), (start, five, read), exact=True)
    words = bytes.fromhex("67e6096a85ae67bb72f36e3c3af54fa57f520e518c68059babd9831f19cde05b")
    # FIPS 180-4 section 5.3.3, each word with its low byte first.
    for header in (36, 40):
        context = (5).to_bytes(4, "little") + words + bytes(header - 36) + MESSAGE[:5]
        write = Command(Opcode.SHA, 0x07, len(context), context)
        yield Scene("SHA", f"write context with {header} bytes in front", write)
        end = Command(Opcode.SHA, 0x02)
        yield Scene("SHA", f"end after a context with {header} bytes in front", end, (write,), exact=True)
    hmac = Command(Opcode.SHA, 0x04, _TEMP_KEY)
    yield Scene("SHA", "HMAC start, TempKey", hmac, (load(),))
    done = Command(Opcode.SHA, 0x02, 3, MESSAGE[:3])
    yield Scene("SHA", "HMAC with TempKey", done, (load(), hmac), exact=True)
    yield Scene("SHA", "context of an HMAC", read, (load(), hmac))


def _self_test(kit: Kit) -> Iterator[Scene]:
    for mode in (0x00, 0x01, 0x04, 0x08, 0x10, 0x20, 0x3D, 0x02, 0x40, 0x80):
        yield Scene("SelfTest", f"mode {mode:02x}", Command(Opcode.SELFTEST, mode), (load(),))


def _secure_boot(kit: Kit) -> Iterator[Scene]:
    data = FIXED + SIGNATURE
    yield Scene("SecureBoot", "full", Command(Opcode.SECUREBOOT, 0x05, 0, data), (load(),), content=True)
    yield Scene("SecureBoot", "full, digest alone", Command(Opcode.SECUREBOOT, 0x05, 0, FIXED), (load(),))
    mac = Command(Opcode.SECUREBOOT, 0x85, 0, data)
    yield Scene("SecureBoot", "full with MAC", mac, (load(),), content=True)


def _buffers(kit: Kit) -> Iterator[Scene]:
    """Which commands leave MsgDigBuf alone: the verification afterwards finds its message or not."""
    verify = Command(Opcode.VERIFY, 0x22, 4, SIGNATURE + POINT)
    for name, between in (
        ("Info", Command(Opcode.INFO)), ("Read", Command(Opcode.READ)), ("Random", Command(Opcode.RANDOM)),
        ("Nonce", load()), ("SHA start", Command(Opcode.SHA, 0x00)), ("Counter", Command(Opcode.COUNTER)),
        ("AES", Command(Opcode.AES, 0x03, 0, MESSAGE[:32])), ("SelfTest", Command(Opcode.SELFTEST, 0x20)),
    ):  # fmt: skip
        yield Scene("MsgDigBuf", f"after {name}", verify, (load_message(), between), state=False)
    again = (load_message(), verify)
    yield Scene("MsgDigBuf", "after its use", verify, again, state=False)


SCENES_608: tuple[Callable[[Kit], Iterator[Scene]], ...] = (
    _aes, _kdf, _sha_context, _self_test, _secure_boot, _buffers,
)  # fmt: skip
