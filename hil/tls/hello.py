"""What a client offers: its ClientHello, read from the first bytes of a connection.

Source: RFC 8446, sections 4.1.2, 4.2 and 5.1; RFC 6066 (server name, maximum fragment length);
RFC 7301 (ALPN); RFC 8449 (record size limit).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from hil.errors import FrameError

__all__ = ["ClientHello", "parse_client_hello", "plain_alert"]

_HANDSHAKE, _ALERT = 22, 21
_SERVER_NAME, _MAX_FRAGMENT, _GROUPS, _SIGNATURES, _ALPN = 0, 1, 10, 13, 16
_RECORD_LIMIT, _TICKET, _VERSIONS = 28, 35, 43
MAX_HELLO = 65_536


@dataclass(frozen=True)
class ClientHello:
    """A client's offer; numbers are those of the IANA registries.

    Attributes:
        versions: offered versions, e.g. ``(0x0304, 0x0303)``.
        cipher_suites: offered suites in the client's order.
        groups: supported groups.
        signature_schemes: accepted signature schemes.
        server_name: SNI, None without one.
        alpn: offered application protocols.
        extensions: types of all extensions in order.
        max_fragment: the code of the maximum fragment length, None without one.
        record_size_limit: in bytes, None without one.
        ticket: length of the session ticket offered for resumption; 0 for an empty one, None without.
        session_id: the legacy session id.
    """

    versions: tuple[int, ...]
    cipher_suites: tuple[int, ...]
    groups: tuple[int, ...]
    signature_schemes: tuple[int, ...]
    server_name: str | None
    alpn: tuple[str, ...]
    extensions: tuple[int, ...]
    max_fragment: int | None
    record_size_limit: int | None
    ticket: int | None
    session_id: bytes


class _Reader:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def take(self, length: int) -> bytes:
        start, end = self._at, self._at + length
        if end > len(self._data):
            raise FrameError("ClientHello ends too early")
        self._at = end
        return self._data[start:end]

    def number(self, length: int) -> int:
        start, end = self._at, self._at + length
        if end > len(self._data):
            raise FrameError("ClientHello ends too early")
        self._at = end
        return int.from_bytes(self._data[start:end], "big")

    def vector(self, length_bytes: int) -> bytes:
        return self.take(self.number(length_bytes))

    @property
    def more(self) -> bool:
        return self._at < len(self._data)


def parse_client_hello(data: bytes) -> ClientHello | None:
    """Read the ClientHello at the start of a connection.

    Args:
        data: everything that has arrived so far; more may follow the ClientHello.

    Returns:
        The ClientHello, or None while it is incomplete.

    Raises:
        FrameError: this is not the start of a TLS connection.
    """
    message = b""
    reader = _Reader(data)
    while len(message) < 4 or len(message) < 4 + int.from_bytes(message[1:4], "big"):
        rest = _Reader(data[reader._at :])
        if len(data) - reader._at < 5:
            if data and data[0] != _HANDSHAKE:
                raise FrameError(f"a TLS connection starts with a handshake record, not with byte {data[0]}")
            return None
        kind, version, length = rest.number(1), rest.number(2), rest.number(2)
        if kind != _HANDSHAKE or version >> 8 != 3 or length > 16_384:
            raise FrameError("a TLS connection starts with a handshake record")
        if len(data) - reader._at - 5 < length:
            return None
        reader.take(5)
        message += reader.take(length)
        if message[:1] not in (b"", b"\x01") or len(message) > MAX_HELLO:
            raise FrameError("the first handshake message is not a ClientHello")
    return _parse(message[4 : 4 + int.from_bytes(message[1:4], "big")])


def _parse(body: bytes) -> ClientHello:
    reader = _Reader(body)
    legacy = reader.number(2)
    reader.take(32)  # random
    session_id = reader.vector(1)
    suites = _numbers(reader.vector(2))
    reader.vector(1)  # compression methods
    extensions: dict[int, bytes] = {}
    if reader.more:
        block = _Reader(reader.vector(2))
        while block.more:
            kind = block.number(2)
            extensions[kind] = block.vector(2)
    return ClientHello(
        versions=_numbers(_Reader(extensions[_VERSIONS]).vector(1)) if _VERSIONS in extensions else (legacy,),
        cipher_suites=suites,
        groups=_listed(extensions, _GROUPS),
        signature_schemes=_listed(extensions, _SIGNATURES),
        server_name=_server_name(extensions.get(_SERVER_NAME)),
        alpn=_protocols(extensions.get(_ALPN)),
        extensions=tuple(extensions),
        max_fragment=_Reader(extensions[_MAX_FRAGMENT]).number(1) if _MAX_FRAGMENT in extensions else None,
        record_size_limit=(
            _Reader(extensions[_RECORD_LIMIT]).number(2) if _RECORD_LIMIT in extensions else None
        ),
        ticket=len(extensions[_TICKET]) if _TICKET in extensions else None,
        session_id=session_id,
    )


def _numbers(data: bytes) -> tuple[int, ...]:
    return struct.unpack(f">{len(data) // 2}H", data[: len(data) & ~1])


def _listed(extensions: dict[int, bytes], kind: int) -> tuple[int, ...]:
    return _numbers(_Reader(extensions[kind]).vector(2)) if kind in extensions else ()


def _server_name(data: bytes | None) -> str | None:
    if not data:
        return None
    names = _Reader(_Reader(data).vector(2))
    while names.more:
        kind, name = names.number(1), names.vector(2)
        if kind == 0:
            return name.decode("ascii", "backslashreplace")
    return None


def _protocols(data: bytes | None) -> tuple[str, ...]:
    if data is None:
        return ()
    names, result = _Reader(_Reader(data).vector(2)), []
    while names.more:
        result.append(names.vector(1).decode("ascii", "backslashreplace"))
    return tuple(result)


def plain_alert(description: int) -> bytes:
    """A fatal alert before any encryption, as one record."""
    return bytes([_ALERT, 3, 3, 0, 2, 2, description])
