"""What an emulated ESP8266 or ESP32 has that its ROM loader shows: registers, eFuses, SPI controller.

Sources: Espressif, ESP8266 and ESP32 technical reference manuals (eFuse, UART and SPI registers) and
the register addresses that espressif/esptool reads (esptool/targets). A register that is not named
here holds what was written to it, 0 at first.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hil.wire.slip import Op

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from hil.emulator.norflash import NorFlash
    from hil.wire.espimage import EspMcu

__all__ = ["CHIPS", "EspChip", "Registers"]

MAGIC_REGISTER = 0x4000_1000
_WORD = 0xFFFF_FFFF

SPI_CMD, SPI_USR2 = 0x00, 0x24
SPI_USR_BIT = 1 << 18
READ_JEDEC_ID = 0x9F

_BASIC = frozenset(
    {
        Op.FLASH_BEGIN, Op.FLASH_DATA, Op.FLASH_END, Op.MEM_BEGIN, Op.MEM_DATA, Op.MEM_END,
        Op.SYNC, Op.READ_REG, Op.WRITE_REG,
    }
)  # fmt: skip
_ESP32 = _BASIC | {
    Op.SPI_SET_PARAMS, Op.SPI_ATTACH, Op.READ_FLASH_SLOW, Op.CHANGE_BAUDRATE,
    Op.DEFL_BEGIN, Op.DEFL_DATA, Op.DEFL_END, Op.SPI_FLASH_MD5,
}  # fmt: skip


@dataclass(frozen=True)
class EspChip:
    """One kind of microcontroller.

    Attributes:
        mcu: its name in rig files.
        magic: what :data:`MAGIC_REGISTER` holds; tools know the chip by it.
        rom_ops: the commands of its ROM loader.
        status_size: bytes of status in a ROM answer.
        spi_base, spi_w0: the SPI controller of the flash, and its data buffer's offset.
        clock_divider: UART register from which tools compute the crystal's frequency.
        clock_hz: divider times baud rate.
        rom_baud: rate at which the ROM prints; the ESP8266's crystal is not the one it expects.
        double_erase: the ROM erases the sectors up to the next 64 KiB block twice over.
    """

    mcu: EspMcu
    magic: int
    rom_ops: frozenset[Op]
    status_size: int
    spi_base: int
    spi_w0: int
    clock_divider: int
    clock_hz: int
    rom_baud: int
    double_erase: bool = False


CHIPS: Mapping[EspMcu, EspChip] = {
    "esp8266": EspChip(
        mcu="esp8266",
        magic=0xFFF0_C101,
        rom_ops=_BASIC,
        status_size=2,
        spi_base=0x6000_0200,
        spi_w0=0x40,
        clock_divider=0x6000_0014,
        clock_hz=52_000_000,
        rom_baud=74_880,
        double_erase=True,
    ),
    "esp32": EspChip(
        mcu="esp32",
        magic=0x00F0_1D83,
        rom_ops=_ESP32,
        status_size=4,
        spi_base=0x3FF4_2000,
        spi_w0=0x80,
        clock_divider=0x3FF4_0014,
        clock_hz=40_000_000,
        rom_baud=115_200,
    ),
}

CK8M = 128
CALIBRATION = 800
"""The ESP32's ROM takes CALIBRATION x 15625 x CK8M / 40 Hz for its crystal: 40 MHz."""

REVISION_BITS = (0, 1, 3, 7)
"""Major revision of an ESP32 to its three revision bits."""


def efuses(mcu: EspMcu, mac: bytes, revision: int) -> dict[int, int]:
    """Registers that say which chip it is.

    Args:
        mcu: the kind.
        mac: its MAC address, 6 bytes.
        revision: major revision of an ESP32, 0 to 3; an ESP8266 has none.
    """
    if mcu == "esp8266":
        return {
            0x3FF0_0050: mac[5] << 24,
            0x3FF0_0054: mac[3] << 8 | mac[4],
            0x3FF0_005C: int.from_bytes(mac[:3], "big"),
        }
    bits = REVISION_BITS[revision]
    return {
        0x3FF5_A004: int.from_bytes(mac[2:], "big"),
        0x3FF5_A008: int.from_bytes(mac[:2], "big") | _crc8(mac) << 16,
        0x3FF5_A00C: (bits & 1) << 15,
        0x3FF5_A010: CK8M,
        0x3FF5_F06C: CALIBRATION << 7,
        0x3FF5_A014: (bits >> 1 & 1) << 20,
        0x3FF6_607C: (bits >> 2 & 1) << 31,
    }


def _crc8(data: bytes) -> int:
    """CRC-8 of the MAC eFuses (reflected polynomial 0x8C, start 0)."""
    crc = 0
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x8C if crc & 1 else 0)
    return crc


class Registers:
    """The register file.

    Args:
        chip: the kind.
        mac: MAC address, 6 bytes.
        revision: major revision of an ESP32.
        flash: behind the SPI controller.
        baud: the UART's present rate.
    """

    def __init__(
        self, chip: EspChip, *, mac: bytes, revision: int, flash: NorFlash, baud: Callable[[], int]
    ) -> None:
        self._chip = chip
        self._flash = flash
        self._baud = baud
        self._words = {MAGIC_REGISTER: chip.magic} | efuses(chip.mcu, mac, revision)
        self._fixed = frozenset(self._words)

    def read(self, address: int) -> int:
        """One word."""
        if address == self._chip.clock_divider:
            return round(self._chip.clock_hz / self._baud())
        return self._words.get(address, 0)

    def write(self, address: int, value: int, mask: int) -> None:
        """One word, under a mask; ROM and eFuses do not change."""
        if address in self._fixed:
            return
        self._words[address] = (self._words.get(address, 0) & ~mask | value & mask) & _WORD
        if address == self._chip.spi_base + SPI_CMD and value & SPI_USR_BIT:
            self._spi_transaction()

    def _spi_transaction(self) -> None:
        """The user-defined command: opcode in USR2, answer in W0."""
        base = self._chip.spi_base
        opcode = self._words.get(base + SPI_USR2, 0) & 0xFF
        self._words[base + self._chip.spi_w0] = self._flash.part.jedec if opcode == READ_JEDEC_ID else 0
        self._words[base + SPI_CMD] = 0
