"""What happened inside one connection: flights, bus, wake, the element's execution, the MCU's own work.

On an emulated rig the parts themselves are watched, with a logic analyser on the I2C wires. On a
physical rig the console's lines and our endpoint's stamps are all there is; the picture has fewer lanes
then, and none that nobody saw.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from hil.i2c.trace import Transaction, listing
from hil.records.waterfall import Bar, Moment, Waterfall

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hil.connecttime.sampler import Attempt, Sampler, Start
    from hil.emulator.boards.mongoose_tls import Step
    from hil.emulator.builder import EmulatedRig
    from hil.emulator.network import Flight
    from hil.measure.connect import Connection

__all__ = ["Anatomy", "bus_bytes", "dissect"]

_MOMENTS = {"tls": "TLS done", "connack": "CONNACK"}
_WORDS = {
    "element-verify": "verify",
    "element-ecdh-key": "ECDH key",
    "element-ecdh": "ECDH",
    "element-sign": "Sign",
    "mcu-verify": "verify, software",
    "mcu-ecdh": "ECDH, software",
    "mcu-sign": "sign, software",
}


@dataclass
class _Seen:
    """What was watched, by the world's clock."""

    flights: list[Flight] = field(default_factory=list)
    transactions: list[Transaction] = field(default_factory=list)


@dataclass(frozen=True)
class Anatomy:
    """One connection, taken apart.

    Attributes:
        attempt: the connection as console and endpoint saw it.
        waterfall: the bars.
        transactions: what crossed the I2C bus meanwhile; None where nobody could watch it.
    """

    attempt: Attempt
    waterfall: Waterfall
    transactions: tuple[Transaction, ...] | None


def dissect(sampler: Sampler, start: Start = "power-on") -> Anatomy:
    """Let the prepared board connect once, and watch everything that can be watched.

    The logic analyser is seen by firmware that starts while it is attached, so on an emulated rig the
    connection follows a power cycle.
    """
    rig = sampler.rig
    case = sampler.case
    provenance = f"predicted ({rig.emulated.model})" if rig.emulated is not None else "measured (console)"
    if rig.emulated is None:
        (attempt,) = sampler.take(1, start).attempts
        bars = _from_console(attempt.connection)
        seen = None
    else:
        with _watched(rig.emulated) as seen:
            steps = len(rig.emulated.firmware.timeline)
            executed = len(rig.emulated.element.chip.log)
            (attempt,) = sampler.take(1, "power-on").attempts
        bars = _from_parts(rig.emulated, seen, attempt.connection, steps, executed)
    connection = attempt.connection
    waterfall = Waterfall(
        case=case.name,
        rig=rig.name,
        clock=rig.clock.kind,
        provenance=provenance,
        total_us=connection.duration_us,
        bars=tuple(sorted(bars, key=lambda bar: (bar.start_us, bar.lane))),
        moments=_moments(attempt),
    )
    transactions = None if seen is None else tuple(_within(seen.transactions, connection))
    return Anatomy(attempt, waterfall, transactions)


def bus_bytes(transactions: tuple[Transaction, ...]) -> int:
    """Bytes that crossed the bus, addresses included, without the polls of a busy element.

    How often a busy element is polled depends on its speed; the rest depends on the commands alone.
    """
    return sum(
        1 + (len(one.data) if one.op != "read" else one.length)
        for one in transactions
        if one.nack is None and one.error is None and one.op != "wake"
    )


@contextmanager
def _watched(emulated: EmulatedRig) -> Iterator[_Seen]:
    seen = _Seen()
    network, lines = emulated.network, emulated.lines
    before = network.on_flight, lines.analyser
    network.on_flight, lines.analyser = seen.flights.append, seen.transactions.append
    try:
        yield seen
    finally:
        network.on_flight, lines.analyser = before


def _moments(attempt: Attempt) -> tuple[Moment, ...]:
    connection = attempt.connection
    found = [Moment(step.after_us, _MOMENTS[step.name]) for step in connection.steps if step.name in _MOMENTS]
    session, start = attempt.session, connection.started_us
    if session is not None and start is not None and attempt.agreement is not None:
        found.append(Moment(attempt.agreement.hello_lag_us, "ClientHello"))
    return tuple(sorted(found, key=lambda moment: moment.at_us))


def _from_console(connection: Connection) -> list[Bar]:
    """Operations between the console's lines; all that a physical board shows."""
    bars = []
    previous = 0
    for step in connection.steps:
        if step.name in _WORDS:
            bars.append(Bar("operation", previous, step.after_us - previous, _WORDS[step.name], step.text))
        previous = step.after_us
    return bars


def _from_parts(
    emulated: EmulatedRig, seen: _Seen, connection: Connection, first_step: int, first_command: int
) -> list[Bar]:
    start = connection.started_us
    if start is None:
        return []
    end = start + connection.duration_us
    bars = [
        Bar("network", flight.sent_us - start, flight.arrived_us - flight.sent_us, _flight(flight))
        for flight in seen.flights
        if start <= flight.sent_us <= end
    ]
    bars += _bus_bars(seen.transactions, start, end)
    for executed in emulated.element.chip.log[first_command:]:
        if start <= executed.at_us <= end and executed.command is not None:
            bars.append(Bar("chip", executed.at_us - start, executed.us, executed.command.label))
    for step in emulated.firmware.timeline[first_step:]:
        if start <= step.at_us <= end and "us" in step.detail:
            bars.append(_step_bar(step, start, seen))
    return bars


def _step_bar(step: Step, start: int, seen: _Seen) -> Bar:
    us = int(step.detail["us"])
    begin = step.at_us - us
    if step.phase != "crypto":
        label = {"prepared": "certificates, name resolution", "hash": "hash the server's chain"}
        return Bar("board", begin - start, us, label.get(step.phase, step.phase))
    operation = str(step.detail["operation"])
    if step.detail["where"] != "element":
        return Bar("mcu", begin - start, us, operation)
    inside = [one for one in seen.transactions if begin <= one.at <= step.at_us]
    return Bar("operation", begin - start, us, operation, listing(inside))


def _bus_bars(transactions: list[Transaction], start: int, end: int) -> list[Bar]:
    """Transactions, and from each wake pulse to the wake answer; polls of a busy element are left out."""
    bars: list[Bar] = []
    pulse: Transaction | None = None
    for one in transactions:
        if not start <= one.at <= end:
            continue
        if one.op == "wake":
            pulse = one
        elif pulse is not None and one.op == "read" and one.nack is None:
            bars.append(Bar("wake", pulse.at - start, one.at + one.us - pulse.at, "wake"))
            pulse = None
        elif one.nack is None:
            words = f"{one.op} {len(one.data) if one.op == 'write' else one.length} bytes"
            bars.append(Bar("bus", one.at - start, one.us, words))
    return bars


def _within(transactions: list[Transaction], connection: Connection) -> list[Transaction]:
    start = connection.started_us
    if start is None:
        return []
    return [one for one in transactions if start <= one.at <= start + connection.duration_us]


def _flight(flight: Flight) -> str:
    return f"{flight.length} bytes {'to' if flight.outbound else 'from'} the server"
