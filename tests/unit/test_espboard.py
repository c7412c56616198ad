"""What lies in flash decides what boots; reset, strap and power around real firmware models."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from hil import rigfile
from hil.clock import Calendar
from hil.emulator.boards.bootimage import marker_image
from hil.emulator.boards.romloader import RomLoader
from hil.emulator.builder import EmulatedRig, build
from hil.wire.espimage import BOOT_OFFSET, EspMcu, Segment, build_image

if TYPE_CHECKING:
    from collections.abc import Iterator

RIGS = {
    "esp8266": "emulated-esp8266-atecc508a",
    "esp32": "emulated-esp32-atecc608b",
    "edukit": "emulated-edukit-trustgo",
}
SECOND = 1_000_000


class Bench:
    """An emulated rig without a host."""

    def __init__(self, rig: EmulatedRig) -> None:
        self.rig = rig
        self.esp = rig.esp
        mcu = rig.file.board.mcu
        assert mcu is not None
        self.mcu: EspMcu = mcu

    def on(self) -> str:
        self.rig.power_on()
        return self.heard()

    def off(self) -> None:
        self.rig.relay.contacts[0].drive(False)
        self.rig.world.run_for(SECOND)

    def heard(self, us: int = 3 * SECOND, baud: int | None = None) -> str:
        uart = self.rig.board.uart
        uart.received.clear()
        uart.host_baud = baud or 115_200
        self.rig.world.run_for(us)
        return uart.received.decode("latin-1")

    def lines(self, *states: tuple[bool, bool]) -> None:
        for dtr, rts in states:
            self.rig.board.uart.set_lines(dtr, rts)
            self.rig.world.run_for(150_000)

    def boot_image(self, image: bytes) -> None:
        self.esp.flash.write(BOOT_OFFSET[self.mcu], image)


@pytest.fixture
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    file = rigfile.load_rig(RIGS[request.param])
    with build(file, faults=(), calendar=Calendar(1_780_000_000.0)) as rig:
        yield Bench(rig)


ALL = pytest.mark.parametrize("bench", list(RIGS), indirect=True)
ESP8266 = pytest.mark.parametrize("bench", ["esp8266"], indirect=True)
ESP32 = pytest.mark.parametrize("bench", ["esp32"], indirect=True)
EDUKIT = pytest.mark.parametrize("bench", ["edukit"], indirect=True)
BANNERS = ("Mongoose OS 2.20", "Initializing Command line: >>")


def booted(said: str) -> bool:
    return any(banner in said for banner in BANNERS)


@ALL
def test_a_board_comes_with_its_firmware(bench: Bench) -> None:
    assert booted(bench.on())


@ALL
def test_an_erased_flash_does_not_boot_and_the_board_says_so(bench: Bench) -> None:
    bench.esp.flash.erase(0, bench.esp.flash.size)
    bench.rig.power_on()
    said = bench.heard(baud=74_880 if bench.mcu == "esp8266" else None)
    assert not booted(said)
    if bench.mcu == "esp8266":
        assert "rst cause:1, boot mode:(3,6)" in said
        assert said.endswith("ets_main.c \r\n")
    else:
        assert "rst:0x1 (POWERON_RESET),boot:0x13 (SPI_FAST_FLASH_BOOT)" in said
        assert said.count("invalid header: 0xffffffff\r\n") >= 16, "again and again"
        assert "rst:0x10 (RTCWDT_RTC_RESET)" in said


@ALL
def test_a_damaged_image_does_not_boot(bench: Bench) -> None:
    """Although its marker can be read."""
    image = bytearray(marker_image(bench.mcu, bench.rig.file.board.kind))
    image[-1 if bench.mcu == "esp8266" else -33] ^= 0x80
    bench.boot_image(bytes(image))
    bench.rig.power_on()
    said = bench.heard(baud=74_880 if bench.mcu == "esp8266" else None)
    assert not booted(said)
    assert ("csum err\r\nets_main.c" if bench.mcu == "esp8266" else "csum err:0x") in said


@ALL
def test_foreign_code_is_loaded_and_stays_silent(bench: Bench) -> None:
    bench.boot_image(build_image(bench.mcu, [Segment(0x4010_0000, b"real machine code")], 0x4010_0004))
    bench.rig.power_on()
    said = bench.heard(baud=74_880 if bench.mcu == "esp8266" else None)
    assert ("load 0x40100000, len 17" if bench.mcu == "esp8266" else "load:0x40100000,len:17") in said
    assert said.count("load") == 1, "and nothing restarts"
    assert not booted(said)


@ESP32
def test_the_first_silicon_complains_in_other_words(bench: Bench) -> None:
    from hil.emulator.boards.esprom import POWER_ON, RomLog

    rom = RomLog("esp32", revision=1)
    assert rom.flash_boot(POWER_ON).startswith(b"ets Jun  8 2016")
    assert rom.no_image(0xFFFF_FFFF) == b"flash read err, 1000\r\nets_main.c 371 \r\n"


@ALL
def test_the_flash_outlives_power(bench: Bench) -> None:
    bench.esp.flash.erase(0, bench.esp.flash.size)
    bench.on()
    bench.off()
    assert not booted(bench.on())
    bench.off()
    bench.boot_image(marker_image(bench.mcu, bench.rig.file.board.kind))
    assert booted(bench.on())


@ESP8266
def test_erasing_the_flash_erases_the_files(bench: Bench) -> None:
    files = bench.rig.firmware.flash.files
    delivered = dict(files)
    bench.on()
    files["own.txt"] = b"mine"
    bench.off()
    bench.on()
    assert "own.txt" in files, "a power cycle does not"
    bench.off()
    bench.esp.flash.erase(0, bench.esp.flash.size)
    bench.boot_image(marker_image("esp8266", "mongoose-os"))
    bench.on()
    assert files == delivered


# -- reset and strap -------------------------------------------------------------------------------


@ALL
def test_a_pulse_on_en_restarts_the_firmware(bench: Bench) -> None:
    bench.on()
    bench.lines((False, True))
    assert bench.heard() == "", "in reset"
    bench.rig.board.uart.set_lines(False, False)
    said = bench.heard()
    assert booted(said)
    if bench.mcu == "esp8266":
        assert "Reset cause: 6 (sys reset)" in said
    else:
        assert "rst:0x1 (POWERON_RESET)" in said, "an ESP32 cannot tell the pin from power"


@ALL
def test_with_io0_low_the_rom_waits_until_the_next_reset(bench: Bench) -> None:
    bench.on()
    bench.lines((False, True), (True, False), (False, False))
    assert isinstance(bench.esp.loader, RomLoader)
    assert not booted(bench.heard())
    bench.lines((False, True))
    bench.rig.board.uart.set_lines(False, False)
    assert booted(bench.heard())
    assert bench.esp.loader is None


@ALL
def test_a_board_that_is_held_in_reset_does_not_start_with_the_power(bench: Bench) -> None:
    bench.rig.board.uart.set_lines(False, True)
    assert bench.on() == ""
    bench.rig.board.uart.set_lines(False, False)
    assert booted(bench.heard())


@ALL
def test_power_off_ends_the_loader_and_a_reset_without_power_does_nothing(bench: Bench) -> None:
    bench.esp.boot_button = True
    bench.on()
    assert bench.esp.loader is not None
    bench.off()
    assert bench.esp.loader is None
    bench.lines((False, True), (False, False))
    assert bench.heard() == ""
    bench.esp.boot_button = False
    assert booted(bench.on())


@ESP8266
def test_started_from_the_loader_a_restart_ends_there_again(bench: Bench) -> None:
    """IO0 is latched: firmware asks for a manual reset, and a reboot lands in the ROM."""
    bench.on()
    bench.lines((False, True), (True, False), (False, False))
    bench.esp.run_flash()
    assert booted(bench.heard())
    bench.rig.firmware.restart_after(100)
    said = bench.heard(baud=74_880)
    assert "rst cause:2, boot mode:(1,6)" in said
    assert bench.esp.loader is not None
    bench.off()
    assert booted(bench.on()), "a power cycle looks at IO0 anew"
    bench.rig.firmware.restart_after(100)
    assert booted(bench.heard())


@EDUKIT
def test_the_console_starts_from_ram_too(bench: Bench) -> None:
    bench.esp.flash.erase(0, bench.esp.flash.size)
    bench.esp.boot_button = True
    bench.on()
    assert bench.esp.run_ram(b"...Initializing Command line: >>...")
    assert booted(bench.heard())


@ALL
def test_the_element_keeps_its_power_over_a_reset(bench: Bench) -> None:
    bench.on()
    bench.lines((False, True))
    assert bench.rig.element.powered
