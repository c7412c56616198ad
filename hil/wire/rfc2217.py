"""The server's end of a serial port over Telnet; no I/O.

Sources: RFC 2217 (COM-PORT-OPTION), RFC 854 and 855 (Telnet, options), RFC 856 (binary).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["Baud", "Data", "Lines", "Paused", "Purge", "Reply", "Server", "escape"]

IAC, DONT, DO, WONT, WILL, SB, SE = 255, 254, 253, 252, 251, 250, 240
BINARY, ECHO, SGA, COM_PORT = 0, 1, 3, 44
OPTIONS = (BINARY, ECHO, SGA, COM_PORT)
MAX_SUBNEGOTIATION = 64
"""Beyond it a client is out of step; its subnegotiation is dropped."""

SIGNATURE = b"hil"
SERVER = 100
"""Added to a command's number in the answer (RFC 2217, section 3)."""


class Command(IntEnum):
    """COM-PORT-OPTION commands, client to server."""

    SIGNATURE = 0
    BAUDRATE = 1
    DATASIZE = 2
    PARITY = 3
    STOPSIZE = 4
    CONTROL = 5
    LINESTATE = 6
    MODEMSTATE = 7
    SUSPEND = 8
    RESUME = 9
    LINESTATE_MASK = 10
    MODEMSTATE_MASK = 11
    PURGE = 12


DTR_QUERY, DTR_ON, DTR_OFF = 7, 8, 9
RTS_QUERY, RTS_ON, RTS_OFF = 10, 11, 12
_FIXED_CONTROL = {0: 1, 4: 6, 13: 14}
"""Queries of what never changes: no outbound flow control, no break, no inbound flow control."""


@dataclass(frozen=True)
class Data:
    """Bytes for the line."""

    data: bytes


@dataclass(frozen=True)
class Baud:
    """The line's rate from now on."""

    rate: int


@dataclass(frozen=True)
class Lines:
    """Modem lines from now on; True is asserted."""

    dtr: bool
    rts: bool


@dataclass(frozen=True)
class Purge:
    """Drop what has not been delivered yet, to the client or to the line."""

    received: bool
    sending: bool


@dataclass(frozen=True)
class Paused:
    """Send no data to the client until resumed."""

    paused: bool


@dataclass(frozen=True)
class Reply:
    """Bytes for the client, escaped already."""

    data: bytes


Event = Data | Baud | Lines | Purge | Paused | Reply


def escape(data: bytes) -> bytes:
    """Line data as it crosses Telnet."""
    return data.replace(b"\xff", b"\xff\xff")


class Server:
    """One client's session.

    Args:
        baud: the line's present rate.

    Attributes:
        dtr, rts: the lines as the client has set them; off at first.
    """

    def __init__(self, baud: int) -> None:
        self.baud = baud
        self.dtr = self.rts = False
        self._state: Literal["data", "iac", "option", "sub", "sub-iac"] = "data"
        self._verb = 0
        self._sub = bytearray()
        self._ours = {option: False for option in OPTIONS}
        self._theirs = {option: False for option in OPTIONS}
        self._events: list[Event] = []
        self._plain = bytearray()

    def greeting(self) -> bytes:
        """What the server sends first: both ways binary, with COM-PORT-OPTION."""
        wanted = [(WILL, BINARY), (DO, BINARY), (WILL, SGA), (DO, SGA), (WILL, COM_PORT), (DO, COM_PORT)]
        for verb, option in wanted:
            (self._ours if verb == WILL else self._theirs)[option] = True
        return b"".join(bytes((IAC, verb, option)) for verb, option in wanted)

    def modem_state(self) -> bytes:
        """A notification: CTS, DSR, RI and CD are not wired."""
        return _subnegotiation(SERVER + Command.MODEMSTATE, b"\0")

    def receive(self, data: bytes) -> list[Event]:
        """What the client's bytes mean, in their order."""
        for byte in data:
            if self._state == "data":
                self._data(byte)
            elif self._state == "iac":
                self._after_iac(byte)
            elif self._state == "option":
                self._state = "data"
                self._negotiate(self._verb, byte)
            else:
                self._inside(byte)
        self._flush()
        events, self._events = self._events, []
        return events

    # -- Telnet --------------------------------------------------------------------------------

    def _flush(self) -> None:
        if self._plain:
            self._events.append(Data(bytes(self._plain)))
            self._plain.clear()

    def _emit(self, event: Event) -> None:
        self._flush()
        self._events.append(event)

    def _data(self, byte: int) -> None:
        if byte == IAC:
            self._state = "iac"
        else:
            self._plain.append(byte)

    def _after_iac(self, byte: int) -> None:
        self._state = "data"
        if byte == IAC:
            self._plain.append(byte)
        elif byte in (DO, DONT, WILL, WONT):
            self._verb, self._state = byte, "option"
        elif byte == SB:
            self._sub.clear()
            self._state = "sub"

    def _inside(self, byte: int) -> None:
        if self._state == "sub":
            if byte == IAC:
                self._state = "sub-iac"
                return
        else:
            self._state = "sub"
            if byte == SE:
                self._state = "data"
                self._subnegotiated(bytes(self._sub))
                return
            if byte != IAC:
                self._state = "data"  # out of step
                return
        self._sub.append(byte)
        if len(self._sub) > MAX_SUBNEGOTIATION:
            self._state = "data"

    def _negotiate(self, verb: int, option: int) -> None:
        """Answer a change only, so that two polite ends never loop (RFC 855)."""
        states, agree, refuse = (self._ours, WILL, WONT) if verb in (DO, DONT) else (self._theirs, DO, DONT)
        wanted = verb in (DO, WILL)
        if option not in states:
            if wanted:
                self._emit(Reply(bytes((IAC, refuse, option))))
        elif states[option] != wanted:
            states[option] = wanted
            self._emit(Reply(bytes((IAC, agree if wanted else refuse, option))))

    # -- COM-PORT-OPTION -----------------------------------------------------------------------

    def _subnegotiated(self, content: bytes) -> None:
        if len(content) < 2 or content[0] != COM_PORT:
            return
        handler = _HANDLERS.get(content[1])
        if handler is not None:
            answer = handler(self, content[2:])
            if answer is not None:
                self._emit(Reply(_subnegotiation(SERVER + content[1], answer)))

    def _signature(self, value: bytes) -> bytes | None:
        return None if value else SIGNATURE

    def _baudrate(self, value: bytes) -> bytes | None:
        rate = int.from_bytes(value[:4], "big")
        if 300 <= rate <= 5_000_000:
            self.baud = rate
            self._emit(Baud(rate))
        return self.baud.to_bytes(4, "big")

    def _control(self, value: bytes) -> bytes | None:
        if len(value) != 1:
            return None
        asked = value[0]
        if asked in (DTR_ON, DTR_OFF, RTS_ON, RTS_OFF):
            if asked in (DTR_ON, DTR_OFF):
                self.dtr = asked == DTR_ON
            else:
                self.rts = asked == RTS_ON
            self._emit(Lines(self.dtr, self.rts))
        elif asked == DTR_QUERY:
            asked = DTR_ON if self.dtr else DTR_OFF
        elif asked == RTS_QUERY:
            asked = RTS_ON if self.rts else RTS_OFF
        return bytes((_FIXED_CONTROL.get(asked, asked),))

    def _suspend(self, value: bytes) -> bytes | None:
        self._emit(Paused(True))
        return None

    def _resume(self, value: bytes) -> bytes | None:
        self._emit(Paused(False))
        return None

    def _mask(self, value: bytes) -> bytes | None:
        return value[:1]

    def _purge(self, value: bytes) -> bytes | None:
        what = value[0] if value else 0
        self._emit(Purge(received=what in (1, 3), sending=what in (2, 3)))
        return value[:1]


def _always(answer: int) -> Callable[[Server, bytes], bytes | None]:
    """A setting that cannot be changed: the answer says what it is (RFC 2217, section 3)."""
    return lambda server, value: bytes((answer,))


_HANDLERS: Mapping[int, Callable[[Server, bytes], bytes | None]] = {
    Command.SIGNATURE: Server._signature,
    Command.BAUDRATE: Server._baudrate,
    Command.DATASIZE: _always(8),
    Command.PARITY: _always(1),
    Command.STOPSIZE: _always(1),
    Command.CONTROL: Server._control,
    Command.SUSPEND: Server._suspend,
    Command.RESUME: Server._resume,
    Command.LINESTATE_MASK: Server._mask,
    Command.MODEMSTATE_MASK: Server._mask,
    Command.PURGE: Server._purge,
}


def _subnegotiation(command: int, value: bytes) -> bytes:
    return bytes((IAC, SB, COM_PORT, command)) + escape(value) + bytes((IAC, SE))
