"""One emulated element on a bus of its own, without rig or board: for tests of other people's drivers.

:func:`emulated_element` makes it; the fixtures in :mod:`hil.testing` hand it to tests. The module
imports the chip only when a part is made, so that naming the fixtures costs nothing.
"""

from __future__ import annotations

from functools import partial
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

from hil.clock import WallClock, World
from hil.emulator.bus import I2CMaster, Lines
from hil.emulator.busfronts import BusioFront, SMBusFront, TimeFront
from hil.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

    from hil.emulator.chip import Chip, Executed, Memory, Profile
    from hil.emulator.chip.chip import Snapshot
    from hil.emulator.chip.faults import Faults
    from hil.i2c.trace import Transaction

__all__ = ["EmulatedElement", "RealTime", "State", "emulated_element"]

State: TypeAlias = Literal["blank", "config-locked", "provisioned", "trust-go", "trust-flex"]
"""How a part begins: as shipped; with a test configuration, locked; with test keys too and the data
zone locked; as Microchip delivers Trust&GO and TrustFLEX parts, with a synthetic chain."""

SDA, SCL = 12, 14
GENERIC_608 = "hil-test-608"


class RealTime(WallClock):
    """The computer's clock, on which bus and chip really take their time."""

    def spend(self, category: str, us: int) -> None:
        """Let ``us`` microseconds pass."""
        self.account[category] += us
        self.sleep(us)


class EmulatedElement:
    """A powered part, its bus, and ways to look inside; made by :func:`emulated_element`.

    Attributes:
        chip: the part.
        clock: its time: a ``World``, or :class:`RealTime`.
        lines: the wires; ``held_low`` and ``open`` break them.
        bus: the bus as this library's drivers take it; every transaction is traced.
        smbus: the same as an open ``smbus2.SMBus``.
        busio: the same as a ``busio.I2C``.
        time: ``sleep``, ``monotonic`` … on the part's clock.
        trace: transactions so far; secret bytes are hidden.
    """

    def __init__(self, chip: Chip, clock: World | RealTime, *, hz: int, gap_us: int) -> None:
        self.chip = chip
        self.clock = clock
        self.lines = Lines(SDA, SCL, [chip])
        self.trace: list[Transaction] = []
        master = I2CMaster(clock, self.lines, sda=SDA, scl=SCL, hz=hz, gap_us=gap_us)
        from hil.i2c.trace import TracedBus

        self.bus = TracedBus(master, self.trace.append)
        self.smbus = SMBusFront(self.bus)
        self.busio = BusioFront(self.bus)
        self.time = TimeFront(clock)
        self.power_on()

    def __repr__(self) -> str:
        return f"<EmulatedElement {self.chip!r} at 0x{self.address:02x}>"

    # -- what is in it ---------------------------------------------------------------------------

    @property
    def address(self) -> int:
        """The 7-bit address that it answers at."""
        return self.chip.address

    @property
    def profile(self) -> Profile:
        """The part number's facts."""
        return self.chip.profile

    @property
    def memory(self) -> Memory:
        """Everything non-volatile; its setters are the factory's and obey no lock."""
        return self.chip.memory

    @property
    def log(self) -> Sequence[Executed]:
        """Every command that the part has heard, with answer, time and reason of a refusal."""
        return self.chip.log

    @property
    def faults(self) -> Faults:
        """What is wrong with it: ``faults.add("wrong-crc", times=2)``, ``.remove``, ``.clear``."""
        return self.chip.faults

    def listing(self) -> str:
        """The decoded bus traffic so far, for people."""
        from hil.i2c.trace import listing

        return listing(self.trace)

    # -- what happens to it ----------------------------------------------------------------------

    def power_on(self) -> None:
        """Vcc rises; returns when the part can be woken."""
        self.chip.power_on()
        self.clock.sleep(self.profile.power_up_us)

    def power_off(self) -> None:
        """Vcc falls: volatile state is gone, a write in progress is torn."""
        self.chip.power_off()

    def power_cycle(self, off_us: int = 10_000) -> None:
        """Off, and on again after ``off_us`` microseconds."""
        self.power_off()
        self.clock.sleep(off_us)
        self.power_on()

    def brown_out(self) -> None:
        """Vcc dips: the part sleeps, its volatile state but the latch is gone."""
        self.chip.brown_out()

    def wait(self, us: int) -> None:
        """Let ``us`` microseconds pass."""
        self.clock.sleep(us)

    def snapshot(self) -> Snapshot:
        """The whole part as it is now, faults excepted."""
        return self.chip.snapshot()

    def restore(self, snapshot: Snapshot) -> None:
        """Go back to a snapshot of this part."""
        self.chip.restore(snapshot)

    def close(self) -> None:
        """The end of its world."""
        if isinstance(self.clock, World):
            self.clock.close()

    def __enter__(self) -> EmulatedElement:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def emulated_element(
    part: str = "atecc608b",
    state: State = "blank",
    *,
    number: int = 1,
    hz: int = 100_000,
    gap_us: int = 0,
    clock: Literal["virtual", "wall"] = "virtual",
    seed: int = 0,
    draw: Literal["typical", "maximum", "random"] = "typical",
    watchdog: Literal["minimum", "typical", "maximum"] = "typical",
    wake_ready_us: int | None = None,
    time_scale: float | None = None,
    knobs: dict[str, Any] | None = None,
) -> EmulatedElement:
    """A powered, sleeping part on its own bus. Close it, or use it in a ``with``.

    Args:
        part: name of a chip profile: ``atecc508a``, ``atecc608a``, ``atecc608b``, ``atecc608-next``.
        state: how it begins.
        number: its serial number within the range of emulated parts.
        hz: bus speed; above about 130 kHz (608: 300 kHz) a zero byte no longer wakes the part.
        gap_us: pause after each byte, as bit-banging masters make.
        clock: ``virtual``: time passes only on the bus and in ``wait`` or ``time.sleep`` of the part,
            and costs nothing; ``wall``: everything takes as long as on a physical part.
        seed: of its random numbers; the same seed and number give the same bytes.
        draw: execution times: typical, maximum, or random between the two.
        watchdog: which figure of the data sheet the watchdog has: 0.7, 1.3 or 1.7 s.
        wake_ready_us: from the wake pulse to the first answer, if not the data sheet's 1500;
            physical parts are often ready earlier, and some drivers wait 1000.
        time_scale: factor on all execution times.
        knobs: fields of :class:`hil.emulator.chip.Knobs` that differ from the profile's.

    Raises:
        ConfigError: there is no such part.
        UsageError: there is no such state or knob, or the part cannot be in that state.
    """
    from msgspec.structs import replace

    from hil.emulator.chip import Chip, load_profile

    profile = load_profile(part)
    unknown = sorted(set(knobs or {}) - set(profile.knobs.__struct_fields__))
    if unknown:
        raise UsageError(f"a chip has no knob {unknown[0]!r}", hint="hil.emulator.chip.Knobs lists them")
    profile = replace(
        profile,
        time_scale=profile.time_scale if time_scale is None else time_scale,
        wake=profile.wake if wake_ready_us is None else replace(profile.wake, ready_us=wake_ready_us),
        knobs=replace(profile.knobs, **(knobs or {})),
    )
    time: World | RealTime = World() if clock == "virtual" else RealTime()
    memory = _memory(profile, state, number)
    chip = Chip(
        profile, memory, now=partial(attrgetter("now"), time), seed=seed, draw=draw, watchdog=watchdog
    )
    return EmulatedElement(chip, time, hz=hz, gap_us=gap_us)


def _memory(profile: Profile, state: State, number: int) -> Memory:
    from hil.emulator.chip import Memory
    from hil.wire.serials import reserved_serial

    if state not in get_args(State):
        raise UsageError(f"a part cannot begin {state!r}", hint=f"states: {', '.join(get_args(State))}")
    serial = reserved_serial(number, trust=state.startswith("trust"))
    if state == "blank":
        return Memory.blank(profile, serial)
    from hil.emulator import factory

    if state == "trust-go":
        return factory.trust_go(profile, serial)
    if state == "trust-flex":
        return factory.trust_flex(profile, serial)
    return factory.mongoose_configured(
        profile, serial, configuration=_configuration(profile), provisioned=state == "provisioned"
    )


def _configuration(profile: Profile) -> bytes | None:
    """Bytes 16 to 127; None = the Mongoose OS sample, which fits the 508A alone."""
    if profile.family == 508:
        return None
    from importlib.resources import as_file, files

    from hil.element.configfiles import load_config

    with as_file(files("hil.rigs") / "configs" / f"{GENERIC_608}.yaml") as path:
        return load_config(path).to_bytes()[16:]
