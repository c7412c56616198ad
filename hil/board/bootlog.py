"""What a board says while it starts: why it was reset, and what the firmware found.

The ROM of an ESP8266 prints at 74880 baud, so that at 115200 its lines are mojibake; the firmware's
own lines are enough then, only the cause stays unknown.

Sources: Espressif, ESP8266 Boot Mode and Reset Cause notes and ``esp-idf``
``components/esp_rom/include/esp32/rom/rtc.h``; Mongoose OS lines as in ``hil/wire/loglines.py``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

import msgspec

from hil.wire.loglines import LogEvent, log_event, parse_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from hil.board.transcript import Line

__all__ = ["Boot", "BootWatch", "Reset", "ResetKind", "parse_boots"]


class ResetKind(StrEnum):
    """Why a board restarted, as far as a test cares."""

    POWER_ON = "power-on"
    EXTERNAL = "external reset"
    SOFTWARE = "software restart"
    DEEP_SLEEP = "wake from deep sleep"
    WATCHDOG = "watchdog"
    BROWN_OUT = "brown-out"
    PANIC = "panic"
    UNKNOWN = "unknown cause"


class Reset(msgspec.Struct, frozen=True):
    """A reset cause.

    Attributes:
        kind: the cause in one word.
        text: the line that said so; empty if none did.
    """

    kind: ResetKind
    text: str = ""

    @property
    def may_be_power_on(self) -> bool:
        """Whether this is what a board says after power came.

        Many ESP8266 boards report an external reset then, because RST rises late.
        """
        return self.kind in (ResetKind.POWER_ON, ResetKind.EXTERNAL, ResetKind.UNKNOWN)

    def __str__(self) -> str:
        return f"{self.kind} ({self.text})" if self.text else str(self.kind)


ESP8266_CAUSES: Mapping[int, ResetKind] = {
    1: ResetKind.POWER_ON,
    2: ResetKind.EXTERNAL,
    3: ResetKind.SOFTWARE,
    4: ResetKind.WATCHDOG,
}
"""``rst cause:N`` of the ESP8266 ROM; 2 is also the wake from deep sleep."""

ESP32_CAUSES: Mapping[int, ResetKind] = {
    1: ResetKind.POWER_ON,
    3: ResetKind.SOFTWARE,
    4: ResetKind.WATCHDOG,
    5: ResetKind.DEEP_SLEEP,
    6: ResetKind.EXTERNAL,
    7: ResetKind.WATCHDOG,
    8: ResetKind.WATCHDOG,
    9: ResetKind.WATCHDOG,
    11: ResetKind.WATCHDOG,
    12: ResetKind.SOFTWARE,
    13: ResetKind.WATCHDOG,
    14: ResetKind.EXTERNAL,
    15: ResetKind.BROWN_OUT,
    16: ResetKind.WATCHDOG,
}
"""``rst:0xN`` of the ESP32 ROM."""

_SDK_RESET = re.compile(r"Reset cause: (\d+) \(([^)]*)\)")
"""Mongoose OS on the ESP8266 prints the SDK's reset reason; the ROM's line is lost at 74880 baud."""

SDK_CAUSES: Mapping[int, ResetKind] = {
    0: ResetKind.POWER_ON,
    1: ResetKind.WATCHDOG,
    2: ResetKind.PANIC,
    3: ResetKind.WATCHDOG,
    4: ResetKind.SOFTWARE,
    5: ResetKind.DEEP_SLEEP,
    6: ResetKind.EXTERNAL,
}
"""``enum rst_reason`` of the ESP8266 SDK (user_interface.h)."""

_ESP8266_ROM = re.compile(r"rst cause:(\d+), boot mode:\((\d+),(\d+)\)")
_ESP32_ROM = re.compile(r"rst:0x([0-9a-f]+) \(([A-Z0-9_]+)\),boot:0x([0-9a-f]+) \(([^)]*)\)")
_PANICS = (
    (re.compile(r"Guru Meditation Error: Core +\d+ panic'ed \([^)]*\)"), ResetKind.PANIC),
    (re.compile(r"Fatal exception \(?\d+\)?:?.*"), ResetKind.PANIC),
    (re.compile(r"Brownout detector was triggered"), ResetKind.BROWN_OUT),
    (re.compile(r"Task watchdog got triggered.*|Interrupt wdt timeout.*|Soft WDT reset"), ResetKind.WATCHDOG),
)
_ANY_CAUSE = re.compile(
    "|".join(one.pattern for one in (_SDK_RESET, _ESP8266_ROM, _ESP32_ROM, *(one for one, _ in _PANICS)))
)
"""Whether a line says anything about a reset; most do not."""
_BOOTLOADER = re.compile(r"ESP-IDF .*2nd stage bootloader")
_BANNERS = ("bootloader", "firmware")
"""Lines that a start prints once, in this order."""


@dataclass
class Boot:
    """One start of a board, filled in while its lines arrive.

    Attributes:
        at: when its first line began, in microseconds of the port's clock.
        reset: why.
        download: the ROM waits for an image instead of starting the firmware.
        events: the named lines of the log so far, by kind; the last of a kind counts.
    """

    at: int
    reset: Reset = field(default_factory=lambda: Reset(ResetKind.UNKNOWN))
    download: bool = False
    events: dict[str, LogEvent] = field(default_factory=dict)

    @property
    def firmware(self) -> str | None:
        """Version of Mongoose OS, or None if its line has not come."""
        return self._field("firmware", "version")

    @property
    def mac(self) -> str | None:
        """The MAC address, lower case with colons."""
        mac = self._field("mac", "mac")
        return None if mac is None else mac.lower()

    @property
    def i2c_pins(self) -> tuple[int, int] | None:
        """GPIO numbers of SDA and SCL as the firmware uses them."""
        event = self.events.get("i2c_ready")
        return None if event is None else (int(event.fields["sda"]), int(event.fields["scl"]))

    @property
    def i2c_hz(self) -> int | None:
        """Speed of the I2C bus."""
        hz = self._field("i2c_ready", "hz")
        return None if hz is None else int(hz)

    @property
    def element_found(self) -> bool | None:
        """Whether the firmware reached the element; None if it has not said."""
        if "element_found" in self.events:
            return True
        return False if "element_absent" in self.events else None

    @property
    def done(self) -> bool:
        """Whether the firmware has finished its start."""
        return "init_done" in self.events

    def _field(self, kind: str, name: str) -> str | None:
        event = self.events.get(kind)
        return None if event is None else event.fields.get(name)


class BootWatch:
    """Finds starts in a stream of lines.

    A start begins with a ROM line, or with the firmware's banner if the ROM's lines were lost.
    A panic or brown-out message before it is the cause when the ROM names only a software reset
    or nothing.

    Args:
        on_boot: called when a start begins; its cause is known then if the ROM's line arrived.

    Attributes:
        boots: every start, oldest first.
    """

    def __init__(self, on_boot: Callable[[Boot], None] = lambda boot: None) -> None:
        self.boots: list[Boot] = []
        self._on_boot = on_boot
        self._last_words: Reset | None = None

    def feed(self, line: Line) -> None:
        """Look at the next line."""
        text = line.text
        if _ANY_CAUSE.search(text) is not None and self._cause(line):
            return
        event = log_event(parse_line(text).message)
        if event is None and _BOOTLOADER.search(text):
            event = LogEvent("bootloader", {})
        if event is None:
            return
        if event.kind in _BANNERS and self._past(event.kind):
            self._begin(line.at, Reset(ResetKind.UNKNOWN), download=False)
        if self.boots:
            self.boots[-1].events[event.kind] = event

    def _cause(self, line: Line) -> bool:
        """Take a line that says why the board was reset."""
        for pattern, kind in _PANICS:
            match = pattern.search(line.text)
            if match is not None:
                self._last_words = Reset(kind, match.group())
                return True
        if self._rom_line(line):
            return True
        sdk = _SDK_RESET.search(line.text)
        if sdk is None or not self.boots:
            return False
        boot, kind = self.boots[-1], SDK_CAUSES.get(int(sdk[1]), ResetKind.UNKNOWN)
        # The ROM's register is as it was after a restart by software; last words say more than either.
        said_before = boot.reset.kind in (ResetKind.PANIC, ResetKind.BROWN_OUT)
        if boot.reset.kind is ResetKind.UNKNOWN or (kind is not ResetKind.UNKNOWN and not said_before):
            boot.reset = Reset(kind, sdk.group())
        return True

    def _past(self, banner: str) -> bool:
        """Whether the present start has got beyond ``banner``, so that this is another one."""
        if not self.boots:
            return True
        seen = self.boots[-1].events
        return any(kind in seen for kind in _BANNERS[_BANNERS.index(banner) :])

    def _rom_line(self, line: Line) -> bool:
        esp8266 = _ESP8266_ROM.search(line.text)
        if esp8266 is not None:
            kind = ESP8266_CAUSES.get(int(esp8266[1]), ResetKind.UNKNOWN)
            self._begin(line.at, Reset(kind, esp8266.group()), download=esp8266[2] == "1")
        else:
            esp32 = _ESP32_ROM.search(line.text)
            if esp32 is None:
                return False
            kind = ESP32_CAUSES.get(int(esp32[1], 16), ResetKind.UNKNOWN)
            self._begin(line.at, Reset(kind, esp32.group()), download="DOWNLOAD" in esp32[4])
        return True

    def _begin(self, at: int, reset: Reset, *, download: bool) -> None:
        words, self._last_words = self._last_words, None
        if words is not None and reset.kind in (ResetKind.SOFTWARE, ResetKind.UNKNOWN):
            reset = words
        boot = Boot(at, reset, download)
        self.boots.append(boot)
        self._on_boot(boot)


def parse_boots(lines: Iterable[Line]) -> list[Boot]:
    """Every start in ``lines``."""
    watch = BootWatch()
    for line in lines:
        watch.feed(line)
    return watch.boots
