"""How long things take: execution times, the watchdog. Measured from the bus, so as finely as it polls."""

from __future__ import annotations

from dataclasses import dataclass, field
from statistics import median
from typing import TYPE_CHECKING

from hil.element.timing import Pace
from hil.errors import I2CNack
from hil.measure.statistics import Sample
from hil.silicon.asking import status_words
from hil.silicon.scene import FIXED, MESSAGE, POINT, SIGNATURE, load
from hil.wire.atecc import Command, Opcode, WordAddress

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from hil.element.device import Element
    from hil.silicon.asking import ElementAsker
    from hil.silicon.roles import Roles
    from hil.silicon.stopwatch import Stopwatch

__all__ = ["Times", "execution_times", "spread", "watchdog_us"]

_FIRST_US = 500
_SHORT_US, _LONG_US = (400_000, 2_000_000), (5_000_000, 20_000_000)
"""Where the watchdog's period is looked for: 0.7 to 1.7 s, or about 10 s with ChipMode bit 2
(ATECC508A data sheet DS20005927A table 8-3)."""
_FINE_US = 10_000


@dataclass
class Times:
    """Execution times by command.

    Attributes:
        samples: in microseconds.
        resolution_us: how far apart two polls were, at most; a single value is known no better.
        unobservable: commands whose time cannot be told here, and why.
    """

    samples: dict[str, Sample] = field(default_factory=dict)
    resolution_us: float = 0.0
    unobservable: dict[str, str] = field(default_factory=dict)


def _timed(roles: Roles) -> Iterator[tuple[str, tuple[Command, ...], Command]]:
    """Name of the time, as chip profiles call it, what comes before, and the command."""
    yield "Info", (), Command(Opcode.INFO)
    yield "Read", (), Command(Opcode.READ, 0x80)
    yield "Random", (), Command(Opcode.RANDOM)
    yield "Nonce", (), load()
    yield "Nonce random", (), Command(Opcode.NONCE, 0x00, 0, bytes(20))
    yield "Counter", (), Command(Opcode.COUNTER)
    yield "SHA", (Command(Opcode.SHA, 0x00),), Command(Opcode.SHA, 0x01, 64, MESSAGE)
    yield "GenDig", (load(),), Command(Opcode.GENDIG, 0, 0)
    yield "Verify", (load(),), Command(Opcode.VERIFY, 0x02, 4, SIGNATURE + POINT)
    yield "AES", (load(),), Command(Opcode.AES, 0x00, 0xFFFF, MESSAGE[:16])
    details = (16 << 24 | 0x02).to_bytes(4, "little")
    yield "KDF", (load(),), Command(Opcode.KDF, 0x50, 0, details + MESSAGE[:16])
    yield "SelfTest", (), Command(Opcode.SELFTEST, 0x3D)
    if roles.secret is not None:
        yield "MAC", (), Command(Opcode.MAC, 0x00, roles.secret, FIXED)
        yield "HMAC", (load(),), Command(Opcode.HMAC, 0x04, roles.secret)
    if roles.private is not None:
        yield "GenKey public", (), Command(Opcode.GENKEY, 0x00, roles.private)
        yield "Sign", (load(),), Command(Opcode.SIGN, 0x80, roles.private)
    if roles.agreeing is not None:
        yield "ECDH", (), Command(Opcode.ECDH, 0x00, roles.agreeing, POINT)


def execution_times(
    asker: ElementAsker,
    watch: Stopwatch,
    roles: Roles,
    count: int,
    *,
    deterministic: bool,
    progress: Callable[[str], None] | None = None,
) -> Times:
    """Execute each command ``count`` times and time it.

    The first poll comes a little later each time, so that the polls fall between those of the other
    times: the distribution is resolved better than a single value.

    Args:
        asker: asks the element, over ``watch``.
        watch: the timed bus.
        roles: slots to work on.
        count: executions per command.
        deterministic: the part's times are those of a model that does not vary.
        progress: called with the name of each command.
    """
    found = Times()
    element, pace = asker.element, asker.element.pace
    try:
        for name, setup, probe in _timed(roles):
            if progress is not None:
                progress(f"{name} | execution time")
            _time(asker, watch, (name, setup, probe), count, deterministic, found)
    finally:
        element.pace = pace
    return found


def _time(
    asker: ElementAsker,
    watch: Stopwatch,
    timed: tuple[str, tuple[Command, ...], Command],
    count: int,
    deterministic: bool,
    found: Times,
) -> None:
    name, setup, probe = timed
    seen: list[float] = []
    period, quickest = 0.0, float("inf")
    for number in range(count):
        asker.element.pace = Pace(first_poll_us=_FIRST_US + round(period * number / count))
        with asker.scene():
            for command in setup:
                asker.ask(command)
            answer = asker.ask(probe)
        if isinstance(answer, str) or (len(answer) == 1 and answer[0]):
            why = answer if isinstance(answer, str) else status_words(answer[0])
            found.unobservable[f"{name} | execution time"] = f"the command answers: {why}"
            return
        assert watch.last is not None, "an answer came over this bus"
        quickest = min(quickest, watch.last.ready_us)
        if watch.last.seen_busy:
            seen.append(watch.last.middle_us)
            period = max(period, watch.last.ready_us - watch.last.busy_us)
    if len(seen) * 2 <= count:
        found.unobservable[f"{name} | execution time"] = (
            f"not observable here: shorter than this bus can tell, {quickest / 1000:.1f} ms"
        )
        return
    found.samples[name] = Sample(tuple(seen), deterministic=deterministic)
    found.resolution_us = max(found.resolution_us, period)


def watchdog_us(element: Element, *, long: bool) -> tuple[float, float] | None:
    """Between what times after the wake pulse the watchdog puts the element to sleep; None: it does not.

    Args:
        element: the element.
        long: ChipMode bit 2 is set.
    """
    low, high = _LONG_US if long else _SHORT_US
    if _awake_after(element, high):
        return None
    while high - low > max(_FINE_US, 0.01 * high):
        middle = (low + high) // 2
        if _awake_after(element, middle):
            low = middle
        else:
            high = middle
    return low, high


def _awake_after(element: Element, us: int) -> bool:
    element.sleep()
    since = element.clock.now
    element.wake()
    element.clock.sleep(max(0, since + us - element.clock.now))
    try:
        element.bus.write(element.address, bytes((WordAddress.RESET,)))
    except I2CNack:
        return False
    finally:
        element.sleep()
    return True


def spread(sample: Sample, resolution_us: float) -> tuple[float, float]:
    """Median and 95th percentile of a sample, without what the coarse polls added to the latter."""
    values = sample.ordered()
    centre = median(values)
    reach = values[min(len(values) - 1, round(0.95 * (len(values) - 1)))] - centre
    by_polls = 0.45 * resolution_us
    return centre, centre + max(0.0, reach * reach - by_polls * by_polls) ** 0.5
