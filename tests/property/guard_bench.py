"""An emulated part behind ports that the guard must take for physical; the part itself is the witness."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hil import serialport
from hil.board.mongoose import MongooseBoard
from hil.clock import World
from hil.element.device import Element
from hil.emulator.bus import I2CMaster
from hil.emulator.chip import Memory, load_profile
from hil.guard.filter import GuardedBus
from hil.guard.line import GuardedLine
from hil.guard.operations import classify
from tests.unit.firmware_bench import bench

if TYPE_CHECKING:
    from hil.guard.guard import Guard
    from hil.guard.operations import Operation
    from hil.i2c.bus import I2CBus
    from hil.serialport.port import Port
    from hil.wire.atecc import Command

ADDRESS = 0x60
PART = "atecc508a"


class Crash(BaseException):
    """The process dies here."""


class PhysicalBus:
    """An emulated bus that says it is physical, and may crash the process at a write."""

    physical = True
    name = "a bus that says it is physical"

    def __init__(self, bus: I2CBus) -> None:
        self._bus = bus
        self.clock = bus.clock
        self.crash_in: int | None = None
        self.after = False

    def write(self, address: int, data: bytes) -> None:
        dies = self.crash_in == 0
        if self.crash_in is not None:
            self.crash_in -= 1
        if dies and not self.after:
            raise Crash
        self._bus.write(address, data)
        if dies:
            raise Crash

    def read(self, address: int, length: int) -> bytes:
        return self._bus.read(address, length)

    def wake_pulse(self) -> None:
        self._bus.wake_pulse()


class PhysicalPort:
    """An emulated line that says it is physical."""

    physical = True

    def __init__(self, port: Port) -> None:
        self._port = port
        self.name = "a port that says it is physical"
        self.clock = port.clock

    def write(self, data: bytes) -> None:
        self._port.write(data)

    def read(self, deadline: int) -> bytes:
        return self._port.read(deadline)

    def close(self) -> None:
        self._port.close()


class Sight:
    """The guard's look at the part: over the bus, like anybody's."""

    physical = True

    def __init__(self, bus: I2CBus) -> None:
        self._bus = bus

    def firmware_serial(self) -> str:
        return self.serial()  # one part, on one bus

    def serial(self) -> str:
        return Element(self._bus, ADDRESS, PART).serial_number().hex()

    def config(self) -> bytes:
        return Element(self._bus, ADDRESS, PART).read_config()


class Bench:
    """A board and a part on one bus, reached by two roads: the board's firmware, and a bus of the host."""

    def __init__(self, serial: str) -> None:
        self.world = World()
        self.memory = Memory.blank(load_profile(PART), bytes.fromhex(serial))
        self.parts = bench(self.world, memory=self.memory)
        self.chip = self.parts.chip
        self.parts.on()
        self.parts.uart.received.clear()
        serialport.register("guard-test", "board", self.parts.uart)
        self.port = PhysicalPort(serialport.open_port("emu://guard-test/board", clock=self.world))
        lines = self.parts.lines
        self.bus = PhysicalBus(I2CMaster(self.world, lines, sda=lines.sda_gpio, scl=lines.scl_gpio))
        self._seen = len(self.chip.log)
        self._kept = self._nonvolatile()

    def board(self, guard: Guard) -> MongooseBoard:
        """A client of the board's firmware, behind the guard, as the rig makes it."""
        board = MongooseBoard(GuardedLine(self.port, guard, "rpc"))
        board.rpc.before_send = guard.check_rpc
        return board

    def element(self, guard: Guard) -> Element:
        """A driver on the host's bus, behind the guard."""
        return Element(GuardedBus(self.bus, guard.filter), ADDRESS, PART)

    def close(self) -> None:
        self.port.close()
        serialport.unregister("guard-test")
        self.world.close()

    def _nonvolatile(self) -> tuple[bytes, ...]:
        memory = self.chip.memory
        return bytes(memory.config), bytes(memory.otp), *(memory.slot(n) for n in range(16))

    def witness(self, permitted: Operation | None) -> list[Command]:
        """The part's own log and memory: nothing irreversible but what was permitted just now.

        Returns:
            What the part has executed since the last time.
        """
        self.world.sleep(2_000_000)  # every write has ended, every wake has timed out
        executed = [line.command for line in self.chip.log[self._seen :] if line.command is not None]
        self._seen = len(self.chip.log)
        for command in executed:
            operation = classify(command)
            assert operation is None or operation is permitted, f"{command} reached the element"
        kept = self._nonvolatile()
        assert kept == self._kept or permitted is not None, "the element changed without a permit"
        self._kept = kept
        return executed
