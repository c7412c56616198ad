"""The host's drivers against the emulated firmware and element, over the serial line only."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from hil import serialport
from hil.board.mongoose import MongooseBoard
from hil.clock import World
from hil.element.device import Element
from hil.i2c.mongoose import MongooseI2C
from tests.unit.firmware_bench import SERIAL, Bench, bench

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def made() -> Iterator[Bench]:
    with World() as world:
        made = bench(world)
        serialport.register("firmware-test", "board", made.uart)
        yield made
        serialport.unregister("firmware-test")


@pytest.fixture
def board(made: Bench) -> Iterator[MongooseBoard]:
    board = MongooseBoard(serialport.open_port("emu://firmware-test/board", clock=made.world))
    board.expect_boot()
    made.chip.power_on()
    made.board.power_on()
    assert "power-on" in str(board.wait_for_boot().reset)
    yield board
    board.close()


def test_boot_then_scan_returns_96(board: MongooseBoard) -> None:
    assert board.i2c_scan() == [96]


def test_board_tells_who_it_is(board: MongooseBoard) -> None:
    info = board.sys_get_info()
    assert info.mac.replace(":", "").upper() == "5CCF7FA1B2C3"
    assert info.arch == "esp8266"


def test_element_driver_reaches_the_chip_through_the_boards_i2c_calls(
    board: MongooseBoard, made: Bench
) -> None:
    element = Element(MongooseI2C(board.rpc), 0x60)
    assert element.serial_number() == SERIAL
    assert element.info_revision() == bytes.fromhex("00005000")
    assert element.read_config() == bytes(made.chip.memory.config)


def test_files_and_configuration_go_there_and_back(board: MongooseBoard) -> None:
    data = bytes(range(256)) * 3
    board.fs_put("test.bin", data)
    assert board.fs_get("test.bin") == data
    assert board.config_get("i2c.sda_gpio") == 12
