"""Amazon's own client library, awscrt, against the local endpoint on a real port, with file keys."""

from __future__ import annotations

import queue
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from hil.clock import Calendar
from hil.cloud.local.endpoint import ALPN_MQTT, Endpoint
from hil.cloud.local.pki import ServerPki
from hil.cloud.local.serving import ServedEndpoint
from hil.cloud.registry import MemoryRegistry
from tests.conformance.peers import CLOCK
from tests.unit.tls_rig import ACCOUNT, HOST, REGION, Device, make_device, record

if TYPE_CHECKING:
    from collections.abc import Iterator

io = pytest.importorskip("awscrt.io", reason="awscrt is not installed")
mqtt = pytest.importorskip("awscrt.mqtt", reason="awscrt is not installed")

PATIENCE_S = 20
BLINDING_S = 30


@pytest.fixture(scope="module")
def pki() -> ServerPki:
    return ServerPki(HOST, Calendar(), names=("localhost",))


@pytest.fixture(scope="module")
def device() -> Device:
    return make_device()


@pytest.fixture
def registry(device: Device) -> MemoryRegistry:
    return MemoryRegistry([record(device)])


@pytest.fixture
def served(pki: ServerPki, registry: MemoryRegistry) -> Iterator[ServedEndpoint]:
    def make() -> Endpoint:
        return Endpoint(registry, pki, account=ACCOUNT, region=REGION, host=HOST, names=("localhost",))

    with ServedEndpoint(make) as served:
        yield served


def connection(served: ServedEndpoint, pki: ServerPki, device: Device, **options: Any) -> Any:
    tls = io.TlsContextOptions.create_client_with_mtls(device.pem(), device.key_pem())
    tls.override_default_trust_store(pki.root("ec").public_bytes(Encoding.PEM))
    for name, value in options.items():
        setattr(tls, name, value)
    group = io.EventLoopGroup(1)
    bootstrap = io.ClientBootstrap(group, io.DefaultHostResolver(group))
    client = mqtt.Client(bootstrap, io.ClientTlsContext(tls))
    return mqtt.Connection(
        client=client, host_name="localhost", port=served.port, client_id="crt", clean_session=True,
        keep_alive_secs=30,
    )  # fmt: skip


def test_it_connects_subscribes_and_hears_itself(
    served: ServedEndpoint, pki: ServerPki, device: Device
) -> None:
    heard: queue.Queue[tuple[str, bytes]] = queue.Queue()
    crt = connection(served, pki, device)
    crt.connect().result(PATIENCE_S)
    subscribed, _ = crt.subscribe(
        topic="up/+", qos=mqtt.QoS.AT_LEAST_ONCE,
        callback=lambda topic, payload, **_: heard.put((topic, bytes(payload))),
    )  # fmt: skip
    assert subscribed.result(PATIENCE_S)["qos"] == mqtt.QoS.AT_LEAST_ONCE
    published, _ = crt.publish(topic="up/1", payload=b"hello", qos=mqtt.QoS.AT_LEAST_ONCE)
    published.result(PATIENCE_S)
    assert heard.get(timeout=PATIENCE_S) == ("up/1", b"hello")
    crt.disconnect().result(PATIENCE_S)
    log = served.endpoint.logs[0]
    deadline = CLOCK.now + PATIENCE_S * 1_000_000
    while log.closed_us is None and CLOCK.now < deadline:
        CLOCK.sleep(10_000)  # the endpoint hears of it in its own thread
    assert (log.verdict, log.client_id) == ("accepted", "crt")
    assert log.reason == "the client sent DISCONNECT"


def test_it_agrees_on_amazons_application_protocol(
    served: ServedEndpoint, pki: ServerPki, device: Device
) -> None:
    crt = connection(served, pki, device, alpn_list=[ALPN_MQTT])
    crt.connect().result(PATIENCE_S)
    crt.disconnect().result(PATIENCE_S)
    hello = served.endpoint.logs[0].hello
    assert hello is not None
    assert hello.alpn == (ALPN_MQTT,)


def test_an_inactive_certificate_is_refused(
    served: ServedEndpoint, pki: ServerPki, device: Device, registry: MemoryRegistry
) -> None:
    registry.records[device.id] = record(device, status="INACTIVE")
    crt = connection(served, pki, device)
    with pytest.raises(Exception, match="AWS_ERROR_MQTT_UNEXPECTED_HANGUP"):
        crt.connect().result(PATIENCE_S)
    assert "INACTIVE" in served.endpoint.logs[0].reason


@pytest.mark.long
def test_it_refuses_a_server_of_another_root(served: ServedEndpoint, device: Device) -> None:
    """Its TLS library s2n lets 10 to 30 s pass before it says so, lest the time tell what it disliked."""
    foreign = ServerPki(HOST, Calendar(), names=("localhost",))
    crt = connection(served, foreign, device)
    with pytest.raises(Exception, match="AWS_IO_TLS"):
        crt.connect().result(BLINDING_S + PATIENCE_S)
    assert served.endpoint.logs[0].version is None
