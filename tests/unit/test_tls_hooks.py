"""What we rely on inside of tlslite-ng: each hook exists in the pinned version and is called as we think."""

from __future__ import annotations

import inspect
from importlib.metadata import version
from typing import Any

import pytest
from tlslite.bufferedsocket import BufferedSocket
from tlslite.keyexchange import ECDHE_RSAKeyExchange
from tlslite.messages import Alert
from tlslite.recordlayer import RecordLayer
from tlslite.tlsconnection import TLSConnection
from tlslite.utils.python_ecdsakey import Python_ECDSAKey

from hil.tls import tlslite_hooks
from hil.tls.tlslite_hooks import HookedConnection, TLSLocalAlert, settings


def test_the_version_is_the_pinned_one() -> None:
    assert version("tlslite-ng") == "0.8.2"


SIGNATURES: list[tuple[Any, str, str]] = [
    (
        TLSConnection,
        "handshakeClientCert",
        "self certChain privateKey session settings checker nextProtos reqTack serverName async_ alpn",
    ),
    (TLSConnection, "_clientGetKeyFromChain", "self certificate settings tack_ext"),
    (
        TLSConnection,
        "_clientTLS13Handshake",
        "self settings session clientHello clientCertChain privateKey serverHello",
    ),
    (
        TLSConnection,
        "_clientKeyExchange",
        "self settings cipherSuite clientCertChain privateKey certificateType tackExt clientRandom"
        " serverRandom keyExchange",
    ),
    (TLSConnection, "_genKeyShareEntry", "group version"),
    (TLSConnection, "_getKEX", "group version"),
    (TLSConnection, "_sendMsg", "self msg randomizeFirstBlock update_hashes"),
    (TLSConnection, "_sendMsgThroughSocket", "self msg"),
    (TLSConnection, "_getNextRecordFromSocket", "self"),
    (TLSConnection, "_sendError", "self alertDescription errorStr"),
    (TLSConnection, "_shutdown", "self resumable"),
    (TLSConnection, "readAsync", "self max min"),
    (TLSConnection, "writeAsync", "self s"),
    (TLSConnection, "closeAsync", "self"),
    (
        ECDHE_RSAKeyExchange,
        "__init__",
        "self cipherSuite clientHello serverHello privateKey acceptedCurves defaultCurve",
    ),
    (ECDHE_RSAKeyExchange, "processServerKeyExchange", "self srvPublicKey serverKeyExchange"),
    (Python_ECDSAKey, "__init__", "self x y curve_name secret_multiplier"),
    (Python_ECDSAKey, "_sign", "self data hAlg"),
    (Python_ECDSAKey, "_verify", "self signature hash_bytes"),
]


@pytest.mark.parametrize(("owner", "name", "parameters"), SIGNATURES, ids=lambda one: str(one)[:24])
def test_what_we_override_or_call_has_these_parameters(owner: Any, name: str, parameters: str) -> None:
    assert list(inspect.signature(getattr(owner, name)).parameters) == parameters.split()


@pytest.mark.parametrize(
    ("method", "before", "after"),
    [
        # the chain is judged before the signature of the key exchange is verified and before ours is made
        (TLSConnection._clientKeyExchange, "_clientGetKeyFromChain", "verifyServerKeyExchange"),
        (TLSConnection._clientKeyExchange, "_clientGetKeyFromChain", "makeCertificateVerify"),
        (TLSConnection._clientTLS13Handshake, "_clientGetKeyFromChain", "sig_func("),
        # our own signature is checked before it is sent
        (TLSConnection._clientTLS13Handshake, "ver_func(signature", "self._sendMsg(certificate_verify)"),
    ],
)
def test_the_order_of_steps_inside_the_handshake(method: Any, before: str, after: str) -> None:
    source = inspect.getsource(method)
    assert 0 < source.index(before) < source.index(after)


def test_the_state_we_look_into_exists() -> None:
    connection = HookedConnection(object(), None, lambda chain: None)  # type: ignore[arg-type]
    assert isinstance(connection.sock, BufferedSocket)
    assert connection.buffered == 0
    assert not connection.sock._write_queue
    assert isinstance(connection._recordLayer, RecordLayer)
    assert connection._recordLayer._writeState.encContext is None
    assert connection._recordLayer._readState.encContext is None
    assert connection._client_keypair is None


def test_a_local_alert_still_cannot_always_be_printed() -> None:
    alert = TLSLocalAlert(Alert().create(80, 2), ValueError("an exception as message"))
    with pytest.raises(TypeError):
        str(alert)


def test_the_settings_are_valid_and_say_what_an_element_can_do() -> None:
    valid = settings(["1.3", "1.2"]).validate()
    assert (valid.minVersion, valid.maxVersion, valid.versions) == ((3, 3), (3, 4), [(3, 4), (3, 3)])
    assert valid.cipherNames == ["aes128gcm"]
    assert valid.eccCurves == valid.keyShares == ["secp256r1"]
    assert valid.ecdsaSigHashes == valid.rsaSigHashes == ["sha256"]
    assert valid.certificate_compression_send == valid.certificate_compression_receive == []


def test_importing_the_hooks_hides_the_packages_warnings_only() -> None:
    source = inspect.getsource(tlslite_hooks)
    assert source.count("simplefilter") == 1
    assert "DeprecationWarning" in source
