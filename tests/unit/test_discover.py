"""``hil discover``: what ports say of themselves, and the rig file that is made of it."""

from __future__ import annotations

import os
import pty
from typing import TYPE_CHECKING

import pytest
from serial.tools.list_ports_common import ListPortInfo

from hil.board.mongoose import MongooseBoard
from hil.board.rpc import RpcClient
from hil.bringup.discover import Found, ask, discover, rig_text, write_rig
from hil.errors import ConfigError, GuardRefusal, UsageError
from hil.rigfile import load

if TYPE_CHECKING:
    from pathlib import Path


def port(
    device: Path, vid: int | None = None, pid: int | None = None, serial: str | None = None
) -> ListPortInfo:
    info = ListPortInfo(str(device))
    info.description = "n/a"
    info.vid, info.pid, info.serial_number, info.location = vid, pid, serial, "1-2"
    return info


@pytest.fixture
def bench(tmp_path: Path) -> tuple[list[ListPortInfo], Path]:
    """A CP2102 with a number, a CH340 without one, and a port of the mainboard."""
    folder = tmp_path / "serial"
    names = {
        "ttyUSB0": ("usb-Silicon_Labs_CP2102_0001-if00-port0", "pci-usb-0:1:1.0-port0"),
        "ttyUSB1": ("usb-1a86_USB_Serial-if00-port0", "pci-usb-0:2:1.0-port0"),
    }
    for device, (by_id, by_path) in names.items():
        (tmp_path / device).touch()
        for kind, name in (("by-id", by_id), ("by-path", by_path)):
            (folder / kind).mkdir(parents=True, exist_ok=True)
            (folder / kind / name).symlink_to(tmp_path / device)
    ports = [
        port(tmp_path / "ttyUSB1", 0x1A86, 0x7523),
        port(tmp_path / "ttyUSB0", 0x10C4, 0xEA60, "0001"),
        port(tmp_path / "ttyS0"),
    ]
    return ports, folder


def test_ports_are_named_by_what_stays(bench: tuple[list[ListPortInfo], Path]) -> None:
    ports, folder = bench
    other, board, relay = discover(ports, folder=folder)
    assert board.stable == str(folder / "by-id" / "usb-Silicon_Labs_CP2102_0001-if00-port0")
    assert (board.usb, board.role, board.serial) == ("10c4:ea60", "board", "0001")
    assert relay.stable == str(folder / "by-path" / "pci-usb-0:2:1.0-port0"), "a CH340 has no number"
    assert "LCUS" in relay.adapter
    assert (other.stable, other.usb, other.role) == (other.device, "", "")


def test_a_computer_without_ports_has_none(tmp_path: Path) -> None:
    assert discover([], folder=tmp_path) == ()


def test_the_rig_file_is_good_and_names_what_was_found(
    bench: tuple[list[ListPortInfo], Path], tmp_path: Path
) -> None:
    ports, folder = bench
    path = tmp_path / "bench-7.yaml"
    write_rig(path, discover(ports, folder=folder))
    rig = load(path)
    assert (rig.rig, rig.emulated) == ("bench-7", False)
    assert rig.board.port.endswith("usb-Silicon_Labs_CP2102_0001-if00-port0")
    assert (rig.power.kind, rig.power.safe_state) == ("lcus", "off")
    assert rig.power.port.endswith("pci-usb-0:2:1.0-port0")


@pytest.mark.parametrize("addresses", [(), (96,), (53,), (80, 54)])
def test_what_a_board_answered_goes_into_the_file(tmp_path: Path, addresses: tuple[int, ...]) -> None:
    silent = Found("/dev/ttyUSB0", "/dev/ttyUSB0", role="board")
    asked = Found(
        "/dev/ttyUSB1", "/dev/x", role="board", mac="5c:cf:7f:a1:b2:c3", arch="esp32", addresses=addresses
    )
    path = tmp_path / "bench.yaml"
    write_rig(path, [silent, asked])
    rig = load(path)
    assert (rig.board.port, rig.board.mac, rig.board.mcu) == ("/dev/x", "5c:cf:7f:a1:b2:c3", "esp32")
    assert rig.element.address == next((a for a in addresses if a != 80), 96)


def test_a_file_without_any_port_is_good_as_well(tmp_path: Path) -> None:
    path = tmp_path / "bench.yaml"
    write_rig(path, [])
    assert load(path).power.kind == "none"
    assert "yours" in path.read_text()


def test_an_existing_file_is_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "bench.yaml"
    path.write_text("mine")
    with pytest.raises(UsageError, match="exists already"):
        write_rig(path, [])
    assert path.read_text() == "mine"


@pytest.mark.parametrize("name", ["Bench.yaml", "bench", "bench_1.yaml", "-.yaml"])
def test_a_name_that_no_rig_can_have_is_refused_before_anything_is_written(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="no name for a rig file"):
        write_rig(tmp_path / name, [])
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_there_is_an_error_of_ours(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be written"):
        write_rig(tmp_path / "nowhere" / "bench.yaml", [])


def test_what_has_to_be_filled_in_is_marked() -> None:
    text = rig_text("bench", [])
    assert text.count("yours") >= 6


@pytest.mark.parametrize("method", ["ATCA.LockZone", "I2C.Write", "Config.Set", "FS.Put", "Sys.Reboot"])
def test_a_board_that_nobody_named_is_asked_and_nothing_is_done_to_it(
    method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the questions were changed to: before a byte is sent it is refused."""
    monkeypatch.setattr(MongooseBoard, "sys_get_info", lambda board: board.rpc.call(method))
    monkeypatch.setattr(RpcClient, "call", lambda client, method, **_: client.before_send(method, {}))
    master, slave = pty.openpty()
    try:
        with pytest.raises(GuardRefusal, match="is not asked of a board that no rig file names"):
            ask(Found(os.ttyname(slave), stable=os.ttyname(slave)))
    finally:
        os.close(master)
        os.close(slave)
