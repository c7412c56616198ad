"""``hil flash``: what is written, what is refused, what a person and a program are told."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from hil.board.esptool import is_installed

pytestmark = pytest.mark.skipif(not is_installed(), reason="esptool is not installed")

RIG = "emulated-esp8266-atecc508a"
SHIPPED = Path(__file__).parents[2] / "rigs" / "firmware" / "emulated"
PATIENCE_S = 120


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-c", "from hil.cli import main; main()", "flash", *arguments]


def run(tmp_path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*arguments), cwd=tmp_path, env={**os.environ, "HIL_HOME": str(tmp_path / "home")},
        capture_output=True, text=True, timeout=PATIENCE_S, check=False,
    )  # fmt: skip


def test_the_rigs_image_is_written_and_recorded(tmp_path: Path) -> None:
    done = run(tmp_path, RIG, "--json")
    assert (done.returncode, done.stderr) == (0, ""), "no progress where nobody watches"
    result = json.loads(done.stdout)
    assert result["chip"] == {"kind": "esp8266", "mac": "02:e0:7e:00:50:8a", "flash_size": 4 << 20}
    assert (result["offset"], result["size"], result["started"]) == (0, 80, True)
    (journal,) = (tmp_path / "home" / "runs").glob("*/journal.jsonl")
    intent, outcome = [
        row for row in map(json.loads, journal.read_text().splitlines()) if row["kind"] == "flash"
    ]
    written = {"rig": RIG, "emulated": True, "sha256": result["sha256"], "offset": 0, "size": 80}
    assert written.items() <= intent.items()
    assert intent["phase"] == "intent"
    board = {"chip": "esp8266", "mac": "02:e0:7e:00:50:8a", "flash_size": 4 << 20}
    assert {**written, **board, "phase": "done", "read_back": result["sha256"]}.items() <= outcome.items()


def test_an_image_that_does_not_start_is_told(tmp_path: Path) -> None:
    """Written and proven, but nothing that this board's emulation could run."""
    from hil.wire.espimage import Segment, build_image

    image = tmp_path / "other.bin"
    image.write_bytes(build_image("esp8266", [Segment(0x4010_0000, b"machine code")], 0x4010_0004))
    done = run(tmp_path, RIG, str(image))
    assert done.returncode == 15
    assert "read back and equal" in done.stdout
    assert "the image is in flash, but" in done.stderr


@pytest.mark.parametrize(
    ("image", "words"),
    [("mongoose-os-esp32.bin", "no image for an esp8266"), ("README.md", "no image for an esp8266")],
)
def test_a_wrong_image_is_refused(tmp_path: Path, image: str, words: str) -> None:
    done = run(tmp_path, RIG, str(SHIPPED / image))
    assert done.returncode == 12
    assert words in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "arguments", [["no-such-rig"], [RIG, "no-such-file.bin"], [RIG, "--offset", "three"]], ids=" ".join
)
def test_nonsense_is_a_usage_error(tmp_path: Path, arguments: list[str]) -> None:
    done = run(tmp_path, *arguments)
    assert (done.returncode, done.stdout) == (11, "")
    assert "Traceback" not in done.stderr


def test_a_terminal_shows_progress(tmp_path: Path) -> None:
    master, slave = pty.openpty()
    with subprocess.Popen(
        command(RIG), cwd=tmp_path, env={**os.environ, "HIL_HOME": str(tmp_path / "home")},
        stdout=subprocess.DEVNULL, stderr=slave,
    ) as process:  # fmt: skip
        os.close(slave)
        shown = b""
        try:
            while chunk := os.read(master, 1024):
                shown += chunk
        except OSError:  # the terminal's other end is closed: Linux says EIO
            pass
        assert process.wait(PATIENCE_S) == 0
    os.close(master)
    assert b"\rWriting 100%" in shown
    assert b"\rReading 100%" in shown
