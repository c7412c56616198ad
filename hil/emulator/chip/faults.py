"""What can be wrong with a part: one table of names, and a class for each behaviour.

A fault overrides the hooks that it needs; everything else stays whole. Faults never change what a
healthy part would do afterwards except through their own effect (a torn write stays torn).
"""

from __future__ import annotations

from difflib import get_close_matches
from hashlib import sha256
from typing import TYPE_CHECKING, Literal, TypeVar

import msgspec

from hil.emulator.chip import config as words
from hil.errors import UsageError
from hil.wire.atecc import Status

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from cryptography.hazmat.primitives.asymmetric import ec

    from hil.emulator.chip.memory import Memory

__all__ = ["FAULTS", "Fault", "FaultKind", "Faults", "PowerLoss"]

Answer = TypeVar("Answer")
PowerLoss = Literal["before", "during", "after"]


class Fault:
    """A whole part; subclasses break one thing.

    Args:
        times: how often the fault strikes; None = always.
    """

    def __init__(self, times: int | None = None) -> None:
        self.left = times

    def strikes(self) -> bool:
        """Whether it strikes now; counts."""
        if self.left is None:
            return True
        self.left -= 1
        return self.left >= 0

    def attached(self, memory: Memory) -> None:
        """The fault begins."""

    def power_off(self, memory: Memory) -> None:
        """Vcc goes."""

    def nacks(self) -> bool:
        """Whether a ready part leaves its address unacknowledged."""
        return False

    def wakes(self) -> bool:
        """Whether a resting part wakes though SDA was not low for long."""
        return False

    def watchdog(self, us: int) -> int:
        """Time to the watchdog."""
        return us

    def resets(self) -> bool:
        """Whether the part restarts in the middle of this command."""
        return False

    def loses_power(self) -> PowerLoss | None:
        """Whether Vcc dips around the write of this command."""
        return None

    def response(self, group: bytes) -> bytes:
        """The answer as it appears on the bus."""
        return group

    def status(self) -> int | None:
        """Status that the command answers instead of being executed."""
        return None

    def duration(self, label: str, us: int, maximum_us: int) -> int:
        """Execution time of a command."""
        return us

    def random(self, block: bytes) -> bytes:
        """32 bytes of the generator."""
        return block

    def unhealthy(self) -> bool:
        """Whether the generator's health test fails now."""
        return False

    def signature(self, key: ec.EllipticCurvePrivateKey, digest: bytes) -> bytes | None:
        """A signature made otherwise."""
        return None

    def readable(self, slot: int) -> bool:
        """Whether Read gives any slot away."""
        return False

    def self_test(self, mask: int) -> int:
        """Bits of self tests that fail."""
        return 0


class _Nack(Fault):
    def nacks(self) -> bool:
        return self.strikes()


class _FlippedBit(Fault):
    def response(self, group: bytes) -> bytes:
        if not self.strikes():
            return group
        return group[:1] + bytes((group[1] ^ 0x10,)) + group[2:]


class _WrongCrc(Fault):
    def response(self, group: bytes) -> bytes:
        return group[:-1] + bytes((group[-1] ^ 0xFF,)) if self.strikes() else group


class _BadCount(Fault):
    def response(self, group: bytes) -> bytes:
        return bytes((group[0] ^ 0x80,)) + group[1:] if self.strikes() else group


class _SpuriousWake(Fault):
    def wakes(self) -> bool:
        return self.strikes()


class _WatchdogEarly(Fault):
    def watchdog(self, us: int) -> int:
        return min(us, 50_000) if self.strikes() else us


class _ResetInCommand(Fault):
    def resets(self) -> bool:
        return self.strikes()


class _Status(Fault):
    def __init__(self, status: int, times: int | None = None) -> None:
        super().__init__(times)
        self._status = status

    def status(self) -> int | None:
        return self._status if self.strikes() else None


class _PowerLost(Fault):
    def __init__(self, when: PowerLoss, times: int | None = None) -> None:
        super().__init__(times)
        self._when = when

    def loses_power(self) -> PowerLoss | None:
        return self._when if self.strikes() else None


class _RandomStuck(Fault):
    def random(self, block: bytes) -> bytes:
        return b"\xa5" * 32


class _RandomRepeats(Fault):
    PERIOD = 4

    def __init__(self, times: int | None = None) -> None:
        super().__init__(times)
        self._seen: list[bytes] = []
        self._drawn = 0

    def random(self, block: bytes) -> bytes:
        if len(self._seen) < self.PERIOD:
            self._seen.append(block)
        self._drawn += 1
        return self._seen[(self._drawn - 1) % self.PERIOD]


class _Unhealthy(Fault):
    def unhealthy(self) -> bool:
        return self.strikes()


class _NonceReused(Fault):
    def signature(self, key: ec.EllipticCurvePrivateKey, digest: bytes) -> bytes | None:
        from hil.emulator.chip import ecc

        nonce = int.from_bytes(sha256(b"a nonce that is used again").digest(), "big") % (ecc.ORDER - 1) + 1
        return ecc.sign_with_nonce(key, digest, nonce)


class _LockNotSticky(Fault):
    def attached(self, memory: Memory) -> None:
        self._locks = bytes(memory.config[words.LOCK_DATA : words.CHIP_OPTIONS])

    def power_off(self, memory: Memory) -> None:
        memory.set_config(words.LOCK_DATA, self._locks)


class _Readable(Fault):
    def readable(self, slot: int) -> bool:
        return True


class _Slow(Fault):
    def __init__(self, label: str | None, times: int | None = None) -> None:
        super().__init__(times)
        self._label = label

    def duration(self, label: str, us: int, maximum_us: int) -> int:
        concerned = self._label is None or label == self._label
        return 3 * maximum_us if concerned and self.strikes() else us


class _SelfTestFails(Fault):
    def self_test(self, mask: int) -> int:
        return mask & 0x20 if self.strikes() else 0


class FaultKind(msgspec.Struct, frozen=True):
    """One row of the table.

    Attributes:
        meaning: what is wrong, for people.
        make: makes the fault; takes how often it strikes.
        times: how often it strikes unless told otherwise; None = always.
    """

    meaning: str
    make: Callable[[int | None], Fault]
    times: int | None = None


def _status(status: Status) -> Callable[[int | None], Fault]:
    return lambda times: _Status(status, times)


def _power(when: PowerLoss) -> Callable[[int | None], Fault]:
    return lambda times: _PowerLost(when, times)


FAULTS: Mapping[str, FaultKind] = {
    "nack": FaultKind("the address is not acknowledged although the part is ready", _Nack, 3),
    "flipped-bit": FaultKind("one bit of an answer is flipped, its CRC is not", _FlippedBit, 1),
    "wrong-crc": FaultKind("the CRC of an answer is wrong", _WrongCrc, 1),
    "bad-count": FaultKind("the count byte of an answer is damaged", _BadCount, 1),
    "spurious-wake": FaultKind("any traffic on the bus wakes the part", _SpuriousWake),
    "watchdog-early": FaultKind("the watchdog fires 50 ms after the wake", _WatchdogEarly),
    "reset-in-command": FaultKind("the part restarts during a command: the answer is 11", _ResetInCommand, 1),
    "status-05": FaultKind("a command ends with an ECC fault", _status(Status.ECC_FAULT), 1),
    "status-07": FaultKind("a command ends with a self-test error", _status(Status.SELF_TEST), 1),
    "status-08": FaultKind("a command ends with a failed health test", _status(Status.HEALTH_TEST), 1),
    "status-0f": FaultKind("a command ends with an execution error", _status(Status.EXECUTION), 1),
    "status-ee": FaultKind("a command is not tried for lack of time", _status(Status.WATCHDOG), 1),
    "status-ff": FaultKind("a group is heard damaged", _status(Status.COMMUNICATION), 1),
    "power-lost-before-write": FaultKind("Vcc dips just before memory is written", _power("before"), 1),
    "power-lost-during-write": FaultKind("Vcc dips while memory is written", _power("during"), 1),
    "power-lost-after-write": FaultKind("Vcc dips once memory is written", _power("after"), 1),
    "random-stuck": FaultKind("the random generator always gives the same 32 bytes", _RandomStuck),
    "random-repeats": FaultKind("the random generator repeats after four blocks", _RandomRepeats),
    "health-test-fails": FaultKind(
        "the generator's health test fails: commands that need it answer 08", _Unhealthy
    ),
    "signature-nonce-reused": FaultKind("every signature has the same k, two give the key", _NonceReused),
    "lock-not-sticky": FaultKind("locks are acknowledged but gone after a power cycle", _LockNotSticky),
    "private-key-readable": FaultKind("Read gives every slot away, private keys too", _Readable),
    "sign-slow": FaultKind("Sign takes three times its longest time", lambda times: _Slow("Sign", times)),
    "slow": FaultKind("every command takes three times its longest time", lambda times: _Slow(None, times)),
    "self-test-fails": FaultKind("the SHA self test fails (608)", _SelfTestFails),
}
"""Every fault of a part by name."""


class Faults:
    """The faults that a part has now; asks each of them in turn.

    Args:
        memory: what the part remembers, for faults that look at it.
    """

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self._active: dict[str, Fault] = {}
        self.any = False
        """Whether there is any: the engine's fast path asks this alone."""

    @property
    def names(self) -> list[str]:
        """Names of the present faults."""
        return list(self._active)

    def add(self, name: str, *, times: int | None = None) -> None:
        """Give the part a fault.

        Args:
            name: row of ``FAULTS``.
            times: how often it strikes; None = as the table says.

        Raises:
            UsageError: there is no such fault.
        """
        kind = FAULTS.get(name)
        if kind is None:
            near = get_close_matches(name, FAULTS, 1)
            hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(FAULTS)}"
            raise UsageError(f"a chip has no fault {name!r}", hint=hint)
        fault = kind.make(kind.times if times is None else times)
        fault.attached(self._memory)
        self._active[name] = fault
        self.any = True

    def remove(self, name: str) -> None:
        """Heal one fault; nothing if the part does not have it."""
        self._active.pop(name, None)
        self.any = bool(self._active)

    def clear(self) -> None:
        """Heal everything."""
        self._active.clear()
        self.any = False

    def power_off(self) -> None:
        """Vcc goes."""
        for fault in self._active.values():
            fault.power_off(self._memory)

    def nacks(self) -> bool:
        """Whether any fault keeps the address from being acknowledged."""
        return any(fault.nacks() for fault in self._active.values())

    def wakes(self) -> bool:
        """Whether any fault wakes the part now."""
        return any(fault.wakes() for fault in self._active.values())

    def watchdog(self, us: int) -> int:
        """Time to the watchdog."""
        for fault in self._active.values():
            us = fault.watchdog(us)
        return us

    def resets(self) -> bool:
        """Whether the part restarts in this command."""
        return any(fault.resets() for fault in self._active.values())

    def loses_power(self) -> PowerLoss | None:
        """Whether Vcc dips around a write."""
        return _first(fault.loses_power() for fault in self._active.values())

    def response(self, group: bytes) -> bytes:
        """The answer on the bus."""
        for fault in self._active.values():
            group = fault.response(group)
        return group

    def status(self) -> int | None:
        """A status instead of execution."""
        return _first(fault.status() for fault in self._active.values())

    def duration(self, label: str, us: int, maximum_us: int) -> int:
        """Execution time."""
        for fault in self._active.values():
            us = fault.duration(label, us, maximum_us)
        return us

    def random(self, block: bytes) -> bytes:
        """32 bytes of the generator."""
        for fault in self._active.values():
            block = fault.random(block)
        return block

    def unhealthy(self) -> bool:
        """Whether the generator's health test fails now."""
        return any(fault.unhealthy() for fault in self._active.values())

    def signature(self, key: ec.EllipticCurvePrivateKey, digest: bytes) -> bytes | None:
        """A signature made otherwise."""
        return _first(fault.signature(key, digest) for fault in self._active.values())

    def readable(self, slot: int) -> bool:
        """Whether Read gives a slot away."""
        return any(fault.readable(slot) for fault in self._active.values())

    def self_test(self, mask: int) -> int:
        """Bits of self tests that fail."""
        failing = 0
        for fault in self._active.values():
            failing |= fault.self_test(mask)
        return failing


def _first(answers: Iterable[Answer | None]) -> Answer | None:
    return next((answer for answer in answers if answer is not None), None)
