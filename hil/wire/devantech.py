"""Devantech USB-RLY02, -RLY08 and -RLY16 (CDC-ACM), both ends: one byte a command.

Source: Devantech technical documentation "USB-RLY16"/"USB-RLY08".
"""

from __future__ import annotations

from hil.wire.relays import StatusRequest, Switch

__all__ = ["GET_STATES", "encode_states", "parse_command", "parse_states", "switch_command"]

GET_STATES = b"\x5b"
"""Answered by one byte, output 1 in bit 0."""

CHANNELS = 8
_ALL_ON = 0x64
_ALL_OFF = 0x6E


def switch_command(channel: int, on: bool) -> bytes:
    """Switch output 1 to 8; not acknowledged."""
    return bytes(((_ALL_ON if on else _ALL_OFF) + channel,))


def parse_states(answer: bytes, channel: int) -> bool | None:
    """State of ``channel`` in the answer to :data:`GET_STATES`; None without an answer."""
    return bool(answer[-1] >> (channel - 1) & 1) if answer else None


def encode_states(states: list[bool]) -> bytes:
    """The answer to :data:`GET_STATES`."""
    return bytes((sum(on << i for i, on in enumerate(states)),))


def parse_command(byte: int) -> Switch | StatusRequest | None:
    """What a byte means to the board; channel 0 stands for all outputs, None for no command."""
    if byte == GET_STATES[0]:
        return StatusRequest()
    for base, on in ((_ALL_ON, True), (_ALL_OFF, False)):
        if base <= byte <= base + CHANNELS:
            return Switch(byte - base, on)
    return None
