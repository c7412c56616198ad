"""One connection of a device to the local endpoint, without I/O: TLS, then MQTT."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hil.cloud.local.faults import Fault
from hil.cloud.local.mqttserver import MqttServer
from hil.cloud.local.tlsserver import TlsRefusal, TlsServer
from hil.errors import FrameError
from hil.tls.hello import plain_alert
from hil.wire.mqtt import encode

if TYPE_CHECKING:
    from collections.abc import Callable

    from hil.cloud.local.endpoint import Endpoint
    from hil.cloud.local.faults import SessionLog
    from hil.cloud.local.mqttserver import Timer
    from hil.wire.mqtt import Packet

__all__ = ["Session"]

DRIP_BYTES = 16
DRIP_US = 10_000
"""Piece and pause of :attr:`Fault.SLOW_DRIP`."""
HANDSHAKE = 22
"""Content type of a TLS record (RFC 8446 section 5.1)."""


class Session:
    """A connection: :meth:`receive` takes what arrives, ``send`` and ``close`` act.

    Made by :meth:`hil.cloud.local.endpoint.Endpoint.session`.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        log: SessionLog,
        send: Callable[[bytes], None],
        close: Callable[[], None],
        now: Callable[[], int],
        at: Callable[[int, Callable[[], None], str], Timer],
        port: int,
    ) -> None:
        self.log = log
        self.now = now
        self.at = at
        self._endpoint = endpoint
        self._send = send
        self._close = close
        self._port = port
        self._tls = TlsServer()
        self._drip_free = 0
        self._verdict = ""
        self._mqtt = MqttServer(endpoint, endpoint.broker, log, self, self._transmit, self.end)

    def receive(self, data: bytes) -> None:
        """Bytes from the client; ``b""`` is the end of its stream."""
        if self.log.closed_us is not None:
            return
        if not data:
            self.end("the client closed the connection")
            return
        try:
            self._advance(data)
        except (TlsRefusal, FrameError) as error:
            self.end(self._verdict or str(error))
        finally:
            self._flush()

    def end(self, reason: str) -> None:
        """Close the connection and note why."""
        log = self.log
        if log.closed_us is not None:
            return
        log.closed_us = self.now()
        log.reason = reason
        if log.verdict == "pending":
            log.verdict = "refused"
        self._tls.close_notify()
        self._flush()
        if self._drip_free > self.now():
            self.at(self._drip_free, self._close, "endpoint: close behind the drip")
        else:
            self._close()
        self._mqtt.closed()
        self._endpoint.forget(self)

    # -- TLS ---------------------------------------------------------------------------------------

    def _advance(self, data: bytes) -> None:
        if self._tls.hello is None:
            if not self._begin(data):
                return
            plaintext = self._tls.advance()
        else:
            plaintext = self._tls.advance(data)
        if self._tls.established and self.log.version is None:
            self._established()
        if plaintext:
            self._mqtt.receive(plaintext)

    def _begin(self, data: bytes) -> bool:
        """Look at the ClientHello; True when the handshake can start."""
        hello = self._tls.read_hello(data)
        if hello is None:
            return False
        self.log.hello = hello
        self.log.stamp("client-hello", self.now())
        choice = self._endpoint.choose(hello, self.log, self._port)
        if isinstance(choice, tuple):
            alert, reason = choice
            self.log.reason = reason  # whoever reads the alert can read why
            self._send(plain_alert(alert))
            self.end(reason)
            return False
        judge = self._judge if self._endpoint.refusal == "handshake" else None
        self._tls.start(choice, judge)
        return True

    def _judge(self, der: bytes) -> bool:
        """Decide within the handshake; the reason is kept for the log."""
        self.log.client_chain = (der,)
        self._endpoint.identify(self.log)
        record = self._endpoint.admit(self.log)
        if isinstance(record, str):
            self._verdict = record
            return False
        return True

    def _established(self) -> None:
        log, now = self.log, self.now()
        log.version, log.cipher = self._tls.version, self._tls.cipher
        log.stamp("client-flight", now)
        log.stamp("tls-done", now)
        log.client_chain = self._tls.client_chain()
        self._endpoint.identify(log)

    # -- what leaves -------------------------------------------------------------------------------

    def _transmit(self, packet: Packet) -> None:
        self._tls.send(encode(packet))
        self._flush()

    def _flush(self) -> None:
        data = self._tls.outgoing()
        if not data:
            return
        if data[0] == HANDSHAKE:  # an alert in its place is no flight
            self.log.stamp("server-flight", self.now())
        if Fault.SLOW_DRIP not in self.log.faults:
            self._send(data)
            return
        for start in range(0, len(data), DRIP_BYTES):
            self._drip_free = max(self._drip_free, self.now()) + DRIP_US
            piece = data[start : start + DRIP_BYTES]
            self.at(self._drip_free, lambda piece=piece: self._send(piece), "endpoint: drip")  # type: ignore[misc]
