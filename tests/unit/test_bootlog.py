from __future__ import annotations

import pytest

from hil.board.bootlog import Boot, BootWatch, ResetKind, parse_boots
from hil.board.transcript import Line

FIRMWARE = """\
Mongoose OS 2.20.0 (20230313)
CPU: ESP8266EX, 80 MHz, RAM: 51336 total, 41288 free
MAC: 5C:cf:7f:a1:b2:c3
mgos_i2c_gpio_maste:248 I2C GPIO init ok (SDA: 12, SCL: 14, freq: 100000)
mgos_atca:181           ATECC508A @ 0/0x60: rev 0x5000 S/N 0x1233bd44dfc6509ee, zone lock status: yes, yes
mgos_init:36            Init done, RAM: 51336 total, 37000 free, 36000 min free
"""
ESP8266_ROM = "ets Jan  8 2013,rst cause:{}, boot mode:(3,6)\n"
ESP32_ROM = "ets Jul 29 2019 12:21:46\nrst:0x{:x} ({}),boot:0x13 (SPI_FAST_FLASH_BOOT)\n"


def boots(text: str) -> list[Boot]:
    return parse_boots(Line(at, line) for at, line in enumerate(text.splitlines()))


def test_an_esp8266_boot_is_read_as_one_start() -> None:
    [boot] = boots(ESP8266_ROM.format(1) + "csum 0x2b\n" + FIRMWARE)
    assert boot.reset.kind is ResetKind.POWER_ON
    assert boot.firmware == "2.20.0"
    assert boot.mac == "5c:cf:7f:a1:b2:c3"
    assert (boot.i2c_pins, boot.i2c_hz) == ((12, 14), 100_000)
    assert boot.element_found is True
    assert boot.done
    assert boot.at == 0


def test_an_esp32_boot_with_two_banners_is_one_start() -> None:
    text = ESP32_ROM.format(1, "POWERON_RESET") + "I (29) boot: ESP-IDF v4.4 2nd stage bootloader\n"
    [boot] = boots(text + FIRMWARE)
    assert boot.reset.kind is ResetKind.POWER_ON
    assert boot.done


def test_mojibake_of_the_rom_leaves_the_cause_unknown() -> None:
    [boot] = boots("\ufffd\ufffd~\ufffd" + FIRMWARE)
    assert boot.reset.kind is ResetKind.UNKNOWN
    assert boot.reset.may_be_power_on
    assert boot.firmware == "2.20.0"


@pytest.mark.parametrize(
    ("cause", "kind"),
    [(1, "power-on"), (2, "external reset"), (3, "software restart"), (4, "watchdog"), (9, "unknown cause")],
)
def test_causes_of_the_esp8266(cause: int, kind: str) -> None:
    [boot] = boots(ESP8266_ROM.format(cause))
    assert str(boot.reset.kind) == kind


@pytest.mark.parametrize(
    ("code", "name", "kind"),
    [
        (1, "POWERON_RESET", ResetKind.POWER_ON),
        (3, "SW_RESET", ResetKind.SOFTWARE),
        (5, "DEEPSLEEP_RESET", ResetKind.DEEP_SLEEP),
        (8, "TG1WDT_SYS_RESET", ResetKind.WATCHDOG),
        (12, "SW_CPU_RESET", ResetKind.SOFTWARE),
        (15, "RTCWDT_BROWN_OUT_RESET", ResetKind.BROWN_OUT),
        (16, "RTCWDT_RTC_RESET", ResetKind.WATCHDOG),
    ],
)
def test_causes_of_the_esp32(code: int, name: str, kind: ResetKind) -> None:
    [boot] = boots(ESP32_ROM.format(code, name))
    assert boot.reset.kind is kind
    assert boot.reset.may_be_power_on is (kind is ResetKind.POWER_ON)
    assert name in str(boot.reset)


SDK = "Mongoose OS 2.20.0 (x)\nesp_exc.c:158           Reset cause: {} ({})\n"


@pytest.mark.parametrize(
    ("number", "text", "kind"),
    [
        (0, "power on", ResetKind.POWER_ON),
        (1, "hw wdt", ResetKind.WATCHDOG),
        (2, "exception", ResetKind.PANIC),
        (3, "soft wdt", ResetKind.WATCHDOG),
        (4, "soft reset", ResetKind.SOFTWARE),
        (5, "deep sleep wake", ResetKind.DEEP_SLEEP),
        (6, "sys reset", ResetKind.EXTERNAL),
        (9, "what nobody knows", ResetKind.UNKNOWN),
    ],
)
def test_the_sdk_names_the_cause_where_the_rom_cannot_be_read(
    number: int, text: str, kind: ResetKind
) -> None:
    [boot] = boots("\ufffd\ufffd~\ufffd\n" + SDK.format(number, text))
    assert boot.reset.kind is kind
    assert boot.reset.text == f"Reset cause: {number} ({text})"
    assert boot.reset.may_be_power_on is (number in (0, 6, 9))


def test_a_restart_by_software_leaves_the_roms_register_as_it_was() -> None:
    [boot] = boots(ESP8266_ROM.format(1) + SDK.format(4, "soft reset"))
    assert boot.reset.kind is ResetKind.SOFTWARE


def test_last_words_and_a_known_cause_of_the_rom_are_not_overruled_by_less() -> None:
    [boot] = boots("Fatal exception 28(LoadProhibitedCause):\n" + SDK.format(4, "soft reset"))
    assert boot.reset.kind is ResetKind.PANIC
    [boot] = boots(ESP8266_ROM.format(4) + SDK.format(9, "what nobody knows"))
    assert boot.reset.kind is ResetKind.WATCHDOG


def test_a_cause_without_a_start_is_nobodys() -> None:
    assert boots("esp_exc.c:158           Reset cause: 4 (soft reset)\n") == []


def test_a_panic_before_a_software_reset_is_the_cause() -> None:
    text = "Guru Meditation Error: Core  0 panic'ed (LoadProhibited). Exception was unhandled.\n"
    [boot] = boots(text + ESP32_ROM.format(12, "SW_CPU_RESET"))
    assert boot.reset.kind is ResetKind.PANIC
    assert "LoadProhibited" in boot.reset.text


def test_a_brown_out_message_is_the_cause() -> None:
    [boot] = boots("Brownout detector was triggered\n" + ESP32_ROM.format(12, "SW_CPU_RESET"))
    assert boot.reset.kind is ResetKind.BROWN_OUT


def test_the_cause_of_one_start_does_not_leak_into_the_next() -> None:
    text = "Fatal exception 28(LoadProhibitedCause):\n" + FIRMWARE + ESP8266_ROM.format(3)
    assert [boot.reset.kind for boot in boots(text)] == [ResetKind.PANIC, ResetKind.SOFTWARE]


def test_a_second_banner_without_rom_lines_is_a_second_start() -> None:
    assert len(boots(FIRMWARE + FIRMWARE)) == 2


def test_download_mode_is_seen() -> None:
    [boot] = boots("rst:0x1 (POWERON_RESET),boot:0x3 (DOWNLOAD_BOOT(UART0/UART1/SDIO_REI_REO_V2))\n")
    assert boot.download
    [boot] = boots("ets Jan  8 2013,rst cause:2, boot mode:(1,7)\n")
    assert boot.download


def test_an_absent_element_is_reported_and_an_unfinished_start_is_not_done() -> None:
    [boot] = boots("Mongoose OS 2.20.0 (x)\nmgos_atca:99            ATCA: Library init failed\n")
    assert boot.element_found is False
    assert not boot.done
    [boot] = boots("Mongoose OS 2.20.0 (x)\n")
    assert boot.element_found is None
    assert (boot.i2c_pins, boot.i2c_hz, boot.mac) == (None, None, None)


def test_the_watcher_reports_a_start_when_it_begins() -> None:
    seen: list[ResetKind] = []
    watch = BootWatch(lambda boot: seen.append(boot.reset.kind))
    watch.feed(Line(1, ESP8266_ROM.format(4).strip()))
    assert seen == [ResetKind.WATCHDOG]
