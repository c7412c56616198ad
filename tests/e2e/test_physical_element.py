"""A part behind a serial port that this program does not emulate: the guard takes it for physical.

``hil emulate`` serves the rig; the rig file of the bench names its ports like any others.
"""

from __future__ import annotations

import io
import os
import socket
import ssl
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from hil import cli
from hil.errors import GuardRefusal
from hil.measure.verdict import Verdict
from hil.records.rebuild import load_run
from hil.rig.oneshot import one_rig
from tests.e2e.test_emulated_board import PATIENCE_S, ROOT, emulate

if TYPE_CHECKING:
    from pathlib import Path

SERIAL = "0123e07e00000508ee"
BENCH = """\
rig: bench
board: {{kind: mongoose-os, mcu: esp8266, port: {board}, mac: 02:e0:7e:00:50:8a}}
power: {{kind: lcus, port: {relay}, minimum_off_ms: 100, safe_state: {safe}}}
element:
  part: atecc508a
  address: 96
  serial: {serial}
  revision: "00005000"
  state: blank
  config: mongoose-os-test
  expendable: {expendable}
  accepted_findings: ["readable-kek:15"]
wifi: {{ssid: workshop, password: {{env: WIFI_PASSWORD}}}}
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
    safe = "on" if expendable else "off"  # what was provisioned goes on running
    flag = str(expendable).lower()
    text = BENCH.format(board=board, relay=relay, serial=SERIAL, expendable=flag, safe=safe)
    file.write_text(text, encoding="utf-8")
    return file, ["--board-pty", str(board), "--relay-pty", str(relay)]


def configuration(file: Path) -> bytes:
    with one_rig(str(file)) as rig:
        rig.need_start()
        assert rig.guard.physical, "the guard must not take this part for an emulated one"
        return rig.element.read_config()


def suites(folder: Path, file: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run suites on the bench, in a process of their own."""
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-rs", "--rig", str(file)]
    return subprocess.run(
        [*command, "--runs", str(folder / "runs"), *arguments],
        cwd=ROOT, env=os.environ, capture_output=True, text=True, timeout=15 * PATIENCE_S, check=False,
    )  # fmt: skip


def test_the_lock_suites_run_what_can_be_undone_and_say_what_they_left_out_and_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HIL_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("WIFI_PASSWORD", "a test password")
    file, options = bench(tmp_path)
    with emulate(*options):
        before = configuration(file)
        done = suites(tmp_path, file, "suites/locks", "suites/provisioning")
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


@pytest.mark.long
def test_an_expendable_part_is_provisioned_once_and_serves_https(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As docs/howto/provision-a-board.md has it; the client is Python's own, on a real socket."""
    home = tmp_path / "home"
    monkeypatch.setenv("HIL_HOME", str(home))
    monkeypatch.setenv("WIFI_PASSWORD", "a test password")
    file, options = bench(tmp_path, expendable=True)
    approve(monkeypatch)
    go = ["provision", str(file), "--no-dry-run", "--allow-irreversible", SERIAL]
    with emulate(*options, "--board-port", "443") as served:
        assert cli.run(go) == 0
        first = capsys.readouterr().out
        assert cli.run(go) == 0
        second = capsys.readouterr().out
        certificate = home / "provisioned" / SERIAL / "ecc.crt.pem"
        context = ssl.create_default_context(cafile=str(certificate))
        context.set_alpn_protocols(["h2", "http/1.1"])
        front = served.addresses["board_ports"]["443"]
        address = (front["host"], front["port"])
        with (
            socket.create_connection(address, timeout=PATIENCE_S) as raw,
            context.wrap_socket(raw, server_hostname="test.acme.com") as tls,
        ):
            shown = tls.getpeercert(binary_form=True)
        assert served.process.poll() is None
    assert (
        f"element {SERIAL} of bench: ATECC508A revision 00005000, configuration locked, data locked; "
        in first
    )
    assert "nothing was changed: everything is as the plan wants it already" in second
    assert ": done" not in second
    assert shown == ssl.PEM_cert_to_DER_cert(certificate.read_text(encoding="utf-8"))


@pytest.mark.long
def test_the_lock_suite_uses_up_an_expendable_part_that_was_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One part serves the tests of every state, in the order of its life."""
    monkeypatch.setenv("HIL_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("WIFI_PASSWORD", "a test password")
    file, options = bench(tmp_path, expendable=True)
    approve(monkeypatch)
    with emulate(*options):
        done = suites(tmp_path, file, "suites/locks", "--allow-irreversible", SERIAL)
    assert done.returncode == 0, done.stdout + done.stderr
    (folder,) = (tmp_path / "runs").iterdir()
    run = load_run(folder)
    assert {test.verdict for test in run.tests} == {Verdict.PASS, Verdict.SKIPPED}
    passed = {test.title for test in run.tests if test.verdict is Verdict.PASS}
    assert {
        "a blank element takes nothing but its configuration",
        "the configuration is written and locked with its checksum",
        "between the locks every forbidden write is refused",
        "the data zone is locked with the checksum of its content only",
        "behind both locks every forbidden write is refused",
        "locks persist over sleep idle watchdog and power cycles",
    } <= passed
    left_out = {test.reason for test in run.tests if test.verdict is Verdict.SKIPPED}
    known = ("not prepared: the physical element is ", "not applicable: the element holds this configuration")
    assert all(reason.startswith(known) for reason in left_out), left_out


def approve(monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody reviews the configuration."""
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    assert cli.run(["config", "approve", "mongoose-os-test", "--part", "atecc508a"]) == 0
