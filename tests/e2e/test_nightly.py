"""The nightly plan on many rigs, two processes, and whatever can go wrong on the way."""

from __future__ import annotations

import json
import random
import shutil
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from hil.measure.verdict import Verdict
from hil.records.journal import JOURNAL, PARTS
from hil.records.rebuild import load_run
from hil.records.views import write_views
from tests.e2e.nightrigs import Bench

if TYPE_CHECKING:
    from pathlib import Path

    from hil.records.model import Run, TestRecord

pytest.importorskip("xdist")

HEALTHY = {Verdict.PASS, Verdict.SKIPPED}
AGAIN = ("kill-again", "unplug-again")


def of_rig(run: Run, rig: str) -> list[TestRecord]:
    return [test for test in run.tests if test.rig == rig]


def check_rig(run: Run, rig: str, what: str | None, expected: int) -> None:
    """Every verdict of one rig is the one that its misfortune calls for."""
    tests = of_rig(run, rig)
    verdicts = Counter(test.verdict for test in tests)
    errors = [failure.retried for failure in run.rig_errors if failure.rig == rig]
    retried = [test for test in run.retried if test.rig == rig]
    assert len(tests) == expected, (rig, what)
    if what in (None, "slow"):
        assert set(verdicts) <= HEALTHY, (rig, what, verdicts)
        assert (errors, retried) == ([], [])
    elif what in ("kill", "unplug"):
        assert set(verdicts) <= HEALTHY | {Verdict.WARN}, (rig, what, verdicts)
        (again,) = [test for test in tests if test.verdict is Verdict.WARN]
        assert (again.attempt, again.warnings) == (2, ["passed at attempt 2"])
        assert (errors, [test.test for test in retried]) == ([True], [again.test])
    elif what in AGAIN:
        assert verdicts[Verdict.RIG_ERROR] == 1, (rig, what, verdicts)
        assert set(verdicts) <= HEALTHY | {Verdict.RIG_ERROR, Verdict.BLOCKED}
        assert errors == [True, False]
        blocked = [test for test in tests if test.verdict is Verdict.BLOCKED]
        assert blocked
        assert all(f"{rig} is set aside" in test.reason for test in blocked)
    elif what == "fail":
        assert verdicts[Verdict.FAIL] == 1, (rig, what, verdicts)
        assert (errors, retried) == ([], []), "what failed is not tried again"
    else:
        assert what == "element-broken"
        assert verdicts[Verdict.FAIL] >= 1, (rig, what, verdicts)
        assert (errors, retried) == ([], []), "a broken element is the product's fault"
    assert (rig in run.aside) == (what in AGAIN)


def check_owners(folder: Path, misfortunes: dict[str, dict[str, Any]]) -> None:
    """Each rig was in one process; a second one came only after the first had been killed."""
    events = [json.loads(line) for line in (folder / JOURNAL).read_text(encoding="utf-8").splitlines()]
    assert [event["n"] for event in events] == list(range(len(events)))
    assert not (folder / PARTS).exists()
    owners: dict[str, list[str]] = {}
    for event in events:
        worker = event.get("worker")
        if "rig" in event and worker != "controller":
            row = owners.setdefault(event["rig"], [])
            if not row or row[-1] != worker:
                row.append(worker)
    for rig, row in owners.items():
        what = misfortunes.get(rig, {}).get("what", "")
        assert len(row) == (2 if what.startswith("kill") else 1), (rig, row)


def check_views(folder: Path, tmp_path: Path) -> None:
    """The views made from the journal and its attachments alone are those of the run."""
    alone = tmp_path / "alone" / folder.name
    alone.mkdir(parents=True)
    shutil.copy(folder / JOURNAL, alone)
    shutil.copytree(folder / "attachments", alone / "attachments")
    table = [line for line in write_views(alone) if not line.startswith("report:")]
    again = [line for line in write_views(folder) if not line.startswith("report:")]
    assert table == again
    for name in ("junit.xml", "report.html"):
        assert (alone / name).read_bytes() == (folder / name).read_bytes()


def test_every_verdict_is_right_whatever_happens_to_the_rigs(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "bench", 6)
    happens = (None, "kill", "unplug", "kill-again", "unplug-again", "fail")
    misfortunes: dict[str, dict[str, Any]] = {
        rig: {"what": what, "at": 2 + number}
        for number, (rig, what) in enumerate(zip(bench.names, happens, strict=True))
        if what is not None
    }
    done, run = bench.run("--plan", "nightly", "-n", "2", misfortunes=misfortunes)
    assert done.returncode == 1, done.stdout + done.stderr
    per_rig = len(of_rig(run, bench.names[0]))
    assert per_rig > 10
    for rig in bench.names:
        check_rig(run, rig, misfortunes.get(rig, {}).get("what"), per_rig)
    assert run.verdict is Verdict.FAIL
    check_owners(run.folder, misfortunes)
    for name in ("junit.xml", "report.html"):
        (run.folder / f"{name}.kept").write_bytes((run.folder / name).read_bytes())
    check_views(run.folder, tmp_path)
    for name in ("junit.xml", "report.html"):
        assert (run.folder / name).read_bytes() == (run.folder / f"{name}.kept").read_bytes()
    assert "night-04" in done.stdout
    assert "set aside: night-04" in done.stdout


@pytest.mark.long
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_night_of_24_rigs_runs_to_its_end(tmp_path: Path, seed: int) -> None:
    draw = random.Random(seed)
    bench = Bench(tmp_path / "bench", 24)
    kinds = ["kill", "kill", "kill-again", "unplug", "unplug-again", "slow", "slow", "element-broken", "fail"]
    struck = draw.sample(bench.names, len(kinds))
    misfortunes: dict[str, dict[str, Any]] = {
        rig: {"what": what, "at": draw.randint(1, 10)} for rig, what in zip(struck, kinds, strict=True)
    }
    done, run = bench.run("--plan", "nightly", "-n", "2", misfortunes=misfortunes)
    assert done.returncode == 1, done.stdout + done.stderr
    healthy = next(rig for rig in bench.names if rig not in misfortunes)
    for rig in bench.names:
        check_rig(run, rig, misfortunes.get(rig, {}).get("what"), len(of_rig(run, healthy)))
    check_owners(run.folder, misfortunes)
    check_views(run.folder, tmp_path)


def test_a_rig_that_fails_its_health_gate_is_set_aside_and_the_others_go_on(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "bench", 2)
    broken = "rig: night-00\nboard: {kind: mongoose-os, mcu: esp8266, port: /dev/serial/by-id/nothing-here}\n"
    broken += "element: {part: atecc508a, state: blank}\n"
    (bench.folder / "rigs" / "night-00.yaml").write_text(broken, encoding="utf-8")
    done, run = bench.run("--plan", "nightly", "-n", "2", suites=["wiring"])
    assert done.returncode == 13, done.stdout + done.stderr
    assert "there is no port /dev/serial/by-id/nothing-here" in run.aside["night-00"]
    verdicts = Counter(test.verdict for test in of_rig(run, "night-00"))
    assert verdicts[Verdict.RIG_ERROR] == 1, "a broken rig is one error, not one for each test"
    assert verdicts[Verdict.FAIL] == verdicts[Verdict.PASS] == 0
    assert [f.retried for f in run.rig_errors] == [True, False]
    for rig in bench.names:
        assert {test.verdict for test in of_rig(run, rig)} <= HEALTHY


def test_without_pytest_xdist_the_plan_runs_one_rig_after_the_other(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "bench", 2)
    done, run = bench.run(
        "--plan", "nightly", "-v", "-p", "no:xdist", suites=["wiring"],
        misfortunes={"night-01": {"what": "unplug", "at": 3}},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    check_rig(run, "night-01", "unplug", len(of_rig(run, "night-02")))
    check_rig(run, "night-02", None, len(of_rig(run, "night-01")))
    assert "pytest-xdist is not installed: rigs run one after the other" in done.stdout


def test_reversible_tests_only(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "bench", 1)
    done, run = bench.run("--plan", "nightly", suites=["provisioning"])
    assert done.returncode == 0, done.stdout + done.stderr
    reasons = {test.reason for test in run.tests}
    assert "left out: plan nightly runs reversible tests only" in reasons


def test_a_killed_controller_leaves_a_record_that_says_aborted(tmp_path: Path) -> None:
    """Nobody merged the journals: the run is read from its parts."""
    bench = Bench(tmp_path / "bench", 2)
    (bench.folder / "murder.py").write_text(
        "import os, signal\n"
        "def pytest_runtest_logreport(report):\n"
        "    if not os.environ.get('PYTEST_XDIST_WORKER') and report.when == 'call' and report.passed:\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done, run = bench.run("-p", "murder", "--plan", "nightly", "-n", "2", suites=["wiring"])
    assert done.returncode == -9
    assert (run.folder / PARTS).is_dir()
    assert run.verdict is Verdict.ABORTED
    assert any(test.verdict is Verdict.PASS for test in run.tests)
    assert load_run(run.folder).header["plan"] == "nightly"


def test_the_summary_goes_to_githubs_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = tmp_path / "summary.md"
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(page))
    bench = Bench(tmp_path / "bench", 2)
    bench.run(
        "--plan", "nightly", "-n", "2", suites=["wiring"],
        misfortunes={"night-02": {"what": "unplug-again", "at": 2}},
    )  # fmt: skip
    text = page.read_text(encoding="utf-8")
    assert "## 🔧 rig error: hil nightly run" in text
    assert "| night-01 | EMULATED | ✅ pass |" in text
    assert "### Rigs set aside" in text
    assert "**night-02**" in text
