"""The rig: opens, owns, gates, locks and safely closes the parts.

The only place that builds an emulated world. From the ports upwards the same code serves physical
and emulated parts; a rig file only names other ports.
"""

from __future__ import annotations

from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, cast

from hil.board.mongoose import MongooseBoard
from hil.bringup.diagnosis import diagnose_restarts, diagnose_silence
from hil.element.device import Element, LockState
from hil.errors import DeviceError, DeviceTimeout, UsageError
from hil.guard.consoles import console_init
from hil.guard.powercut import GuardedRelay
from hil.homes import find_homes
from hil.i2c.trace import Transaction, listing
from hil.marks import block
from hil.measure.connect import Connection, next_connection
from hil.measure.measurement import Measured, Measurement, Measurements, Predicted
from hil.power.control import Power
from hil.power.cycles import CycleCounter
from hil.power.registry import open_relay
from hil.power.relay import State
from hil.rig.record import ConsoleLines, console_lines, console_text, description, heard
from hil.rig.relay import relay_settings
from hil.rig.witness import RigWitness

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from hil.board.bootlog import Boot
    from hil.board.console import Console
    from hil.board.espidf import EspIdfBoard
    from hil.board.transcript import Mark
    from hil.clock import Calendar, Clock, World
    from hil.element.certificates.anchors import Anchor
    from hil.element.certificates.trustgo import TrustChain
    from hil.emulator.builder import EmulatedRig
    from hil.extensions import OwnBoard
    from hil.guard.guard import Guard
    from hil.guard.ledger import Ledger
    from hil.i2c.bus import I2CBus
    from hil.records.journal import Journal
    from hil.rig.cloud import RigCloud
    from hil.rig.network import RigNetwork
    from hil.rig.parts import Parts
    from hil.rigfile import RigFile
    from hil.serialport.port import Port

__all__ = ["Rig"]


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
        passing_ledger: Ledger | None = None,
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
        self._board: OwnBoard | None = None
        self._bus: I2CBus | None = None
        self._parts: Parts | None = None
        self._cloud: RigCloud | None = None
        self._measurements: Measurements | None = None
        self._silence: str | None = None
        self._found_running = False
        self._console_mark: Mark | None = None
        self._boots_seen = 0
        self._esp_idf_ready = False
        self.ports: list[Port | I2CBus] = []
        self._lasting_ledger = guard.ledger
        self._passing_ledger = passing_ledger or guard.ledger
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
        """On, and wait for the board's start; its absence is kept, not raised: see :attr:`boot`.

        A board that is on and has started is left alone: it would not start once more.
        """
        if self.power.commanded is not State.ON or not self.running:
            self.start_by(self.power.on)

    def interrupt_power(self, for_us: int) -> None:
        """Take the power away for a moment, shorter than :attr:`power` would; see :attr:`boot`.

        A board that does not notice keeps its :attr:`boot`.
        """
        before, relay = self.boot, self.power.relay

        def interrupt() -> None:
            relay.off()
            self.clock.sleep(for_us)
            self.power.on()

        self.start_by(interrupt)
        if self.boot is None and self._still_answers():
            self.boot = before

    @property
    def _mongoose(self) -> MongooseBoard | None:
        return self._board if isinstance(self._board, MongooseBoard) else None

    @property
    def _esp_idf(self) -> EspIdfBoard | None:
        if self.file.board.kind != "esp-idf-console" or self._board is None:
            return None
        return cast("EspIdfBoard", self._board)

    def start_by(self, cause: Callable[[], object]) -> None:
        """Wait for the start that ``cause`` makes, power or a reset; kept as by :meth:`power_on`."""
        self.boot, self._silence, self._found_running = None, None, False
        self._esp_idf_ready = False
        board = self._board
        if board is not None:
            board.expect_boot()
        mark = None if board is None else board.console.mark()
        cause()
        if board is None or mark is None:
            return
        timeout_ms = self.file.board.boot_timeout_ms
        try:
            self.boot = self._wait_for_start(timeout_ms * 1000)
        except DeviceTimeout:
            said = heard(board.console, mark)
            relay = State.UNKNOWN if self._power is None else self._power.relay.readback()
            answers = self._still_answers()
            self._silence = diagnose_silence(self.file, said, timeout_ms, relay=relay, answers=answers)

    def start_again(self) -> None:
        """The board's start anew, by its power if there is a relay, else by a reset; see :attr:`boot`."""
        if self._power is not None:
            self.power_cycle()
        elif self._board is not None:
            from hil.rig.reset import restart

            restart(self)

    @property
    def running(self) -> bool:
        """The board started, or answers although no start of it could be seen (without a relay only)."""
        return self.boot is not None or self._found_running

    def look_for_running(self) -> None:
        """Without a relay the firmware may run although nothing makes it start; see :attr:`running`."""
        self._found_running = self._still_answers()
        if not self._found_running and self._silence is None:
            self._silence = diagnose_silence(self.file, b"", self.file.board.boot_timeout_ms)

    def _still_answers(self) -> bool:
        """Whether the firmware runs although no start of it was seen."""
        return self._board is not None and self._board.answers()

    def _wait_for_start(self, timeout_us: int) -> Boot | None:
        if self._mongoose is not None:
            return self._mongoose.wait_for_boot(timeout_us=timeout_us)
        if self._esp_idf is None:
            return None if self._board is None else self._board.wait_for_boot(timeout_us=timeout_us)
        self._esp_idf.wait_for_console(timeout_us=timeout_us)
        return self._esp_idf.boots[-1] if self._esp_idf.boots else None

    def diagnose_silence(self) -> str:
        """Why the board did not start, in the words of a technician."""
        return self._silence or "the board started"

    def need_start(self) -> None:
        """Have the board powered and started; a board that never starts blocks the test."""
        if self._power is None and not self.running:
            self.start_again()
        elif self._power is not None and (self.boot is None or self._power.commanded is not State.ON):
            self.power_on()
        if not self.running and self._board is not None:
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
        board = self._board
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

    def started_board(self) -> MongooseBoard | OwnBoard:
        """The board that tests call: with Mongoose OS, or one that another package brings; started.

        Raises:
            UsageError: the rig's board is neither.
        """
        if self._board is None or self._mongoose is not None or self._esp_idf is not None:
            return self.booted_board()
        self.need_start()
        return self._board

    def esp_idf_board(self) -> EspIdfBoard:
        """The board with the ESP-IDF provisioning console, powered and started."""
        if self._esp_idf is None:
            raise UsageError(f"the board of {self.name} has no ESP-IDF console")
        self.need_start()
        if not self._esp_idf_ready:
            self._init_console(self._esp_idf)
            self._esp_idf_ready = True
        return self._esp_idf

    def _init_console(self, board: EspIdfBoard) -> None:
        """A delivered Trust part is locked, so that ``init`` changes nothing; any other is refused."""
        if self.file.element.state != "trust":
            board.init()
        port = self.file.board.port
        with console_init(self.guard, port, lambda: board.chip_info().serial.hex()):
            board.init(locks=LockState(config=True, data=True, slots=frozenset()))

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

    def suite_settings(self, suite: str) -> object:
        """What the rig file says for a suite of one's own; see :func:`hil.suitegraph.needed_settings`."""
        from hil.suitegraph import needed_settings

        return needed_settings(self.file, suite)

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
            from hil.rig.parts import Parts

            self._parts = Parts(self)
        return self._parts

    def part_changed(self, *, passing: bool) -> None:
        """Another part is in the rig: the guard knows nothing of it, and writes into its ledger.

        Args:
            passing: it ends with this process, and so does its ledger.
        """
        self.guard.forget()
        self.guard.ledger = self._passing_ledger if passing else self._lasting_ledger

    @property
    def net(self) -> RigNetwork:
        """The board on its network."""
        from hil.rig.network import RigNetwork

        return RigNetwork(self)

    @property
    def cloud(self) -> RigCloud:
        """Control plane and MQTT endpoint; opened when first asked for."""
        if self._cloud is None:
            from hil.rig.cloud import RigCloud

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
        board = self._board
        self._console_mark = None if board is None else board.console.transcript.mark()
        self._boots_seen = len(self.unexpected_boots)

    @property
    def unexpected_boots(self) -> tuple[Boot, ...]:
        """Starts of the board that nobody had announced, oldest first."""
        board = self._board
        return () if board is None else board.unexpected_boots

    def restarted_by_itself(self) -> str | None:
        """What to say of restarts since the test began that nobody had announced; None without one."""
        board = self._board
        if board is None:
            return None
        board.console.drain()
        restarts = self.unexpected_boots[self._boots_seen :]
        return diagnose_restarts(restarts) if restarts else None

    def console_since_test(self) -> str:
        """What crossed the console since the test began; of the first test, since the rig was opened."""
        return console_text(self._board, self._console_mark)

    def seen_since_test(self) -> tuple[Sequence[Transaction], Sequence[str]]:
        """Transactions on the element's bus and lines of the console since the test began."""
        return self.trace[self._trace_mark :], console_lines(self._board, self._console_mark)

    def evidence(self) -> Sequence[tuple[str, str]]:
        """What was seen on the wire since the test began: ``(title, text)``."""
        found = []
        text = self.console_since_test()
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

    def record_close(self) -> None:
        """Journal what the parts are now, after the tests; they are powered for it."""
        if self._power is not None and self._power.commanded is not State.ON:
            self.power_on()
        self.journal.event("rig", rig=self.name, phase="close", **description(self))

    def close(self) -> None:
        """Safe state, ports closed, lock given back; whatever happens."""
        self._stack.close()

    # -- opening -----------------------------------------------------------------------------

    def open_power(self) -> None:
        """Open the relay; it is not switched.

        Raises:
            PortError, RelayError, ConfigError: it cannot be reached or used.
        """
        if self.file.power.kind == "none":
            return
        power = self.file.power
        settings = relay_settings(power)
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

    def open_board(self) -> None:
        """Open the board's console.

        Raises:
            PortError: the port is absent, busy or not permitted.
        """
        from hil.rig.ports import open_board

        self._board = open_board(self)

    def open_bus(self) -> None:
        """Open the way to the element's I2C bus; the board's console comes before it.

        Raises:
            PortError, RigError: it cannot be opened.
        """
        from hil.rig.ports import open_bus

        self._bus = open_bus(self, self._board)

    def at_close(self, close: Callable[[], object]) -> None:
        """Have something closed with the rig; what was opened last is closed first."""
        self._stack.callback(close)
