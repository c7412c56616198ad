"""What crossed a port, in order, with times; nothing is ever taken out of it.

Readers keep marks instead of consuming: two tests, a report and the reboot watch can all look at
the same lines.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["Entry", "Line", "Mark", "Transcript"]

MAX_LINE = 4096
"""A line without an end is broken here, so that noise cannot grow for ever."""

Kind = Literal["text", "frame", "sent"]


@dataclass(frozen=True, slots=True)
class Entry:
    """One piece that crossed the port.

    Attributes:
        at: when, in microseconds of the port's clock.
        kind: ``text`` and ``frame`` were received, ``sent`` was sent.
        data: the bytes, keys and passwords masked.
    """

    at: int
    kind: Kind
    data: bytes


@dataclass(frozen=True, slots=True)
class Line:
    """One received line of console text.

    Attributes:
        at: when its first byte was read, in microseconds of the port's clock.
        text: without the line end; bytes that are no UTF-8 are U+FFFD.
    """

    at: int
    text: str


@dataclass(frozen=True, slots=True)
class Mark:
    """A place in a transcript: whatever completes after it is new."""

    line: int = 0
    entry: int = 0


class Transcript:
    """Entries and lines of one port. The console appends; everyone else reads.

    Blank lines are not counted as lines (mg_rpc frames leave many); the entries keep them.
    """

    def __init__(self) -> None:
        self._entries: list[Entry] = []
        self._lines: list[Line] = []
        self._partial = bytearray()
        self._partial_at = 0

    @property
    def entries(self) -> tuple[Entry, ...]:
        """Everything, oldest first."""
        return tuple(self._entries)

    @property
    def lines(self) -> tuple[Line, ...]:
        """Every complete line that is not blank, oldest first."""
        return tuple(self._lines)

    @property
    def partial(self) -> Line:
        """The line that has begun and not ended yet."""
        return Line(self._partial_at, _decode(self._partial))

    def mark(self) -> Mark:
        """The present end; a line under way counts as coming after it."""
        return Mark(len(self._lines), len(self._entries))

    def lines_since(self, mark: Mark) -> list[Line]:
        """Lines that were completed after ``mark``."""
        return self._lines[mark.line :]

    def entries_since(self, mark: Mark) -> list[Entry]:
        """Entries that came after ``mark``."""
        return self._entries[mark.entry :]

    def tail(self, count: int) -> bytes:
        """The last ``count`` bytes that were received."""
        found = b""
        for entry in reversed(self._entries):
            if len(found) >= count:
                break
            if entry.kind != "sent":
                found = entry.data + found
        return found[-count:]

    def render(self, since: Mark = Mark(), until: Mark | None = None) -> str:
        """A slice as text: seconds, direction (``<`` text, ``<<`` frame, ``>`` sent), content."""
        end = None if until is None else until.entry
        signs = {"text": "< ", "frame": "<<", "sent": "> "}
        rows = []
        for entry in self._entries[since.entry : end]:
            for piece in _decode(entry.data).splitlines():
                if piece:
                    rows.append(f"{entry.at / 1e6:13.6f} {signs[entry.kind]} {_visible(piece)}")
        return "\n".join(rows)

    def append(self, entry: Entry) -> list[Line]:
        """Add a piece; returns the lines that it completed. For the console only."""
        self._entries.append(entry)
        return self._text(entry.at, entry.data) if entry.kind == "text" else []

    def _text(self, at: int, data: bytes) -> list[Line]:
        if not self._partial:
            if not data.strip(b"\r\n"):
                return []
            self._partial_at = at
        if b"\n" not in data:
            self._partial += data
            if len(self._partial) < MAX_LINE:
                return []
            data = b"\n"
        done: list[Line] = []
        *ended, rest = data.split(b"\n")
        for piece in ended:
            self._partial += piece
            text = _decode(self._partial)
            if text.strip():
                done.append(Line(self._partial_at, text))
            self._partial.clear()
            self._partial_at = at
        self._partial += rest
        self._lines += done
        return done


def _decode(data: bytes | bytearray) -> str:
    return data.decode("utf-8", "replace").rstrip("\r")


def _visible(text: str) -> str:
    return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in text)
