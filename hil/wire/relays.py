"""Byte protocols of serial relays, both ends.

Each protocol has functions for what the host sends and understands, and a receiver class for the
relay's end. Sources stand with each part; where a vendor says nothing, the parser is lenient.
"""

from __future__ import annotations

import re

import msgspec

__all__ = [
    "LCUS_STATUS_REQUEST",
    "LcusReceiver",
    "StatusRequest",
    "Switch",
    "lcus_command",
    "lcus_status",
    "parse_lcus_status",
]


class Switch(msgspec.Struct, frozen=True):
    """The host asks to switch a channel, counted from 1."""

    channel: int
    on: bool


class StatusRequest(msgspec.Struct, frozen=True):
    """The host asks for the state of one channel, or of all (0)."""

    channel: int = 0


# -- LCUS, NOYITO: CH340, 9600 baud. Product pages; jumpstarter-driver-noyito-relay driver.py -----

LCUS_STATUS_REQUEST = b"\xff"
_LCUS_START = 0xA0
_LCUS_LENGTH = 4
_LCUS_LINE = re.compile(rb"CH(\d+): ?(ON|OFF)", re.IGNORECASE)


def lcus_command(channel: int, on: bool) -> bytes:
    """``A0 channel 01|00 sum``; the relay does not answer it."""
    body = bytes((_LCUS_START, channel, int(on)))
    return body + bytes((sum(body) & 0xFF,))


def lcus_status(states: list[bool]) -> bytes:
    """What a relay with several channels answers to ``FF``."""
    return b"".join(b"CH%d: %s\r\n" % (i, b"ON" if on else b"OFF") for i, on in enumerate(states, 1))


def parse_lcus_status(data: bytes, channel: int) -> bool | None:
    """State of ``channel`` in an answer to ``FF``; None if it is not (or not yet) there.

    Lines ``CH1: ON`` and the other known form, one byte a channel, are both understood.
    """
    lines = {int(number): state.upper() == b"ON" for number, state in _LCUS_LINE.findall(data)}
    if lines:
        return lines.get(channel)
    if len(data) >= channel and not data.strip(b"\x00\x01"):
        return data[channel - 1] == 1
    return None


class LcusReceiver:
    """The relay's end; bytes that begin no command and commands with a wrong sum are dropped."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[Switch | StatusRequest]:
        """Take received bytes; returns the commands that they completed."""
        buffer = self._buffer
        buffer += data
        events: list[Switch | StatusRequest] = []
        while buffer:
            if buffer[0] == LCUS_STATUS_REQUEST[0]:
                events.append(StatusRequest())
                del buffer[0]
            elif buffer[0] != _LCUS_START:
                del buffer[0]
            elif len(buffer) < _LCUS_LENGTH:
                break
            elif buffer[2] > 1 or bytes(buffer[:_LCUS_LENGTH]) != lcus_command(buffer[1], bool(buffer[2])):
                del buffer[0]
            else:
                events.append(Switch(buffer[1], bool(buffer[2])))
                del buffer[:_LCUS_LENGTH]
        return events
