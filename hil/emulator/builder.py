"""Builds the emulated parts of a rig in one world: relay → board → bus → element.

Nothing above the ports knows that it was here: the rig file names ``emu://`` ports, and the parts
are behind them.
"""

from __future__ import annotations

import json
import math
from contextlib import contextmanager
from functools import partial
from operator import attrgetter
from random import Random
from typing import TYPE_CHECKING, Protocol

from msgspec.structs import replace

from hil import serialport
from hil.clock import World
from hil.emulator.bus import Lines
from hil.emulator.chip import Chip, Memory, load_profile
from hil.emulator.chip.profile import Time
from hil.emulator.faults import FAULTS
from hil.emulator.mcu import bounds, load_costs
from hil.emulator.network import Network
from hil.emulator.partfile import PartFile
from hil.emulator.relaykinds import EMULATED_RELAYS, Plug
from hil.emulator.supply import Supplied
from hil.emulator.uart import Uart
from hil.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path
    from types import TracebackType

    from hil.clock import Calendar
    from hil.emulator.boards.espboard import EspBoard
    from hil.emulator.boards.mongoose import Flash, MongooseFirmware
    from hil.emulator.chip import Profile
    from hil.emulator.chip.profile import Draw
    from hil.emulator.mcu import Bound, CostModel
    from hil.emulator.relaykinds import EmulatedRelay
    from hil.rigfile import Emulation, RigFile

__all__ = ["EmulatedBoard", "EmulatedRig", "build"]

WIRES = {"mongoose-os": (12, 14), "esp-idf-console": (21, 22)}
"""GPIO of SDA and SCL by board, where the rig file has no wiring table."""


SUBSCRIPTIONS = (("{id}/down", 1),)
MESSAGES = (("{id}/up", '{"hello":0}', 0), ("{id}/up", '{"hello":1}', 1))
"""What the application of an emulated rig's board does in the cloud: enough for every test case."""


class EmulatedBoard(Protocol):
    """What the builder needs of a firmware model."""

    uart: Uart

    def power_on(self) -> None: ...  # noqa: D102
    def power_off(self) -> None: ...  # noqa: D102


PLUGGED_US = 10_000_000
"""How long a board without a relay has been running when a rig is opened."""
PULLED_US = 2_000_000
"""How long somebody needs to exchange a part."""


class EmulatedRig:
    """The emulated parts of one rig; closing it halts them.

    Attributes:
        world: their time.
        lines: the I2C wires.
        element: the part on them, behind its own supply wire.
        board: the firmware model.
        esp: the board around it: reset circuit, ROM, flash.
        relay: the relay board, or the plug where there is none.
        contact: what powers the board.
        relay_line: its serial line.
        network: what the board's network reaches.
        flash: files and configuration of the board.
        costs: what software takes on the board.
        profile: the element's part profile.
        endpoint_refuses: the broker refuses every connection (a fault).
        endpoint_shows_rsa: the broker shows its RSA chain, whatever the board prefers (a fault).
        wildcard_policy: devices are registered with a policy that allows everything (a fault).
    """

    def __init__(
        self, file: RigFile, emulation: Emulation, faults: Sequence[str], calendar: Calendar, *, paced: bool
    ) -> None:
        self.file = file
        self.world = World(paced=paced)
        self.calendar = calendar
        self.endpoint_refuses = False
        self.endpoint_shows_rsa = False
        self.foreign_signer = False
        self.wildcard_policy = False
        self._emulation = emulation
        self.costs = load_costs(
            emulation.cost_model, source=emulation.cost_source, cpi=emulation.cpi, folder=_boards(file)
        )
        self.profile = _learned(load_profile(emulation.chip, file.path.parent / "chips"), self.costs)
        self._parts = 0
        sda, scl = _pins(file)
        self.lines = Lines(sda_gpio=sda, scl_gpio=scl)
        self.network = Network(self.world, round(emulation.rtt_ms * 1000))
        self.relay_line = Uart(self.world, f"{file.rig} relay")
        self.relay = self._relay()
        self.contact = self.relay.contacts[file.power.channel - 1]
        self.contact.on_switch = self._switch
        for fault in faults:
            FAULTS[fault].before(self)
        self._part_file = self._open_part_file()
        first = self._memory(self._serial()) if self._part_file is None else self._part_file.memory
        self.element = Supplied(self._chip(first), self.world)
        self.lines.devices.append(self.element)
        self.board = BOARDS[file.board.kind](self, emulation)
        self.esp = _esp(self, emulation)
        for fault in faults:
            FAULTS[fault].after(self)
        if not isinstance(self.relay, Plug):
            serialport.register(file.rig, "relay", self.relay_line)
        serialport.register(file.rig, "board", self.board.uart)

    @property
    def model(self) -> str:
        """What predictions of this rig rest on."""
        emulation = self._emulation
        drawn = "drawn times" if emulation.draw == "random" else f"{emulation.draw} times"
        return f"{emulation.chip}, {self.costs}, RTT {emulation.rtt_ms:g} ms, {drawn}"

    @property
    def varies(self) -> bool:
        """Whether times are drawn, so that repeated runs are a sample."""
        return self._emulation.draw == "random"

    @property
    def rtt_us(self) -> int:
        """Round trip of the network."""
        return self.network.rtt_us

    @property
    def firmware(self) -> MongooseFirmware:
        """The board's firmware model, for what only Mongoose OS has.

        Raises:
            ConfigError: the board runs something else.
        """
        from hil.emulator.boards.mongoose import MongooseFirmware

        if not isinstance(self.board, MongooseFirmware):
            raise ConfigError(f"the board of {self.file.rig} does not run Mongoose OS")
        return self.board

    def cost_bounds(self) -> list[Bound]:
        """Every source of the board's costs at both ends of what is believable."""
        return bounds(self._emulation.cost_model, folder=_boards(self.file))

    @contextmanager
    def times(self, costs: CostModel, draw: Draw) -> Iterator[None]:
        """Other costs and fixed times for a while; switch the power between, so that all of it counts."""
        mcu, engine = self.firmware.mcu, self.element.chip.engine
        before = mcu.costs, mcu.rng, engine.draw
        mcu.costs, mcu.rng, engine.draw = costs, None, draw
        try:
            yield
        finally:
            mcu.costs, mcu.rng, engine.draw = before

    @property
    def memory(self) -> Memory:
        """Memory of the part in the rig."""
        return self.element.chip.memory

    def new_memory(self) -> Memory:
        """A blank part with a serial number of its own."""
        self._parts += 1
        first = self._serial()
        number = int.from_bytes(first[4:8], "big") ^ self._parts << 16
        return Memory.blank(self.profile, first[:4] + number.to_bytes(4, "big") + first[8:])

    def keeps(self, memory: Memory) -> bool:
        """Whether a part is the one that the state file keeps; every other ends with this process."""
        return self._part_file is not None and memory is self._part_file.memory

    def insert(self, memory: Memory) -> None:
        """Exchange the part; the power has to be off.

        Raises:
            ConfigError: it is on.
        """
        if self.element.powered:
            raise ConfigError("a part is exchanged with the power off only")
        self._keep_part()
        self.element.chip = self._chip(memory)

    def power_on(self) -> None:
        """Switch the relay by hand, where no host does."""
        self.contact.drive(True)

    def plug_in(self) -> None:
        """Give a board without a relay its power; it has started before anybody listens to it."""
        self.power_on()
        self.world.sleep(PLUGGED_US)
        self.board.uart.received.clear()

    def replug(self, memory: Memory) -> None:
        """Pull the plug of a board without a relay, exchange the part, and plug in again."""
        self.contact.drive(False)
        self.world.sleep(PULLED_US)
        self.insert(memory)
        self.contact.drive(True)

    def _relay(self) -> EmulatedRelay:
        power = self.file.power
        if power.kind == "none":
            return Plug(self.world)
        if power.kind not in EMULATED_RELAYS:
            raise ConfigError(
                f"{self.file.rig}: a relay of kind {power.kind} cannot be emulated",
                hint=f"kinds: {', '.join(EMULATED_RELAYS)}",
            )
        return EMULATED_RELAYS[power.kind](self.relay_line, channels=max(power.channels, power.channel))

    def _switch(self, on: bool) -> None:
        if on:
            self.element.power(True)
            self.esp.power_on()
        else:
            # Silence first (the element), then the tasks that talk to it.
            self.element.power(False)
            self.esp.power_off()

    def _serial(self) -> bytes:
        serial = self.file.element.serial
        if serial is None:
            raise ConfigError(f"{self.file.rig}: an emulated element needs a serial number")
        return bytes.fromhex(serial)

    def _memory(self, serial: bytes) -> Memory:
        made = self._emulation.element
        if made == "blank":
            return Memory.blank(self.profile, serial)
        from hil.emulator import factory  # brings X.509 along

        if made == "mongoose-configured":
            locked = self.file.element.state == "provisioned"
            return factory.mongoose_configured(self.profile, serial, provisioned=locked)
        ca = factory.FactoryCa("test factory of nobody") if self.foreign_signer else None
        make = {"trust-go": factory.trust_go, "trust-flex": factory.trust_flex}[made]
        return make(self.profile, serial, ca=ca)

    def _open_part_file(self) -> PartFile | None:
        name = self._emulation.state_file
        if name is None:
            return None
        serial = self._serial()
        path = self.file.path.parent / name
        return PartFile(path, self._emulation.chip, serial, lambda: self._memory(serial))

    def _keep_part(self) -> None:
        """Write what has become due, and how far the random generator is, before the part is gone."""
        chip = self.element.chip
        chip.settle()
        if self._part_file is not None and self.keeps(chip.memory):
            self._part_file.save(chip.memory, chip.engine.generator.drawn)

    def _chip(self, memory: Memory) -> Chip:
        kept = self._part_file
        if kept is None or memory is not kept.memory:  # a part that a test got for itself is not kept
            kept = None
        return Chip(
            self.profile,
            memory,
            now=partial(attrgetter("now"), self.world),
            seed=self._emulation.seed + (self._parts if kept is None else 0),
            draw=self._emulation.draw,
            drawn=0 if kept is None else kept.drawn,
            persist=None if kept is None else kept.save,
        )

    def close(self) -> None:
        """Halt everything and take the ports away."""
        serialport.unregister(self.file.rig)
        self._keep_part()
        self.world.close()

    def __enter__(self) -> EmulatedRig:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _boards(file: RigFile) -> Path:
    """Where a project's own cost models lie."""
    return file.path.parent / "boards"


def _learned(profile: Profile, costs: CostModel) -> Profile:
    """The part with the execution times that were learned with the board's costs, if any were."""
    times: dict[str, Time] = {}
    for form, learned in costs.chip.items():
        # The triangle from typical to maximum whose median and 95th percentile were learned.
        width = (learned.p95_ms - learned.ms) / (math.sqrt(0.5) - math.sqrt(0.05))
        typical = learned.ms - width * (1 - math.sqrt(0.5))
        maximum = (round((typical + width) * 1000),)
        times[form] = Time(typical=round(typical * 1000), maximum=maximum, note=learned.provenance)
    commands = {**profile.times.commands, **times}
    return replace(profile, times=replace(profile.times, commands=commands)) if times else profile


def _pins(file: RigFile) -> tuple[int, int]:
    usual = WIRES.get(file.board.kind, (12, 14))
    if file.wiring is None:
        return usual
    sda, scl = file.wiring.sda.gpio, file.wiring.scl.gpio
    return usual[0] if sda is None else sda, usual[1] if scl is None else scl


def _mongoose(rig: EmulatedRig, emulation: Emulation) -> EmulatedBoard:
    from hil.emulator.boards.mongoose import App, Flash, MongooseFirmware

    file = rig.file
    return MongooseFirmware(
        rig.world,
        arch=file.board.mcu or "esp8266",
        mac=file.board.mac or "02:e0:7e:00:00:01",
        uart=Uart(rig.world, f"{file.rig} board", file.board.baud),
        lines=rig.lines,
        network=rig.network.interface("board"),
        costs=rig.costs,
        flash=_app_defaults(Flash(), rig),
        calendar=rig.calendar,
        seed=emulation.seed,
        app=App(subscriptions=SUBSCRIPTIONS, messages=MESSAGES, supervises=True),
        tls_versions=file.connect.tls_versions,
        times=Random(f"{emulation.seed} times") if rig.varies else None,
    )


def _esp(rig: EmulatedRig, emulation: Emulation) -> EspBoard:
    """The board whose flash the firmware model lies in."""
    from hil.emulator.boards.espfirmware import esp_board, mongoose_board
    from hil.emulator.boards.mongoose import MongooseFirmware

    board, model = rig.file.board, rig.board
    mcu, mac = board.mcu or "esp8266", board.mac or "02:e0:7e:00:00:01"
    if isinstance(model, MongooseFirmware):
        return mongoose_board(
            rig.world, model, kind=board.kind, mcu=mcu, mac=mac, revision=emulation.mcu_revision
        )
    return esp_board(rig.world, model, kind=board.kind, mcu=mcu, mac=mac, revision=emulation.mcu_revision)


def _app_defaults(flash: Flash, rig: EmulatedRig) -> Flash:
    """What the image of ``rigs/firmware/mongoose-os`` brings as its own defaults."""
    pins = _pins(rig.file)
    app = {
        "i2c": {"enable": True, "sda_gpio": pins[0], "scl_gpio": pins[1], "freq": rig.file.bus.hz},
        "sys": {"atca": {"enable": True, "i2c_addr": rig.file.element.address}},
    }
    flash.files["conf1.json"] = json.dumps(app).encode()
    return flash


def _edukit(rig: EmulatedRig, emulation: Emulation) -> EmulatedBoard:
    from hil.emulator.boards.edukit import EduKitFirmware
    from hil.emulator.factory import synthetic_anchor

    return EduKitFirmware(
        rig.world,
        mac=rig.file.board.mac or "02:e0:7e:00:00:01",
        uart=Uart(rig.world, f"{rig.file.rig} board", rig.file.board.baud),
        lines=rig.lines,
        costs=rig.costs,
        root=synthetic_anchor().certificate.der,
    )


BOARDS: Mapping[str, Callable[[EmulatedRig, Emulation], EmulatedBoard]] = {
    "mongoose-os": _mongoose,
    "esp-idf-console": _edukit,
}
"""Firmware model by the board kind of the rig file."""


def build(file: RigFile, *, faults: Sequence[str], calendar: Calendar, paced: bool = False) -> EmulatedRig:
    """Build the world of an emulated rig; everything is off until its relay switches on.

    Args:
        file: its rig file.
        faults: what is broken.
        calendar: date and time, as the board learns it.
        paced: keep to the computer's clock, for outside programs.

    Raises:
        ConfigError: the rig file names a chip, cost model or board that cannot be emulated.
    """
    if file.emulation is None:
        raise ConfigError(f"{file.rig} has no `emulation:` section")
    if file.board.kind not in BOARDS:
        raise ConfigError(f"{file.rig}: a board of kind {file.board.kind} cannot be emulated")
    return EmulatedRig(file, file.emulation, faults, calendar, paced=paced)
