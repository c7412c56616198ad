"""One run with a test of each verdict, and what each session exits with."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.resources import files
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import pytest

from hil.measure.verdict import Verdict
from hil.records.journal import read_events
from hil.records.rebuild import load_run

if TYPE_CHECKING:
    from pathlib import Path

    from hil.records.model import Run

RIG = "emulated-esp8266-atecc508a"
TESTS = """\
import pytest
from hil.errors import ElementError, PortError
from hil.marks import block
from hil.measure.measurement import Limit

@pytest.mark.req("V-PASS")
def test_pass(rig, measure, step):
    with step("a step"):
        measure.record("held", 1, "ms", Limit(high=10), samples=7)

@pytest.mark.req("V-WARN")
def test_warn(rig, measure):
    measure.record("close", 9, "ms", Limit(high=10, warn_high=8))

@pytest.mark.req("V-FAIL")
def test_fail(rig, element):
    element.info_revision()
    raise ElementError("Sign", 0x0F, "execution error")

@pytest.mark.req("V-LIMIT")
def test_limit(rig, measure):
    measure.record("beyond", 11, "ms", Limit(high=10))

@pytest.mark.req("V-UNSET")
def test_unset(rig, measure):
    measure.declare("promised", "ms", Limit(high=10))

@pytest.mark.req("V-RIG")
def test_rig(rig):
    raise PortError("the port went away", hint="look at the cable")

@pytest.mark.req("V-BLOCKED")
def test_blocked(rig):
    block("the board did not start")

@pytest.mark.req("V-SKIPPED")
@pytest.mark.needs("certificates")
def test_skipped(rig):
    raise AssertionError("never run")

@pytest.mark.req("V-QUARANTINED")
@pytest.mark.quarantine(reason="known", issue="https://example.org/1", until="2099-12-31")
def test_quarantined(rig):
    assert rig is None
"""
VERDICTS = {
    "pass": Verdict.PASS,
    "warn": Verdict.WARN,
    "fail": Verdict.FAIL,
    "limit": Verdict.FAIL,
    "unset": Verdict.FAIL,
    "rig": Verdict.RIG_ERROR,
    "blocked": Verdict.BLOCKED,
    "skipped": Verdict.SKIPPED,
    "quarantined": Verdict.QUARANTINED,
}
EXIT_CODES = {
    # tests of one session: what it exits with; that of every test above is 1
    "pass or rig or blocked": 13,
    "pass or blocked": 20,
}


def session(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--runs=runs", *options]
    environment = {**os.environ, "HIL_HOME": str(folder / "home")}
    return subprocess.run(
        [*command, f"--rig={RIG}", "test_verdicts.py"], cwd=folder, env=environment, capture_output=True,
        text=True, timeout=600, check=False,
    )  # fmt: skip


@pytest.fixture(scope="module")
def every(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The run with a test of each verdict but aborted, which a run must be killed for."""
    folder = tmp_path_factory.mktemp("verdicts")
    (folder / "test_verdicts.py").write_text(TESTS)
    done = session(folder)
    assert done.returncode == 1, done.stdout + done.stderr
    (run,) = (folder / "runs").iterdir()
    return load_run(run)


def test_every_test_has_its_verdict(every: Run) -> None:
    assert {test.title: test.verdict for test in every.tests} == VERDICTS
    assert every.verdict is Verdict.FAIL
    assert every.end is not None
    assert every.end["counts"] == {str(verdict): count for verdict, count in every.counts.items()}
    assert set(VERDICTS.values()) == set(Verdict) - {Verdict.ABORTED}, "test_bad_input kills a run for that"


def test_each_says_why(every: Run) -> None:
    tests = {test.title: test for test in every.tests}
    assert tests["warn"].warnings == ["close = 9 ms (limit ≤ 10, warns above 8): pass with warnings"]
    assert tests["unset"].reason == "promised = never set (limit ≤ 10): fail"
    assert tests["limit"].reason == "beyond = 11 ms (limit ≤ 10): fail"
    assert tests["fail"].cause.startswith("Sign was answered with 0x0F: the slot's configuration")
    assert (tests["rig"].reason, tests["rig"].cause) == ("the port went away", "look at the cable")
    assert tests["blocked"].reason == "blocked: the board did not start"
    assert tests["skipped"].reason.startswith(f"not applicable: {RIG} has no certificates")
    assert tests["quarantined"].quarantine == "known (https://example.org/1), tolerated until 2099-12-31"
    assert [figure.samples for figure in tests["pass"].figures] == [7]
    assert [step.title for step in tests["pass"].steps] == ["a step"]


def test_the_record_has_the_rig_before_and_after(every: Run) -> None:
    rig = every.rigs[RIG]
    assert {part.part for part in rig.parts} == {part.part for part in rig.after} == {
        "board", "element", "power", "cloud",
    }  # fmt: skip
    assert not any(part.physical for part in rig.parts)
    for part in (rig.parts, rig.after):
        element = next(one.identity for one in part if one.part == "element")
        assert {"serial", "revision", "config_digest", "config_locked", "data_locked", "slots_locked"} <= set(
            element
        )
        relay = next(one.identity for one in part if one.part == "power")
        assert relay["cycles"] >= 1


def test_every_event_of_a_real_run_is_in_the_schema(every: Run) -> None:
    text = (files("hil.records") / "journal-v1.schema.json").read_text(encoding="utf-8")
    kinds: dict[str, dict[str, Any]] = {kind["title"]: kind for kind in json.loads(text)["oneOf"]}
    for event in read_events(every.folder):
        kind = kinds[event["kind"]]
        assert set(kind["required"]) <= event.keys(), event["kind"]
        assert event.keys() <= kind["properties"].keys(), event["kind"]


def test_the_views_show_each_in_its_place(every: Run) -> None:
    report = (every.folder / "report.html").read_text(encoding="utf-8")
    sections = {part.partition('"')[0]: part for part in report.split('<section id="')[1:]}
    assert next(iter(sections)) == "wrong", "what failed comes first"
    assert "Sign was answered with 0x0F" in sections["wrong"]
    assert "wake pulse" in sections["wrong"], "the decoded bus"
    assert "I2C.Write" in sections["wrong"], "the console"
    assert "known (https://example.org/1)" in sections["quarantined"]
    assert "quarantined" not in sections["skipped"].partition("<table>")[2]
    assert "the board did not start" in sections["skipped"]
    tree = ElementTree.parse(every.folder / "junit.xml").getroot()
    assert (tree.get("failures"), tree.get("errors"), tree.get("skipped")) == ("3", "1", "3")
    assert not (every.folder / "requirements.csv").exists(), "that belongs to a release"


@pytest.mark.parametrize("chosen", EXIT_CODES)
def test_what_a_session_exits_with(chosen: str, tmp_path: Path) -> None:
    (tmp_path / "test_verdicts.py").write_text(TESTS)
    done = session(tmp_path, "--no-report", "-k", chosen)
    assert done.returncode == EXIT_CODES[chosen], done.stdout + done.stderr
