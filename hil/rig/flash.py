"""Flashing the board of an opened rig."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from hil.board.esptool import Esptool
from hil.board.flash import BAUD, Flasher
from hil.errors import DeviceError, HilError, UsageError
from hil.power.relay import State
from hil.serialport.port import SerialPort

if TYPE_CHECKING:
    from collections.abc import Callable

    from hil.board.flash import Flashed
    from hil.rig.rig import Rig

__all__ = ["flash", "flash_and_restore", "flasher"]

RESTORED = "done, and what was in flash before was put back"
"""Result of :func:`flash_and_restore` in the journal."""


def flasher(
    rig: Rig, *, baud: int = BAUD, progress: Callable[[str, float], None] = lambda what, done: None
) -> Flasher:
    """The flash of the rig's board, behind the rig's guard; the power is switched on.

    Raises:
        UsageError: the rig has no board that can be flashed, or esptool is not installed.
    """
    board = rig.file.board
    port = next((p for p in rig.ports if isinstance(p, SerialPort) and p.name == board.port), None)
    if board.mcu is None or port is None:
        raise UsageError(f"{rig.name} has no board that can be flashed")
    esptool = Esptool()
    esptool.before_run = rig.guard.check_program
    if rig.file.power.kind != "none" and rig.power.commanded is not State.ON:
        rig.power_on()
    rig.console.drain()  # what comes from now on belongs to esptool
    return Flasher(port, mcu=board.mcu, mac=board.mac, esptool=esptool, baud=baud, progress=progress)


def flash(
    rig: Rig,
    image: bytes,
    offset: int,
    *,
    baud: int = BAUD,
    progress: Callable[[str, float], None] = lambda what, done: None,
) -> Flashed:
    """Write an image into the rig's board, prove it by reading it back, and wait for the start.

    The board is power-cycled if the rig has a relay: an ESP8266 that was only reset keeps the boot
    strap of its loader. Whether it starts is found in :attr:`hil.rig.rig.Rig.boot`. Intent and result are
    in the journal.

    Raises:
        ConfigError, BoardIdentityError, DeviceError, PortError: see :meth:`hil.board.flash.Flasher.write`.
    """
    worker = flasher(rig, baud=baud, progress=progress)
    worker.check(image, offset)
    what = {"sha256": hashlib.sha256(image).hexdigest(), "offset": offset, "size": len(image)}
    _note(rig, what, "intent", chip=rig.file.board.mcu, mac=rig.file.board.mac)
    rig.firmware_sha256 = None
    try:
        done = worker.write(image, offset)
        _note(
            rig,
            what,
            "done",
            read_back=done.read_back,
            chip=done.chip.kind,
            mac=done.chip.mac,
            flash_size=done.chip.flash_size,
        )
        rig.firmware_sha256 = done.sha256
    except HilError as error:
        _note(rig, what, f"failed: {error.message}", chip=rig.file.board.mcu, mac=rig.file.board.mac)
        raise
    finally:
        rig.start_again()  # out of the loader and into whatever lies in flash
    return done


def flash_and_restore(rig: Rig, image: bytes, offset: int) -> Flashed:
    """Write an image and prove it as :func:`flash` does, then put back what was in flash before.

    For emulated boards: their processor runs models of firmware and could not start the image.

    Raises:
        ConfigError, BoardIdentityError, DeviceError, PortError: as :func:`flash`, and DeviceError too if
            the board does not start with what was put back.
    """
    worker = flasher(rig)
    worker.check(image, offset)
    what = {"sha256": hashlib.sha256(image).hexdigest(), "offset": offset, "size": len(image)}
    board = {"chip": rig.file.board.mcu, "mac": rig.file.board.mac}
    _note(rig, what, "intent", **board)
    try:
        done = worker.try_out(image, offset)
        _note(rig, what, RESTORED, **board, read_back=done.read_back)
    except HilError as error:
        _note(rig, what, f"failed: {error.message}", **board)
        raise
    finally:
        rig.start_again()
    if not rig.running:
        raise DeviceError(f"what was in flash was put back, but {rig.diagnose_silence()}")
    return done


def _note(rig: Rig, what: dict[str, object], phase: str, **more: object) -> None:
    rig.journal.event("flash", rig=rig.name, emulated=rig.emulated is not None, phase=phase, **what, **more)
