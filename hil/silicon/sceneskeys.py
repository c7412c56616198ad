"""Scenes on ECC keys: GenKey, Sign, Verify, ECDH, none of which changes a slot."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hil.silicon.scene import FIXED, OFF_CURVE, POINT, SIGNATURE, Scene, load, load_message
from hil.wire.atecc import Command, Opcode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from hil.silicon.scene import Kit

__all__ = ["SCENES_KEYS"]

_TEMP_KEY = 0xFFFF
_DRAWN = Command(Opcode.NONCE, 0x00, 0, bytes(20))


def _gen_key(kit: Kit) -> Iterator[Scene]:
    def key(case: str, p1: int, p2: int, data: bytes = b"", *setup: Command) -> Scene:
        return Scene("GenKey", case, Command(Opcode.GENKEY, p1, p2, data), setup, content=p1 == 0x10)

    for name in ("private", "internal", "empty", "secret"):
        slot = getattr(kit.roles, name)
        if slot is None:
            continue
        yield key(f"public key of the {name} slot", 0x00, slot, b"", load())
        yield key(f"public key and digest of the {name} slot", 0x08, slot, b"", load())
        yield key(f"digest of the {name} slot, no TempKey", 0x08, slot)
    if kit.roles.private is not None:
        yield key("public key, two bytes of data", 0x00, kit.roles.private, bytes(2))
        yield key("digest of a stored key, private slot", 0x10, kit.roles.private, bytes(3), load())
    if kit.roles.public is not None:
        yield key("digest of a stored key", 0x10, kit.roles.public, bytes(3), load())
        yield key("digest of a stored key, no TempKey", 0x10, kit.roles.public, bytes(3))
        yield key("digest of a stored key, no data", 0x10, kit.roles.public, b"", load())
    yield key("ephemeral", 0x04, _TEMP_KEY)
    yield key("ephemeral, three zeros", 0x04, _TEMP_KEY, bytes(3))


def _sign(kit: Kit) -> Iterator[Scene]:
    def sign(case: str, mode: int, slot: int, *setup: Command) -> Scene:
        return Scene("Sign", case, Command(Opcode.SIGN, mode, slot), setup)

    for name in ("private", "internal"):
        slot = getattr(kit.roles, name)
        if slot is None:
            continue
        for mode in (0x80, 0xC0):
            yield sign(f"external, {name} slot, mode {mode:02x}", mode, slot, load())
        yield sign(f"external, {name} slot, no TempKey", 0x80, slot)
        yield sign(f"external, {name} slot, TempKey random", 0x80, slot, _DRAWN)
        yield sign(f"external, {name} slot, a Read in between", 0x80, slot, load(), Command(Opcode.READ))
        yield sign(f"external, {name} slot, a Random in between", 0x80, slot, load(), Command(Opcode.RANDOM))
        yield sign(f"external, {name} slot, an Info in between", 0x80, slot, load(), Command(Opcode.INFO))
        yield sign(
            f"external, {name} slot, a refusal in between", 0x80, slot, load(), Command(Opcode.INFO, 0xFF)
        )
        yield sign(f"external, {name} slot, twice", 0x80, slot, load(), Command(Opcode.SIGN, 0x80, slot))
        for mode in (0xA0, 0xE0):
            yield sign(f"from MsgDigBuf, {name} slot, mode {mode:02x}", mode, slot, load_message())
        yield sign(f"from MsgDigBuf, {name} slot, nothing there", 0xA0, slot, load())
        info = Command(Opcode.INFO)
        yield sign(f"from MsgDigBuf, {name} slot, an Info in between", 0xA0, slot, load_message(), info)
        yield sign(f"from MsgDigBuf, {name} slot, a Nonce in between", 0xA0, slot, load_message(), load())
        dig = Command(Opcode.GENDIG, 0, 0)
        for mode in (0x00, 0x01, 0x20, 0x40, 0x60):
            yield sign(f"internal, {name} slot, mode {mode:02x}, GenDig from input", mode, slot, load(), dig)
        own = Command(Opcode.GENKEY, 0x08, slot)
        yield sign(f"internal, {name} slot, GenKey from input", 0x00, slot, load(), own)
        yield sign(f"internal, {name} slot, GenKey random", 0x00, slot, _DRAWN, own)
        yield sign(f"internal, {name} slot, no digest", 0x00, slot, load())
    if kit.roles.empty is not None:
        yield sign("external, empty slot", 0x80, kit.roles.empty, load())
        yield sign("from MsgDigBuf, empty slot", 0xA0, kit.roles.empty, load_message())
    if kit.roles.clear is not None:
        yield sign("external, clear slot", 0x80, kit.roles.clear, load())


def _verify(kit: Kit) -> Iterator[Scene]:
    def verify(case: str, mode: int, p2: int, data: bytes, *setup: Command, content: bool = False) -> Scene:
        return Scene("Verify", case, Command(Opcode.VERIFY, mode, p2, data), setup, content=content)

    good, bad = SIGNATURE + POINT, bytes(reversed(SIGNATURE)) + POINT
    yield verify("external, right signature", 0x02, 4, good, load())
    yield verify("external, wrong signature", 0x02, 4, bad, load())
    yield verify("external, no TempKey", 0x02, 4, good)
    yield verify("external, no point of the curve", 0x02, 4, SIGNATURE + OFF_CURVE, load())
    yield verify("external, signature of zeros", 0x02, 4, bytes(64) + POINT, load())
    yield verify("external, key type 0", 0x02, 0, good, load())
    yield verify("external, one byte too few", 0x02, 4, good[:-1], load())
    yield verify("external, a Read in between", 0x02, 4, good, load(), Command(Opcode.READ))
    yield verify("external, twice", 0x02, 4, good, load(), Command(Opcode.VERIFY, 0x02, 4, good))
    yield verify("external, MsgDigBuf", 0x22, 4, good, load_message())
    yield verify("external, MsgDigBuf, nothing there", 0x22, 4, good, load())
    yield verify(
        "external, MsgDigBuf, an Info in between", 0x22, 4, good, load_message(), Command(Opcode.INFO)
    )
    yield verify("external, MAC, nonce in MsgDigBuf", 0x82, 4, good, load(), load_message(FIXED))
    yield verify("external, MAC, message in MsgDigBuf", 0xA2, 4, good, load_message(FIXED + FIXED))
    slot = kit.roles.public
    if slot is not None:
        yield verify("stored, wrong signature", 0x00, slot, SIGNATURE, load(), content=True)
        yield verify("stored, no TempKey", 0x00, slot, SIGNATURE)
        yield verify("stored, MsgDigBuf", 0x20, slot, SIGNATURE, load_message(), content=True)
    if kit.roles.private is not None:
        yield verify("stored, private slot", 0x00, kit.roles.private, SIGNATURE, load())


def _ecdh(kit: Kit) -> Iterator[Scene]:
    def agree(case: str, mode: int, p2: int, data: bytes, *setup: Command) -> Scene:
        return Scene("ECDH", case, Command(Opcode.ECDH, mode, p2, data), setup)

    for name in ("agreeing", "empty", "secret"):
        slot = getattr(kit.roles, name)
        if slot is None:
            continue
        yield agree(f"{name} slot", 0x00, slot, POINT, load())
        yield agree(f"{name} slot, no point of the curve", 0x00, slot, OFF_CURVE, load())
        yield agree(f"{name} slot, 63 bytes", 0x00, slot, POINT[:63], load())
        for mode in (0x08, 0x0C, 0x0E):
            yield agree(f"{name} slot, mode {mode:02x}", mode, slot, POINT, load())
    ephemeral = Command(Opcode.GENKEY, 0x04, _TEMP_KEY)
    for mode in (0x09, 0x0D, 0x0F):
        yield agree(f"ephemeral key, mode {mode:02x}", mode, 0, POINT, ephemeral)
        yield agree(f"mode {mode:02x} without an ephemeral key", mode, 0, POINT, load())


SCENES_KEYS: tuple[Callable[[Kit], Iterator[Scene]], ...] = (_gen_key, _sign, _verify, _ecdh)
