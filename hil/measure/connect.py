"""Connect time, read off a board's console.

From ``MQTT connecting to`` to ``CONNACK 0``, on the clock of the port: it includes DNS, TCP, TLS
and the MQTT handshake. In TLS 1.3 a refused client certificate shows only after the handshake, so
nothing before the CONNACK counts as connected. The firmware's line ``TCP connected ok`` is
printed when TLS is done (cesanta/mongoose ``mg_ssl_handshake``).
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple, Protocol

import msgspec

from hil.wire.loglines import LogEvent, log_event, parse_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from hil.clock import Clock

__all__ = ["ELEMENT_STEPS", "Connection", "Step", "next_connection", "read_connection"]

ELEMENT_STEPS = ("element-verify", "element-ecdh-key", "element-ecdh", "element-sign")
"""Steps that end with an operation of the element."""

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
_SOFTWARE_TEXT = re.compile(r"SW EC|ATCA is not available \(|ATCA:\d+ failed to gen ECDH")
# The words of forum.mongoose-os.com discussion 220 and community.mongoose-os.com t/1633.
_MCU_STEP = re.compile(r"SW (ECDSA verify|ECDH|ECDSA sign) ")
_MCU_STEPS = {"ECDSA verify": "mcu-verify", "ECDH": "mcu-ecdh", "ECDSA sign": "mcu-sign"}
_TROUBLE = re.compile(r"TLS handshake error|SSL error|Time is not set|MQTT\d* TCP connect error|mg_ssl_if")
_NO_TIME = re.compile(r"Time is not set|it is 19[0-9]{2}-")


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


class Step(msgspec.Struct, frozen=True):
    """One step of a connection: what was reached, and when, in microseconds after its start.

    Attributes:
        name: ``tcp``, one of :data:`ELEMENT_STEPS`, ``mcu-verify``, ``mcu-ecdh``, ``mcu-sign``, ``tls``
            or ``connack``.
        slot: the element's slot, where the firmware names one.
    """

    name: str
    after_us: int
    text: str
    slot: int | None = None


class Connection(msgspec.Struct, frozen=True):
    """One attempt to connect.

    Attributes:
        started_us: when the firmware began, on the port's clock.
        steps: what was reached, in order.
        connack: the CONNACK's code, or None if none came.
        software: lines that say that the MCU did cryptography itself.
        ended: the firmware's line that ended the attempt without a CONNACK, if any.
        waited_us: how long was waited.
        trouble: lines that say what went wrong.
    """

    started_us: int | None
    steps: tuple[Step, ...]
    connack: int | None
    software: tuple[str, ...]
    ended: str | None
    waited_us: int
    trouble: tuple[str, ...] = ()

    @property
    def duration_us(self) -> int:
        """From the start to the CONNACK; without one, how long was waited (a censored time)."""
        found = self.after("connack")
        return self.waited_us if found is None else found

    def after(self, name: str) -> int | None:
        """When a step was reached first, microseconds after the start; None if it never was."""
        return next((step.after_us for step in self.steps if step.name == name), None)

    def count(self, name: str, slot: int | None = None) -> int:
        """How often a step occurred, in one slot if it is given."""
        return sum(step.name == name and slot in (None, step.slot) for step in self.steps)

    def explain(self) -> str:
        """How far it came and what to look at, for a failed test."""
        no_time = next((line for line in self.trouble if _NO_TIME.search(line)), None)
        if no_time is not None:
            return (
                "time not set: the board's clock was never set, so that it cannot judge the server's "
                f"certificate; check SNTP. It says: {no_time!r}"
            )
        if self.started_us is None:
            return (
                f"the board never began to connect within {self.waited_us / 1e6:.1f} s: "
                "is mqtt.enable set, and is there a network and a time?"
            )
        reached = ", ".join(f"{s.name} +{s.after_us / 1000:.1f} ms" for s in self.steps) or "nothing"
        if self.connack is None:
            said = self.trouble[-1] if self.trouble else self.ended
            last = f"; then: {said!r}" if said else ""
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
    reader = _Reader()
    for line in lines:
        reader.take(line)
        if reader.over:
            break
    return reader.connection(waited_us)


class _Reader:
    """Takes lines one by one until an attempt is over."""

    def __init__(self) -> None:
        self.over = False
        self._start: int | None = None
        self._steps: list[Step] = []
        self._software: list[str] = []
        self._trouble: list[str] = []
        self._connack: int | None = None
        self._ended: str | None = None

    def take(self, line: TimedLine) -> None:
        message, event, trouble, software, name = _meaning(line.text)
        kind = "" if event is None else event.kind
        if trouble:
            self._trouble.append(message)
        if kind == "mqtt_connecting":
            self.over = self._start is not None  # the next attempt begins
            self._start = line.at if self._start is None else self._start
        if self._start is None or self.over:
            return
        if software:
            self._software.append(message)
        if kind == "mqtt_disconnected":
            self._ended, self.over = message, True
            return
        if name is not None:
            slot = None if event is None else event.fields.get("slot")
            after = line.at - self._start
            self._steps.append(Step(name, after, message, None if slot is None else int(slot)))
        if event is not None and kind == "connack":
            self._connack, self.over = int(event.fields["code"]), True

    def connection(self, waited_us: int) -> Connection:
        return Connection(
            self._start,
            tuple(self._steps),
            self._connack,
            tuple(self._software),
            self._ended,
            waited_us,
            tuple(self._trouble),
        )


class _Meaning(NamedTuple):
    """What a line says whenever it comes: its event, whether of trouble or of software, its step."""

    message: str
    event: LogEvent | None
    trouble: bool
    software: bool
    step: str | None


@lru_cache(maxsize=1024)  # every connection prints the same lines
def _meaning(text: str) -> _Meaning:
    message = parse_line(text).message
    event = log_event(message)
    kind = "" if event is None else event.kind
    on_mcu = _MCU_STEP.match(message)
    return _Meaning(
        message,
        event,
        _TROUBLE.match(message) is not None,
        kind in _SOFTWARE or _SOFTWARE_TEXT.match(message) is not None,
        _STEPS.get(kind) or (None if on_mcu is None else _MCU_STEPS[on_mcu[1]]),
    )


def next_connection(source: LineSource, since: int = 0, *, timeout_us: int) -> Connection:
    """Wait for the next attempt to end, by a CONNACK or without one.

    Args:
        source: the board's console.
        since: index of the first line to look at; lines before belong to earlier attempts.
        timeout_us: how long to wait; an attempt that has not ended by then is censored.
    """
    start = source.clock.now
    deadline = start + timeout_us
    reader, position = _Reader(), since
    while True:
        for line in source.lines[position:]:
            position += 1
            reader.take(line)
            if reader.over:
                return reader.connection(source.clock.now - start)
        if not source.pump(deadline):
            return reader.connection(source.clock.now - start)
