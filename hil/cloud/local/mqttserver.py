"""The MQTT protocol of one connection, server side, with AWS IoT Core's rules.

A client that may not do something is disconnected without a word: no CONNACK, no SUBACK 0x80. QoS 2
is not answered at all. (Developer guide, "MQTT"; aws-iot-device-sdk-js issue 125 for SUBSCRIBE.)
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Literal, Protocol

from hil.cloud.local.faults import Fault
from hil.cloud.policy import decide, parse_policies
from hil.cloud.policyvars import connection_variables
from hil.errors import ConfigError
from hil.wire.mqtt import (
    ConnAck,
    Connect,
    Decoder,
    Disconnect,
    Packet,
    PingReq,
    PingResp,
    PubAck,
    Publish,
    SubAck,
    Subscribe,
    UnsubAck,
    Unsubscribe,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from hil.cloud.local.broker import Broker, StoredSession
    from hil.cloud.local.faults import SessionLog
    from hil.cloud.policy import Decision, Statement
    from hil.cloud.registry import CertificateRecord

__all__ = ["Authority", "MqttServer", "Timer", "Timers"]

MAXIMUM_RECORD = 16_384
AROUND_PAYLOAD = 7
"""Bytes of such a PUBLISH beside topic and payload: type, two of length, topic length, packet id."""


class Timer(Protocol):
    """What :attr:`Timers` returns."""

    def cancel(self) -> None:
        """Do not call back."""
        ...


class Timers(Protocol):
    """Time as a session sees it; a world's ``now`` and ``at``."""

    def now(self) -> int:
        """Microseconds."""
        ...

    def at(self, due: int, fn: Callable[[], None], what: str) -> Timer:
        """Call ``fn`` at ``due``."""
        ...


class Authority(Protocol):
    """Who decides about certificates; the endpoint."""

    arn_prefix: str
    refusal: Literal["close", "connack", "handshake"]

    def admit(self, log: SessionLog) -> CertificateRecord | str:
        """The record of an active certificate, or the reason for refusing it."""
        ...


class MqttServer:
    """Packets in, packets out.

    Args:
        authority: admits certificates.
        broker: routes messages.
        log: evidence; also tells the faults of this connection.
        time: timers.
        transmit: sends a packet.
        end: closes the connection, with the reason.
    """

    def __init__(
        self,
        authority: Authority,
        broker: Broker,
        log: SessionLog,
        time: Timers,
        transmit: Callable[[Packet], None],
        end: Callable[[str], None],
    ) -> None:
        self._authority = authority
        self._broker = broker
        self._log = log
        self._time = time
        self._transmit = transmit
        self._end = end
        self._decoder = Decoder(max_length=broker.limits.payload + 65_541)
        self._statements: tuple[Statement, ...] = ()
        self._variables: dict[str, str] = {}
        self._session: StoredSession | None = None
        self._will: Publish | None = None
        self._keep_alive_us = 0
        self._last_packet = time.now()
        self._timer: Timer | None = None
        self._over = False
        self._timer = time.at(
            time.now() + broker.limits.connect_s * 1_000_000, self._no_connect, "MQTT: no CONNECT"
        )

    def receive(self, data: bytes) -> None:
        """Handle decrypted bytes.

        Raises:
            hil.errors.FrameError: they are not MQTT.
        """
        for packet in self._decoder.feed(data):
            if self._over:
                return
            self._last_packet = self._time.now()
            self._log.packets.append((self._last_packet, "in", type(packet).__name__))
            self._log.received.append((self._last_packet, packet))
            self._handle(packet)

    def closed(self) -> None:
        """The connection is gone, for whatever reason; publishes the will if it was not orderly."""
        if self._over:
            return
        self._over = True
        if self._timer is not None:
            self._timer.cancel()
        if self._session is not None and self._log.client_id is not None:
            self._broker.detach(self._log.client_id, self, self._time.now())
        if self._will is not None and self._allowed("iot:Publish", "topic", self._will.topic):
            self._broker.publish(replace(self._will, packet_id=0), self._time.now())

    # -- what packets do -------------------------------------------------------------------------

    def _handle(self, packet: Packet) -> None:
        if isinstance(packet, Connect):
            if self._log.client_id is not None:
                self._end("a second CONNECT [MQTT-3.1.0-2]")
                return
            self._connect(packet)
        elif self._session is None:
            if self._log.client_id is None:
                self._end(f"the first packet is {type(packet).__name__}, not CONNECT [MQTT-3.1.0-1]")
        elif isinstance(packet, Publish):
            self._publish(packet)
        elif isinstance(packet, Subscribe):
            self._subscribe(packet)
        elif isinstance(packet, Unsubscribe):
            for name in packet.filters:
                self._session.filters.pop(name, None)
            self._send(UnsubAck(packet.packet_id))
        elif isinstance(packet, PubAck):
            self._session.in_flight.pop(packet.packet_id, None)
            self._send_waiting()
        elif isinstance(packet, PingReq):
            if Fault.NO_PINGRESP not in self._log.faults:
                self._send(PingResp())
        elif isinstance(packet, Disconnect):
            self._will = None
            self._end("the client sent DISCONNECT")
        else:
            self._end(f"{type(packet).__name__} is not expected from a client")

    def _connect(self, packet: Connect) -> None:
        log, limits, now = self._log, self._broker.limits, self._time.now()
        log.client_id = packet.client_id
        log.stamp("connect", now)
        if packet.level != 4:
            self._send(ConnAck(1))
            self._end(f"protocol level {packet.level} is not MQTT 3.1.1")
            return
        if not packet.client_id or len(packet.client_id.encode()) > limits.client_id:
            self._end(f"a client id has 1 to {limits.client_id} bytes")
            return
        record = self._authority.admit(log)
        if isinstance(record, str):
            self._refuse(record)
            return
        try:
            self._statements = parse_policies(record.policies)
        except ConfigError as error:
            self._refuse(f"a policy of certificate {record.certificate_id} is broken: {error.message}")
            return
        self._variables = connection_variables(packet.client_id, record, log.client_chain[0])
        decision = self._decision("iot:Connect", "client", packet.client_id)
        if not decision.allowed:
            self._refuse(decision.reason)
        elif Fault.REFUSE in log.faults:
            self._refuse("refused on purpose")
        else:
            self._accept(packet, now)

    def _refuse(self, reason: str) -> None:
        if self._authority.refusal == "connack":
            self._send(ConnAck(5))
        self._end(reason)

    def _accept(self, packet: Connect, now: int) -> None:
        log, limits = self._log, self._broker.limits
        present = self._broker.attach(packet.client_id, self, clean=packet.clean_session, now=now)
        self._session = self._broker.sessions[packet.client_id]
        self._will = packet.will
        seconds = packet.keep_alive if 0 < packet.keep_alive <= limits.keep_alive_s else limits.keep_alive_s
        self._keep_alive_us = seconds * 1_500_000
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._time.at(now + self._keep_alive_us, self._watch, "MQTT: keep-alive")
        if Fault.NO_CONNACK in log.faults:
            return
        log.verdict = "accepted"
        log.stamp("connack", now)
        self._send(ConnAck(0, session_present=present))
        if Fault.DISCONNECT in log.faults:
            self._end("disconnected on purpose")
        elif present:
            self._resume()

    def _publish(self, packet: Publish) -> None:
        if packet.qos == 2:
            return
        if len(packet.payload) > self._broker.limits.payload:
            self._end(f"a message of {len(packet.payload)} bytes, more than {self._broker.limits.payload}")
            return
        if packet.topic.count("/") > self._broker.limits.slashes:
            self._end(f"topic {packet.topic} has more than {self._broker.limits.slashes} slashes")
            return
        if not self._allowed("iot:Publish", "topic", packet.topic):
            return
        if packet.retain and not self._allowed("iot:RetainPublish", "topic", packet.topic):
            return
        if packet.qos and Fault.NO_PUBACK not in self._log.faults:
            self._send(PubAck(packet.packet_id))
        self._broker.publish(packet, self._time.now())

    def _subscribe(self, packet: Subscribe) -> None:
        assert self._session is not None, "only after CONNACK"
        if len(packet.filters) > self._broker.limits.filters:
            self._end(
                f"{len(packet.filters)} filters in one SUBSCRIBE, more than {self._broker.limits.filters}"
            )
            return
        if any(name.count("/") > self._broker.limits.slashes for name, _ in packet.filters):
            self._end(f"a filter has more than {self._broker.limits.slashes} slashes")
            return
        if any(qos == 2 for _, qos in packet.filters):
            return
        if not all(self._allowed("iot:Subscribe", "topicfilter", name) for name, _ in packet.filters):
            return
        self._session.filters.update(packet.filters)
        if Fault.NO_SUBACK in self._log.faults:
            return
        self._send(SubAck(packet.packet_id, tuple(qos for _, qos in packet.filters)))
        for name, qos in packet.filters:
            retained = self._broker.retained_for(name)
            if retained is not None:
                self.deliver(replace(retained, qos=min(retained.qos, qos)))
            if Fault.MAXIMUM_FRAGMENT in self._log.faults and qos:
                topic = name.replace("#", "full").replace("+", "full")
                filler = bytes(MAXIMUM_RECORD - AROUND_PAYLOAD - len(topic.encode()))
                self.deliver(Publish(topic, filler, qos=1))

    # -- what goes to the client -----------------------------------------------------------------

    def deliver(self, message: Publish) -> None:
        """See :class:`hil.cloud.local.broker.Subscriber`."""
        session = self._session
        if self._over or session is None or not self._decision("iot:Receive", "topic", message.topic).allowed:
            return
        if message.qos and len(session.in_flight) >= self._broker.limits.in_flight:
            session.waiting.append(message)
            return
        if message.qos:
            message = replace(message, packet_id=session.next_id())
            session.in_flight[message.packet_id] = message
        self._send(message)

    def displaced(self) -> None:
        """See :class:`hil.cloud.local.broker.Subscriber`."""
        self._end("another connection took this client id")

    def _send_waiting(self) -> None:
        session = self._session
        if session is not None and session.waiting and len(session.in_flight) < self._broker.limits.in_flight:
            self.deliver(session.waiting.pop(0))

    def _resume(self) -> None:
        """Repeat what was not acknowledged, then send what waited, ten messages a second."""
        assert self._session is not None, "only after CONNACK"
        for message in self._session.in_flight.values():
            self._send(replace(message, dup=True))
        interval, now = self._broker.limits.stored_interval_us, self._time.now()
        for index in range(len(self._session.waiting)):
            self._time.at(now + index * interval, self._send_waiting, "MQTT: stored message")

    def _send(self, packet: Packet) -> None:
        self._log.packets.append((self._time.now(), "out", type(packet).__name__))
        self._transmit(packet)

    # -- rules -----------------------------------------------------------------------------------

    def _allowed(self, action: str, kind: str, name: str) -> bool:
        """Whether the policies allow it; if not, the connection ends."""
        decision = self._decision(action, kind, name)
        if not decision.allowed and not self._over:
            self._end(decision.reason)
        return decision.allowed

    def _decision(self, action: str, kind: str, name: str) -> Decision:
        resource = f"{self._authority.arn_prefix}:{kind}/{name}"
        return decide(self._statements, action, resource, self._variables)

    def _no_connect(self) -> None:
        if self._log.client_id is None:
            self._end(f"no CONNECT within {self._broker.limits.connect_s} s")

    def _watch(self) -> None:
        """Close when nothing came for one and a half keep-alive intervals, else look again later."""
        due = self._last_packet + self._keep_alive_us
        if self._time.now() >= due:
            self._end(f"nothing from the client for {self._keep_alive_us / 1e6:g} s (keep-alive)")
        else:
            self._timer = self._time.at(due, self._watch, "MQTT: keep-alive")
