"""The local MQTT endpoint in a world: whom it lets in, how it refuses, what it delivers, and when."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from hil.clock import Calendar, World
from hil.cloud.local.faults import Fault
from hil.cloud.local.pki import ServerPki
from hil.tls.alerts import TlsError
from hil.wire.mqtt import (
    ConnAck,
    Connect,
    Disconnect,
    PingReq,
    PingResp,
    PubAck,
    Publish,
    PubRec,
    SubAck,
    Subscribe,
    UnsubAck,
    Unsubscribe,
    encode,
)
from tests.unit.tls_rig import (
    ACCOUNT,
    HOST,
    NOW,
    REGION,
    RTT,
    Bench,
    Client,
    Device,
    connected,
    make_device,
    record,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hil.cloud.local.faults import SessionLog
    from hil.cloud.registry import CertificateRecord

ARN = f"arn:aws:iot:{REGION}:{ACCOUNT}"
SECOND = 1_000_000


@pytest.fixture(scope="module")
def pki() -> ServerPki:
    return ServerPki(HOST, Calendar(NOW))


@pytest.fixture(scope="module")
def device() -> Device:
    return make_device()


@pytest.fixture(scope="module")
def other() -> Device:
    return make_device("other-device")


@pytest.fixture
def bench(pki: ServerPki, device: Device, other: Device) -> Iterator[Bench]:
    with World() as world:
        bench = Bench(world, pki)
        for one in (device, other):
            bench.registry.records[one.id] = record(one)
        yield bench


def policy(*statements: tuple[str, str]) -> str:
    rows = [{"Effect": "Allow", "Action": action, "Resource": resource} for action, resource in statements]
    return json.dumps({"Version": "2012-10-17", "Statement": rows})


def restrict(bench: Bench, device: Device, *statements: tuple[str, str]) -> None:
    """Allow connecting and these statements only."""
    allowed = policy(("iot:Connect", f"{ARN}:client/*"), *statements)
    bench.registry.records[device.id] = record(device, policy=allowed)


def refused(bench: Bench, device: Device, **options: Any) -> SessionLog:
    """Connect in vain; what the endpoint noted."""
    assert Client(bench.world, bench.tls(device)).connect(**options) is None
    bench.world.sleep(RTT)
    log = bench.endpoint.logs[-1]
    assert log.verdict == "refused"
    assert "connack" not in log.phases
    return log


# -- whom it lets in ------------------------------------------------------------------------------


def test_an_active_certificate_with_a_policy_is_accepted_and_everything_is_noted(
    bench: Bench, device: Device
) -> None:
    connected(bench, device)
    log = bench.endpoint.logs[0]
    assert (log.verdict, log.client_id, log.certificate_id) == ("accepted", "test-device", device.id)
    assert log.client_chain == (device.der, device.issuer_der)
    assert (log.version, log.cipher) == ("TLSv1.3", "TLS_AES_128_GCM_SHA256")
    assert log.packets[:2] == [(25_000, "in", "Connect"), (25_000, "out", "ConnAck")]
    assert log.phases == {
        "client-hello": 15_000,
        "server-flight": 15_000,
        "client-flight": 25_000,
        "tls-done": 25_000,
        "connect": 25_000,
        "connack": 25_000,
    }


def test_the_devices_own_time_shows_between_server_flight_and_client_flight(
    bench: Bench, device: Device
) -> None:
    class Slow:
        def operation(self, operation: object) -> None:
            if getattr(operation, "name", "") == "sign":
                bench.world.spend("chip", 60_000)

    bench.tls(device, versions=["1.2"], observer=Slow())
    phases = bench.endpoint.logs[0].phases
    assert phases["client-flight"] - phases["server-flight"] == RTT + 60_000


def test_an_unregistered_certificate_is_refused_with_its_names(bench: Bench, device: Device) -> None:
    bench.registry.records.clear()
    reason = refused(bench, device).reason
    assert "CN=test-device, issued by CN=test signer" in reason
    assert "not registered" in reason
    assert device.id[:16] in reason


@pytest.mark.parametrize("status", ["INACTIVE", "REVOKED", "PENDING_ACTIVATION", "PENDING_TRANSFER"])
def test_a_certificate_that_is_not_active_is_refused(bench: Bench, device: Device, status: str) -> None:
    bench.registry.records[device.id] = record(device, status=status)
    assert status in refused(bench, device).reason


def test_an_active_certificate_without_a_policy_is_refused(bench: Bench, device: Device) -> None:
    bench.registry.records[device.id] = record(device, policy="")
    assert "no statement allows iot:Connect" in refused(bench, device).reason


def test_a_broken_policy_refuses_and_says_so(bench: Bench, device: Device) -> None:
    bench.registry.records[device.id] = record(device, policy="{")
    assert "policy 1 is not JSON" in refused(bench, device).reason


def test_the_policy_may_bind_the_client_id_to_an_attached_thing(bench: Bench, device: Device) -> None:
    bound = policy(("iot:Connect", f"{ARN}:client/${{iot:Connection.Thing.ThingName}}"))
    bench.registry.records[device.id] = record(device, policy=bound, thing="test-device")
    connected(bench, device)
    assert "no statement allows" in refused(bench, device, client_id="impostor").reason


@pytest.mark.parametrize("client_id", ["", "x" * 129])
def test_client_ids_have_1_to_128_bytes(bench: Bench, device: Device, client_id: str) -> None:
    assert "1 to 128 bytes" in refused(bench, device, client_id=client_id).reason


def test_mqtt_5_is_answered_by_its_level(bench: Bench, device: Device) -> None:
    client = Client(bench.world, bench.tls(device))
    client.connection.send(bytes.fromhex("100d00044d5154540502003c000000"))
    assert client.next() == ConnAck(1)
    assert client.next() is None


def test_just_in_time_registration_is_asked_at_connect(pki: ServerPki, device: Device) -> None:
    asked: list[bytes] = []

    def first_connect(der: bytes) -> CertificateRecord | None:
        asked.append(der)
        return record(device, status="PENDING_ACTIVATION")

    with World() as world:
        bench = Bench(world, pki, first_connect=first_connect)
        client = Client(world, bench.tls(device))
        world.sleep(RTT)
        assert asked == [], "not before CONNECT"
        assert client.connect() is None
        assert asked == [device.der]
        assert "PENDING_ACTIVATION" in bench.endpoint.logs[0].reason
        bench.registry.records[device.id] = record(device)
        connected(bench, device)
        assert len(asked) == 1


def test_an_expired_device_certificate_is_a_choice(pki: ServerPki) -> None:
    old = make_device("old", years=1)
    for calendar, accepted in ((None, True), (Calendar(NOW), False)):
        with World() as world:
            bench = Bench(world, pki, calendar=calendar)
            bench.registry.records[old.id] = record(old)
            assert (Client(world, bench.tls(old)).connect() is not None) is accepted
            assert ("expired at" in bench.endpoint.logs[0].reason) is not accepted


def test_a_revoked_device_is_disconnected_by_a_recheck(bench: Bench, device: Device, other: Device) -> None:
    revoked, kept = connected(bench, device, "a"), connected(bench, other, "b")
    bench.registry.records[device.id] = record(device, status="REVOKED")
    bench.endpoint.recheck()
    assert revoked.next() is None
    kept.send(PingReq())
    assert kept.next() == PingResp()
    assert "REVOKED" in bench.endpoint.logs[0].reason


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_the_refusal_may_be_an_alert_within_the_handshake(
    pki: ServerPki, device: Device, version: Any
) -> None:
    with World() as world:
        bench = Bench(world, pki, refusal="handshake")

        def use() -> None:
            Client(world, bench.tls(device, versions=[version])).connect()

        with pytest.raises(TlsError) as caught:
            use()
        assert caught.value.by == "peer"
        assert "not registered" in bench.endpoint.logs[0].reason
        bench.registry.records[device.id] = record(device)
        assert Client(world, bench.tls(device, versions=[version])).connect() == ConnAck(0)
        assert len(bench.endpoint.logs[1].client_chain) == 2


def test_the_refusal_may_be_a_connack_with_code_5(pki: ServerPki, device: Device) -> None:
    with World() as world:
        bench = Bench(world, pki, refusal="connack")
        for registered in (None, record(device, policy="")):
            if registered is not None:
                bench.registry.records[device.id] = registered
            client = Client(world, bench.tls(device))
            assert [client.connect(), client.next()] == [ConnAck(5), None]
            assert bench.endpoint.logs[-1].verdict == "refused"


# -- before MQTT ----------------------------------------------------------------------------------


def test_a_connection_without_sni_is_refused(bench: Bench, device: Device) -> None:
    with pytest.raises(TlsError) as caught:
        bench.tls(device, server_name="10.0.0.1")
    assert (caught.value.alert, caught.value.by) == ("unrecognized_name", "peer")
    assert "SNI" in bench.endpoint.logs[0].reason


def test_port_443_needs_the_application_protocol(bench: Bench, device: Device) -> None:
    with pytest.raises(TlsError) as caught:
        bench.tls(device, port=443, alpn=["mqtt"])
    assert caught.value.alert == "no_application_protocol"
    assert "offered: mqtt" in bench.endpoint.logs[0].reason
    assert bench.tls(device, port=443, alpn=["x-amzn-mqtt-ca"]).alpn == "x-amzn-mqtt-ca"


def test_bytes_that_are_not_tls_are_refused(bench: Bench) -> None:
    stream = bench.network.connect(HOST, 8883)
    stream.sendall(encode(Connect("plain")))
    assert stream.recv(100) == b""
    assert "handshake record" in bench.endpoint.logs[0].reason


def test_bytes_that_are_not_mqtt_end_the_connection(bench: Bench, device: Device) -> None:
    client = connected(bench, device)
    client.connection.send(b"\xf0\x00")
    assert client.next() is None
    assert "type 15" in bench.endpoint.logs[0].reason


def test_a_connection_without_connect_is_closed_after_its_time(bench: Bench, device: Device) -> None:
    client = Client(bench.world, bench.tls(device))
    opened = bench.endpoint.logs[0].opened_us
    assert client.next(60 * SECOND) is None
    assert bench.endpoint.logs[0].closed_us == opened + 30 * SECOND


def test_the_first_packet_must_be_connect_and_only_the_first(bench: Bench, device: Device) -> None:
    client = Client(bench.world, bench.tls(device))
    client.send(PingReq())
    assert client.next() is None
    again = connected(bench, device)
    again.send(Connect("test-device"))
    assert again.next() is None
    assert [log.reason[:17] for log in bench.endpoint.logs] == ["the first packet ", "a second CONNECT "]


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_a_certificate_with_another_devices_key_is_refused(
    bench: Bench, device: Device, version: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hil.tls.tlslite_hooks._software_verify", lambda *_: True)  # the thief does not check

    def use() -> None:
        thief = make_device("thief")
        Client(bench.world, bench.tls(device, versions=[version], offload=thief.offload())).connect()

    with pytest.raises(TlsError) as caught:
        use()
    assert (caught.value.alert, caught.value.by) == ("decrypt_error", "peer")
    assert (bench.endpoint.logs[0].verdict, bench.endpoint.logs[0].certificate_id) == ("refused", None)


# -- messages -------------------------------------------------------------------------------------


@pytest.mark.parametrize("qos", [0, 1])
def test_a_message_reaches_its_subscriber(bench: Bench, device: Device, other: Device, qos: int) -> None:
    sender, receiver = connected(bench, device, "a"), connected(bench, other, "b")
    receiver.send(Subscribe(7, (("up/+", 1),)))
    assert receiver.next() == SubAck(7, (1,))
    sender.send(Publish("up/1", b"hello", qos, 5 if qos else 0))
    if qos:
        assert sender.next() == PubAck(5)
    assert receiver.next() == Publish("up/1", b"hello", qos, 1 if qos else 0)


def test_the_granted_qos_limits_delivery_and_unsubscribe_ends_it(bench: Bench, device: Device) -> None:
    client = connected(bench, device)
    client.send(Subscribe(1, (("t", 0),)), Publish("t", b"1", qos=1, packet_id=2))
    assert [client.next() for _ in range(3)] == [SubAck(1, (0,)), PubAck(2), Publish("t", b"1")]
    client.send(Unsubscribe(3, ("t",)), Publish("t", b"2"), PingReq())
    assert [client.next() for _ in range(2)] == [UnsubAck(3), PingResp()]


def test_overlapping_subscriptions_deliver_once_with_the_highest_qos(bench: Bench, device: Device) -> None:
    client = connected(bench, device)
    client.send(Subscribe(1, (("a/#", 0), ("a/b", 1))), Publish("a/b", b"x", qos=1, packet_id=2), PingReq())
    packets = [client.next() for _ in range(4)]
    assert packets == [SubAck(1, (0, 1)), PubAck(2), Publish("a/b", b"x", 1, 1), PingResp()]


def test_a_hash_does_not_match_the_parent_as_on_aws(bench: Bench, device: Device) -> None:
    client = connected(bench, device)
    client.send(Subscribe(1, (("a/#", 0),)), Publish("a", b"parent"), Publish("a/b", b"child"))
    assert [client.next() for _ in range(2)] == [SubAck(1, (0,)), Publish("a/b", b"child")]


def test_the_cloud_itself_can_publish(bench: Bench, device: Device) -> None:
    client = connected(bench, device)
    client.send(Subscribe(1, (("$aws/events/x", 0),)))
    client.next()
    bench.endpoint.publish("$aws/events/x", b"{}")
    assert client.next() == Publish("$aws/events/x", b"{}")


def test_retained_messages_reach_exact_filters_only(bench: Bench, device: Device) -> None:
    client = connected(bench, device)
    kept = Publish("r/1", b"kept", retain=True)
    client.send(kept, Subscribe(1, (("r/+", 0),)), Subscribe(2, (("r/1", 0),)))
    assert [client.next() for _ in range(3)] == [
        SubAck(1, (0,)),
        SubAck(2, (0,)),
        kept,
    ]
    client.send(Publish("r/1", b"", retain=True), Subscribe(3, (("r/1", 0),)), PingReq())
    assert client.next() == Publish("r/1", b""), "the emptying message itself"
    assert [client.next() for _ in range(2)] == [SubAck(3, (0,)), PingResp()]


# -- what is not allowed ---------------------------------------------------------------------------


def test_a_forbidden_publish_disconnects(bench: Bench, device: Device) -> None:
    restrict(bench, device, ("iot:Publish", f"{ARN}:topic/mine"))
    client = connected(bench, device)
    client.send(Publish("mine", b"", qos=1, packet_id=1), Publish("theirs", b"", qos=1, packet_id=2))
    assert [client.next(), client.next()] == [PubAck(1), None]
    assert f"no statement allows iot:Publish on {ARN}:topic/theirs" in bench.endpoint.logs[0].reason


def test_a_forbidden_subscribe_closes_without_a_suback(bench: Bench, device: Device) -> None:
    restrict(bench, device, ("iot:Subscribe", f"{ARN}:topicfilter/mine"))
    client = connected(bench, device)
    client.send(Subscribe(1, (("mine", 0), ("#", 0))))
    assert client.next() is None
    assert "topicfilter/#" in bench.endpoint.logs[0].reason


def test_without_receive_a_message_is_not_delivered(bench: Bench, device: Device, other: Device) -> None:
    restrict(bench, device, ("iot:Subscribe", "*"), ("iot:Receive", f"{ARN}:topic/open"))
    client, sender = connected(bench, device, "a"), connected(bench, other, "b")
    client.send(Subscribe(1, (("open", 0), ("closed", 0))))
    client.next()
    sender.send(Publish("closed", b"no"), Publish("open", b"yes"))
    assert client.next() == Publish("open", b"yes")


def test_a_retained_publish_needs_its_own_permission(bench: Bench, device: Device) -> None:
    restrict(bench, device, ("iot:Publish", "*"))
    client = connected(bench, device)
    client.send(Publish("t", b"x", retain=True))
    assert client.next() is None
    assert "iot:RetainPublish" in bench.endpoint.logs[0].reason
    assert bench.endpoint.broker.retained == {}


def test_qos_2_is_not_answered(bench: Bench, device: Device) -> None:
    client = connected(bench, device)
    client.send(Publish("t", b"x", qos=2, packet_id=1), Subscribe(2, (("t", 2),)), PingReq())
    assert client.next() == PingResp()


@pytest.mark.parametrize(
    ("packet", "words"),
    [
        (Publish("t", bytes(131_073)), "131073 bytes"),
        (Publish("a/b/c/d/e/f/g/h/i", b""), "more than 7 slashes"),
        (Subscribe(1, tuple((f"t{n}", 0) for n in range(9))), "9 filters"),
        (Subscribe(1, (("a/b/c/d/e/f/g/h/+", 0),)), "more than 7 slashes"),
        (PubRec(1), "not expected from a client"),
        (ConnAck(0), "not expected from a client"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_beyond_the_limits_the_connection_ends(bench: Bench, device: Device, packet: Any, words: str) -> None:
    client = connected(bench, device)
    client.send(packet)
    assert client.next() is None
    assert words in bench.endpoint.logs[0].reason


def test_the_largest_message_is_accepted(bench: Bench, device: Device) -> None:
    seen: list[Publish] = []
    bench.endpoint.broker.taps.append(seen.append)
    client = connected(bench, device)
    client.send(Publish("t", bytes(131_072), qos=1, packet_id=1))
    assert client.next() == PubAck(1)
    assert len(seen[0].payload) == 131_072


# -- sessions over time ----------------------------------------------------------------------------


def test_a_second_connection_takes_the_client_id(bench: Bench, device: Device, other: Device) -> None:
    first = connected(bench, device, "same")
    second = connected(bench, other, "same")
    assert first.next() is None
    assert bench.endpoint.logs[0].reason == "another connection took this client id"
    second.send(PingReq())
    assert second.next() == PingResp()


def test_silence_ends_after_exactly_one_and_a_half_keep_alives(bench: Bench, device: Device) -> None:
    client = connected(bench, device, keep_alive=60)
    bench.world.sleep(20 * SECOND)
    client.send(PingReq())
    assert client.next() == PingResp()
    last = bench.endpoint.logs[0].packets[-1][0]
    assert client.next(200 * SECOND) is None
    assert bench.endpoint.logs[0].closed_us == last + 90 * SECOND
    assert "90 s (keep-alive)" in bench.endpoint.logs[0].reason


def test_keep_alive_0_counts_as_the_longest(bench: Bench, device: Device) -> None:
    connected(bench, device, keep_alive=0)
    opened = bench.endpoint.logs[0].phases["connack"]
    bench.world.sleep(2_000 * SECOND)
    assert bench.endpoint.logs[0].closed_us == opened + 1_800 * SECOND


def test_a_power_cut_is_noticed_by_the_keep_alive_only_and_the_will_is_published(
    bench: Bench, device: Device, other: Device
) -> None:
    board = bench.network.interface("board")
    cut = Client(bench.world, bench.tls(device, stream=board.connect(HOST, 8883)))
    watcher = connected(bench, other, "watcher")
    watcher.send(Subscribe(1, (("will", 0),)))
    watcher.next()
    assert cut.connect("cut", keep_alive=10, will=Publish("will", b"gone")) == ConnAck(0)
    board.cut()
    start = bench.endpoint.logs[0].phases["connack"]
    assert watcher.next(60 * SECOND) == Publish("will", b"gone")
    assert bench.endpoint.logs[0].closed_us == start + 15 * SECOND


def test_an_orderly_disconnect_publishes_no_will(bench: Bench, device: Device) -> None:
    seen: list[Publish] = []
    bench.endpoint.broker.taps.append(seen.append)
    client = connected(bench, device, will=Publish("will", b"gone"))
    client.send(Disconnect())
    assert client.next() is None
    assert seen == []
    assert bench.endpoint.logs[0].reason == "the client sent DISCONNECT"


def test_a_persistent_session_keeps_subscriptions_and_qos_1_messages(
    bench: Bench, device: Device, other: Device
) -> None:
    first, sender = connected(bench, device, "p", clean_session=False), connected(bench, other, "s")
    first.send(Subscribe(1, (("t", 1),)))
    first.next()
    first.send(Disconnect())
    first.next()
    for number in range(3):
        sender.send(Publish("t", b"%d" % number, qos=1, packet_id=number + 1))
        sender.next()
    sender.send(Publish("t", b"qos 0 does not wait"), PingReq())
    sender.next()
    again = Client(bench.world, bench.tls(device))
    assert again.connect("p", clean_session=False) == ConnAck(0, session_present=True)
    start = bench.world.now
    received = [(again.next(), bench.world.now - start) for _ in range(3)]
    assert received == [(Publish("t", b"%d" % n, 1, n + 1), n * 100_000) for n in range(3)]


def test_what_was_not_acknowledged_is_repeated_with_dup(bench: Bench, device: Device) -> None:
    first = connected(bench, device, "p", clean_session=False)
    first.send(Subscribe(1, (("t", 1),)), Publish("t", b"x", qos=1, packet_id=2))
    assert [first.next() for _ in range(3)][2] == Publish("t", b"x", 1, 1)
    first.connection.close()
    again = Client(bench.world, bench.tls(device))
    assert again.connect("p", clean_session=False) == ConnAck(0, session_present=True)
    assert again.next() == Publish("t", b"x", 1, 1, dup=True)
    again.send(PubAck(1))
    again.connection.close()
    third = Client(bench.world, bench.tls(device))
    assert third.connect("p", clean_session=False) == ConnAck(0, session_present=True)
    assert third.next(SECOND) is None


@pytest.mark.parametrize(("away_s", "present"), [(3_599, True), (3_601, False)])
def test_a_persistent_session_lives_one_hour(
    bench: Bench, device: Device, away_s: int, present: bool
) -> None:
    client = connected(bench, device, "p", clean_session=False)
    client.send(Disconnect())
    client.next()
    bench.world.sleep(away_s * SECOND)
    again = Client(bench.world, bench.tls(device))
    assert again.connect("p", clean_session=False) == ConnAck(0, session_present=present)


def test_a_clean_session_forgets(bench: Bench, device: Device) -> None:
    client = connected(bench, device, "p", clean_session=False)
    client.send(Subscribe(1, (("t", 1),)))
    client.next()
    connected(bench, device, "p")
    again = Client(bench.world, bench.tls(device))
    assert again.connect("p", clean_session=False) == ConnAck(0, session_present=False)


def test_at_most_100_messages_are_in_flight(bench: Bench, device: Device, other: Device) -> None:
    receiver, sender = connected(bench, device, "a"), connected(bench, other, "b")
    receiver.send(Subscribe(1, (("t", 1),)))
    receiver.next()
    for number in range(1, 103):
        sender.send(Publish("t", b"", qos=1, packet_id=number))
    got = [receiver.next() for _ in range(100)]
    assert all(isinstance(one, Publish) for one in got)
    assert receiver.next(SECOND) is None
    receiver.send(PubAck(1))
    assert receiver.next() == Publish("t", b"", 1, 101)


# -- faults ----------------------------------------------------------------------------------------


def fault(bench: Bench, *faults: Fault) -> None:
    bench.endpoint.faults = lambda number: frozenset(faults)


def test_refuse_closes_without_a_connack(bench: Bench, device: Device) -> None:
    fault(bench, Fault.REFUSE)
    assert refused(bench, device).reason == "refused on purpose"


def test_a_fault_can_hit_chosen_connections_only(bench: Bench, device: Device) -> None:
    bench.endpoint.faults = lambda number: frozenset({Fault.REFUSE} if number == 1 else ())
    refused(bench, device)
    connected(bench, device)


def test_a_withheld_connack_costs_virtual_time_only(bench: Bench, device: Device) -> None:
    fault(bench, Fault.NO_CONNACK)
    client = Client(bench.world, bench.tls(device))
    client.send(Connect("test-device"))
    start = bench.world.now
    assert client.next(30 * SECOND) is None
    assert bench.world.now == start + 30 * SECOND
    assert bench.endpoint.logs[0].closed_us is None


def test_acknowledgements_can_be_withheld(bench: Bench, device: Device) -> None:
    fault(bench, Fault.NO_PUBACK, Fault.NO_SUBACK, Fault.NO_PINGRESP)
    client = connected(bench, device)
    client.send(Publish("t", b"", qos=1, packet_id=1), Subscribe(2, (("t", 0),)), PingReq())
    assert client.next() is None
    assert [name for _, way, name in bench.endpoint.logs[0].packets if way == "out"] == ["ConnAck"]


def test_disconnect_comes_right_behind_the_connack(bench: Bench, device: Device) -> None:
    fault(bench, Fault.DISCONNECT)
    client = Client(bench.world, bench.tls(device))
    assert [client.connect(), client.next()] == [ConnAck(0), None]
    assert bench.endpoint.logs[0].verdict == "accepted"


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_a_large_server_certificate_is_survived(bench: Bench, device: Device, version: Any) -> None:
    fault(bench, Fault.OVERSIZED_CERTIFICATE)
    client = Client(bench.world, bench.tls(device, versions=[version]))
    assert client.connect() == ConnAck(0)
    assert len(client.connection.peer.tbs_certificate_bytes) > 12_000


def test_a_maximum_fragment_fills_a_tls_record(bench: Bench, device: Device) -> None:
    fault(bench, Fault.MAXIMUM_FRAGMENT)
    client = connected(bench, device)
    client.send(Subscribe(1, (("big/+", 1),)))
    assert client.next() == SubAck(1, (1,))
    message = client.next()
    assert isinstance(message, Publish)
    assert len(encode(message)) == 16_384
    records = [o.size for o in client.connection.operations if (o.name, o.detail) == ("record", "received")]
    assert 16_384 in records


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_a_slow_drip_takes_its_time_and_arrives_whole(bench: Bench, device: Device, version: Any) -> None:
    fault(bench, Fault.SLOW_DRIP)
    client = Client(bench.world, bench.tls(device, versions=[version]))
    assert client.connect() == ConnAck(0)
    assert bench.world.now > SECOND // 2
    client.send(Disconnect())
    assert client.next() is None
    assert client.connection.ended == "close-notify"


def test_the_operator_can_disconnect_everyone(bench: Bench, device: Device, other: Device) -> None:
    clients = [connected(bench, device, "a"), connected(bench, other, "b")]
    bench.endpoint.disconnect("maintenance")
    assert [client.next() for client in clients] == [None, None]
    assert {log.reason for log in bench.endpoint.logs} == {"maintenance"}


def test_the_same_run_has_the_same_timeline(pki: ServerPki, device: Device) -> None:
    def run() -> list[tuple[int, str]]:
        trace: list[tuple[int, str]] = []
        with World() as world:
            world.trace = lambda now, what: trace.append((now, what))
            bench = Bench(world, pki)
            bench.registry.records[device.id] = record(device)
            client = connected(bench, device)
            client.send(Subscribe(1, (("t", 1),)), Publish("t", b"x", qos=1, packet_id=2))
            for _ in range(3):
                client.next()
            client.connection.close()
            world.sleep(SECOND)
        return trace

    assert run() == run()
