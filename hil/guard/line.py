"""A serial line that nothing irreversible passes by hand.

The board's clients ask the guard before they write a call; here the bytes themselves are looked at
once more, so that a call that somebody writes to the console as raw bytes meets the same refusal. A
call takes effect when it is complete, and the write that would complete it is the one that is
refused: it does not matter into how many writes it was cut.

What is compared are names, not meanings: every call of the services, every file that the firmware
obeys, every command of the list must be one that the guard has admitted just before, once.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal

from hil.errors import GuardRefusal
from hil.guard.operations import Operation
from hil.guard.roads import CONSOLE_HARMLESS, CONSOLE_READS_MORE, CONSOLE_ROADS
from hil.serialport.port import Stamped
from hil.wire.mgrpc import MAX_FRAME

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hil.clock import Clock
    from hil.guard.guard import Guard
    from hil.serialport.port import Port

__all__ = ["GuardedLine", "Speech"]

Speech = Literal["rpc", "console"]

_ESCAPE = re.compile(r"\\u00([0-9A-Fa-f]{2})")
_FLOW = str.maketrans("", "", "\x11\x13")
"""XON and XOFF: a UART with software flow control takes them out of the text."""
_CALL = re.compile(r'"?\bmethod"?[\x00-\x20]*:[\x00-\x20]*"((?:atca|i2c|ota)\.[^"]*)"', re.IGNORECASE)
"""The firmware's JSON reader takes keys without quotes (cesanta/frozen, json_parse_identifier)."""
_MASK = re.compile(r"ecdh_slots_mask", re.IGNORECASE)
_FILE = re.compile(
    r'"?\b(?:filename|dst)"?[\x00-\x20]*:[\x00-\x20]*"[^"]*(?:conf[^"/]*\.json|\.js)"', re.IGNORECASE
)
_FILE_CALLS = ("fs.put", "fs.rename", "fs.get", "fs.remove")
"""Which of them it is, the guard has looked at; by hand none of them gets at such a file."""
_HARMLESS = frozenset({"atca.getconfig", "atca.getpubkey", "i2c.scan", "i2c.read", "ota.status"})
_KEPT = MAX_FRAME + 100
"""Characters behind the last call that are remembered: more than a firmware takes for one frame, so that no
filling between the pieces of a call hides it."""

_HINTS = ("atca.", "i2c.", "ota.", "ecdh_slots_mask", ".js", "\\u00")
"""In lower case: each thing that is looked for contains one of these, or an escape that stands for it."""
_REACH = max(map(len, _HINTS)) - 1

_LINE_END = re.compile(r"[\r\n\0]")
_EDITING = re.compile(r"[\x01-\x08\x0b\x0c\x0e-\x1f\x7f]")
_HANDSHAKE = re.compile(r"^(?:version)+")
"""What newer firmware wants before its first prompt, without a line end; it may be taken for the beginning
of the first line, or not."""
_QUOTES = str.maketrans("", "", "\"'\\")


class GuardedLine:
    """A :class:`hil.serialport.port.Port` behind the guard.

    Args:
        port: the line.
        guard: what admits calls.
        speech: how the firmware is spoken to: RPC frames, or command lines.
    """

    def __init__(self, port: Port, guard: Guard, speech: Speech) -> None:
        self._port = port
        self._stamped = port if isinstance(port, Stamped) else None
        self._guard = guard
        self._look = self._look_at_frames if speech == "rpc" else self._look_at_lines
        self._before = ""
        self._hinted = False
        self._reading = False

    @property
    def name(self) -> str:
        """The port's name."""
        return self._port.name

    @property
    def clock(self) -> Clock:
        """The port's clock."""
        return self._port.clock

    @property
    def physical(self) -> bool:
        """Whether the port is a physical one."""
        return self._port.physical

    @property
    def arrived_at(self) -> int:
        """See :class:`hil.serialport.port.Stamped`."""
        return self._port.clock.now if self._stamped is None else self._stamped.arrived_at

    def write(self, data: bytes) -> None:
        """Look, then write; see :meth:`hil.serialport.port.Port.write`.

        Raises:
            GuardRefusal: the bytes complete a call that was not admitted; none of them was sent.
        """
        self._before = self._look(data)
        self._port.write(data)

    def read(self, deadline: int) -> bytes:
        """See :meth:`hil.serialport.port.Port.read`."""
        return self._port.read(deadline)

    def close(self) -> None:
        """See :meth:`hil.serialport.port.Port.close`."""
        self._port.close()

    def _look_at_frames(self, data: bytes) -> str:
        """What to remember for the next write; read closely only since there was a hint in it."""
        piece = data.decode("latin-1").translate(_FLOW)
        raw = self._before + piece
        fresh = (self._before[-_REACH:] + piece).lower()
        self._hinted = self._hinted or any(hint in fresh for hint in _HINTS)
        if not self._hinted:
            return raw[-_KEPT:]
        text = _ESCAPE.sub(lambda found: chr(int(found[1], 16)), raw)
        end = 0
        for found in _CALL.finditer(text):
            if found[1].lower() not in _HARMLESS:
                self._guard.take_spoken(found[1].lower())
            end = found.end()
        mask = _MASK.search(text, end)
        if mask is not None:
            self._guard.take_spoken("config.set")
            end = mask.end()
        file = _FILE.search(text, end)
        if file is not None:
            self._guard.take_spoken(*_FILE_CALLS)
            end = file.end()
        if end == 0:
            return raw[-_KEPT:]
        rest = text[end:][-_KEPT:]
        self._hinted = any(hint in rest.lower() for hint in _HINTS)
        return rest

    def _look_at_lines(self, data: bytes) -> str:
        text = self._before + data.decode("latin-1")
        if _EDITING.search(text):
            raise GuardRefusal("refused to send control characters to the console: they edit the line unseen")
        start, reading = 0, self._reading
        for end in _LINE_END.finditer(text):
            words = _HANDSHAKE.sub("", text[start : end.start()]).translate(_QUOTES).split()
            if words:
                self._look_at_command(words, reading)
                reading = reading or words[0] in CONSOLE_READS_MORE
            if end[0] == "\0":
                reading = False
            start = end.end()
        self._reading = reading
        return text[start:][-_KEPT:]

    def _look_at_command(self, words: Sequence[str], reading: bool) -> None:
        """One line; ``reading``: a command before it reads it, unless it has failed meanwhile."""
        name = words[0]
        later = words[1:] if name in CONSOLE_ROADS else words
        if any(word.endswith(tuple(CONSOLE_ROADS)) for word in later):
            raise GuardRefusal(
                "refused to send a console line with a command in it that is not its first word: for a board "
                "that restarted meanwhile the line would begin there"
            )
        if name in CONSOLE_HARMLESS or (reading and name not in CONSOLE_ROADS):
            return
        permit = self._guard.take_spoken(name)
        locks = name.startswith("program-") and words[1:2] != ["0"]
        if locks and (permit is None or permit.operation is not Operation.LOCK_SLOT):
            raise GuardRefusal(f"refused to send {name}: with lock = 1 it needs a permit for lock-slot")
