"""The MQTT cases of AWS IoT Device Advisor, by their ids; see docs/device-advisor.md."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from hil.cloud.advisor import JITTER, LINEAR, gaps, growth, jitter
from hil.cloud.local.faults import Fault
from hil.measure.measurement import Limit
from hil.wire.mqtt import Connect, PubAck, Publish, Subscribe

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hil.cloud.local.faults import SessionLog
    from hil.measure.measurement import Measurements
    from suites.connect.conftest import Device

pytestmark = pytest.mark.needs("mqtt", "cloud", "power", element="provisioned")

ATTEMPTS = 5
BACKOFF_S = 600
"""For five attempts without CONNACK: time-outs of 30 s and pauses up to a minute."""


@pytest.mark.req("AWS-DA-MQTT_Connect")
def test_mqtt_connect(device: Device) -> None:
    device.start()
    log = device.connection()
    assert device.packet(log, Connect) is not None, f"no CONNECT came: {log.reason}"


@pytest.mark.req("AWS-DA-MQTT_Publish")
def test_mqtt_publish(device: Device) -> None:
    """A message with QoS 0."""
    device.start()
    log = device.connection()
    message = device.packet(log, Publish, lambda p: isinstance(p, Publish) and p.qos == 0)
    assert message is not None, f"the board published nothing with QoS 0: {log.reason}"


@pytest.mark.req("AWS-DA-MQTT_Subscribe")
def test_mqtt_subscribe(device: Device) -> None:
    device.start()
    log = device.connection()
    assert device.packet(log, Subscribe) is not None, f"the board subscribed to nothing: {log.reason}"


@pytest.mark.req("AWS-DA-MQTT_Client_Puback_Qos1")
def test_mqtt_client_puback_qos1(device: Device) -> None:
    device.start()
    log = device.connection()
    device.publish(device.topic(log), b'{"from":"the service"}')
    assert device.packet(log, PubAck, seconds=60) is not None, "the board does not acknowledge QoS 1"


# -- back-off -----------------------------------------------------------------------------------


def exponential(logs: Sequence[SessionLog], measure: Measurements, round_: str = "") -> list[int]:
    """The pauses between connections, exponential or failed; each but the last came to its CONNECT."""
    for log in logs[:-1]:
        assert "connect" in log.phases, f"connection {log.number} never came to its CONNECT: {log.reason}"
    pauses = gaps(logs)
    assert all(pause > 0 for pause in pauses), f"the board reconnects without a pause: {pauses}"
    measure.record(f"growth of the pauses{round_}", round(growth(pauses), 2), "×", Limit(low=LINEAR))
    return pauses


def two_rounds(device: Device, measure: Measurements, *good: int) -> None:
    """Pauses of two rounds of failed connections; strictly exponential passes with warnings.

    Args:
        device: started.
        measure: takes the figures.
        good: number of the connection that goes through at the end of each round; when the service ends
            the first of them, the second round begins.
    """
    rounds = []
    for index, number in enumerate(good):
        log = device.connection(number, seconds=BACKOFF_S)
        device.wait(lambda log=log: log.verdict != "pending", 60)  # type: ignore[misc]
        assert log.verdict == "accepted", f"connection {number} did not come through: {log.reason}"
        first = index * ATTEMPTS
        logs = device.connections[first : first + ATTEMPTS + 1]
        rounds.append(exponential(logs, measure, f", round {index + 1}"))
        device.disconnect()
    measure.record("jitter of the pauses", round(jitter(*rounds), 4), "", Limit(warn_low=JITTER))


@pytest.mark.req("AWS-DA-MQTT_Connect_Jitter_Backoff_Retries")
def test_mqtt_connect_jitter_backoff_retries(device: Device, measure: Measurements) -> None:
    """Five connections without CONNACK, the sixth goes through; then all of it again."""
    silent = [Fault.NO_CONNACK] * ATTEMPTS
    device.start(*silent, None, *silent, None)
    two_rounds(device, measure, ATTEMPTS + 1, 2 * (ATTEMPTS + 1))


@pytest.mark.req("AWS-DA-MQTT_Connect_Exponential_Backoff_Retries")
def test_mqtt_connect_exponential_backoff_retries(device: Device, measure: Measurements) -> None:
    device.start(then=[Fault.NO_CONNACK])
    device.connection(ATTEMPTS + 1, seconds=BACKOFF_S)
    exponential(device.connections[: ATTEMPTS + 1], measure)


@pytest.mark.req("AWS-DA-MQTT_ReconnectionAfterSuccessfulConnection")
def test_mqtt_reconnection_after_successful_connection(device: Device, measure: Measurements) -> None:
    """Disconnected right behind the CONNACK, the board has to wait a second at least."""
    device.start(Fault.DISCONNECT)
    device.connection(2)
    first = device.connections[0]
    assert first.verdict == "accepted", f"the first connection did not come through: {first.reason}"
    (pause,) = gaps(device.connections[:2])
    measure.record("pause before reconnecting", pause / 1e6, "s", Limit(low=1.0))


@pytest.mark.req("AWS-DA-MQTT_Reconnect_Backoff_Retries_On_Server_Disconnect")
def test_mqtt_reconnect_backoff_retries_on_server_disconnect(device: Device, measure: Measurements) -> None:
    """Connected, disconnected, and turned away at four further CONNECTs; then all of it again."""
    refused = [Fault.REFUSE] * (ATTEMPTS - 1)
    device.start(None, *refused, None, *refused, None)
    first = device.connection()
    device.wait(lambda: first.verdict != "pending", 60)
    assert first.verdict == "accepted", f"the first connection did not come through: {first.reason}"
    device.disconnect()
    two_rounds(device, measure, ATTEMPTS + 1, 2 * ATTEMPTS + 1)


# -- answers that do not come ------------------------------------------------------------------------


@pytest.mark.req("AWS-DA-MQTT_No_Ack_PingResp")
def test_mqtt_no_ack_pingresp(device: Device) -> None:
    """No PUBACK, SUBACK or PINGRESP: the board has to notice and close the connection."""
    device.start(then=[Fault.NO_PUBACK, Fault.NO_SUBACK, Fault.NO_PINGRESP])
    log = device.connection()
    connect = device.packet(log, Connect)
    assert isinstance(connect, Connect), "no CONNECT came"
    patience = max(2 * connect.keep_alive, 30)
    device.wait(lambda: log.closed_us is not None, patience)
    assert log.closed_us is not None, f"the board held a dead connection for {patience} s"
    assert "client" in log.reason, f"it was not the board that closed: {log.reason}"


@pytest.mark.req("AWS-DA-MQTT_Publish_Retry_No_Puback")
def test_mqtt_publish_retry_no_puback(device: Device) -> None:
    """The message comes again on the same connection, with the same packet id."""
    device.start(then=[Fault.NO_PUBACK])
    log = device.connection()

    def with_qos_1(packet: object) -> bool:
        return isinstance(packet, Publish) and packet.qos == 1

    first = device.packet(log, Publish, with_qos_1)
    assert isinstance(first, Publish), f"the board published nothing with QoS 1: {log.reason}"
    again = device.packet(
        log,
        Publish,
        lambda p: isinstance(p, Publish) and p.packet_id == first.packet_id and p.qos == 1,
        count=2,
        seconds=240,
    )
    assert isinstance(again, Publish), f"the message was not sent again: {log.reason or 'still connected'}"
    assert again.dup, "the repeated message does not say that it is one (DUP) [MQTT-3.3.1-1]"


@pytest.mark.req("AWS-DA-MQTT_Subscribe_Retry_No_Suback")
def test_mqtt_subscribe_retry_no_suback(device: Device) -> None:
    """The SUBSCRIBE comes again with the same packet id."""
    device.start(then=[Fault.NO_SUBACK])
    log = device.connection()
    first = device.packet(log, Subscribe)
    assert isinstance(first, Subscribe), f"the board subscribed to nothing: {log.reason}"
    again = device.packet(
        log,
        Subscribe,
        lambda p: isinstance(p, Subscribe) and p.packet_id == first.packet_id,
        count=2,
        seconds=240,
    )
    assert again is not None, f"the SUBSCRIBE was not sent again: {log.reason or 'still connected'}"


# -- persistent sessions -------------------------------------------------------------------------


def subscribed(device: Device) -> tuple[SessionLog, str]:
    """The first connection of a persistent session, with a subscription that was acknowledged."""
    device.start(clean_session=False)
    log = device.connection()
    connect = device.packet(log, Connect)
    assert isinstance(connect, Connect), f"no CONNECT came: {log.reason}"
    assert not connect.clean_session, "the board asks for a clean session"
    topic = device.topic(log)
    assert device.wait(lambda: any(name == "SubAck" for _, _, name in log.packets), 60)
    return log, topic


@pytest.mark.req("AWS-DA-MQTT_Persistent_Session_Happy_Case")
def test_mqtt_persistent_session_happy_case(device: Device) -> None:
    """A message that waited is delivered and acknowledged, without another SUBSCRIBE."""
    _, topic = subscribed(device)
    device.disconnect()
    device.publish(topic, b'{"waited":true}')
    log = device.connection(2)
    assert device.packet(log, PubAck, seconds=60) is not None, "the stored message was not acknowledged"
    assert device.packet(log, Subscribe, seconds=20) is None, "the board subscribes again in a kept session"


@pytest.mark.req("AWS-DA-MQTT_Persistent_Session_Session_Expiry")
def test_mqtt_persistent_session_session_expiry(device: Device) -> None:
    """The CONNACK says that there is no session any more: the board has to subscribe again."""
    subscribed(device)
    device.disconnect()
    device.forget_session()
    log = device.connection(2)
    assert device.packet(log, Subscribe, seconds=60) is not None, "the board relies on a session that is gone"
