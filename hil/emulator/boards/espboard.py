"""The part of an emulated ESP board that is there before any firmware: power, reset, ROM, flash.

What lies in flash decides what starts: an image with a marker starts the firmware model that it
names, any other image is loaded and stays silent (its machine code cannot run here), garbage ends in
the ROM's complaint. With IO0 low the ROM waits for a host instead.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hil.emulator.boards.bootimage import firmware_in_ram, firmware_of
from hil.emulator.boards.espchip import CHIPS, Registers
from hil.emulator.boards.esprom import EXTERNAL, POWER_ON, SOFTWARE, WATCHDOG, RomCause, RomLog
from hil.emulator.boards.romloader import RomLoader
from hil.emulator.resetcircuit import RC_US, ResetCircuit
from hil.errors import FrameError
from hil.wire.espimage import BOOT_OFFSET, parse_image

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from hil.clock import Event, World
    from hil.emulator.norflash import NorFlash
    from hil.emulator.uart import Uart
    from hil.wire.espimage import EspMcu, Image

__all__ = ["EspBoard", "Firmware"]

FS_MARK = b"hil: file system of the emulated firmware"
"""In the middle of the flash. The files lie beside the emulated flash; erasing this mark erases them."""

MAX_IMAGE = 0x10_0000
WORN_AT = 0x28
ROM_US = 20_000
WATCHDOG_US = 400_000
"""How long an ESP32's ROM without an image runs until its watchdog resets it (public logs)."""


@dataclass(frozen=True)
class Firmware:
    """A firmware model, as the board starts and ends it.

    Attributes:
        start: the chip comes out of a reset (True = of the reset pin, False = power) or of the
            loader, with the image in flash.
        stop: reset or no power: silence at once.
        receive: bytes from the host.
        strap: told whether IO0 was low at the last hardware reset, before each start.
        format: makes a new file system.
    """

    start: Callable[[bool], None]
    stop: Callable[[], None]
    receive: Callable[[bytes], None]
    strap: Callable[[bool], None] = lambda low: None
    format: Callable[[], None] = lambda: None


class EspBoard:
    """One board. Off until :meth:`power_on`.

    Args:
        world: where it lives.
        uart: the console line, whose modem lines reach EN and IO0.
        mcu: the kind of chip.
        mac: six hex bytes with colons.
        flash: its flash, programmed or not.
        firmware: the models that images can start, by name.
        revision: major revision of an ESP32.
        rc_us: rise time of EN.

    Attributes:
        boot_button: IO0 is held low by hand.
        loader: the ROM loader, while the chip is in it.
        powered: whether the board has power.
    """

    def __init__(
        self,
        world: World,
        uart: Uart,
        *,
        mcu: EspMcu,
        mac: str,
        flash: NorFlash,
        firmware: Mapping[str, Firmware],
        revision: int = 3,
        rc_us: int = RC_US,
    ) -> None:
        self.boot_button = False
        self.loader: RomLoader | None = None
        self.powered = False
        self.uart = uart
        self.flash = flash
        self.firmware = firmware
        self._world = world
        self._chip = CHIPS[mcu]
        self._rom = RomLog(mcu, revision)
        self._registers = Registers(
            self._chip,
            mac=bytes.fromhex(mac.replace(":", "")),
            revision=revision,
            flash=flash,
            baud=lambda: uart.baud,
        )
        self._circuit = ResetCircuit(world, self._reset, rc_us=rc_us)
        self._running: Firmware | None = None
        self._next: Event | None = None
        self._strapped = False
        self._cause = POWER_ON
        self._fs_offset = flash.size // 2
        uart.on_bytes = self._received
        uart.on_lines = self._circuit.set_lines

    def program(self, image: bytes) -> None:
        """Have an image in flash, with an intact file system, as the board is delivered."""
        self.flash.write(BOOT_OFFSET[self._chip.mcu], image)
        self.flash.write(self._fs_offset, FS_MARK)

    def wear_out(self) -> None:
        """A fault: one bit of the boot image's segment can never be cleared again."""
        self.flash.worn[BOOT_OFFSET[self._chip.mcu] + WORN_AT] = 0x80

    # -- power and reset -----------------------------------------------------------------------

    def power_on(self) -> None:
        """The supply comes up."""
        if self.powered:
            return
        self.powered = True
        if not self._circuit.in_reset:
            self._start(POWER_ON)

    def power_off(self) -> None:
        """The supply goes away."""
        if not self.powered:
            return
        self._stop()
        self.powered = False

    def _reset(self, low: bool) -> None:
        if not self.powered:
            return
        if low:
            self._stop()
        else:
            self._start(EXTERNAL)

    def _stop(self) -> None:
        """Silence, from the pins inwards."""
        self.uart.cut()
        if self._next is not None:
            self._next.cancel()
            self._next = None
        if self.loader is not None:
            self.loader.halt()
            self.loader = None
        running, self._running = self._running, None
        if running is not None:
            running.stop()

    # -- what starts ---------------------------------------------------------------------------

    def _start(self, cause: RomCause) -> None:
        """Out of a hardware reset: the chip looks at IO0."""
        self._cause = cause
        self._strapped = self._circuit.io0_low or self.boot_button
        if self._strapped:
            self.uart.baud = self._chip.rom_baud
            self._later(ROM_US, lambda: self._download(cause), "ROM loader")
            return
        image = self._image()
        firmware = None if image is None or not image.intact else self._of_image(image)
        if firmware is None:
            self.uart.baud = self._chip.rom_baud
            self._later(ROM_US, lambda: self._boot_in_vain(cause, image), "ROM")
        else:
            self._run(firmware, external=cause is EXTERNAL)

    def _download(self, cause: RomCause) -> None:
        self.uart.send(self._rom.download(cause))
        self.enter_loader()

    def enter_loader(self) -> None:
        """The ROM waits for a host; also where a restart of strapped firmware ends."""
        self.loader = RomLoader(self._world, self._chip, self.uart, self._registers, self.flash, self)

    def _boot_in_vain(self, cause: RomCause, image: Image | None) -> None:
        if image is None:
            word = int.from_bytes(self.flash.read(BOOT_OFFSET[self._chip.mcu], 4), "little")
            said = self._rom.no_image(word)
        else:
            said = self._rom.loaded(image)
        self.uart.send(self._rom.flash_boot(cause) + said)
        if self._chip.mcu == "esp32" and (image is None or not image.intact):
            self._later(WATCHDOG_US, lambda: self._start(WATCHDOG), "ROM watchdog")

    def _later(self, us: int, fn: Callable[[], None], what: str) -> None:
        def run() -> None:
            self._next = None
            fn()

        self._next = self._world.after(us, run, f"{self.uart.name} {what}")

    def _image(self) -> Image | None:
        offset = BOOT_OFFSET[self._chip.mcu]
        try:
            return parse_image(self.flash.read(offset, MAX_IMAGE - offset), self._chip.mcu)
        except FrameError:
            return None

    def _of_image(self, image: Image) -> Firmware | None:
        name = firmware_of(image)
        return None if name is None else self.firmware.get(name)

    def _run(self, firmware: Firmware, *, external: bool) -> None:
        if self._running is not None:  # it had restarted into the loader
            self._running.stop()
        if self.flash.read(self._fs_offset, len(FS_MARK)) != FS_MARK:
            firmware.format()
            self.flash.write(self._fs_offset, FS_MARK)
        firmware.strap(self._strapped)
        self._running = firmware
        firmware.start(external)

    # -- the loader's host ---------------------------------------------------------------------

    def run_flash(self) -> None:
        """The loader jumps to what is in flash; IO0 stays latched as it was."""
        image = self._image()
        self._jump(None if image is None or not image.intact else self._of_image(image))

    def restart(self) -> None:
        """The stub restarts the chip: the latched strap leads back to the ROM loader."""
        self.loader = None
        cause = RomCause(self._cause.esp8266, SOFTWARE)
        self._later(self.uart.idle_at - self._world.now, lambda: self._restarted(cause), "restart")

    def _restarted(self, cause: RomCause) -> None:
        self.uart.baud = self._chip.rom_baud
        self._download(cause)

    def run_ram(self, image: bytes) -> bool:
        """The loader jumps to RAM; False for a program that is none of the board's."""
        name = firmware_in_ram(image)
        firmware = None if name is None else self.firmware.get(name)
        if firmware is not None:
            self._jump(firmware)
        return firmware is not None

    def _jump(self, firmware: Firmware | None) -> None:
        """Leave the loader once its last answer is out."""
        self.loader = None
        if firmware is not None:
            starts = firmware
            wait = self.uart.idle_at - self._world.now
            self._later(wait, lambda: self._run(starts, external=True), "jump")

    def _received(self, data: bytes) -> None:
        if not self.powered:
            return
        if self.loader is not None:
            self.loader.receive(data)
        elif self._running is not None:
            self._running.receive(data)
