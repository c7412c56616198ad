"""One rig's element, characterized: identity, configuration, answers, survival, times, chance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hil import rigfile
from hil.element.device import Element
from hil.element.timing import Pace
from hil.errors import DeviceError, UsageError
from hil.guard.guard import Facts
from hil.guard.operations import Operation
from hil.measure.statistics import Sample
from hil.records.baseline import Baseline, Timing
from hil.rig.parts import life_cycle_state
from hil.silicon.asking import WATCHDOG_US, ElementAsker, in_words
from hil.silicon.irreversible import observe_irreversible
from hil.silicon.observe import PER_DIE, config_entries, key_slots, observe
from hil.silicon.periods import execution_times, watchdog_us
from hil.silicon.randomness import BLOCKS, judge
from hil.silicon.record import Characterization
from hil.silicon.roles import roles_of
from hil.silicon.stopwatch import Stopwatch
from hil.silicon.wake import wake_threshold
from hil.wire.atecc import Command, Opcode

if TYPE_CHECKING:
    from collections.abc import Callable

    from hil.clock import Calendar
    from hil.element.timing import Divider
    from hil.guard.guard import Guard
    from hil.i2c.bus import I2CBus
    from hil.records.baseline import Entry
    from hil.rig.rig import Rig

__all__ = ["Subject", "characterize", "subject_of"]

_UNHURRIED = Pace(poll_us=5_000)
"""Where nothing is timed, fewer polls ask for the answer."""
_CHIP_MODE = 19
_LONG_WATCHDOG_US = 20_000_000
_DIVIDERS: dict[int, Divider] = {0x05: "M1", 0x0D: "M2"}
_VARIES_BY_USE = {*range(52, 68)}
"""The counters: their being read changes nothing, but a board's own firmware may count."""


@dataclass(frozen=True)
class Subject:
    """An element that can be characterized, and what is known of the bench around it.

    Attributes:
        rig: name of the bench.
        part: the part that its rig file names.
        bus: the element's bus, behind the guard.
        address: the element's 7-bit address.
        hz: speed of the bus.
        road: what carries the packets, as rig files call it.
        emulated: this program emulates the part.
        varies: its times vary; those of a model need not.
        calendar: date and time.
        guard: what gives permits.
        cycle_power: switches the power off and on; None if nobody can.
        find_threshold: see :func:`hil.silicon.wake.wake_threshold`; None if it was not asked for.
    """

    rig: str
    part: str
    bus: I2CBus
    address: int
    hz: int
    road: str
    emulated: bool
    varies: bool
    calendar: Calendar
    guard: Guard
    cycle_power: Callable[[], None] | None
    find_threshold: Callable[[], tuple[float, float]] | None = None


def subject_of(rig: Rig, *, vary_bus: bool = False) -> Subject:
    """The element of an opened rig that offers its bus.

    Args:
        rig: the rig.
        vary_bus: let the board's firmware run the bus at several speeds.

    Raises:
        UsageError: ``vary_bus``, and the bus has one speed.
    """
    if vary_bus and (rig.mongoose_board is None or rig.file.bus.kind != "board"):
        raise UsageError(f"{rig.name}: only a bus behind Mongoose OS can be run at several speeds")
    rig.need_start()
    return Subject(
        rig.name,
        rig.file.element.part,
        rig.element.bus,  # asking for the element lets the guard read the configuration
        rig.file.element.address,
        rig.file.bus.hz,
        rig.file.bus.kind,
        emulated=rig.emulated is not None,
        varies=rig.emulated is None or rig.emulated.varies,
        calendar=rig.calendar,
        guard=rig.guard,
        cycle_power=rig.power_cycle if rigfile.missing(rig.file, {"power"}) is None else None,
        find_threshold=(lambda: wake_threshold(rig)) if vary_bus else None,
    )


def characterize(
    subject: Subject,
    *,
    samples: int = 29,
    irreversible: bool = False,
    progress: Callable[[str], None] | None = None,
) -> Characterization:
    """Observe everything that can be observed here.

    Args:
        subject: the element.
        samples: executions per command for the distributions of times.
        irreversible: also the commands that change the part for good; each asks the guard for a permit.
        progress: called with what is being looked at.

    Raises:
        GuardRefusal: ``irreversible`` on a part that must not be used up.
        DeviceError: the element does not answer, or its configuration is not as it was before.
    """
    began = subject.calendar.time()
    watch = Stopwatch(subject.bus, subject.hz)
    element = Element(watch, subject.address, part=subject.part, pace=_UNHURRIED)
    config = element.read_config()
    element.divider = _DIVIDERS.get(config[_CHIP_MODE] >> 3, "M0")
    if irreversible:
        subject.guard.permit(Operation.COUNTER, Facts(element.serial_number().hex()))  # refused at once
    long = bool(config[_CHIP_MODE] & 4)
    asker = ElementAsker(element, subject.cycle_power, watchdog_us=_LONG_WATCHDOG_US if long else WATCHDOG_US)
    revision = element.info_revision().hex()
    state = life_cycle_state(element.lock_state())
    keys = key_slots(asker, config)
    entries: dict[str, Entry] = dict(config_entries(config))
    seen = observe(asker, config, keys, progress=progress)
    entries |= seen.entries
    unobservable = dict(seen.unobservable)
    _tell(progress, "Random")
    entries |= judge(_blocks(asker))
    roles = roles_of(element.config, keys)
    times = execution_times(asker, watch, roles, samples, deterministic=not subject.varies, progress=progress)
    entries |= {f"{name} | execution time": Timing(sample) for name, sample in times.samples.items()}
    unobservable |= times.unobservable
    _tell(progress, "Watchdog")
    period = watchdog_us(element, long=long)
    if period is None:
        unobservable["Watchdog | period"] = "it had not put the element to sleep after the longest time tried"
    else:
        entries["Watchdog | period"] = Timing(Sample(((period[0] + period[1]) / 2,), deterministic=True))
    wake = None
    if subject.find_threshold is None:
        unobservable["Wake | threshold"] = "not observable here: the bus ran at one speed (--vary-bus)"
    else:
        _tell(progress, "Wake")
        wake = subject.find_threshold()
        entries["Wake | threshold"] = f"{wake[0]:.0f} us wake it, {wake[1]:.0f} us do not"
    _check_unchanged(config, element.read_config())
    if irreversible:
        _tell(progress, "Irreversible")
        more = observe_irreversible(subject.guard, asker, config, keys)
        entries |= more.entries
        unobservable |= more.unobservable
        seen.shown |= more.shown
    else:
        unobservable["Irreversible"] = "not asked for: --irreversible, on a part that may be used up"
    masked = bytes(0 if at in PER_DIE - {13, 14} else byte for at, byte in enumerate(config))
    return Characterization(
        Baseline(
            subject.part,
            revision,
            entries,
            emulated=subject.emulated,
            resolution_us=times.resolution_us,
            unobservable=unobservable,
        ),
        rig=subject.rig,
        at=began,
        clock=element.clock.kind,
        bus=subject.road,
        state=state,
        config=masked,
        keys=keys,
        content=frozenset(seen.content),
        shown=seen.shown,
        watchdog_us=period,
        wake_us=wake,
        irreversible=irreversible,
    )


def _tell(progress: Callable[[str], None] | None, what: str) -> None:
    if progress is not None:
        progress(what)


def _blocks(asker: ElementAsker) -> list[bytes]:
    blocks = []
    with asker.scene():
        for _ in range(BLOCKS):
            answer = asker.ask(Command(Opcode.RANDOM))
            if isinstance(answer, str) or len(answer) != 32:
                raise DeviceError(f"Random answers {in_words(answer)} where 32 bytes are due")
            blocks.append(answer)
    return blocks


def _check_unchanged(before: bytes, after: bytes) -> None:
    changed = [at for at in range(128) if before[at] != after[at] and at not in _VARIES_BY_USE]
    if changed:
        raise DeviceError(
            f"the configuration zone is not as it was before: bytes {', '.join(map(str, changed))}",
            hint="nothing irreversible was sent; does somebody else use this element?",
        )
