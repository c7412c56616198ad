"""A part behind a serial port that this program does not emulate: the guard takes it for physical.

``hil emulate`` serves the rig; the rig file of the bench names its ports like any others.
"""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

from hil import cli
from hil.errors import GuardRefusal
from hil.measure.verdict import Verdict
from hil.oneshot import one_rig
from hil.records.rebuild import load_run
from tests.e2e.test_emulated_board import PATIENCE_S, ROOT, emulate

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

SERIAL = "0123e07e00000508ee"
BENCH = """\
rig: bench
board: {{kind: mongoose-os, mcu: esp8266, port: {board}, mac: 02:e0:7e:00:50:8a}}
power: {{kind: lcus, port: {relay}, minimum_off_ms: 100}}
element:
  part: atecc508a
  address: 96
  serial: {serial}
  revision: "00005000"
  state: blank
  config: mongoose-os-test
  expendable: {expendable}
cloud: {{mode: moto}}
"""
NOT_ALLOWED = (
    "not allowed: irreversible on a physical element; "
    f"needs `expendable: true` and --allow-irreversible {SERIAL}"
)
NOT_PREPARED = "not prepared: the physical element is blank, the test needs "


def bench(folder: Path, *, expendable: bool = False) -> tuple[Path, list[str]]:
    """A rig file, and what ``hil emulate`` is told so that it is true."""
    board, relay, file = folder / "board", folder / "relay", folder / "bench.yaml"
    text = BENCH.format(board=board, relay=relay, serial=SERIAL, expendable=str(expendable).lower())
    file.write_text(text, encoding="utf-8")
    return file, ["--board-pty", str(board), "--relay-pty", str(relay)]


def configuration(file: Path) -> bytes:
    with one_rig(str(file)) as rig:
        rig.need_start()
        assert rig.guard.physical, "the guard must not take this part for an emulated one"
        return rig.element.read_config()


def test_the_lock_suites_run_what_can_be_undone_and_say_what_they_left_out_and_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HIL_HOME", str(tmp_path / "home"))
    file, options = bench(tmp_path)
    with emulate(*options):
        before = configuration(file)
        done = subprocess.run(
            [
                sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-rs", "--rig", str(file),
                "--runs", str(tmp_path / "runs"), "suites/locks", "suites/provisioning",
            ],
            cwd=ROOT, env=os.environ, capture_output=True, text=True, timeout=4 * PATIENCE_S, check=False,
        )  # fmt: skip
        after = configuration(file)
        assert cli.run(["provision", str(file)]) == 0
        shown = capsys.readouterr().out
        assert cli.run(["provision", str(file), "--no-dry-run"]) == GuardRefusal.exit_code
        refused = capsys.readouterr().err
        untouched = configuration(file)
    assert done.returncode == 0, done.stdout + done.stderr
    assert before == after == untouched
    (folder,) = (tmp_path / "runs").iterdir()
    run = load_run(folder)
    passed = {test.title for test in run.tests if test.verdict is Verdict.PASS}
    assert {
        "a dry run touches nothing",
        "without a permit no byte is sent (lock config)",
        "a raw bus write is refused as well",
        "the firmwares own calls are refused (ATCA.LockZone)",
        "a blank element shows its configuration and nothing else",
    } <= passed
    left_out = {test.title: test.reason for test in run.tests if test.verdict is Verdict.SKIPPED}
    assert {test.verdict for test in run.tests} == {Verdict.PASS, Verdict.SKIPPED}
    assert set(left_out.values()) == {
        NOT_ALLOWED,
        NOT_PREPARED + "config-locked",
        NOT_PREPARED + "provisioned",
    }
    assert left_out["the configuration is written and locked with its checksum"] == NOT_ALLOWED
    for reason in set(left_out.values()):
        assert reason in done.stdout
        assert reason in (folder / "report.html").read_text(encoding="utf-8")
    # `hil provision` says beforehand what it would be refused, and is refused.
    assert f"dry run, nothing is sent to element {SERIAL} of bench: ATECC508A" in shown
    assert "EMULATED" not in shown.splitlines()[0]
    for words in (
        "the rig file does not say that the element is expendable",
        f"element {SERIAL} was not named on the command line",
        "the configuration was not approved",
    ):
        assert f"the guard would refuse: {words}" in shown
        assert words in refused
    assert not list((tmp_path / "home").rglob("*.key*")), "keys were made although nothing was allowed"
