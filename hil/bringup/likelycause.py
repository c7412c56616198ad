"""The likely cause of a failed test, from what was seen on the wire while it ran.

Nobody here knows the name of a fault: an error's own hint comes first, then what the console and the
bus show. Where nothing speaks for a cause, none is named.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from hil.errors import DeviceError, ElementError, HilError
from hil.wire.atecc import Status

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from hil.i2c.trace import Transaction

__all__ = ["likely_cause"]

STATUSES: Mapping[int, str] = {
    Status.MISCOMPARE: "the two values differ: another key, another message, or a stale TempKey",
    Status.PARSE: "the element does not know this mode, length or parameter: another part or revision than "
    "the driver expects, or a zone whose lock state excludes the command",
    Status.EXECUTION: "the slot's configuration or the lock state forbids it; `hil element info` says what "
    "the slot is for and what is locked",
    Status.SELF_TEST: "the element failed its own self-test: take another part",
    Status.HEALTH_TEST: "the element's random generator failed its health test: take another part",
    Status.AFTER_WAKE: "the element lost its state in between: a watchdog or a loose supply",
    Status.WATCHDOG: "the watchdog was about to expire: the commands before took too long without an idle",
    Status.COMMUNICATION: "bytes were damaged on the way to the element: wires, pull-ups, or a bus that is "
    "too fast for them",
}
"""What a status that ends a test usually means on a bench (ATECC508A data sheet, section 9.1.2)."""

_CRASHES = re.compile(
    r"(Guru Meditation Error.*|.*\bpanic(?:'ed|ked)?\b.*|Exception \(?\d+\)?.*|abort\(\) was called.*|"
    r".*Fatal exception.*|.*Brownout detector was triggered.*|.*\bwdt reset\b.*)",
    re.IGNORECASE,
)
_SILENT = 3
"""So many transactions in a row that nobody acknowledges are no polling of a busy element."""


def likely_cause(
    error: BaseException | None,
    transactions: Sequence[Transaction],
    lines: Sequence[str],
    *,
    reason: str = "",
) -> str:
    """What to look at first; empty if nothing speaks for a cause.

    Args:
        error: what ended the test.
        transactions: on the element's bus since the test began, oldest first.
        lines: what the console said since then.
        reason: what is said already, and is not said twice.
    """
    for words in _causes(error, transactions, lines):
        if words and words not in reason:
            return words
    return ""


def _causes(
    error: BaseException | None, transactions: Sequence[Transaction], lines: Sequence[str]
) -> Iterator[str]:
    chain = list(_chain(error))
    yield from (one.hint for one in chain if isinstance(one, HilError) and one.hint)
    yield _crash(lines)
    yield from (_status(one.command, one.status) for one in chain if isinstance(one, ElementError))
    if any(isinstance(one, DeviceError) for one in chain):
        yield _silence(transactions)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__


def _crash(lines: Sequence[str]) -> str:
    for line in lines:
        found = _CRASHES.search(line)
        if found is not None:
            return f"the firmware broke off, its console says: {found[1].strip()}"
    return ""


def _status(command: str, status: int) -> str:
    words = STATUSES.get(status)
    return f"{command} was answered with 0x{status:02X}: {words}" if words else ""


def _silence(transactions: Sequence[Transaction]) -> str:
    """The element's last words, if it stayed silent after them."""
    silent = 0
    for item in reversed(transactions):
        if item.op == "wake":
            continue
        if item.nack is None:
            break
        silent += 1
    written = any(item.op == "write" for item in transactions[len(transactions) - silent :])
    if silent < _SILENT or not written:
        return ""
    if any(item.nack is None and item.op != "wake" for item in transactions):
        return "the element answered at first and then no more: its supply, a loose wire, or its watchdog"
    return (
        "nobody acknowledged the element's address during the whole test: its supply, SDA and SCL, the "
        "address; the wiring suite says which"
    )
