"""Connect time, read off a board's console.

From ``MQTT connecting to`` to ``CONNACK 0``, on the clock of the port: it includes DNS, TCP, TLS
and the MQTT handshake. In TLS 1.3 a refused client certificate shows only after the handshake, so
nothing before the CONNACK counts as connected. The firmware's line ``TCP connected ok`` is
printed when TLS is done (cesanta/mongoose ``mg_ssl_handshake``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from hil.wire.loglines import log_event, parse_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from hil.clock import Clock

__all__ = ["Connection", "Step", "next_connection", "read_connection"]

_STEPS = {
    "tcp_up": "tcp",
    "verify": "element-verify",
    "ecdh_pubkey": "element-ecdh-key",
    "ecdh": "element-ecdh",
    "sign": "element-sign",
    "tls_done": "tls",
    "connack": "connack",
}
_SOFTWARE = ("software_ecdh", "element_failed")
_SOFTWARE_TEXT = "SW EC"


class TimedLine(Protocol):
    """A console line with the time at which it began, in microseconds."""

    @property
    def at(self) -> int: ...
    @property
    def text(self) -> str: ...


class LineSource(Protocol):
    """What reading a connection needs of a console."""

    @property
    def clock(self) -> Clock: ...
    @property
    def lines(self) -> Sequence[TimedLine]: ...
    def pump(self, deadline: int) -> bool: ...


@dataclass(frozen=True)
class Step:
    """One step of a connection: what was reached, and when, in microseconds after its start."""

    name: str
    after_us: int
    text: str


@dataclass(frozen=True)
class Connection:
    """One attempt to connect.

    Attributes:
        started_us: when the firmware began, on the port's clock.
        steps: what was reached, in order.
        connack: the CONNACK's code, or None if none came.
        software: lines that say that the MCU did cryptography itself.
        ended: the firmware's line that ended the attempt without a CONNACK, if any.
        waited_us: how long was waited.
    """

    started_us: int | None
    steps: tuple[Step, ...]
    connack: int | None
    software: tuple[str, ...]
    ended: str | None
    waited_us: int

    @property
    def duration_us(self) -> int:
        """From the start to the CONNACK; without one, how long was waited (a censored time)."""
        for step in self.steps:
            if step.name == "connack":
                return step.after_us
        return self.waited_us

    def count(self, name: str) -> int:
        """How often a step occurred."""
        return sum(step.name == name for step in self.steps)

    def explain(self) -> str:
        """How far it came and what to look at, for a failed test."""
        if self.started_us is None:
            return (
                f"the board never began to connect within {self.waited_us / 1e6:.1f} s: "
                "is mqtt.enable set, and is there a network and a time?"
            )
        reached = ", ".join(f"{s.name} +{s.after_us / 1000:.1f} ms" for s in self.steps) or "nothing"
        if self.connack is None:
            last = f"; then: {self.ended!r}" if self.ended else ""
            where = (
                "the endpoint closed the connection instead of sending CONNACK: certificate not registered "
                "or not active, no policy, or the broker refuses"
                if self.count("tls")
                else "the TLS handshake did not end: server chain, clock, or the element"
            )
            return f"no CONNACK: {where}. Reached: {reached}{last}"
        return f"CONNACK {self.connack}. Reached: {reached}"


def read_connection(lines: Iterable[TimedLine], *, waited_us: int) -> Connection:
    """The first connection attempt in ``lines``."""
    start: int | None = None
    steps: list[Step] = []
    software: list[str] = []
    for line in lines:
        message = parse_line(line.text).message
        event = log_event(message)
        kind = "" if event is None else event.kind
        if kind == "mqtt_connecting":
            if start is not None:
                break
            start = line.at
            continue
        if start is None:
            continue
        if kind in _SOFTWARE or message.startswith(_SOFTWARE_TEXT):
            software.append(message)
        if kind == "mqtt_disconnected":
            return Connection(start, tuple(steps), None, tuple(software), message, waited_us)
        if kind in _STEPS:
            steps.append(Step(_STEPS[kind], line.at - start, message))
        if event is not None and kind == "connack":
            code = int(event.fields["code"])
            return Connection(start, tuple(steps), code, tuple(software), None, waited_us)
    return Connection(start, tuple(steps), None, tuple(software), None, waited_us)


def next_connection(source: LineSource, since: int = 0, *, timeout_us: int) -> Connection:
    """Wait for the next attempt to end, by a CONNACK or without one.

    Args:
        source: the board's console.
        since: index of the first line to look at; lines before belong to earlier attempts.
        timeout_us: how long to wait; an attempt that has not ended by then is censored.
    """
    start = source.clock.now
    deadline = start + timeout_us
    while True:
        connection = read_connection(source.lines[since:], waited_us=source.clock.now - start)
        if connection.connack is not None or connection.ended is not None:
            return connection
        if not source.pump(deadline):
            return read_connection(source.lines[since:], waited_us=source.clock.now - start)
