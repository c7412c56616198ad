"""The process is killed in the middle of something irreversible; afterwards the truth is found out.

SIGKILL at a named step: no handler, no exception, no ``finally``. The part outlives the process, once in
a state file and once behind a pseudo terminal that the guard takes for a real port. What the ledger and
``hil ledger resolve`` say is compared with the part's own memory, which they do not read.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from hil import rigfile
from hil.cli import cli
from hil.errors import BLOCKED_EXIT
from hil.homes import find_homes
from hil.measure.verdict import Verdict
from hil.rig.policy import inspection_needed, named_config
from tests.e2e.guard_child import ACTS, SAMPLE, STEPS
from tests.e2e.suite_runs import ROOT, run_suites

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

RIG = "bench-kept"
SERIAL = "0123e07e00000508ee"
SHIPPED = ROOT / "rigs" / "emulated-esp8266-atecc508a.yaml"
KNOWN = ("intent-torn", "result-written")
"""Steps after which nothing is open: the act never began, or its result is on the disk."""
IN_CI = ("intent-written", "sent", "before-result")
PATIENCE_S = 300

NEEDS_LOCKED = ("lock-data", "lock-slot", "generate-key", "write-slot")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HIL_HOME", str(tmp_path / "home"))
    return tmp_path


def kept_rig(folder: Path, name: str = RIG) -> Path:
    """A rig whose emulated part is kept in a file between processes."""
    text = SHIPPED.read_text().replace("emulated-esp8266-atecc508a", name)
    path = folder / f"{name}.yaml"
    path.write_text(text.replace("emulation:\n", "emulation:\n  state_file: part.json\n"))
    return path


def child(path: Path, operation: str, step: str, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.e2e.guard_child", str(path), operation, step],
        cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip


def run_child(path: Path, operation: str, step: str, **environment: str) -> tuple[int, str]:
    process = child(path, operation, step, **environment)
    out, _ = process.communicate(timeout=PATIENCE_S)
    return process.returncode, out


def kill_at(path: Path, operation: str, step: str, **environment: str) -> None:
    code, out = run_child(path, operation, step, **environment)
    assert (code, out.splitlines()[-1:]) == (-signal.SIGKILL, [f"killed: {step}"]), out


def hil(*words: str) -> str:
    """A command of ``hil`` in this process."""
    done = CliRunner().invoke(cli, words, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def memory(folder: Path) -> bytes:
    """The part's configuration zone, from its file."""
    return bytes.fromhex(json.loads((folder / "part.json").read_text())["config"])


def ledger_lines(serial: str = SERIAL) -> list[dict[str, object]]:
    path = find_homes().ledgers / f"{serial}.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def prepared(folder: Path, operation: str) -> Path:
    """The rig, its part in the state that the operation needs."""
    path = kept_rig(folder)
    wanted = ["write-config"] if operation == "lock-config" else []
    if operation in NEEDS_LOCKED:
        wanted = ["write-config", "lock-config"]
    if operation == "lock-data":
        wanted.append("write-contents")
    for before in wanted:
        assert run_child(path, before, "none") == (0, "done\n")
    return path


@pytest.fixture(scope="session")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A part whose configuration is written and not locked."""
    folder = tmp_path_factory.mktemp("written")
    code, out = run_child(kept_rig(folder), "write-config", "none", HIL_HOME=str(folder / "home"))
    assert code == 0, out
    return folder / "part.json"


@pytest.mark.parametrize("step", IN_CI)
def test_a_killed_lock_is_found_out(home: Path, written: Path, step: str) -> None:
    """From the intent on the disk to the moment before its result: the read-back says what happened."""
    path = kept_rig(home)
    (home / "part.json").write_bytes(written.read_bytes())
    kill_at(path, "lock-config", step)
    locked = memory(home)[87] != 0x55
    assert locked == (step == "before-result") or step == "sent"
    assert f"{SERIAL}     1 operations  NEEDS INSPECTION" in hil("ledger")
    assert "needs inspection: lock-config on element" in str(inspection_needed(rigfile.load(path)))

    if step == "intent-written":  # nobody goes on before that
        code, out = run_child(path, "lock-config", "none")
        assert code == 1
        assert f"an earlier operation on element {SERIAL} has no known result" in out
        assert memory(home)[87] == 0x55

    said = hil("ledger", "resolve", str(path))
    truth = "is locked, holds what was intended" if locked else "is open: nothing was locked"
    assert f"read back: the configuration zone {truth}" in said
    assert "NEEDS INSPECTION" not in hil("ledger")
    assert inspection_needed(rigfile.load(path)) is None
    if step == "intent-written":
        assert run_child(path, "lock-config", "none") == (0, "done\n")
        assert memory(home)[87] == 0


@pytest.mark.long
@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("operation", ACTS)
def test_every_operation_killed_at_every_step_is_found_out(home: Path, operation: str, step: str) -> None:
    path = prepared(home, operation)
    kill_at(path, operation, step)
    still_open = inspection_needed(rigfile.load(path))
    assert (still_open is None) == (step in KNOWN), still_open
    words = ("ledger", "resolve", str(path), "--yes")
    said = hil(*words)
    assert ("closed" in said) == (step not in KNOWN)
    assert inspection_needed(rigfile.load(path)) is None
    assert hil(*words) == f"element {SERIAL}: every operation has a result\n"
    part = memory(home)
    code, out = run_child(path, operation, "none")  # the ledger stands in nobody's way any more
    assert "no known result" not in out, out
    assert code == 0 or memory(home) == part, "what was done already is refused, and changes nothing"


@pytest.mark.long
@pytest.mark.parametrize("operation", ["generate-key", "write-slot"])
def test_what_reading_back_cannot_prove_is_not_closed_without_being_asked(home: Path, operation: str) -> None:
    path = prepared(home, operation)
    assert run_child(path, operation, "none") == (0, "done\n")  # a slot without any key could be decided
    kill_at(path, operation, "sent")
    runner = CliRunner()
    done = runner.invoke(cli, ["ledger", "resolve", str(path)], input="n\n")
    assert "reading back cannot decide it" in done.output
    assert done.exit_code != 0
    assert inspection_needed(rigfile.load(path)) is not None


def test_irreversible_tests_are_blocked_until_somebody_has_looked(home: Path, written: Path) -> None:
    path = kept_rig(home)
    (home / "part.json").write_bytes(written.read_bytes())
    kill_at(path, "lock-config", "sent")
    part = memory(home)
    code, run = run_suites(home, "suites/locks", "--rig", str(path), "-k", "blank or raw_bus_write")
    found = {test.title: test for test in run.tests}
    assert code == BLOCKED_EXIT, "what is blocked has not failed"
    blocked = [t for t in run.tests if t.verdict is Verdict.BLOCKED]
    assert [t for t in found if "takes nothing but its configuration" in t] == [t.title for t in blocked]
    assert f"{RIG} needs inspection: lock-config on element {SERIAL}" in blocked[0].reason
    assert f"hil ledger resolve {RIG}" in blocked[0].reason
    assert Verdict.PASS in {t.verdict for t in run.tests}, "reversible tests run as ever"
    assert memory(home) == part


def test_a_second_process_is_refused_and_sends_nothing(home: Path, written: Path) -> None:
    """The rig's lock keeps it out; under another rig's name, the element's."""
    path, copy = kept_rig(home), kept_rig(home, "copied-bench")
    (home / "part.json").write_bytes(written.read_bytes())
    first = child(path, "lock-config", "pause")
    try:
        assert first.stdout is not None
        assert select.select([first.stdout], [], [], PATIENCE_S)[0], "the first process never armed"
        assert first.stdout.readline() == "armed\n"
        part, lines = memory(home), ledger_lines()
        code, out = run_child(path, "lock-config", "none")
        assert code != 0
        assert f"{RIG} is in use by process {first.pid}" in out
        code, out = run_child(copy, "lock-config", "none")
        assert code == 1
        assert "no known result" in out or "in the middle of something irreversible" in out
        assert memory(home) == part, "a second process changed the part"
        assert ledger_lines() == lines, "a second process wrote an intent"
        out, _ = first.communicate("", timeout=PATIENCE_S)
    finally:
        first.kill()
        first.communicate()
    assert (first.returncode, out) == (0, "done\n")
    assert memory(home)[87] == 0


# -- a part behind a port that is no emulated one --------------------------------------------------


@pytest.fixture
def pty_rig(home: Path) -> Iterator[Path]:
    """A rig file of a physical bench; what answers on its port is served by another process."""
    process = subprocess.Popen(
        [
            sys.executable, "-c", "from hil.cli import main; main()", "emulate", SHIPPED.stem,
            "--board-pty", str(home / "board"), "--relay-pty", str(home / "relay"),
        ],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        assert select.select([process.stdout], [], [], PATIENCE_S)[0], "nothing was served"
        json.loads(process.stdout.readline())
        path = home / "bench-pty.yaml"
        path.write_text(
            f"""
rig: bench-pty
board: {{kind: mongoose-os, mcu: esp8266, port: {home / "board"}, boot_timeout_ms: 60000}}
power: {{kind: lcus, port: {home / "relay"}, channel: 1, minimum_off_ms: 50}}
element:
  part: atecc508a
  address: 96
  serial: {SERIAL}
  state: blank
  config: {SAMPLE}
  expendable: true
  accepted_findings: ["readable-kek:15"]
"""
        )
        yield path
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize(
    "step", ["sent", *(pytest.param(step, marks=pytest.mark.long) for step in STEPS if step != "sent")]
)
def test_behind_a_real_port_a_killed_write_is_found_out(pty_rig: Path, step: str) -> None:
    """Unlike the process, the part lives on."""
    kill_at(pty_rig, "write-config", step, TEST_SERIALS=SERIAL)
    assert (inspection_needed(rigfile.load(pty_rig)) is None) == (step in KNOWN)
    said = hil("ledger", "resolve", str(pty_rig))
    if step in KNOWN:
        assert "every operation has a result" in said
    else:
        done = step in ("before-result", "result-torn")
        found = "holds what was intended" if done else "differs from what was intended"
        assert f"read back: the configuration zone {found}" in said


@pytest.mark.long
def test_behind_a_real_port_nothing_is_spared(pty_rig: Path) -> None:
    """Not named: refused. Named: done, and what was read back is in the ledger."""
    code, out = run_child(pty_rig, "write-config", "none")
    assert code == 1
    assert f"element {SERIAL} was not named on the command line" in out
    assert ledger_lines() == []
    assert run_child(pty_rig, "write-config", "none", TEST_SERIALS=SERIAL) == (0, "done\n")
    last = ledger_lines()[-1]
    assert last["outcome"] == "done"
    assert bytes.fromhex(str(last["read_back"]))[20:52] == named_config(SAMPLE).to_bytes()[20:52]
    code, out = run_child(pty_rig, "lock-config", "none", TEST_SERIALS=SERIAL)
    assert code == 1
    assert "the configuration was not approved" in out
