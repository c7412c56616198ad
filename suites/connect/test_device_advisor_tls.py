"""The TLS cases of AWS IoT Device Advisor, by their ids; see docs/device-advisor.md."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from hil.cloud.advisor import suite_offer
from hil.cloud.local.faults import Fault
from hil.measure.measurement import Limit
from hil.wire.mqtt import PubAck, Subscribe

if TYPE_CHECKING:
    from hil.cloud.local.faults import SessionLog
    from hil.measure.measurement import Measurements
    from suites.connect.conftest import Device

pytestmark = pytest.mark.needs("mqtt", "cloud", "power", element="provisioned")


def handshake(device: Device) -> SessionLog:
    """The first connection, once its handshake is done or has failed."""
    log = device.connection()
    device.wait(lambda: log.version is not None or log.closed_us is not None, 60)
    return log


@pytest.mark.req("AWS-DA-TLS_Connect")
def test_tls_connect(device: Device) -> None:
    device.start()
    log = handshake(device)
    assert log.version is not None, f"the handshake failed: {log.reason}"


@pytest.mark.req("AWS-DA-TLS_Support_AWS_IoT_Cipher_Suites")
def test_tls_support_aws_iot_cipher_suites(device: Device, measure: Measurements) -> None:
    """At least one suite of AWS; warnings without a recommended one, or with others as well."""
    device.start()
    hello = handshake(device).hello
    assert hello is not None, "no ClientHello came"
    offer = suite_offer(hello.cipher_suites)
    measure.record("suites that AWS IoT supports", offer.supported, "", Limit(low=1))
    measure.record("suites that AWS IoT recommends", offer.recommended, "", Limit(warn_low=1))
    measure.record("suites that AWS IoT does not support", offer.unsupported, "", Limit(warn_high=0))


def refuses(device: Device, measure: Measurements, fault: Fault, what: str) -> None:
    """The board has to end the handshake, and should say why by an alert."""
    device.start(then=[fault])
    log = handshake(device)
    assert "server-flight" in log.phases, f"the board was never shown the certificate: {log.reason}"
    assert log.version is None, f"the board completed the handshake with {what}"
    assert "connect" not in log.phases
    measure.record("alert sent before closing", int("alert" in log.reason), "", Limit(warn_low=1))


@pytest.mark.req("AWS-DA-TLS_Unsecure_Server_Cert")
def test_tls_unsecure_server_cert(device: Device, measure: Measurements) -> None:
    refuses(device, measure, Fault.UNKNOWN_CA, "a server whose certificate no trusted root has signed")


@pytest.mark.req("AWS-DA-TLS_Incorrect_Subject_Name_Server_Cert")
def test_tls_incorrect_subject_name_server_cert(device: Device, measure: Measurements) -> None:
    refuses(device, measure, Fault.WRONG_NAME, "a server whose certificate is for another name")


@pytest.mark.req("AWS-DA-TLS_Expired_Server_Cert")
def test_tls_expired_server_cert(device: Device, measure: Measurements) -> None:
    refuses(device, measure, Fault.EXPIRED_CERTIFICATE, "a server whose certificate has expired")


@pytest.mark.req("AWS-DA-TLS_Large_Size_Server_Cert")
def test_tls_large_size_server_cert(device: Device) -> None:
    """About 12 kB of certificate."""
    device.start(then=[Fault.OVERSIZED_CERTIFICATE])
    log = handshake(device)
    assert log.version is not None, f"the handshake failed with a large certificate: {log.reason}"


@pytest.mark.req("AWS-DA-TLS_Receive_Maximum_Size_Fragments")
def test_tls_receive_maximum_size_fragments(device: Device) -> None:
    """A QoS 1 message that fills a record of 16384 bytes; the PUBACK shows that it was taken in."""
    device.start(then=[Fault.MAXIMUM_FRAGMENT])
    log = device.connection()
    assert device.packet(log, Subscribe) is not None, "the board does not subscribe to anything"
    assert device.packet(log, PubAck, seconds=60) is not None, (
        f"the board did not take in a TLS record of maximum size: {log.reason or 'no PUBACK'}"
    )
