"""An established TLS connection on any byte stream, and what lies between tlslite and the stream."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Any, Literal

from cryptography import x509

from hil.errors import UsageError
from hil.tls.alerts import TlsError
from hil.tls.tlslite_hooks import (
    AlertDescription,
    BaseTLSException,
    CipherSuite,
    TLSAbruptCloseError,
    TLSLocalAlert,
    TLSRemoteAlert,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hil.tls.operations import Operation, Operations
    from hil.tls.stream import ByteStream
    from hil.tls.tlslite_hooks import HookedConnection, HookedServer

__all__ = ["TlsConnection", "Transport", "Version", "translated"]

Version = Literal["1.2", "1.3"]


class TlsConnection:
    """An established connection; made by ``connect`` or ``accept``.

    Attributes:
        version: ``"1.2"`` or ``"1.3"``.
        cipher: IANA name of the cipher suite.
        peer_chain: what the other side showed, its own certificate first; empty if it showed none.
        alpn: the application protocol that was agreed on, None without one.
        ended: how the stream ended: ``"close-notify"``, ``"abrupt"``, or None while it is open.
    """

    def __init__(
        self,
        connection: HookedConnection | HookedServer,
        transport: Transport,
        operations: Operations,
        chain: list[bytes],
    ) -> None:
        self._connection = connection
        self._transport = transport
        self._operations = operations
        self._reader: Iterator[Any] | None = None
        self._inbox = bytearray()
        self.version: Version = "1.3" if connection.version == (3, 4) else "1.2"
        self.cipher: str = CipherSuite.ietfNames[connection.session.cipherSuite]
        self.peer_chain = tuple(x509.load_der_x509_certificate(der) for der in chain)
        protocol = connection.session.appProto
        self.alpn = bytes(protocol).decode("ascii") if protocol else None
        self.ended: Literal["close-notify", "abrupt"] | None = None

    @property
    def server_chain(self) -> tuple[x509.Certificate, ...]:
        """On the client's side: what the server showed."""
        return self.peer_chain

    @property
    def peer(self) -> x509.Certificate:
        """The other side's own certificate.

        Raises:
            UsageError: it showed none (a client that was not asked for one).
        """
        if not self.peer_chain:
            raise UsageError("the peer showed no certificate")
        return self.peer_chain[0]

    @property
    def operations(self) -> tuple[Operation, ...]:
        """Every operation so far, in order."""
        return tuple(self._operations.done)

    def send(self, data: bytes) -> None:
        """Send application data in one write.

        Raises:
            TlsError: the connection is closed; carries the peer's alert if one had arrived.
        """
        for _ in translated(self._connection.writeAsync(data)):
            raise TlsError("the transport would not take the data")
        if self._transport.broken is not None:
            self._transport.deadline = 0
            if not self._connection.closed:
                self._step(translated(self._connection.readAsync()))  # the alert may lie unread
            raise TlsError(f"the connection was lost: {self._transport.broken}") from self._transport.broken

    def recv(self, size: int = 65_536, *, deadline: int | None = None) -> bytes:
        """At least one byte of application data; ``b""`` at the end of the stream.

        Args:
            size: at most so many bytes.
            deadline: absolute time in us of the stream's clock.

        Raises:
            TlsError: an alert, a lost connection, or the deadline (``alert`` and ``by`` are None).
        """
        if not self.wait_readable(deadline):
            raise TlsError("no data by the deadline")
        data = bytes(self._inbox[:size])
        del self._inbox[:size]
        return data

    def wait_readable(self, deadline: int | None) -> bool:
        """Wait until :meth:`recv` would not block; False when ``deadline`` came first.

        Tickets and key updates are digested meanwhile; half a record is kept for the next call.

        Raises:
            TlsError: an alert or a lost connection.
        """
        self._transport.deadline = deadline
        while not self._inbox and self.ended is None:
            if self._reader is None:
                self._reader = translated(self._connection.readAsync())
            result = self._step(self._reader)
            if isinstance(result, int):
                return False
            self._reader = None
            self._inbox += result
            if not result and self.ended is None:
                self.ended = "close-notify"
        return True

    def _step(self, reader: Iterator[Any]) -> Any:  # noqa: ANN401
        try:
            return next(reader)
        except TlsError as error:
            if isinstance(error.__cause__, TLSAbruptCloseError):
                self.ended = "abrupt"
                return b""
            raise

    def close(self) -> None:
        """Send close_notify and close the stream."""
        for _ in translated(self._connection.closeAsync()):
            break
        self._transport.close()


class Transport:
    """The stream as tlslite sees it: would-block instead of a wait beyond the deadline.

    A write that fails is remembered and not raised: a server that refuses closes behind its alert,
    and the alert can only be read if tlslite does not tear the connection down first.
    """

    def __init__(self, stream: ByteStream) -> None:
        self._stream = stream
        self._closed = False
        self.deadline: int | None = None
        self.broken: OSError | None = None

    def recv(self, size: int) -> bytes:
        """What the stream has; would-block at the deadline."""
        if not self._stream.wait_readable(self.deadline):
            raise BlockingIOError(errno.EWOULDBLOCK, "nothing by the deadline")
        return self._stream.recv(size)

    def send(self, data: bytes) -> int:
        """Send all of ``data``."""
        self.sendall(data)
        return len(data)

    def sendall(self, data: bytes) -> None:
        """Send, or remember why not."""
        try:
            self._stream.sendall(bytes(data))
        except OSError as error:
            self.broken = self.broken or error

    def close(self) -> None:
        """Close the stream once."""
        if not self._closed:
            self._closed = True
            self._stream.close()


def translated(steps: Iterator[Any]) -> Iterator[Any]:
    """Go through ``steps``; errors of tlslite and of the socket become :class:`TlsError`."""
    try:
        yield from steps
    except TLSRemoteAlert as error:
        name = AlertDescription.toRepr(error.description) or str(error.description)
        raise TlsError(f"the peer sent the alert {name}", alert=name, by="peer") from error
    except TLSLocalAlert as error:  # str() of it raises when its message is an exception
        name = AlertDescription.toRepr(error.description) or str(error.description)
        raise TlsError(f"we sent the alert {name}: {error.message}", alert=name, by="us") from error
    except TLSAbruptCloseError as error:
        raise TlsError("the peer closed the connection without an alert", by="peer") from error
    except BaseTLSException as error:
        raise TlsError(f"{type(error).__name__}: {error}", by="us") from error
    except OSError as error:
        raise TlsError(f"the connection was lost: {error}") from error
