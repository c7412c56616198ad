"""Our TLS client against ``openssl s_server``: both versions, EC and RSA chains, and refusals."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from hil.clock import Calendar
from hil.cloud.local.pki import ServerPki
from hil.tls.alerts import ServerChainError, TlsError
from hil.tls.client import TlsConnection, connect
from hil.tls.key import Offload
from tests.conformance.peers import CLOCK, dial, needs_openssl, s_server, write_pki
from tests.unit.tls_rig import CountingKey, Device, make_device

if TYPE_CHECKING:
    from pathlib import Path

    from hil.cloud.local.pki import ChainKind, Variant
    from hil.tls.client import Version

pytestmark = needs_openssl
HOST = "server.example"
TODAY = Calendar()


@pytest.fixture(scope="module")
def pki() -> ServerPki:
    return ServerPki(HOST, TODAY)


@pytest.fixture(scope="module")
def device() -> Device:
    return make_device()


def open_tls(
    port: int,
    pki: ServerPki,
    device: Device,
    version: Version,
    kind: ChainKind,
    key: CountingKey | None = None,
) -> TlsConnection:
    return connect(
        dial(port),
        server_name=HOST,
        roots=[pki.root(kind)],
        chain=device.chain,
        offload=Offload(sign=key) if key else device.offload(),
        calendar=TODAY,
        versions=[version],
        deadline=CLOCK.now + 10_000_000,
    )


@pytest.mark.parametrize("version", ["1.2", "1.3"])
@pytest.mark.parametrize("kind", ["ec", "rsa"])
@pytest.mark.parametrize("use_rsa", [False, True], ids=["ec-client", "rsa-client"])
def test_a_session_with_s_server(
    tmp_path: Path, pki: ServerPki, version: Version, kind: ChainKind, use_rsa: bool
) -> None:
    device = make_device(use_rsa=use_rsa)
    write_pki(tmp_path, pki.chain(kind), device)
    with s_server(tmp_path, version) as server:
        connection = open_tls(server.port, pki, device, version, kind)
        connection.send(b"hello\n")
        received = b""
        while len(received) < 6:
            received += connection.recv(deadline=CLOCK.now + 10_000_000)
        connection.close()
    assert received == b"olleh\n"
    assert (connection.version, connection.server_chain) == (version, pki.chain(kind).certificates)
    assert sum(one.name in ("sign", "rsa-sign") for one in connection.operations) == 1


@pytest.mark.parametrize("version", ["1.2", "1.3"])
@pytest.mark.parametrize(
    ("variant", "reason", "words"),
    [
        ("wrong-name", "wrong-name", "bad certificate"),
        ("unknown-ca", "unknown-ca", "unknown ca"),
        ("expired", "expired", "certificate expired"),
    ],
)
def test_a_bad_server_is_refused_before_anything_is_signed(
    tmp_path: Path, pki: ServerPki, version: Version, variant: Variant, reason: str, words: str
) -> None:
    device = make_device()
    key = CountingKey(device.key)  # type: ignore[arg-type]
    write_pki(tmp_path, pki.chain("ec", variant), device)
    with s_server(tmp_path, version) as server:
        with pytest.raises(ServerChainError) as caught:
            open_tls(server.port, pki, device, version, "ec", key)
        dial(server.port).close()  # served after the first, so the server has seen its alert by now
        deadline = CLOCK.now + 10_000_000
        while words not in server.output() and CLOCK.now < deadline:
            CLOCK.sleep(10_000)
        assert f"alert {words}" in server.output()
    assert caught.value.reason == reason
    assert key.digests == []


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_a_client_that_the_server_does_not_know_reads_its_alert(
    tmp_path: Path, pki: ServerPki, device: Device, version: Version
) -> None:
    write_pki(tmp_path, pki.chain(), make_device("stranger", signer="another test signer"))

    def use() -> None:
        connection = open_tls(server.port, pki, device, version, "ec")
        connection.recv(deadline=CLOCK.now + 10_000_000)  # TLS 1.3 tells it here

    with s_server(tmp_path, version) as server, pytest.raises(TlsError) as caught:
        use()
    assert (caught.value.alert, caught.value.by) == ("unknown_ca", "peer")
