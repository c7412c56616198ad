from __future__ import annotations

from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import pytest

from hil.bringup.diagnosis import diagnose_speed, diagnose_wiring
from hil.errors import DeviceError, RpcError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hil.board.mongoose import MongooseBoard
    from hil.element.device import Element
    from hil.rig.rig import Rig


NOBODY_THERE = 404
"""What a call of ATCA.* is answered with when the firmware did not find the element at its start."""


@contextmanager
def bus_at(rig: Rig, hz: int) -> Iterator[MongooseBoard]:
    """The firmware's bus at another speed."""
    before = rig.booted_board().config_get("i2c.freq")
    rig.configure({"i2c": {"freq": hz}})
    try:
        yield rig.booted_board()
    finally:
        rig.configure({"i2c": {"freq": before}})


@pytest.mark.req("HIL-WIRE-001")
@pytest.mark.needs("i2c", "rpc")
def test_only_the_element_answers_on_the_bus(board: MongooseBoard, rig: Rig) -> None:
    """``I2C.Scan`` → ``[96]``; when nobody answers, the diagnosis says which wire to look at."""
    found = board.i2c_scan()
    assert found == [rig.file.element.address], diagnose_wiring(board, rig.file, found)


@pytest.mark.req("HIL-WIRE-002")
@pytest.mark.needs("config", "wiring")
@pytest.mark.parametrize("signal", ["sda", "scl"])
def test_the_firmware_drives_the_pins_of_the_wiring_table(
    board: MongooseBoard, rig: Rig, signal: str
) -> None:
    wiring = rig.file.wiring
    assert wiring is not None
    wire = getattr(wiring, signal)
    configured = board.config_get(f"i2c.{signal}_gpio")
    assert configured == wire.gpio, (
        f"the firmware drives {signal.upper()} on GPIO{configured}, the {wire.colour or ''} wire is on"
        f" GPIO{wire.gpio} ({wire.board_pin}): set i2c.{signal}_gpio={wire.gpio} or move the wire"
    )


@pytest.mark.req("HIL-WIRE-003")
@pytest.mark.needs("i2c")
def test_the_element_answers_the_wake_token(element: Element) -> None:
    assert element.wake() == bytes.fromhex("04113343")


@pytest.mark.req("HIL-WIRE-004")
@pytest.mark.needs("i2c")
def test_it_is_the_element_that_the_rig_file_names(element: Element, rig: Rig) -> None:
    assert element.serial_number().hex() == rig.file.element.serial
    assert element.info_revision().hex() == rig.file.element.revision


@pytest.mark.req("HIL-WIRE-005")
@pytest.mark.needs("i2c")
def test_the_element_wakes_every_time(element: Element) -> None:
    for _ in range(10):
        element.wake()
        element.sleep()


@pytest.mark.req("HIL-WIRE-006")
@pytest.mark.needs("certificates", "console")
def test_the_console_reaches_the_element_that_the_rig_file_names(rig: Rig) -> None:
    """A board without a bus scan: the provisioning console reads the serial number."""
    info = rig.esp_idf_board().chip_info()
    assert info.serial.hex() == rig.file.element.serial
    assert info.revision is None or info.revision.hex() == rig.file.element.revision


@pytest.mark.req("HIL-WIRE-007")
@pytest.mark.needs("i2c", "config", "atca")
@pytest.mark.parametrize("khz", [100, 400, 1000])
def test_the_bus_carries(rig: Rig, element: Element, khz: int) -> None:
    """The firmware's own driver reads the whole configuration zone at each speed.

    A zone that changes although nobody writes it is not the wires' fault: the locks suite owns that.
    """
    expected = element.read_config()
    with bus_at(rig, khz * 1000) as board:
        try:
            found = board.atca_get_config()
        except RpcError as error:
            if error.code != NOBODY_THERE:
                raise
            found = b""
        assert len(found) == len(expected), diagnose_speed(board, rig.file, khz * 1000)
    changes_by_itself = rig.element.read_config() != expected
    assert found == expected or changes_by_itself, f"at {khz} kHz other bytes arrive than at the usual speed"


@pytest.mark.req("HIL-WIRE-008")
@pytest.mark.needs("i2c", "config")
def test_a_scan_at_400_khz_misses_the_sleeping_element(rig: Rig) -> None:
    """SDA has to be low for 60 us to wake it: the scan's own zeros are that long at 100 kHz only."""
    with bus_at(rig, 400_000) as board:
        found = board.i2c_scan()
    assert rig.file.element.address not in found, (
        "traffic at 400 kHz wakes the element: it will not stay asleep beside other devices"
    )
    assert rig.file.element.address in rig.booted_board().i2c_scan()


@pytest.mark.req("HIL-WIRE-009")
@pytest.mark.needs("i2c", "rpc")
def test_a_restart_in_the_middle_of_a_transfer_leaves_the_bus_free(rig: Rig) -> None:
    """The firmware clocks out whatever a part was saying when the MCU was reset."""
    board = rig.booted_board()
    board.i2c_scan()  # wakes it, so that the long read begins
    board.expect_boot()
    board.rpc.call("Sys.Reboot", {"delay_ms": 250})
    with suppress(DeviceError):  # no answer can come: the restart is in between
        board.i2c_read(rig.file.element.address, 4096)
    rig.boot = board.wait_for_boot()
    found = board.i2c_scan()
    assert found == [rig.file.element.address], diagnose_wiring(board, rig.file, found)


@pytest.mark.req("HIL-WIRE-010")
@pytest.mark.needs("i2c", "rpc", "emulated")
@pytest.mark.parametrize("clocks", [1, 9])
def test_a_part_that_holds_sda_low_lets_go_at_the_next_start(rig: Rig, clocks: int) -> None:
    """No bench can be told to hold the line: here a part was interrupted within a byte."""
    board = rig.booted_board()
    assert rig.emulated is not None
    rig.emulated.lines.stuck_clocks = clocks
    assert board.i2c_scan() != [rig.file.element.address], "the held line was not seen"
    rig.boot = board.reboot()
    found = board.i2c_scan()
    assert found == [rig.file.element.address], diagnose_wiring(board, rig.file, found)
