"""Stock esptool, a program of its own, against the emulated ROM loaders: terminal and network port."""

from __future__ import annotations

import random
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from hil.board.esptool import is_installed
from hil.emulator.boards.bootimage import marker_image
from tests.conformance.esp_bench import FIRMWARE, MAC, BoardThread, board, esptool

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from hil.wire.espimage import EspMcu

pytestmark = pytest.mark.skipif(not is_installed(), reason="esptool is not installed")

MCUS: tuple[EspMcu, ...] = ("esp8266", "esp32")
OFFSET = "0x20000"
CONTENT = random.Random(8266).randbytes(7_000) + b"\xdb\xc0" * 500 + bytes(200)
"""Not a multiple of any block, and with what SLIP escapes."""

NAMES = {"esp8266": "ESP8266EX", "esp32": "ESP32-D0WDQ6-V3 (revision v3.0)"}


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("esptool") / "content.bin"
    path.write_bytes(CONTENT)
    return path


class Session:
    """One board on a terminal, in its loader, and how esptool is called."""

    def __init__(self, thread: BoardThread, *, stub: bool) -> None:
        self.thread = thread
        self.stub = stub

    def run(self, *arguments: str | Path, ok: bool = True) -> str:
        return esptool(self.thread.pty, *arguments, stub=self.stub, reset=False, ok=ok)


@pytest.fixture(scope="module", params=[(mcu, stub) for mcu in MCUS for stub in (False, True)],
                ids=lambda p: f"{p[0]}-{'stub' if p[1] else 'rom'}")  # fmt: skip
def session(request: pytest.FixtureRequest) -> Iterator[Session]:
    mcu, stub = request.param
    with board(mcu, in_loader=True) as thread:
        yield Session(thread, stub=stub)


def test_it_identifies_the_chip(session: Session) -> None:
    said = session.run("flash-id")
    assert f"Chip type:          {NAMES[session.thread.mcu]}" in said
    assert f"MAC:                {MAC}" in said
    assert f"Crystal frequency:  {26 if session.thread.mcu == 'esp8266' else 40}MHz" in said
    assert "Manufacturer: ef\nDevice: 4014\nDetected flash size: 1MB" in said
    assert ("Stub flasher running" in said) is session.stub


def test_it_reads_mac_and_chip_id(session: Session) -> None:
    assert f"MAC:                {MAC}" in session.run("read-mac")
    said = session.run("chip-id")
    assert "Chip ID: 0x00a1b2c3" in said if session.thread.mcu == "esp8266" else MAC in said


def test_it_writes_and_verifies(session: Session, image: Path, tmp_path: Path) -> None:
    said = session.run("write-flash", OFFSET, image)
    assert session.thread.flash.read(int(OFFSET, 0), len(CONTENT)) == CONTENT
    hashed = session.stub or session.thread.mcu == "esp32"  # the ROM of the ESP8266 has no MD5
    assert ("Hash of data verified" in said) is hashed
    said = session.run("verify-flash", OFFSET, image, ok=hashed)
    assert ("Verification successful" if hashed else "does not support function") in said
    wrong = tmp_path / "wrong.bin"
    wrong.write_bytes(CONTENT[:-1] + b"!")
    said = session.run("verify-flash", OFFSET, wrong, ok=False)
    assert ("Verification failed" if hashed else "does not support function") in said


def test_it_reads_back(session: Session, tmp_path: Path) -> None:
    session.thread.flash.write(int(OFFSET, 0), CONTENT)
    path = tmp_path / "back.bin"
    readable = session.stub or session.thread.mcu == "esp32"  # nor has it a read
    session.run("read-flash", OFFSET, str(len(CONTENT)), path, ok=readable)
    if readable:
        assert path.read_bytes() == CONTENT


def test_it_erases(session: Session) -> None:
    flash = session.thread.flash
    flash.write(int(OFFSET, 0), bytes(0x3000))
    by_region = session.stub or session.thread.mcu == "esp32"
    session.run("erase-region", OFFSET, "0x1000", ok=by_region)
    assert flash.read(0x2_0000, 1) == (b"\xff" if by_region else b"\0")
    assert flash.read(0x2_1000, 1) == b"\0"
    session.run("erase-flash", ok=session.stub)
    assert flash.read(0x2_1000, 1) == (b"\xff" if session.stub else b"\0")


def test_a_rate_that_is_changed_is_kept_to(session: Session, image: Path) -> None:
    session.run("--baud", "460800", "write-flash", "0x40000", image)
    assert session.thread.flash.read(0x4_0000, len(CONTENT)) == CONTENT


@pytest.mark.parametrize("revision", range(4))
def test_it_sees_the_revision_of_an_esp32(revision: int) -> None:
    with board("esp32", in_loader=True, revision=revision) as thread:
        assert f"(revision v{revision}.0)" in esptool(thread.pty, "chip-id", reset=False)


def test_another_chip_than_it_was_told_is_refused() -> None:
    with board("esp8266", in_loader=True) as thread:
        said = esptool(thread.pty, "--chip", "esp32", "read-mac", reset=False, ok=False)
        assert "This chip is ESP8266, not ESP32" in said


def test_a_board_that_runs_its_firmware_does_not_answer_on_a_terminal() -> None:
    """Nothing can reset it there, so that esptool has to give up."""
    with board("esp32") as thread:
        said = esptool(thread.pty, "--connect-attempts", "1", "read-mac", ok=False)
        assert "Failed to connect" in said
        assert thread.recorder.starts == [False]


@pytest.mark.parametrize("mcu", MCUS)
def test_it_takes_our_images_for_images(mcu: EspMcu, tmp_path: Path) -> None:
    path = tmp_path / "marker.bin"
    path.write_bytes(marker_image(mcu, FIRMWARE))
    command = [sys.executable, "-m", "esptool", "--chip", mcu, "image-info", str(path)]
    said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    assert "(valid)" in said
    assert "invalid" not in said


def over_the_network(mcu: EspMcu, stub: bool, image: Path) -> None:
    with board(mcu) as thread:
        said = esptool(thread.url, "write-flash", OFFSET, image, stub=stub)
        assert thread.flash.read(int(OFFSET, 0), len(CONTENT)) == CONTENT
        assert "Hard resetting via RTS pin" in said
        assert thread.recorder.starts[0] is False, "by power"
        assert thread.recorder.stops == len(thread.recorder.starts) - 1
    assert thread.recorder.starts[-1] is True, "the firmware runs again, by the reset pin"


@pytest.mark.long
def test_it_resets_into_the_loader_and_out_over_the_network(image: Path) -> None:
    """All four at once: pyserial's rfc2217 client spends most of its time asleep."""
    with ThreadPoolExecutor() as pool:
        runs = [pool.submit(over_the_network, mcu, stub, image) for mcu in MCUS for stub in (False, True)]
        for run in runs:
            run.result()


@pytest.mark.long
@pytest.mark.parametrize("stub", [False, True], ids=["rom", "stub"])
@pytest.mark.parametrize("mcu", MCUS)
def test_a_whole_session_over_the_network(mcu: EspMcu, stub: bool, image: Path, tmp_path: Path) -> None:
    complete = stub or mcu == "esp32"
    with board(mcu) as thread:
        for command in ("chip-id", "read-mac", "flash-id"):
            assert MAC in esptool(thread.url, command, stub=stub)
        esptool(thread.url, "write-flash", OFFSET, image, stub=stub)
        esptool(thread.url, "verify-flash", OFFSET, image, stub=stub, ok=complete)
        back = tmp_path / "back.bin"
        esptool(thread.url, "read-flash", OFFSET, str(len(CONTENT)), back, stub=stub, ok=complete)
        if complete:
            assert back.read_bytes() == CONTENT
        esptool(thread.url, "erase-flash", stub=stub, ok=stub)
        said = esptool(thread.url, "chip-id", stub=stub)
        assert MAC in said, "also when nothing boots"
