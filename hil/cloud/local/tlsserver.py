"""The endpoint's half of TLS, without I/O: bytes in, plaintext out, bytes to send.

OpenSSL (through pyOpenSSL and a memory BIO) does the protocol. It accepts a client certificate of any
issuer, as AWS IoT does, and leaves the decision to the registry; that the client has the key is still
proven by its CertificateVerify. There is no resumption: no session cache, no tickets.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.serialization import Encoding
from OpenSSL import SSL, crypto

from hil.tls.hello import ClientHello, parse_client_hello

if TYPE_CHECKING:
    from collections.abc import Callable

    from hil.cloud.local.pki import ServerChain

__all__ = ["TLS12_CIPHERS", "TLS13_CIPHERS", "TlsRefusal", "TlsServer", "context"]

TLS12_CIPHERS = (
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-RSA-AES128-GCM-SHA256",
    "ECDHE-ECDSA-AES128-SHA256",
    "ECDHE-RSA-AES128-SHA256",
    "ECDHE-ECDSA-AES128-SHA",
    "ECDHE-RSA-AES128-SHA",
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-RSA-AES256-GCM-SHA384",
    "ECDHE-ECDSA-AES256-SHA384",
    "ECDHE-RSA-AES256-SHA384",
    "ECDHE-RSA-AES256-SHA",
    "ECDHE-ECDSA-AES256-SHA",
    "AES128-GCM-SHA256",
    "AES128-SHA256",
    "AES128-SHA",
    "AES256-GCM-SHA384",
    "AES256-SHA256",
    "AES256-SHA",
)
"""Suites of AWS IoT Core for TLS 1.2 (developer guide, "Transport security in AWS IoT")."""
TLS13_CIPHERS = ("TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256")
"""Suites for TLS 1.3; the first is in AWS's table, the others are taken from OpenSSL's default."""

UNRECOGNIZED_NAME, NO_APPLICATION_PROTOCOL = 112, 120
_READ = 65_536


class TlsRefusal(Exception):
    """The handshake or the connection cannot go on; the message is for the session's log."""


def context(chain: ServerChain, *, alpn: tuple[str, ...] = ()) -> SSL.Context:
    """What every connection that is shown ``chain`` has in common.

    Args:
        chain: certificates and key of the server.
        alpn: protocols to agree on, if the client offers one of them.
    """
    result = SSL.Context(SSL.TLS_SERVER_METHOD)
    result.set_min_proto_version(SSL.TLS1_2_VERSION)
    result.set_cipher_list(":".join(TLS12_CIPHERS).encode())
    result.set_tls13_ciphersuites(":".join(TLS13_CIPHERS).encode())
    result.set_options(SSL.OP_NO_TICKET | SSL.OP_NO_RENEGOTIATION | SSL.OP_CIPHER_SERVER_PREFERENCE)
    result.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    result.set_session_id(b"hil-endpoint")
    result.use_privatekey(chain.key)
    leaf, *rest = chain.certificates
    result.use_certificate(leaf)
    for certificate in rest:
        result.add_extra_chain_cert(certificate)
    result.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, _any_issuer)
    if alpn:
        wanted = [name.encode() for name in alpn]
        result.set_alpn_select_callback(
            lambda _, offered: next((one for one in wanted if one in offered), SSL.NO_OVERLAPPING_PROTOCOLS)
        )
    return result


def _any_issuer(
    connection: SSL.Connection, certificate: crypto.X509, error: int, depth: int, good: int
) -> bool:
    """Accept every issuer; a connection may have a judge of its own for the client's certificate."""
    judge: Callable[[bytes], bool] | None = connection.get_app_data()
    if judge is None or depth != 0:
        return True
    return judge(certificate.to_cryptography().public_bytes(Encoding.DER))


class TlsServer:
    """One connection, server side, without I/O.

    Attributes:
        hello: the ClientHello once it is complete.
        established: the handshake is done.
    """

    def __init__(self) -> None:
        self.hello: ClientHello | None = None
        self.established = False
        self._broken = False
        self._head = bytearray()
        self._connection: SSL.Connection | None = None

    def read_hello(self, data: bytes) -> ClientHello | None:
        """Collect the first bytes; the ClientHello once they hold one.

        Raises:
            hil.errors.FrameError: this is not TLS.
        """
        self._head += data
        self.hello = parse_client_hello(bytes(self._head))
        return self.hello

    def start(self, chosen: SSL.Context, judge: Callable[[bytes], bool] | None = None) -> None:
        """Begin the handshake with the ClientHello that :meth:`read_hello` collected.

        Args:
            chosen: what the client is shown.
            judge: decides about the client's certificate (DER) within the handshake; a refusal is an
                alert. None: the handshake accepts every certificate whose key the client has.
        """
        self._connection = SSL.Connection(chosen, None)
        self._connection.set_app_data(judge)
        self._connection.set_accept_state()
        self._connection.bio_write(bytes(self._head))

    def advance(self, data: bytes = b"") -> bytes:
        """Take bytes from the client; the plaintext they hold.

        Call :meth:`outgoing` afterwards, also after an error: alerts leave that way.

        Raises:
            TlsRefusal: the handshake failed, or the client closed or broke the connection.
        """
        connection = self._connection
        assert connection is not None, "start comes first"
        if data:
            connection.bio_write(data)
        try:
            if not self.established:
                connection.do_handshake()
                self.established = True
            return self._plaintext(connection)
        except SSL.WantReadError:
            return b""
        except SSL.ZeroReturnError as error:
            raise TlsRefusal("the client sent close_notify") from error
        except SSL.Error as error:
            self._broken = True
            raise TlsRefusal(f"TLS: {_words(error)}") from error

    def _plaintext(self, connection: SSL.Connection) -> bytes:
        received = bytearray()
        while True:
            try:
                received += connection.recv(_READ)
            except SSL.WantReadError:
                return bytes(received)
            except SSL.ZeroReturnError:
                if received:  # what came before the close_notify counts first
                    return bytes(received)
                raise

    def send(self, data: bytes) -> None:
        """Encrypt ``data``; fetch it with :meth:`outgoing`."""
        assert self._connection is not None, "start comes first"
        self._connection.sendall(data)

    def close_notify(self) -> None:
        """Tell the client that the connection ends here."""
        if self._connection is not None and self.established and not self._broken:
            self._connection.shutdown()

    def outgoing(self) -> bytes:
        """What must be sent to the client now."""
        result = bytearray()
        while self._connection is not None:
            try:
                result += self._connection.bio_read(_READ)
            except SSL.WantReadError:
                break
        return bytes(result)

    @property
    def version(self) -> str:
        """``"TLSv1.2"`` or ``"TLSv1.3"``."""
        assert self._connection is not None, "start comes first"
        return self._connection.get_protocol_version_name()

    @property
    def cipher(self) -> str:
        """OpenSSL's name of the cipher suite, "" before the handshake is done."""
        assert self._connection is not None, "start comes first"
        return self._connection.get_cipher_name() or ""

    @property
    def alpn(self) -> str | None:
        """The protocol that was agreed on."""
        assert self._connection is not None, "start comes first"
        return self._connection.get_alpn_proto_negotiated().decode() or None

    def client_chain(self) -> tuple[bytes, ...]:
        """The client's certificates in DER, its own first; empty before the handshake is done."""
        assert self._connection is not None, "start comes first"
        leaf = self._connection.get_peer_certificate(as_cryptography=True)
        shown = self._connection.get_peer_cert_chain(as_cryptography=True) or []
        chain = [one.public_bytes(Encoding.DER) for one in shown]
        if leaf is None:
            return ()
        own = leaf.public_bytes(Encoding.DER)
        return tuple(chain) if chain and chain[0] == own else (own, *chain)


def _words(error: SSL.Error) -> str:
    """OpenSSL's reasons; an empty list means that the connection ended."""
    if error.args and isinstance(error.args[0], list):
        return ", ".join(reason for _, _, reason in error.args[0]) or "the connection ended"
    return ", ".join(str(part) for part in error.args) or type(error).__name__
