"""The first part of an emulated Mongoose OS board's boot: ROM, banner, I2C.

Log lines and their order follow public console logs and cesanta/mongoose-os
``platforms/esp8266/src/esp_main.c`` and ``esp_exc.c``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import msgspec

from hil.emulator.boards.mongoose_i2c import I2CPort, frequency_possible
from hil.emulator.boards.mongoose_log import ERROR, Console, Origin
from hil.emulator.bus import I2CMaster

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hil.clock import World
    from hil.emulator.boards.mongoose_config import Config
    from hil.emulator.bus import Lines
    from hil.emulator.mcu import CostModel

__all__ = [
    "BROWN_OUT",
    "EXCEPTION",
    "EXTERNAL",
    "MG_BUILD",
    "MG_VERSION",
    "PLATFORMS",
    "POWER_ON",
    "ROM_BAUD",
    "SOFT_RESET",
    "App",
    "Arch",
    "Cause",
    "Platform",
    "banner",
    "rom_text",
    "start_i2c",
]

Arch = Literal["esp8266", "esp32"]

ROM_BAUD: Mapping[str, int] = {"esp8266": 74_880, "esp32": 115_200}
"""The ESP8266's ROM prints at 115200 x 26/40: its crystal is not the one the ROM expects."""

MG_VERSION = "2.20.0"
MG_BUILD = "20230313-093000/2.20.0"

_MAIN = "esp_main.c"
_CONFIG = "mgos_sys_config.c"
_INIT_I2C = Origin("mgos_deps_init.c", 218)


class App(msgspec.Struct, frozen=True):
    """What the firmware image calls itself, and what it does in the cloud.

    Attributes:
        name: application.
        version: its version.
        build: its build id.
        subscriptions: MQTT topic filters and QoS of the application; ``{id}`` is the device's id.
        messages: topic, text and QoS of what it publishes after each connect; likewise.
        supervises: it watches over the connection as the bare MQTT library does not.
        without: libraries with an RPC service that were left out of the build, e.g. ``rpc-service-fs``.
    """

    name: str = "hil-rig"
    version: str = "1.0"
    build: str = "20230313-120000"
    subscriptions: tuple[tuple[str, int], ...] = ()
    messages: tuple[tuple[str, str, int], ...] = ()
    supervises: bool = False
    without: frozenset[str] = frozenset()


class Cause(msgspec.Struct, frozen=True):
    """Why the board starts.

    Attributes:
        rom: what the ESP32's ROM prints; the ESP8266's ROM keeps showing the last hardware cause.
        number: reset reason of the ESP8266's SDK.
        text: the same in words.
        hardware: what the ESP8266's ROM prints from then on; None for a restart by software.
    """

    rom: str
    number: int
    text: str
    hardware: int | None = None


POWER_ON = Cause("0x1 (POWERON_RESET)", 0, "power on", 1)
EXTERNAL = Cause("0x1 (POWERON_RESET)", 6, "sys reset", 2)
SOFT_RESET = Cause("0xc (SW_CPU_RESET)", 4, "soft reset")
EXCEPTION = Cause("0xc (SW_CPU_RESET)", 2, "exception")
BROWN_OUT = Cause("0xf (RTCWDT_BROWN_OUT_RESET)", 1, "hw wdt", 4)
"""The ESP8266 has no detector: what its SDK calls a hardware watchdog is all that is left of a dip."""


class Platform(msgspec.Struct, frozen=True):
    """What differs between the two chips; memory figures are those of a small application."""

    cpu: str
    sdk: str
    flash_mb: int
    ram: int
    ram_free: int


PLATFORMS: Mapping[str, Platform] = {
    "esp8266": Platform("ESP8266EX", "2.2.2-dev(38a443e)", 4, 51_560, 44_912),
    "esp32": Platform("ESP32D0WDQ6", "4.2-r3", 4, 303_648, 251_112),
}


def rom_text(arch: Arch, cause: Cause, *, loader: bool, hardware: int = 1) -> bytes:
    """What the ROM prints.

    Args:
        arch: which ROM.
        cause: of this start.
        loader: GPIO0 selects the download mode (ESP8266).
        hardware: cause of the last hardware reset (ESP8266).
    """
    if arch == "esp32":
        return (
            b"ets Jul 29 2019 12:21:46\r\n\r\nrst:%b,boot:0x13 (SPI_FAST_FLASH_BOOT)\r\n" % cause.rom.encode()
        )
    mode = 1 if loader else 3
    head = b"\r\n ets Jan  8 2013,rst cause:%d, boot mode:(%d,6)\r\n\r\n" % (hardware, mode)
    return head if loader else head + b"load 0x40100000, len 2592, room 16 \r\ntail 0\r\nchksum 0xf3\r\n"


def banner(console: Console, app: App, arch: Arch, mac: str, cause: Cause, costs: CostModel) -> None:
    """The first lines of the firmware's own log; ``mac`` is 12 hex digits."""
    platform = PLATFORMS[arch]
    console.print(b"\n")
    console.log(Origin(_MAIN, 178), f"{app.name} {app.version} ({app.build})")
    console.log(Origin(_MAIN, 180), f"Mongoose OS {MG_VERSION} ({MG_BUILD})")
    memory = f"RAM: {platform.ram} total, {platform.ram} free"
    console.log(Origin(_MAIN, 181), f"CPU: {platform.cpu}, {costs.frequency_mhz:.0f} MHz, {memory}")
    console.log(Origin(_MAIN, 185), f"SDK {platform.sdk}; flash: {platform.flash_mb}M")
    if arch == "esp8266":
        console.log(Origin("esp_exc.c", 158), f"Reset cause: {cause.number} ({cause.text})")
    pairs = ":".join(mac[at : at + 2] for at in range(0, 12, 2))
    console.log(Origin(_CONFIG, 169), f"MAC: {pairs.lower()}")
    console.log(Origin(_CONFIG, 174), "WDT: 30 seconds")


def start_i2c(
    world: World, lines: Lines, config: Config, arch: Arch, costs: CostModel, console: Console
) -> dict[int, I2CPort] | None:
    """The buses that the configuration enables, by number; None if one of them cannot work."""
    buses: dict[int, I2CPort] = {}
    for number, key in enumerate(("i2c", "i2c1")):
        if not config.flag(f"{key}.enable"):
            continue
        console.log(_INIT_I2C, "Init i2c 1.0 (cd740fa1b33b4b01bacc5a86a51fbe5d27c33f9c)...")
        sda, scl = config.integer(f"{key}.sda_gpio"), config.integer(f"{key}.scl_gpio")
        hz = config.integer(f"{key}.freq")
        if not frequency_possible(arch, hz):
            console.log(Origin("mgos_i2c_gpio_master.c", 258), "Invalid I2C GPIO settings", ERROR)
            return None
        name = f"{arch} I2C{number}"
        master = I2CMaster(world, lines, sda=sda, scl=scl, hz=hz, gap_us=costs.i2c_gap_us, name=name)
        master.recover()
        buses[number] = I2CPort(master, bit_banged=arch == "esp8266")
        pins = f"init ok (SDA: {sda}, SCL: {scl}, freq: {hz})"
        if arch == "esp8266":
            console.log(Origin("mgos_i2c_gpio_master.c", 248), f"I2C GPIO {pins}")
        else:
            console.log(Origin("esp32_i2c_master.c", 310), f"I2C{number} {pins}")
    return buses
