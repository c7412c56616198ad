"""KMTronic USB relays (9600 baud), both ends: ``FF n 01``, ``FF n 00`` and two forms of status.

Source: info.kmtronic.com, "USB One/Two/Four/Eight Relay".
"""

from __future__ import annotations

from hil.wire.relays import StatusRequest, Switch

__all__ = [
    "KmtronicReceiver",
    "encode_status",
    "parse_status",
    "status_command",
    "status_length",
    "switch_command",
]

_START = 0xFF
_LENGTH = 3
_ONE_STATUS = 0x03
_ALL_STATUS = 0x09
_SMALL = 2
"""Boards with up to two outputs are asked for one of them, larger ones for all."""


def switch_command(channel: int, on: bool) -> bytes:
    """Switch an output; not acknowledged."""
    return bytes((_START, channel, int(on)))


def status_command(channel: int, channels: int) -> bytes:
    """Ask a board with ``channels`` outputs."""
    return bytes((_START, channel, _ONE_STATUS) if channels <= _SMALL else (_START, _ALL_STATUS, 0))


def status_length(channels: int) -> int:
    """How long the answer is."""
    return _LENGTH if channels <= _SMALL else channels


def parse_status(answer: bytes, channel: int, channels: int) -> bool | None:
    """State of ``channel`` in a status answer; None if the answer is no such."""
    if len(answer) != status_length(channels):
        return None
    if channels <= _SMALL:
        state = answer[2] if answer[:2] == bytes((_START, channel)) else -1
    else:
        state = answer[channel - 1]
    return {0: False, 1: True}.get(state)


def encode_status(states: list[bool], request: StatusRequest) -> bytes:
    """A board's answer to a status request."""
    if request.channel:
        return bytes((_START, request.channel, int(states[request.channel - 1])))
    return bytes(map(int, states))


class KmtronicReceiver:
    """The board's end; what is no command of a board with ``channels`` outputs is dropped."""

    def __init__(self, channels: int) -> None:
        self._channels = channels
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[Switch | StatusRequest]:
        """Take received bytes; returns the commands that they completed."""
        buffer = self._buffer
        buffer += data
        events: list[Switch | StatusRequest] = []
        while True:
            start = buffer.find(_START)
            del buffer[: len(buffer) if start < 0 else start]
            if len(buffer) < _LENGTH:
                return events
            event = self._command(buffer[1], buffer[2])
            if event is not None:
                events.append(event)
            del buffer[: _LENGTH if event is not None else 1]

    def _command(self, channel: int, action: int) -> Switch | StatusRequest | None:
        if (channel, action) == (_ALL_STATUS, 0) and self._channels > _SMALL:
            return StatusRequest()
        if not 1 <= channel <= self._channels:
            return None
        if action in (0, 1):
            return Switch(channel, action == 1)
        return StatusRequest(channel) if action == _ONE_STATUS and self._channels <= _SMALL else None
