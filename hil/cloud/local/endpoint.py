"""The MQTT endpoint of the local cloud: what a device meets on port 8883 (or 443) of AWS IoT Core.

Sans-IO: whoever has connections asks for a :meth:`Endpoint.session` and feeds it. In an emulated
world the sessions are actors in the heap, for outside programs :mod:`hil.cloud.local.front` puts real
sockets before them. Whether a device is let in is decided at its CONNECT, not in the handshake, as AWS
does (aws-iot-device-sdk-embedded-C issue 1920, paho.mqtt issue 448): a device that is not wanted
finds its connection closed without a CONNACK.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

from cryptography import x509

from hil.cloud.local.broker import Broker, Limits
from hil.cloud.local.faults import FAULTY_CHAINS, Fault, SessionLog
from hil.cloud.local.session import Session
from hil.cloud.local.tlsserver import NO_APPLICATION_PROTOCOL, UNRECOGNIZED_NAME, context
from hil.cloud.registry import CertificateRecord, Registry, certificate_id
from hil.wire.mqttpackets import Publish

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from OpenSSL import SSL

    from hil.clock import Calendar
    from hil.cloud.local.mqttserver import Timer
    from hil.cloud.local.pki import ChainKind, ServerPki, Variant
    from hil.tls.hello import ClientHello

__all__ = ["ALPN_MQTT", "Endpoint", "Refusal"]

Refusal = Literal["close", "connack", "handshake"]

ALPN_MQTT = "x-amzn-mqtt-ca"
"""Application protocol of MQTT with client certificates; port 443 requires it."""

ECDSA_SHA256 = 0x0403
TLS_1_3 = 0x0304
ECDSA_SUITES = frozenset({0xC009, 0xC00A, 0xC023, 0xC024, 0xC02B, 0xC02C})
"""ECDHE_ECDSA suites of AWS IoT for TLS 1.2 (IANA numbers)."""


class Endpoint:
    """An endpoint and everything its connections share.

    Args:
        registry: knows the certificates; asked at every CONNECT.
        pki: the endpoint's own certificates.
        account: AWS account number, for ARNs.
        region: AWS region, for ARNs.
        host: the endpoint's name, which SNI must carry.
        names: other names that SNI may carry, for outside programs on loopback.
        first_connect: just-in-time registration: called at CONNECT with a certificate (DER) that is not
            registered; its record, or None if no registered CA signed it.
        limits: quotas.
        sni_required: refuse connections without SNI.
        refusal: how a device that is not wanted learns it: ``"close"`` (after CONNECT, without CONNACK),
            ``"connack"`` (CONNACK 5, then close) or ``"handshake"`` (an alert instead of a connection;
            reports of what AWS does contradict each other, see floci pull request 3180).
        calendar: refuse expired client certificates by this date. None: they are let in; what AWS
            does is not published.
    """

    def __init__(
        self,
        registry: Registry,
        pki: ServerPki,
        *,
        account: str,
        region: str,
        host: str,
        names: Sequence[str] = (),
        first_connect: Callable[[bytes], CertificateRecord | None] | None = None,
        limits: Limits | None = None,
        sni_required: bool = True,
        refusal: Refusal = "close",
        calendar: Calendar | None = None,
    ) -> None:
        self.host = host
        self.pki = pki
        self.arn_prefix = f"arn:aws:iot:{region}:{account}"
        self.broker = Broker(limits or Limits())
        self.logs: list[SessionLog] = []
        """Every connection so far, oldest first."""
        self.faults: Callable[[int], frozenset[Fault]] = lambda number: frozenset()
        """What goes wrong on connection ``number`` (counted from 1)."""
        self.refusal = refusal
        self._registry = registry
        self._names = {name.lower() for name in (host, *names)}
        self._first_connect = first_connect
        self._sni_required = sni_required
        self._calendar = calendar
        self._contexts: dict[tuple[ChainKind, Variant], SSL.Context] = {}
        self._open: list[Session] = []

    def session(
        self,
        send: Callable[[bytes], None],
        close: Callable[[], None],
        now: Callable[[], int],
        at: Callable[[int, Callable[[], None], str], Timer],
        *,
        client: str = "",
        port: int = 8883,
    ) -> Session:
        """A new connection.

        Args:
            send: sends bytes to the client.
            close: closes the connection behind them.
            now: the time in us.
            at: timers: ``at(due, fn, what)`` returns something with ``cancel``.
            client: who connects, for the log.
            port: the port it came to; 443 requires ALPN.
        """
        number = len(self.logs) + 1
        log = SessionLog(number, client, now(), self.faults(number))
        self.logs.append(log)
        session = Session(self, log, send, close, now, at, port)
        self._open.append(session)
        return session

    def publish(self, topic: str, payload: bytes, *, qos: int = 0, now: int = 0) -> None:
        """Publish as the cloud itself, to whoever subscribed."""
        self.broker.publish(Publish(topic, payload, qos), now)

    def disconnect(self, reason: str = "the operator disconnected it") -> None:
        """Close every open connection."""
        for session in list(self._open):
            session.end(reason)

    def recheck(self) -> None:
        """Close the connections whose certificate is no longer active."""
        for session in list(self._open):
            if session.log.verdict != "accepted":
                continue
            record = self.admit(session.log)
            if isinstance(record, str):
                session.end(record)

    # -- what sessions ask -------------------------------------------------------------------------

    def forget(self, session: Session) -> None:
        """The session has ended."""
        self._open.remove(session)

    def choose(self, hello: ClientHello, log: SessionLog, port: int) -> SSL.Context | tuple[int, str]:
        """What the client is shown, or the alert and the reason for refusing it before the handshake."""
        if hello.server_name is None:
            if self._sni_required:
                return UNRECOGNIZED_NAME, "the ClientHello has no server name (SNI)"
        elif hello.server_name.lower() not in self._names:
            return UNRECOGNIZED_NAME, f"SNI names {hello.server_name}, not {self.host}"
        if port == 443 and ALPN_MQTT not in hello.alpn:
            offered = ", ".join(hello.alpn) or "none"
            return NO_APPLICATION_PROTOCOL, f"port 443 needs ALPN {ALPN_MQTT}; offered: {offered}"
        kind: ChainKind = "rsa" if Fault.RSA_CHAIN in log.faults or not _takes_ecdsa(hello) else "ec"
        variants = [variant for fault, variant in FAULTY_CHAINS.items() if fault in log.faults]
        return self._context(kind, variants[0] if variants else "good")

    def _context(self, kind: ChainKind, variant: Variant) -> SSL.Context:
        if (kind, variant) not in self._contexts:
            self._contexts[kind, variant] = context(self.pki.chain(kind, variant), alpn=(ALPN_MQTT,))
        return self._contexts[kind, variant]

    def identify(self, log: SessionLog) -> None:
        """The handshake is done: note whose certificate it was."""
        log.certificate_id = certificate_id(log.client_chain[0])

    def admit(self, log: SessionLog) -> CertificateRecord | str:
        """The record of the session's certificate if it is active, or the reason for refusing it."""
        der = log.client_chain[0]
        fingerprint = hashlib.sha256(der).hexdigest()
        record = self._registry.certificate(fingerprint)
        if record is None and self._first_connect is not None:
            record = self._first_connect(der)
        if record is None:
            return f"certificate {_describe(der)} is not registered"
        if record.status != "ACTIVE":
            return f"certificate {_describe(der)} is {record.status}"
        if self._calendar is not None:
            end = x509.load_der_x509_certificate(der).not_valid_after_utc
            if datetime.fromtimestamp(self._calendar.time(), UTC) > end:
                return f"certificate {_describe(der)} expired at {end:%Y-%m-%d}"
        return record


def _takes_ecdsa(hello: ClientHello) -> bool:
    """Whether the client can verify an EC server certificate."""
    if ECDSA_SHA256 not in hello.signature_schemes:
        return False
    return TLS_1_3 in hello.versions or bool(ECDSA_SUITES & set(hello.cipher_suites))


def _describe(der: bytes) -> str:
    certificate = x509.load_der_x509_certificate(der)
    return (
        f"{hashlib.sha256(der).hexdigest()[:16]}… ({certificate.subject.rfc4514_string()}, "
        f"issued by {certificate.issuer.rfc4514_string()})"
    )
