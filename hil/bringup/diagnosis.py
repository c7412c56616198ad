"""What a technician would conclude, from what can be observed on the wire and nothing else.

Nobody here knows the name of a fault: an emulated rig and a bench are diagnosed by the same
observations. Where several causes look alike the answer says so and names what to check.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from hil.board.bootlog import ResetKind
from hil.power.relay import State

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from hil.board.bootlog import Boot
    from hil.board.mongoose import MongooseBoard
    from hil.rigfile import RigFile, Wire

__all__ = ["diagnose_restarts", "diagnose_silence", "diagnose_speed", "diagnose_wiring"]

EVERYBODY: Final = 40
"""So many addresses that acknowledge are no devices: the line is low."""
SLOW_HZ: Final = 10_000
TEXT: Final = 12
"""Bytes from which a line is long enough to be judged."""


def diagnose_wiring(board: MongooseBoard, rig: RigFile, found: Sequence[int]) -> str:
    """Why a scan did not find just the element.

    When nobody answers, the pins are exchanged in the firmware's configuration, the bus is
    scanned again, and the configuration is put back; when everybody seems to answer, the bus is
    scanned at a lower speed.

    Args:
        board: the booted board.
        rig: its rig file.
        found: 7-bit addresses that the scan returned.
    """
    expected = rig.element.address
    if len(found) > EVERYBODY:
        return _everybody(board, rig, len(found))
    if expected in found:
        others = ", ".join(f"{a} (0x{a:02x})" for a in found if a != expected)
        return (
            f"besides the element at {expected} somebody answers at {others}: another device hangs on the "
            "bus. Take it off, or give it a bus of its own"
        )
    if found:
        listed = ", ".join(f"{a} (0x{a:02x})" for a in found)
        return (
            f"I2C.Scan found {listed}, not {expected} (0x{expected:02x}): wrong part, or a configuration "
            "with another I2C address was locked; compare `address` in the rig file"
        )
    swapped = _scan_with_pins_exchanged(board)
    if expected in swapped:
        return (
            "SDA and SCL are swapped: with the two pins exchanged in the firmware the element answers at "
            f"{expected}. {_exchange(rig)}"
        )
    return (
        "no power at the element or a broken line: nobody answers, with the pins in either order. "
        f"Check, in this order: {_checks(rig)}; an ESP32 is as silent when a line is shorted to ground"
    )


def diagnose_speed(board: MongooseBoard, rig: RigFile, hz: int) -> str:
    """Why the element, which answers at 100 kHz, does not at ``hz``.

    Args:
        board: the booted board, its bus at ``hz``.
        rig: its rig file.
        hz: the speed.
    """
    found = board.i2c_scan()
    if len(found) > EVERYBODY:
        return (
            f"at {hz // 1000} kHz every address seems to acknowledge, at 100 kHz only the element: SDA "
            f"rises too slowly, {_PULL_UPS} {_line(rig, 'SDA')} {_line(rig, 'SCL')}"
        )
    return (
        f"the firmware does not reach the element at {hz // 1000} kHz; a scan at that speed found {found}. "
        "Long wires or weak pull-ups distort the edges; use a lower `hz` or better wires"
    )


_PULL_UPS = (
    "the pull-up resistors are missing or too weak for the wires. Check them (4.7 kΩ to 3V3 is usual):"
)


def _everybody(board: MongooseBoard, rig: RigFile, count: int) -> str:
    """Every address acknowledges: SDA is low, all the time or for too long."""
    seen = f"{count} addresses seem to acknowledge: SDA is low when it should be high"
    with _i2c(board, {"freq": SLOW_HZ}):
        slowly = board.i2c_scan()
    if 0 < len(slowly) <= EVERYBODY:
        return f"{seen}, though not at {SLOW_HZ // 1000} kHz: {_PULL_UPS} {_line(rig, 'SDA')}"
    return (
        f"{seen}, at {SLOW_HZ // 1000} kHz too: something holds it down. Check, in this order: "
        f"{_line(rig, 'SDA')} shorted to ground; its pull-up resistor missing; unplug the element, and if "
        "the line is free then, the element or its socket holds it"
    )


@contextmanager
def _i2c(board: MongooseBoard, settings: Mapping[str, object]) -> Iterator[None]:
    """Another configuration of the bus, for as long as the block runs."""
    before = {name: board.config_get(f"i2c.{name}") for name in settings}
    try:
        board.config_set({"i2c": settings}, reboot=True)
        yield
    finally:
        board.config_set({"i2c": before}, reboot=True)


def _scan_with_pins_exchanged(board: MongooseBoard) -> list[int]:
    sda, scl = board.config_get("i2c.sda_gpio"), board.config_get("i2c.scl_gpio")
    with _i2c(board, {"sda_gpio": scl, "scl_gpio": sda}):
        return board.i2c_scan()


def _line(rig: RigFile, signal: str) -> str:
    wire = None if rig.wiring is None else dict(rig.wiring.rows()).get(signal)
    return signal if wire is None else _wire(signal, wire)


def _wire(name: str, wire: Wire) -> str:
    board = wire.board_pin or (f"GPIO{wire.gpio}" if wire.gpio is not None else "the board")
    far = f"XPRO {wire.xpro_pin}" if wire.xpro_pin is not None else f"element pin {wire.element_pin}"
    return f"{name} {board}–{far}" + (f" ({wire.colour})" if wire.colour else "")


def _exchange(rig: RigFile) -> str:
    if rig.wiring is None:
        return "Exchange the two wires."
    sda, scl = rig.wiring.sda, rig.wiring.scl
    return f"Exchange the wires at one end: {_wire('SDA', sda)}, {_wire('SCL', scl)}."


def _checks(rig: RigFile) -> str:
    if rig.wiring is None:
        return "supply, ground, SDA, SCL"
    rows = dict(rig.wiring.rows())
    ordered = [(name, rows[name]) for name in ("VCC", "GND", "SDA", "SCL") if name in rows]
    return ", ".join(_wire(name, wire) for name, wire in ordered)


def diagnose_silence(
    rig: RigFile, heard: bytes, waited_ms: int, *, relay: State = State.UNKNOWN, answers: bool = False
) -> str:
    """Why no boot log came after the relay was switched on, or without one after a reset.

    Args:
        rig: the rig file.
        heard: what came over the serial line instead.
        waited_ms: how long was waited.
        relay: what the relay says of itself.
        answers: the firmware answers all the same.
    """
    if answers:
        return (
            f"the relay was switched off and on, no start came within {waited_ms} ms, and yet the firmware "
            "answers: the board never lost its power. Check, in this order: is the relay's contact welded "
            "(it clicks, and the board stays on); does the board hang on the NC contact; does it have "
            "another supply, its own USB cable for one"
        )
    if not heard and rig.power.kind == "none":
        return (
            f"the board was reset and stayed silent for {waited_ms} ms. Check, in this order: has it power; "
            "the serial cable (one for charging only has no data wires); is it the board's own port; does "
            "its reset line hang on RTS"
        )
    if not heard:
        clicks = f"does the relay ({rig.power.kind}, channel {rig.power.channel}) click; "
        if relay is State.ON:
            clicks = "the relay says that it is on, so its coil is driven: measure across the contact; "
        return (
            f"the relay was switched on and the board stayed silent for {waited_ms} ms: no power reaches it. "
            f"Check, in this order: {clicks}"
            "is the board on the NO contact; the supply behind the contact; the serial cable"
        )
    if sum(byte >= 0x80 for byte in heard) > len(heard) // 4:
        return (
            f"{len(heard)} bytes came, but they are no text: the baud rate is not {rig.board.baud} "
            "(the ESP8266 ROM itself talks at 74880; a board with another crystal than its firmware was "
            "built for is off by 26/40); check `baud` in the rig file"
        )
    shown = heard[-120:].decode("utf-8", "replace")
    damaged, lines = _damaged(heard)
    if lines and damaged * 2 > lines:
        return (
            f"a boot log comes, but {damaged} of its {lines} lines are damaged: noise on the serial line. "
            "Check, in this order: the ground wire between adapter and board; a loose plug; the length of "
            f"the cable; the adapter itself. Last: {shown!r}"
        )
    return f"the board talks but prints no boot log that is known: it may run other firmware. Last: {shown!r}"


def _damaged(heard: bytes) -> tuple[int, int]:
    """How many lines are text with foreign bytes in it, and how many are text at all."""
    damaged = readable = 0
    for line in heard.split(b"\n"):
        odd = sum(not 0x20 <= byte < 0x7F and byte not in b"\r\t\x1b" for byte in line)
        if len(line) >= TEXT and odd * 2 < len(line):
            readable += 1
            damaged += odd > 0
    return damaged, readable


def diagnose_restarts(boots: Sequence[Boot]) -> str:
    """What to say of a board that restarted without being told to.

    Args:
        boots: the starts, oldest first; at least one.
    """
    cause = boots[-1].reset
    times = "once" if len(boots) == 1 else f"{len(boots)} times"
    return f"the board restarted {times} by itself: {cause}. {_CAUSES[cause.kind]}"


_SUPPLY: Final = (
    "Check the supply: its current, the contact of the relay, a capacitor at the board, the wires' length"
)
_CAUSES: Mapping[ResetKind, str] = {
    ResetKind.POWER_ON: f"Its power came anew: a loose contact. {_SUPPLY}",
    ResetKind.EXTERNAL: "Its reset pin was pulled: DTR or RTS of the serial adapter, or a loose wire",
    ResetKind.SOFTWARE: "The firmware restarted itself: the last lines of the console say why",
    ResetKind.DEEP_SLEEP: "The firmware went to sleep and woke: it is no firmware for tests",
    ResetKind.WATCHDOG: f"The firmware hung, or the supply dipped (an ESP8266 cannot tell). {_SUPPLY}",
    ResetKind.BROWN_OUT: f"Its supply dipped. {_SUPPLY}",
    ResetKind.PANIC: "The firmware crashed: the console has the exception and its back trace",
    ResetKind.UNKNOWN: f"The log names no cause. {_SUPPLY}",
}
