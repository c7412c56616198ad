"""MQTT 3.1.1 packets as frozen dataclasses, and the rules of topic names and filters.

Source: OASIS standard "MQTT Version 3.1.1", chapters 3 and 4.7. :mod:`hil.wire.mqtt` has the bytes
and re-exports everything here.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = [
    "CONNACK_CODES",
    "SUBACK_FAILURE",
    "ConnAck",
    "Connect",
    "Disconnect",
    "Packet",
    "PingReq",
    "PingResp",
    "PubAck",
    "PubComp",
    "PubRec",
    "PubRel",
    "Publish",
    "SubAck",
    "Subscribe",
    "UnsubAck",
    "Unsubscribe",
    "topic_matches",
    "valid_filter",
    "valid_topic",
]

SUBACK_FAILURE = 0x80

CONNACK_CODES = {
    0: "accepted",
    1: "unacceptable protocol version",
    2: "identifier rejected",
    3: "server unavailable",
    4: "bad user name or password",
    5: "not authorized",
}
"""Meaning of the CONNACK return codes (3.2.2.3)."""


@dataclass(frozen=True)
class Connect:
    """Client asks for a session (3.1). ``will`` is a PUBLISH with packet id 0."""

    client_id: str
    clean_session: bool = True
    keep_alive: int = 60
    username: str | None = None
    password: bytes | None = None
    will: Publish | None = None
    protocol_name: str = "MQTT"
    level: int = 4


@dataclass(frozen=True)
class ConnAck:
    """Server accepts or refuses (3.2); ``code`` as in :data:`CONNACK_CODES`."""

    code: int
    session_present: bool = False


@dataclass(frozen=True)
class Publish:
    """A message (3.3); ``packet_id`` is 0 for QoS 0."""

    topic: str
    payload: bytes
    qos: int = 0
    packet_id: int = 0
    retain: bool = False
    dup: bool = False


@dataclass(frozen=True)
class PubAck:
    """Acknowledges a QoS 1 message (3.4)."""

    packet_id: int


@dataclass(frozen=True)
class PubRec:
    """First answer to a QoS 2 message (3.5)."""

    packet_id: int


@dataclass(frozen=True)
class PubRel:
    """Second step of QoS 2 (3.6)."""

    packet_id: int


@dataclass(frozen=True)
class PubComp:
    """Last step of QoS 2 (3.7)."""

    packet_id: int


@dataclass(frozen=True)
class Subscribe:
    """Subscribe to ``filters``: pairs of topic filter and requested QoS (3.8)."""

    packet_id: int
    filters: tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class SubAck:
    """Granted QoS, or :data:`SUBACK_FAILURE`, for each filter (3.9)."""

    packet_id: int
    codes: tuple[int, ...]


@dataclass(frozen=True)
class Unsubscribe:
    """Drop subscriptions (3.10)."""

    packet_id: int
    filters: tuple[str, ...]


@dataclass(frozen=True)
class UnsubAck:
    """Acknowledges UNSUBSCRIBE (3.11)."""

    packet_id: int


@dataclass(frozen=True)
class PingReq:
    """Client is alive (3.12)."""


@dataclass(frozen=True)
class PingResp:
    """Server is alive (3.13)."""


@dataclass(frozen=True)
class Disconnect:
    """Client ends the connection in good order (3.14)."""


Packet = (
    Connect
    | ConnAck
    | Publish
    | PubAck
    | PubRec
    | PubRel
    | PubComp
    | Subscribe
    | SubAck
    | Unsubscribe
    | UnsubAck
    | PingReq
    | PingResp
    | Disconnect
)


def valid_topic(name: str) -> bool:
    """Whether ``name`` can be published to: not empty, no wildcards, at most 65535 bytes (4.7)."""
    return bool(name) and not set(name) & set("+#\0") and len(name.encode()) <= 0xFFFF


def valid_filter(name: str) -> bool:
    """Whether ``name`` is a topic filter: ``+`` and ``#`` fill a level, ``#`` only the last (4.7.1)."""
    levels = name.split("/")
    if not name or "\0" in name or len(name.encode()) > 0xFFFF:
        return False
    if any(("+" in level or "#" in level) and len(level) > 1 for level in levels):
        return False
    return "#" not in levels[:-1]


def topic_matches(topic_filter: str, topic: str, *, parent: bool = True) -> bool:
    """Whether a message to ``topic`` reaches a subscription to ``topic_filter`` (4.7).

    Args:
        topic_filter: a valid filter.
        topic: a valid topic name.
        parent: ``a/#`` also matches ``a`` (the standard); False as AWS IoT does it.
    """
    wanted, levels = topic_filter.split("/"), topic.split("/")
    if topic.startswith("$") and wanted[0] in ("+", "#"):  # [MQTT-4.7.2-1]
        return False
    for index, level in enumerate(wanted):
        if level == "#":
            return len(levels) > index or (parent and len(levels) == index)
        if index >= len(levels) or level not in ("+", levels[index]):
            return False
    return len(wanted) == len(levels)
