"""TLS from the server's side with the private key in the element: a board that serves HTTPS.

Exactly one signature a handshake, over the key exchange (TLS 1.2) or the transcript (TLS 1.3).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hil.discretion import discreet
from hil.errors import UsageError
from hil.tls.alerts import TlsError
from hil.tls.connection import TlsConnection, Transport, Version, translated
from hil.tls.operations import Operations, TlsObserver
from hil.tls.tlslite_hooks import ClientKey, HookedServer, certificate_chain, settings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hil.tls.key import Offload
    from hil.tls.stream import ByteStream

__all__ = ["accept"]


@discreet
def accept(
    stream: ByteStream,
    *,
    chain: Sequence[bytes],
    offload: Offload,
    versions: Sequence[Version] = ("1.2", "1.3"),
    observer: TlsObserver | None = None,
    request_client: bool = False,
    alpn: Sequence[str] = (),
    deadline: int | None = None,
) -> TlsConnection:
    """Do the handshake of a server.

    Args:
        stream: connected; belongs to the connection from now on, also after an error.
        chain: the server's certificates in DER, its own first; a P-256 key.
        offload: which operations the element does.
        versions: the version, or the two ends of the range, to accept.
        observer: told of each operation as it is done.
        request_client: ask for a client certificate; ``peer_chain`` tells what was shown, and
            whether to trust it is the caller's decision. That the client has its key is proven.
        alpn: application protocols to agree on.
        deadline: absolute time, in us of the stream's clock, by which the handshake must be done.

    Raises:
        TlsError: an alert, a lost connection or the deadline.
        UsageError: chain, key or versions make no sense.
        HilError: whatever the element's operations raised, unchanged.
    """
    if not chain:
        raise UsageError("a server certificate is needed")
    if not versions or not set(versions) <= {"1.2", "1.3"}:
        raise UsageError(f"TLS versions are 1.2 and 1.3, not {', '.join(versions) or 'none'}")
    operations = Operations(offload, observer)
    transport = Transport(stream)
    connection = HookedServer(transport, operations)
    chosen = settings(versions)
    chosen.ticket_count = 0
    handshake = connection.handshakeServerAsync(
        certChain=certificate_chain(chain),
        privateKey=ClientKey(chain[0], operations),
        reqCert=request_client,
        settings=chosen,
        alpn=[bytearray(name, "ascii") for name in alpn] or None,
    )
    transport.deadline = deadline
    for _ in translated(handshake):  # comes back only when the transport had nothing by the deadline
        transport.close()
        raise TlsError("the handshake was not done by its deadline")
    shown = connection.session.clientCertChain
    return TlsConnection(
        connection, transport, operations, [bytes(one.bytes) for one in shown.x509List] if shown else []
    )
