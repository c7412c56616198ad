"""What is asked of every part: read-only and volatile commands, with inputs from the data sheets.

The inputs are the documented modes of both families, each with a fitting and an unfitting state, at
the edges of their lengths, and some that the sheets say to be refused. Nothing that no sheet describes
is sent, because nobody knows what it does. Sources: ATECC508A data sheet DS20005927A section 9;
ATECC608A-TFLXTLS data sheet DS40002138A section 5.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hil.element.digests import check_mac_response
from hil.silicon.scene import FIXED, MESSAGE, STATE, Scene, load, load_message
from hil.silicon.scenes608 import SCENES_608
from hil.silicon.sceneskeys import SCENES_KEYS
from hil.wire.atecc import Command, Opcode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from hil.silicon.scene import Kit

__all__ = ["scenes"]

_LONGEST = 148
"""Data bytes of the longest group, 155 (DS20005927A section 9.1.1)."""


def scenes(kit: Kit) -> list[Scene]:
    """All scenes for an element; roles that no slot plays bring none."""
    return [scene for make in (*_SCENES, *SCENES_KEYS, *SCENES_608) for scene in make(kit)]


def _info(kit: Kit) -> Iterator[Scene]:
    def info(case: str, p1: int, p2: int = 0, data: bytes = b"", *, exact: bool = True) -> Scene:
        return Scene("Info", case, Command(Opcode.INFO, p1, p2, data), exact=exact, state=False)

    yield info("revision", 0x00)
    yield info("revision, param2 FFFF", 0x00, 0xFFFF)
    yield info("state after wake", 0x02)
    yield info("GPIO", 0x03)
    yield info("latch", 0x04)
    for mode in (0x05, 0x06, 0x07, 0x80, 0xFF):
        yield info(f"mode {mode:02x}", mode)
    yield info("one byte too many", 0x00, 0, b"\0")
    yield info("the longest group", 0x00, 0, bytes(_LONGEST))
    yield Scene("Info", "state with TempKey", STATE, (load(),), exact=True, state=False)
    for name in ("private", "public", "secret"):
        slot = getattr(kit.roles, name)
        if slot is not None:
            command = Command(Opcode.INFO, 0x01, slot)
            yield Scene("Info", f"key valid, {name} slot", command, exact=True, state=False, content=True)


def _random(kit: Kit) -> Iterator[Scene]:
    for case, p1, p2, data in (
        ("with seed update", 0x00, 0, b""),
        ("without seed update", 0x01, 0, b""),
        ("mode 02", 0x02, 0, b""),
        ("param2 0001", 0x00, 1, b""),
        ("one byte too many", 0x00, 0, b"\0"),
    ):
        yield Scene("Random", case, Command(Opcode.RANDOM, p1, p2, data), (load(),))


def _nonce(kit: Kit) -> Iterator[Scene]:
    def nonce(case: str, p1: int, p2: int, size: int, *setup: Command, exact: bool = False) -> Scene:
        return Scene("Nonce", case, Command(Opcode.NONCE, p1, p2, bytes(size)), setup, exact=exact)

    yield nonce("random, with seed update", 0x00, 0, 20)
    yield nonce("random, without seed update", 0x01, 0, 20)
    for size in (19, 21, 32):
        yield nonce(f"random, {size} bytes", 0x00, 0, size)
    yield nonce("random, param2 0001", 0x00, 1, 20)
    yield nonce("calculated, no TempKey", 0x00, 0x8000, 20)
    yield nonce("calculated, TempKey from input", 0x00, 0x8000, 20, load(), exact=True)
    drawn = Command(Opcode.NONCE, 0x00, 0, bytes(20))
    yield nonce("calculated, TempKey random", 0x01, 0x8000, 20, drawn)
    yield nonce("mode 02", 0x02, 0, 32)
    for size in (20, 31, 32, 33, 64):
        yield nonce(f"fixed, {size} bytes", 0x03, 0, size)
    yield nonce("fixed, param2 8000", 0x03, 0x8000, 32)
    for mode, size in ((0x23, 64), (0x23, 32), (0x43, 32), (0x63, 64), (0x83, 32), (0x83, 64), (0xA3, 64)):
        yield nonce(f"mode {mode:02x}, {size} bytes", mode, 0, size)
    for mode, size in ((0x43, 32), (0x63, 64), (0x83, 32)):
        yield nonce(f"mode {mode:02x}, TempKey random", mode, 0, size, drawn)
        yield nonce(f"mode {mode:02x}, TempKey from input", mode, 0, size, load())


def _read(kit: Kit) -> Iterator[Scene]:
    def read(case: str, p1: int, p2: int, data: bytes = b"") -> Scene:
        return Scene("Read", case, Command(Opcode.READ, p1, p2, data), (load(),))

    yield read("config word 0", 0x00, 0)
    yield read("config word 21, locks", 0x00, 21)
    yield read("config block 0", 0x80, 0)
    yield read("config block 3, word bits set", 0x80, 0x1F)
    yield read("config, unused address bits", 0x00, 0x0100)
    yield read("config, bit 5 of the address", 0x00, 0x0020)
    yield read("config, one byte too many", 0x00, 0, b"\0")
    yield read("OTP word 0", 0x01, 0)
    yield read("OTP word 2", 0x01, 2)
    yield read("OTP block 0", 0x81, 0)
    yield read("OTP block 1", 0x81, 8)
    yield read("OTP, bit 4 of the address", 0x81, 0x10)
    yield read("zone 3", 0x03, 0)
    yield read("zone 3, 32 bytes", 0x83, 0)
    for name in ("clear", "secret", "private", "public"):
        slot = getattr(kit.roles, name)
        if slot is None:
            continue
        at = slot << 3
        yield read(f"{name} slot, word 0", 0x02, at)
        yield read(f"{name} slot, block 0", 0x82, at)
        yield read(
            f"{name} slot, last block", 0x82, at | (0x100 if slot < 8 else 0xC00 if slot == 8 else 0x200)
        )
        yield read(
            f"{name} slot, word beyond", 0x02, at | (0x107 if slot < 8 else 0xC07 if slot == 8 else 0x207)
        )
        yield read(f"{name} slot, block beyond", 0x82, at | (0xD00 if slot == 8 else 0x300))
        yield read(f"{name} slot, unused address bits", 0x82, at | 0x8000)


def _counter(kit: Kit) -> Iterator[Scene]:
    for number in (0, 1, 2, 0x100):
        yield Scene("Counter", f"read {number:04x}", Command(Opcode.COUNTER, 0x00, number), (load(),))
    yield Scene("Counter", "read, one byte too many", Command(Opcode.COUNTER, 0x00, 0, b"\0"), (load(),))


def _mac(kit: Kit) -> Iterator[Scene]:
    drawn = Command(Opcode.NONCE, 0x00, 0, bytes(20))
    # TempKey alone (06 with a source from input, 02 from the generator) needs no slot's content.
    for mode in (0x00, 0x01, 0x02, 0x03, 0x05, 0x06, 0x07, 0x08, 0x10, 0x20, 0x40, 0x45, 0x46, 0x47, 0x80):
        data = b"" if mode & 1 else FIXED
        for name in ("secret", "tainted", "private"):
            slot = getattr(kit.roles, name)
            if slot is None or (name != "secret" and mode not in (0x00, 0x05)):
                continue
            command = Command(Opcode.MAC, mode, slot, data)
            yield Scene("MAC", f"{name} slot, mode {mode:02x}, TempKey from input", command, (load(),))
            if name == "secret" and mode in (0x01, 0x02, 0x05, 0x06):
                yield Scene("MAC", f"{name} slot, mode {mode:02x}, no TempKey", command)
                yield Scene("MAC", f"{name} slot, mode {mode:02x}, TempKey random", command, (drawn,))
    if kit.roles.secret is not None:
        for size in (0, 31, 33):
            command = Command(Opcode.MAC, 0x00, kit.roles.secret, bytes(size))
            yield Scene("MAC", f"secret slot, {size} bytes", command, (load(),))
    if kit.roles.random is not None:
        command = Command(Opcode.MAC, 0x05, kit.roles.random)
        yield Scene("MAC", "random slot, TempKey from input", command, (load(),))
        yield Scene("MAC", "random slot, TempKey random", Command(Opcode.MAC, 1, kit.roles.random), (drawn,))


def _hmac(kit: Kit) -> Iterator[Scene]:
    slot = kit.roles.secret
    if slot is None:
        return
    for mode in (0x00, 0x04, 0x44, 0x40):
        yield Scene(
            "HMAC", f"mode {mode:02x}, TempKey from input", Command(Opcode.HMAC, mode, slot), (load(),)
        )
    yield Scene("HMAC", "mode 04, no TempKey", Command(Opcode.HMAC, 0x04, slot))


def _check_mac(kit: Kit) -> Iterator[Scene]:
    slot = kit.roles.secret
    if slot is None:
        return
    other = bytes(range(13))
    right = check_mac_response(FIXED, MESSAGE[:32], other, kit.serial)
    both = check_mac_response(FIXED, FIXED, other, kit.serial)

    def check(case: str, mode: int, response: bytes, *setup: Command) -> Scene:
        return Scene(
            "CheckMac",
            case,
            Command(Opcode.CHECKMAC, mode, slot or 0, MESSAGE[:32] + response + other),
            setup,
        )

    wrong = bytes(32)
    for mode in (0x00, 0x01, 0x02, 0x04, 0x05, 0x06, 0x07, 0x08, 0x20, 0x80):
        yield check(f"wrong response, mode {mode:02x}, TempKey from input", mode, wrong, load())
    for mode in (0x00, 0x01, 0x02):
        yield check(f"wrong response, mode {mode:02x}, no TempKey", mode, wrong)
    # With TempKey as the key, the host knows what the right response is.
    yield check("right response, key in TempKey", 0x06, right, load())
    yield check("right response, key and challenge in TempKey", 0x07, both, load())
    drawn = Command(Opcode.NONCE, 0x00, 0, bytes(20))
    if kit.roles.random is not None:
        data = MESSAGE[:32] + wrong + other
        command = Command(Opcode.CHECKMAC, 0x00, kit.roles.random, data)
        yield Scene("CheckMac", "random slot, mode 00, TempKey from input", command, (load(),))
        yield Scene("CheckMac", "random slot, mode 00, TempKey random", command, (drawn,))
    command = Command(Opcode.CHECKMAC, 0x00, slot, bytes(76))
    yield Scene("CheckMac", "one byte too few", command, (load(),))


def _gen_dig(kit: Kit) -> Iterator[Scene]:
    drawn = Command(Opcode.NONCE, 0x00, 0, bytes(20))

    def dig(case: str, zone: int, p2: int, data: bytes = b"", *, setup: Command | None = None) -> Scene:
        before = load() if setup is None else setup
        return Scene("GenDig", case, Command(Opcode.GENDIG, zone, p2, data), (before,))

    for case, zone, p2, data in (
        ("config block 0", 0, 0, b""), ("config block 3", 0, 3, b""), ("config block 4", 0, 4, b""),
        ("OTP block 1", 1, 1, b""), ("OTP block 2", 1, 2, b""), ("shared nonce", 3, 0, FIXED),
        ("shared nonce, TempKey first", 3, 0x8004, FIXED), ("shared nonce, no data", 3, 0, b""),
        ("counter 0", 4, 0, b""), ("counter 2", 4, 2, b""), ("key config", 5, 0, b""), ("zone 6", 6, 0, b""),
    ):  # fmt: skip
        yield dig(case, zone, p2, data)
    yield Scene("GenDig", "config block 0, no TempKey", Command(Opcode.GENDIG, 0, 0))
    for name in ("secret", "tainted", "private", "random"):
        slot = getattr(kit.roles, name)
        if slot is not None:
            yield dig(f"{name} slot, TempKey from input", 2, slot)
            yield dig(f"{name} slot, TempKey random", 2, slot, setup=drawn)
            yield dig(f"{name} slot, with OtherData", 2, slot, bytes(4))
    if kit.roles.private is not None:
        key = Command(Opcode.GENKEY, 0x08, kit.roles.private)
        probe = Command(Opcode.GENDIG, 3, 0, FIXED)
        yield Scene("GenDig", "after a GenKey digest", probe, (load(), key))


def _sha(kit: Kit) -> Iterator[Scene]:
    start = Command(Opcode.SHA, 0x00)
    block = Command(Opcode.SHA, 0x01, 64, MESSAGE)

    def end(mode: int, size: int) -> Command:
        return Command(Opcode.SHA, mode, size, MESSAGE[:size])

    yield Scene("SHA", "start", start, (load(),))
    yield Scene("SHA", "start, param2 1", Command(Opcode.SHA, 0x00, 1))
    yield Scene("SHA", "update without start", block)
    yield Scene("SHA", "end without start", end(2, 0))
    for size in (0, 1, 63, 64):
        yield Scene("SHA", f"end after {size} bytes", end(2, size), (start,), exact=True)
    yield Scene("SHA", "end after a block", end(2, 3), (start, block), exact=True)
    yield Scene("SHA", "update of 64 bytes", block, (start,))
    yield Scene("SHA", "update of 5 bytes", Command(Opcode.SHA, 0x01, 5, MESSAGE[:5]), (start,))
    yield Scene("SHA", "length differs from param2", Command(Opcode.SHA, 0x02, 4, MESSAGE[:3]), (start,))
    yield Scene("SHA", "end of HMAC without start", end(5, 0), (start,))
    yield Scene("SHA", "end to MsgDigBuf", end(0x42, 3), (start,), exact=True)
    yield Scene("SHA", "end to the output", end(0xC2, 3), (start, load()), exact=True)
    yield Scene("SHA", "another command in between", end(2, 3), (start, block, STATE), exact=True)
    yield Scene("SHA", "a Random in between", end(2, 3), (start, block, Command(Opcode.RANDOM)), exact=True)
    yield Scene("SHA", "a refusal in between", end(2, 3), (start, Command(Opcode.SHA, 0x01, 7)), exact=True)
    slot = kit.roles.secret
    if slot is not None:
        yield Scene("SHA", "HMAC start, secret slot", Command(Opcode.SHA, 0x04, slot), (load(),))
    if kit.roles.public is not None:
        public = Command(Opcode.SHA, 0x03, kit.roles.public)
        yield Scene("SHA", "public key", public, (start,))


def _pause(kit: Kit) -> Iterator[Scene]:
    # The part goes idle without an answer, so that its state cannot be asked in the same breath.
    yield Scene("Pause", "for others", Command(Opcode.PAUSE, 0xFF), (load(),), state=False)
    yield Scene("Pause", "param2 1", Command(Opcode.PAUSE, 0x00, 1), (load(),))


def _precedence(kit: Kit) -> Iterator[Scene]:
    """Two reasons to refuse at once: which one is told?"""

    def both(case: str, probe: Command, *setup: Command) -> Scene:
        return Scene("Precedence", case, probe, setup)

    yield both("Nonce: mode 02 and 19 bytes", Command(Opcode.NONCE, 0x02, 0, bytes(19)))
    yield both("Nonce: calculated without TempKey and 19 bytes", Command(Opcode.NONCE, 0, 0x8000, bytes(19)))
    yield both("GenDig: config block 4 without TempKey", Command(Opcode.GENDIG, 0, 4))
    yield both("GenDig: shared nonce without data and TempKey", Command(Opcode.GENDIG, 3, 0))
    yield both("SHA: end without start, wrong length", Command(Opcode.SHA, 0x02, 4, MESSAGE[:3]))
    yield both("Counter: number 2 and a byte too many", Command(Opcode.COUNTER, 0, 2, b"\0"))
    if kit.roles.private is not None:
        slot = kit.roles.private
        beyond = slot << 3 | (0x300 if slot != 8 else 0xD00)
        yield both("Read: private slot and block beyond", Command(Opcode.READ, 0x82, beyond))
        yield both("MAC: private slot without TempKey", Command(Opcode.MAC, 0x05, slot))
        yield both("MAC: private slot and 31 bytes", Command(Opcode.MAC, 0x00, slot, bytes(31)))
        yield both("Sign: mode 01 with the external bit", Command(Opcode.SIGN, 0x81, slot))
    if kit.roles.secret is not None:
        yield both("Sign: secret slot without TempKey", Command(Opcode.SIGN, 0x80, kit.roles.secret))
        yield both("Sign: secret slot", Command(Opcode.SIGN, 0x80, kit.roles.secret), load())
        yield both(
            "Sign: secret slot, MsgDigBuf", Command(Opcode.SIGN, 0xA0, kit.roles.secret), load_message()
        )


_SCENES: tuple[Callable[[Kit], Iterator[Scene]], ...] = (
    _info, _random, _nonce, _read, _counter, _mac, _hmac, _check_mac, _gen_dig, _sha, _pause, _precedence,
)  # fmt: skip
