"""What a technician would conclude, from what can be observed on the wire and nothing else.

Nobody here knows the name of a fault: an emulated rig and a bench are diagnosed by the same
observations. Where several causes look alike the answer says so and names what to check.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hil.board.mongoose import MongooseBoard
    from hil.rigfile import RigFile, Wire

__all__ = ["diagnose_silence", "diagnose_wiring"]


def diagnose_wiring(board: MongooseBoard, rig: RigFile, found: Sequence[int]) -> str:
    """Why a scan did not find just the element.

    When nobody answers, the pins are exchanged in the firmware's configuration, the bus is
    scanned again, and the configuration is put back.

    Args:
        board: the booted board.
        rig: its rig file.
        found: 7-bit addresses that the scan returned.
    """
    expected = rig.element.address
    if expected in found:
        others = ", ".join(f"{a} (0x{a:02x})" for a in found if a != expected)
        return (
            f"besides the element at {expected} somebody answers at {others}: another device hangs on the bus"
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
        f"Check, in this order: {_checks(rig)}"
    )


def _scan_with_pins_exchanged(board: MongooseBoard) -> list[int]:
    sda, scl = board.config_get("i2c.sda_gpio"), board.config_get("i2c.scl_gpio")
    try:
        board.config_set({"i2c": {"sda_gpio": scl, "scl_gpio": sda}}, reboot=True)
        return board.i2c_scan()
    finally:
        board.config_set({"i2c": {"sda_gpio": sda, "scl_gpio": scl}}, reboot=True)


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


def diagnose_silence(rig: RigFile, heard: bytes, waited_ms: int) -> str:
    """Why no boot log came after the relay was switched on.

    Args:
        rig: the rig file.
        heard: what came over the serial line instead.
        waited_ms: how long was waited.
    """
    if not heard:
        return (
            f"the relay was switched on and the board stayed silent for {waited_ms} ms: no power reaches it. "
            f"Check, in this order: does the relay ({rig.power.kind}, channel {rig.power.channel}) click; "
            "is the board on the NO contact; the supply behind the contact; the serial cable"
        )
    if sum(byte >= 0x80 for byte in heard) > len(heard) // 4:
        return (
            f"{len(heard)} bytes came, but they are no text: the baud rate is not {rig.board.baud} "
            "(the ESP8266 ROM itself talks at 74880); check `baud` in the rig file"
        )
    shown = heard[-120:].decode("utf-8", "replace")
    return f"the board talks but prints no boot log that is known: it may run other firmware. Last: {shown!r}"
