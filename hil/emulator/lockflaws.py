"""What can be wrong with a part's locks: flaws between the bus and the element.

A flaw changes what reaches the part, or its memory at that moment; the part itself stays whole. What
the part's own table of faults offers is used from there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from hil.errors import FrameError
from hil.wire.atecc import Command, Opcode, WordAddress, decode_command

if TYPE_CHECKING:
    from hil.emulator.chip import Chip

__all__ = ["ConfigWriteAfterLock", "Flaw", "LockCrcIgnored", "ReadingWrites", "Throughout"]

LOCK_CONFIG = 87
UNLOCKED = 0x55
X509_FORMAT = 92


class Flaw(Protocol):
    """Something that is wrong with whatever part is in the socket."""

    def inserted(self, chip: Chip) -> None:
        """A part comes into the socket, without power."""
        ...

    def before(self, chip: Chip, data: bytes) -> bytes:
        """A write transaction comes; returns what reaches the part."""
        ...

    def after(self, chip: Chip) -> None:
        """The part has taken the transaction."""
        ...


class _Whole:
    """A flaw without effect; the others change one thing."""

    def inserted(self, chip: Chip) -> None:
        """See :class:`Flaw`."""

    def before(self, chip: Chip, data: bytes) -> bytes:
        """See :class:`Flaw`."""
        return data

    def after(self, chip: Chip) -> None:
        """See :class:`Flaw`."""


class Throughout(_Whole):
    """Every part that comes into the socket has a fault of the part's own table.

    Args:
        name: row of :data:`hil.emulator.chip.faults.FAULTS`.
        times: how often it strikes in one part; None = as that table says.
    """

    def __init__(self, name: str, times: int | None = None) -> None:
        self._name = name
        self._times = times

    def inserted(self, chip: Chip) -> None:
        """See :class:`Flaw`."""
        chip.faults.add(self._name, times=self._times)


class ConfigWriteAfterLock(_Whole):
    """Writes to the configuration zone are obeyed although it is locked."""

    def __init__(self) -> None:
        self._opened = False

    def before(self, chip: Chip, data: bytes) -> bytes:
        """See :class:`Flaw`: the lock byte is open while a Write is judged."""
        command = _command(data)
        if command is not None and command.opcode == Opcode.WRITE and not command.p1 & 0x03:
            self._opened = chip.memory.config_locked
            if self._opened:
                chip.memory.set_config(LOCK_CONFIG, bytes((UNLOCKED,)))
        return data

    def after(self, chip: Chip) -> None:
        """See :class:`Flaw`."""
        if self._opened:
            chip.memory.set_config(LOCK_CONFIG, b"\0")
        self._opened = False


class LockCrcIgnored(_Whole):
    """Lock does not compare its checksum: every one is good."""

    def before(self, chip: Chip, data: bytes) -> bytes:
        """See :class:`Flaw`: the bit that leaves the comparison out is set on the way."""
        command = _command(data)
        if command is None or command.opcode != Opcode.LOCK or command.p1 & 0x02:
            return data
        unchecked = Command(command.opcode, command.p1 | 0x80, command.p2, command.data)
        return data[:1] + unchecked.encode()


class ReadingWrites(_Whole):
    """Whoever only reads the configuration of the first part changes it: a dry run that is not dry."""

    def __init__(self) -> None:
        self._first: Chip | None = None
        self._read = False

    def inserted(self, chip: Chip) -> None:
        """See :class:`Flaw`."""
        self._first = self._first or chip

    def before(self, chip: Chip, data: bytes) -> bytes:
        """See :class:`Flaw`."""
        command = _command(data)
        reads = command is not None and command.opcode == Opcode.READ and not command.p1 & 0x03
        self._read = reads and chip is self._first and command is not None and command.p2 == 0x10
        return data

    def after(self, chip: Chip) -> None:
        """See :class:`Flaw`: the next reader finds another byte."""
        if self._read:
            counted = chip.memory.config[X509_FORMAT] + 1 & 0xFF
            chip.memory.set_config(X509_FORMAT, bytes((counted,)))
        self._read = False


def _command(data: bytes) -> Command | None:
    """The whole command in a transaction, or None."""
    if data[:1] != bytes((WordAddress.COMMAND,)):
        return None
    try:
        return decode_command(data[1:])
    except FrameError:
        return None
