"""The MQTT client of an emulated Mongoose OS board: one connection, kept up for ever.

Connects as the configuration says, subscribes, pings, and starts again after a back-off when
anything fails. Source: mongoose-os-libs/mqtt ``src/mgos_mqtt_conn.c``.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from hil.emulator.boards.mongoose_boot import App
from hil.emulator.boards.mongoose_log import DEBUG, ERROR, INFO, Origin
from hil.emulator.boards.mongoose_node import FAILURES, reason_of
from hil.wire.mqtt import (
    ConnAck,
    Connect,
    Decoder,
    Packet,
    PingReq,
    PingResp,
    PubAck,
    PubComp,
    Publish,
    PubRec,
    PubRel,
    SubAck,
    Subscribe,
    encode,
)

if TYPE_CHECKING:
    from hil.emulator.boards.mongoose_net import Connector
    from hil.emulator.boards.mongoose_node import Connection

__all__ = ["Mqtt"]

_CONNECT = Origin("mgos_mqtt_conn.c", 471)
_TIME = Origin("mgos_mqtt_conn.c", 430)
_EVENT = Origin("mgos_mqtt_conn.c", 242)
_SUB = Origin("mgos_mqtt_conn.c", 211)
_PUB = Origin("mgos_mqtt_conn.c", 196)
_RECONNECT = Origin("mgos_mqtt_conn.c", 551)

CONNACK_TIMEOUT_US = 30_000_000
"""Not documented for the firmware; a knob of the model."""
REPEAT_US = 10_000_000
"""How long the application waits for a SUBACK."""
DAY_S = 86_400.0
VALID_TIME = 1_500_000_000
"""An earlier time counts as not set (``mqtt.require_time``)."""


@dataclass
class Mqtt:
    """The client; made anew at each boot.

    Attributes:
        connector: opens the connection; also holds the running firmware's parts.
        app: what the application does with it.
        subscriptions: topic filter to QoS; renewed after each connect.
        connected: CONNACK 0 came and the connection stands.
        received: messages that were published to the board.
    """

    connector: Connector
    app: App = field(default_factory=App)
    subscriptions: dict[str, int] = field(default_factory=dict)
    connected: bool = False
    received: list[Publish] = field(default_factory=list)

    def __post_init__(self) -> None:
        node = self.connector.node
        self._world = node.world
        self._console = node.console
        self._config = node.config
        self._step = node.cpu.step
        self._manners = node.manners
        self._id = self._config.text("mqtt.client_id") or self._config.text("device.id")
        if self._manners.subscribes:
            self.subscriptions.update({name.format(id=self._id): qos for name, qos in self.app.subscriptions})
        self._connection: Connection | None = None
        self._decoder = Decoder()
        self._last_packet_us = 0
        self._packet_id = 0
        self._backoff_ms = 0
        self._failures = 0
        self._heard_us = 0
        self._unanswered: dict[int, tuple[int, Subscribe]] = {}
        self._queue: list[Packet] = []
        self._unacknowledged: dict[int, Publish] = {}
        self._parked = False

    # -- what an application asks ----------------------------------------------------------

    def publish(self, topic: str, payload: bytes, qos: int = 0) -> None:
        """Publish now, or once the board is connected.

        With QoS 1 or 2 it is sent again after each connect until it is acknowledged.
        """
        message = Publish(topic, payload, qos, self._next_id() if qos else 0)
        if qos:
            self._unacknowledged[message.packet_id] = message
            if len(self._unacknowledged) > self._config.integer("mqtt.max_queue_length"):
                self._console.log(_PUB, "MQTT0 queue overflow!", ERROR)
                del self._unacknowledged[next(iter(self._unacknowledged))]
            if not self.connected:
                return  # it waits for the CONNACK among the unacknowledged
        self._submit(message)

    def subscribe(self, topic_filter: str, qos: int = 0) -> None:
        """Subscribe now, and after each further connect."""
        self.subscriptions[topic_filter] = qos
        if self.connected:
            self._submit(self._subscription(topic_filter, qos))

    def _subscription(self, topic_filter: str, qos: int) -> Subscribe:
        packet = Subscribe(self._next_id(), ((topic_filter, qos),))
        self._unanswered[packet.packet_id] = self._world.now, packet
        return packet

    def _submit(self, packet: Packet) -> None:
        self._queue.append(packet)
        if self._parked:
            with suppress(ConnectionError):  # the task finds the dead connection by itself
                self._drain()

    # -- the task --------------------------------------------------------------------------

    def run(self) -> None:
        """Connect and reconnect until the power goes."""
        while True:
            if self._config.flag("mqtt.require_time") and self.connector.node.calendar.time() < VALID_TIME:
                self._console.log(_TIME, "Time is not set, not connecting", ERROR)
            else:
                try:
                    self._connect_and_serve()
                except ConnectionError:
                    self._end()
            self._wait_before_reconnect()

    def _end(self) -> None:
        was_connected, self.connected = self.connected, False
        self._unanswered.clear()
        # Subscriptions and messages with QoS come again with the next CONNACK.
        self._queue = [packet for packet in self._queue if isinstance(packet, Publish) and not packet.qos]
        connection, self._connection = self._connection, None
        if connection is not None:
            try:
                connection.close()
            except FAILURES as error:
                self._console.log(_EVENT, f"MQTT0 close: {reason_of(error)}", DEBUG)
        self._console.log(_EVENT, "MQTT0 disconnected")
        self._step("disconnected", was_connected=int(was_connected))

    def _wait_before_reconnect(self) -> None:
        low, high = (
            round(min(self._config.number(f"mqtt.reconnect_timeout_{end}"), DAY_S) * 1000)
            for end in ("min", "max")
        )
        self._backoff_ms = max(1, min(max(max(self._backoff_ms, 1000) * 2, low), high))
        self._failures += 1
        wait_ms = self._manners.wait_ms(self._failures, self._backoff_ms, self.connector.node.rng)
        self._console.log(_RECONNECT, f"MQTT0 connecting after {wait_ms} ms")
        self._world.sleep(wait_ms * 1000)

    def _connect_and_serve(self) -> None:
        host, port = self._server()
        self._console.log(_CONNECT, f"MQTT0 connecting to {host}:{port}")
        self._step("connecting", server=f"{host}:{port}")
        self._connection = self.connector.open(host, port)
        self._decoder = Decoder(self._config.integer("mqtt.recv_mbuf_limit"))
        self._send(self._hello())
        while True:
            for packet in self._decoded(self._receive()):
                self._packet(packet)
            self._drain()

    def _server(self) -> tuple[str, int]:
        host, _, port = self._config.text("mqtt.server").rpartition(":")
        if not host:
            return port, 8883 if self._config.text("mqtt.ssl_ca_cert") else 1883
        return host, int(port) if port.isdecimal() else 0

    # -- packets ---------------------------------------------------------------------------

    def _hello(self) -> Connect:
        config = self._config
        will = None
        if topic := config.text("mqtt.will_topic"):
            message = config.text("mqtt.will_message").encode()
            will = Publish(topic, message, retain=config.flag("mqtt.will_retain"))
        return Connect(
            self._id,
            config.flag("mqtt.clean_session") or not self._manners.keeps_session,
            config.integer("mqtt.keep_alive") & 0xFFFF,
            config.text("mqtt.user") or None,
            config.text("mqtt.pass").encode() or None,
            will,
        )

    def _receive(self) -> bytes:
        """What arrived; empty after a ping, which is sent when the keep-alive time has passed."""
        connection = self._connection
        assert connection is not None, "only a connection is served"
        self._parked = self.connected
        try:
            if connection.wait_readable(self._patience()):
                data = connection.recv()
                if not data:
                    raise ConnectionAbortedError("closed by the server")
                self._heard_us = self._world.now
                return data
        except FAILURES as error:
            raise self._lost(error) from error
        finally:
            self._parked = False
        if not self.connected:
            raise self._lost(TimeoutError("no CONNACK"))
        self._overdue()
        return b""

    def _overdue(self) -> None:
        """A time has come: for a ping, or for the application to do something about silence."""
        now = self._world.now
        silent = self._silent_at()
        if silent is not None and now >= silent:
            raise self._lost(TimeoutError("no answer from the server"))
        for packet_id, due in self._repeats().items():
            if now >= due:
                packet = self._unanswered[packet_id][1]
                self._unanswered[packet_id] = now, packet
                self._send(packet)
        if self._keep_alive_us and now >= self._last_packet_us + self._keep_alive_us:
            self._send(PingReq())

    @property
    def _keep_alive_us(self) -> int:
        return (self._config.integer("mqtt.keep_alive") & 0xFFFF) * 1_000_000

    def _silent_at(self) -> int | None:
        """When the application gives the server up: it has said nothing for 1.5 keep-alive times."""
        if not (self._keep_alive_us and self.app.supervises and self._manners.notices_silence):
            return None
        return self._heard_us + self._keep_alive_us * 3 // 2

    def _repeats(self) -> dict[int, int]:
        """Packet id of each unanswered SUBSCRIBE and when it is sent again."""
        if not (self.app.supervises and self._manners.repeats_subscribe):
            return {}
        return {packet_id: sent + REPEAT_US for packet_id, (sent, _) in self._unanswered.items()}

    def _patience(self) -> int | None:
        if not self.connected:
            return self._last_packet_us + CONNACK_TIMEOUT_US
        dues = list(self._repeats().values())
        if self._keep_alive_us:
            dues.append(self._last_packet_us + self._keep_alive_us)
        silent = self._silent_at()
        if silent is not None:
            dues.append(silent)
        return min(dues, default=None)

    def _decoded(self, data: bytes) -> list[Packet]:
        try:
            return list(self._decoder.feed(data))
        except FAILURES as error:
            raise self._lost(error) from error

    def _lost(self, error: Exception) -> ConnectionAbortedError:
        self._console.log(_EVENT, f"MQTT0 connection lost: {reason_of(error)}", ERROR)
        return ConnectionAbortedError(str(error))

    def _packet(self, packet: Packet) -> None:
        if isinstance(packet, ConnAck):
            self._connack(packet)
            return
        self._console.log(_EVENT, f"MQTT0 {type(packet).__name__}", DEBUG)
        if isinstance(packet, Publish):
            self.received.append(packet)
            if packet.qos and self._manners.acknowledges:
                self._send(PubAck(packet.packet_id))
        elif isinstance(packet, PubAck | PubComp):
            self._unacknowledged.pop(packet.packet_id, None)
        elif isinstance(packet, PubRec):
            self._send(PubRel(packet.packet_id))
        elif isinstance(packet, SubAck):
            self._unanswered.pop(packet.packet_id, None)
        elif isinstance(packet, PingResp) and self._unacknowledged and self._manners.repeats_publish:
            # The library sends the oldest again when the server has shown that it is there.
            self._send(replace(next(iter(self._unacknowledged.values())), dup=True))

    def _connack(self, packet: ConnAck) -> None:
        code = packet.code
        self._console.log(_EVENT, f"MQTT0 CONNACK {code}", INFO if code == 0 else ERROR)
        self._step("connack" if code == 0 else "refused", code=code)
        if code:
            raise ConnectionAbortedError(f"refused with code {code}")
        self.connected = True
        self._backoff_ms = self._failures = 0
        if not (packet.session_present and self.app.supervises):
            for topic_filter, qos in self.subscriptions.items():
                self._send(self._subscription(topic_filter, qos))
                self._console.log(_SUB, f"MQTT0 sub {topic_filter} @ {qos}")
        self._queue[:0] = [replace(message, dup=True) for message in self._unacknowledged.values()]
        for topic, text, qos in self.app.messages if self._manners.publishes else ():
            self.publish(topic.format(id=self._id), text.encode(), qos)

    def _drain(self) -> None:
        """Send what the application asked for meanwhile."""
        while self._queue and self.connected:
            packet = self._queue.pop(0)
            self._send(packet)
            if isinstance(packet, Publish):
                what = f"{packet.packet_id} {packet.topic} @ {packet.qos} ({len(packet.payload)})"
                self._console.log(_PUB, f"MQTT0 pub -> {what}", DEBUG)

    def _send(self, packet: Packet) -> None:
        assert self._connection is not None, "there is a connection while packets are sent"
        try:
            for piece in self._manners.pieces(encode(packet)):
                self._connection.send(piece)
        except FAILURES as error:
            raise self._lost(error) from error
        self._last_packet_us = self._world.now

    def _next_id(self) -> int:
        self._packet_id = self._packet_id % 0xFFFF + 1
        return self._packet_id
