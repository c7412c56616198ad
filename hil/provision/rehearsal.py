"""A dry run that does everything: on a twin of the part, in memory.

The twin is an emulated part with the real one's configuration, locks and serial number. The plan is
carried out on it by the same code, with the same checks, so that what is printed is what would be
sent, packet by packet; and a plan that could not be carried out (a slot that cannot take the key,
a lock that would be refused) fails here and not half way on silicon. The real part is only read.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from hil.clock import Calendar, World
from hil.element.device import Element
from hil.element.zones import Zone
from hil.emulator.bus import I2CMaster, Lines
from hil.emulator.chip import Chip, Memory, load_profile
from hil.errors import ConfigError, DeviceError
from hil.guard.filter import GuardedBus
from hil.guard.guard import Guard
from hil.guard.ledger import Ledger
from hil.guard.lint import lint
from hil.guard.operations import classify
from hil.guard.requirements import Policy
from hil.provision.steps import ELEMENT_STEPS, Bench, carry_out
from hil.wire.atecc import Command, Opcode

if TYPE_CHECKING:
    from hil.guard.operations import Operation
    from hil.guard.permit import Permit
    from hil.guard.requirements import Facts

__all__ = ["Packet", "Rehearsal", "rehearse"]

SDA, SCL = 0, 1


class Packet(msgspec.Struct, frozen=True):
    """One irreversible command that would be sent.

    Attributes:
        step: name of the step that sends it.
        command: the packet; the data of an encrypted one differ every time.
        secret: its data hold a key in clear, or what a secret slot is to hold.
    """

    step: str
    command: Command
    secret: bool

    def __str__(self) -> str:
        command = self.command
        head = f"{command.label} mode {command.p1:02X} param2 {command.p2:04X}  {_target(command)}"
        return f"{head}: {self._data()}" if command.data else head

    def _data(self) -> str:
        command, data = self.command, self.command.data
        if self.secret:
            return f"<{len(data)} secret bytes>"
        if command.opcode == Opcode.PRIVWRITE or command.p1 & 0x40:
            return f"<{len(data)} encrypted bytes, different every time>"
        if len(data) > 4 and len(set(data)) == 1:
            return f"{len(data)} times {data[0]:02x}"
        return data.hex(" ")


def _target(command: Command) -> str:
    """What a packet is about, in words (DS508 sections 2.1 and 9.14)."""
    if command.opcode == Opcode.WRITE:
        zone = command.p1 & 0x03
        if zone == Zone.DATA:
            return f"slot {command.p2 >> 3 & 0x0F} block {command.p2 >> 8}"
        name = "configuration" if zone == Zone.CONFIG else "OTP"
        at = command.p2 * 4
        return f"{name} bytes {at} to {at + len(command.data) - 1}"
    if command.opcode == Opcode.LOCK:
        checked = "without a checksum" if command.p1 & 0x80 else f"checksum {command.p2:04X}"
        return f"the {'data and OTP zones' if command.p1 & 0x01 else 'configuration zone'}, {checked}"
    return f"slot {command.p2}"


class Rehearsal(msgspec.Struct, frozen=True):
    """What a rehearsal showed.

    Attributes:
        missing: for each step that has something to do, what.
        packets: every irreversible command, in order.
        asked: every permit that was asked for.
    """

    missing: dict[str, str]
    packets: list[Packet]
    asked: list[tuple[Operation, Facts]]


class _Everything:
    def __contains__(self, digest: object) -> bool:
        return True


class _Notebook(Guard):
    """A guard for the twin alone: it allows everything on it, and remembers what it was asked for.

    Its permits arm its own filter and no other: on the way to a real part they are worth nothing.
    """

    asked: list[tuple[Operation, Facts]]

    def permit(self, operation: Operation, facts: Facts) -> Permit:
        """Note, then decide."""
        self.asked.append((operation, facts))
        return super().permit(operation, facts)


class _Sight:
    """The guard's look at the twin."""

    physical = False

    def __init__(self, element: Element) -> None:
        self._element = element

    def serial(self) -> str:
        """See :class:`hil.guard.requirements.Witness`."""
        return self._element.serial_number().hex()

    def config(self) -> bytes:
        """See :class:`hil.guard.requirements.Witness`."""
        return self._element.read_config()

    def firmware_serial(self) -> str:
        """See :class:`hil.guard.requirements.Witness`; a twin hangs on no board."""
        raise DeviceError("a twin in memory has no firmware that could be called")


def rehearse(bench: Bench) -> Rehearsal:
    """Carry out the element's part of a plan on a twin.

    Args:
        bench: the real one; its element is only read.

    Raises:
        ConfigError: the plan cannot be carried out on a part in this state; nothing was sent.
    """
    real = bench.element
    part = real.identify()
    memory = _memory_like(bench)
    world = World()
    chip = Chip(load_profile(part), memory, now=lambda: world.now)
    chip.power_on()
    lines = Lines(sda_gpio=SDA, scl_gpio=SCL, devices=[chip])
    wire = I2CMaster(world, lines, sda=SDA, scl=SCL, name="twin in memory")
    config = bytes(memory.config)
    serial = memory.serial.hex()
    wanted = bench.wanted.onto(real.config).to_bytes()
    findings = lint(wanted, part=part, address=real.address, production=False)
    policy = Policy(
        serial=serial,
        expendable=True,
        allowed_serials=frozenset({serial}),
        approved_configs=_Everything(),
        accepted_findings=frozenset(finding.id for finding in findings),
        exceptions=frozenset(bench.plan.exceptions),
        part=part,
        address=real.address,
    )
    with tempfile.TemporaryDirectory(prefix="hil-rehearsal-") as scratch:
        ledger = Ledger(Path(scratch), Calendar(), durable=False)
        guard = _Notebook(policy, ledger, owns_rig=lambda: True, clock=world, rig="rehearsal")
        guard.asked = []
        twin = Element(GuardedBus(wire, guard.filter), real.address, part)
        guard.witness = _Sight(twin)
        guard.learn(config)
        double = Bench(twin, guard, bench.plan, bench.wanted, bench.identity)
        missing: dict[str, str] = {}
        packets: list[Packet] = []
        world.sleep(chip.profile.power_up_us)
        for step in ELEMENT_STEPS:
            before = len(chip.log)
            try:
                (result,) = carry_out(double, [step])
            except DeviceError as error:
                raise ConfigError(
                    f"rehearsed on a twin of the part, the plan fails at '{step.name}': {error.message}",
                    hint="nothing was sent to the element; mend the plan or its configuration",
                ) from error
            if result.done:
                missing[step.name] = result.detail
            sent = [line.command for line in chip.log[before:] if line.command is not None]
            packets += [
                Packet(step.name, command, _is_secret(command, bench))
                for command in sent
                if classify(command) is not None
            ]
    world.close()
    return Rehearsal(missing, packets, guard.asked)


def _memory_like(bench: Bench) -> Memory:
    """A twin's memory: the configuration as it is, the keys that are known to be in place."""
    config = bench.element.read_config()
    memory = Memory.blank(load_profile(bench.element.identify()), config[0:4] + config[8:13])
    memory.set_config(0, config)
    if not memory.data_locked:
        return memory
    for slot, content in bench.contents().slots.items():
        memory.set_slot(slot, content)
    steps = {step.name: step for step in ELEMENT_STEPS}
    if steps["key-encryption key"].missing(bench) is None:
        memory.set_slot(bench.plan.kek.slot, bench.identity.kek)
    if steps["private key"].missing(bench) is None:
        memory.set_private_key(bench.plan.key.slot, bench.identity.scalar)
    return memory


def _is_secret(command: Command, bench: Bench) -> bool:
    """Whether the packet carries a key of the plan in clear, or content of a slot that is secret."""
    keys: tuple[bytes, ...] = (bench.identity.kek, bench.identity.scalar)
    to_slot = command.opcode == Opcode.WRITE and command.p1 & 0x03 == Zone.DATA
    if to_slot and command.p2 >> 3 & 0x0F in bench.secret_slots():
        return True
    return any(command.data.find(key) >= 0 for key in keys)
