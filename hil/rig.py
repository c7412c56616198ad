"""The rig: opens, owns, gates, locks and safely closes the parts.

The only place that builds an emulated world. From the ports upwards the same code serves physical
and emulated parts; a rig file only names other ports.
"""

from __future__ import annotations

from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING

from hil.board.mongoose import MongooseBoard
from hil.clock import Clock, WallClock
from hil.diagnosis import diagnose_silence
from hil.element.device import Element, LockState
from hil.errors import DeviceError, DeviceTimeout, RigError, UsageError
from hil.guard.filter import GuardedBus
from hil.guard.guard import Guard
from hil.guard.ledger import Ledger
from hil.guard.line import GuardedLine
from hil.guard.powercut import GuardedRelay
from hil.homes import find_homes
from hil.i2c.mongoose import MongooseI2C
from hil.i2c.trace import TracedBus, Transaction, listing
from hil.marks import block
from hil.measure.connect import Connection, next_connection
from hil.measure.measurement import Measured, Measurement, Measurements, Predicted
from hil.power.control import Power
from hil.power.cycles import CycleCounter
from hil.power.registry import RelaySettings, open_relay
from hil.power.relay import State
from hil.rigguard import policy_for
from hil.riglock import RigLock
from hil.rigrecord import ConsoleLines, description, heard
from hil.rigwitness import RigWitness
from hil.serialport import open_port

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from hil.board.bootlog import Boot
    from hil.board.console import Console
    from hil.board.espidf import EspIdfBoard
    from hil.board.transcript import Mark
    from hil.clock import Calendar, World
    from hil.element.certificates.anchors import Anchor
    from hil.element.certificates.trustgo import TrustChain
    from hil.emulator.builder import EmulatedRig
    from hil.i2c.bus import I2CBus
    from hil.parts import Parts
    from hil.records.journal import Journal
    from hil.rigcloud import RigCloud
    from hil.rigfile import RigFile
    from hil.rignet import RigNetwork
    from hil.serialport.port import Port

__all__ = ["Rig", "open_rig"]


class Rig:
    """One bench, opened. Made by :func:`open_rig`.

    Attributes:
        file: what the rig file says.
        clock: the time that its parts live in.
        calendar: date and time for certificates.
        guard: what stands before everything irreversible.
        allow_aws: the real AWS account that the command line allows, or None.
        power: the relay.
        boot: the last start of the board, or None if it did not come.
        trace: every I2C transaction.
        ports: the ways to the element that were opened; they decide whether it is physical.
    """

    def __init__(
        self,
        file: RigFile,
        *,
        clock: Clock,
        calendar: Calendar,
        journal: Journal,
        guard: Guard,
        stack: ExitStack,
        emulated: EmulatedRig | None,
        allow_aws: str | None = None,
    ) -> None:
        self.file = file
        self.clock = clock
        self.calendar = calendar
        self.journal = journal
        self.guard = guard
        self.emulated = emulated
        self.allow_aws = allow_aws
        self.boot: Boot | None = None
        self.trace: list[Transaction] = []
        self._trace_mark = 0
        self._connection_mark = 0
        self._stack = stack
        self.firmware_sha256: str | None = None
        """Hash of the firmware image, once it was written and read back in this run."""
        self._power: Power | None = None
        self._cycles: CycleCounter | None = None
        self._mongoose: MongooseBoard | None = None
        self._esp_idf: EspIdfBoard | None = None
        self._bus: I2CBus | None = None
        self._parts: Parts | None = None
        self._cloud: RigCloud | None = None
        self._measurements: Measurements | None = None
        self._silence: str | None = None
        self._console_mark: Mark | None = None
        self._esp_idf_ready = False
        self.ports: list[Port | I2CBus] = []
        guard.witness = RigWitness(self)

    @property
    def name(self) -> str:
        """The rig's name."""
        return self.file.rig

    @property
    def world(self) -> World | None:
        """The emulated world, or None for a physical rig."""
        return None if self.emulated is None else self.emulated.world

    # -- power and start ---------------------------------------------------------------------

    @property
    def power(self) -> Power:
        """The relay.

        Raises:
            UsageError: the rig has none.
        """
        if self._power is None:
            raise UsageError(f"{self.name} has no relay", hint="add a `power:` section to the rig file")
        return self._power

    def power_cycle(self) -> None:
        """Off, the minimum off time, on, and wait for the board's start; see :attr:`boot`."""
        self.power.off()
        self.power_on()

    def power_on(self) -> None:
        """On, and wait for the board's start; its absence is kept, not raised: see :attr:`boot`."""
        self.boot, self._silence = None, None
        self._esp_idf_ready = False
        if self._mongoose is not None:
            self._mongoose.expect_boot()
        board = self._mongoose or self._esp_idf
        mark = None if board is None else board.console.mark()
        self.power.on()
        if board is None or mark is None:
            return
        timeout_ms = self.file.board.boot_timeout_ms
        try:
            self.boot = self._wait_for_start(timeout_ms * 1000)
        except DeviceTimeout:
            self._silence = diagnose_silence(self.file, heard(board.console, mark), timeout_ms)

    def _wait_for_start(self, timeout_us: int) -> Boot | None:
        if self._mongoose is not None:
            return self._mongoose.wait_for_boot(timeout_us=timeout_us)
        if self._esp_idf is None:
            return None
        self._esp_idf.wait_for_console(timeout_us=timeout_us)
        return self._esp_idf.boots[-1] if self._esp_idf.boots else None

    def diagnose_silence(self) -> str:
        """Why the board did not start, in the words of a technician."""
        return self._silence or "the board started"

    def need_start(self) -> None:
        """Have the board powered and started; a board that never starts blocks the test."""
        if self._power is not None and (self.boot is None or self._power.commanded is not State.ON):
            self.power_on()
        if self.boot is None and (self._mongoose or self._esp_idf) is not None:
            block(f"the board did not start: {self.diagnose_silence()}")

    def need_element(self) -> None:
        """Have an element that answers; the wiring suite owns the failure if none does."""
        self.need_start()
        try:
            self.element.info_revision()
        except DeviceError as error:
            block(f"the element does not answer ({error.message})")

    def listen(self, for_us: int) -> bytes:
        """What the board's console says during ``for_us`` microseconds."""
        console = self.console
        mark = console.mark()
        console.listen(for_us)
        return heard(console, mark)

    @property
    def console(self) -> Console:
        """The board's console."""
        board = self._mongoose or self._esp_idf
        if board is None:
            raise UsageError(f"{self.name} has no board with a console")
        return board.console

    # -- parts -------------------------------------------------------------------------------

    def booted_board(self) -> MongooseBoard:
        """The board with Mongoose OS, powered and started.

        Raises:
            UsageError: the rig's board runs something else.
        """
        if self._mongoose is None:
            raise UsageError(f"the board of {self.name} does not run Mongoose OS")
        self.need_start()
        return self._mongoose

    def esp_idf_board(self) -> EspIdfBoard:
        """The board with the ESP-IDF provisioning console, powered and started."""
        if self._esp_idf is None:
            raise UsageError(f"the board of {self.name} has no ESP-IDF console")
        self.need_start()
        if not self._esp_idf_ready:
            # A delivered Trust part is locked, so that init changes nothing; any other is refused.
            delivered = self.file.element.state == "trust"
            self._esp_idf.init(
                locks=LockState(config=True, data=True, slots=frozenset()) if delivered else None
            )
            self._esp_idf_ready = True
        return self._esp_idf

    def delivered_chain(self) -> TrustChain:
        """The certificates that the element was delivered with, read over the board or the bus."""
        if self._esp_idf is not None:
            return self.esp_idf_board().trust_chain()
        from hil.element.certificates.trustgo import read_trust_data

        self.need_start()
        return read_trust_data(self.element).rebuild(self.anchors()[0].certificate.der)

    def slot_key(self, slot: int) -> bytes:
        """Public key of a slot, ``X ‖ Y``, over the board's console or the bus."""
        if self._esp_idf is not None:
            return self.esp_idf_board().public_key(slot)
        return self.element.public_key(slot)

    def anchors(self) -> Sequence[Anchor]:
        """The roots that a delivered chain may end in: Microchip's, or the factory's of emulated parts."""
        if self.emulated is None:
            from hil.element.certificates.anchors import microchip_anchors

            return microchip_anchors()
        from hil.emulator.factory import synthetic_anchor

        return (synthetic_anchor(),)

    def next_connection(self) -> Connection:
        """Wait for the board's connection attempt that follows its last start."""
        console = self.console
        first = 0 if self.boot is None else self.boot.at
        since = sum(line.at < first for line in console.transcript.lines)
        lines = ConsoleLines(console)
        return next_connection(lines, since, timeout_us=self.file.connect.timeout_ms * 1000)

    def configure(self, config: Mapping[str, object]) -> None:
        """Change the firmware's configuration, restart it, and wait for the start."""
        board = self.booted_board()
        board.config_set(config, reboot=True)
        self.boot = board.boots[-1]

    @property
    def bus(self) -> I2CBus:
        """The element's bus, behind guard and trace."""
        if self._bus is None:
            raise UsageError(f"{self.name} does not offer the element's I2C bus")
        return self._bus

    @property
    def element(self) -> Element:
        """The element as it is now; the guard reads its configuration first, if it has not yet."""
        element = Element(self.bus, self.file.element.address, part=self.file.element.part)
        if not self.guard.rules.read:
            self._let_guard_read(element)
        return element

    def _let_guard_read(self, element: Element) -> None:
        """Without the configuration the guard takes every key for one that counts its uses."""
        if self._power is None or self._power.commanded is State.ON:
            with suppress(DeviceError):  # it does not answer: whoever uses it will be told
                self.guard.learn(element.read_config())

    @property
    def bus_or_none(self) -> I2CBus | None:
        """The element's bus, or None if this rig does not offer it."""
        return self._bus

    @property
    def mongoose_board(self) -> MongooseBoard | None:
        """The board with Mongoose OS as it is now, or None."""
        return self._mongoose

    @property
    def relay_cycles(self) -> int | None:
        """How often the relay was switched on so far, by whichever run; None without a relay."""
        if self._power is None:
            return None
        return self._power.cycles if self._cycles is None else self._cycles.total

    @property
    def console_board(self) -> EspIdfBoard | None:
        """The board with the ESP-IDF console as it is now, or None."""
        return self._esp_idf

    def element_in(self, state: str | None, *, own: bool = False) -> Element:
        """The element in a life-cycle state, the board started.

        Args:
            state: ``blank``, ``config-locked``, ``provisioned``, or None for as it is.
            own: the test will change it for good; on an emulated rig it gets a part of its own.
        """
        self.need_start()
        self.parts.provide(state, own=own)
        self.need_start()
        return self.element

    @property
    def parts(self) -> Parts:
        """The part changer of an emulated rig; on a physical rig, the one part there is."""
        if self._parts is None:
            from hil.parts import Parts

            self._parts = Parts(self)
        return self._parts

    @property
    def net(self) -> RigNetwork:
        """The board on its network."""
        from hil.rignet import RigNetwork

        return RigNetwork(self)

    @property
    def cloud(self) -> RigCloud:
        """Control plane and MQTT endpoint; opened when first asked for."""
        if self._cloud is None:
            from hil.rigcloud import RigCloud

            self._cloud = self._stack.enter_context(RigCloud(self))
        return self._cloud

    # -- record ------------------------------------------------------------------------------

    def measuring(self, test: str) -> Measurements:
        """The measurements of one test."""
        provenance = Predicted(self.emulated.model) if self.emulated else Measured("console timestamps")

        def emit(measurement: Measurement) -> None:
            self.journal.event("measurement", test=test, rig=self.name, **measurement.fields())

        self._measurements = Measurements(self.clock.kind, provenance, emit)
        return self._measurements

    def take_measurements(self) -> Measurements | None:
        """The measurements of the test that ends now."""
        taken, self._measurements = self._measurements, None
        return taken

    @contextmanager
    def step(self, test: str, title: str) -> Iterator[None]:
        """Time a named step of a test."""
        start = self.clock.now
        outcome = "failed"
        try:
            yield
            outcome = "done"
        finally:
            self.journal.event(
                "step",
                test=test,
                title=title,
                start_us=start,
                duration_us=self.clock.now - start,
                outcome=outcome,
            )

    def test_starts(self) -> None:
        """From here on evidence belongs to the next test."""
        self._trace_mark = len(self.trace)
        self._connection_mark = 0 if self._cloud is None else self._cloud.connection_count
        board = self._mongoose or self._esp_idf
        self._console_mark = None if board is None else board.console.transcript.mark()

    def evidence(self) -> Sequence[tuple[str, str]]:
        """What was seen on the wire since the test began: ``(title, text)``."""
        found = []
        board = self._mongoose or self._esp_idf
        if board is not None and self._console_mark is not None:
            text = board.console.transcript.render(self._console_mark)
            if text:
                found.append(("console", text))
        since = self.trace[self._trace_mark :]
        if since:
            found.append(("I2C", listing(since)))
        connections = "" if self._cloud is None else self._cloud.evidence(self._connection_mark)
        if connections:
            found.append(("MQTT endpoint", connections))
        if self.world is not None:
            found.append(("world", self.world.describe()))
        return found

    def close(self) -> None:
        """Safe state, ports closed, lock given back; whatever happens."""
        self._stack.close()

    # -- opening -----------------------------------------------------------------------------

    def _open_power(self) -> None:
        if self.file.power.kind == "none":
            return
        power = self.file.power
        settings = RelaySettings(
            kind=power.kind,
            port=power.port,
            channel=power.channel,
            channels=power.channels,
            address=power.address,
            active_low=power.active_low,
            serial=power.serial,
            user=power.user,
            password="" if power.password is None else power.password.value(),
            on_command=power.on_command,
            off_command=power.off_command,
            state_command=power.state_command,
            on_pattern=power.on_pattern,
        )
        self._power = Power(
            GuardedRelay(open_relay(settings, self.clock), self.guard, self.clock),
            self.clock,
            settle_us=power.settle_ms * 1000,
            min_off_us=power.minimum_off_ms * 1000,
            safe_state=power.safe_state,
            on_cycle=self._count_cycle,
        )
        self._stack.callback(self._power.close)  # leaves the relay in its safe state

    def _count_cycle(self, cycles: int) -> None:
        """A physical relay wears out whoever switches it: its count outlives the run."""
        if self.emulated is None:
            if self._cycles is None:
                power = self.file.power
                self._cycles = CycleCounter(find_homes().counters, power.port or power.kind, power.channel)
            self._cycles.add()

    def _open_board(self) -> None:
        board = self.file.board
        if board.kind == "mongoose-os":
            port = GuardedLine(self._port(board.port, board.baud), self.guard, "rpc")
            self._mongoose = MongooseBoard(port)
            self._mongoose.rpc.before_send = self.guard.check_rpc
            self._stack.callback(self._mongoose.close)
        elif board.kind == "esp-idf-console":
            from hil.board.espidf import EspIdfBoard

            port = GuardedLine(self._port(board.port, board.baud), self.guard, "console")
            self._esp_idf = EspIdfBoard(port)
            self._esp_idf.before_send = self.guard.check_call
            self._stack.callback(self._esp_idf.close)

    def _open_bus(self) -> None:
        if self.file.bus.kind == "board":
            if self._mongoose is not None:
                # The guard looks at every call of this board's client: no second look is needed.
                self._bus = TracedBus(MongooseI2C(self._mongoose.rpc), self.trace.append)
        elif self.file.bus.kind == "linux":
            from hil.i2c.linux import LinuxI2C

            if self.file.bus.number is None:
                raise RigError(f"{self.name}: bus linux without a number")
            linux = LinuxI2C(self.file.bus.number, clock=self.clock)
            self.ports.append(linux)
            self._bus = TracedBus(GuardedBus(linux, self.guard.filter), self.trace.append)
        else:
            from hil.i2c.kit import KitBus

            kit = KitBus(self._port(self.file.bus.port, 115_200), self.file.element.address)
            self._bus = TracedBus(GuardedBus(kit, self.guard.filter), self.trace.append)

    def _port(self, url: str, baud: int) -> Port:
        port = open_port(url, clock=self.clock, baud=baud)
        self.ports.append(port)
        return port


def open_rig(
    file: RigFile,
    *,
    faults: Sequence[str],
    allow_irreversible: frozenset[str],
    journal: Journal,
    calendar: Calendar,
    allow_aws: str | None = None,
) -> Rig:
    """Lock the rig, open its ports, power the board and wait for its start.

    Raises:
        RigBusyError: another process owns it.
        PortError, RelayError: a port or the relay does not work.
        UsageError: faults on a physical rig.
    """
    if faults and not file.emulated:
        raise UsageError(f"{file.rig} is physical: faults are for emulated rigs")
    with ExitStack() as stack:
        lock = stack.enter_context(RigLock(file))
        emulated: EmulatedRig | None = None
        clock: Clock = WallClock()
        if file.emulated:
            from hil.emulator.builder import build

            emulated = stack.enter_context(build(file, faults=faults, calendar=calendar))
            clock = emulated.world
        # Parts that end with this process need no ledger behind it; every other part does.
        passing = file.emulation is not None and file.emulation.state_file is None
        ledgers = journal.folder / "ledgers" if passing else find_homes().ledgers
        guard = Guard(
            policy_for(file, allow_irreversible),
            Ledger(ledgers, calendar, durable=not passing),
            owns_rig=lambda: lock.held,
            record=lambda kind, fields: _record(journal, file.rig, file.emulated, kind, fields),
            clock=clock,
            rig=file.rig,
        )
        rig = Rig(
            file,
            clock=clock,
            calendar=calendar,
            journal=journal,
            guard=guard,
            stack=ExitStack(),
            emulated=emulated,
            allow_aws=allow_aws,
        )
        stack.callback(rig._stack.close)
        rig._open_power()
        rig._open_board()
        rig._open_bus()
        if rig._power is not None:
            rig.power_cycle()
        journal.event("rig", rig=file.rig, phase="open", **description(rig))
        rig._stack = stack.pop_all()
        return rig


def _record(journal: Journal, rig: str, emulated: bool, kind: str, fields: object) -> None:
    assert isinstance(fields, dict), "the guard hands over its fields"
    journal.event(kind, rig=rig, emulated=emulated, **fields)
    if fields["phase"] == "intent" and not emulated:
        journal.sync()
