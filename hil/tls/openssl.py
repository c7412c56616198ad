"""A TLS client of the standard library (OpenSSL) on any byte stream: what a browser would be.

It shares no code with the servers that it is pointed at, which is what makes it a witness.
"""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

from hil.tls.alerts import TlsError

if TYPE_CHECKING:
    from collections.abc import Callable

    from hil.tls.stream import ByteStream

__all__ = ["OpenSslConnection", "connect_openssl"]

CHUNK = 16_384


class OpenSslConnection:
    """An established connection; also the stream that a protocol above runs on.

    Attributes:
        version: as OpenSSL calls it, e.g. ``TLSv1.2``.
        cipher: OpenSSL's name of the cipher suite.
        certificate: the server's own certificate in DER.
    """

    def __init__(
        self, stream: ByteStream, tls: ssl.SSLObject, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO
    ) -> None:
        self._stream = stream
        self._tls = tls
        self._incoming = incoming
        self._outgoing = outgoing
        self._inbox = b""
        self._ended = False
        self.version = tls.version() or ""
        cipher = tls.cipher()
        self.cipher = cipher[0] if cipher else ""
        self.certificate = tls.getpeercert(binary_form=True) or b""

    def recv(self, size: int) -> bytes:
        """At least one byte of application data, ``b""`` at the end."""
        self.wait_readable(None)
        data, self._inbox = self._inbox[:size], self._inbox[size:]
        return data

    def send(self, data: bytes) -> int:
        """Send all of ``data``."""
        self.sendall(data)
        return len(data)

    def sendall(self, data: bytes) -> None:
        """Send ``data``.

        Raises:
            TlsError: the connection is over.
        """
        try:
            self._tls.write(data)
        except ssl.SSLError as error:
            raise _translated(error) from error
        self._flush()

    def settimeout(self, seconds: float | None) -> None:
        """See :class:`hil.tls.stream.ByteStream`."""
        self._stream.settimeout(seconds)

    def wait_readable(self, deadline: int | None) -> bool:
        """Wait until :meth:`recv` would not block; False when ``deadline`` came first."""
        while not self._inbox and not self._ended:
            try:
                self._inbox = self._tls.read(CHUNK)
                self._ended = not self._inbox
            except ssl.SSLWantReadError:
                if not self._stream.wait_readable(deadline):
                    return False
                self._feed()
            except ssl.SSLZeroReturnError:
                self._ended = True
            except ssl.SSLError as error:
                raise _translated(error) from error
        return True

    def close(self) -> None:
        """Close the stream."""
        self._stream.close()

    def _feed(self) -> None:
        data = self._stream.recv(CHUNK)
        if data:
            self._incoming.write(data)
        else:
            self._incoming.write_eof()

    def _flush(self) -> None:
        data = self._outgoing.read()
        if data:
            self._stream.sendall(data)


def connect_openssl(
    stream: ByteStream,
    *,
    trusted: str,
    server_name: str | None = None,
    deadline: int | None = None,
    adjust: Callable[[ssl.SSLContext], None] = lambda context: None,
) -> OpenSslConnection:
    """Do the handshake of a client that checks the server's certificate.

    Args:
        stream: connected; closed if the handshake fails.
        trusted: certificates in PEM; the server's chain has to end in one of them.
        server_name: sent and checked; None for a server that is known by its certificate alone.
        deadline: absolute time, in us of the stream's clock, by which the handshake must be done.
        adjust: changes the context, for example its versions.

    Raises:
        TlsError: OpenSSL refuses, the server refuses, the connection is lost, or the deadline.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = server_name is not None
    context.load_verify_locations(cadata=trusted)
    adjust(context)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(incoming, outgoing, server_hostname=server_name)
    try:
        _shake_hands(tls, incoming, outgoing, stream, deadline)
    except TlsError:
        stream.close()
        raise
    except OSError as error:
        stream.close()
        raise _translated(error) from error
    return OpenSslConnection(stream, tls, incoming, outgoing)


def _shake_hands(
    tls: ssl.SSLObject,
    incoming: ssl.MemoryBIO,
    outgoing: ssl.MemoryBIO,
    stream: ByteStream,
    deadline: int | None,
) -> None:
    while True:
        try:
            tls.do_handshake()
        except ssl.SSLWantReadError:
            done = False
        except ssl.SSLError:
            alert = outgoing.read()  # why we refuse
            if alert:
                stream.sendall(alert)
            raise
        else:
            done = True
        data = outgoing.read()
        if data:
            stream.sendall(data)
        if done:
            return
        if not stream.wait_readable(deadline):
            raise TlsError("the handshake was not done by its deadline")
        received = stream.recv(CHUNK)
        if received:
            incoming.write(received)
        else:
            incoming.write_eof()


def _translated(error: OSError) -> TlsError:
    """An error of OpenSSL or of the stream: who refused, as far as it says."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return TlsError(f"OpenSSL does not accept the server: {error.verify_message}", by="us")
    if isinstance(error, ssl.SSLEOFError):
        return TlsError("the server closed the connection without an alert", by="peer")
    if isinstance(error, ssl.SSLError):
        reason = (error.reason or str(error)).lower()
        name = reason.partition("alert_")[2]
        if name:
            return TlsError(f"the server sent the alert {name}", alert=name, by="peer")
        return TlsError(f"OpenSSL refuses: {reason.replace('_', ' ')}", by="us")
    return TlsError(f"the connection was lost: {error}")
