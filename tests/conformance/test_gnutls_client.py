"""The second client, GnuTLS, where it is installed: the same peers, the same refusals, one signature."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from hil.clock import Calendar, World
from hil.cloud.local.faults import Fault
from hil.cloud.local.pki import ServerPki
from hil.errors import DeviceError
from hil.tls import gnutls
from hil.tls.alerts import ServerChainError, TlsError
from hil.wire.mqtt import ConnAck, Connect, Decoder, Disconnect, encode
from tests.conformance.peers import CLOCK, dial, mosquitto, needs_mosquitto, write_pki
from tests.unit.tls_rig import HOST, NOW, RTT, Bench, CountingKey, Device, make_device, record

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from hil.tls.connection import Version
    from hil.tls.stream import ByteStream

pytestmark = pytest.mark.skipif(not gnutls.available(), reason="libgnutls is not installed")


@pytest.fixture(scope="module")
def pki() -> ServerPki:
    return ServerPki(HOST, Calendar(NOW))


@pytest.fixture(scope="module")
def device() -> Device:
    return make_device()


@pytest.fixture
def bench(pki: ServerPki, device: Device) -> Iterator[Bench]:
    with World() as world:
        bench = Bench(world, pki)
        bench.registry.records[device.id] = record(device)
        yield bench


def key_of(device: Device) -> CountingKey:
    return CountingKey(device.key)  # type: ignore[arg-type]


def open_tls(
    stream: ByteStream,
    pki: ServerPki,
    device: Device,
    key: CountingKey,
    version: Version,
    *,
    kind: str = "ec",
    now: float | None = NOW,
    deadline: int | None = None,
) -> gnutls.GnutlsConnection:
    return gnutls.connect(
        stream,
        server_name=HOST,
        roots=[pki.root("rsa" if kind == "rsa" else "ec")],
        chain=device.chain,
        sign=key,
        calendar=Calendar(now),
        versions=[version],
        deadline=deadline,
    )


@pytest.mark.parametrize(("version", "round_trips"), [("1.2", 4), ("1.3", 3)])
@pytest.mark.parametrize("kind", ["ec", "rsa"])
def test_it_connects_to_the_endpoint_in_the_same_virtual_time(
    bench: Bench, device: Device, version: Version, round_trips: int, kind: str
) -> None:
    bench.endpoint.faults = lambda _: frozenset({Fault.RSA_CHAIN} if kind == "rsa" else ())
    key = key_of(device)
    stream = bench.network.connect(HOST, 8883)
    connection = open_tls(stream, bench.endpoint.pki, device, key, version, kind=kind)
    connection.send(encode(Connect("gnutls")))
    assert list(Decoder().feed(connection.recv())) == [ConnAck(0)]
    assert bench.world.now == round_trips * RTT
    assert (connection.version, len(key.digests)) == (version, 1)
    assert connection.cipher.endswith("AES_128_GCM_SHA256")
    assert connection.server_chain == bench.endpoint.pki.chain("rsa" if kind == "rsa" else "ec").certificates
    assert not connection.wait_readable(bench.world.now + 1_000)
    connection.send(encode(Disconnect()))
    assert connection.recv() == b""
    assert connection.ended == "close-notify"
    connection.close()
    connection.close()


@pytest.mark.parametrize("version", ["1.2", "1.3"])
@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (Fault.WRONG_NAME, "wrong-name"),
        (Fault.UNKNOWN_CA, "unknown-ca"),
        (Fault.EXPIRED_CERTIFICATE, "expired"),
    ],
)
def test_a_bad_server_is_refused_before_anything_is_signed(
    bench: Bench, device: Device, version: Version, fault: Fault, reason: str
) -> None:
    bench.endpoint.faults = lambda _: frozenset({fault})
    key = key_of(device)
    with pytest.raises(ServerChainError) as caught:
        open_tls(bench.network.connect(HOST, 8883), bench.endpoint.pki, device, key, version)
    assert caught.value.reason == reason
    assert key.digests == []


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_an_error_of_the_element_comes_out_unchanged(bench: Bench, device: Device, version: Version) -> None:
    class Broken(CountingKey):
        def sign_digest(self, digest: bytes) -> bytes:
            raise DeviceError("Sign: status 0x0F (execution error)")

    key = Broken(device.key)  # type: ignore[arg-type]
    with pytest.raises(DeviceError, match="0x0F"):
        open_tls(bench.network.connect(HOST, 8883), bench.endpoint.pki, device, key, version)


def test_the_peers_alert_and_the_deadline_are_told(bench: Bench, device: Device) -> None:
    bench.network.listen("mute", 8883, lambda link: lambda data: None)
    bench.network.listen("deaf", 8883, lambda link: lambda data: link.send(bytes.fromhex("15030300020250")))
    stream = bench.network.connect("mute", 8883)
    with pytest.raises(TlsError, match="deadline"):
        open_tls(
            stream, bench.endpoint.pki, device, key_of(device), "1.2", deadline=bench.world.now + 500_000
        )
    with pytest.raises(TlsError) as caught:
        open_tls(bench.network.connect("deaf", 8883), bench.endpoint.pki, device, key_of(device), "1.2")
    assert (caught.value.alert, caught.value.by) == ("internal_error", "peer")


@needs_mosquitto
@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_it_connects_to_mosquitto(tmp_path: Path, device: Device, version: Version) -> None:
    pki, key = ServerPki(HOST, Calendar()), key_of(device)
    write_pki(tmp_path, pki.chain(), device)
    with mosquitto(tmp_path, version) as broker:
        connection = open_tls(dial(broker.port), pki, device, key, version, now=None)
        connection.send(encode(Connect("gnutls")))
        answer = connection.recv(deadline=CLOCK.now + 10_000_000)
        connection.close()
    assert list(Decoder().feed(answer)) == [ConnAck(0)]
    assert len(key.digests) == 1
