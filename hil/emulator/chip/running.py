"""A command in time: the log's line about it, and its writes between last byte and end."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import msgspec

from hil.emulator.chip.nonvolatile import commit, tear

if TYPE_CHECKING:
    from hil.emulator.chip.engine import Outcome
    from hil.emulator.chip.faults import PowerLoss
    from hil.emulator.chip.memory import Memory
    from hil.wire.atecc import Command

__all__ = ["Executed", "Running"]


class Executed(msgspec.Struct, frozen=True):
    """One line of the chip's log.

    Attributes:
        at_us: when the last byte had arrived.
        command: the group, or None if its count or CRC was wrong.
        raw: the group as received.
        response: the answer group; empty for a Pause that was meant for others.
        us: execution time.
        reason: why it was refused, in words; empty if it was not.
    """

    at_us: int
    command: Command | None
    raw: bytes
    response: bytes
    us: int
    reason: str

    def __repr__(self) -> str:
        what = "damaged group" if self.command is None else self.command.label
        mode = "" if self.command is None else f" p1={self.command.p1:02X} p2={self.command.p2:04X}"
        answer = (
            f"status {self.response[1]:02X}" if len(self.response) == 4 else f"{len(self.response)} bytes"
        )
        why = f": {self.reason}" if self.reason else ""
        return f"<{self.at_us} us {what}{mode} -> {answer} after {self.us} us{why}>"


@dataclass(slots=True, repr=False)
class Running:
    """A command between its last byte and the end of its execution."""

    outcome: Outcome
    start: int
    end: int
    write_us: int

    def settle(self, memory: Memory, now: int) -> bool:
        """Apply what is due; True if something was written."""
        outcome, wrote = self.outcome, False
        if outcome.early and now >= self.start + self.write_us:
            commit(memory, outcome.early)
            outcome.early, wrote = [], True
        if outcome.stores and now >= self.end:
            commit(memory, outcome.stores)
            outcome.stores, wrote = [], True
        return wrote

    def cut(self, memory: Memory, now: int) -> None:
        """Tear what is being written at this moment; drop what has not begun."""
        for stores, begin in (
            (self.outcome.early, self.start),
            (self.outcome.stores, self.end - self.write_us),
        ):
            if stores and now > begin:
                tear(memory, stores, (now - begin) / self.write_us)

    def power_loss(self, when: PowerLoss) -> int:
        """The moment before, in the middle of, or right after the (last) write."""
        end = self.end if self.outcome.stores else self.start + self.write_us
        return end - {"before": self.write_us, "during": self.write_us // 2, "after": 0}[when]

    def shifted(self, us: int) -> Running:
        """A copy that runs ``us`` later."""
        outcome = replace(self.outcome, early=list(self.outcome.early), stores=list(self.outcome.stores))
        return Running(outcome, self.start + us, self.end + us, self.write_us)
