"""The legal forms of every command: which modes, parameters and lengths exist on which part.

A form is what can be judged from the packet alone; anything else that is sent gets status 03.
The handlers behind it judge the state. The coverage table of the docs is made from this list.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable, Mapping

    from hil.emulator.chip.execution import Execution
    from hil.wire.atecc import Opcode

__all__ = ["ANY", "SLOT", "ZERO", "Form", "format_modes", "lengths", "modes", "parse_modes", "table"]

ZERO: Container[int] = frozenset({0})
"""Param2 must be 0."""
ANY: Container[int] = range(0x10000)
"""Param2 is free."""
SLOT = ANY
"""Param2 names a slot by its low four bits; the others are hashed but select nothing."""

BOTH = (508, 608)


class Form(msgspec.Struct, frozen=True):
    """One legal form of a command.

    Attributes:
        opcode: the command.
        name: what it does, unique per part, e.g. ``"Nonce random"``.
        modes: legal values of param1.
        p2: legal values of param2.
        lengths: legal numbers of data bytes.
        run: executes it; returns the payload of the answer or raises ``Refused``.
        source: data sheet section.
        families: parts that have it.
        parse: further judgement of the packet alone; raises ``Refused(03)``.
    """

    opcode: Opcode
    name: str
    modes: frozenset[int]
    p2: Container[int]
    lengths: frozenset[int]
    run: Callable[[Execution], bytes]
    source: str
    families: tuple[int, ...] = BOTH
    parse: Callable[[Execution], None] | None = None


def modes(*values: int, bits: int = 0) -> frozenset[int]:
    """The values, each with every combination of the free ``bits`` added."""
    result = set(values)
    for shift in range(8):
        bit = 1 << shift
        if bits & bit:
            result |= {value | bit for value in result}
    return frozenset(result)


def parse_modes(text: str) -> frozenset[int]:
    """Values of param1 as profiles write them: ``XX``, or ``XX/bits`` with every combination of the bits.

    Raises:
        ValueError: a word is neither; the message is the word.
    """
    found: set[int] = set()
    for word in text.split():
        value, _, free = word.partition("/")
        try:
            base, bits = bytes.fromhex(value + (free or "00"))
        except ValueError:
            raise ValueError(word) from None
        found |= modes(base, bits=bits)
    return frozenset(found)


def format_modes(values: Iterable[int]) -> str:
    """The inverse of :func:`parse_modes`, in few words."""
    words, rest = [], set(values)
    while rest:
        base, free = min(rest), 0
        for bit in (1 << n for n in range(8)):
            if not base & bit and modes(base, bits=free | bit) <= rest:
                free |= bit
        words.append(f"{base:02X}/{free:02X}" if free else f"{base:02X}")
        rest -= modes(base, bits=free)
    return " ".join(words)


def lengths(*values: int | range) -> frozenset[int]:
    """Single lengths and ranges of them."""
    result: set[int] = set()
    for value in values:
        result |= {value} if isinstance(value, int) else set(value)
    return frozenset(result)


NONE = lengths(0)
ANY_LENGTH = lengths(range(149))


def table(forms: Iterable[Form], family: int) -> Mapping[int, Form]:
    """Forms of one family by ``opcode << 8 | param1``."""
    result: dict[int, Form] = {}
    for form in forms:
        if family in form.families:
            for mode in form.modes:
                key = form.opcode << 8 | mode
                if key in result:
                    raise ValueError(f"{form.name} and {result[key].name} both claim mode {mode:02X}")
                result[key] = form
    return result
