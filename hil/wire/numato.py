r"""Numato USB relay modules: a command line over CDC-ACM, both ends.

Commands end with CR; the module echoes them, answers in lines that end with LF CR, and prompts
with ``>``. Sources: Numato Lab user guide "8 Channel USB Relay Module", pdudaemon ``numatousb.py``.
"""

from __future__ import annotations

import re

from hil.wire.relays import StatusRequest, Switch

__all__ = ["PROMPT", "NumatoReceiver", "index", "parse_state", "read_command", "state_line", "switch_command"]

PROMPT = b">"
_END = b"\n\r"
_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUV"
_COMMAND = re.compile(rb"relay (on|off|read) ([0-9A-V]{1,2})", re.IGNORECASE)


def index(channel: int, channels: int) -> str:
    """How a module with ``channels`` outputs names ``channel`` (from 1): one digit, two from 33 on."""
    return f"{channel - 1:02d}" if channels > len(_DIGITS) else _DIGITS[channel - 1]


def switch_command(channel: int, on: bool, channels: int) -> bytes:
    """Switch an output."""
    return f"relay {'on' if on else 'off'} {index(channel, channels)}\r".encode()


def read_command(channel: int, channels: int) -> bytes:
    """Ask for an output's state."""
    return f"relay read {index(channel, channels)}\r".encode()


def parse_state(answer: bytes) -> bool | None:
    """State in the answer to :func:`read_command`, echo and prompt included; None if there is none."""
    words = re.findall(rb"^(on|off)$", answer.replace(b"\r", b"\n"), re.IGNORECASE | re.MULTILINE)
    return words[-1].lower() == b"on" if words else None


def state_line(on: bool | None) -> bytes:
    """What the module prints after a command: the state if it was asked for, and the prompt."""
    word = b"" if on is None else (b"on" if on else b"off") + _END
    return _END + word + PROMPT


class NumatoReceiver:
    """The module's end: an echo, and the commands that were completed.

    Args:
        channels: how many outputs; decides the form of the index.
    """

    def __init__(self, channels: int) -> None:
        self._channels = channels
        self._line = bytearray()

    def feed(self, data: bytes) -> list[Switch | StatusRequest | None]:
        """Take received bytes; None stands for a line that is no command, for a prompt only."""
        events: list[Switch | StatusRequest | None] = []
        for byte in data:
            if byte == 0x0D:
                events.append(self._command(bytes(self._line)))
                self._line.clear()
            elif byte != 0x0A:
                self._line.append(byte)
        return events

    def _command(self, line: bytes) -> Switch | StatusRequest | None:
        match = _COMMAND.fullmatch(line.strip())
        if match is None:
            return None
        number = match[2].decode().upper()
        wide = self._channels > len(_DIGITS)
        if wide is not (len(number) == 2) or (wide and not number.isdigit()):
            return None
        channel = (int(number) if wide else _DIGITS.index(number)) + 1
        if channel > self._channels:
            return None
        word = match[1].lower()
        return StatusRequest(channel) if word == b"read" else Switch(channel, word == b"on")
