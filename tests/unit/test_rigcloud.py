"""The cloud of a rig with a physical board: where its endpoint listens and what the board is told."""

from __future__ import annotations

import socket
import ssl
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from hil import rigfile
from hil.clock import Calendar, WallClock
from hil.cloud.local.server import LocalCloudServer
from hil.errors import ConfigError, PortError, UsageError
from hil.rig.cloud import RigCloud
from hil.tls.software import SoftwareKey
from hil.wire.mqtt import ConnAck, Connect, encode
from tests.conformance.peers import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from hil.cloud.registration import Registration
    from hil.element.device import Element
    from hil.rig.rig import Rig

PATIENCE_S = 20
FILE = """\
rig: bench
board: {kind: mongoose-os, mcu: esp8266, port: /dev/ttyUSB0}
element: {part: atecc508a, state: blank}
"""


@dataclass
class PhysicalBench:
    """As much of a rig as its cloud looks at; nothing is opened."""

    file: rigfile.RigFile
    allow_aws: str | None = None
    emulated: None = None
    calendar: Calendar = field(default_factory=Calendar)
    clock: WallClock = field(default_factory=WallClock)

    @property
    def name(self) -> str:
        return self.file.rig


def cloud_of(folder: Path, settings: str) -> RigCloud:
    path = folder / "bench.yaml"
    path.write_text(f"{FILE}cloud: {{{settings}}}\n", encoding="utf-8")
    return RigCloud(cast("Rig", PhysicalBench(rigfile.load(path))))


@contextmanager
def meeting(
    cloud: RigCloud, folder: Path, registration: Registration | None = None
) -> Iterator[ssl.SSLSocket]:
    """TLS with the endpoint at the address that the board is told, trusting what the board is told."""
    context = ssl.create_default_context(cadata=cloud.roots().decode())
    if registration is not None:
        (folder / "device.pem").write_text(registration.pem)
        context.load_cert_chain(folder / "device.pem", folder / "device.key")
    host, port = cloud.server.rsplit(":", 1)
    with (
        socket.create_connection((host, int(port)), timeout=PATIENCE_S) as raw,
        context.wrap_socket(raw, server_hostname=host) as tls,
    ):
        yield tls


def registered(cloud: RigCloud, folder: Path) -> Registration:
    key = ec.generate_private_key(ec.SECP256R1())
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    (folder / "device.key").write_bytes(pem)
    return cloud.register_file_key(key, thing="board")


@pytest.fixture(params=["moto", "moto-server"])
def stand_in(request: pytest.FixtureRequest) -> Iterator[str]:
    """Settings of each stand-in for AWS."""
    if request.param == "moto":
        yield "mode: moto"
    else:
        with LocalCloudServer() as server:
            yield f"mode: moto-server, endpoint_url: '{server.url}'"


def test_listen_lets_a_registered_board_in_until_its_certificate_is_deactivated(
    stand_in: str, tmp_path: Path
) -> None:
    port = free_port()
    listening = f"listen: '127.0.0.1:{port}', data_endpoint: 'localhost:{port}'"
    with cloud_of(tmp_path, f"{stand_in}, {listening}, name_prefix: bench7-") as cloud:
        assert cloud.serves
        registration = registered(cloud, tmp_path)
        assert (registration.thing, registration.policy) == ("bench7-board", "bench7-device")
        with meeting(cloud, tmp_path, registration) as tls:
            tls.sendall(encode(Connect(registration.thing)))
            assert tls.recv(100) == encode(ConnAck(0))
            cloud.registrar.deactivate(registration.certificate_id)
            assert tls.recv(100) == b"", "the open connection is closed"
        (log,) = cloud.mqtt.connections
        assert "INACTIVE" in log.reason
        assert log.reason in cloud.evidence(0)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S)


def test_without_data_endpoint_the_board_is_told_the_address_and_has_to_send_it_as_its_server_name(
    tmp_path: Path,
) -> None:
    """As AWS does, the endpoint asks for a server name; Python sends none when the host is an address."""
    with cloud_of(tmp_path, "listen: '127.0.0.1:0'") as cloud:
        assert cloud.server.startswith("127.0.0.1:")
        with pytest.raises(ssl.SSLError, match="(?i)unrecognized.name"), meeting(cloud, tmp_path):
            pass
        assert "no server name" in cloud.mqtt.connections[0].reason


def test_data_endpoint_is_the_name_that_the_board_is_told_and_that_the_certificate_bears(
    tmp_path: Path,
) -> None:
    port = free_port()
    listening = f"listen: '127.0.0.1:{port}', data_endpoint: 'localhost:{port}'"
    with cloud_of(tmp_path, listening) as cloud:
        assert cloud.server == f"localhost:{port}"
        with meeting(cloud, tmp_path, registered(cloud, tmp_path)) as tls:
            der = tls.getpeercert(binary_form=True)
        assert der is not None
        shown = x509.load_der_x509_certificate(der).extensions
        names = {str(name.value) for name in shown.get_extension_for_class(x509.SubjectAlternativeName).value}
        assert names == {cloud.host, "localhost", "127.0.0.1"}


def test_an_address_that_is_not_this_computers_cannot_be_listened_on(tmp_path: Path) -> None:
    with (
        cloud_of(tmp_path, "listen: '192.0.2.1:8883'") as cloud,
        pytest.raises(PortError, match=r"192\.0\.2\.1:8883"),
    ):
        _ = cloud.server


def test_without_listen_a_physical_board_meets_no_endpoint_of_ours(tmp_path: Path) -> None:
    with cloud_of(tmp_path, "mode: moto") as cloud:
        assert not cloud.serves
        with pytest.raises(UsageError, match="cannot reach") as caught:
            _ = cloud.server
        assert "listen" in (caught.value.hint or "")
        assert cloud.connection_count == 0


def test_a_data_endpoint_of_somebody_elses_needs_to_be_told_its_roots(tmp_path: Path) -> None:
    with cloud_of(tmp_path, "data_endpoint: 'broker.example:8883'") as cloud:
        assert not cloud.serves
        assert cloud.server == "broker.example:8883"
        with pytest.raises(UsageError, match="which roots") as caught:
            cloud.roots()
        assert "server_roots" in (caught.value.hint or "")


@pytest.mark.parametrize("listening", ["", "listen: '127.0.0.1:0', "])
def test_server_roots_stand_beside_the_rig_file_and_come_first(tmp_path: Path, listening: str) -> None:
    (tmp_path / "roots.pem").write_bytes(b"somebody's roots")
    with cloud_of(tmp_path, listening + "server_roots: roots.pem") as cloud:
        assert cloud.roots() == b"somebody's roots"


def test_server_roots_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    with (
        cloud_of(tmp_path, "server_roots: missing.pem") as cloud,
        pytest.raises(ConfigError, match=r"missing\.pem cannot be read"),
    ):
        cloud.roots()


def test_in_mode_aws_the_roots_are_amazons(tmp_path: Path) -> None:
    cloud = cloud_of(tmp_path, "mode: aws, account_id: '111122223333'")  # not opened: nothing is asked
    names = [
        certificate.subject.rfc4514_string() for certificate in x509.load_pem_x509_certificates(cloud.roots())
    ]
    assert "CN=Amazon Root CA 1,O=Amazon,C=US" in names
    assert "CN=Amazon Root CA 3,O=Amazon,C=US" in names


# -- a registration that is used again -----------------------------------------------------------


class ElementInMemory:
    """As much of an element as registering asks for: the key of a slot, which can be replaced."""

    def __init__(self) -> None:
        self.replace_key()

    def replace_key(self) -> None:
        self.key = SoftwareKey(ec.generate_private_key(ec.SECP256R1()))

    def public_key(self, slot: int) -> bytes:
        assert slot == 0
        return self.key.public_key()

    def sign_digest(self, slot: int, digest: bytes, *, recipe: object = None) -> bytes:
        assert (slot, recipe) == (0, None)
        return self.key.sign_digest(digest)


def test_a_registration_is_used_again_while_it_stands(tmp_path: Path) -> None:
    """Deactivated or without its policy it is mended; revoked, or for another key, it is made anew."""
    fake = ElementInMemory()
    element = cast("Element", fake)
    with cloud_of(tmp_path, "mode: moto") as cloud:
        first = cloud.registered(element)
        requests: list[str] = []
        cloud.session.iot.meta.events.register(
            "before-call.iot", lambda model, **_: requests.append(model.name)
        )
        assert cloud.registered(element) is first
        assert requests == [], "nothing was asked of the control plane"

        cloud.registrar.deactivate(first.certificate_id)
        assert cloud.registered(element).certificate_id == first.certificate_id
        cloud.session.iot.detach_policy(policyName=first.policy, target=first.certificate_arn)
        assert cloud.registered(element).certificate_id == first.certificate_id
        record = cloud.session.registry.certificate(first.certificate_id)
        assert record is not None
        assert (record.status, len(record.policies)) == ("ACTIVE", 1)

        cloud.registrar.revoke(first.certificate_id)
        second = cloud.registered(element)
        assert second.certificate_id != first.certificate_id
        fake.replace_key()
        assert cloud.registered(element).certificate_id not in (first.certificate_id, second.certificate_id)
