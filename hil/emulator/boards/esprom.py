"""What the mask ROMs of ESP8266 and ESP32 print, and when.

Sources: Espressif, "ESP8266 Boot Mode and Reset Cause" and esp-idf
``components/esp_rom/include/esp32/rom/rtc.h`` for the numbers; the lines for an image that cannot be
loaded follow public logs (esp8266/Arduino issue 8240: ``csum err`` and ``ets_main.c``;
espressif/esp-idf issue 13302: ``invalid header``). What an ESP8266 prints when there is no image at
all is not documented: this one goes straight to ``ets_main.c``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hil.wire.espimage import checksum

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hil.wire.espimage import EspMcu, Image

__all__ = ["EXTERNAL", "POWER_ON", "SOFTWARE", "WATCHDOG", "RomCause", "RomLog"]

FIRST_ROM = b"ets Jun  8 2016 00:22:57"
THIRD_ROM = b"ets Jul 29 2019 12:21:46"
"""ESP32 before revision 3, and since."""

HEADER_TRIES = 8


@dataclass(frozen=True)
class RomCause:
    """Why the ROM starts.

    Attributes:
        esp8266: ``rst cause`` of its ROM, which a restart by software leaves as it was.
        esp32: the cause as its ROM prints it; pin and power-on are the same to it.
    """

    esp8266: int
    esp32: bytes


POWER_ON = RomCause(1, b"0x1 (POWERON_RESET)")
EXTERNAL = RomCause(2, b"0x1 (POWERON_RESET)")
WATCHDOG = RomCause(4, b"0x10 (RTCWDT_RTC_RESET)")
SOFTWARE = b"0x3 (SW_RESET)"
"""What an ESP32 prints after a restart by software."""


@dataclass(frozen=True)
class RomLog:
    """The lines of one chip's ROM.

    Attributes:
        mcu: the kind of chip.
        revision: major revision of an ESP32.
    """

    mcu: EspMcu
    revision: int = 3

    def flash_boot(self, cause: RomCause) -> bytes:
        """The head before an image is loaded from flash."""
        if self.mcu == "esp32":
            return self._esp32(cause, b"0x13 (SPI_FAST_FLASH_BOOT)")
        return self._esp8266(cause, 3)

    def download(self, cause: RomCause) -> bytes:
        """The chip waits for a host."""
        if self.mcu == "esp32":
            return self._esp32(cause, b"0x3 (DOWNLOAD_BOOT(UART0/UART1/SDIO_REI_REO_V2))") + (
                b"waiting for download\r\n"
            )
        return self._esp8266(cause, 1)

    def loaded(self, image: Image) -> bytes:
        """The segments of an image, and whether its checksum fits."""
        if self.mcu == "esp32":
            lines = [f"load:0x{s.address:08x},len:{len(s.data)}" for s in image.segments]
            if image.intact:
                lines.append(f"entry 0x{image.entry:08x}")
            else:
                lines += [
                    f"csum err:0x{image.checksum:02x}!=0x{image.stored_checksum:02x}",
                    "ets_main.c 371 ",
                ]
            return _text(lines)
        lines = []
        for count, segment in enumerate(image.segments, 1):
            so_far = checksum(image.segments[:count])
            lines.append(f"load 0x{segment.address:08x}, len {len(segment.data)}, room 16 ")
            lines += [f"tail {len(segment.data) % 16}", f"chksum 0x{so_far:02x}"]
        lines.append(f"csum 0x{image.checksum:02x}")
        return _text(lines if image.intact else [*lines, "csum err", "ets_main.c "])

    def no_image(self, first_word: int) -> bytes:
        """There is nothing that could be loaded."""
        if self.mcu == "esp8266":
            return b"ets_main.c \r\n"
        if self.revision < 3:
            return b"flash read err, 1000\r\nets_main.c 371 \r\n"
        return b"invalid header: 0x%08x\r\n" % first_word * HEADER_TRIES

    def _esp32(self, cause: RomCause, mode: bytes) -> bytes:
        head = THIRD_ROM if self.revision >= 3 else FIRST_ROM
        return head + b"\r\n\r\nrst:" + cause.esp32 + b",boot:" + mode + b"\r\n"

    def _esp8266(self, cause: RomCause, mode: int) -> bytes:
        return b"\r\n ets Jan  8 2013,rst cause:%d, boot mode:(%d,6)\r\n\r\n" % (cause.esp8266, mode)


def _text(lines: Sequence[str]) -> bytes:
    return "".join(f"{line}\r\n" for line in lines).encode()
