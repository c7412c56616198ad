"""The console of a board: one reader per port, a transcript, and waiting for a line.

Nothing reads the port but :meth:`Console.pump`. Frames of an RPC protocol that share the line are
split off by a decoder and handed to :attr:`Console.on_frame`; everything else is text.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Protocol

import msgspec

from hil.board.transcript import Entry, Line, Mark, Transcript
from hil.errors import DeviceTimeout
from hil.serialport.port import Stamped
from hil.wire.mgrpc import EOF_CHAR, Corrupted, Frame, Text
from hil.wire.redact import redact_frame

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from hil.clock import Clock
    from hil.serialport.port import Port
    from hil.wire.mgrpc import ClientEvent, Handshake

__all__ = ["Console", "Found", "FrameDecoder"]

SHOWN_BYTES = 120
_BLANK = frozenset(b"\n" * count for count in range(1, 9))


class FrameDecoder(Protocol):
    """Splits frames off console text; :class:`hil.wire.mgrpc.ClientReceiver` is one."""

    @property
    def pending(self) -> bytes: ...  # noqa: D102
    def feed(self, data: bytes) -> list[ClientEvent]: ...  # noqa: D102


class Found(msgspec.Struct, frozen=True):
    """A line that :meth:`Console.expect` waited for.

    Attributes:
        line: the whole line.
        match: where the pattern matched; groups are read from it.
    """

    line: Line
    match: re.Match[str]

    @property
    def at(self) -> int:
        """When the line began, in microseconds of the port's clock."""
        return self.line.at


class Console:
    """Reads a port, keeps everything, waits for lines.

    Args:
        port: the board's serial port; the console owns and closes it.
        decoder: splits frames off, or None where everything is text.

    Attributes:
        transcript: what crossed the port.
        on_frame: called with each frame, handshake or corrupted frame.
        on_line: called with each complete line, in order; add watchers here.
        received: how many bytes have been read so far.
    """

    def __init__(self, port: Port, *, decoder: FrameDecoder | None = None) -> None:
        self.port = port
        self.transcript = Transcript()
        self.on_frame: Callable[[Frame | Handshake | Corrupted], None] = lambda frame: None
        self.on_line: list[Callable[[Line], None]] = []
        self.received = 0
        self._decoder = decoder
        self._stamped = port if isinstance(port, Stamped) else None

    @property
    def clock(self) -> Clock:
        """The port's clock."""
        return self.port.clock

    @property
    def name(self) -> str:
        """The port's name."""
        return self.port.name

    def close(self) -> None:
        """Close the port; the transcript stays readable."""
        self.port.close()

    def mark(self) -> Mark:
        """The present end of the transcript, what has arrived already included."""
        self.drain()
        return self.transcript.mark()

    def write(self, data: bytes, *, shown: bytes | None = None) -> None:
        """Send ``data``.

        Args:
            data: the bytes.
            shown: what the transcript keeps instead, for data that holds secrets.
        """
        self.port.write(data)
        self.transcript.append(Entry(self.clock.now, "sent", data if shown is None else shown))

    def pump(self, deadline: int) -> bool:
        """Read what there is, or what comes first before ``deadline``; False if nothing came."""
        data = self.port.read(deadline)
        if not data:
            return False
        self.received += len(data)
        at = self.clock.now if self._stamped is None else self._stamped.arrived_at
        if self._decoder is None:
            self._take(at, Text(data))
        else:
            for event in self._decoder.feed(data):
                self._take(at, event)
        return True

    def drain(self) -> None:
        """Read what has arrived, without waiting."""
        while self.pump(self.clock.now):
            pass

    def expect(
        self,
        pattern: str | re.Pattern[str],
        *,
        timeout_us: int,
        since: Mark | None = None,
        partial: bool = False,
    ) -> Found:
        """Wait for a line that contains ``pattern``.

        Nothing is consumed: the same line can be found again from an earlier mark.

        Args:
            pattern: regular expression, searched within one line.
            timeout_us: how long to wait, in microseconds.
            since: look at lines completed after this mark; None means from now on.
            partial: also look at a line without an end (a prompt). Only for patterns that cannot
                match too early, a number at the end for one.

        Raises:
            DeviceTimeout: no such line; says what arrived instead.
        """
        wanted = re.compile(pattern)
        deadline = self.clock.now + timeout_us
        mark = self.mark() if since is None else since
        position = mark.line
        while True:
            lines = self.transcript.lines_since(Mark(position))
            for line in lines:
                match = wanted.search(line.text)
                if match is not None:
                    return Found(line, match)
            position = self.transcript.mark().line
            if partial:
                line = self.transcript.partial
                match = wanted.search(line.text)
                if match is not None:
                    return Found(line, match)
            if not self.pump(deadline):
                raise DeviceTimeout(self._missed(wanted.pattern, timeout_us, mark))

    def listen(self, for_us: int) -> int:
        """How many bytes arrive within a time, in microseconds; a board without power sends none.

        Bytes that had arrived before are read first and not counted.
        """
        self.drain()
        before, deadline = self.received, self.clock.now + for_us
        while self.pump(deadline):
            pass
        return self.received - before

    def last_bytes(self, count: int = SHOWN_BYTES) -> bytes:
        """The end of what was received, a frame under way included."""
        pending = redact_frame(self._decoder.pending) if self._decoder is not None else b""
        return (self.transcript.tail(count) + pending)[-count:]

    def _take(self, at: int, event: ClientEvent) -> None:
        if isinstance(event, Text):
            if event.data in _BLANK and not self.transcript.in_line:
                return  # the newlines around a frame
            for line in self.transcript.append(Entry(at, "text", event.data)):
                for watcher in self.on_line:
                    watcher(line)
            return
        if isinstance(event, Frame):
            shown = event.json
        else:
            shown = event.body if isinstance(event, Corrupted) else EOF_CHAR
        self.transcript.append(Entry(at, "frame", redact_frame(shown)))
        self.on_frame(event)

    def _missed(self, pattern: str, timeout_us: int, mark: Mark) -> str:
        entries = [e for e in self.transcript.entries_since(mark) if e.kind != "sent"]
        lines = self.transcript.lines_since(mark)
        waited = f"waited {timeout_us / 1e6:.3f} s for /{pattern}/ on {self.name}"
        if not entries and not self.transcript.partial.text:
            return f"{waited}; nothing arrived"
        count = sum(len(entry.data) for entry in entries)
        text = f"{waited}; {count} bytes in {len(lines)} lines arrived\n  last bytes: {self.last_bytes()!r}"
        return text + _nearest(pattern, [*lines, self.transcript.partial])


def _nearest(pattern: str, lines: Sequence[Line]) -> str:
    """The longest beginning of ``pattern`` that some line contains, as a sentence for the error."""
    for length in range(len(pattern) - 1, 3, -1):
        try:
            part = re.compile(pattern[:length])
        except re.error:
            continue
        for line in reversed(lines):
            if part.search(line.text):
                return f"\n  nearest: {line.text!r} matches as far as /{pattern[:length]}/"
    return ""
