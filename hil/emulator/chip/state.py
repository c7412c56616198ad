"""A part on disk: what survives between processes, in a versioned file that is never half written.

The file holds the part's secrets: it is made readable for its owner alone. Format 1 is JSON::

    {"format": 1, "profile": "atecc508a", "drawn": 12, "config": "<256 hex digits>",
     "otp": "<128 hex digits>", "slots": ["<72 hex digits>", …16], "key_valid": [false, …16]}

``drawn`` counts the blocks that the random generator gave, so that a later process with the same
seed goes on instead of repeating itself. A newer format gets a function in ``UPGRADES`` that turns
the previous one into it, and a file in the tests.
"""

from __future__ import annotations

import json
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from hil.emulator.chip.memory import CONFIG_BYTES, OTP_BYTES, SLOT_BYTES, SLOTS, Memory
from hil.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["FORMAT", "SavedPart", "load", "save"]

FORMAT = 1
"""What :func:`save` writes."""

UPGRADES: Mapping[int, Callable[[dict[str, Any]], dict[str, Any]]] = {}
"""From each older format to the one after it."""


class _Stored(msgspec.Struct, forbid_unknown_fields=True):
    format: int
    profile: str
    drawn: int
    config: str
    otp: str
    slots: list[str]
    key_valid: list[bool]


@dataclass(frozen=True, slots=True)
class SavedPart:
    """What a state file holds.

    Attributes:
        profile: name for :func:`hil.emulator.chip.profile.load_profile`.
        memory: the non-volatile content.
        drawn: blocks that the generator has given; pass it to ``Chip``.
    """

    profile: str
    memory: Memory
    drawn: int


def save(path: Path, profile: str, memory: Memory, *, drawn: int = 0) -> None:
    """Write a part to ``path``: a crash leaves the old file or the new one.

    Raises:
        ConfigError: the folder cannot be written.
    """
    stored = _Stored(
        format=FORMAT,
        profile=profile,
        drawn=drawn,
        config=memory.config.hex(),
        otp=memory.otp.hex(),
        slots=[memory.slot(slot).hex() for slot in range(SLOTS)],
        key_valid=list(memory.key_valid),
    )
    text = json.dumps(msgspec.to_builtins(stored), indent=1).encode()
    try:
        _replace(path, text)
    except OSError as error:
        raise ConfigError(f"{path}: the part's state cannot be written: {error}") from error


def load(path: Path) -> SavedPart:
    """Read a part that :func:`save` wrote, in this format or an older one.

    Raises:
        ConfigError: the file is absent, damaged, or of a format that this version does not know.
    """
    try:
        raw = json.loads(path.read_bytes())
    except OSError as error:
        raise ConfigError(f"{path}: the part's state cannot be read: {error}") from error
    except ValueError as error:
        raise ConfigError(f"{path}: not a state file of a part: {error}") from error
    try:
        stored = msgspec.convert(_upgraded(raw, path), _Stored)
        return SavedPart(stored.profile, _memory(stored), stored.drawn)
    except (msgspec.ValidationError, ValueError) as error:
        raise ConfigError(f"{path}: damaged state file: {error}") from error


def _upgraded(raw: object, path: Path) -> object:
    while isinstance(raw, dict) and raw.get("format") != FORMAT:
        upgrade = UPGRADES.get(raw.get("format", 0))
        if upgrade is None:
            raise ConfigError(
                f"{path}: state format {raw.get('format')!r} is not known here",
                hint=f"this version reads formats 1 to {FORMAT}",
            )
        raw = upgrade(raw)
    return raw


def _memory(stored: _Stored) -> Memory:
    sizes = [CONFIG_BYTES, OTP_BYTES, *SLOT_BYTES]
    pieces = [bytes.fromhex(text) for text in (stored.config, stored.otp, *stored.slots)]
    if [len(piece) for piece in pieces] != sizes or len(stored.key_valid) != SLOTS:
        raise ValueError("a zone or slot has a wrong size")
    memory = Memory()
    memory.set_config(0, pieces[0])
    memory.set_otp(pieces[1])
    for slot, content in enumerate(pieces[2:]):
        memory.set_slot(slot, content)
    memory.key_valid[:] = stored.key_valid
    return memory


def _replace(path: Path, content: bytes) -> None:
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except OSError:
        Path(name).unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
