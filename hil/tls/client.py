"""Mutual TLS from the client's side, the private key wherever the offload keeps it.

The server's chain is judged by ``cryptography`` before the key signs. Alerts come back as
:class:`TlsError` with their name and who sent them. In TLS 1.3 a server refuses the client's
certificate after the handshake has ended here: only its first answer (for MQTT the CONNACK)
means that the connection was accepted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cryptography import x509

from hil.discretion import discreet
from hil.errors import UsageError
from hil.tls.alerts import ServerChainError, TlsError
from hil.tls.connection import TlsConnection, Transport, Version, translated
from hil.tls.operations import Operations, TlsObserver
from hil.tls.software import SoftwareRsa
from hil.tls.tlslite_hooks import (
    AES_128_GCM,
    ClientKey,
    HookedConnection,
    RsaClientKey,
    TLSLocalAlert,
    certificate_chain,
    settings,
)
from hil.tls.trust import ServerVerifier, server_subject, verify_links, verify_server_chain

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hil.clock import Calendar
    from hil.tls.key import Offload
    from hil.tls.stream import ByteStream

__all__ = ["TlsConnection", "Version", "connect"]


@discreet
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
    verify: ServerVerifier = verify_server_chain,
    ciphers: Sequence[str] = AES_128_GCM,
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
        verify: judges the server's chain; another than the default is for models of careless clients.
        ciphers: what to offer, by tlslite's names; likewise.

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
    operations = Operations(offload, observer)
    if isinstance(offload, SoftwareRsa):
        key: object = RsaClientKey(offload.private, operations)
    else:
        key = ClientKey(chain[0], operations)
    presented: list[bytes] = []

    def judge(server_chain: list[bytes]) -> None:
        presented[:] = server_chain
        try:
            path = verify(server_chain, server_name=server_name, roots=roots, at=calendar.time())
            signed = verify_links(path, operations)
        except ServerChainError as refusal:
            operations.report("chain-verify", "software", refusal.reason, len(server_chain), ok=False)
            raise
        operations.report("chain-verify", "software", "accepted", signed)

    transport = Transport(stream)
    connection = HookedConnection(transport, operations, judge)
    sni = server_name if isinstance(server_subject(server_name), x509.DNSName) else ""
    handshake = connection.handshakeClientCert(
        certificate_chain(chain),
        key,
        settings=settings(versions, ciphers),
        serverName=sni or None,
        alpn=[bytearray(name, "ascii") for name in alpn] or None,
        async_=True,
    )
    transport.deadline = deadline
    try:
        for _ in translated(handshake):  # comes back only when the transport had nothing by the deadline
            transport.close()
            raise TlsError(f"the handshake with {server_name} was not done by its deadline")
    except TlsError as error:
        if connection.refusal is not None and isinstance(error.__cause__, TLSLocalAlert):
            raise connection.refusal from error.__cause__
        raise
    return TlsConnection(connection, transport, operations, presented)
