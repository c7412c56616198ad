"""What the tests of the guard share: a recording wire, a witness, a guard that would allow everything."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hil.clock import Calendar, WallClock, World
from hil.guard.guard import Guard
from hil.guard.ledger import Ledger
from hil.guard.requirements import Facts, Policy, config_digest
from hil.wire.atecc import Command, Opcode, crc16

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from hil.clock import Clock
    from hil.guard.permit import Permit

SERIAL = "0123f3acfd2a826bee"
"""A serial number as a physical part has it (data sheet example)."""
OTHER_SERIAL = "0123f3acfd2a826cee"
EMULATED_SERIAL = "0123e07e00000001ee"

CONFIG = bytes.fromhex(
    "0123f3ac00005000fd2a826beec05500c0005500876487648764876 48f0f8f8f".replace(" ", "")
    + "9f8f8220c444c4440f0f0f0f0f0f0f0f"
    + "834f0f0fffffffff00000000ffffffff"
    + "00000000ffffffffffffffffffffffff"
    + "ffffffff00005555ffff000000000000"
    + "33003300330033003c001c001c003300"
    + "1c001c003c003c003c003c0013003c00"
)
"""The Mongoose OS sample configuration on the part with ``SERIAL``, nothing locked."""

CRC = int.from_bytes(crc16(CONFIG), "little")
LOCK = Command(Opcode.LOCK, 0x00, CRC)
INFO = Command(Opcode.INFO)
COUNT = Command(Opcode.COUNTER, 1, 0)
CONTENT = bytes(range(256)) * 4


class Wire:
    """A bus that only records."""

    name = "recording bus"

    def __init__(self, *, physical: bool = True) -> None:
        self.clock: Clock = WallClock()
        self.physical = physical
        self.sent: list[tuple[int, bytes]] = []

    def write(self, address: int, data: bytes) -> None:
        self.sent.append((address, data))

    def read(self, address: int, length: int) -> bytes:
        return bytes(length)

    def wake_pulse(self) -> None:
        self.sent.append((0, b"\x00"))


class Part:
    """A witness that sees what it is told to."""

    def __init__(self, serial: str = SERIAL, config: bytes | None = CONFIG, *, physical: bool = True) -> None:
        self.seen_serial = serial
        self.seen_config = config
        self.physical = physical
        self.error: Exception | None = None
        self.firmware_sees: str | None = None
        self.looks = 0

    def fail(self, error: Exception) -> None:
        self.error = error

    def serial(self) -> str:
        if self.error is not None:
            raise self.error
        return self.seen_serial

    def firmware_serial(self) -> str:
        if self.error is not None:
            raise self.error
        return self.firmware_sees or self.seen_serial

    def config(self) -> bytes | None:
        self.looks += 1
        if self.error is not None:
            raise self.error
        return self.seen_config


def make_guard(tmp_path: Path, **changes: Any) -> Guard:
    """A guard that permits everything on ``SERIAL``, unless told otherwise."""
    owns = changes.pop("owns_rig", True)
    witness = changes.pop("witness", Part())
    clock = changes.pop("clock", World())
    durable = changes.pop("durable", True)
    foreign = changes.pop("foreign", ())
    settings: dict[str, Any] = {
        "serial": SERIAL,
        "expendable": True,
        "allowed_serials": frozenset({SERIAL}),
        "approved_configs": frozenset({config_digest(CONFIG)}),
        "accepted_findings": frozenset({"readable-kek:15"}),
    } | changes
    guard = Guard(
        Policy(**settings),
        Ledger(tmp_path / "ledger", Calendar(1_700_000_000.0), durable=durable),
        owns_rig=owns if callable(owns) else lambda: owns,
        witness=witness,
        clock=clock,
        foreign=foreign,
        rig="a-bench",
    )
    guard.learn(CONFIG)
    return guard


def lock_facts(serial: str = SERIAL) -> Facts:
    return Facts(serial, config=CONFIG)


def framed(command: Command) -> bytes:
    return b"\x03" + command.encode()


def act(
    guard: Guard,
    permit: Permit,
    command: Command,
    *,
    then: Callable[[], object] = lambda: None,
    error: BaseException | None = None,
) -> None:
    """Arm and send one command; then something happens, and an error ends it."""
    with permit.armed([command]):
        guard.filter.outgoing(0x60, framed(command))
        then()
        if error is not None:
            raise error
