"""Our TLS server against foreign clients: the standard library's OpenSSL and ``openssl s_client``."""

from __future__ import annotations

import socket
import ssl
import subprocess
import threading
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from hil.clock import Calendar
from hil.cloud.local.pki import ServerPki
from hil.tls.key import Offload
from hil.tls.server import accept
from hil.tls.stream import SocketStream
from tests.conformance.peers import CLOCK, needs_openssl
from tests.unit.tls_rig import CountingKey, make_device

if TYPE_CHECKING:
    from pathlib import Path

VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}


@pytest.fixture(scope="module")
def pki() -> ServerPki:
    return ServerPki("localhost", Calendar())


class Server:
    """Serves one client in a thread: answers in capitals."""

    def __init__(self, pki: ServerPki, version: str, *, request_client: bool = False) -> None:
        chain = pki.chain()
        assert isinstance(chain.key, ec.EllipticCurvePrivateKey)
        self.key = CountingKey(chain.key)
        self.chain = [one.public_bytes(Encoding.DER) for one in chain.certificates]
        self.shown: list[bytes] = []
        self._version: Any = version
        self._request_client = request_client
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self._thread = threading.Thread(target=self._serve)

    def _serve(self) -> None:
        raw, _ = self._socket.accept()
        connection = accept(
            SocketStream(raw, CLOCK),
            chain=self.chain,
            offload=Offload(sign=self.key),
            versions=[self._version],
            request_client=self._request_client,
            deadline=CLOCK.now + 10_000_000,
        )
        self.shown = [one.public_bytes(Encoding.DER) for one in connection.peer_chain]
        while data := connection.recv(deadline=CLOCK.now + 10_000_000):
            connection.send(data.upper())
        connection.close()

    def __enter__(self) -> Server:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.join(15)
        self._socket.close()
        assert not self._thread.is_alive()


@pytest.mark.parametrize("version", ["1.2", "1.3"])
@pytest.mark.parametrize("request_client", [False, True])
def test_the_standard_librarys_client(
    pki: ServerPki, tmp_path: Path, version: str, request_client: bool
) -> None:
    device = make_device("client")
    (tmp_path / "device.pem").write_bytes(device.pem())
    (tmp_path / "device.key").write_bytes(device.key_pem())
    context = ssl.create_default_context(cadata=pki.root().public_bytes(Encoding.PEM).decode())
    context.minimum_version = context.maximum_version = VERSIONS[version]
    context.load_cert_chain(tmp_path / "device.pem", tmp_path / "device.key")
    with Server(pki, version, request_client=request_client) as server:
        raw = socket.create_connection(("127.0.0.1", server.port), timeout=10)
        with context.wrap_socket(raw, server_hostname="localhost") as client:
            client.sendall(b"hello")
            assert client.recv(100) == b"HELLO"
    assert len(server.key.digests) == 1
    assert server.shown == ([device.der] if request_client else [])


@needs_openssl
@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_openssl_s_client(pki: ServerPki, tmp_path: Path, version: str) -> None:
    (tmp_path / "root.pem").write_bytes(pki.root().public_bytes(Encoding.PEM))
    with Server(pki, version) as server:
        result = subprocess.run(
            [
                "openssl", "s_client", "-connect", f"127.0.0.1:{server.port}", "-servername", "localhost",
                "-CAfile", str(tmp_path / "root.pem"), "-verify_return_error",
                "-verify_hostname", "localhost",
            ],
            input=b"", capture_output=True, timeout=20,
        )  # fmt: skip
    assert b"Verify return code: 0 (ok)" in result.stdout
    assert f"TLSv{version}".encode() in result.stdout
    assert len(server.key.digests) == 1
