"""Bad input and rough endings: one clear message, the documented exit code, relay off, journal readable."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from hil.measure.verdict import Verdict
from hil.records.rebuild import load_run

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
SHIPPED = (ROOT / "rigs" / "emulated-esp8266-atecc508a.yaml").read_text(encoding="utf-8")
PHYSICAL = """\
rig: bench
board: {{kind: mongoose-os, mcu: esp8266, port: {port}}}
element: {{part: atecc508a, state: blank}}
"""


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    return {**os.environ, "HIL_HOME": str(tmp_path / "home")}


def suites(tmp_path: Path, environment: dict[str, str], *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "--no-report", "--runs", str(tmp_path / "runs"), *options],
        cwd=ROOT, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip


def write(tmp_path: Path, text: str, name: str = "bench") -> str:
    path = tmp_path / f"{name}.yaml"
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_a_misspelt_key_is_one_message_before_collection(tmp_path: Path, environment: dict[str, str]) -> None:
    file = write(tmp_path, SHIPPED.replace("  channel: 1", "  chanel: 1"), "emulated-esp8266-atecc508a")
    done = suites(tmp_path, environment, f"--rig={file}")
    assert done.returncode == 12
    said = done.stdout + done.stderr
    assert re.search(r"emulated-esp8266-atecc508a\.yaml:\d+:\d+: unknown key 'chanel'", said)
    assert "did you mean 'channel'?" in said
    assert "Traceback" not in said
    assert not (tmp_path / "runs").exists()


def test_an_unknown_rig_is_one_message(tmp_path: Path, environment: dict[str, str]) -> None:
    done = suites(tmp_path, environment, "--rig", "emulated-esp8266-atecc508")
    assert done.returncode in (11, 12)
    assert "emulated-esp8266-atecc508a" in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr


def test_an_unknown_fault_is_one_message(tmp_path: Path, environment: dict[str, str]) -> None:
    done = suites(tmp_path, environment, "--fault", "sda-scl-swaped")
    assert done.returncode == 11
    assert "did you mean 'sda-scl-swapped'?" in done.stdout + done.stderr


def test_an_absent_port_is_a_rig_error_not_a_failure(tmp_path: Path, environment: dict[str, str]) -> None:
    file = write(tmp_path, PHYSICAL.format(port="/dev/serial/by-id/nothing-here"))
    done = suites(tmp_path, environment, "--rig", file, "suites/wiring")
    assert done.returncode == 13
    assert "/dev/serial/by-id/nothing-here" in done.stdout
    run = load_run(next((tmp_path / "runs").iterdir()))
    assert run.verdict is Verdict.RIG_ERROR
    assert not any(test.verdict is Verdict.FAIL for test in run.tests)


@pytest.fixture
def held_rig(tmp_path: Path, environment: dict[str, str]) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """A physical rig that another process holds until its standard input closes."""
    file = write(tmp_path, PHYSICAL.format(port="/dev/null-no-such"))
    holder = subprocess.Popen(
        [sys.executable, "-c",
         "import sys, pathlib; from hil.rigfile import load; from hil.rig.lock import RigLock\n"
         "with RigLock(load(pathlib.Path(sys.argv[1]))): print('held', flush=True); sys.stdin.read()", file],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment,
    )  # fmt: skip
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    yield file, holder
    holder.communicate()


def test_a_second_process_on_the_same_rig_is_told_who_holds_it(
    tmp_path: Path, environment: dict[str, str], held_rig: tuple[str, subprocess.Popen[str]]
) -> None:
    file, holder = held_rig
    done = suites(tmp_path, environment, "--rig", file, "suites/wiring")
    assert done.returncode == 14
    assert f"bench is in use by process {holder.pid}" in done.stdout


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 2), (signal.SIGKILL, -signal.SIGKILL)])
def test_an_interrupted_run_leaves_a_readable_record_that_says_aborted(
    tmp_path: Path, environment: dict[str, str], number: signal.Signals, code: int
) -> None:
    """The test that interrupts itself stands for Ctrl-C and for the machine's end."""
    test = tmp_path / "test_stop.py"
    test.write_text(
        "import os, signal\n"
        "def test_first(rig): assert rig.boot is not None\n"
        f"def test_stop(rig): os.kill(os.getpid(), {int(number)})\n"
        "def test_never(rig): raise AssertionError('not reached')\n"
    )
    done = suites(tmp_path, environment, "-p", "no:cacheprovider", "--rootdir", str(tmp_path), str(test))
    assert done.returncode == code
    run = load_run(next((tmp_path / "runs").iterdir()))
    assert run.verdict is Verdict.ABORTED
    assert [t.verdict for t in run.tests if "first" in t.test] == [Verdict.PASS]


def test_ctrl_c_leaves_the_relay_off(tmp_path: Path, environment: dict[str, str]) -> None:
    """Seen on the wire: the last relay command of the session is off."""
    test = tmp_path / "test_stop.py"
    test.write_text(
        "import os, signal\n"
        "from hil.power.lcus import Lcus\n"
        "def test_stop(rig):\n"
        "    off = Lcus.off\n"
        f"    def told(self):\n        off(self); open({str(tmp_path / 'told')!r}, 'a').write('off\\n')\n"
        "    Lcus.off = told\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
    )
    done = suites(tmp_path, environment, "--rootdir", str(tmp_path), str(test))
    assert done.returncode == 2
    assert (tmp_path / "told").read_text() == "off\n"
