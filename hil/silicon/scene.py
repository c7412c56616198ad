"""A scene: some commands that prepare, one that is watched, and how its answer is put down."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from hil.wire.atecc import Command, Opcode

if TYPE_CHECKING:
    from hil.silicon.roles import Roles

__all__ = [
    "FIXED",
    "MESSAGE",
    "OFF_CURVE",
    "POINT",
    "SIGNATURE",
    "STATE",
    "Kit",
    "Scene",
    "load",
    "load_message",
]

FIXED = bytes((0x11,)) * 32
"""What scenes put into TempKey."""
MESSAGE = bytes(range(64))
POINT = bytes.fromhex(
    "d8cd12ea5c67f2f8a00c1124893edcfa6754c4d6cede6be13bdf2295c810a97f"
    "a5a89d2d2a360c0ca9a4d6c7c9ed4b28d3e199d6627f2e696d689c310a5b0f48"
)
"""Public key of a test key, 0123456789abcdef four times."""
SIGNATURE = bytes.fromhex(
    "f7cc6f9c2e7a5bdd5be39af8294be277b8b024ed9e90c50d0f827730dc84c99f"
    "a0e4c171f32b384b340e5a71df4aac4498608fc557919ce15b8e980703bafb71"
)
"""Its signature over the digest :data:`FIXED`."""
OFF_CURVE = bytes((0x01,)) * 64
STATE = Command(Opcode.INFO, 0x02)
"""Info(State): the flags of TempKey; it disturbs nothing (DS20005927A section 2.5.1)."""


class Scene(msgspec.Struct, frozen=True):
    """One thing to watch.

    Attributes:
        group: the command it says something about, as the data sheet spells it.
        case: what is special, in words; group and case together are the key of the observation.
        probe: the command that is watched.
        setup: commands before it, from sleep on.
        exact: the answer's bytes are the observation: they depend on no die, key or chance.
        state: look at TempKey's flags afterwards.
        content: the answer depends on what a slot of this very part holds.
    """

    group: str
    case: str
    probe: Command
    setup: tuple[Command, ...] = ()
    exact: bool = False
    state: bool = True
    content: bool = False

    @property
    def key(self) -> str:
        """``Sign | external, no TempKey``."""
        return f"{self.group} | {self.case}"


class Kit(msgspec.Struct, frozen=True):
    """What scenes are made of besides constants.

    Attributes:
        roles: which slot plays which part.
        serial: 9 bytes, which the element hashes into its MACs.
    """

    roles: Roles
    serial: bytes


def load(value: bytes = FIXED) -> Command:
    """Nonce(fixed): a value into TempKey."""
    return Command(Opcode.NONCE, 0x03, 0, value)


def load_message(value: bytes = FIXED) -> Command:
    """A value into MsgDigBuf, 32 or 64 bytes (608)."""
    return Command(Opcode.NONCE, 0x63 if len(value) == 64 else 0x43, 0, value)
