"""``hil doctor``, ``hil discover`` and ``hil safe-state`` as programs."""

from __future__ import annotations

import json
import os
import pty
import select
import subprocess
import sys
import tty
from typing import TYPE_CHECKING

import pytest

from hil.rig.lock import RigLock
from hil.rigfile import load

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PATIENCE_S = 60
OFF, ON = bytes.fromhex("a00100a1"), bytes.fromhex("a00101a2")


def hil(*arguments: str, home: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", "from hil.cli import main; main()", *arguments],
        env={**os.environ, "HIL_HOME": str(home)},
        capture_output=True, text=True, timeout=PATIENCE_S, check=False,
    )  # fmt: skip


@pytest.fixture
def relay() -> Iterator[tuple[int, str]]:
    """A pty where an LCUS relay would be: descriptor of our end, name of the other."""
    ours, theirs = pty.openpty()
    tty.setraw(theirs)
    try:
        yield ours, os.ttyname(theirs)
    finally:
        os.close(ours)
        os.close(theirs)


def bench(folder: Path, port: str, safe: str = "off") -> Path:
    path = folder / "bench.yaml"
    path.write_text(
        "rig: bench\n"
        f"board: {{kind: mongoose-os, mcu: esp8266, port: /dev/none}}\n"
        f"power: {{kind: lcus, port: {port}, safe_state: {safe}, minimum_off_ms: 0}}\n"
        "element: {part: atecc508a, state: blank}\n"
    )
    return path


def received(descriptor: int) -> bytes:
    assert select.select([descriptor], [], [], PATIENCE_S)[0], "the relay was told nothing"
    return os.read(descriptor, 64)


@pytest.mark.parametrize(("safe", "told"), [("off", OFF), ("on", ON)])
def test_safe_state_switches_a_physical_relay(
    tmp_path: Path, relay: tuple[int, str], safe: str, told: bytes
) -> None:
    descriptor, name = relay
    done = hil("safe-state", str(bench(tmp_path, name, safe)), home=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("bench: LCUS relay on ")
    assert done.stdout.rstrip().endswith(f"is {safe}")
    assert received(descriptor) == told


def test_safe_state_needs_neither_the_lock_nor_what_a_run_has_left(
    tmp_path: Path, relay: tuple[int, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    descriptor, name = relay
    path = bench(tmp_path, name)
    monkeypatch.setenv("HIL_HOME", str(tmp_path / "home"))
    with RigLock(load(path)):
        ledgers = tmp_path / "home" / "ledgers"
        ledgers.mkdir(parents=True)
        (ledgers / "0123000000000000ee.jsonl").write_text("damaged\n{}\n")
        done = hil("safe-state", str(path), home=tmp_path / "home")
    assert done.returncode == 0, done.stderr
    assert received(descriptor) == OFF


def test_safe_state_says_when_it_could_not_switch(tmp_path: Path) -> None:
    done = hil("safe-state", str(bench(tmp_path, "/dev/no-relay-here")), home=tmp_path)
    assert done.returncode == 13
    assert "there is no port /dev/no-relay-here" in done.stderr


def test_doctor_prints_step_by_step_and_exits_as_the_broken_one(tmp_path: Path) -> None:
    whole = hil("doctor", "emulated-esp8266-atecc508a", home=tmp_path)
    assert whole.returncode == 0, whole.stdout + whole.stderr
    assert "✗" not in whole.stdout
    broken = hil(
        "doctor", "emulated-esp8266-atecc508a", "--fault", "sda-scl-swapped", "--json", home=tmp_path
    )
    assert broken.returncode == 15
    rows = json.loads(broken.stdout)
    assert (rows[-1]["step"], rows[-1]["verdict"]) == ("scan", "broken")
    assert all(row["verdict"] != "broken" for row in rows[:-1])


def test_doctor_of_a_bench_that_is_not_there_names_the_missing_port(tmp_path: Path) -> None:
    done = hil("doctor", str(bench(tmp_path, "/dev/no-relay-here")), home=tmp_path)
    assert done.returncode == 13
    assert done.stdout.startswith("✗ relay")
    assert "there is no port /dev/no-relay-here" in done.stdout


def test_discover_writes_a_file_that_rigs_check_accepts(tmp_path: Path) -> None:
    path = tmp_path / "bench-5.yaml"
    done = hil("discover", "--write", str(path), home=tmp_path)
    assert done.returncode == 0, done.stderr
    assert hil("rigs", "check", str(path), home=tmp_path).returncode == 0
    assert hil("discover", "--write", str(path), home=tmp_path).returncode == 11
    assert isinstance(json.loads(hil("discover", "--json", home=tmp_path).stdout), list)
