"""Two clocks watch one connection: the board's console and our endpoint. Do they tell the same story?

From the endpoint's side, *server flight → client flight* is the device's cryptography plus one round
trip; from the console's side every step has a line. Where both are there they are compared, and a
disagreement means that the bench is wrong (a buffering serial adapter, another board's session, a clock
that jumped), not the device.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hil.errors import RigError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hil.measure.connect import Connection

__all__ = ["TOLERANCE_US", "Agreement", "agree", "device_us"]

TOLERANCE_US = 50_000
"""A USB serial adapter holds bytes back for up to 16 ms, Wi-Fi a packet for some tens."""


@dataclass(frozen=True)
class Agreement:
    """What both clocks say of one connection, in microseconds.

    Attributes:
        console_us: from the start (or TCP up, if the console shows it) to the CONNACK, by the console.
        endpoint_us: from the ClientHello to the CONNACK, by the endpoint.
        connack_lag_us: from the endpoint's CONNACK to the console's line.
        hello_lag_us: from the console's start to the ClientHello at the endpoint.
        device_us: server flight to client flight, by the endpoint; None if it did not see both.
    """

    console_us: int
    endpoint_us: int
    connack_lag_us: int
    hello_lag_us: int
    device_us: int | None


def device_us(phases: Mapping[str, int]) -> int | None:
    """Server flight to client flight: the device's cryptography plus one round trip."""
    if "server-flight" not in phases or "client-flight" not in phases:
        return None
    return phases["client-flight"] - phases["server-flight"]


def agree(
    connection: Connection,
    phases: Mapping[str, int],
    *,
    offset_us: int = 0,
    rtt_us: int = 0,
    tolerance_us: int = TOLERANCE_US,
) -> Agreement:
    """Compare the two records of one accepted connection.

    Args:
        connection: as read off the console.
        phases: the endpoint's stamps of its session.
        offset_us: added to a stamp it gives a time of the console's clock.
        rtt_us: round trip, as far as it is known; what it leaves unexplained must fit the tolerance.
        tolerance_us: largest disagreement.

    Raises:
        RigError: they disagree; says by how much, and what to check.
    """
    start, connack = connection.started_us, connection.after("connack")
    if start is None or connack is None or "connack" not in phases or "client-hello" not in phases:
        raise RigError(
            "console and endpoint do not show the same connection: "
            f"the console reached {[s.name for s in connection.steps]}, the endpoint {list(phases)}",
            hint="is the board's endpoint this program's, and is no other board connected to it?",
        )
    hello_lag = phases["client-hello"] + offset_us - start
    connack_lag = start + connack - (phases["connack"] + offset_us)
    tcp = connection.after("tcp")
    console = connack if tcp is None else connack - tcp
    endpoint = phases["connack"] - phases["client-hello"]
    found = Agreement(console, endpoint, connack_lag, hello_lag, device_us(phases))
    # The CONNACK travels half a round trip, and is printed when it has come.
    _judge("the CONNACK at the console after the endpoint's", connack_lag, 0, rtt_us, tolerance_us)
    _judge("the ClientHello at the endpoint after the console's start", hello_lag, 0, None, tolerance_us)
    if tcp is not None:
        _judge("console time minus endpoint time", console - endpoint, 0, 2 * rtt_us, tolerance_us)
    return found


def _judge(what: str, value: int, low: int, high: int | None, tolerance: int) -> None:
    if value < low - tolerance or (high is not None and value > high + tolerance):
        expected = f"at least {low / 1000:g}" if high is None else f"{low / 1000:g} to {high / 1000:g}"
        raise RigError(
            f"console and endpoint disagree: {what} is {value / 1000:.1f} ms, expected {expected} "
            f"± {tolerance / 1000:g} ms",
            hint="check the serial adapter's latency, and that both stamps belong to the same board; a bench "
            "that is slower by nature says so in its rig file: connect: {tolerance_ms: …}",
        )
