"""Firmware models as what an emulated ESP board starts from its flash."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from hil.emulator.boards.bootimage import marker_image
from hil.emulator.boards.espboard import EspBoard, Firmware
from hil.emulator.norflash import NorFlash

if TYPE_CHECKING:
    from hil.clock import World
    from hil.emulator.boards.mongoose import MongooseFirmware
    from hil.emulator.uart import Uart
    from hil.wire.espimage import EspMcu

__all__ = ["Model", "esp_board", "mongoose_board"]


class Model(Protocol):
    """What every firmware model has."""

    uart: Uart

    def power_on(self) -> None: ...  # noqa: D102
    def power_off(self) -> None: ...  # noqa: D102


def esp_board(world: World, model: Model, *, kind: str, mcu: EspMcu, mac: str, revision: int = 3) -> EspBoard:
    """A board that is delivered with ``model`` in its flash.

    Args:
        world: where it lives.
        model: the firmware, made on its UART.
        kind: what images call it, the board kind of rig files.
        mcu: the microcontroller.
        mac: six hex bytes with colons.
        revision: major revision of an ESP32.
    """
    firmware = Firmware(lambda external: model.power_on(), model.power_off, model.uart.on_bytes)
    return _delivered(world, model.uart, firmware, kind, mcu, mac, revision)


def mongoose_board(
    world: World, model: MongooseFirmware, *, kind: str, mcu: EspMcu, mac: str, revision: int = 3
) -> EspBoard:
    """The same for Mongoose OS, which knows why it starts, sees the strap and has files."""
    from hil.emulator.boards.mongoose import EXTERNAL
    from hil.emulator.boards.mongoose_boot import POWER_ON

    flash, delivered = model.flash, dict(model.flash.files)

    def start(external: bool) -> None:
        model.power_on(EXTERNAL if external else POWER_ON)

    def strap(low: bool) -> None:
        flash.strapped_for_loader = low

    def format_files() -> None:
        flash.files.clear()
        flash.files.update(delivered)

    firmware = Firmware(start, model.power_off, model.uart.on_bytes, strap, format_files)
    board = _delivered(world, model.uart, firmware, kind, mcu, mac, revision)
    model.on_download = board.enter_loader
    return board


def _delivered(
    world: World, uart: Uart, firmware: Firmware, kind: str, mcu: EspMcu, mac: str, revision: int
) -> EspBoard:
    board = EspBoard(
        world, uart, mcu=mcu, mac=mac, flash=NorFlash(), firmware={kind: firmware}, revision=revision
    )
    board.program(marker_image(mcu, kind))
    return board
