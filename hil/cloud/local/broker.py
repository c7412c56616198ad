"""Sessions, subscriptions and messages of the local endpoint: MQTT without connections.

AWS IoT Core's rules where they differ from the standard: ``a/#`` does not match ``a``, retained
messages reach exact filters only, a persistent session ends one hour after its connection, and only
QoS 1 messages wait for a client that is away. (Developer guide, "MQTT", "persistent sessions".)
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Protocol

from hil.wire.mqttpackets import Publish, topic_matches

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Broker", "Limits", "StoredSession", "Subscriber"]


@dataclass(frozen=True)
class Limits:
    """Quotas; AWS's published values unless another reason is given.

    Attributes:
        payload: bytes of a message (128 KB).
        client_id: bytes of a client id.
        filters: topic filters in one SUBSCRIBE.
        slashes: ``/`` in a topic.
        in_flight: QoS 1 messages to one client without PUBACK.
        keep_alive_s: longest interval; 0 and anything above count as this.
        session_expiry_s: how long a persistent session outlives its connection.
        stored_interval_us: spacing of stored messages after a reconnect (10 per second).
        connect_s: time from the connection to CONNECT. AWS does not publish it; our choice.
    """

    payload: int = 131_072
    client_id: int = 128
    filters: int = 8
    slashes: int = 7
    in_flight: int = 100
    keep_alive_s: int = 1200
    session_expiry_s: int = 3600
    stored_interval_us: int = 100_000
    connect_s: int = 30


class Subscriber(Protocol):
    """A connected client as the broker sees it."""

    def deliver(self, message: Publish) -> None:
        """Send ``message`` to the client; its QoS is already what was granted."""
        ...

    def displaced(self) -> None:
        """Another connection took the client id."""
        ...


@dataclass
class StoredSession:
    """What is remembered of a client id.

    Attributes:
        filters: granted QoS by topic filter.
        waiting: messages not sent yet.
        in_flight: messages sent with QoS 1 and not acknowledged, by packet id.
        subscriber: the connection, None while the client is away.
        clean: forget everything at the end of the connection.
        left_us: when the connection ended.
    """

    clean: bool
    subscriber: Subscriber | None = None
    filters: dict[str, int] = field(default_factory=dict)
    waiting: list[Publish] = field(default_factory=list)
    in_flight: dict[int, Publish] = field(default_factory=dict)
    left_us: int = 0
    _last_id: int = 0

    def next_id(self) -> int:
        """A packet id that is not in use."""
        while True:
            self._last_id = self._last_id % 0xFFFF + 1
            if self._last_id not in self.in_flight:
                return self._last_id


class Broker:
    """Routes messages between clients.

    Args:
        limits: quotas.
    """

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.sessions: dict[str, StoredSession] = {}
        self.retained: dict[str, Publish] = {}
        self.taps: list[Callable[[Publish], None]] = []
        """Called with every message that is published, for tests and records."""

    def attach(self, client_id: str, subscriber: Subscriber, *, clean: bool, now: int) -> bool:
        """A client has connected; whether an earlier session of it is present."""
        old = self.sessions.get(client_id)
        if old is not None and old.subscriber is not None:
            old.subscriber.displaced()
            old = self.sessions.get(client_id)
        present = old is not None and not clean and not self._expired(old, now)
        if old is None or not present:
            old = StoredSession(clean)
            self.sessions[client_id] = old
        old.clean, old.subscriber = clean, subscriber
        return present

    def detach(self, client_id: str, subscriber: Subscriber, now: int) -> None:
        """The connection of ``subscriber`` ended."""
        session = self.sessions.get(client_id)
        if session is None or session.subscriber is not subscriber:
            return
        session.subscriber, session.left_us = None, now
        if session.clean:
            del self.sessions[client_id]

    def publish(self, message: Publish, now: int) -> None:
        """Hand ``message`` to everyone who subscribed to its topic."""
        for tap in self.taps:
            tap(message)
        if message.retain:
            if message.payload:
                self.retained[message.topic] = message
            else:
                self.retained.pop(message.topic, None)
        for client_id, session in list(self.sessions.items()):
            if session.subscriber is None and self._expired(session, now):
                del self.sessions[client_id]
                continue
            matching = [
                qos
                for name, qos in session.filters.items()
                if topic_matches(name, message.topic, parent=False)
            ]
            if matching:
                self._give(session, message, min(message.qos, max(matching)))

    def _give(self, session: StoredSession, message: Publish, qos: int) -> None:
        copy = Publish(message.topic, message.payload, qos)
        if session.subscriber is not None:
            session.subscriber.deliver(copy)
        elif qos:
            session.waiting.append(copy)

    def retained_for(self, topic_filter: str) -> Publish | None:
        """The retained message that a new subscription to ``topic_filter`` receives."""
        message = self.retained.get(topic_filter)
        return None if message is None else replace(message, dup=False, packet_id=0)

    def _expired(self, session: StoredSession, now: int) -> bool:
        return now - session.left_us > self.limits.session_expiry_s * 1_000_000
