"""Writes to non-volatile memory: they take effect at the end of a command, word by word.

A command only notes what it will write. The chip applies the notes when the execution time has
passed. If power goes while the memory is being written, whole words are old or new, in the order
of the notes; a private key that was not completely written is no key.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hil.emulator.chip import config as words

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hil.emulator.chip.memory import Memory

__all__ = ["CONFIG", "OTP", "Store", "commit", "counter_stores", "tear"]

CONFIG = -1
OTP = -2
WORD = 4


@dataclass(frozen=True, slots=True, repr=False)
class Store:
    """One piece to write.

    Attributes:
        zone: ``CONFIG``, ``OTP`` or the number of a data slot.
        offset: first byte.
        data: new content.
        private: the piece is (the last part of) a private key.
    """

    zone: int
    offset: int
    data: bytes
    private: bool = False

    @property
    def pieces(self) -> list[tuple[int, bytes]]:
        """The words that are written one after the other: (offset, bytes)."""
        result = []
        at = 0
        while at < len(self.data):
            step = WORD - (self.offset + at) % WORD
            result.append((self.offset + at, self.data[at : at + step]))
            at += step
        return result


def commit(memory: Memory, stores: Sequence[Store]) -> None:
    """Write everything."""
    for store in stores:
        _put(memory, store.zone, store.offset, store.data)
        if store.zone >= 0:
            memory.key_valid[store.zone] = store.private


def tear(memory: Memory, stores: Sequence[Store], done: float) -> None:
    """Write the share ``done`` (0 to 1) of all words; a private key on its way is lost."""
    pieces = [(store.zone, at, data) for store in stores for at, data in store.pieces]
    for zone, at, data in pieces[: int(len(pieces) * done)]:
        _put(memory, zone, at, data)
    for store in stores:
        if store.zone >= 0:
            memory.key_valid[store.zone] = False


def counter_stores(number: int, value: int) -> list[Store]:
    """The writes of one increment: the round counts first, then the unary halves.

    In this order an interrupted increment may count too far but never back (DS508 section 9.3).
    """
    at = words.COUNTER[number]
    field = words.encode_counter(value)
    return [Store(CONFIG, at + 4, field[4:]), Store(CONFIG, at, field[:4])]


def _put(memory: Memory, zone: int, offset: int, data: bytes) -> None:
    if zone == CONFIG:
        memory.set_config(offset, data)
    elif zone == OTP:
        memory.set_otp(data, offset)
    else:
        memory.set_slot(zone, data, offset)
