"""A part on a bus of its own that the guard takes for a physical one, ready to be characterized."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from hil.clock import Calendar, World
from hil.element.device import Element
from hil.emulator.bus import I2CMaster, Lines
from hil.emulator.chip import Chip, Memory, load_profile
from hil.emulator.supply import Supplied
from hil.guard.filter import GuardedBus
from hil.silicon.asking import ElementAsker
from hil.silicon.characterize import Subject
from hil.silicon.stopwatch import Stopwatch
from hil.wire.serials import reserved_serial
from tests.property.guard_bench import PhysicalBus, Sight
from tests.unit.guard_bench import make_guard

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

    from hil.emulator.chip import Profile
    from hil.emulator.chip.profile import Draw
    from hil.i2c.bus import I2CBus

Stage = Literal["blank", "config-locked", "provisioned"]
SCALAR = bytes(31) + b"\x07"


class Bench:
    """One part behind guard and bus.

    Args:
        tmp_path: where the guard's ledger is kept.
        profile: the part, by name or itself.
        stage: how far it is locked; the configuration is that of the Mongoose OS sample.
        expendable: the rig file says that it may be used up, and it was named.
        draw: its execution times.
    """

    def __init__(
        self,
        tmp_path: Path,
        profile: str | Profile,
        stage: Stage = "blank",
        *,
        expendable: bool = False,
        draw: Draw | Literal["random"] = "random",
        seed: int = 1,
    ) -> None:
        self.profile = load_profile(profile) if isinstance(profile, str) else profile
        self.world = World()
        serial = reserved_serial(seed)
        self.memory = Memory.blank(self.profile, serial)
        if stage != "blank":
            self.memory.set_config(16, self.profile.configuration("mongoose-os"))
            self.memory.lock_config()
            self.memory.set_private_key(0, SCALAR)
        if stage == "provisioned":
            self.memory.lock_data()
        self.chip = Chip(self.profile, self.memory, now=lambda: self.world.now, seed=seed, draw=draw)
        self.supplied = Supplied(self.chip, self.world)
        lines = Lines(sda_gpio=12, scl_gpio=14, devices=[self.supplied])
        bus = PhysicalBus(I2CMaster(self.world, lines, sda=12, scl=14))
        self.guard = make_guard(
            tmp_path,
            serial=serial.hex(),
            expendable=expendable,
            allowed_serials=frozenset({serial.hex()}) if expendable else frozenset(),
            witness=Sight(bus),
            clock=self.world,
        )
        self.guard.learn(bytes(self.memory.config))
        self.supplied.power(True)
        self.world.sleep(1_000)
        part = "atecc508a" if self.profile.family == 508 else "atecc608b"
        self.subject = Subject(
            "a-bench",
            self.profile.name if self.profile.name in ("atecc508a", "atecc608a") else part,
            GuardedBus(bus, self.guard.filter),
            0x60,
            100_000,
            "linux",
            emulated=True,
            varies=draw == "random",
            calendar=Calendar(1_750_000_000.0),
            guard=self.guard,
            cycle_power=self._cycle,
        )

    def _cycle(self) -> None:
        self.supplied.power(False)
        self.world.sleep(2_000_000)
        self.supplied.power(True)
        self.world.sleep(1_000)

    def timed(self, bus: I2CBus | None = None) -> tuple[ElementAsker, Stopwatch]:
        """What asks the element, over a timed bus."""
        watch = Stopwatch(bus or self.subject.bus, self.subject.hz)
        return ElementAsker(Element(watch, 0x60, self.subject.part)), watch

    def nonvolatile(self) -> tuple[bytes, ...]:
        """Everything that survives a power cut."""
        memory = self.chip.memory
        keys = bytes(memory.key_valid)
        return bytes(memory.config), bytes(memory.otp), keys, *(memory.slot(n) for n in range(16))

    def __enter__(self) -> Bench:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.world.close()
