"""A bus that plays back a trace: the driver must do byte for byte what was recorded.

The first difference raises ``RigError``, which no driver takes for a fault of the bus to be
repaired by sending again. Time passes as it did when the trace was taken.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hil.errors import I2CError, I2CNack, RigError
from hil.i2c.trace import SecretWatch, Transaction, load_trace

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from hil.clock import Clock
    from hil.i2c.trace import Operation

__all__ = ["RecordedBus"]


class RecordedBus:
    """An ``I2CBus`` over recorded transactions.

    Args:
        transactions: what is expected, in order.
        clock: time that the recorded durations are spent on, usually a ``World``.
        name: what errors call the bus.
    """

    physical = False

    def __init__(self, transactions: Iterable[Transaction], clock: Clock, name: str = "recording") -> None:
        self.clock = clock
        self.name = name
        self._expected = list(transactions)
        self._done = 0
        self._difference: RigError | None = None
        self._watch = SecretWatch()

    @classmethod
    def load(cls, path: Path, clock: Clock) -> RecordedBus:
        """Read a JSONL trace file.

        Raises:
            ConfigError: it is no trace.
        """
        return cls(load_trace(path.read_text(encoding="utf-8"), str(path)), clock, str(path))

    @property
    def left(self) -> int:
        """Transactions that were not replayed yet."""
        return len(self._expected) - self._done

    def finish(self) -> None:
        """Everything must have been replayed.

        Raises:
            RigError: transactions are left over.
        """
        if self.left:
            raise RigError(
                f"{self.name}: {self.left} recorded transactions are left, "
                f"next {_words(self._expected[self._done])}"
            )

    def write(self, address: int, data: bytes) -> None:
        """One write transaction; see :meth:`hil.i2c.bus.I2CBus.write`."""
        self._next("write", address, data, 0)

    def read(self, address: int, length: int) -> bytes:
        """One read transaction; see :meth:`hil.i2c.bus.I2CBus.read`."""
        return self._next("read", address, b"", length).data

    def wake_pulse(self) -> None:
        """See :meth:`hil.i2c.bus.I2CBus.wake_pulse`."""
        self._next("wake", 0, b"", 0)

    def _next(self, op: Operation, address: int, data: bytes, length: int) -> Transaction:
        if self._difference is not None:
            raise self._difference  # whatever a driver does to clean up: the first one counts
        hidden = self._watch.written(data) if op == "write" else None
        found = Transaction(self.clock.now, 0, op, address, data, length, hidden=hidden)
        if not self.left:
            raise self._differs(f"{self.name}: the recording is over, but there is {_words(found)}")
        expected = self._expected[self._done]
        if not _same(expected, found):
            raise self._differs(
                f"{self.name}: transaction {self._done + 1} differs:\n"
                f"  recorded {_words(expected)}\n  now      {_words(found)}"
            )
        self._done += 1
        self.clock.spend("i2c", expected.us)
        if expected.nack is not None:
            raise I2CNack(address, expected.nack)
        if expected.error is not None:
            raise I2CError(expected.error)
        return expected

    def _differs(self, message: str) -> RigError:
        self._difference = RigError(message, hint="the driver changed, or the trace is of another session")
        return self._difference


def _same(expected: Transaction, found: Transaction) -> bool:
    if (expected.op, expected.address) != (found.op, found.address):
        return False
    if found.op == "read":
        return expected.length == found.length
    clear = len(expected.data) if expected.hidden is None else expected.hidden
    return len(expected.data) == len(found.data) and expected.data[:clear] == found.data[:clear]


def _words(item: Transaction) -> str:
    if item.op == "wake":
        return "a wake pulse"
    if item.op == "read":
        return f"a read of {item.length} bytes from 0x{item.address:02x}"
    return f"a write to 0x{item.address:02x}: {item.shown}"
