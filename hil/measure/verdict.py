"""What can be said of a test, a suite or a run, and which of two says more.

Blocked and rig error are not failures of the product: the first could not be judged because
something it depends on failed, the second because the bench broke.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["MEANINGS", "Verdict", "worst"]


class Verdict(StrEnum):
    """The outcome, from harmless to grave."""

    SKIPPED = "skipped"
    PASS = "pass"
    QUARANTINED = "quarantined"
    WARN = "pass with warnings"
    BLOCKED = "blocked"
    RIG_ERROR = "rig error"
    FAIL = "fail"
    ABORTED = "aborted"

    @property
    def good(self) -> bool:
        """True if nobody has to act on it."""
        return self in (Verdict.SKIPPED, Verdict.PASS, Verdict.QUARANTINED, Verdict.WARN)


MEANINGS: dict[Verdict, str] = {
    Verdict.SKIPPED: "the rig lacks something that the test needs",
    Verdict.PASS: "every check and every limit held",
    Verdict.QUARANTINED: "a known problem, tolerated until a date",
    Verdict.WARN: "within limits, but close to one, or a documented warning",
    Verdict.BLOCKED: "not run: something it depends on failed",
    Verdict.RIG_ERROR: "the bench is wrong; nothing is said about the device",
    Verdict.FAIL: "the device under test is wrong",
    Verdict.ABORTED: "the run ended before the test did",
}

_ORDER = list(Verdict)


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """The gravest; of nothing at all, skipped."""
    return max(verdicts, key=_ORDER.index, default=Verdict.SKIPPED)
