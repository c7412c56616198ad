"""TLS with the key elsewhere, against the local endpoint in a world: who does what, and what is refused."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from hil.clock import Calendar, World
from hil.cloud.local.faults import Fault
from hil.cloud.local.pki import ServerPki
from hil.emulator.network import Stream
from hil.errors import DeviceError, UsageError
from hil.tls.alerts import ServerChainError, TlsError
from hil.tls.key import Offload
from hil.tls.software import SoftwareEcdh, SoftwareKey, SoftwareRandom, SoftwareVerify
from hil.wire.mqtt import ConnAck
from tests.unit.tls_rig import HOST, NOW, RTT, Bench, Client, CountingKey, Device, make_device, record

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hil.tls.client import Version
    from hil.tls.operations import Operation

BOTH: list[Version] = ["1.2", "1.3"]
SUITE = {"ec": "ECDSA", "rsa": "RSA"}


@pytest.fixture(scope="module")
def pki() -> ServerPki:
    return ServerPki(HOST, Calendar(NOW))


@pytest.fixture(scope="module")
def device() -> Device:
    return make_device()


@pytest.fixture(scope="module")
def rsa_device() -> Device:
    return make_device("test-rsa-device", use_rsa=True)


@pytest.fixture
def bench(pki: ServerPki, device: Device) -> Iterator[Bench]:
    with World() as world:
        bench = Bench(world, pki)
        bench.registry.records[device.id] = record(device)
        yield bench


class ElementEcdh(SoftwareEcdh):
    """Stands for the element's unit; the operations tell it from software by its being another class."""


class Element:
    """All units of one pretended element, with a count of what each did."""

    def __init__(self, device: Device) -> None:
        assert isinstance(device.key, ec.EllipticCurvePrivateKey)
        self._key = SoftwareKey(device.key)
        self._ecdh = SoftwareEcdh()
        self._verify = SoftwareVerify()
        self.calls: Counter[str] = Counter()
        self.says_good: bool | None = None

    def public_key(self) -> bytes:
        self.calls["public_key"] += 1
        return self._key.public_key()

    def sign_digest(self, digest: bytes) -> bytes:
        self.calls["sign"] += 1
        return self._key.sign_digest(digest)

    def new_key(self) -> bytes:
        self.calls["new_key"] += 1
        return self._ecdh.new_key()

    def agree(self, peer: bytes) -> bytes:
        self.calls["agree"] += 1
        return self._ecdh.agree(peer)

    def verify(self, public_key: bytes, digest: bytes, signature: bytes) -> bool:
        self.calls["verify"] += 1
        good = self._verify.verify(public_key, digest, signature)
        return good if self.says_good is None else self.says_good

    def random(self, length: int) -> bytes:
        self.calls["random"] += 1
        return SoftwareRandom().random(length)

    def offload(self) -> Offload:
        return Offload(sign=self, ecdh=self, verify=self, random=self)


class Notes:
    """An observer that keeps what it hears."""

    def __init__(self) -> None:
        self.heard: list[Operation] = []

    def operation(self, operation: Operation) -> None:
        self.heard.append(operation)


# -- it works, and exactly so --------------------------------------------------------------------


@pytest.mark.parametrize("version", BOTH)
@pytest.mark.parametrize("kind", ["ec", "rsa"])
def test_full_offload_does_every_p256_operation_in_the_element(
    bench: Bench, device: Device, version: Version, kind: str
) -> None:
    bench.endpoint.faults = lambda _: frozenset({Fault.RSA_CHAIN} if kind == "rsa" else ())
    element, notes = Element(device), Notes()
    connection = bench.tls(device, versions=[version], kind=kind, offload=element.offload(), observer=notes)
    assert Client(bench.world, connection).connect() == ConnAck(0)
    suite = {"1.3": "TLS_AES_128_GCM_SHA256", "1.2": f"TLS_ECDHE_{SUITE[kind]}_WITH_AES_128_GCM_SHA256"}
    assert (connection.version, connection.cipher) == (version, suite[version])
    # EC: leaf and intermediate, and the server's signature. RSA: nothing that the element could do.
    expected = {"sign": 1, "new_key": 1, "agree": 1, "random": 2 if version == "1.3" else 1}
    assert element.calls == (expected | {"verify": 3} if kind == "ec" else expected)
    ours = ("record", "chain-verify")
    software = [o.name for o in notes.heard if o.where == "software" and o.name not in ours]
    assert software == ([] if kind == "ec" else ["rsa-verify"] * 3)
    assert tuple(notes.heard) == connection.operations


@pytest.mark.parametrize("version", BOTH)
def test_software_only_reports_the_same_operations_as_software(
    bench: Bench, device: Device, version: Version
) -> None:
    connection = bench.tls(device, versions=[version])
    counted = Counter((o.name, o.where) for o in connection.operations if o.name not in ("record", "random"))
    assert counted == {
        ("verify", "software"): 3,
        ("chain-verify", "software"): 1,
        ("ecdh-keygen", "software"): 1,
        ("ecdh", "software"): 1,
        ("sign", "software"): 1,
    }


@pytest.mark.parametrize("version", BOTH)
def test_an_rsa_client_key_signs_once_in_software(bench: Bench, rsa_device: Device, version: Version) -> None:
    bench.registry.records[rsa_device.id] = record(rsa_device)
    connection = bench.tls(rsa_device, versions=[version])
    assert Client(bench.world, connection).connect() == ConnAck(0)
    signs = [(o.name, o.where, o.size) for o in connection.operations if "sign" in o.name]
    assert signs == [("rsa-sign", "software", 2048)]


@pytest.mark.parametrize(("version", "round_trips"), [("1.2", 4), ("1.3", 3)])
def test_connect_takes_the_round_trips_of_the_protocol_and_nothing_else(
    bench: Bench, device: Device, version: Version, round_trips: int
) -> None:
    client = Client(bench.world, bench.tls(device, versions=[version]))
    assert client.connect() == ConnAck(0)
    assert bench.world.now == round_trips * RTT


def test_the_range_of_versions_ends_in_the_newest(bench: Bench, device: Device) -> None:
    assert bench.tls(device).version == "1.3"


@pytest.mark.parametrize("version", BOTH)
def test_the_clients_flight_leaves_in_one_write(bench: Bench, device: Device, version: Version) -> None:
    flights: list[int] = []
    bench.network.on_flight = lambda flight: flights.append(flight.sent_us) if flight.outbound else None
    stream = bench.network.connect(HOST, 8883)
    writes: list[int] = []
    original = stream.sendall
    stream.sendall = lambda data: (writes.append(len(data)), original(data))[1]  # type: ignore[method-assign,func-returns-value]
    bench.tls(device, stream=stream, versions=[version])
    bench.world.sleep(RTT)
    assert len(writes) == len(flights) == 2, "ClientHello, and everything from Certificate to Finished"


def test_post_handshake_authentication_is_not_offered(bench: Bench, device: Device) -> None:
    bench.tls(device)
    hello = bench.endpoint.logs[0].hello
    assert hello is not None
    assert 49 not in hello.extensions
    assert hello.cipher_suites[1:] == (0x1301, 0xC02B, 0xC02F), "AES-128-GCM only, ECDSA first"
    assert hello.groups == (23,)
    assert {scheme >> 8 for scheme in hello.signature_schemes} <= {0x04, 0x08}, "SHA-256 only"


def test_the_random_of_the_client_hello_is_the_elements(bench: Bench, device: Device) -> None:
    class Fixed(SoftwareRandom):
        def random(self, length: int) -> bytes:
            return b"\x5a" * length

    assert isinstance(device.key, ec.EllipticCurvePrivateKey)
    bench.tls(device, offload=Offload(sign=SoftwareKey(device.key), random=Fixed()))
    hello = bench.endpoint.logs[0].hello
    assert hello is not None
    assert hello.session_id == b"\x5a" * 32


# -- refused before anything is signed ------------------------------------------------------------

REFUSALS = [
    (Fault.WRONG_NAME, "wrong-name", "bad_certificate"),
    (Fault.UNKNOWN_CA, "unknown-ca", "unknown_ca"),
    (Fault.EXPIRED_CERTIFICATE, "expired", "certificate_expired"),
    (Fault.NOT_YET_VALID_CERTIFICATE, "not-yet-valid", "bad_certificate"),
]


@pytest.mark.parametrize("version", BOTH)
@pytest.mark.parametrize(("fault", "reason", "alert"), REFUSALS)
def test_a_bad_server_is_refused_with_its_reason_and_no_signature(
    bench: Bench, device: Device, version: Version, fault: Fault, reason: str, alert: str
) -> None:
    bench.endpoint.faults = lambda _: frozenset({fault})
    element, notes = Element(device), Notes()
    with pytest.raises(ServerChainError) as caught:
        bench.tls(device, versions=[version], offload=element.offload(), observer=notes)
    assert (caught.value.reason, caught.value.alert) == (reason, alert)
    assert element.calls["sign"] == 0
    bench.world.sleep(RTT)
    assert alert.replace("_", " ") in bench.endpoint.logs[0].reason, "the server hears the alert"
    assert not [o.ok for o in notes.heard if o.name == "chain-verify"][-1]


@pytest.mark.parametrize("version", BOTH)
def test_a_board_without_a_date_refuses_everything(bench: Bench, device: Device, version: Version) -> None:
    with pytest.raises(ServerChainError, match="1970-01-01") as caught:
        bench.tls(device, versions=[version], now=30.0)
    assert caught.value.reason == "not-yet-valid"


@pytest.mark.parametrize("version", BOTH)
def test_an_element_that_calls_a_signature_bad_stops_the_handshake(
    bench: Bench, device: Device, version: Version
) -> None:
    element = Element(device)
    element.says_good = False
    with pytest.raises(ServerChainError, match="link 0") as caught:
        bench.tls(device, versions=[version], offload=element.offload())
    assert caught.value.reason == "bad-signature"
    assert element.calls["sign"] == 0


@pytest.mark.parametrize("version", BOTH)
def test_a_bad_server_signature_stops_the_handshake_before_the_sign(
    bench: Bench, device: Device, version: Version
) -> None:
    element = Element(device)
    verify = element.verify

    def not_the_third(public_key: bytes, digest: bytes, signature: bytes) -> bool:
        return verify(public_key, digest, signature) and element.calls["verify"] < 3

    element.verify = not_the_third  # type: ignore[method-assign]
    with pytest.raises(TlsError) as caught:
        bench.tls(device, versions=[version], offload=element.offload())
    assert (caught.value.alert, caught.value.by) == ("decrypt_error", "us")
    assert element.calls["sign"] == 0


@pytest.mark.parametrize("version", BOTH)
def test_a_key_that_does_not_belong_to_the_certificate_is_noticed_here(
    bench: Bench, device: Device, version: Version
) -> None:
    stranger = CountingKey(ec.generate_private_key(ec.SECP256R1()))
    with pytest.raises(TlsError) as caught:
        bench.tls(device, versions=[version], offload=Offload(sign=stranger))
    assert (caught.value.alert, caught.value.by) == ("internal_error", "us")
    assert len(stranger.digests) == 1
    assert len(stranger.digests[0]) == 32


@pytest.mark.parametrize("version", BOTH)
def test_an_error_of_the_element_comes_out_unchanged_and_ends_the_connection(
    bench: Bench, device: Device, version: Version
) -> None:
    class Broken(Element):
        def sign_digest(self, digest: bytes) -> bytes:
            raise DeviceError("Sign: status 0x0F (execution error)")

    stream = bench.network.connect(HOST, 8883)
    assert isinstance(stream, Stream)
    hello: list[int] = []
    bench.network.on_flight = lambda flight: hello.append(stream.sent_bytes)
    with pytest.raises(DeviceError, match="0x0F"):
        bench.tls(device, stream=stream, versions=[version], offload=Broken(device).offload())
    bench.world.sleep(RTT)
    assert bench.endpoint.logs[0].closed_us is not None
    assert stream.sent_bytes == hello[0], "not a byte of the unfinished flight was sent"


# -- refused by the server, lost, late -------------------------------------------------------------


@pytest.mark.parametrize("version", BOTH)
def test_a_refusal_after_the_handshake_is_the_end_of_the_stream_without_connack(
    bench: Bench, device: Device, version: Version
) -> None:
    bench.registry.records.clear()
    client = Client(bench.world, bench.tls(device, versions=[version]))
    assert client.connect() is None
    assert client.connection.ended == "close-notify"
    assert client.connection.recv() == b""


@pytest.mark.parametrize("version", BOTH)
def test_the_peers_alert_is_told_with_its_name(bench: Bench, device: Device, version: Version) -> None:
    with pytest.raises(TlsError) as caught:
        bench.tls(device, versions=[version], server_name="other.example")
    assert (caught.value.alert, caught.value.by) == ("unrecognized_name", "peer")


def test_a_silent_server_ends_the_handshake_at_its_deadline(bench: Bench, device: Device) -> None:
    bench.network.listen("mute", 8883, lambda link: lambda data: None)
    stream = bench.network.connect("mute", 8883)
    with pytest.raises(TlsError, match="deadline") as caught:
        bench.tls(device, stream=stream, deadline=bench.world.now + 7_000_000)
    assert bench.world.now == RTT + 7_000_000
    assert (caught.value.alert, caught.value.by) == (None, None)


def test_a_server_that_just_closes_is_told(bench: Bench, device: Device) -> None:
    bench.network.listen("slam", 8883, lambda link: lambda data: link.close())
    with pytest.raises(TlsError, match="closed the connection") as caught:
        bench.tls(device, stream=bench.network.connect("slam", 8883))
    assert (caught.value.alert, caught.value.by) == (None, "peer")


def test_a_read_time_out_leaves_the_connection_usable(bench: Bench, device: Device) -> None:
    client = Client(bench.world, bench.tls(device))
    assert not client.connection.wait_readable(bench.world.now + 1_000_000)
    with pytest.raises(TlsError, match="deadline"):
        client.connection.recv(deadline=bench.world.now + 1_000_000)
    assert client.connect() == ConnAck(0)


def test_data_that_tls_holds_counts_as_readable(bench: Bench, device: Device) -> None:
    client = Client(bench.world, bench.tls(device))
    client.connect()
    bench.endpoint._open[0]._tls.send(b"abcdef")
    bench.endpoint._open[0]._flush()
    assert client.connection.recv(2) == b"ab"
    assert client.connection.wait_readable(bench.world.now)
    assert client.connection.recv(9) == b"cdef"
    assert not client.connection.wait_readable(bench.world.now)


def test_sending_after_the_end_is_an_error_of_ours(bench: Bench, device: Device) -> None:
    client = Client(bench.world, bench.tls(device))
    client.connect()
    client.connection.close()
    with pytest.raises(TlsError):
        client.connection.send(b"x")
    bench.world.sleep(RTT)
    assert "close_notify" in bench.endpoint.logs[0].reason


# -- what makes no sense ----------------------------------------------------------------------------


def test_usage_errors(bench: Bench, device: Device, rsa_device: Device) -> None:
    with pytest.raises(UsageError, match="client certificate is needed"):
        bench.tls(replace(device, der=b""), chain=[])
    with pytest.raises(UsageError, match=r"1\.4"):
        bench.tls(device, versions=["1.4"])  # type: ignore[list-item]
    with pytest.raises(UsageError, match="P-256"):
        bench.tls(rsa_device, offload=device.offload())
    with pytest.raises(UsageError, match="root"):
        bench.tls(device, roots=[])


def test_the_connection_shows_what_the_server_showed(bench: Bench, device: Device) -> None:
    connection = bench.tls(device, alpn=["x-amzn-mqtt-ca"])
    assert connection.alpn == "x-amzn-mqtt-ca"
    shown = bench.endpoint.pki.chain().certificates
    assert connection.server_chain == shown
    names = connection.peer.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == [HOST]
    assert connection.peer.public_bytes(Encoding.DER) == shown[0].public_bytes(Encoding.DER)


def test_an_alert_behind_a_failed_write_is_still_read(bench: Bench, device: Device) -> None:
    client = Client(bench.world, bench.tls(device))
    client.connect()
    session = bench.endpoint._open[0]
    session._send(b"\x17\x03\x03\x00\x20" + bytes(32))  # a record that cannot be decrypted, then a reset
    session._close()
    client.connection.send(b"on its way to a closed socket")
    bench.world.sleep(2 * RTT)
    with pytest.raises(TlsError) as caught:
        client.connection.send(b"and again")
    assert (caught.value.alert, caught.value.by) == ("bad_record_mac", "us")


def test_a_write_to_a_server_that_is_gone_is_a_lost_connection(bench: Bench, device: Device) -> None:
    client = Client(bench.world, bench.tls(device))
    client.connect()
    bench.endpoint._open[0]._close()
    client.connection.send(b"on its way to a closed socket")
    bench.world.sleep(2 * RTT)
    with pytest.raises(TlsError, match="lost"):
        client.connection.send(b"and again")


@pytest.mark.parametrize("version", BOTH)
def test_an_alert_on_the_open_connection_is_told_by_the_read(
    bench: Bench, device: Device, version: Version
) -> None:
    stream = bench.network.connect(HOST, 8883)
    client = Client(bench.world, bench.tls(device, stream=stream, versions=[version]))
    client.connect()
    stream.sendall(b"\x17\x03\x03\x00\x20" + bytes(32))
    with pytest.raises(TlsError) as caught:
        client.connection.recv()
    assert (caught.value.alert, caught.value.by) == ("bad_record_mac", "peer")
    assert "decryption failed" in bench.endpoint.logs[0].reason


@pytest.mark.parametrize("version", BOTH)
def test_a_point_that_is_not_on_the_curve_never_reaches_the_element(
    bench: Bench, device: Device, version: Version, monkeypatch: pytest.MonkeyPatch
) -> None:
    element = Element(device)

    def not_on_the_curve(point: bytes) -> object:
        raise UsageError("these 64 bytes are not a point of P-256")

    monkeypatch.setattr("hil.tls.tlslite_hooks.load_point", not_on_the_curve)
    with pytest.raises(TlsError) as caught:
        bench.tls(device, versions=[version], offload=element.offload())
    assert (caught.value.alert, caught.value.by) == ("illegal_parameter", "us")
    assert element.calls["agree"] == element.calls["sign"] == 0
