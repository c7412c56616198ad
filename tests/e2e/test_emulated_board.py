"""``hil emulate`` as a bench: serial ports that outside programs and a rig file take for a board's."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import serial

from hil.board.esptool import is_installed
from hil.measure.verdict import Verdict
from hil.records.rebuild import load_run

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hil.records.model import Run

ROOT = Path(__file__).parents[2]
SERVED = "emulated-esp8266-atecc508a"
OTHER = "emulated-esp32-atecc608b"
PATIENCE_S = 60
SCAN = b'\n"""{"src":"mos","id":2067129483117,"method":"I2C.Scan"}e98ce17e"""\n'
SCANNED = b'"result":[96]}'
RELAY_ON, RELAY_OFF = bytes.fromhex("a00101a2"), bytes.fromhex("a00100a1")

needs_esptool = pytest.mark.skipif(not is_installed(), reason="esptool is not installed")


@dataclass
class Served:
    """A running ``hil emulate``."""

    process: subprocess.Popen[str]
    addresses: dict[str, Any]


@contextmanager
def emulate(*options: str) -> Iterator[Served]:
    process = subprocess.Popen(
        [sys.executable, "-c", "from hil.cli import main; main()", "emulate", SERVED, *options],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        assert select.select([process.stdout], [], [], PATIENCE_S)[0], "no line of JSON"
        yield Served(process, json.loads(process.stdout.readline()))
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def open_console(url: str) -> serial.Serial:
    handle = serial.serial_for_url(url, do_not_open=True, baudrate=115_200, timeout=PATIENCE_S)
    handle.dtr = handle.rts = False
    handle.open()
    return handle


def answers(terminal: serial.Serial) -> bool:
    """Whether the firmware runs; its log may have passed before the terminal was open."""
    terminal.timeout = 1
    found = False
    for _ in range(PATIENCE_S):
        terminal.write(SCAN)
        found = terminal.read_until(SCANNED).endswith(SCANNED)
        if found:
            break
    terminal.timeout = PATIENCE_S
    return found


def esptool(*arguments: str) -> str:
    command = [sys.executable, "-m", "esptool", "--no-stub", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=2 * PATIENCE_S, check=False)
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.mark.filterwarnings("ignore:set(Name|Daemon):DeprecationWarning")  # pyserial's rfc2217 client
def test_the_client_switches_the_power_and_hears_the_board_on_both_fronts(tmp_path: Path) -> None:
    relay = tmp_path / "relay"
    with emulate("--board-rfc2217", "127.0.0.1:0", "--relay-pty", str(relay)) as served:
        assert served.addresses["relay_pty"] == str(relay)
        with (
            open_console(served.addresses["board_rfc2217"]) as network,
            open_console(served.addresses["board_pty"]) as terminal,
            serial.Serial(str(relay), 9600) as switch,
        ):
            network.timeout = 0.3
            assert network.read(1) == b"", "the power is off until the client switches it on"
            network.timeout = PATIENCE_S
            switch.write(RELAY_ON)
            for console in (network, terminal):
                assert console.read_until(b"Init done").endswith(b"Init done")
            network.write(SCAN)
            assert network.read_until(SCANNED).endswith(SCANNED)
            switch.write(RELAY_OFF)
            switch.flush()
            network.reset_input_buffer()
            switch.write(RELAY_ON)
            assert b"Mongoose OS" in network.read_until(b"Init done")
        served.process.send_signal(signal.SIGTERM)
        assert served.process.wait(PATIENCE_S) == 0
        assert served.process.stderr is not None
        assert served.process.stderr.read() == ""
    assert not relay.is_symlink()


@needs_esptool
@pytest.mark.filterwarnings("ignore:set(Name|Daemon):DeprecationWarning")
def test_stock_esptool_resets_the_served_board_and_its_firmware_runs_on() -> None:
    with emulate("--board-rfc2217", "127.0.0.1:0") as served:
        url = served.addresses["board_rfc2217"]
        with open_console(served.addresses["board_pty"]) as terminal:
            assert answers(terminal)
            assert "02:e0:7e:00:50:8a" in esptool("--port", url, "chip-id")
            assert b"Reset cause: 6 (sys reset)" in terminal.read_until(b"Init done")


@needs_esptool
def test_the_boot_button_makes_a_terminal_serve_esptool() -> None:
    with emulate("--boot-button") as served:
        port = served.addresses["board_pty"]
        said = esptool("--before", "no-reset", "--after", "no-reset", "--port", port, "read-mac")
        assert "02:e0:7e:00:50:8a" in said


@pytest.mark.parametrize(
    "options", [["--board-rfc2217", "nowhere"], ["--board-rfc2217", "127.0.0.1:99999"]], ids=" ".join
)
def test_an_address_that_is_none_is_told(options: list[str]) -> None:
    command = [sys.executable, "-c", "from hil.cli import main; main()", "emulate", SERVED, *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert done.returncode in (11, 13)
    assert done.stderr.startswith("hil: ")
    assert len(done.stderr.splitlines()) <= 2


# -- unplugged in mid-test -------------------------------------------------------------------------

BENCH = """\
rig: bench
board: {{kind: mongoose-os, mcu: esp8266, port: "{board}", mac: 02:e0:7e:00:50:8a}}
power: {{kind: lcus, port: {relay}, minimum_off_ms: 100}}
element: {{part: atecc508a, address: 96, serial: 0123e07e00000508ee, revision: "00005000", state: blank}}
cloud: {{mode: moto}}
"""

TESTS = """\
import os, signal

def test_before(board):
    assert board.i2c_scan() == [96]

def test_unplugged(board, rig):
    if not rig.file.emulated:
        os.kill(int(os.environ["SERVER"]), signal.SIGKILL)
    assert board.i2c_scan() == [96]

def test_after(board):
    assert board.i2c_scan() == [96]
"""


def unplug(tmp_path: Path, front: str) -> tuple[int, Run]:
    """Run the tests on a served rig, whose server is killed within one, and on an emulated rig."""
    board, relay = tmp_path / "board", tmp_path / "relay"
    options = ["--board-pty", str(board), "--relay-pty", str(relay), "--board-rfc2217", "127.0.0.1:0"]
    with emulate(*options) as served:
        (tmp_path / "bench.yaml").write_text(BENCH.format(board=served.addresses[front], relay=relay))
        (tmp_path / "test_unplug.py").write_text(TESTS)
        done = subprocess.run(
            [
                sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--no-report",
                "-c", str(ROOT / "pyproject.toml"), "--rootdir", str(tmp_path), "test_unplug.py",
                "--rig", str(tmp_path / "bench.yaml"), "--rig", OTHER, "--runs", str(tmp_path / "runs"),
            ],
            env={**os.environ, "SERVER": str(served.process.pid), "HIL_HOME": str(tmp_path / "home")},
            cwd=tmp_path, capture_output=True, text=True, timeout=2 * PATIENCE_S, check=False,
        )  # fmt: skip
    folders = list((tmp_path / "runs").glob("*"))
    assert len(folders) == 1, done.stdout + done.stderr
    return done.returncode, load_run(folders[0])


@pytest.mark.parametrize("front", ["board_pty", "board_rfc2217"])
def test_an_unplugged_board_is_a_rig_error_and_the_other_rig_goes_on(front: str, tmp_path: Path) -> None:
    code, run = unplug(tmp_path, front)
    assert code == 13
    seen = {(test.rig, test.title): test for test in run.tests}
    assert {name: test.verdict for (rig, name), test in seen.items() if rig == OTHER} == {
        "before": Verdict.PASS,
        "unplugged": Verdict.PASS,
        "after": Verdict.PASS,
    }
    assert seen["bench", "before"].verdict is Verdict.PASS
    broken = seen["bench", "unplugged"]
    assert broken.verdict is Verdict.RIG_ERROR
    assert "went away" in broken.reason
    assert seen["bench", "after"].verdict in (Verdict.RIG_ERROR, Verdict.BLOCKED)
    assert not any(test.verdict is Verdict.FAIL for test in run.tests)
    assert {error.rig for error in run.rig_errors} == {"bench"}
