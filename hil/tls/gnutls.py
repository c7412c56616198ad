"""A second TLS client, GnuTLS through its public callback interface, to cross-check the first.

Optional: needs ``libgnutls.so.30`` (3.7 or newer) on the machine. Signs through the element; ECDH,
verification of signatures and random stay in GnuTLS. The trust decision is the same as the first
client's and is made before the key signs (``gnutls_certificate_set_verify_function``).

Sources: GnuTLS 3.7 manual, "Abstract key types" (``gnutls_privkey_import_ext4``), "Setting up the
transport layer", "Priority strings"; the numbers are from ``gnutls/gnutls.h`` and ``abstract.h``.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import errno
from ctypes import POINTER, c_char_p, c_int, c_size_t, c_uint, c_void_p
from typing import TYPE_CHECKING, Any, Literal

from cryptography import x509

from hil.errors import HilError, UsageError
from hil.tls.alerts import TlsError
from hil.tls.software import der_signature
from hil.tls.trust import server_subject, verify_server_chain

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from hil.clock import Calendar
    from hil.tls.connection import Version
    from hil.tls.key import SigningKey
    from hil.tls.stream import ByteStream

__all__ = ["GnutlsConnection", "available", "connect"]

CLIENT = 2
CRD_CERTIFICATE = 1
NAME_DNS = 1
X509_FMT_DER = 0
SHUT_WR = 1
SKIP_KEY_CERT_MATCH = 1
"""Without it the key signs once more when it is set, to see whether it fits the certificate."""
INFO_PK_ALGO, INFO_HAVE_SIGN_ALGO, INFO_PK_ALGO_BITS = 1, 4, 8
PK_ECDSA = 4
E_CERTIFICATE_ERROR, E_PREMATURE_TERMINATION = -43, -110
E_FATAL_ALERT_RECEIVED = -12
E_PK_SIGN_FAILED = -46
SIGNATURES = (b"ECDSA-SHA256", b"ECDSA-SECP256R1-SHA256")
PRIORITY = (
    "NONE:{versions}:+AES-128-GCM:+AEAD:+ECDHE-ECDSA:+ECDHE-RSA:+GROUP-SECP256R1:+CTYPE-X509:+COMP-NULL:"
    "+SIGN-ECDSA-SHA256:+SIGN-ECDSA-SECP256R1-SHA256:+SIGN-RSA-SHA256:+SIGN-RSA-PSS-RSAE-SHA256"
)


class Datum(ctypes.Structure):
    """``gnutls_datum_t``."""

    _fields_ = (("data", c_void_p), ("size", c_uint))


class Pcert(ctypes.Structure):
    """``gnutls_pcert_st``."""

    _fields_ = (("pubkey", c_void_p), ("cert", Datum), ("type", c_int))


_SIGN = ctypes.CFUNCTYPE(c_int, c_void_p, c_int, c_void_p, c_uint, POINTER(Datum), POINTER(Datum))
_INFO = ctypes.CFUNCTYPE(c_int, c_void_p, c_uint, c_void_p)
_VERIFY = ctypes.CFUNCTYPE(c_int, c_void_p)
_PUSH = ctypes.CFUNCTYPE(ctypes.c_ssize_t, c_void_p, c_void_p, c_size_t)
_PULL = ctypes.CFUNCTYPE(ctypes.c_ssize_t, c_void_p, c_void_p, c_size_t)
_MALLOC = ctypes.CFUNCTYPE(c_void_p, c_size_t)


def available() -> bool:
    """Whether the library is on this machine."""
    return ctypes.util.find_library("gnutls") is not None


def connect(
    stream: ByteStream,
    *,
    server_name: str,
    roots: Sequence[x509.Certificate],
    chain: Sequence[bytes],
    sign: SigningKey,
    calendar: Calendar,
    versions: Sequence[Version] = ("1.2", "1.3"),
    deadline: int | None = None,
) -> GnutlsConnection:
    """Do the handshake; arguments and errors as in :func:`hil.tls.client.connect`.

    Raises:
        UsageError: the library is not there.
        ServerChainError: the server's chain is not acceptable; nothing was signed.
        TlsError: an alert, a lost connection or the deadline.
    """
    name = ctypes.util.find_library("gnutls")
    if name is None:
        raise UsageError("libgnutls is not installed", hint="on Debian: apt install libgnutls30")
    library = _typed(ctypes.CDLL(name))

    def judge(shown: list[bytes]) -> None:
        verify_server_chain(shown, server_name=server_name, roots=roots, at=calendar.time())

    connection = GnutlsConnection(library, stream, sign, judge)
    try:
        connection.set_up(server_name, chain, versions)
        connection.handshake(deadline)
    except HilError:
        connection.discard()
        raise
    return connection


class GnutlsConnection:
    """A connection of GnuTLS; made by :func:`connect`.

    Attributes:
        version: ``"1.2"`` or ``"1.3"``.
        cipher: GnuTLS's name of the cipher suite.
        server_chain: what the server showed, its own certificate first.
        ended: ``"close-notify"``, ``"abrupt"``, or None while the stream is open.
    """

    def __init__(
        self,
        library: Any,  # noqa: ANN401
        stream: ByteStream,
        sign: SigningKey,
        judge: Callable[[list[bytes]], None],
    ) -> None:
        self._lib = library
        self._stream = stream
        self._sign = sign
        self._judge = judge
        self._error: BaseException | None = None
        self._deadline: int | None = None
        self._inbox = bytearray()
        self._session = c_void_p()
        self._credentials = c_void_p()
        self._open = False
        self._starved = False
        """The stream had nothing by the deadline; GnuTLS also says "again" after a ticket."""
        self._wanted = [library.gnutls_sign_get_id(one) for one in SIGNATURES]
        # GnuTLS keeps the pointers: the callbacks must live as long as the session.
        self._callbacks = (
            _SIGN(self._on_sign),
            _INFO(self._on_info),
            _VERIFY(self._on_verify),
            _PUSH(self._on_push),
            _PULL(self._on_pull),
        )
        self.server_chain: tuple[x509.Certificate, ...] = ()
        self.version: Version = "1.2"
        self.cipher = ""
        self.ended: Literal["close-notify", "abrupt"] | None = None

    # -- setting up ------------------------------------------------------------------------------

    def set_up(self, server_name: str, chain: Sequence[bytes], versions: Sequence[Version]) -> None:
        """Make the session and its credentials."""
        lib, (sign, info, verify, push, pull) = self._lib, self._callbacks
        self._must(lib.gnutls_init(ctypes.byref(self._session), CLIENT))
        self._open = True
        self._must(lib.gnutls_certificate_allocate_credentials(ctypes.byref(self._credentials)))
        lib.gnutls_certificate_set_flags(self._credentials, SKIP_KEY_CERT_MATCH)
        lib.gnutls_certificate_set_verify_function(self._credentials, verify)
        key = c_void_p()
        self._must(lib.gnutls_privkey_init(ctypes.byref(key)))
        self._must(lib.gnutls_privkey_import_ext4(key, None, None, sign, None, None, info, 0))
        certificates = (Pcert * len(chain))()
        for place, der in zip(certificates, chain, strict=True):
            buffer = ctypes.create_string_buffer(der, len(der))
            datum = Datum(ctypes.cast(buffer, c_void_p), len(der))
            self._must(
                lib.gnutls_pcert_import_x509_raw(ctypes.byref(place), ctypes.byref(datum), X509_FMT_DER, 0)
            )
        self._must(lib.gnutls_certificate_set_key(self._credentials, None, 0, certificates, len(chain), key))
        self._must(lib.gnutls_credentials_set(self._session, CRD_CERTIFICATE, self._credentials))
        wanted = ":".join(f"+VERS-TLS{version}" for version in sorted(set(versions), reverse=True))
        priority = PRIORITY.format(versions=wanted).encode()
        self._must(lib.gnutls_priority_set_direct(self._session, priority, None))
        if isinstance(server_subject(server_name), x509.DNSName):
            name = server_name.encode()
            self._must(lib.gnutls_server_name_set(self._session, NAME_DNS, name, len(name)))
        lib.gnutls_transport_set_push_function(self._session, push)
        lib.gnutls_transport_set_pull_function(self._session, pull)

    def handshake(self, deadline: int | None) -> None:
        """Run the handshake to its end."""
        self._deadline, self._starved = deadline, False
        code = self._lib.gnutls_handshake(self._session)
        while code < 0 and not self._starved and not self._lib.gnutls_error_is_fatal(code):
            code = self._lib.gnutls_handshake(self._session)
        if self._starved:
            raise TlsError("the handshake was not done by its deadline")
        self._must(code)
        protocol = self._lib.gnutls_protocol_get_version(self._session)
        self.version = "1.3" if self._lib.gnutls_protocol_get_name(protocol) == b"TLS1.3" else "1.2"
        self.cipher = self._lib.gnutls_ciphersuite_get(self._session).decode()

    # -- application data --------------------------------------------------------------------------

    def send(self, data: bytes) -> None:
        """Send application data."""
        sent = 0
        while sent < len(data):
            count = self._lib.gnutls_record_send(self._session, data[sent:], len(data) - sent)
            sent += self._must(count)

    def wait_readable(self, deadline: int | None) -> bool:
        """Wait until :meth:`recv` would not block; False when ``deadline`` came first."""
        self._deadline, self._starved = deadline, False
        buffer = ctypes.create_string_buffer(16_384)
        while not self._inbox and self.ended is None:
            count = self._lib.gnutls_record_recv(self._session, buffer, len(buffer))
            if self._starved:
                return False
            if count == E_PREMATURE_TERMINATION:
                self.ended = "abrupt"
            elif count == 0:
                self.ended = "close-notify"
            elif count > 0 or self._lib.gnutls_error_is_fatal(count):
                self._inbox += buffer.raw[: self._must(count)]
        return True

    def recv(self, size: int = 65_536, *, deadline: int | None = None) -> bytes:
        """At least one byte of application data; ``b""`` at the end of the stream."""
        if not self.wait_readable(deadline):
            raise TlsError("no data by the deadline")
        data = bytes(self._inbox[:size])
        del self._inbox[:size]
        return data

    def close(self) -> None:
        """Send close_notify, close the stream, free the session."""
        if self._open:
            self._lib.gnutls_bye(self._session, SHUT_WR)
            self.discard()

    def discard(self) -> None:
        """Close the stream and free the session without a word."""
        if not self._open:
            return
        self._open = False
        self._lib.gnutls_deinit(self._session)
        if self._credentials.value:
            self._lib.gnutls_certificate_free_credentials(self._credentials)
        self._stream.close()

    def _must(self, code: int) -> int:
        """``code`` if it is not an error; what a callback raised, or the error, otherwise."""
        if code >= 0:
            return code
        if self._error is not None:
            error, self._error = self._error, None
            if isinstance(error, OSError):
                raise TlsError(f"the connection was lost: {error}") from error
            raise error
        if code == E_FATAL_ALERT_RECEIVED:
            number = self._lib.gnutls_alert_get(self._session)
            name = self._lib.gnutls_alert_get_strname(number).decode().removeprefix("GNUTLS_A_").lower()
            raise TlsError(f"the peer sent the alert {name}", alert=name, by="peer")
        if code == E_PREMATURE_TERMINATION:
            raise TlsError("the peer closed the connection without an alert", by="peer")
        raise TlsError(f"GnuTLS: {self._lib.gnutls_strerror(code).decode()}", by="us")

    # -- callbacks: an exception must not cross C, so it is kept for _must -----------------------

    def _kept(self, act: Callable[[], int], failed: int) -> int:
        try:
            return act()
        except BaseException as error:
            self._error = error
            return failed

    def _on_sign(
        self,
        _key: int,
        _algorithm: int,
        _user: int,
        _flags: int,
        digest: Any,  # noqa: ANN401
        signature: Any,  # noqa: ANN401
    ) -> int:
        def act() -> int:
            der = der_signature(self._sign.sign_digest(ctypes.string_at(digest[0].data, digest[0].size)))
            malloc = _MALLOC.in_dll(self._lib, "gnutls_malloc")
            signature[0].data = malloc(len(der))
            signature[0].size = len(der)
            ctypes.memmove(signature[0].data, der, len(der))
            return 0

        return self._kept(act, E_PK_SIGN_FAILED)

    def _on_info(self, _key: int, flags: int, _user: int) -> int:
        if flags & INFO_PK_ALGO:
            return PK_ECDSA
        if flags & INFO_PK_ALGO_BITS:
            return 256
        if flags & INFO_HAVE_SIGN_ALGO:
            return int(flags >> 20 in self._wanted)
        return -1

    def _on_verify(self, session: int) -> int:
        def act() -> int:
            count = c_uint()
            peers = self._lib.gnutls_certificate_get_peers(session, ctypes.byref(count))
            shown = [ctypes.string_at(peers[index].data, peers[index].size) for index in range(count.value)]
            self._judge(shown)
            self.server_chain = tuple(x509.load_der_x509_certificate(der) for der in shown)
            return 0

        return self._kept(act, E_CERTIFICATE_ERROR)

    def _on_push(self, _transport: int, data: int, size: int) -> int:
        def act() -> int:
            self._stream.sendall(ctypes.string_at(data, size))
            return size

        return self._kept(act, -1)

    def _on_pull(self, _transport: int, data: int, size: int) -> int:
        def act() -> int:
            if not self._stream.wait_readable(self._deadline):
                self._starved = True
                self._lib.gnutls_transport_set_errno(self._session, errno.EAGAIN)
                return -1
            received = self._stream.recv(size)
            ctypes.memmove(data, received, len(received))
            return len(received)

        return self._kept(act, -1)


def _typed(library: Any) -> Any:  # noqa: ANN401
    """Result types that are not ``int``."""
    for name in (
        "gnutls_strerror",
        "gnutls_alert_get_strname",
        "gnutls_protocol_get_name",
        "gnutls_ciphersuite_get",
    ):
        getattr(library, name).restype = c_char_p
    library.gnutls_certificate_get_peers.restype = POINTER(Datum)
    library.gnutls_certificate_get_peers.argtypes = [c_void_p, POINTER(c_uint)]
    for name in ("gnutls_record_send", "gnutls_record_recv"):
        getattr(library, name).restype = ctypes.c_ssize_t
        getattr(library, name).argtypes = [c_void_p, c_char_p, c_size_t]
    return library
