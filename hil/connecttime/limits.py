"""What a step of a connection may take at most, and which step is to blame when one takes longer.

Everything here reads what the console and the endpoint showed; nothing knows about faults.
"""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass
from itertools import pairwise
from statistics import median
from typing import TYPE_CHECKING

from hil.element.timing import Divider, execution_us
from hil.measure.connect import ELEMENT_STEPS
from hil.measure.statistics import quantile
from hil.wire.atecc import Opcode

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from hil.measure.connect import Connection

__all__ = [
    "RECIPES",
    "StepLimit",
    "Steps",
    "bus_us",
    "held_back",
    "slow_steps",
    "step_durations",
    "step_limit",
]

Steps = dict[str, list[int]]
"""Durations of steps by name, microseconds."""

_PACKETS: Mapping[int, tuple[int, int]] = {
    Opcode.RANDOM: (7, 35),
    Opcode.NONCE: (39, 4),
    Opcode.SIGN: (7, 67),
    Opcode.VERIFY: (135, 4),
    Opcode.GENKEY: (7, 67),
    Opcode.ECDH: (71, 35),
}
"""Bytes of the packet out and of the one back."""

RECIPES: Mapping[str, tuple[Opcode, ...]] = {
    "element-verify": (Opcode.NONCE, Opcode.VERIFY),
    "element-ecdh-key": (Opcode.GENKEY,),
    "element-ecdh": (Opcode.ECDH,),
    "element-sign": (Opcode.RANDOM, Opcode.NONCE, Opcode.SIGN),
}
"""Commands behind each step, as mongoose-os-libs/atca sends them (other libraries need fewer)."""

_WAKE_US = 2_500
"""Pulse, tWHI and the wake answer, at 100 kHz."""
_AROUND_BYTES = 5
"""Address and word address out, address in, and an idle command, for each packet pair."""
_SLACK_US = 20_000
"""Polling, hashing and printing in the firmware; a USB serial adapter that holds a line back."""
_HELD_BACK_US = 30_000
"""A delayed acknowledgement waits 40 ms (Linux ``TCP_DELACK_MIN``), on other stacks up to 200."""


@dataclass(frozen=True)
class StepLimit:
    """The longest time of a step by the part's published maxima, and what it is made of.

    Attributes:
        us: the sum.
        execution_us: of it, execution of the commands.
    """

    us: int
    execution_us: int


def bus_us(step: str, hz: int) -> int:
    """What bus and wake take of a step, its commands without a poll too many."""
    recipe = RECIPES[step]
    octets = sum(sum(_PACKETS[opcode]) + _AROUND_BYTES for opcode in recipe)
    return octets * 9 * 1_000_000 // hz + len(recipe) * _WAKE_US


def step_limit(step: str, part: str, *, hz: int = 100_000, divider: Divider = "M0") -> StepLimit:
    """How long a step of the element may take by the maxima of its part.

    Args:
        step: one of :data:`hil.measure.connect.ELEMENT_STEPS`.
        part: e.g. ``"atecc508a"``.
        hz: speed of the bus between MCU and element.
        divider: the 608's clock divider.
    """
    recipe = RECIPES[step]
    execution = sum(execution_us(opcode, part, divider) for opcode in recipe)
    return StepLimit(execution + bus_us(step, hz) + _SLACK_US, execution)


_DIRECTLY = {
    # TLS 1.2: the whole server flight is verified, then the client's flight is made.
    False: {
        ("element-verify", "element-verify"),
        ("element-verify", "element-ecdh-key"),
        ("element-ecdh-key", "element-ecdh"),
        ("element-ecdh", "element-sign"),
    },
    # TLS 1.3: the key goes out first and the secret waits for the server. Between the secret and the
    # signature the chain is verified, by the MCU if it is an RSA chain.
    True: {
        ("element-ecdh", "element-verify"),
        ("element-verify", "element-verify"),
        ("element-verify", "element-sign"),
    },
}
"""Steps of the element with nothing between them, by whether the ECDH key comes first."""


def step_durations(connections: Iterable[Connection]) -> Steps:
    """How long each step took in each connection, from the step before it.

    Only steps of the element that follow another one directly: before the others lies a round trip or
    the firmware's own work.
    """
    found: Steps = defaultdict(list)
    for connection in connections:
        first = next((step.name for step in connection.steps if step.name in ELEMENT_STEPS), None)
        direct = _DIRECTLY[first == "element-ecdh-key"]
        for before, step in pairwise(connection.steps):
            if (before.name, step.name) in direct:
                found[step.name].append(step.after_us - before.after_us)
    return dict(found)


def slow_steps(
    connections: Sequence[Connection], part: str, *, hz: int = 100_000, divider: Divider = "M0"
) -> list[str]:
    """Steps in which the element was slower than its part's maxima allow, in words; empty if none was.

    One connection in ten may be late: a line can be held back on its way to the host.
    """
    said = []
    for step, durations in step_durations(connections).items():
        limit = step_limit(step, part, hz=hz, divider=divider)
        usual = quantile(sorted(durations), 0.9)
        if usual > limit.us:
            said.append(
                f"{step} took {usual / 1000:.0f} ms (90 % of {len(durations)}, median "
                f"{median(durations) / 1000:.0f} ms); by the published maxima of an {part} it takes at most "
                f"{limit.us / 1000:.0f} ms, of them {limit.execution_us / 1000:.0f} ms in the element: "
                "the element is slower than its data sheet"
            )
    return said


def held_back(connections: Sequence[Connection], sessions: Sequence[Mapping[str, int]], rtt_us: int) -> str:
    """Whether the CONNECT left the board late though TLS was done, in words; empty if it did not.

    Args:
        connections: as the console shows them.
        sessions: the endpoint's stamps of the same connections; empty if it is not ours.
        rtt_us: round trip, as far as it is known.
    """
    gaps = [stamps["connect"] - stamps["tls-done"] for stamps in sessions if "connect" in stamps]
    if gaps:
        gap, by = median(gaps), "the endpoint had the handshake's last flight"
    else:
        waits = [
            connack - tls
            for one in connections
            if (tls := one.after("tls")) is not None and (connack := one.after("connack")) is not None
        ]
        gap, by = (median(waits) if waits else -math.inf), "the console showed the end of the handshake"
    allowed = rtt_us + _HELD_BACK_US
    if gap <= allowed:
        return ""
    return (
        f"the CONNECT came {gap / 1000:.0f} ms after {by}; a round trip explains {rtt_us / 1000:g} ms. "
        "It was held back: Nagle's algorithm waits for a delayed acknowledgement; set TCP_NODELAY"
    )
