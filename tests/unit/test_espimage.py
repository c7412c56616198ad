"""Images: what a ROM would run, and what a tool must refuse."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hil.board.flash import check_image
from hil.emulator.boards.bootimage import firmware_in_ram, firmware_of, marker_image
from hil.errors import ConfigError, FrameError
from hil.wire.espimage import BOOT_OFFSET, EspMcu, Segment, build_image, parse_image

MCUS: tuple[EspMcu, ...] = ("esp8266", "esp32")
SHIPPED = Path(__file__).parents[2] / "rigs" / "firmware" / "emulated"
SEGMENTS = [Segment(0x4010_0000, b"\x01\x02\x03\x04"), Segment(0x3FFE_8000, b"test" * 5)]


def test_an_esp8266_image_is_laid_out_as_documented() -> None:
    image = build_image("esp8266", SEGMENTS[:1], 0x4010_0004)
    assert image[:8].hex() == "e901024004001040"
    assert image[8:20].hex() == "000010400400000001020304"
    assert (len(image) % 16, image[-1]) == (0, 0xEF ^ 1 ^ 2 ^ 3 ^ 4)


def test_an_esp32_image_has_a_longer_header_and_a_hash() -> None:
    image = build_image("esp32", SEGMENTS[:1], 0x4008_0000)
    assert (image[0], image[12:14], image[23]) == (0xE9, b"\0\0", 1)
    assert (len(image) - 32) % 16 == 0


@pytest.mark.parametrize("mcu", MCUS)
def test_an_image_is_read_as_it_was_built(mcu: EspMcu) -> None:
    image = build_image(mcu, SEGMENTS, 0x4010_0004)
    parsed = parse_image(image + b"\xff" * 100, mcu)
    assert (parsed.entry, list(parsed.segments), parsed.size) == (0x4010_0004, SEGMENTS, len(image))
    assert parsed.intact


@pytest.mark.parametrize("mcu", MCUS)
@given(data=st.data())
def test_a_flipped_bit_never_goes_unnoticed(mcu: EspMcu, data: st.DataObject) -> None:
    """In what is loaded; the ESP8266's checksum does not cover the header."""
    image = bytearray(marker_image(mcu, "mongoose-os"))
    start = 0x20 if mcu == "esp32" else 0x10
    at = data.draw(st.integers(start, start + 40))
    image[at] ^= 1 << data.draw(st.integers(0, 7))
    assert not parse_image(bytes(image), mcu).intact


@pytest.mark.parametrize("mcu", MCUS)
@given(data=st.data())
def test_an_image_that_was_cut_off_is_none(mcu: EspMcu, data: st.DataObject) -> None:
    image = build_image(mcu, SEGMENTS, 0x4010_0004)
    with pytest.raises(FrameError):
        parse_image(image[: data.draw(st.integers(0, len(image) - 1))], mcu)


def test_a_cut_off_image_says_where() -> None:
    image = build_image("esp8266", SEGMENTS, 0x4010_0004)
    end = 8 + 8 + 4 + 8 + 20
    for size, words in (
        (0, "the first byte is missing, not e9"),
        (7, "within its header"),
        (15, "before segment 0"),
        (19, "segment 0 claims 4 bytes, 3 follow"),
        (27, "before segment 1"),
        (end - 1, "segment 1 claims 20 bytes, 19 follow"),
        (end, "before its checksum"),
        (len(image) - 1, "before its checksum"),
    ):
        with pytest.raises(FrameError, match=words):
            parse_image(image[:size], "esp8266")


@pytest.mark.parametrize("mcu", MCUS)
@given(garbage=st.binary(max_size=200))
def test_garbage_is_none(mcu: EspMcu, garbage: bytes) -> None:
    with contextlib.suppress(FrameError):
        assert not parse_image(garbage, mcu).intact


def test_the_chip_id_of_another_esp32_is_refused() -> None:
    image = bytearray(build_image("esp32", SEGMENTS, 0x4008_0000))
    image[12] = 9  # ESP32-S3
    with pytest.raises(FrameError, match="chip id 9"):
        parse_image(bytes(image), "esp32")


# -- markers -----------------------------------------------------------------------------------


@pytest.mark.parametrize("mcu", MCUS)
def test_a_marker_names_its_firmware(mcu: EspMcu) -> None:
    assert firmware_of(parse_image(marker_image(mcu, "mongoose-os"), mcu)) == "mongoose-os"
    assert firmware_of(parse_image(build_image(mcu, SEGMENTS, 0), mcu)) is None


@pytest.mark.parametrize(
    ("name", "mcu", "firmware"),
    [
        ("mongoose-os-esp8266.bin", "esp8266", "mongoose-os"),
        ("mongoose-os-esp32.bin", "esp32", "mongoose-os"),
        ("esp-idf-console-esp32.bin", "esp32", "esp-idf-console"),
    ],
)
def test_the_shipped_images_are_what_the_maker_makes(name: str, mcu: EspMcu, firmware: str) -> None:
    assert (SHIPPED / name).read_bytes() == marker_image(mcu, firmware)


def test_what_is_loaded_into_ram_is_known_by_its_banner() -> None:
    assert firmware_in_ram(b"\0\0Initializing Command line: >>\0") == "esp-idf-console"
    assert firmware_in_ram(marker_image("esp32", "mongoose-os")) == "mongoose-os"
    assert firmware_in_ram(b"a flasher stub") is None


# -- what may be written -----------------------------------------------------------------------


@pytest.mark.parametrize("mcu", MCUS)
def test_the_right_image_at_the_right_place_passes(mcu: EspMcu) -> None:
    check_image(marker_image(mcu, "mongoose-os"), mcu, BOOT_OFFSET[mcu])


def test_a_merged_esp32_image_is_looked_at_where_the_rom_looks() -> None:
    merged = b"\xff" * 0x1000 + marker_image("esp32", "mongoose-os")
    check_image(merged, "esp32", 0)
    with pytest.raises(ConfigError, match="0x1000"):
        check_image(b"\xff" * 0x2000, "esp32", 0)


def test_an_image_that_ends_where_the_rom_begins_to_look_is_looked_at_from_its_start() -> None:
    room = BOOT_OFFSET["esp32"]
    image = marker_image("esp32", "mongoose-os").ljust(room, b"\xff")
    check_image(image, "esp32", 0)
    with pytest.raises(ConfigError):
        check_image(image + b"\xff", "esp32", 0)


def test_an_application_beyond_the_bootloader_has_to_be_an_image_itself() -> None:
    check_image(marker_image("esp32", "mongoose-os"), "esp32", 0x10000)
    with pytest.raises(ConfigError):
        check_image(b"not an image", "esp32", 0x10000)


@pytest.mark.parametrize("mcu", MCUS)
def test_an_image_for_the_other_chip_is_refused(mcu: EspMcu) -> None:
    other: EspMcu = "esp32" if mcu == "esp8266" else "esp8266"
    with pytest.raises(ConfigError):
        check_image(marker_image(other, "mongoose-os"), mcu, BOOT_OFFSET[mcu])


@pytest.mark.parametrize("offset", [-0x1000, 1, 0x800])
def test_an_offset_is_a_whole_sector(offset: int) -> None:
    with pytest.raises(ConfigError, match="multiple"):
        check_image(marker_image("esp8266", "mongoose-os"), "esp8266", offset)
