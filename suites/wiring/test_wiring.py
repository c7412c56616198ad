from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from hil.diagnosis import diagnose_wiring

if TYPE_CHECKING:
    from hil.board.mongoose import MongooseBoard
    from hil.element.device import Element
    from hil.rig import Rig


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
