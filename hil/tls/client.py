"""Mutual TLS from the client's side, the private key wherever the offload keeps it.

The server's chain is judged by ``cryptography`` before the key signs. Alerts come back as
:class:`TlsError` with their name and who sent them. In TLS 1.3 a server refuses the client's
certificate after the handshake has ended here: only its first answer (for MQTT the CONNACK)
means that the connection was accepted.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Any, Literal

from cryptography import x509

from hil.errors import UsageError
from hil.tls.alerts import ServerChainError, TlsError
from hil.tls.operations import Operation, Operations, TlsObserver
from hil.tls.software import SoftwareRsa
from hil.tls.tlslite_hooks import (
    AlertDescription,
    BaseTLSException,
    CipherSuite,
    ClientKey,
    HookedConnection,
    RsaClientKey,
    TLSAbruptCloseError,
    TLSLocalAlert,
    TLSRemoteAlert,
    certificate_chain,
    settings,
)
from hil.tls.trust import server_subject, verify_links, verify_server_chain

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from hil.clock import Calendar
    from hil.tls.key import Offload
    from hil.tls.stream import ByteStream

__all__ = ["TlsConnection", "Version", "connect"]

Version = Literal["1.2", "1.3"]


def connect(
    stream: ByteStream,
    *,
    server_name: str,
    roots: Sequence[x509.Certificate],
    chain: Sequence[bytes],
    offload: Offload | SoftwareRsa,
    calendar: Calendar,
    versions: Sequence[Version] = ("1.2", "1.3"),
    observer: TlsObserver | None = None,
    alpn: Sequence[str] = (),
    deadline: int | None = None,
) -> TlsConnection:
    """Do the handshake of a client with a certificate.

    Args:
        stream: connected; belongs to the connection from now on, also after an error.
        server_name: DNS name (sent as SNI) or IP address of the server.
        roots: the authorities to trust.
        chain: the client's certificates in DER, its own first.
        offload: which operations the element does; :class:`SoftwareRsa` for an RSA client key.
        calendar: tells the date for the server's certificates.
        versions: the version, or the two ends of the range, to offer.
        observer: told of each operation as it is done.
        alpn: application protocols to offer.
        deadline: absolute time, in us of the stream's clock, by which the handshake must be done.

    Returns:
        The connection; "connected" is what the server's first answer says, not this.

    Raises:
        ServerChainError: the server's chain is not acceptable; nothing was signed.
        TlsError: an alert, a lost connection or the deadline.
        UsageError: chain, key or versions make no sense.
        HilError: whatever the element's operations raised, unchanged.
    """
    if not chain:
        raise UsageError("a client certificate is needed")
    if not versions or not set(versions) <= {"1.2", "1.3"}:
        raise UsageError(f"TLS versions are 1.2 and 1.3, not {', '.join(versions) or 'none'}")
    operations = Operations(None if isinstance(offload, SoftwareRsa) else offload, observer)
    if isinstance(offload, SoftwareRsa):
        key: object = RsaClientKey(offload.private, operations)
    else:
        key = ClientKey(chain[0], operations)
    presented: list[bytes] = []

    def judge(server_chain: list[bytes]) -> None:
        presented[:] = server_chain
        try:
            path = verify_server_chain(server_chain, server_name=server_name, roots=roots, at=calendar.time())
            verify_links(path, operations)
        except ServerChainError as refusal:
            operations.report("chain-verify", "software", refusal.reason, len(server_chain), ok=False)
            raise
        operations.report("chain-verify", "software", "accepted", len(path))

    transport = _Transport(stream)
    connection = HookedConnection(transport, operations, judge)
    sni = server_name if isinstance(server_subject(server_name), x509.DNSName) else ""
    handshake = connection.handshakeClientCert(
        certificate_chain(chain),
        key,
        settings=settings(versions),
        serverName=sni or None,
        alpn=[bytearray(name, "ascii") for name in alpn] or None,
        async_=True,
    )
    transport.deadline = deadline
    try:
        for _ in _translated(handshake):  # comes back only when the transport had nothing by the deadline
            transport.close()
            raise TlsError(f"the handshake with {server_name} was not done by its deadline")
    except TlsError as error:
        if connection.refusal is not None and isinstance(error.__cause__, TLSLocalAlert):
            raise connection.refusal from error.__cause__
        raise
    return TlsConnection(connection, transport, operations, presented)


class TlsConnection:
    """An established connection; made by :func:`connect`.

    Attributes:
        version: ``"1.2"`` or ``"1.3"``.
        cipher: IANA name of the cipher suite.
        server_chain: what the server showed, its own certificate first.
        alpn: the application protocol that was agreed on, None without one.
        ended: how the stream ended: ``"close-notify"``, ``"abrupt"``, or None while it is open.
    """

    def __init__(
        self, connection: HookedConnection, transport: _Transport, operations: Operations, chain: list[bytes]
    ) -> None:
        self._connection = connection
        self._transport = transport
        self._operations = operations
        self._reader: Iterator[Any] | None = None
        self._inbox = bytearray()
        self._timeout_us: int | None = None
        self.version: Version = "1.3" if connection.version == (3, 4) else "1.2"
        self.cipher: str = CipherSuite.ietfNames[connection.session.cipherSuite]
        self.server_chain = tuple(x509.load_der_x509_certificate(der) for der in chain)
        protocol = connection.session.appProto
        self.alpn = bytes(protocol).decode("ascii") if protocol else None
        self.ended: Literal["close-notify", "abrupt"] | None = None

    @property
    def peer(self) -> x509.Certificate:
        """The server's own certificate."""
        return self.server_chain[0]

    @property
    def operations(self) -> tuple[Operation, ...]:
        """Every operation so far, in order."""
        return tuple(self._operations.done)

    def send(self, data: bytes) -> None:
        """Send application data in one write.

        Raises:
            TlsError: the connection is closed; carries the peer's alert if one had arrived.
        """
        for _ in _translated(self._connection.writeAsync(data)):
            raise TlsError("the transport would not take the data")
        if self._transport.broken is not None:
            self._transport.deadline = 0
            if not self._connection.closed:
                self._step(_translated(self._connection.readAsync()))  # the alert may lie unread
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
                self._reader = _translated(self._connection.readAsync())
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
        for _ in _translated(self._connection.closeAsync()):
            break
        self._transport.close()


class _Transport:
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
        if not self._stream.wait_readable(self.deadline):
            raise BlockingIOError(errno.EWOULDBLOCK, "nothing by the deadline")
        return self._stream.recv(size)

    def send(self, data: bytes) -> int:
        self.sendall(data)
        return len(data)

    def sendall(self, data: bytes) -> None:
        try:
            self._stream.sendall(bytes(data))
        except OSError as error:
            self.broken = self.broken or error

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._stream.close()


def _translated(steps: Iterator[Any]) -> Iterator[Any]:
    """Go through ``steps``; errors of tlslite and of the socket become :class:`TlsError`."""
    try:
        yield from steps
    except TLSRemoteAlert as error:
        name = AlertDescription.toRepr(error.description) or str(error.description)
        raise TlsError(f"the server sent the alert {name}", alert=name, by="peer") from error
    except TLSLocalAlert as error:  # str() of it raises when its message is an exception
        name = AlertDescription.toRepr(error.description) or str(error.description)
        raise TlsError(f"we sent the alert {name}: {error.message}", alert=name, by="us") from error
    except TLSAbruptCloseError as error:
        raise TlsError("the server closed the connection without an alert", by="peer") from error
    except BaseTLSException as error:
        raise TlsError(f"{type(error).__name__}: {error}", by="us") from error
    except OSError as error:
        raise TlsError(f"the connection was lost: {error}") from error
