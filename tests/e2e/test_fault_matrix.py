"""Each fault fails the suite that owns it, in words to act on; what stands on it is blocked."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from hil.emulator.faults import FAULTS
from hil.measure.verdict import Verdict
from hil.records.rebuild import load_run
from hil.suitegraph import SUITES, blockers

if TYPE_CHECKING:
    from hil.records.model import Run

ROOT = Path(__file__).parents[2]
WORDS = {
    "sda-scl-swapped": ["SDA and SCL are swapped", "XPRO 11 (yellow)", "XPRO 12 (white)"],
    "element-unpowered": ["no power at the element or a broken line", "VCC 3V3–XPRO 20 (red)"],
    "relay-stuck-off": ["the relay was switched on and the board stayed silent", "NO contact"],
    "wrong-key-in-slot": ["slot 0 holds another key than the one that was written"],
    "foreign-signer": ["signature"],
    "broker-refuses": ["no CONNACK", "or the broker refuses"],
}
RIGS = {"foreign-signer": "emulated-edukit-trustgo"}


def run_suites(tmp_path: Path, *options: str) -> tuple[int, Run]:
    """Run the shipped suites in a process of their own."""
    environment = {**os.environ, "HIL_HOME": str(tmp_path / "home")}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "--no-report", "--runs", str(tmp_path / "runs"), *options],
        cwd=ROOT, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    folders = list((tmp_path / "runs").glob("*"))
    assert len(folders) == 1, done.stdout + done.stderr
    return done.returncode, load_run(folders[0])


def verdicts(run: Run) -> dict[str, set[Verdict]]:
    found: dict[str, set[Verdict]] = {}
    for test in run.tests:
        found.setdefault(test.suite, set()).add(test.verdict)
    return found


def test_every_fault_is_in_the_matrix() -> None:
    assert WORDS.keys() == FAULTS.keys()


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_caught_by_the_suite_that_owns_it(fault: str, tmp_path: Path) -> None:
    rig = RIGS.get(fault, "emulated-esp8266-atecc508a")
    code, run = run_suites(tmp_path, "--rig", rig, "--fault", fault)
    assert code == 1
    owner = FAULTS[fault].owner
    for suite, seen in verdicts(run).items():
        if suite == owner:
            assert Verdict.FAIL in seen
        elif owner in blockers(suite):
            assert seen <= {Verdict.BLOCKED, Verdict.SKIPPED}, suite
        else:
            assert seen <= {Verdict.PASS, Verdict.SKIPPED, Verdict.BLOCKED}, suite
    said = " ".join(test.reason for test in run.tests if test.verdict is Verdict.FAIL)
    for words in WORDS[fault]:
        assert words in said
    assert not run.rig_errors


def test_without_a_fault_every_suite_passes_on_every_rig(tmp_path: Path) -> None:
    code, run = run_suites(tmp_path, "--rig", "all")
    assert code == 0
    assert {test.verdict for test in run.tests} <= {Verdict.PASS, Verdict.SKIPPED}
    assert {suite.name for suite in SUITES} <= verdicts(run).keys()
