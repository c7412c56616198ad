"""Outside programs against the local endpoint on a real port: paho, mosquitto_pub/sub, openssl, ssl."""

from __future__ import annotations

import queue
import shutil
import socket
import ssl
import subprocess
from typing import TYPE_CHECKING, Any

import paho.mqtt.client as paho
import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from paho.mqtt.enums import CallbackAPIVersion

from hil.clock import Calendar
from hil.cloud.local.endpoint import ALPN_MQTT, Endpoint
from hil.cloud.local.pki import ServerPki
from hil.cloud.registry import MemoryRegistry
from hil.wire.mqtt import ConnAck, Connect, encode
from tests.conformance.peers import CLOCK, ServedEndpoint, needs_mosquitto, needs_openssl
from tests.unit.tls_rig import ACCOUNT, HOST, REGION, Device, make_device, record

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TODAY = Calendar()


@pytest.fixture(scope="module")
def pki() -> ServerPki:
    return ServerPki(HOST, TODAY, names=("localhost", "127.0.0.1"))


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


@pytest.fixture
def files(tmp_path: Path, pki: ServerPki, device: Device) -> Path:
    """Key, certificate and server roots (EC and RSA) as files."""
    (tmp_path / "device.pem").write_bytes(device.pem())
    (tmp_path / "device.key").write_bytes(device.key_pem())
    roots = pki.root("ec").public_bytes(Encoding.PEM) + pki.root("rsa").public_bytes(Encoding.PEM)
    (tmp_path / "roots.pem").write_bytes(roots)
    return tmp_path


def context_of(files: Path, version: ssl.TLSVersion | None = None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(files / "roots.pem"))
    context.load_cert_chain(files / "device.pem", files / "device.key")
    if version is not None:
        context.minimum_version = context.maximum_version = version
    return context


VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]


@pytest.mark.parametrize("version", VERSIONS)
def test_paho_connects_subscribes_and_echoes(
    served: ServedEndpoint, files: Path, version: ssl.TLSVersion
) -> None:
    events: queue.Queue[tuple[str, Any]] = queue.Queue()
    client = paho.Client(CallbackAPIVersion.VERSION2, client_id="paho")
    client.tls_set_context(context_of(files, version))
    client.on_connect = lambda c, u, flags, reason, properties: events.put(("connect", reason.value))
    client.on_subscribe = lambda c, u, mid, reasons, properties: events.put(("subscribe", reasons[0].value))
    client.on_message = lambda c, u, message: events.put(("message", (message.topic, message.payload)))
    client.connect("localhost", served.port, keepalive=30)
    client.loop_start()
    try:
        assert events.get(timeout=10) == ("connect", 0)
        client.subscribe("up/+", qos=1)
        assert events.get(timeout=10) == ("subscribe", 1)
        client.publish("up/1", b"hello", qos=1).wait_for_publish(10)
        assert events.get(timeout=10) == ("message", ("up/1", b"hello"))
    finally:
        client.disconnect()
        client.loop_stop()
    assert served.endpoint is not None
    assert served.endpoint.logs[-1].verdict == "accepted"


def test_paho_is_told_nothing_when_its_certificate_is_inactive(
    served: ServedEndpoint, files: Path, registry: MemoryRegistry, device: Device
) -> None:
    registry.records[device.id] = record(device, status="INACTIVE")
    events: queue.Queue[str] = queue.Queue()
    client = paho.Client(CallbackAPIVersion.VERSION2, client_id="paho")
    client.tls_set_context(context_of(files))
    client.on_connect = lambda *_: events.put("connected")
    client.on_disconnect = lambda *_: events.put("disconnected")
    client.connect("localhost", served.port)
    client.loop_start()
    try:
        assert events.get(timeout=10) == "disconnected"
    finally:
        client.disconnect()
        client.loop_stop()


@needs_mosquitto
@pytest.mark.skipif(shutil.which("mosquitto_pub") is None, reason="mosquitto-clients is not installed")
def test_mosquitto_pub_reaches_mosquitto_sub(served: ServedEndpoint, files: Path) -> None:
    common = [
        "-h", "localhost", "-p", str(served.port), "--cafile", str(files / "roots.pem"),
        "--cert", str(files / "device.pem"), "--key", str(files / "device.key"), "-q", "1", "-t", "up/1",
    ]  # fmt: skip
    subscriber = subprocess.Popen(
        ["mosquitto_sub", *common, "-i", "sub", "-C", "1", "-W", "20"], stdout=subprocess.PIPE
    )
    try:
        deadline = CLOCK.now + 10_000_000
        assert served.endpoint is not None
        while (
            not served.endpoint.broker.sessions.get("sub")
            or not served.endpoint.broker.sessions["sub"].filters
        ):
            assert CLOCK.now < deadline, "mosquitto_sub did not subscribe"
            CLOCK.sleep(10_000)
        subprocess.run(["mosquitto_pub", *common, "-i", "pub", "-m", "hello"], check=True, timeout=20)
        output, _ = subscriber.communicate(timeout=20)
    finally:
        subscriber.kill()
        subscriber.wait(10)
    assert output == b"hello\n"


def mqtt_connect(connection: ssl.SSLSocket) -> bytes:
    connection.sendall(encode(Connect("probe")))
    return connection.recv(100)


def wrapped(served: ServedEndpoint, context: ssl.SSLContext, **options: Any) -> ssl.SSLSocket:
    raw = socket.create_connection(("127.0.0.1", served.port), timeout=10)
    return context.wrap_socket(raw, server_hostname="localhost", **options)


@pytest.mark.parametrize("version", VERSIONS)
def test_no_session_is_ever_resumed(served: ServedEndpoint, files: Path, version: ssl.TLSVersion) -> None:
    context = context_of(files, version)
    with wrapped(served, context) as first:
        assert mqtt_connect(first) == encode(ConnAck(0))
        session = first.session
    with wrapped(served, context, session=session) as second:
        assert not second.session_reused
        assert mqtt_connect(second) == encode(ConnAck(0))
    assert served.endpoint is not None
    assert served.endpoint.logs[1].client_chain, "the certificate was asked for again"


@needs_openssl
@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_openssl_cannot_resume_either(served: ServedEndpoint, files: Path, version: str) -> None:
    command = [
        "openssl", "s_client", "-connect", f"127.0.0.1:{served.port}", "-servername", "localhost", version,
        "-CAfile", str(files / "roots.pem"), "-cert", str(files / "device.pem"),
        "-key", str(files / "device.key"), "-verify_return_error",
    ]  # fmt: skip
    saved = ["-sess_out", str(files / "session.pem")]
    first = subprocess.run([*command, *saved], input=b"Q\n", capture_output=True, timeout=20)
    assert b"Verify return code: 0 (ok)" in first.stdout
    if (files / "session.pem").exists():
        again = [*command, "-sess_in", str(files / "session.pem")]
        second = subprocess.run(again, input=b"Q\n", capture_output=True, timeout=20)
        assert b"\nNew, TLSv1" in second.stdout
        assert b"Reused, TLSv1" not in second.stdout


def test_only_ciphers_of_aws_are_negotiated(served: ServedEndpoint, files: Path) -> None:
    context = context_of(files, ssl.TLSVersion.TLSv1_2)
    with wrapped(served, context) as connection:
        assert connection.cipher()[0] == "ECDHE-ECDSA-AES128-GCM-SHA256"  # type: ignore[index]
    context.set_ciphers("ECDHE+CHACHA20")
    with pytest.raises(ssl.SSLError, match=r"(?i)handshake.failure"):
        wrapped(served, context)


@pytest.mark.parametrize(
    ("ciphers", "common_name"),
    [("ECDHE-ECDSA-AES128-GCM-SHA256", "ECDSA"), ("ECDHE-RSA-AES128-GCM-SHA256", "RSA")],
)
def test_the_chain_follows_the_ciphers(
    served: ServedEndpoint, files: Path, ciphers: str, common_name: str
) -> None:
    context = context_of(files, ssl.TLSVersion.TLSv1_2)
    context.set_ciphers(ciphers)
    with wrapped(served, context) as connection:
        issuer = dict(pair for part in connection.getpeercert()["issuer"] for pair in part)  # type: ignore[index,misc]
        assert f"Emulated {common_name}" in issuer["commonName"]


def test_tls_1_1_is_refused(served: ServedEndpoint, files: Path) -> None:
    raw = socket.create_connection(("127.0.0.1", served.port), timeout=10)
    with raw:
        hello = bytes.fromhex("0302") + bytes(32) + bytes.fromhex("00 0004 c009 00ff 01 00")
        name = b"localhost"
        sni = len(name).to_bytes(2, "big") + name
        listed = (len(sni) + 1).to_bytes(2, "big") + b"\0" + sni
        extension = b"\0\0" + len(listed).to_bytes(2, "big") + listed
        body = hello + len(extension).to_bytes(2, "big") + extension
        message = b"\x01" + len(body).to_bytes(3, "big") + body
        raw.sendall(b"\x16\x03\x01" + len(message).to_bytes(2, "big") + message)
        assert raw.recv(7)[5:7] == bytes([2, 70]), "fatal protocol_version"


@pytest.mark.parametrize("version", VERSIONS)
def test_a_client_without_a_certificate_is_refused(
    served: ServedEndpoint, files: Path, version: ssl.TLSVersion
) -> None:
    context = ssl.create_default_context(cafile=str(files / "roots.pem"))
    context.minimum_version = context.maximum_version = version

    def use() -> None:
        with wrapped(served, context) as connection:
            mqtt_connect(connection)

    with pytest.raises(ssl.SSLError, match=r"(?i)certificate.required|handshake.failure"):
        use()
    assert served.endpoint is not None
    assert "peer did not return a certificate" in served.endpoint.logs[-1].reason


def test_alpn_is_answered(served: ServedEndpoint, files: Path) -> None:
    context = context_of(files)
    context.set_alpn_protocols(["mqtt", ALPN_MQTT])
    with wrapped(served, context) as connection:
        assert connection.selected_alpn_protocol() == ALPN_MQTT


def test_many_clients_at_once(served: ServedEndpoint, files: Path) -> None:
    context = context_of(files)
    connections = [wrapped(served, context) for _ in range(20)]
    for number, connection in enumerate(connections):
        connection.sendall(encode(Connect(f"many-{number}")))
    assert [connection.recv(100) for connection in connections] == [encode(ConnAck(0))] * 20
    for connection in connections:
        connection.close()
