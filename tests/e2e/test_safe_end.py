"""However a process with a physical rig ends, its relay is left in the declared safe state."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
import tty
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PATIENCE_S = 120
RIG = """\
rig: bench
board: {{kind: mongoose-os, mcu: esp8266, port: {port}, boot_timeout_ms: 100}}
power:
  kind: command
  on_command: "sh -c 'echo on >> told'"
  off_command: "sh -c 'echo off >> told'"
  settle_ms: 0
  minimum_off_ms: 0
  safe_state: {safe}
element: {{part: atecc508a, state: blank}}
"""


@pytest.fixture
def silent() -> Iterator[str]:
    """A port at which nobody answers."""
    master, slave = pty.openpty()
    tty.setraw(slave)
    yield os.ttyname(slave)
    os.close(master)
    os.close(slave)


def run(folder: Path, port: str, body: str, safe: str = "off") -> tuple[int, str]:
    """Exit code of a session whose one test is ``body``, and what the relay was told last."""
    (folder / "bench.yaml").write_text(RIG.format(port=port, safe=safe), encoding="utf-8")
    (folder / "test_it.py").write_text(
        f"import os, signal, sys\ndef test_it(rig):\n    {body}\n", encoding="utf-8"
    )
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--no-report", "--rig", "bench.yaml",
         "test_it.py"],
        cwd=folder, env={**os.environ, "HIL_HOME": str(folder / "home")}, capture_output=True, text=True,
        timeout=PATIENCE_S, check=False,
    )  # fmt: skip
    told = (folder / "told").read_text().split()
    assert "on" in told, done.stdout
    return done.returncode, told[-1]


def test_a_cancelled_job_leaves_the_relay_off(tmp_path: Path, silent: str) -> None:
    assert run(tmp_path, silent, "os.kill(os.getpid(), signal.SIGTERM)") == (2, "off")


@pytest.mark.long
@pytest.mark.parametrize(
    ("body", "code"),
    [
        ("os.kill(os.getpid(), signal.SIGINT)", 2),
        ("[os.kill(os.getpid(), s) for s in (signal.SIGHUP, signal.SIGTERM, signal.SIGHUP)]", 2),
        ("raise MemoryError", 1),
        ("raise SystemExit(3)", 1),
    ],
    ids=["Ctrl-C", "several signals", "any error", "exit"],
)
def test_every_other_end_does_so_too(tmp_path: Path, silent: str, body: str, code: int) -> None:
    assert run(tmp_path, silent, body) == (code, "off")


def test_a_closed_terminal_leaves_it_on_where_that_is_safe(tmp_path: Path, silent: str) -> None:
    body = "rig.power.off(); os.kill(os.getpid(), signal.SIGHUP)"
    assert run(tmp_path, silent, body, safe="on") == (2, "on")
