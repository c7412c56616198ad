"""One element on a bus: wake, send a command, poll for the answer, idle, sleep, send again.

Two nested contexts decide about the element's power states. An *exchange* is a row of commands
that belong together, e.g. Nonce and Sign: one wake, the commands back to back, and if the
watchdog budget would run out, idle and wake in between (idle keeps TempKey). A *session* spans
exchanges that hand TempKey on while the host does something else: the element idles between the
exchanges and sleeps at the end. Without a session it sleeps after each exchange.

What may be sent again after a fault is decided by :mod:`hil.element.repeat`. A lost *answer* is
read again before anything else, which is harmless for every command: the output buffer stays
until the next command (ATECC508A data sheet DS20005927A, section 6.2).
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, TypeVar

from hil.discretion import forget_variables
from hil.element.repeat import NOT_PARSED, TRANSIENT, Repeat, repeat_of
from hil.element.timing import Divider, Pace, execution_us
from hil.errors import DeviceTimeout, ElementError, FrameError, I2CError, I2CNack, UsageError, WakeError
from hil.i2c.bus import KnowsBusy
from hil.wire.atecc import (
    COUNT_MAX,
    STATUS_MEANING,
    WAKE_RESPONSE,
    Command,
    Opcode,
    Status,
    WordAddress,
    decode_response,
    status_response,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from types import TracebackType

    from hil.i2c.bus import I2CBus

__all__ = ["Transport"]

T = TypeVar("T")

_STATUS_GROUP = 4
_EMPTY = 0xFF
"""Count byte of an output buffer that holds nothing (yet)."""


class _Nested:
    """A context that may be entered again within itself.

    Args:
        at_end: called when one ends, with whether an error ended it.
    """

    def __init__(self, at_end: Callable[[bool], None]) -> None:
        self.depth = 0
        self._at_end = at_end

    def __enter__(self) -> None:
        self.depth += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.depth -= 1
        self._at_end(kind is not None)


class Transport:
    """Packets to and from one element.

    Args:
        bus: the bus it hangs on.
        address: its 7-bit address.
        part: ``"atecc508a"``, ``"atecc608a"``, ``"atecc608b"``, or None if unknown: only the
            longest execution times depend on it here.
        pace: how to wait.
        divider: clock divider of a 608 (ChipMode bits 7:3).
        entropy: source of the host's share of nonces; a replay gives a repeatable one.
    """

    def __init__(
        self,
        bus: I2CBus,
        address: int,
        part: str | None = None,
        *,
        pace: Pace | None = None,
        divider: Divider = "M0",
        entropy: Callable[[int], bytes] = os.urandom,
    ) -> None:
        if not 0x08 <= address <= 0x77:
            raise UsageError(
                f"0x{address:02x} is no 7-bit I2C address of a device",
                hint="configuration byte 16 holds the address shifted left by one: 0xC0 is address 0x60",
            )
        if part is not None and not part.startswith(("atecc508", "atecc608")):
            raise UsageError(
                f"{part!r} is no part that this driver knows", hint="atecc508a, atecc608a, atecc608b"
            )
        self.bus = bus
        self.address = address
        self.clock = bus.clock
        self.pace = pace or Pace()
        self.divider: Divider = divider
        self.entropy = entropy
        self.self_test_failed = False
        """The last wake reported a failed power-on self test (608)."""
        self._part = part
        self._knows_busy = bus if isinstance(bus, KnowsBusy) else None
        self._session = _Nested(self._rest)
        self._exchange = _Nested(self._rest)
        self._awake_since: int | None = None
        self._idle = False
        self._overslept = False

    # Power states

    def wake(self) -> bytes:
        """Wake the element; returns its answer, ``04 11 33 43``.

        An element that was awake already (traffic for another device can wake it) ignores the
        pulse; it is sent to idle, which keeps TempKey, and woken again.

        Raises:
            WakeError: no attempt brought the wake answer.
        """
        self.idle()
        seen: bytes = b""
        fault: I2CError | None = None
        for _ in range(self.pace.attempts):
            try:
                self.bus.wake_pulse()
                since = self.clock.now
                self.clock.sleep(self.pace.wake_high_us)
                seen = self._wake_answer(since)
            except I2CError as error:
                fault = error
                continue
            self.self_test_failed = seen == status_response(Status.SELF_TEST)
            if seen == WAKE_RESPONSE or self.self_test_failed:
                self._awake_since = since
                self._idle = False
                return seen
            self._state(WordAddress.IDLE)
        answered = f"it answered {seen.hex(' ')}" if seen else f"nothing came: {fault}"
        raise WakeError(
            f"no wake answer {WAKE_RESPONSE.hex(' ')} at 0x{self.address:02x} on {self.bus.name}: {answered}",
            hint="check the power and both lines of the element, its address, and that the bus can be "
            "slowed to 100 kHz for the wake pulse",
        ) from fault

    def idle(self) -> None:
        """Idle: TempKey stays, the watchdog stops. Nothing happens if the element is not awake."""
        if self._awake_since is None:
            return
        acknowledged = self._state(WordAddress.IDLE)
        self._awake_since = None
        self._idle = True
        self._overslept = self._overslept or not acknowledged

    def sleep(self) -> None:
        """Sleep: all volatile state is gone. An idle element is woken for it."""
        if self._awake_since is None and self._idle:
            self.wake()
        if self._awake_since is not None:
            self._state(WordAddress.SLEEP)
        self._awake_since = None
        self._idle = False
        self._overslept = False

    def session(self) -> AbstractContextManager[None]:
        """Keep TempKey over several exchanges: idle between them, sleep at the end."""
        return self._session

    def exchange(self) -> AbstractContextManager[None]:
        """One wake for several commands; idle afterwards in a session, else sleep."""
        return self._exchange

    def _rest(self, after_error: bool) -> None:
        """Idle or sleep, unless an outer exchange goes on."""
        if self._exchange.depth:
            return
        try:
            if self._session.depth:
                self.idle()
            else:
                self.sleep()
        except (I2CError, WakeError):
            if not after_error:  # else the first error says more
                raise
            self._awake_since = None

    # Commands

    def execute(self, command: Command, size: int | None = None, *, repeat: Repeat | None = None) -> bytes:
        """Send ``command`` and return the payload of its answer.

        Args:
            command: what to send.
            size: payload bytes of a successful answer; None accepts any.
            repeat: when the command may be sent again, if the table cannot know.

        Raises:
            ElementError: the element answered with a status other than 00.
            DeviceTimeout: no answer until the longest execution time had passed with margin.
            FrameError: the answer stayed damaged, or has another length than ``size``.
            WakeError, I2CError: the element or the bus could not be reached.
        """
        try:
            return self._execute(command, size, repeat or repeat_of(command))
        except BaseException as error:
            forget_variables(error)  # what is sent and what comes back may be a key
            raise

    def _execute(self, command: Command, size: int | None, rule: Repeat) -> bytes:
        with self._exchange:
            for attempt in range(1, self.pace.attempts + 1):
                last = attempt == self.pace.attempts
                try:
                    return self._attempt(command, size)
                except ElementError as error:
                    curable = error.status in (TRANSIENT if rule is Repeat.ANY_TIME else NOT_PARSED)
                    if last or rule is Repeat.NEVER or not curable:
                        raise self._explained(error) from None
                except (I2CError, FrameError, DeviceTimeout):
                    if last or rule is not Repeat.ANY_TIME:
                        raise
                self.idle()
        raise AssertionError("the last attempt returns or raises")

    def repeatable(self, run: Callable[[], T], *slots: int) -> T:
        """Run an exchange, and once more from its start if it broke half way.

        Args:
            run: sends all commands of the exchange, beginning with those that set TempKey.
            slots: slots whose keys it uses: if one of them counts its uses, nothing is repeated.
        """
        for attempt in range(1, self.pace.attempts + 1):
            try:
                with self._exchange:
                    return run()
            except (I2CError, FrameError, DeviceTimeout):
                if attempt == self.pace.attempts or self._counts_uses(slots):
                    raise
            except ElementError as error:
                transient = error.status in TRANSIENT
                if attempt == self.pace.attempts or not transient or self._counts_uses(slots):
                    raise
        raise AssertionError("the last attempt returns or raises")

    def _counts_uses(self, slots: tuple[int, ...]) -> bool:
        """Whether a slot's key is of limited use (SlotConfig bit 5); asked only after a fault."""
        for slot in slots:
            word = self.execute(Command(Opcode.READ, 0, (20 + 2 * slot) // 4), 4)
            if word[2 * (slot & 1)] & 0x20:
                return True
        return False

    def _attempt(self, command: Command, size: int | None) -> bytes:
        longest = execution_us(command.opcode, self._part, self.divider)
        if self._awake_since is not None:
            left = self._awake_since + self.pace.watchdog_us - self.clock.now
            if left < longest + self.pace.bus_us:
                self.idle()
        if self._awake_since is None:
            self.wake()
        self.bus.write(self.address, bytes((WordAddress.COMMAND,)) + command.encode())
        payload = self._answer(command, size, self.clock.now + self.pace.patience_us(longest))
        if len(payload) == 1 and payload[0] != Status.OK and not _answers_one_byte(command, payload[0]):
            meaning = STATUS_MEANING.get(payload[0], "a status that no data sheet lists")
            raise ElementError(command.label, payload[0], meaning)
        if size is not None and len(payload) != size:
            raise FrameError(f"{command.label} answered {len(payload)} bytes where {size} are due")
        return payload

    def _answer(self, command: Command, size: int | None, deadline: int) -> bytes:
        """Poll until the answer is there; read it again if it arrived damaged."""
        wanted = _STATUS_GROUP if size is None else max(_STATUS_GROUP, size + 3)
        damaged = 0
        self.clock.sleep(self.pace.first_poll_us)
        if self._knows_busy is not None:
            self._knows_busy.poll_in_vain(self.address, self.pace.poll_us, deadline)
        while True:
            try:
                group = self._read_group(wanted)
                if group:
                    return decode_response(group)
            except I2CNack:
                pass  # busy: a command that runs does not acknowledge its address
            except (I2CError, FrameError):
                damaged += 1
                if damaged == self.pace.attempts:
                    raise
                self._state(WordAddress.RESET)
                continue
            if self.clock.now >= deadline:
                raise DeviceTimeout(
                    f"{command.label} at 0x{self.address:02x} on {self.bus.name}: no answer",
                    hint="the element lost power, fell asleep, or is slower than its data sheet allows",
                )
            self.clock.sleep(self.pace.poll_us)

    def _read_group(self, wanted: int) -> bytes:
        """The response group, in one read if its length is the expected one; b"" if none is there."""
        group = self.bus.read(self.address, wanted)
        count = group[0]
        if count == _EMPTY:
            self._state(WordAddress.RESET)
            return b""
        if not _STATUS_GROUP <= count <= COUNT_MAX:
            raise FrameError(f"count byte 0x{count:02X} of an answer is out of range")
        if count > len(group):
            group += self.bus.read(self.address, count - len(group))
        return group[:count]

    def _wake_answer(self, since: int) -> bytes:
        """Four bytes; a NACK is a self test still running, until patience ends."""
        while True:
            try:
                return self.bus.read(self.address, _STATUS_GROUP)
            except I2CNack:
                if self.clock.now - since >= self.pace.wake_patience_us:
                    raise
            self.clock.sleep(self.pace.poll_us)

    def _state(self, word_address: WordAddress) -> bool:
        """Send a bare word address; False if the element does not listen (asleep, idle, busy)."""
        try:
            self.bus.write(self.address, bytes((word_address,)))
        except I2CNack:
            return False
        return True

    def _explained(self, error: ElementError) -> ElementError:
        if error.status == Status.EXECUTION and self._overslept:
            error.hint = "it did not listen before this command: it had fallen asleep and lost TempKey"
        return error


def _answers_one_byte(command: Command, value: int) -> bool:
    """SelfTest answers with a map of failed tests, whose bits 1, 6 and 7 are never set."""
    return command.opcode == Opcode.SELFTEST and not value & 0xC2 and value != Status.AFTER_WAKE
