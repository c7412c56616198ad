r"""mg_rpc frames of Mongoose OS on a serial line or TCP stream, both ends (bodies: ``rpcbody``).

A frame is one JSON object between delimiters, optionally followed by the CRC-32 of its bytes
as eight lower-case hex digits::

    \n'''{"src":"mos","id":2067129483117,"method":"I2C.Scan"}e98ce17e'''\n

(The delimiter, three double quotes, is shown as three single ones.)

The UART is shared with the console log, so frames lie between log lines. The two receivers
differ on purpose, as the two programs do: :class:`DeviceReceiver` follows the firmware rule by
rule, :class:`ClientReceiver` is tolerant of whatever lies around a frame.

Sources: mongoose-os-libs/rpc-uart ``src/mgos_rpc_channel_uart.c``, mongoose-os-libs/rpc-common
``src/mg_rpc.c``, mongoose-os/mos ``common/mgrpc/codec/{serial,stream}.go`` and ``frame.go``.
"""

from __future__ import annotations

import re
import zlib

import msgspec

from hil.wire.rpcbody import (
    ErrorObject,
    Request,
    Response,
    decode_request,
    decode_response,
    decode_value,
    encode_error,
    encode_request,
    encode_result,
)

__all__ = [
    "EOF_CHAR",
    "HANDSHAKE",
    "HANDSHAKE_ANSWER",
    "MAX_FRAME",
    "NEWLINE",
    "QUOTES",
    "XOFF",
    "XON",
    "ClientEvent",
    "ClientReceiver",
    "Corrupted",
    "DeviceEvent",
    "DeviceReceiver",
    "EmptyFrame",
    "ErrorObject",
    "Frame",
    "Handshake",
    "Oversized",
    "Request",
    "Response",
    "Text",
    "crc_field",
    "decode_request",
    "decode_response",
    "decode_value",
    "encode_error",
    "encode_frame",
    "encode_request",
    "encode_result",
]

QUOTES = b'"""'
"""The old delimiter."""
NEWLINE = b"\n"
"""The new delimiter, since June 2018."""
EOF_CHAR = b"\x04"
HANDSHAKE = QUOTES + EOF_CHAR + QUOTES + b"\n\n"
"""What a client repeats until it is answered."""
HANDSHAKE_ANSWER = QUOTES + EOF_CHAR + QUOTES
XON = b"\x11"
XOFF = b"\x13"
MAX_FRAME = 4096
"""``rpc.max_frame_size`` of the firmware; six bytes more are tolerated for delimiters."""
CLIENT_MAX_FRAME = 1 << 18
"""A reply longer than this is noise that happened to look like the start of a frame."""

_SPACE = b" \t\r\n\v\f"
_HEX_PREFIX = re.compile(rb"\s*(?:0[xX])?([0-9a-fA-F]+)")
_CRC_FIELD = re.compile(rb"[0-9a-fA-F]{8}(?:,.*)?", re.DOTALL)
_FRAME_START = re.compile(rb'(?:\n|""")[{\x04]')
_DELIMITER = re.compile(rb'"""|\n')


class Frame(msgspec.Struct, frozen=True):
    """A whole frame whose checksum, if it had one, was right.

    Attributes:
        json: the JSON bytes without metadata.
    """

    json: bytes


class Handshake(msgspec.Struct, frozen=True):
    """The other end said 0x04.

    Attributes:
        answer: what the device sends back; empty on the client's side.
    """

    answer: bytes = b""


class EmptyFrame(msgspec.Struct, frozen=True):
    """Nothing but white space between two delimiters (device side)."""


class Corrupted(msgspec.Struct, frozen=True):
    """A frame with a wrong checksum or a torn end; the firmware logs a warning and drops it.

    Attributes:
        body: what lay between the delimiters.
        why: the reason in words.
    """

    body: bytes
    why: str


class Oversized(msgspec.Struct, frozen=True):
    """Input without a delimiter outgrew the buffer and was dropped.

    Attributes:
        length: how many bytes were dropped.
    """

    length: int


class Text(msgspec.Struct, frozen=True):
    """Console output that lay outside frames, in arrival order; not split into lines."""

    data: bytes


DeviceEvent = Frame | Handshake | EmptyFrame | Corrupted | Oversized
ClientEvent = Frame | Handshake | Text | Corrupted


def crc_field(json: bytes) -> bytes:
    """The metadata of a frame: CRC-32 (IEEE) of ``json`` as eight hex digits."""
    return b"%08x" % zlib.crc32(json)


def encode_frame(json: bytes, *, delimiter: bytes = QUOTES, crc: bool = True) -> bytes:
    """One frame as both ends send it.

    Args:
        json: one JSON object without line breaks.
        delimiter: :data:`QUOTES` or :data:`NEWLINE`; a newline stands before and after either way.
        crc: append the checksum (serial always does, TCP never).
    """
    quotes = QUOTES if delimiter == QUOTES else b""
    return b"".join((NEWLINE, quotes, json, crc_field(json) if crc else b"", quotes, NEWLINE))


class DeviceReceiver:
    """The firmware's end: what it makes of received bytes, and how it frames its replies.

    Rules (``mgos_rpc_channel_uart.c``):

    * A byte of 0x80 or more clears the whole receive buffer, what came with it included.
    * If the quotes occur anywhere, everything before the first one is a frame; otherwise
      everything before the first newline is.
    * An empty frame queues one newline, which leaves in front of the next real transmission.
    * A frame of 0x04 alone is answered with the same between quotes.
    * Bytes before the first ``{`` are skipped; a frame without one vanishes silently.
    * Metadata after the last ``}`` counts from eight characters on; a mismatch drops the frame.
    * Quotes and checksum appear in replies once the peer has used them.

    Args:
        max_frame: ``rpc.max_frame_size``.

    Attributes:
        quotes_used: the peer has used the old delimiter.
        crc_used: the peer has sent a right checksum.
    """

    def __init__(self, max_frame: int = MAX_FRAME) -> None:
        self.max_frame = max_frame
        self.quotes_used = False
        self.crc_used = False
        self._buffer = bytearray()
        self._newlines = 0

    def feed(self, data: bytes) -> list[DeviceEvent]:
        """Take received bytes; returns what they completed, in order."""
        buffer = self._buffer
        buffer += data
        if not buffer.isascii():
            buffer.clear()
            return []
        events: list[DeviceEvent] = []
        while (cut := self._next_delimiter()) is not None:
            body = bytes(buffer[: cut[0]])
            del buffer[: cut[1]]
            event = self._frame(body)
            if event is not None:
                events.append(event)
        if len(buffer) > self.max_frame + 2 * len(QUOTES):
            events.append(Oversized(len(buffer)))
            buffer.clear()
        return events

    def reply(self, json: bytes) -> bytes:
        """The bytes that carry a reply, newlines that are still queued first."""
        delimiter = QUOTES if self.quotes_used else NEWLINE
        return self._queued() + encode_frame(json, delimiter=delimiter, crc=self.crc_used)

    def reset(self) -> None:
        """Power-on: buffer, queue and sticky flags are as after boot."""
        self._buffer.clear()
        self._newlines = 0
        self.quotes_used = self.crc_used = False

    def _queued(self) -> bytes:
        newlines, self._newlines = self._newlines, 0
        return NEWLINE * newlines

    def _next_delimiter(self) -> tuple[int, int] | None:
        """Where the next frame ends and where the rest begins."""
        at = self._buffer.find(QUOTES)
        if at >= 0:
            self.quotes_used = True
            return at, at + len(QUOTES)
        at = self._buffer.find(NEWLINE)
        return None if at < 0 else (at, at + len(NEWLINE))

    def _frame(self, body: bytes) -> DeviceEvent | None:
        if body == EOF_CHAR:
            return Handshake(self._queued() + HANDSHAKE_ANSWER)
        if not body.strip(_SPACE):
            self._newlines += 1
            return EmptyFrame()
        start = body.find(b"{")
        if start < 0:
            return None
        end = body.rfind(b"}") + 1
        json, meta = body[start:end], body[max(start, end) :]
        if len(meta) >= 8:
            field = _HEX_PREFIX.match(meta)
            if field is None or int(field[1], 16) != zlib.crc32(json):
                return Corrupted(body, f"checksum {meta[:8]!r}, computed {crc_field(json)!r}")
            self.crc_used = True
        return Frame(json) if json else None


class ClientReceiver:
    """The host's end: finds replies between log lines and keeps both.

    A frame begins where ``{`` or 0x04 follows a delimiter at once and ends at the next delimiter
    of either kind. Everything else is :class:`Text`, handed out as soon as it cannot become the
    start of a frame. A line that begins with ``{``, was not opened by quotes and does not end
    like a frame is a log line. Flow control bytes are taken out and kept in :attr:`stopped`.

    Once a device has sent a right checksum, frames without one are corrupted.

    Attributes:
        stopped: the device sent XOFF and no XON since.
        pending: bytes held back because a frame may be under way.
    """

    def __init__(self) -> None:
        self.stopped = False
        self._buffer = bytearray()
        self._after_delimiter = False
        self._by_quotes = False
        self._in_frame = False
        self._scanned = 0
        self._crc_seen = False

    @property
    def pending(self) -> bytes:
        """Bytes held back because a frame may be under way; for error messages."""
        return bytes(self._buffer)

    def feed(self, data: bytes) -> list[ClientEvent]:
        """Take received bytes; returns what they completed, in order."""
        if XON in data or XOFF in data:
            self.stopped = data.rfind(XOFF) > data.rfind(XON)
            data = data.translate(None, XON + XOFF)
        self._buffer += data
        events: list[ClientEvent] = []
        while self._buffer:
            event = self._end_frame() if self._in_frame else self._find_frame()
            if event is None:
                break
            if not isinstance(event, Text):
                events.append(event)
            elif events and isinstance(last := events[-1], Text):
                events[-1] = Text(last.data + event.data)
            elif event.data:
                events.append(event)
        return events

    def flush(self) -> list[ClientEvent]:
        """Give up on a frame under way: what was held back is text."""
        held = bytes(self._buffer)
        self._buffer.clear()
        self._in_frame = self._after_delimiter = False
        self._scanned = 0
        return [Text(held)] if held else []

    def _find_frame(self) -> Text | None:
        """Take the text before the next start of a frame, or all that cannot be one."""
        buffer = self._buffer
        if self._after_delimiter and buffer[0] in b"{\x04":
            self._in_frame = True
            return Text(b"")
        start = _FRAME_START.search(buffer)
        if start is not None:
            self._by_quotes = buffer[start.start()] == QUOTES[0]
            text = bytes(buffer[: start.start()]) + (b"" if self._by_quotes else NEWLINE)
            del buffer[: start.end() - 1]
            self._in_frame = self._after_delimiter = True
            return Text(text)
        held = len(buffer) - len(buffer.rstrip(b'"'))
        take = len(buffer) - min(held, len(QUOTES))
        if not take:
            self._after_delimiter = self._after_delimiter and not buffer
            return None
        text = bytes(buffer[:take])
        del buffer[:take]
        self._after_delimiter = text.endswith(NEWLINE) and not buffer
        self._by_quotes = False
        return Text(text)

    def _end_frame(self) -> ClientEvent | None:
        """Take the frame that begins the buffer, once its end is there."""
        buffer = self._buffer
        end = _DELIMITER.search(buffer, self._scanned)
        if end is None:
            self._scanned = max(0, len(buffer) - len(QUOTES) + 1)
            if len(buffer) <= CLIENT_MAX_FRAME:
                return None
            body, rest = bytes(buffer), len(buffer)
        else:
            body, rest = bytes(buffer[: end.start()]), end.end()
        by_newline = end is not None and end.group() == NEWLINE
        del buffer[:rest]
        self._scanned = 0
        self._in_frame = False
        opened_by_quotes, self._by_quotes = self._by_quotes, end is not None and not by_newline
        self._after_delimiter = end is not None
        return self._judge(body, opened_by_quotes, NEWLINE if by_newline else b"")

    def _judge(self, body: bytes, opened_by_quotes: bool, ended: bytes) -> ClientEvent:
        if body.rstrip(_SPACE) == EOF_CHAR:
            return Handshake()
        cut = body.rfind(b"}") + 1
        json, meta = body[:cut], body[cut:].strip(_SPACE)
        like_a_frame = bool(json) and (not meta or _CRC_FIELD.fullmatch(meta) is not None)
        if not like_a_frame:
            if opened_by_quotes:
                return Corrupted(body, "the frame is torn")
            return Text(body + ended)
        if meta and int(meta[:8], 16) != zlib.crc32(json):
            return Corrupted(body, f"checksum {meta[:8].decode()}, computed {crc_field(json).decode()}")
        if not meta and self._crc_seen:
            if opened_by_quotes:
                return Corrupted(body, "the checksum is missing")
            return Text(body + ended)
        self._crc_seen = self._crc_seen or bool(meta)
        return Frame(json)
