"""Serial numbers of the ATECC parts, and the range that emulated parts use.

A serial number has nine bytes. Bytes 0 and 1 are ``01 23`` on every part; byte 8 is ``EE`` on
generic parts and ``01`` on Trust&GO and TrustFLEX parts (DS40002138A table 2-3). Emulated parts
carry ``E0 7E`` in bytes 2 and 3, so that nobody can pass an emulated part off as a physical one.
"""

from __future__ import annotations

from hil.errors import UsageError

__all__ = ["GENERIC_END", "RESERVED_START", "SERIAL_BYTES", "TRUST_END", "is_reserved", "reserved_serial"]

SERIAL_BYTES = 9
RESERVED_START = bytes((0x01, 0x23, 0xE0, 0x7E))
GENERIC_END = 0xEE
TRUST_END = 0x01


def is_reserved(serial: bytes) -> bool:
    """Whether ``serial`` (9 bytes) belongs to an emulated part.

    Raises:
        UsageError: not nine bytes.
    """
    if len(serial) != SERIAL_BYTES:
        raise UsageError(f"a serial number has {SERIAL_BYTES} bytes, not {len(serial)}: {serial.hex()}")
    return serial.startswith(RESERVED_START)


def reserved_serial(number: int, *, trust: bool = False) -> bytes:
    """The ``number``-th serial number of the reserved range, 9 bytes.

    Args:
        number: 0 to 2**32 - 1.
        trust: end in ``01`` as Trust&GO and TrustFLEX parts do, instead of ``EE``.

    Raises:
        UsageError: ``number`` is out of range.
    """
    if not 0 <= number < 1 << 32:
        raise UsageError(f"the reserved range has serial numbers 0 to {(1 << 32) - 1}, not {number}")
    return RESERVED_START + number.to_bytes(4, "big") + bytes((TRUST_END if trust else GENERIC_END,))
