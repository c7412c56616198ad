"""The test cases of AWS IoT Device Advisor, and what stands for each in the suite ``connect``.

Source: AWS IoT Core developer guide, "Device Advisor test cases". Each is tried by the test that carries
the requirement ``AWS-DA-<id>``; ``docs/device-advisor.md`` is made of this table.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["CASES", "ELSEWHERE", "Case"]

Group = Literal["TLS", "MQTT", "permissions and policies"]


@dataclass(frozen=True)
class Case:
    """One test case.

    Attributes:
        id: Device Advisor's.
        group: where Device Advisor lists it.
        asks: what Device Advisor asks of the device, in our words.
        here: how it is tried here.
        warns: when it passes with warnings here; empty: never.
        reading: where the page is silent and this is our reading of it; empty: it is not.
        early: one of the cases of the qualification programme in the guide of December 2021; today's list
            is longer.
    """

    id: str
    group: Group
    asks: str
    here: str
    warns: str = ""
    reading: str = ""
    early: bool = False


_NO_ALERT = "the board closes without an alert"
_ROUNDS = "the pauses of the second round are those of the first (less than 1 % apart, beyond 50 ms)"
_EXPONENTIAL = "the pauses grow by a factor above 1.6 for each attempt"

CASES = (
    Case(
        "TLS_Connect",
        "TLS",
        "the TLS handshake completes",
        "the endpoint sees the board's last flight",
        reading="Device Advisor's warnings about the handshake are not described",
        early=True,
    ),
    Case(
        "TLS_Support_AWS_IoT_Cipher_Suites",
        "TLS",
        "the ClientHello offers a recommended suite and none that AWS IoT does not have",
        "the suites of the board's ClientHello are counted; without a supported one it fails",
        warns="no recommended suite, or suites that AWS IoT does not have",
        reading="of TLS 1.3 all three suites count as supported, TLS_AES_128_GCM_SHA256 as recommended",
    ),
    Case(
        "TLS_Unsecure_Server_Cert",
        "TLS",
        "the device closes when no trusted root has signed the server's certificate",
        "the endpoint shows a chain of a root that the board does not have",
        warns=_NO_ALERT,
        early=True,
    ),
    Case(
        "TLS_Incorrect_Subject_Name_Server_Cert",
        "TLS",
        "the device closes when the server's certificate is for another name",
        "the endpoint shows a good chain for another host",
        warns=_NO_ALERT,
        early=True,
    ),
    Case(
        "TLS_Expired_Server_Cert",
        "TLS",
        "the device closes when the server's certificate has expired",
        "the endpoint shows a certificate that ended before the board's time",
        warns=_NO_ALERT,
        reading="the name of the case",
    ),
    Case(
        "TLS_Large_Size_Server_Cert",
        "TLS",
        "the device copes with a large server certificate",
        "the endpoint shows about 12 kB of certificates; the handshake has to complete",
        reading="the size",
    ),
    Case(
        "TLS_Receive_Maximum_Size_Fragments",
        "TLS",
        "the device takes TLS records of maximum size",
        "a QoS 1 message fills a record of 16384 bytes; the PUBACK shows that it was taken in",
        reading="that the PUBACK decides",
    ),
    Case("MQTT_Connect", "MQTT", "the device sends a CONNECT", "the same", early=True),
    Case(
        "MQTT_Publish",
        "MQTT",
        "the device publishes",
        "with QoS 0; a topic or payload to look for cannot be given",
        early=True,
    ),
    Case("MQTT_Subscribe", "MQTT", "the device subscribes", "to anything", early=True),
    Case(
        "MQTT_Client_Puback_Qos1",
        "MQTT",
        "the device acknowledges a message with QoS 1",
        "the endpoint publishes to a topic that the board has subscribed to with QoS 1",
    ),
    Case(
        "MQTT_Connect_Jitter_Backoff_Retries",
        "MQTT",
        "let in only the sixth time, twice, the device waits longer after each failure, with jitter",
        f"five connections without CONNACK, the sixth goes through, twice; {_EXPONENTIAL}",
        warns=_ROUNDS,
        reading="how jitter is told from noise",
    ),
    Case(
        "MQTT_Connect_Exponential_Backoff_Retries",
        "MQTT",
        "without CONNACK at least five times, the device waits exponentially longer",
        f"five pauses without a CONNACK; {_EXPONENTIAL}",
        reading="the factor",
    ),
    Case(
        "MQTT_ReconnectionAfterSuccessfulConnection",
        "MQTT",
        "disconnected after a successful connection, the device comes back, not at once",
        "disconnected right behind the CONNACK; the pause is a second at least",
        reading="the second",
    ),
    Case(
        "MQTT_Reconnect_Backoff_Retries_On_Server_Disconnect",
        "MQTT",
        "disconnected by the server at least five times, the device waits longer each time, with jitter",
        f"let in and disconnected once, turned away four times, twice; {_EXPONENTIAL}",
        warns=_ROUNDS,
        reading="that the other disconnections come at the CONNECT",
    ),
    Case(
        "MQTT_No_Ack_PingResp",
        "MQTT",
        "the device closes when nothing is acknowledged any more",
        "no PUBACK, SUBACK or PINGRESP; the board has twice its keep-alive time to close",
        reading="how long it may take: Device Advisor waits longer than 1.5 keep-alive times",
    ),
    Case(
        "MQTT_Publish_Retry_No_Puback",
        "MQTT",
        "a message without PUBACK is sent again, on the same connection",
        "within 240 s, with the same packet id and DUP",
    ),
    Case(
        "MQTT_Subscribe_Retry_No_Suback",
        "MQTT",
        "a SUBSCRIBE without SUBACK is sent again",
        "within 240 s, with the same packet id",
    ),
    Case(
        "MQTT_Persistent_Session_Happy_Case",
        "MQTT",
        "the device keeps a persistent session over a disconnection",
        "a message that waited is acknowledged, without another SUBSCRIBE",
        reading="all of it: the page has no details",
    ),
    Case(
        "MQTT_Persistent_Session_Session_Expiry",
        "MQTT",
        "the device notices that its persistent session has expired",
        "the CONNACK says that there is no session: the board has to subscribe again",
        reading="all of it: the page has no details",
    ),
    Case(
        "Security_Device_Policies",
        "permissions and policies",
        "no policy of the device's certificate is broader than it needs",
        "no wildcard in an Allow statement, except behind a variable that names the device itself",
        reading="the exception",
    ),
)

ELSEWHERE = {
    "Shadow_Publish_Reported_State, Shadow_Update_Reported_State": "needs the Device Shadow service",
    "Job_Execution": "needs the Jobs service",
    "the long-duration cases": "they watch a device for hours; not mirrored",
}
"""Cases without a test here, and why: the local endpoint is a message broker and nothing else."""
