"""Everything that reaches into tlslite-ng: connections whose cryptography can be elsewhere.

Pinned to tlslite-ng 0.8.2, whose hooks are underscore methods; ``tests/unit/test_tls_hooks.py``
states each one, so that another version cannot slip in. What is changed, and why:

* the client's key signs through a callback and is checked against its certificate before the
  signature leaves (``Python_ECDSAKey``);
* ECDH comes from the element in TLS 1.2 (``_clientKeyExchange``, ``_serverCertKeyExchange``) and
  1.3 (``_genKeyShareEntry``, ``_getKEX``);
* the server's chain is judged before anything is signed (``_clientGetKeyFromChain``, which both
  versions call before the client's certificate goes out; tlslite's ``checker`` runs after it);
* the ClientHello takes its random from the element and does not offer post-handshake
  authentication, which would let a server ask for a second signature (``_sendMsg``);
* the client's flight of TLS 1.3 leaves in one write: otherwise a server that refuses closes
  between the writes, and the client sees a broken pipe instead of the alert;
* records are sealed by OpenSSL's AES-GCM (``_changeWriteState``, ``_changeReadState``);
* a connection that dies sends nothing more of what it had buffered (``_shutdown``).
"""

from __future__ import annotations

import warnings
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from ecdsa.curves import NIST256p

from hil.errors import UsageError
from hil.tls.alerts import ServerChainError
from hil.tls.software import der_signature, load_point, raw_signature

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from cryptography.hazmat.primitives.asymmetric import rsa

    from hil.tls.operations import Operations

with warnings.catch_warnings():  # its package imports asyncore, which Python 3.11 calls deprecated
    warnings.simplefilter("ignore", DeprecationWarning)
    import tlslite  # noqa: F401

from tlslite.constants import (
    AlertDescription,
    CipherSuite,
    ContentType,
    ECCurveType,
    ExtensionType,
    GroupName,
)
from tlslite.errors import (
    BaseTLSException,
    TLSAbruptCloseError,
    TLSDecryptionFailed,
    TLSIllegalParameterException,
    TLSLocalAlert,
    TLSRemoteAlert,
)
from tlslite.extensions import KeyShareEntry
from tlslite.handshakesettings import HandshakeSettings
from tlslite.keyexchange import ECDHE_RSAKeyExchange
from tlslite.messages import ClientHello, ServerKeyExchange
from tlslite.tlsconnection import TLSConnection
from tlslite.utils.python_ecdsakey import Python_ECDSAKey
from tlslite.utils.python_rsakey import Python_RSAKey
from tlslite.x509 import X509
from tlslite.x509certchain import X509CertChain

__all__ = [
    "AES_128_GCM",
    "AlertDescription",
    "BaseTLSException",
    "CipherSuite",
    "ClientKey",
    "HookedConnection",
    "HookedServer",
    "RsaClientKey",
    "TLSAbruptCloseError",
    "TLSLocalAlert",
    "TLSRemoteAlert",
    "certificate_chain",
    "settings",
]

SERVER_KEY_EXCHANGE = 4
"""Place of the key exchange in the arguments of ``_serverCertKeyExchange``."""
SERVER_PROTOCOLS = 7
"""Place of the server's application protocols in the arguments of ``_serverTLS13Handshake``."""
VERSIONS = {"1.2": (3, 3), "1.3": (3, 4)}


AES_128_GCM = ("aes128gcm",)
"""The cipher that AWS IoT recommends, by tlslite's name."""


def settings(versions: Sequence[str], ciphers: Sequence[str] = AES_128_GCM) -> Any:  # noqa: ANN401  (tlslite is untyped)
    """Handshake settings for one version or a range: what an ATECC can do and AWS IoT accepts.

    SHA-256 only, because the element signs 32 bytes; P-256 only; AES-128-GCM, which a default
    OpenSSL would not choose; no certificate compression, because tlslite 0.8.2 compresses its
    client certificate unasked and OpenSSL aborts.
    """
    chosen = sorted(VERSIONS[version] for version in versions)
    result = HandshakeSettings()
    result.minVersion, result.maxVersion = chosen[0], chosen[-1]
    result.versions = [version for version in ((3, 4), (3, 3)) if chosen[0] <= version <= chosen[-1]]
    result.cipherNames = list(ciphers)
    result.macNames = ["aead"]
    result.keyExchangeNames = ["ecdhe_ecdsa", "ecdhe_rsa"]
    result.eccCurves = result.keyShares = ["secp256r1"]
    result.ecdsaSigHashes = ["sha256"]
    result.rsaSigHashes = ["sha256"]
    result.dsaSigHashes = []
    result.more_sig_schemes = []
    result.minKeySize = 2048
    result.certificate_compression_send = []
    result.certificate_compression_receive = []
    result.use_heartbeat_extension = False
    result.usePaddingExtension = False
    return result


def certificate_chain(chain: Sequence[bytes]) -> Any:  # noqa: ANN401
    """The client's certificates (DER, its own first) as tlslite wants them."""
    parsed = []
    for der in chain:
        certificate = X509()
        certificate.parseBinary(der)  # fills the object and returns None
        parsed.append(certificate)
    return X509CertChain(parsed)


class ClientKey(Python_ECDSAKey):  # type: ignore[misc]
    """The client's key: public from the certificate, private wherever ``operations`` signs.

    tlslite verifies its own signature before it sends it. The public half comes from the
    certificate, so that a key that does not belong to it is noticed here.
    """

    def __init__(self, certificate: bytes, operations: Operations) -> None:
        public = x509.load_der_x509_certificate(certificate).public_key()
        if not isinstance(public, ec.EllipticCurvePublicKey) or not isinstance(public.curve, ec.SECP256R1):
            raise UsageError("the client certificate must carry a P-256 key")
        self._public = public
        numbers = public.public_numbers()
        super().__init__(numbers.x, numbers.y, "NIST256p")
        self.private_key = SimpleNamespace(curve=NIST256p)  # TLS 1.2 asks for .curve.baselen
        self._operations = operations

    def hasPrivateKey(self) -> bool:  # noqa: D102
        return True

    def _sign(self, data: bytes, hAlg: str) -> bytearray:
        if hAlg != "sha256" or len(data) != 32:
            raise UsageError(f"the element signs 32 bytes of SHA-256, not {len(data)} of {hAlg}")
        return bytearray(der_signature(self._operations.sign(bytes(data))))

    def _verify(self, signature: bytes, hash_bytes: bytes) -> bool:
        return _software_verify(self._public, bytes(hash_bytes), bytes(signature))


class RsaClientKey(Python_RSAKey):  # type: ignore[misc]
    """An RSA client key in software; reports each signature."""

    def __init__(self, private: rsa.RSAPrivateKey, operations: Operations) -> None:
        numbers = private.private_numbers()
        public = numbers.public_numbers
        super().__init__(
            public.n, public.e, numbers.d, numbers.p, numbers.q, numbers.dmp1, numbers.dmq1, numbers.iqmp
        )
        self._operations = operations

    def sign(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401, D102
        signature = super().sign(*args, **kwargs)
        self._operations.report("rsa-sign", "software", "certificate verify", len(self))
        return signature


class _ServerEcKey(Python_ECDSAKey):  # type: ignore[misc]
    """The server's P-256 key: its signature is verified where the board verifies."""

    def __init__(self, key: Any, operations: Operations) -> None:  # noqa: ANN401
        point = key.public_key.pubkey.point
        super().__init__(point.x(), point.y(), "NIST256p")
        self._point = point.x().to_bytes(32, "big") + point.y().to_bytes(32, "big")
        self._operations = operations

    def _verify(self, signature: bytes, hash_bytes: bytes) -> bool:
        try:
            raw = raw_signature(bytes(signature))
        except ValueError:
            return False
        return self._operations.verify(self._point, bytes(hash_bytes), raw, "server signature")


class _ServerRsaKey:
    """The server's RSA key: verifies in software, reports it."""

    def __init__(self, key: Any, operations: Operations) -> None:  # noqa: ANN401
        self._key = key
        self._operations = operations

    def verify(self, *args: Any, **kwargs: Any) -> bool:  # noqa: ANN401
        good = bool(self._key.verify(*args, **kwargs))
        self._operations.report("rsa-verify", "software", "server signature", len(self._key), ok=good)
        return good


class _KeyExchange12(ECDHE_RSAKeyExchange):  # type: ignore[misc]
    """ECDHE of TLS 1.2 (RSA and ECDSA suites) with the element's key."""

    def __init__(self, original: Any, operations: Operations) -> None:  # noqa: ANN401
        super().__init__(
            original.cipherSuite,
            original.clientHello,
            original.serverHello,
            original.privateKey,
            original.acceptedCurves,
        )
        self._operations = operations

    def processServerKeyExchange(self, srvPublicKey: Any, serverKeyExchange: Any) -> bytearray:  # noqa: ANN401
        if serverKeyExchange.named_curve not in self.acceptedCurves:
            raise TLSIllegalParameterException("Server picked a curve we did not offer")
        peer = _checked_point(serverKeyExchange.ecdh_Ys)
        self.ecdhYc = bytearray(b"\x04" + self._operations.new_key())
        return bytearray(self._operations.agree(peer))


class _ServerKeyExchange12(ECDHE_RSAKeyExchange):  # type: ignore[misc]
    """The server's half of ECDHE in TLS 1.2."""

    def __init__(self, original: Any, operations: Operations) -> None:  # noqa: ANN401
        super().__init__(
            original.cipherSuite,
            original.clientHello,
            original.serverHello,
            original.privateKey,
            original.acceptedCurves,
        )
        self._operations = operations

    def makeServerKeyExchange(self, sigHash: Any = None) -> Any:  # noqa: ANN401
        message = ServerKeyExchange(self.cipherSuite, self.serverHello.server_version)
        message.createECDH(
            ECCurveType.named_curve,
            named_curve=GroupName.secp256r1,
            point=bytearray(b"\x04" + self._operations.new_key()),
        )
        self.signServerKeyExchange(message, sigHash)
        return message

    def processClientKeyExchange(self, clientKeyExchange: Any) -> bytearray:  # noqa: ANN401
        return bytearray(self._operations.agree(_checked_point(clientKeyExchange.ecdh_Yc)))


class _KeyExchange13:
    """The second half of TLS 1.3's key share; the key itself was made in ``_genKeyShareEntry``."""

    def __init__(self, operations: Operations) -> None:
        self._operations = operations

    def calc_shared_key(self, private: None, peer_share: bytes) -> bytearray:
        return bytearray(self._operations.agree(_checked_point(peer_share)))


class _Gcm:
    """AES-GCM by OpenSSL in the place of tlslite's, which is pure Python and takes half of a handshake."""

    isBlockCipher = False
    isAEAD = True
    nonceLength = 12
    tagLength = 16
    implementation = "cryptography"

    def __init__(self, key: bytes, name: str) -> None:
        self.key = key
        self.name = name
        self._cipher = AESGCM(bytes(key))

    def seal(self, nonce: bytes, plaintext: bytes, data: bytes) -> bytearray:
        return bytearray(self._cipher.encrypt(bytes(nonce), bytes(plaintext), bytes(data)))

    def open(self, nonce: bytes, ciphertext: bytes, data: bytes) -> bytearray | None:
        try:
            return bytearray(self._cipher.decrypt(bytes(nonce), bytes(ciphertext), bytes(data)))
        except InvalidTag:
            return None


class _Hooked(TLSConnection):  # type: ignore[misc]
    """What client and server have in common."""

    def __init__(self, transport: object, operations: Operations) -> None:
        super().__init__(transport)
        self._operations = operations

    def _genKeyShareEntry(self, group: int, version: tuple[int, int]) -> Any:  # noqa: ANN401
        assert group == GroupName.secp256r1, "only P-256 is offered"
        share = bytearray(b"\x04" + self._operations.new_key())
        return KeyShareEntry().create(group, share, None)

    def _getKEX(self, group: int, version: tuple[int, int]) -> _KeyExchange13:
        return _KeyExchange13(self._operations)

    def _sendMsgThroughSocket(self, msg: Any) -> Iterator[Any]:  # noqa: ANN401
        protected = self._recordLayer._writeState.encContext is not None
        if protected and msg.contentType != ContentType.change_cipher_spec:
            self._operations.report("record", "software", "sent", len(msg.write()))
        yield from super()._sendMsgThroughSocket(msg)

    def _getNextRecordFromSocket(self) -> Iterator[Any]:
        for result in super()._getNextRecordFromSocket():
            if result not in (0, 1) and self._recordLayer._readState.encContext is not None:
                header, parser = result
                if header.type != ContentType.change_cipher_spec:
                    self._operations.report("record", "software", "received", len(parser.bytes))
            yield result

    def _changeWriteState(self) -> None:
        super()._changeWriteState()
        _speed_up(self._recordLayer._writeState)

    def _changeReadState(self) -> None:
        super()._changeReadState()
        _speed_up(self._recordLayer._readState)

    def _shutdown(self, resumable: bool) -> None:
        self.sock._write_queue.clear()
        super()._shutdown(resumable)

    @property
    def buffered(self) -> int:
        """Bytes that arrived and were not handed out: decrypted ones, and raw ones."""
        return len(self._readBuffer) + len(self.sock._read_buffer)


class HookedConnection(_Hooked):
    """A client connection that asks ``operations`` and ``judge`` instead of computing itself.

    Args:
        transport: socket face.
        operations: does sign, ECDH, verify and random.
        judge: called with the server's chain (DER, leaf first) before anything is signed;
            raises :class:`ServerChainError` to refuse.
    """

    def __init__(
        self, transport: object, operations: Operations, judge: Callable[[list[bytes]], None]
    ) -> None:
        super().__init__(transport, operations)
        self.refusal: ServerChainError | None = None
        self._judge = judge
        self._hello_sent = False

    # -- key exchange --------------------------------------------------------------------------

    def _clientKeyExchange(self, *args: Any) -> Iterator[Any]:  # noqa: ANN401
        *others, exchange = args
        yield from super()._clientKeyExchange(*others, _KeyExchange12(exchange, self._operations))

    def _clientTLS13Handshake(self, *args: Any) -> Iterator[Any]:  # noqa: ANN401
        try:  # tlslite drops the connection here without an alert
            yield from super()._clientTLS13Handshake(*args)
        except TLSDecryptionFailed as error:
            yield from self._sendError(AlertDescription.decrypt_error, str(error))
        except TLSIllegalParameterException as error:
            yield from self._sendError(AlertDescription.illegal_parameter, str(error))

    # -- trust before the signature ------------------------------------------------------------

    def _clientGetKeyFromChain(
        self,
        certificate: Any,  # noqa: ANN401
        settings: Any,  # noqa: ANN401
        tack_ext: Any = None,  # noqa: ANN401
    ) -> Iterator[Any]:
        if certificate.cert_chain:
            try:
                self._judge([bytes(one.bytes) for one in certificate.cert_chain.x509List])
            except ServerChainError as refusal:
                self.refusal = refusal
                alert = getattr(AlertDescription, refusal.alert)
                yield from self._sendError(alert, refusal.message)
        result: Any = None
        for result in super()._clientGetKeyFromChain(certificate, settings, tack_ext):
            if result in (0, 1):
                yield result
        key, chain, tack = result
        wrap = _ServerEcKey if key.key_type == "ecdsa" else _ServerRsaKey
        self.sock.buffer_writes = True
        yield wrap(key, self._operations), chain, tack

    # -- what leaves ---------------------------------------------------------------------------

    def _sendMsg(self, msg: Any, *args: Any, **kwargs: Any) -> Iterator[Any]:  # noqa: ANN401
        if isinstance(msg, ClientHello):
            self._shape_hello(msg)
        yield from super()._sendMsg(msg, *args, **kwargs)

    def _shape_hello(self, hello: Any) -> None:  # noqa: ANN401
        self._client_keypair = None
        hello.extensions = [e for e in hello.extensions if e.extType != ExtensionType.post_handshake_auth]
        if self._hello_sent:  # after a HelloRetryRequest the values stay
            return
        self._hello_sent = True
        hello.random = bytearray(self._operations.random(32))
        if hello.session_id:
            hello.session_id = bytearray(self._operations.random(32))


class HookedServer(_Hooked):
    """A server connection whose signature and ECDH come from ``operations``."""

    def _serverCertKeyExchange(self, *args: Any) -> Iterator[Any]:  # noqa: ANN401
        changed = list(args)
        changed[SERVER_KEY_EXCHANGE] = _ServerKeyExchange12(args[SERVER_KEY_EXCHANGE], self._operations)
        yield from super()._serverCertKeyExchange(*changed)

    def _serverTLS13Handshake(self, *args: Any) -> Iterator[Any]:  # noqa: ANN401
        """Here tlslite compares the client's application protocols with the server's, even if it has none."""
        changed = list(args)
        changed[SERVER_PROTOCOLS] = args[SERVER_PROTOCOLS] or []
        yield from super()._serverTLS13Handshake(*changed)


def _speed_up(state: Any) -> None:  # noqa: ANN401
    if state.encContext is not None and state.encContext.name == "aes128gcm":
        state.encContext = _Gcm(state.encContext.key, state.encContext.name)


def _checked_point(share: bytes) -> bytes:
    """The 64 bytes of an uncompressed point of P-256.

    Raises:
        TLSIllegalParameterException: it is none; an element must never be asked to multiply it.
    """
    try:
        if len(share) != 65 or share[0] != 0x04:
            raise UsageError("a key share must be an uncompressed point")
        load_point(bytes(share[1:]))
    except UsageError as error:
        raise TLSIllegalParameterException(f"Invalid ECC point: {error.message}") from error
    return bytes(share[1:])


def _software_verify(public: ec.EllipticCurvePublicKey, digest: bytes, der: bytes) -> bool:
    try:
        public.verify(der, digest, ec.ECDSA(Prehashed(SHA256())))
    except InvalidSignature:
        return False
    return True
