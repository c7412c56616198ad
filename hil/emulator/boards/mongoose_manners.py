"""How an emulated firmware treats its cloud connection: the manners of its application and TLS settings.

The defaults are those of the firmware of a good product; each other value is a mistake that is met in
the field and that a test case of AWS IoT Device Advisor looks for. The faults ``firmware-…`` set them.

The bare MQTT library of Mongoose OS has none of the supervision here: it does not notice a missing
PINGRESP or SUBACK and subscribes again although the session was kept (mongoose-os-libs/mqtt
``src/mgos_mqtt_conn.c``). An application does it, through the library's event handlers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping
    from random import Random

__all__ = ["BAD_MANNERS", "WHOLE_RECORD", "Manners"]

WHOLE_RECORD = 16_384
"""Longest content of a TLS record."""

Backoff = Literal["jitter", "exact", "linear", "eager"]

EAGER_MS = 200


class Manners(msgspec.Struct, frozen=True):
    """What the firmware does right, or not.

    Attributes:
        checks_authority: refuses a server whose chain ends in no trusted root.
        checks_name: refuses a certificate for another name.
        checks_dates: refuses an expired certificate.
        ciphers: what it offers, by tlslite's names.
        tls_content: longest content of a TLS record that its buffer holds.
        backoff: how it waits between attempts: doubled with a random tenth (the library's way), doubled
            exactly, two seconds more each time, or hardly at all.
        publishes: sends the messages of the application.
        subscribes: subscribes to the topics of the application.
        acknowledges: answers a QoS 1 message with PUBACK.
        notices_silence: closes a connection on which a PINGREQ was not answered.
        repeats_publish: sends an unacknowledged message again within the connection.
        repeats_subscribe: sends a SUBSCRIBE again that was not answered.
        keeps_session: asks for the persistent session that is configured, and trusts it.
        whole_packets: writes an MQTT packet in one piece; else its fixed header and the rest.
    """

    checks_authority: bool = True
    checks_name: bool = True
    checks_dates: bool = True
    ciphers: tuple[str, ...] = ("aes128gcm",)
    tls_content: int = WHOLE_RECORD
    backoff: Backoff = "jitter"
    publishes: bool = True
    subscribes: bool = True
    acknowledges: bool = True
    notices_silence: bool = True
    repeats_publish: bool = True
    repeats_subscribe: bool = True
    keeps_session: bool = True
    whole_packets: bool = True

    def pieces(self, packet: bytes) -> tuple[bytes, ...]:
        """A packet as it is written."""
        return (packet,) if self.whole_packets or len(packet) <= 2 else (packet[:2], packet[2:])

    def wait_ms(self, attempt: int, doubled_ms: int, rng: Random) -> int:
        """How long to wait before the next attempt.

        Args:
            attempt: failures in a row so far, from 1.
            doubled_ms: what doubling and the configured limits give.
            rng: the board's.
        """
        if self.backoff == "jitter":
            return round(rng.uniform(doubled_ms * 0.9, doubled_ms * 1.1))
        return {"exact": doubled_ms, "linear": 2000 * attempt, "eager": EAGER_MS}[self.backoff]


BAD_MANNERS: Mapping[str, tuple[str, dict[str, object]]] = {
    "firmware-no-ca-check": (
        "the firmware connects to a server whose certificate no trusted root has signed",
        {"checks_authority": False},
    ),
    "firmware-no-name-check": (
        "the firmware connects to a server whose certificate is for another name",
        {"checks_name": False},
    ),
    "firmware-no-date-check": (
        "the firmware connects to a server whose certificate has expired",
        {"checks_dates": False},
    ),
    "firmware-foreign-ciphers": (
        "the firmware offers AES-CCM only, which AWS IoT does not have",
        {"ciphers": ("aes128ccm",)},
    ),
    "firmware-small-tls-buffer": (
        "the firmware's TLS buffer takes records of 4 kB only",
        {"tls_content": 4096},
    ),
    "firmware-linear-retry": (
        "the firmware waits two seconds longer after each failed connection instead of twice as long",
        {"backoff": "linear"},
    ),
    "firmware-no-jitter": (
        "the firmware doubles its pauses exactly; it passes with warnings",
        {"backoff": "exact"},
    ),
    "firmware-eager-retry": (
        "the firmware tries again at once after a failed connection",
        {"backoff": "eager"},
    ),
    "firmware-publishes-nothing": (
        "the firmware connects and publishes nothing",
        {"publishes": False},
    ),
    "firmware-subscribes-to-nothing": (
        "the firmware connects and subscribes to nothing",
        {"subscribes": False},
    ),
    "firmware-no-puback": (
        "the firmware does not acknowledge messages with QoS 1",
        {"acknowledges": False},
    ),
    "firmware-trusts-silence": (
        "the firmware does not notice that its pings are not answered",
        {"notices_silence": False},
    ),
    "firmware-no-publish-retry": (
        "the firmware does not send an unacknowledged message again",
        {"repeats_publish": False},
    ),
    "firmware-no-subscribe-retry": (
        "the firmware does not repeat a SUBSCRIBE that was not answered",
        {"repeats_subscribe": False},
    ),
    "firmware-forgets-session": (
        "the firmware asks for a clean session whatever its configuration says",
        {"keeps_session": False},
    ),
}
"""Named mistakes: what they are for people, and the manners that they change."""
