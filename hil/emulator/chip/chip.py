"""The part on the bus: power, wake, watchdog, I2C transactions, execution in time.

Nothing here is scheduled. The chip is state with dates (busy until, watchdog at); every call first
settles what has become due. A command is worked out when its last byte has arrived; what it
writes to non-volatile memory is applied when its execution time has passed, and torn when power
or the watchdog ends it before.
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass
from enum import Enum
from random import Random
from typing import TYPE_CHECKING, Literal

from hil.emulator.chip import config as words
from hil.emulator.chip.crypto import Generator
from hil.emulator.chip.engine import Engine
from hil.emulator.chip.faults import Faults
from hil.emulator.chip.nonvolatile import commit
from hil.emulator.chip.running import Executed, Running
from hil.emulator.chip.session import Session
from hil.wire.atecc import (
    COUNT_MAX,
    WAKE_RESPONSE,
    Command,
    Status,
    WordAddress,
    encode_response,
    status_response,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from hil.emulator.chip.engine import Outcome
    from hil.emulator.chip.memory import Memory
    from hil.emulator.chip.profile import Draw, Profile

__all__ = ["Chip", "Executed", "Power", "Snapshot"]

NEVER = 1 << 62
ALL_SELF_TESTS = 0x3D


class Power(Enum):
    """Whether and how the part is awake (DS508 section 8)."""

    OFF = "off"
    ASLEEP = "asleep"
    IDLE = "idle"
    AWAKE = "awake"


@dataclass(frozen=True, slots=True, repr=False)
class Snapshot:
    """A part at one moment; times are relative to it. Made and used by :class:`Chip`."""

    memory: Memory
    session: Session
    power: Power
    address: int
    divider: int
    drawn: int
    fifo: bytes
    output: bytes
    pointer: int
    busy_us: int
    watchdog_us: int
    power_lost_us: int
    running: Running | None


class Chip:
    """An emulated ATECC; an ``I2CDevice`` of :mod:`hil.emulator.bus`. Starts without power.

    Args:
        profile: the part number.
        memory: its non-volatile content; the chip works on this object.
        now: current time in microseconds.
        seed: of the random generator, and of the execution times with ``draw="random"``.
        draw: execution times: typical, maximum, or random between the two.
        watchdog: which figure of the profile the watchdog has.
        keep_log: write ``log``.
        drawn: blocks that the random generator gave in earlier processes (see :mod:`.state`).
        persist: called with memory and drawn blocks after each non-volatile change.

    Attributes:
        log: every executed command.
        session: the volatile registers.
        faults: what is wrong with the part.
    """

    def __init__(
        self,
        profile: Profile,
        memory: Memory,
        *,
        now: Callable[[], int],
        seed: int = 0,
        draw: Draw | Literal["random"] = "typical",
        watchdog: Literal["minimum", "typical", "maximum"] = "typical",
        keep_log: bool = True,
        drawn: int = 0,
        persist: Callable[[Memory, int], None] | None = None,
    ) -> None:
        self.profile = profile
        self.session = Session()
        self.log: list[Executed] = []
        self._memory = memory
        self._now = now
        self._keep_log = keep_log
        self._persist = persist
        self._watchdog = watchdog
        times = Random(seed) if draw == "random" else draw
        self.faults = Faults(memory)
        generator = Generator(seed, memory.serial, drawn)
        self.engine = Engine(profile, memory, self.session, generator, times, self.faults)
        self._power = Power.OFF
        self._address = 0
        self._fifo = bytearray()
        self._output = b""
        self._pointer = 0
        self._busy_until = 0
        self._watchdog_at = NEVER
        self._power_lost_at = NEVER
        self._running: Running | None = None

    def __repr__(self) -> str:
        return f"<{self.profile.name} {self._memory.serial.hex()} {self._power.value}>"

    @property
    def memory(self) -> Memory:
        """The non-volatile content as of now."""
        self._settle()
        return self._memory

    @property
    def power(self) -> Power:
        """The power state as of now."""
        self._settle()
        return self._power

    @property
    def address(self) -> int:
        """The 7-bit I2C address that the part answers at."""
        return self._address if self._power is not Power.OFF else self._configured_address()

    @property
    def busy_until(self) -> int:
        """When the part answers again, microseconds."""
        return self._busy_until

    # -- power -----------------------------------------------------------------------------------

    def power_on(self) -> None:
        """Vcc rises; the part goes to sleep and can be woken after tPU."""
        if self._power is Power.OFF:
            self._enter_sleep()
            self._busy_until = self._now() + self.profile.power_up_us

    def power_off(self) -> None:
        """Vcc falls: everything volatile is gone, a write in progress is torn."""
        self._settle()
        self._abort(self._now())
        self._lose_power()
        self._power = Power.OFF

    def _lose_power(self) -> None:
        if self.faults.any:
            self.faults.power_off()
            self._changed()
        self.session.power_off()
        self._enter_sleep()

    def brown_out(self) -> None:
        """Vcc dips: like sleep, with the latch kept."""
        self._settle()
        if self._power is not Power.OFF:
            self._abort(self._now())
            self._enter_sleep()

    def _enter_sleep(self) -> None:
        self.session.sleep()
        self._power = Power.ASLEEP
        self._flush()
        self._busy_until = 0
        self._watchdog_at = self._power_lost_at = NEVER
        self._address = self._configured_address()
        self.engine.latch_clock()

    def _enter_idle(self) -> None:
        self._power = Power.IDLE
        self._flush()
        self._watchdog_at = NEVER

    def _flush(self) -> None:
        self._fifo.clear()
        self._output = b""
        self._pointer = 0

    def _wake(self, now: int) -> None:
        wake, limits = self.profile.wake, self.profile.watchdog
        chip_mode = self._memory.config[words.CHIP_MODE]
        self_test = self._power is Power.ASLEEP and self._tests_itself()
        self._power = Power.AWAKE
        self._flush()
        self._output = WAKE_RESPONSE
        self._busy_until = now + (wake.self_test_us if self_test else wake.ready_us)
        limit: int = limits.long if chip_mode & 4 else getattr(limits, self._watchdog)
        self._watchdog_at = now + (self.faults.watchdog(limit) if self.faults.any else limit)
        if self_test:
            self.session.self_test_failures = self.faults.self_test(ALL_SELF_TESTS)
            if self.session.self_test_failures:
                self._output = status_response(Status.SELF_TEST)

    def _tests_itself(self) -> bool:
        if self.profile.family != 608:
            return False
        return words.chip_options(self._memory.word(words.CHIP_OPTIONS)).power_on_self_test

    def _configured_address(self) -> int:
        """Byte 16, or on a 608 with ChipMode bit 0 UserExtraAdd once it is written."""
        config = self._memory.config
        extra = config[words.SELECTOR]
        if self.profile.family == 608 and config[words.CHIP_MODE] & 1 and extra:
            return extra >> 1
        return config[words.I2C_ADDRESS] >> 1

    # -- time ------------------------------------------------------------------------------------

    def _settle(self) -> int:
        """Let everything happen that has become due; returns now."""
        now, running = self._now(), self._running
        if running is None and now < self._watchdog_at and now < self._power_lost_at:
            return now
        falls_at = min(self._watchdog_at, self._power_lost_at)
        if running is not None:
            until = min(now, falls_at)
            if running.settle(self._memory, until):
                self._changed()
            if until >= running.end:
                self._running = None
                if running.outcome.goes_idle:
                    self._enter_idle()
                    return now
        if falls_at <= now:
            self._abort(falls_at)
            if falls_at == self._power_lost_at:
                self._lose_power()
            else:
                self._enter_sleep()
        return now

    def settle(self) -> None:
        """Apply writes whose time has come; for owners that save the memory before they end."""
        self._settle()

    def _abort(self, at: int) -> None:
        if self._running is not None:
            self._running.cut(self._memory, at)
            self._running = None
            self._changed()

    def _changed(self) -> None:
        if self._persist is not None:
            self._persist(self._memory, self.engine.generator.drawn)

    # -- the I2C device --------------------------------------------------------------------------

    def sda_low(self, us: int) -> None:
        """SDA was low for ``us``: long enough, and a sleeping or idle part wakes."""
        if us < self.profile.wake.threshold_us and not self.faults.any:
            return  # polls are many, and none of them wakes
        now = self._settle()
        resting = self._power is Power.ASLEEP or self._power is Power.IDLE
        if not resting or now < self._busy_until:
            return
        if us >= self.profile.wake.threshold_us or self.faults.wakes():
            self._wake(now)

    def acknowledges(self, address: int, read: bool) -> bool:
        """NACK while off, asleep, idle or busy, and for reads behind a partial command."""
        now = self._settle()
        if self._power is not Power.AWAKE or now < self._busy_until or address != self._address:
            return False
        if self._fifo and read and self.profile.knobs.read_after_partial_command == "nack":
            return False
        return not (self.faults.any and self.faults.nacks())

    def deaf_until(self, address: int) -> int:
        """See :class:`hil.emulator.bus.I2CDevice`: an awake part that executes a command."""
        if self._power is not Power.AWAKE or self.faults.any:
            return 0
        return min(self._busy_until, self._watchdog_at, self._power_lost_at)

    def written(self, data: bytes) -> int:
        """A write transaction reached its STOP; returns how many bytes were acknowledged."""
        self._settle()
        if not data or self._power is not Power.AWAKE:
            return 0
        word_address = data[0]
        if word_address == WordAddress.COMMAND:
            return 1 + self._receive(data[1:])
        if word_address == WordAddress.RESET:
            self._fifo.clear()
            self._pointer = 0
        elif word_address == WordAddress.SLEEP:
            self._enter_sleep()
        elif word_address == WordAddress.IDLE:
            self._enter_idle()
        elif self.profile.knobs.reserved_word_address == "nack":
            return 0
        return len(data)

    def read(self, length: int) -> bytes:
        """A read transaction: the answer from where the last one stopped, then FF."""
        self._settle()
        if self._fifo:
            return b"\xff" * length
        taken = self._output[self._pointer : self._pointer + length]
        self._pointer += len(taken)
        return taken.ljust(length, b"\xff")

    def _receive(self, data: bytes) -> int:
        """Bytes of a command group; the last one starts the execution. Returns how many were taken."""
        if not data:
            return 0
        self._fifo += data
        count = self._fifo[0]
        limit = min(COUNT_MAX, self.profile.knobs.io_buffer_bytes)
        if not 4 <= count <= limit:
            self._fifo.clear()
            self._run(b"")
            return len(data)
        if len(self._fifo) < count:
            return len(data)
        surplus = len(self._fifo) - count
        group = bytes(self._fifo[:count])
        self._fifo.clear()
        self._run(group)
        return len(data) - surplus if self.profile.knobs.surplus_bytes == "nack" else len(data)

    def _run(self, group: bytes) -> None:
        now = self._now()
        outcome, response = self._execute(group, now, self._watchdog_at - now)
        self._pointer = 0
        self._busy_until = now + outcome.us
        if self.faults.any and self.faults.resets():
            self.session.sleep()
            self._output = WAKE_RESPONSE
            return
        self._output = self.faults.response(response) if response and self.faults.any else response
        writes = outcome.stores or outcome.early
        if not writes and not outcome.goes_idle:
            return  # nothing is left to do at its end
        write_us = max(1, min(self.profile.nonvolatile_write_us, outcome.us // 2))
        self._running = running = Running(outcome, now, now + outcome.us, write_us)
        if writes:
            when = self.faults.loses_power()
            if when is not None:
                self._power_lost_at = running.power_loss(when)

    def _execute(self, group: bytes, now: int, left_us: int) -> tuple[Outcome, bytes]:
        outcome = self.engine.execute(group, left_us)
        response = b"" if outcome.goes_idle else encode_response(outcome.payload)
        if self._keep_log:
            heard = outcome.payload != bytes((Status.COMMUNICATION,))
            command = Command(group[1], group[2], group[3] | group[4] << 8, group[5:-2]) if heard else None
            self.log.append(Executed(now, command, group, response, outcome.us, outcome.reason))
        return outcome, response

    # -- control ---------------------------------------------------------------------------------

    def snapshot(self) -> Snapshot:
        """Everything the part is at this moment, faults and log excepted."""
        now = self._settle()
        return Snapshot(
            memory=self._memory.copy(),
            session=deepcopy(self.session),
            power=self._power,
            address=self._address,
            divider=self.engine.divider,
            drawn=self.engine.generator.drawn,
            fifo=bytes(self._fifo),
            output=self._output,
            pointer=self._pointer,
            busy_us=self._busy_until - now,
            watchdog_us=self._watchdog_at - now,
            power_lost_us=self._power_lost_at - now,
            running=None if self._running is None else self._running.shifted(-now),
        )

    def restore(self, snapshot: Snapshot) -> None:
        """Go back to a snapshot; time goes on from now."""
        now = self._now()
        self._memory.assign(snapshot.memory)
        self.session = self.engine.session = deepcopy(snapshot.session)
        self._power = snapshot.power
        self._address = snapshot.address
        self.engine.set_divider(snapshot.divider)
        self.engine.generator.drawn = snapshot.drawn
        self._fifo[:] = snapshot.fifo
        self._output = snapshot.output
        self._pointer = snapshot.pointer
        self._busy_until = now + snapshot.busy_us
        self._watchdog_at = now + snapshot.watchdog_us
        self._power_lost_at = now + snapshot.power_lost_us
        self._running = None if snapshot.running is None else snapshot.running.shifted(now)
        self._changed()

    # -- without a bus ---------------------------------------------------------------------------

    def execute(self, group: bytes) -> bytes:
        """One command at packet level: no bus, no wake, no time; the same policy and registers.

        Args:
            group: a whole command group, count to CRC.

        Returns:
            The answer group; empty for a Pause that was meant for others.
        """
        self._settle()
        outcome, response = self._execute(group, self._now(), NEVER)
        if outcome.early or outcome.stores:
            commit(self._memory, outcome.early)
            commit(self._memory, outcome.stores)
            self._changed()
        return response
