"""What can be wrong with a part itself: the rows of the chip's own table that a suite catches.

Here a fault strikes again and again, in every part that comes into the socket: a part that is wrong
once is what the driver repairs by itself, and no suite may notice.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["ALWAYS", "PART_FAULTS", "PartFault"]

ALWAYS: Final = 1_000_000_000
"""How often: no run sends so many commands."""


class PartFault(NamedTuple):
    """A row of :data:`PART_FAULTS`, under its name in :data:`hil.emulator.chip.faults.FAULTS`.

    Attributes:
        meaning, owner, needs: see :class:`hil.emulator.faults.Fault`.
    """

    meaning: str
    owner: str
    needs: frozenset[str]


_BUS = frozenset({"i2c", "rpc"})
_WRITES = frozenset({"i2c", "provision"})
_SIGNS = frozenset({"sign", "provision"})

PART_FAULTS: Mapping[str, PartFault] = {
    "nack": PartFault("the element never acknowledges its address", "wiring", _BUS),
    "flipped-bit": PartFault("one bit of every answer is flipped, its CRC is not", "wiring", _BUS),
    "wrong-crc": PartFault("the CRC of every answer is wrong", "wiring", _BUS),
    "bad-count": PartFault("the count byte of every answer is damaged", "wiring", _BUS),
    "watchdog-early": PartFault("the element's watchdog fires 50 ms after the wake", "wiring", _BUS),
    "reset-in-command": PartFault("the element restarts in every command", "wiring", _BUS),
    "spurious-wake": PartFault("any traffic on the bus wakes the element", "wiring", _BUS),
    "status-05": PartFault("every command ends with an ECC fault", "wiring", _BUS),
    "status-07": PartFault("every command ends with a self-test error", "wiring", _BUS),
    "status-08": PartFault("every command ends with a failed health test", "wiring", _BUS),
    "status-0f": PartFault("every command ends with an execution error", "wiring", _BUS),
    "status-ee": PartFault("no command is tried for lack of time", "wiring", _BUS),
    "status-ff": PartFault("every command is heard damaged", "wiring", _BUS),
    "power-lost-before-write": PartFault("Vcc dips before every write to memory", "locks", _WRITES),
    "power-lost-during-write": PartFault("Vcc dips during every write to memory", "locks", _WRITES),
    "power-lost-after-write": PartFault("Vcc dips after every write to memory", "locks", _WRITES),
    "slow": PartFault("every command takes three times its longest time", "locks", _WRITES),
    "health-test-fails": PartFault("the random generator fails its health test", "locks", _WRITES),
    "random-stuck": PartFault("the random generator always gives the same 32 bytes", "signing", _SIGNS),
    "random-repeats": PartFault("the random generator repeats after four blocks", "signing", _SIGNS),
    "signature-nonce-reused": PartFault(
        "every signature has the same k, two give the key", "signing", _SIGNS
    ),
}
