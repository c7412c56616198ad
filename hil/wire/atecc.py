"""Packets of the ATECC508A and ATECC608 families: CRC, groups, opcodes, status codes.

Both ends of the wire use this module: the host driver, the emulated chip, the guard's
transport filter and the trace decoder. It knows the form of a packet, never its meaning.

Sources: ATECC508A complete data sheet DS20005927A (called DS508 below), sections 6 and 9.1;
ATECC608A-TFLXTLS data sheet DS40002138A, section 4.
"""

from __future__ import annotations

from enum import IntEnum
from functools import cache, lru_cache
from typing import TYPE_CHECKING

import msgspec

from hil.errors import FrameError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "COUNT_MAX",
    "STATUS_MEANING",
    "WAKE_RESPONSE",
    "Command",
    "Opcode",
    "Status",
    "WordAddress",
    "crc16",
    "decode_command",
    "decode_response",
    "encode_response",
    "status_response",
]

COUNT_MIN = 4
COUNT_MAX = 155
"""Largest count byte of a group (DS508 section 9.1.1)."""

_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
_Q = 0x8003
"""x^15 + x + 1: the CRC's polynomial 8005 with its x^16 is ``_Q`` times (x + 1)."""
_DOUBLINGS = (64, 32, 16, 8, 4, 2, 1)


@cache
def _folds(bits: int) -> tuple[tuple[int, int, int], ...]:
    """Shift, mask and n of each fold that brings a polynomial of so many bits down to 15.

    Modulo ``_Q``, x^15 is x + 1, and squared again and again: x^15n is x^n + 1 for n = 2, 4, 8 …
    """
    folds = []
    while bits > 15:
        n = next(n for n in _DOUBLINGS if 15 * n < bits)
        folds.append((15 * n, (1 << 15 * n) - 1, n))
        bits = max(15 * n, bits - 14 * n)
    return tuple(folds)


@lru_cache(maxsize=4)  # both ends of an emulated wire compute the same one after the other
def crc16(data: bytes) -> bytes:
    """CRC-16 as sent, two bytes, low byte first.

    Polynomial 8005, start 0, input bits least significant first, register shifts left
    (DS508 section 9.1.3). The message is one long polynomial over GF(2); its remainder modulo
    ``_Q`` comes from a few folds of the whole, that modulo (x + 1) is the parity of its bits. That takes
    a fraction of the time of a table by bytes, which would be half of what a short command costs.
    """
    rest = int.from_bytes(data.translate(_REVERSED), "big") << 16
    parity = rest.bit_count() & 1
    for width, mask, n in _folds(8 * len(data) + 16):
        high = rest >> width
        rest = rest & mask ^ high ^ high << n
    if rest.bit_count() & 1 != parity:
        rest ^= _Q
    return rest.to_bytes(2, "little")


class WordAddress(IntEnum):
    """First byte of a write transaction (DS508 section 6.2)."""

    RESET = 0x00
    SLEEP = 0x01
    IDLE = 0x02
    COMMAND = 0x03


class Opcode(IntEnum):
    """Command codes of all parts (DS508 table 9-4; DS40002138A section 4)."""

    PAUSE = 0x01
    READ = 0x02
    MAC = 0x08
    HMAC = 0x11
    WRITE = 0x12
    GENDIG = 0x15
    NONCE = 0x16
    LOCK = 0x17
    RANDOM = 0x1B
    DERIVEKEY = 0x1C
    UPDATEEXTRA = 0x20
    COUNTER = 0x24
    CHECKMAC = 0x28
    INFO = 0x30
    GENKEY = 0x40
    SIGN = 0x41
    ECDH = 0x43
    VERIFY = 0x45
    PRIVWRITE = 0x46
    SHA = 0x47
    AES = 0x51
    KDF = 0x56
    SELFTEST = 0x77
    SECUREBOOT = 0x80

    @property
    def label(self) -> str:
        """The data sheet's spelling, e.g. ``GenKey``."""
        return _LABELS[self]


_LABELS: Mapping[Opcode, str] = {
    Opcode.PAUSE: "Pause",
    Opcode.READ: "Read",
    Opcode.MAC: "MAC",
    Opcode.HMAC: "HMAC",
    Opcode.WRITE: "Write",
    Opcode.GENDIG: "GenDig",
    Opcode.NONCE: "Nonce",
    Opcode.LOCK: "Lock",
    Opcode.RANDOM: "Random",
    Opcode.DERIVEKEY: "DeriveKey",
    Opcode.UPDATEEXTRA: "UpdateExtra",
    Opcode.COUNTER: "Counter",
    Opcode.CHECKMAC: "CheckMac",
    Opcode.INFO: "Info",
    Opcode.GENKEY: "GenKey",
    Opcode.SIGN: "Sign",
    Opcode.ECDH: "ECDH",
    Opcode.VERIFY: "Verify",
    Opcode.PRIVWRITE: "PrivWrite",
    Opcode.SHA: "SHA",
    Opcode.AES: "AES",
    Opcode.KDF: "KDF",
    Opcode.SELFTEST: "SelfTest",
    Opcode.SECUREBOOT: "SecureBoot",
}


class Status(IntEnum):
    """One-byte answers (DS508 section 9.1.2, DS40002138A section 4.3)."""

    OK = 0x00
    MISCOMPARE = 0x01
    PARSE = 0x03
    ECC_FAULT = 0x05
    SELF_TEST = 0x07
    HEALTH_TEST = 0x08
    EXECUTION = 0x0F
    AFTER_WAKE = 0x11
    WATCHDOG = 0xEE
    COMMUNICATION = 0xFF


STATUS_MEANING: Mapping[int, str] = {
    Status.OK: "ok",
    Status.MISCOMPARE: "CheckMac, Verify or SecureBoot miscompare",
    Status.PARSE: "parse error: illegal length, opcode or parameter",
    Status.ECC_FAULT: "ECC fault: try again",
    Status.SELF_TEST: "self-test failed: only config reads and SelfTest are answered",
    Status.HEALTH_TEST: "random generator failed its health test",
    Status.EXECUTION: "execution error: not possible in the present state",
    Status.AFTER_WAKE: "just woken: the command before was lost",
    Status.WATCHDOG: "watchdog about to expire: not attempted",
    Status.COMMUNICATION: "CRC or communication error: not parsed, send again",
}


class Command(msgspec.Struct, frozen=True):
    """A command group without its count and CRC.

    Args:
        opcode: command code, 0 to 255 (also codes that no part knows).
        p1: first parameter, one byte, usually the mode.
        p2: second parameter, 16 bit, little-endian on the wire.
        data: what follows, up to 148 bytes.
    """

    opcode: int
    p1: int = 0
    p2: int = 0
    data: bytes = b""

    def __repr__(self) -> str:
        """Without the data: they may be a key, and errors and traces print commands."""
        return f"Command(opcode={self.opcode!r}, p1={self.p1!r}, p2={self.p2!r})"

    def encode(self) -> bytes:
        """The group as it crosses the wire: count, opcode, p1, p2, data, CRC.

        Raises:
            FrameError: a field does not fit.
        """
        count = 7 + len(self.data)
        if count > COUNT_MAX:
            raise FrameError(f"{len(self.data)} data bytes make a group of {count}, at most {COUNT_MAX}")
        if not (0 <= self.opcode <= 0xFF and 0 <= self.p1 <= 0xFF and 0 <= self.p2 <= 0xFFFF):
            raise FrameError(f"a field of {self!r} is out of range")
        body = bytes((count, self.opcode, self.p1, self.p2 & 0xFF, self.p2 >> 8)) + self.data
        return body + crc16(body)

    @property
    def label(self) -> str:
        """Name of the opcode, or its number."""
        try:
            return Opcode(self.opcode).label
        except ValueError:
            return f"opcode 0x{self.opcode:02X}"


def decode_command(group: bytes) -> Command:
    """Take a command group apart.

    Raises:
        FrameError: too short, count differs from the length, or the CRC does not match.
    """
    if len(group) < 7:
        raise FrameError(f"a command group has at least 7 bytes, not {len(group)}")
    _check(group)
    return Command(group[1], group[2], group[3] | group[4] << 8, bytes(group[5:-2]))


def encode_response(payload: bytes) -> bytes:
    """A response group around ``payload``: count, payload, CRC."""
    return status_response(payload[0]) if len(payload) == 1 else _encoded(payload)


def _encoded(payload: bytes) -> bytes:
    body = bytes((len(payload) + 3,)) + payload
    return body + crc16(body)


@lru_cache(maxsize=256)
def status_response(status: int) -> bytes:
    """The four-byte response that carries one status code."""
    return _encoded(bytes((status,)))


WAKE_RESPONSE = status_response(Status.AFTER_WAKE)
"""``04 11 33 43``: what the output buffer holds after a wake."""


def decode_response(group: bytes) -> bytes:
    """Payload of a response group; a one-byte payload is a status code or a one-byte answer.

    Raises:
        FrameError: too short, count differs from the length, or the CRC does not match.
    """
    if len(group) < COUNT_MIN:
        raise FrameError(f"a response group has at least {COUNT_MIN} bytes, not {len(group)}")
    _check(group)
    return bytes(group[1:-2])


def _check(group: bytes) -> None:
    """Count and CRC. The message shows neither payload: a group may carry a key."""
    if group[0] != len(group):
        raise FrameError(f"count byte says {group[0]}, the group has {len(group)} bytes")
    expected = crc16(group[:-2])
    if group[-2:] != expected:
        found = group[-2:].hex(" ")
        raise FrameError(f"CRC of a group of {len(group)} bytes is {found}, not {expected.hex(' ')}")
