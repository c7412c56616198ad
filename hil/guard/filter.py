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
    """Decodes what goes to an element and asks ``allow`` about every command.

    Args:
        allow: called with address and command; returns if it may pass, else raises.
        foreign: 7-bit addresses that the rig file declares to be other devices. Every other
            address is taken for an element's: a wrong configuration may have moved it.
    """

    def __init__(self, allow: Callable[[int, Command], None], foreign: Container[int] = ()) -> None:
        self._allow = allow
        self._foreign = foreign

    def outgoing(self, address: int, data: bytes, *, main_bus: bool = True) -> None:
        """Look at one write transaction before it is sent.

        Args:
            address: 7-bit address.
            data: the bytes between address and STOP.
            main_bus: False on another bus than the rig file describes: nothing is foreign there.

        Raises:
            GuardRefusal: the bytes are, or could become, an irreversible command that nobody
                permitted, or cannot be decoded. Nothing has been sent then.
        """
        if not 0 <= address <= 0x7F:
            # Firmware may cut an address to seven bits, or take -1 for "go on with the transaction".
            raise _refusal(address, data, "that is no 7-bit address")
        if not data or (main_bus and address in self._foreign) or (address == 0 and data in WAKE_BYTES):
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
        except FrameError:
            # Not chained: the codec's message shows the whole group, which may carry a key.
            raise _refusal(address, data, "its checksum is wrong") from None
        self._allow(address, command)


def _refusal(address: int, data: bytes, why: str) -> GuardRefusal:
    """Three bytes are shown: word address, count, opcode. What follows may be a key."""
    shown = data[:3].hex(" ") + (" …" if len(data) > 3 else "")
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
        data = bytes(data)  # what was looked at is what is sent, whatever becomes of a caller's buffer
        self._filter.outgoing(address, data)
        self._bus.write(address, data)

    def read(self, address: int, length: int) -> bytes:
        """See :meth:`hil.i2c.bus.I2CBus.read`."""
        return self._bus.read(address, length)

    def wake_pulse(self) -> None:
        """See :meth:`hil.i2c.bus.I2CBus.wake_pulse`."""
        self._bus.wake_pulse()
