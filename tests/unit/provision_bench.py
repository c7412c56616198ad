"""What the tests of provisioning share: an emulated part behind a guard, and a bus that can be cut."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hil.clock import Calendar, World
from hil.element.device import Element
from hil.emulator.bus import I2CMaster, Lines
from hil.emulator.chip import Chip, Memory, load_profile
from hil.errors import FrameError
from hil.guard.filter import GuardedBus
from hil.guard.guard import Guard
from hil.guard.ledger import Ledger
from hil.guard.operations import classify
from hil.guard.requirements import Policy, config_digest
from hil.provision.identity import identity_for
from hil.provision.plan import Plan
from hil.provision.steps import ELEMENT_STEPS, Bench, carry_out
from hil.rig.inspection import inspect
from hil.rig.policy import named_config
from hil.wire.atecc import decode_command

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from hil.clock import Clock
    from hil.element.configzone import ConfigZone
    from hil.provision.steps import Result
    from hil.wire.atecc import Command

SERIAL = "0123e07e00112233ee"
NOW = 1_700_000_000.0
CONFIGS = {"atecc508a": "mongoose-os-test", "atecc608b": "hil-test-608"}
WORKED_US = 500_000
"""Longer than any command takes, and shorter than the watchdog."""
FINDINGS = frozenset({"readable-kek:15"})


class Cut(BaseException):
    """The program ends here: Ctrl-C, a crash, somebody pulls the plug."""


class CuttingBus:
    """Ends the program at the n-th irreversible command, before or after it reaches the part."""

    name = "bus that can be cut"

    def __init__(self, bus: I2CMaster) -> None:
        self._bus = bus
        self.physical = False
        self.seen = 0
        self.cut_at = -1
        self.moment = "before it is sent"
        self.last: Command | None = None
        self.tamper: Callable[[Command], Command] = lambda command: command

    @property
    def clock(self) -> Clock:
        return self._bus.clock

    def write(self, address: int, data: bytes) -> None:
        command = irreversible_in(data)
        if command is None:
            self._bus.write(address, data)
            return
        self.last, number = command, self.seen
        self.seen += 1
        if number != self.cut_at:
            self._bus.write(address, b"\x03" + self.tamper(command).encode())
            return
        if self.moment != "before it is sent":
            self._bus.write(address, data)
        if self.moment == "after it was done":
            self.clock.sleep(WORKED_US)
        raise Cut

    def read(self, address: int, length: int) -> bytes:
        return self._bus.read(address, length)

    def wake_pulse(self) -> None:
        self._bus.wake_pulse()


def irreversible_in(data: bytes) -> Command | None:
    """The irreversible command in a write transaction, if it is one."""
    try:
        command = decode_command(data[1:])
    except FrameError:
        return None
    return command if data[:1] == b"\x03" and classify(command) is not None else None


class Sight:
    """The guard's look at the part."""

    physical = False

    def __init__(self, element: Element) -> None:
        self._element = element

    def serial(self) -> str:
        return self._element.serial_number().hex()

    def config(self) -> bytes:
        return self._element.read_config()

    def firmware_serial(self) -> str:
        return self.serial()  # no firmware has another element


class Bed:
    """A part, and a program that can be started on it again and again."""

    def __init__(self, folder: Path, *, part: str = "atecc508a", plan: Plan | None = None) -> None:
        self.folder = folder
        self.world = World()
        profile = load_profile(part)
        self.part = part
        self.memory = Memory.blank(profile, bytes.fromhex(SERIAL))
        self.chip = Chip(profile, self.memory, now=lambda: self.world.now, seed=11)
        self.plan = plan or Plan(folder=folder / "files", https=None)
        self.wanted: ConfigZone = named_config(CONFIGS[part])
        self.bus = CuttingBus(I2CMaster(self.world, Lines(12, 14, [self.chip]), sda=12, scl=14))
        self.ledger = Ledger(folder / "ledger", Calendar(NOW), durable=False)

    def start(self) -> Bench:
        """The program begins: power, a new driver, a new guard; what it had in mind is gone."""
        self.chip.power_off()
        self.chip.power_on()
        self.world.sleep(self.chip.profile.power_up_us)
        policy = Policy(
            serial=SERIAL,
            expendable=True,
            allowed_serials=frozenset({SERIAL}),
            approved_configs=frozenset({config_digest(self.wanted.to_bytes())}),
            accepted_findings=FINDINGS,
            exceptions=frozenset(self.plan.exceptions),
            part=self.part,
        )
        guard = Guard(policy, self.ledger, owns_rig=lambda: True, clock=self.world, rig="bed")
        element = Element(GuardedBus(self.bus, guard.filter), 0x60, self.part)
        guard.witness = Sight(element)
        guard.learn(element.read_config())
        identity = identity_for(self.plan, SERIAL, now=NOW)
        return Bench(element, guard, self.plan, self.wanted, identity)

    def provision(self) -> list[Result]:
        """Start, and carry the element's part of the plan out."""
        return carry_out(self.start(), ELEMENT_STEPS)

    def resolve(self) -> int:
        """What `hil ledger resolve` does; returns how many operations had no result."""
        bench = self.start()
        still_open = self.ledger.open_intents(SERIAL)
        for intent in still_open:
            self.ledger.resolve(SERIAL, intent.intent, inspect(bench.element, intent).found, "a test")
        return len(still_open)

    def irreversible(self) -> list[Command]:
        """The irreversible commands that the part has obeyed."""
        return [
            line.command
            for line in self.chip.log
            if line.command is not None and classify(line.command) is not None and line.response[1:2] == b"\0"
        ]
