"""NOR flash: only erasing sets bits."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hil.emulator.norflash import SECTOR, FlashPart, NorFlash

SMALL = FlashPart(0x1040EF)
"""64 KiB."""


def test_the_size_is_in_the_jedec_id() -> None:
    assert (FlashPart().size, SMALL.size) == (4 << 20, 64 << 10)


def test_a_new_part_reads_ff() -> None:
    assert NorFlash(SMALL).read(0, 64 << 10) == b"\xff" * (64 << 10)


def test_programming_clears_bits_and_sets_none() -> None:
    flash = NorFlash(SMALL)
    flash.program(10, b"\x0f")
    flash.program(10, b"\xf3")
    assert flash.read(9, 3) == b"\xff\x03\xff"


def test_erasing_takes_whole_sectors() -> None:
    flash = NorFlash(SMALL)
    flash.program(0, b"\0" * 3 * SECTOR)
    flash.erase(SECTOR + 5, 1)
    assert [flash.read(n * SECTOR, 1) for n in range(3)] == [b"\0", b"\xff", b"\0"]
    flash.erase(5, 0)
    assert flash.read(0, 1) == b"\0"


@pytest.mark.parametrize(("offset", "size"), [(-1, 1), (0, (64 << 10) + 1), (64 << 10, 1)])
def test_nothing_lies_beyond_the_end(offset: int, size: int) -> None:
    flash = NorFlash(SMALL)
    for act in (flash.read, flash.erase):
        with pytest.raises(ValueError, match="within"):
            act(offset, size)
    with pytest.raises(ValueError, match="within"):
        flash.program(offset, b"\0" * size)


def test_times_are_those_of_the_operations() -> None:
    flash = NorFlash()
    assert flash.erase(0, SECTOR) == 45_000
    assert flash.erase(0, 0x1_0000) == 150_000
    assert flash.erase(SECTOR, 0x1_0000) == 16 * 45_000, "not aligned: sector by sector"
    assert flash.program(0, bytes(257)) == 2 * 700


def test_a_worn_cell_keeps_its_bits() -> None:
    flash = NorFlash(SMALL)
    flash.worn[0x1005] = 0x81
    flash.program(0x1000, bytes(16))
    assert flash.read(0x1000, 16) == bytes(5) + b"\x81" + bytes(10)


@given(
    writes=st.lists(st.tuples(st.integers(0, 3 * SECTOR), st.binary(min_size=1, max_size=600)), max_size=8)
)
def test_writing_reads_back_and_leaves_the_rest_alone(writes: list[tuple[int, bytes]]) -> None:
    flash, model = NorFlash(SMALL), bytearray(b"\xff" * SMALL.size)
    for offset, data in writes:
        flash.write(offset, data)
        first, end = offset // SECTOR * SECTOR, -(-(offset + len(data)) // SECTOR) * SECTOR
        model[first:end] = b"\xff" * (end - first)
        model[offset : offset + len(data)] = data
    assert flash.read(0, SMALL.size) == model
