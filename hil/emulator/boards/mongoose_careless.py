"""A firmware's judgement of servers, and its TLS buffer, as its manners have them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cryptography import x509

from hil.emulator.boards.mongoose_manners import WHOLE_RECORD
from hil.tls.alerts import ServerChainError
from hil.tls.trust import verify_server_chain

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hil.emulator.boards.mongoose_manners import Manners
    from hil.tls.stream import ByteStream
    from hil.tls.trust import ServerVerifier

__all__ = ["SmallBuffer", "behind_buffer", "verifier"]

_HEADER = 5
_OVERHEAD = 325
"""What mbedTLS lets a TLS record be longer than its content."""


def verifier(manners: Manners) -> ServerVerifier:
    """How the firmware judges a server's chain: by the rules, but for those that it overlooks."""
    overlooked = set()
    if not manners.checks_authority:
        overlooked |= {"unknown-ca", "bad-signature"}
    if not manners.checks_name:
        overlooked |= {"wrong-name"}
    if not manners.checks_dates:
        overlooked |= {"expired", "not-yet-valid"}
    if not overlooked:
        return verify_server_chain

    def verify(
        chain: Sequence[bytes], *, server_name: str, roots: Sequence[x509.Certificate], at: float
    ) -> list[x509.Certificate]:
        try:
            return verify_server_chain(chain, server_name=server_name, roots=roots, at=at)
        except ServerChainError as refusal:
            if refusal.reason not in overlooked:
                raise
            return [x509.load_der_x509_certificate(der) for der in chain]

    return verify


def behind_buffer(stream: ByteStream, manners: Manners) -> ByteStream:
    """``stream`` as it comes through the firmware's TLS buffer."""
    return stream if manners.tls_content >= WHOLE_RECORD else SmallBuffer(stream, manners.tls_content)


class SmallBuffer:
    """A stream on which a TLS record that is longer than the buffer ends the connection.

    Args:
        stream: carries TLS records.
        content: longest content of a record.
    """

    def __init__(self, stream: ByteStream, content: int) -> None:
        self._stream = stream
        self._limit = content + _OVERHEAD
        self._header = bytearray()
        self._left = 0

    def recv(self, size: int) -> bytes:
        """See :class:`hil.tls.stream.ByteStream`.

        Raises:
            ConnectionAbortedError: a record is too long.
        """
        data = self._stream.recv(size)
        at = 0
        while at < len(data):
            skipped = min(self._left, len(data) - at)
            at += skipped
            self._left -= skipped
            if self._left == 0 and at < len(data):
                taken = data[at : at + _HEADER - len(self._header)]
                self._header += taken
                at += len(taken)
                if len(self._header) == _HEADER:
                    self._begin_record(int.from_bytes(self._header[3:], "big"))
        return data

    def _begin_record(self, length: int) -> None:
        if length > self._limit:
            raise ConnectionAbortedError(f"a record of {length} bytes, the buffer takes {self._limit}")
        self._left = length
        self._header.clear()

    def send(self, data: bytes) -> int:
        """See :class:`hil.tls.stream.ByteStream`."""
        return self._stream.send(data)

    def sendall(self, data: bytes) -> None:
        """See :class:`hil.tls.stream.ByteStream`."""
        self._stream.sendall(data)

    def settimeout(self, seconds: float | None) -> None:
        """See :class:`hil.tls.stream.ByteStream`."""
        self._stream.settimeout(seconds)

    def wait_readable(self, deadline: int | None) -> bool:
        """See :class:`hil.tls.stream.ByteStream`."""
        return self._stream.wait_readable(deadline)

    def close(self) -> None:
        """See :class:`hil.tls.stream.ByteStream`."""
        self._stream.close()
