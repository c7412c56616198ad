"""Faults that the endpoint shows to one connection on demand, and the evidence it keeps of each.

The names are those of what a device meets, after the test cases of AWS IoT Device Advisor.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from hil.cloud.local.pki import Variant
    from hil.tls.hello import ClientHello
    from hil.wire.mqtt import Packet

__all__ = ["FAULTY_CHAINS", "Fault", "SessionLog"]


class Fault(StrEnum):
    """What goes wrong on purpose."""

    REFUSE = "refuse"
    """CONNECT is answered by closing the connection, as AWS does with a device it does not want."""
    NO_CONNACK = "no-connack"
    """CONNECT is never answered; the connection stays open."""
    NO_PUBACK = "no-puback"
    NO_SUBACK = "no-suback"
    NO_PINGRESP = "no-pingresp"
    DISCONNECT = "disconnect"
    """The connection is closed right behind the CONNACK."""
    EXPIRED_CERTIFICATE = "expired-certificate"
    NOT_YET_VALID_CERTIFICATE = "not-yet-valid-certificate"
    WRONG_NAME = "wrong-name"
    UNKNOWN_CA = "unknown-ca"
    OVERSIZED_CERTIFICATE = "oversized-certificate"
    RSA_CHAIN = "rsa-chain"
    """The RSA chain is shown, whatever the client prefers."""
    MAXIMUM_FRAGMENT = "maximum-fragment"
    """A message that fills a TLS record of 16384 bytes follows the SUBACK."""
    SLOW_DRIP = "slow-drip"
    """What the endpoint sends trickles in small pieces."""


FAULTY_CHAINS: dict[Fault, Variant] = {
    Fault.EXPIRED_CERTIFICATE: "expired",
    Fault.NOT_YET_VALID_CERTIFICATE: "not-yet-valid",
    Fault.WRONG_NAME: "wrong-name",
    Fault.UNKNOWN_CA: "unknown-ca",
    Fault.OVERSIZED_CERTIFICATE: "oversized",
}
"""Which server certificate a fault shows."""

Phase = Literal["client-hello", "server-flight", "client-flight", "tls-done", "connect", "connack"]


@dataclass
class SessionLog:
    """What happened on one connection; times in us of the clock that the session runs on.

    Attributes:
        number: counts the endpoint's connections from 1.
        client: who connected: an address, or the name of an emulated interface.
        opened_us: when.
        faults: what was shown on purpose.
        phases: when each phase was reached first. From ``server-flight`` to ``client-flight`` is the
            device's cryptography plus one round trip.
        hello: what the client offered.
        version: agreed TLS version, ``"TLSv1.2"`` or ``"TLSv1.3"``.
        cipher: agreed suite, OpenSSL's name.
        client_chain: DER certificates that the client showed.
        certificate_id: SHA-256 of the first of them.
        client_id: of the CONNECT packet.
        verdict: ``accepted`` once the CONNACK said so, ``refused`` if the endpoint closed before it.
        reason: why it was refused or how it ended.
        closed_us: when it ended, None while it is open.
        packets: MQTT packets: time, ``"in"`` or ``"out"``, the packet's name.
        received: what the client sent, with the time.
    """

    number: int
    client: str
    opened_us: int
    faults: frozenset[Fault] = frozenset()
    phases: dict[Phase, int] = field(default_factory=dict)
    hello: ClientHello | None = None
    version: str | None = None
    cipher: str | None = None
    client_chain: tuple[bytes, ...] = ()
    certificate_id: str | None = None
    client_id: str | None = None
    verdict: Literal["pending", "accepted", "refused"] = "pending"
    reason: str = ""
    closed_us: int | None = None
    packets: list[tuple[int, Literal["in", "out"], str]] = field(default_factory=list)
    received: list[tuple[int, Packet]] = field(default_factory=list)

    def stamp(self, phase: Phase, now: int) -> None:
        """Note when ``phase`` was reached; only the first time counts."""
        self.phases.setdefault(phase, now)
