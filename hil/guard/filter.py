"""The second look: every transaction on its way to an element is decoded once more.

Whatever road a byte takes (element driver, raw bus call, an RPC that writes to the bus), it
passes here. What cannot be decoded is refused. A command that is not complete in one transaction
is refused too: what a fragment becomes depends on bytes that nobody has seen yet, and on whether
the chip took the fragment before it. So nothing has to be remembered between transactions, and
nothing can be assembled behind the filter's back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hil.errors import FrameError, GuardRefusal
from hil.guard.operations import classify
from hil.wire.atecc import COUNT_MAX, WordAddress, decode_command

if TYPE_CHECKING:
    from collections.abc import Callable, Container

    from hil.clock import Clock
    from hil.i2c.bus import I2CBus
    from hil.wire.atecc import Command

__all__ = ["GuardedBus", "TransactionFilter"]

WAKE_BYTES = (b"", b"\x00", b"\x01")
"""What hosts write to address 0 to hold SDA low; no device answers there."""


class TransactionFilter:
    """Decodes what goes to an element and asks ``allow`` about every irreversible command.

    Args:
        allow: called with an irreversible command; returns if it is armed, else raises.
        foreign: 7-bit addresses that the rig file declares to be other devices. Every other
            address is taken for an element's: a wrong configuration may have moved it.
    """

    def __init__(self, allow: Callable[[Command], None], foreign: Container[int] = ()) -> None:
        self._allow = allow
        self._foreign = foreign

    def outgoing(self, address: int, data: bytes) -> None:
        """Look at one write transaction before it is sent.

        Raises:
            GuardRefusal: the bytes are, or could become, an irreversible command that nobody
                permitted, or cannot be decoded. Nothing has been sent then.
        """
        if address in self._foreign or not data or (address == 0 and data in WAKE_BYTES):
            return
        word, group = data[0], data[1:]
        if word in (WordAddress.RESET, WordAddress.SLEEP, WordAddress.IDLE):
            if group:
                raise _refusal(address, data, f"word address {word:02X} carries no data")
            return
        if word != WordAddress.COMMAND:
            raise _refusal(address, data, f"word address {word:02X} is reserved")
        if not group:
            return
        if not 7 <= group[0] <= COUNT_MAX:
            raise _refusal(address, data, f"count byte {group[0]} is no command's")
        if len(group) < group[0]:
            raise _refusal(address, data, f"a fragment: {len(group)} of {group[0]} bytes")
        if len(group) > group[0]:
            raise _refusal(address, data, f"{len(group) - group[0]} bytes follow the command")
        try:
            command = decode_command(group)
        except FrameError as error:
            raise _refusal(address, data, str(error)) from error
        if classify(command) is not None:
            self._allow(command)


def _refusal(address: int, data: bytes, why: str) -> GuardRefusal:
    shown = data[:8].hex(" ") + (" …" if len(data) > 8 else "")
    return GuardRefusal(
        f"refused to send {shown} to 0x{address:02x}: {why}",
        hint="send whole, correct commands; declare other devices of the bus in the rig file",
    )


class GuardedBus:
    """An ``I2CBus`` that nothing irreversible passes without a permit."""

    def __init__(self, bus: I2CBus, filter_: TransactionFilter) -> None:
        self._bus = bus
        self._filter = filter_

    @property
    def clock(self) -> Clock:
        """The bus's clock."""
        return self._bus.clock

    @property
    def name(self) -> str:
        """The bus's name."""
        return self._bus.name

    @property
    def physical(self) -> bool:
        """Whether real parts hang on it."""
        return self._bus.physical

    def write(self, address: int, data: bytes) -> None:
        """Filter, then write; see :meth:`hil.i2c.bus.I2CBus.write`."""
        self._filter.outgoing(address, data)
        self._bus.write(address, data)

    def read(self, address: int, length: int) -> bytes:
        """See :meth:`hil.i2c.bus.I2CBus.read`."""
        return self._bus.read(address, length)

    def wake_pulse(self) -> None:
        """See :meth:`hil.i2c.bus.I2CBus.wake_pulse`."""
        self._bus.wake_pulse()
