"""How long commands take at most, and how the driver waits for them.

Sources: execution times from the ATECC508A data sheet table 9-4 and, where larger or for the
608, the no-poll tables of MicrochipTech/cryptoauthlib ``lib/calib/calib_execution.c`` v3.7.8
(M0, M1, M2 = clock dividers of ChipMode). 608B times are not published; polling bridges that.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Literal

import msgspec

from hil.wire.atecc import Opcode

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Divider", "Pace", "execution_us"]

Divider = Literal["M0", "M1", "M2"]
"""Clock divider of the 608: ChipMode bits 7:3 = 00, 05, 0D."""

_COLUMNS: Mapping[str, int] = {"508": 0, "M0": 1, "M1": 2, "M2": 3}

# Milliseconds: 508A, 608 M0, 608 M1, 608 M2; 0 = the part lacks the command.
_MAX_MS: Mapping[int, tuple[int, int, int, int]] = {
    Opcode.AES: (0, 27, 27, 27),
    Opcode.CHECKMAC: (13, 40, 40, 40),
    Opcode.COUNTER: (20, 25, 25, 25),
    Opcode.DERIVEKEY: (50, 50, 50, 50),
    Opcode.ECDH: (58, 75, 172, 531),
    Opcode.GENDIG: (11, 25, 35, 35),
    Opcode.GENKEY: (115, 115, 215, 653),
    Opcode.HMAC: (23, 0, 0, 0),
    Opcode.INFO: (2, 5, 5, 5),
    Opcode.KDF: (0, 165, 165, 165),
    Opcode.LOCK: (32, 35, 35, 35),
    Opcode.MAC: (14, 55, 55, 55),
    Opcode.NONCE: (29, 20, 20, 20),
    Opcode.PAUSE: (3, 0, 0, 0),
    Opcode.PRIVWRITE: (48, 50, 50, 50),
    Opcode.RANDOM: (23, 23, 23, 23),
    Opcode.READ: (5, 5, 5, 5),
    Opcode.SECUREBOOT: (0, 80, 160, 480),
    Opcode.SELFTEST: (0, 250, 625, 2324),
    Opcode.SHA: (9, 36, 42, 75),
    Opcode.SIGN: (60, 115, 220, 665),
    Opcode.UPDATEEXTRA: (10, 10, 10, 10),
    Opcode.VERIFY: (72, 105, 295, 1085),
    Opcode.WRITE: (26, 45, 45, 45),
}
_LIMITED_USE_MS = 50
"""Counting a use may add this much to any command (note to DS508 table 9-4)."""
_UNKNOWN_MS = 250


@lru_cache(maxsize=256)
def execution_us(opcode: int, part: str | None, divider: Divider = "M0") -> int:
    """Longest execution time in microseconds; over all parts if ``part`` is None."""
    row = _MAX_MS.get(opcode)
    if row is None:
        return _UNKNOWN_MS * 1000
    if part is None:
        longest = max(row[0], row[_COLUMNS[divider]])
    else:
        longest = row[_COLUMNS["508" if part.startswith("atecc508") else divider]]
    return (longest or max(row)) * 1000


class Pace(msgspec.Struct, frozen=True):
    """How the driver waits. Times are microseconds.

    Attributes:
        wake_high_us: tWHI, from the wake pulse to the first communication.
        wake_patience_us: how long a NACK after that is taken for a 608 in its power-on self
            test (tWHIST 20 ms) before the next wake pulse.
        first_poll_us: from the end of a command to the first poll.
        poll_us: from one poll to the next.
        watchdog_us: shortest watchdog period, tWATCHDOG minimum.
        bus_us: what sending a command and reading its answer may take on a slow bus.
        margin: factor on the longest execution time after which an answer is given up.
        attempts: how often a command that changes nothing for good is sent.
    """

    wake_high_us: int = 1_500
    wake_patience_us: int = 25_000
    first_poll_us: int = 500
    poll_us: int = 1_000
    watchdog_us: int = 700_000
    bus_us: int = 50_000
    margin: float = 2.0
    attempts: int = 3

    def patience_us(self, longest_us: int) -> int:
        """How long to wait for an answer that should take ``longest_us`` at most."""
        return int((longest_us + _LIMITED_USE_MS * 1000) * self.margin)
