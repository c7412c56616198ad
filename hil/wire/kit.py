"""The ASCII protocol of Microchip's kit boards ("kit protocol v1").

A request is one line ``target:command(hex)``, a reply ``SS(hex)`` with a status byte, 00 = ok.
Discovery answers ``type interface 00(AA)`` with the 8-bit address instead. Both ends use this
module: the bus driver and whoever plays a kit board.

Source: MicrochipTech/cryptoauthlib v3.7.8 ``lib/hal/kit_protocol.c`` and
``app/kit_host/ascii_kit_host.c``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from hil.errors import FrameError

__all__ = [
    "MAX_DEVICES",
    "MAX_LINE",
    "KitDevice",
    "KitReply",
    "KitRequest",
    "decode_device",
    "decode_reply",
    "decode_request",
    "encode_device",
    "encode_reply",
    "encode_request",
]

MAX_LINE = 512
"""Longest line that the kit firmware takes."""

MAX_DEVICES = 8
"""Indices 00 to 07 of a discovery."""

_REQUEST = re.compile(r"([A-Za-z]+):([a-z:0-9]+)\(([0-9A-Fa-f]*)\)")
_REPLY = re.compile(r"([0-9A-Fa-f]{2})\(([0-9A-Fa-f]*)\)")
_DEVICE = re.compile(r"(\S+)\s+(\S+)\s+[0-9A-Fa-f]{2}\(([0-9A-Fa-f]{2})\)")


@dataclass(frozen=True, slots=True)
class KitRequest:
    """One request line.

    Attributes:
        target: ``board``, or the first letter of a device's type (``E``, ``S``).
        command: ``w``, ``i``, ``s``, ``t``, ``physical:select``, ``device``, …
        data: what stands in the brackets.
    """

    target: str
    command: str
    data: bytes = b""


@dataclass(frozen=True, slots=True)
class KitReply:
    """One reply line: a status of the kit (not of the element), and bytes."""

    status: int
    data: bytes = b""


@dataclass(frozen=True, slots=True)
class KitDevice:
    """What a discovery found.

    Attributes:
        type: e.g. ``ECC608``.
        interface: ``TWI``, ``SWI`` or ``SPI``.
        address: 7-bit I2C address.
    """

    type: str
    interface: str
    address: int

    @property
    def target(self) -> str:
        """The letter that requests for it begin with."""
        return self.type[0]


def encode_request(request: KitRequest) -> bytes:
    """The line of a request, upper-case hex, with its line end.

    Raises:
        FrameError: it is longer than the firmware takes.
    """
    line = f"{request.target}:{request.command}({request.data.hex().upper()})\n"
    if len(line) > MAX_LINE:
        raise FrameError(f"a kit line of {len(line)} characters, at most {MAX_LINE}")
    return line.encode("ascii")


def decode_request(line: bytes) -> KitRequest:
    """Take a request apart.

    Raises:
        FrameError: it is none.
    """
    match = _REQUEST.fullmatch(_text(line))
    if match is None:
        raise FrameError(f"{len(line)} characters are no kit request; they begin with {line[:4]!r}")
    return KitRequest(match[1], match[2], _hex(match[3], line))


def encode_reply(reply: KitReply) -> bytes:
    """The line of a reply, with its line end."""
    return f"{reply.status:02X}({reply.data.hex().upper()})\n".encode("ascii")


def decode_reply(line: bytes) -> KitReply:
    """Take a reply apart; leading NULs are skipped.

    Raises:
        FrameError: it is none.
    """
    match = _REPLY.fullmatch(_text(line))
    if match is None:
        raise FrameError(f"{len(line)} characters are no kit reply; they begin with {line[:3]!r}")
    return KitReply(int(match[1], 16), _hex(match[2], line))


def encode_device(device: KitDevice | None) -> bytes:
    """Answer to a discovery; None: nothing at that index."""
    if device is None:
        return b"no_device  00()\n"
    return f"{device.type} {device.interface} 00({device.address << 1:02X})\n".encode("ascii")


def decode_device(line: bytes) -> KitDevice | None:
    """Take the answer to a discovery apart; None if it names no device."""
    match = _DEVICE.fullmatch(_text(line))
    return None if match is None else KitDevice(match[1], match[2], int(match[3], 16) >> 1)


def _text(line: bytes) -> str:
    return line.lstrip(b"\0").strip().decode("ascii", "replace")


def _hex(digits: str, line: bytes) -> bytes:
    try:
        return bytes.fromhex(digits)
    except ValueError as error:
        raise FrameError(f"an odd number of hex digits in a line of {len(line)} characters") from error
