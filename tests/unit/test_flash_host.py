"""The host side of flashing: how esptool is run, what it is not run for, and what its words mean."""

from __future__ import annotations

import importlib.util
import os
import pty
import subprocess
import sys
import textwrap
import tty
from typing import TYPE_CHECKING, Any

import pytest

from hil import serialport
from hil.board import esptool as esptool_module
from hil.board.esptool import Esptool, installed
from hil.board.flash import Flasher
from hil.board.flash_irreversible import run_esptool
from hil.clock import WallClock, World
from hil.emulator.boards.bootimage import marker_image
from hil.emulator.boards.espboard import EspBoard, Firmware
from hil.emulator.norflash import NorFlash
from hil.emulator.uart import Uart
from hil.errors import (
    BoardIdentityError,
    ConfigError,
    DeviceError,
    GuardRefusal,
    PortError,
    UsageError,
)
from hil.guard.guard import Facts
from hil.guard.operations import Operation
from hil.serialport import open_port
from hil.serialport.loan import lend_physical
from tests.unit.guard_bench import SERIAL, make_guard

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from hil.guard.guard import Guard

MAC = "5c:cf:7f:a1:b2:c3"
IMAGE = marker_image("esp8266", "mongoose-os")

FLASH_ID = f"""
Connected to ESP8266 on /dev/ttyUSB0:
Chip type:          ESP8266EX
MAC:                {MAC}
Detected flash size: 4MB
"""


class Program:
    """Stands in for esptool: notes how it was called, prints what it is told to."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / "esptool.py"
        self.says(FLASH_ID)

    def says(self, text: str, *, code: int = 0, also: str = "") -> None:
        self.path.write_text(
            textwrap.dedent(
                """
                import pathlib, sys
                folder = pathlib.Path({folder!r})
                with (folder / "calls").open("a") as calls:
                    print(*sys.argv[1:], file=calls)
                memory = folder / "memory"
                if "write-flash" in sys.argv:
                    memory.write_bytes(pathlib.Path(sys.argv[-1]).read_bytes())
                if "read-flash" in sys.argv:
                    pathlib.Path(sys.argv[-1]).write_bytes(memory.read_bytes())
                {also}
                print({text!r})
                sys.exit({code})
                """
            ).format(folder=str(self.folder), text=text, code=code, also=also)
        )

    @property
    def command(self) -> list[str]:
        return [sys.executable, str(self.path)]

    @property
    def calls(self) -> list[str]:
        log = self.folder / "calls"
        return log.read_text().splitlines() if log.exists() else []

    def commands(self) -> list[str]:
        known = ("flash-id", "write-flash", "read-flash", "read-mac", "erase-flash")
        return [word for line in self.calls for word in line.split() if word in known]


class FakePort:
    """A physical port that is lent, on a clock that only counts."""

    name = "/dev/ttyUSB0"
    physical = True

    def __init__(self) -> None:
        self.clock = World()
        self.lent = 0
        self.lines: list[tuple[bool, bool]] = []

    def lend(self) -> Any:  # noqa: ANN401  (a context manager of a Loan)
        self.lent += 1
        return lend_physical(self.name)

    def set_lines(self, *, dtr: bool, rts: bool) -> None:
        self.lines.append((dtr, rts))


@pytest.fixture
def program(tmp_path: Path) -> Program:
    return Program(tmp_path)


@pytest.fixture
def port() -> Iterator[FakePort]:
    port = FakePort()
    yield port
    port.clock.close()


def flasher(port: FakePort, program: Program, mac: str | None = MAC, **options: Any) -> Flasher:  # noqa: ANN401
    return Flasher(port, mcu="esp8266", mac=mac, esptool=Esptool(program.command), **options)  # type: ignore[arg-type]


# -- the right board -------------------------------------------------------------------------------


def test_a_write_is_identified_first_and_read_back_last(port: FakePort, program: Program) -> None:
    done = flasher(port, program).write(IMAGE, 0)
    assert program.commands() == ["flash-id", "write-flash", "read-flash"]
    assert (done.chip.kind, done.chip.mac, done.chip.flash_size) == ("esp8266", MAC, 4 << 20)
    assert (done.offset, done.size) == (0, len(IMAGE))
    assert "--flash-mode keep --flash-freq keep --flash-size keep" in program.calls[1]
    assert all("--before default-reset --after no-reset" in call for call in program.calls)
    assert port.lines == [], "a physical board is reset by esptool itself"


def test_another_mac_stops_it_before_anything_is_written(port: FakePort, program: Program) -> None:
    with pytest.raises(BoardIdentityError, match=MAC) as caught:
        flasher(port, program, mac="02:00:00:00:00:01").write(IMAGE, 0)
    assert program.commands() == ["flash-id"]
    assert "02:00:00:00:00:01" in caught.value.message


def test_another_chip_stops_it_too(port: FakePort, program: Program) -> None:
    program.says(FLASH_ID.replace("ESP8266 on", "ESP32-S3 on"))
    with pytest.raises(BoardIdentityError, match="esp32-s3"):
        flasher(port, program).write(IMAGE, 0)
    assert program.commands() == ["flash-id"]


def test_a_rig_without_a_mac_is_never_flashed(port: FakePort, program: Program) -> None:
    worker = flasher(port, program, mac=None)
    acts: tuple[Callable[[], object], ...] = (
        lambda: worker.write(IMAGE, 0),
        lambda: worker.read(0, 16),
        lambda: worker.run(["erase-flash"]),
        worker.identify,
    )
    for act in acts:
        with pytest.raises(BoardIdentityError, match="no MAC"):
            act()
    assert (program.calls, port.lent) == ([], 0)


def test_words_that_nobody_understands_are_no_identity(port: FakePort, program: Program) -> None:
    program.says("Connected to ESP8266 on /dev/ttyUSB0:\nMAC: unreadable")
    with pytest.raises(PortError, match="neither chip nor MAC"):
        flasher(port, program).write(IMAGE, 0)
    assert program.commands() == ["flash-id"]


# -- the right image -------------------------------------------------------------------------------


def test_a_wrong_image_is_refused_before_the_port_is_touched(port: FakePort, program: Program) -> None:
    for image in (b"", b"junk", marker_image("esp32", "mongoose-os"), IMAGE[:-1]):
        with pytest.raises(ConfigError):
            flasher(port, program).write(image, 0)
    assert (program.calls, port.lent) == ([], 0)


@pytest.mark.parametrize(("size", "octets"), [("4MB", 0x40_0000), ("512KB", 0x8_0000)])
def test_an_image_that_does_not_fit_is_refused(
    port: FakePort, program: Program, size: str, octets: int
) -> None:
    program.says(FLASH_ID.replace("4MB", size))
    with pytest.raises(
        ConfigError, match=f"ends at 0x{octets + len(IMAGE):x}, the board's flash at 0x{octets:x}"
    ):
        flasher(port, program).write(IMAGE, octets)
    assert program.commands() == ["flash-id"]
    assert flasher(port, program).identify().flash_size == octets


def test_a_flash_that_reads_back_something_else_is_the_devices_fault(
    port: FakePort, program: Program
) -> None:
    program.says(
        FLASH_ID, also="memory.write_bytes(b'X' + memory.read_bytes()[1:]) if memory.exists() else 0"
    )
    with pytest.raises(DeviceError, match="holds 58 at 0x0, e9 was written"):
        flasher(port, program).write(IMAGE, 0)


# -- how it is run ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "error", "words"),
    [
        (
            "A fatal error occurred: Failed to connect to ESP8266: No serial data received.",
            PortError,
            "No serial",
        ),
        ("MD5 of file does not match data in flash!", DeviceError, "does not match"),
        ("Traceback: something\nKeyError: 'x'", PortError, "KeyError"),
        ("", PortError, "it said nothing"),
    ],
)
def test_a_failure_says_why(
    port: FakePort, program: Program, said: str, error: type[Exception], words: str
) -> None:
    program.says(said, code=2)
    with pytest.raises(error, match=words):
        flasher(port, program).identify()


def test_progress_is_told_as_it_comes(port: FakePort, program: Program) -> None:
    program.says(
        FLASH_ID + "Writing at 0x00001000 ----   12.5% 1/8kB [0s]\rWriting at 0x00008000 ----  100.0% 8/8kB\n"
        "Reading from 0x00000000 ---- 50.0% 1/2\nan unrelated 33%\n"
    )
    told: list[tuple[str, float]] = []
    flasher(port, program, progress=lambda what, done: told.append((what, done))).identify()
    assert told == [("Writing", 0.125), ("Writing", 1.0), ("Reading", 0.5)]


def test_a_program_that_never_ends_is_ended(
    port: FakePort, program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    program.says("", also="import os, time; (folder / 'pid').write_text(str(os.getpid())); time.sleep(600)")
    monkeypatch.setattr(esptool_module, "LIMIT_S", 2.0)
    with pytest.raises(PortError, match="did not end within 2 s"):
        flasher(port, program).identify()
    with pytest.raises(ProcessLookupError):
        os.kill(int((program.folder / "pid").read_text()), 0)


def test_without_esptool_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match="not installed") as caught:
        installed()
    assert caught.value.hint == "pip install 'atecc-hil[flash]'"


def test_esptool_is_never_imported() -> None:
    """It is GPL; a program that is run is not a part of this one."""
    code = (
        "import hil.board.flash, hil.rig.flash, hil.cli.flash, sys; "
        "print([m for m in sys.modules if 'esptool' in m])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['hil.board.esptool']"


# -- what burns ------------------------------------------------------------------------------------

BURNING = [
    ["write-flash", "--encrypt", "0x0", "image.bin"],
    ["write-mem", "0x3ff5a000", "1"],
    ["load-ram", "image.bin"],
    ["no-such-command"],
]


@pytest.mark.parametrize("arguments", BURNING, ids=" ".join)
def test_what_burns_is_refused_before_the_port_is_touched(
    port: FakePort, program: Program, arguments: list[str]
) -> None:
    with pytest.raises(GuardRefusal):
        flasher(port, program).run(arguments)
    assert (program.calls, port.lent) == ([], 0)


def guarded(port: FakePort, program: Program, folder: Path) -> tuple[Guard, Flasher, list[Sequence[str]]]:
    """esptool under its own name, and what the guard was shown."""
    guard, worker = make_guard(folder), flasher(port, program)
    worker.esptool.program[1:] = [str(program.path)]
    shown: list[Sequence[str]] = []

    def look(argv: Sequence[str]) -> None:
        shown.append(argv)
        guard.check_program(argv)

    worker.esptool.before_run = look
    return guard, worker, shown


def test_with_a_permit_it_runs_once(port: FakePort, program: Program, tmp_path: Path) -> None:
    guard, worker, shown = guarded(port, program, tmp_path)
    arguments = ["write-mem", "0x3ff5a000", "1"]
    with pytest.raises(GuardRefusal):
        worker.run(arguments)
    permit = guard.permit(Operation.BOARD_FUSE, Facts(SERIAL))
    run_esptool(worker, arguments, permit)
    assert "write-mem 0x3ff5a000 1" in program.calls[-1]
    assert program.commands() == ["flash-id"], "the board was identified first"
    assert len(shown) == 3
    with pytest.raises(GuardRefusal):
        worker.run(arguments)


def test_a_permit_for_something_else_does_not_do(port: FakePort, program: Program, tmp_path: Path) -> None:
    guard, worker, _ = guarded(port, program, tmp_path)
    permit = guard.permit(Operation.COUNTER, Facts(SERIAL))
    with pytest.raises(GuardRefusal):
        run_esptool(worker, ["write-mem", "0x3ff5a000", "1"], permit)
    assert program.calls == []


def test_a_harmless_command_needs_none(port: FakePort, program: Program, tmp_path: Path) -> None:
    guard, worker, _ = guarded(port, program, tmp_path)
    with pytest.raises(UsageError, match="needs no permit"):
        run_esptool(worker, ["erase-flash"], guard.permit(Operation.BOARD_FUSE, Facts(SERIAL)))


# -- lending a port --------------------------------------------------------------------------------


def test_an_emulated_line_is_lent_on_a_terminal_and_comes_back() -> None:
    """Another process speaks to an echo in virtual time."""
    with World() as world:
        uart = Uart(world, "echo")

        def echo(data: bytes) -> None:
            world.after(3_000_000, lambda: uart.send(data.upper()), "slow echo")

        uart.on_bytes = echo
        serialport.register("test-loan", "board", uart)
        try:
            port = open_port("emu://test-loan/board", clock=world)
            code = (
                "import serial, sys; s = serial.Serial(sys.argv[1], 57600, timeout=30); "
                "s.write(b'hello'); print(s.read(5).decode(), flush=True)"
            )
            with port.lend() as loan:
                assert (loan.name, loan.resets) == ("emu://test-loan/board", False)
                uart.baud = 57_600
                with subprocess.Popen(
                    [sys.executable, "-c", code, loan.path], stdout=subprocess.PIPE
                ) as child:
                    assert child.stdout is not None
                    assert loan.wait(child.stdout.fileno(), 30)
                    assert child.stdout.read() == b"HELLO\n"
                assert uart.host_baud == 57_600
            assert uart.host_baud == 115_200
            uart.baud = 115_200
            port.write(b"again")
            assert port.read(world.now + 5_000_000) == b"AGAIN"
            port.close()
        finally:
            serialport.unregister("test-loan")


def test_a_physical_port_is_closed_while_it_is_lent() -> None:
    master, slave = pty.openpty()
    tty.setraw(slave)
    port = open_port(os.ttyname(slave), clock=WallClock())
    try:
        with port.lend() as loan:
            borrowed = open_port(loan.path, clock=WallClock())  # exclusive: it must be free
            os.write(master, b"to the borrower")
            assert borrowed.read(borrowed.clock.now + 5_000_000).startswith(b"to the")
            borrowed.close()
        os.write(master, b"back")
        assert port.read(port.clock.now + 5_000_000) == b"back"
    finally:
        port.close()
        os.close(master)
        os.close(slave)


def test_a_port_that_cannot_be_taken_back_is_a_port_error() -> None:
    master, slave = pty.openpty()
    port = open_port(os.ttyname(slave), clock=WallClock())
    loan = port.lend()
    loan.__enter__()
    os.close(slave)
    os.close(master)
    with pytest.raises(PortError):
        loan.__exit__(None, None, None)


# -- the whole way, in virtual time ----------------------------------------------------------------


def test_the_loader_is_entered_by_dtr_and_rts_and_left_by_a_reset() -> None:
    with World() as world:
        uart, starts = Uart(world, "board"), list[bool]()
        firmware = Firmware(starts.append, lambda: None, lambda data: None)
        board = EspBoard(
            world, uart, mcu="esp8266", mac=MAC, flash=NorFlash(), firmware={"mongoose-os": firmware}
        )
        board.program(IMAGE)
        board.power_on()
        serialport.register("test-flash", "board", uart)
        try:
            port = open_port("emu://test-flash/board", clock=world)
            worker = Flasher(port, mcu="esp8266", mac=MAC)
            assert worker.identify().flash_size == 4 << 20
            assert starts == [False]
            worker.restart()
            world.run_for(1_000_000)
            assert starts == [False, True]
            assert board.loader is None
            port.close()
        finally:
            serialport.unregister("test-flash")
