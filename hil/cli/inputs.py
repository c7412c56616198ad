"""What several verbs read from their command line."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from hil.clock import Calendar
from hil.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["moment", "read_bytes"]


def moment(text: str | None, option: str = "--at") -> float:
    """The date that ``option`` names in seconds since the epoch; now if it is not given.

    Raises:
        UsageError: not a date.
    """
    if text is None:
        return Calendar().time()
    try:
        value = datetime.fromisoformat(text)
    except ValueError as error:
        raise UsageError(
            f"{option} {text!r} is no date: {error}", hint="for example 2025-01-31T12:00:00Z"
        ) from error
    return (value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp()


def read_bytes(path: Path) -> bytes:
    """The content of a file that the command line names.

    Raises:
        UsageError: it cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from error
