"""HTTP/1.1 messages, as little as small devices need: both ends, no I/O.

A body's length comes from ``Content-Length``, from chunks, or from the end of the stream. Source:
RFC 9112, sections 2 to 7.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from hil.errors import FrameError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["HttpMessage", "HttpReader", "encode_request", "encode_response"]

MAX_HEAD = 16_384
MAX_BODY = 1 << 20

_REASONS = {101: "Switching Protocols", 200: "OK", 400: "Bad Request", 401: "Unauthorized", 404: "Not Found"}


@dataclass(frozen=True)
class HttpMessage:
    """A request or a response.

    Attributes:
        start: the first line.
        headers: by lower-case name; of repeated ones the last.
        body: the decoded body.
    """

    start: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""

    @property
    def status(self) -> int:
        """Status code of a response.

        Raises:
            FrameError: this is no response.
        """
        parts = self.start.split(" ", 2)
        if len(parts) < 2 or not parts[0].startswith("HTTP/") or not parts[1].isdigit():
            raise FrameError(f"{self.start[:60]!r} is no HTTP status line")
        return int(parts[1])

    @property
    def request(self) -> tuple[str, str]:
        """Method and target of a request.

        Raises:
            FrameError: this is no request.
        """
        parts = self.start.split(" ")
        if len(parts) != 3 or not parts[2].startswith("HTTP/"):
            raise FrameError(f"{self.start[:60]!r} is no HTTP request line")
        return parts[0], parts[1]


def encode_request(
    method: str, target: str, *, host: str, body: bytes = b"", headers: Mapping[str, str] | None = None
) -> bytes:
    """A request whose connection stays open."""
    lines = [f"{method} {target} HTTP/1.1", f"Host: {host}"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    if body or method == "POST":
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def encode_response(status: int, body: bytes = b"", *, headers: Mapping[str, str] | None = None) -> bytes:
    """A response with its length."""
    lines = [f"HTTP/1.1 {status} {_REASONS.get(status, 'Status')}"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    if status >= 200:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


class HttpReader:
    """Reads messages from a byte stream.

    Args:
        responses: read responses (whose body may last until the end of the stream), else requests.
    """

    def __init__(self, *, responses: bool) -> None:
        self._responses = responses
        self._buffer = bytearray()
        self._head: HttpMessage | None = None

    @property
    def pending(self) -> bytes:
        """Bytes that belong to no complete message yet."""
        return bytes(self._buffer)

    def feed(self, data: bytes) -> list[HttpMessage]:
        """Take received bytes; returns the messages that they completed.

        Raises:
            FrameError: the bytes are no HTTP.
        """
        self._buffer += data
        done: list[HttpMessage] = []
        while (message := self._next(ended=False)) is not None:
            done.append(message)
            if self._responses and message.status == 101:
                break  # what follows is another protocol
        return done

    def end(self) -> HttpMessage | None:
        """The stream has ended: the message that this completes, if any.

        Raises:
            FrameError: it ended within a message.
        """
        message = self._next(ended=True)
        if message is None and (self._buffer or self._head is not None):
            raise FrameError("the connection ended within an HTTP message")
        return message

    def _next(self, *, ended: bool) -> HttpMessage | None:
        if self._head is None:
            self._head = self._take_head()
        head = self._head
        if head is None:
            return None
        body = self._take_body(head, ended)
        if body is None:
            return None
        self._head = None
        return HttpMessage(head.start, head.headers, body)

    def _take_head(self) -> HttpMessage | None:
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            if len(self._buffer) > MAX_HEAD:
                raise FrameError(f"no HTTP header within {MAX_HEAD} bytes")
            return None
        start, *lines = self._buffer[:end].decode("latin-1").split("\r\n")
        del self._buffer[: end + 4]
        if "HTTP/" not in start:
            raise FrameError(f"{start[:60]!r} is no HTTP")
        headers = {}
        for line in lines:
            name, colon, value = line.partition(":")
            if not colon:
                raise FrameError(f"{line[:60]!r} is no HTTP header")
            headers[name.strip().lower()] = value.strip()
        return HttpMessage(start, headers)

    def _take_body(self, head: HttpMessage, ended: bool) -> bytes | None:
        buffer = self._buffer
        if head.headers.get("transfer-encoding", "").lower() == "chunked":
            return self._take_chunks()
        length = head.headers.get("content-length")
        if length is not None:
            if not length.isdigit() or int(length) > MAX_BODY:
                raise FrameError(f"an HTTP body of length {length[:20]!r}")
            return self._take(int(length)) if len(buffer) >= int(length) else None
        if not self._responses or head.status < 200 or head.status in (204, 304):
            return b""
        return self._take(len(buffer)) if ended else None

    def _take(self, count: int) -> bytes:
        taken = bytes(self._buffer[:count])
        del self._buffer[:count]
        return taken

    def _take_chunks(self) -> bytes | None:
        body, at = b"", 0
        while True:
            end = self._buffer.find(b"\r\n", at)
            if end < 0:
                return None
            text = bytes(self._buffer[at:end]).split(b";")[0].strip()
            try:
                size = int(text, 16)
            except ValueError as error:
                raise FrameError(f"{text[:20]!r} is no HTTP chunk size") from error
            if not 0 <= size <= MAX_BODY - len(body):
                raise FrameError(f"an HTTP chunk of {size} bytes")
            at = end + 2
            if len(self._buffer) < at + size + 2:
                return None
            if size == 0:
                self._take(at + 2)
                return body
            body += self._buffer[at : at + size]
            at += size + 2
