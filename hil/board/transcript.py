"""What crossed a port, in order, with times; nothing is ever taken out of it.

Readers keep marks instead of consuming: two tests, a report and the reboot watch can all look at
the same lines.
"""

from __future__ import annotations

from typing import Literal

import msgspec

__all__ = ["Entry", "Line", "Mark", "Transcript"]

KEPT = 50_000
"""At least so many of the latest entries and lines are kept; a soak test must not fill the memory."""
MAX_LINE = 4096
"""A line without an end is broken here, so that noise cannot grow for ever."""

Kind = Literal["text", "frame", "sent"]


class Entry(msgspec.Struct, frozen=True):
    """One piece that crossed the port.

    Attributes:
        at: when, in microseconds of the port's clock.
        kind: ``text`` and ``frame`` were received, ``sent`` was sent.
        data: the bytes, keys and passwords masked.
    """

    at: int
    kind: Kind
    data: bytes


class Line(msgspec.Struct, frozen=True):
    """One received line of console text.

    Attributes:
        at: when its first byte was read, in microseconds of the port's clock.
        text: without the line end; bytes that are no UTF-8 are U+FFFD.
    """

    at: int
    text: str


class Mark(msgspec.Struct, frozen=True):
    """A place in a transcript: whatever completes after it is new."""

    line: int = 0
    entry: int = 0


_START = Mark()


class Transcript:
    """Entries and lines of one port. The console appends; everyone else reads.

    Blank lines are not counted as lines (mg_rpc frames leave many); the entries keep them. After
    very long runs the oldest are dropped; marks stay right.

    Args:
        kept: how many entries and lines are kept at least.
    """

    def __init__(self, kept: int = KEPT) -> None:
        self._kept = kept
        self._entries: list[Entry] = []
        self._lines: list[Line] = []
        self._dropped = Mark()
        self._partial = bytearray()
        self._partial_at = 0

    @property
    def entries(self) -> tuple[Entry, ...]:
        """Everything that is kept, oldest first."""
        return tuple(self._entries)

    @property
    def lines(self) -> tuple[Line, ...]:
        """Every complete line that is kept and not blank, oldest first."""
        return tuple(self._lines)

    @property
    def in_line(self) -> bool:
        """Whether a line has begun and not ended yet."""
        return bool(self._partial)

    @property
    def partial(self) -> Line:
        """The line that has begun and not ended yet."""
        return Line(self._partial_at, _decode(self._partial))

    def mark(self) -> Mark:
        """The present end; a line under way counts as coming after it."""
        return Mark(self._dropped.line + len(self._lines), self._dropped.entry + len(self._entries))

    def lines_since(self, mark: Mark) -> list[Line]:
        """Lines that were completed after ``mark``."""
        return self._lines[max(0, mark.line - self._dropped.line) :]

    def entries_since(self, mark: Mark) -> list[Entry]:
        """Entries that came after ``mark``."""
        return self._entries[max(0, mark.entry - self._dropped.entry) :]

    def tail(self, count: int) -> bytes:
        """The last ``count`` bytes that were received."""
        found = b""
        for entry in reversed(self._entries):
            if len(found) >= count:
                break
            if entry.kind != "sent":
                found = entry.data + found
        return found[-count:]

    def render(self, since: Mark = _START, until: Mark | None = None) -> str:
        """A slice as text: seconds, direction (``<`` text, ``<<`` frame, ``>`` sent), content."""
        entries = self.entries_since(since)
        if until is not None:
            entries = entries[: max(0, len(entries) - len(self.entries_since(until)))]
        signs = {"text": "< ", "frame": "<<", "sent": "> "}
        rows = []
        for entry in entries:
            for piece in _decode(entry.data).splitlines():
                if piece:
                    rows.append(f"{entry.at / 1e6:13.6f} {signs[entry.kind]} {_visible(piece)}")
        return "\n".join(rows)

    def append(self, entry: Entry) -> list[Line]:
        """Add a piece; returns the lines that it completed. For the console only."""
        self._entries.append(entry)
        if len(self._entries) > 2 * self._kept or len(self._lines) > 2 * self._kept:
            self._drop_oldest()
        return self._text(entry.at, entry.data) if entry.kind == "text" else []

    def _drop_oldest(self) -> None:
        lines, entries = (max(0, len(kept) - self._kept) for kept in (self._lines, self._entries))
        del self._lines[:lines]
        del self._entries[:entries]
        self._dropped = Mark(self._dropped.line + lines, self._dropped.entry + entries)

    def _text(self, at: int, data: bytes) -> list[Line]:
        if not self._partial:
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
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in text)
