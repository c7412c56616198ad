"""The history as one page, its filters, the health of rigs, and making it again."""

from __future__ import annotations

import json
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from hil.cli import run as hil
from hil.clock import Calendar
from hil.measure.measurement import Limit
from hil.records.history import history_path
from hil.records.journal import Journal
from hil.records.views import write_views
from tests.unit import record_samples as samples

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

TEST = f"HIL-CONN-003 test_connect_time @ {samples.RIG}"


def night(runs: Path, number: int, verdict: str, *, plan: str = "nightly", aside: str = "") -> Path:
    """One run a day: one test, one measurement, and perhaps a rig that was set aside."""
    folder = runs / f"night-{number:02}"
    folder.mkdir(parents=True)
    with Journal(folder, Calendar(samples.NOON + 86_400 * number)) as journal:
        journal.event(
            "run-start", format=1, run=folder.name, command=[], versions={}, plan=plan,
            suites={"commit": "abc"},
        )  # fmt: skip
        samples.open_rigs(journal)
        if aside:
            journal.event("rig-aside", rig=samples.EDUKIT, reason=aside)
        journal.event("test-start", test=TEST, suite="connect", rig=samples.RIG, requirements=[])
        samples.measured(journal, TEST, 450.0 + number, Limit(high=1000))
        journal.event("test-end", test=TEST, verdict=verdict, wall_us=1, clock_us=2)
        journal.end(exit_status=0)
    return folder


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HIL_HOME", str(tmp_path / "home"))
    folder = tmp_path / "home" / "runs"
    for number, verdict in enumerate(("pass", "fail", "pass", "pass", "fail")):
        night(folder, number, verdict, plan="" if number == 0 else "nightly")
    night(folder, 5, "pass", aside="the board <did> not start")
    return folder


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> Sequence[str]:
    assert hil(["history", *arguments]) == 0
    return capsys.readouterr().out.splitlines()


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--plan", "nightly"], [5, 4, 3, 2, 1]),
        (["--plan", "release"], []),
        (["--verdict", "fail"], [4, 1]),
        (["--since", "2025-06-18T16:00:00Z"], [5, 4]),
        (["--plan", "nightly", "--verdict", "pass", "--limit", "1"], [3]),
        (["--rig", samples.RIG, "--verdict", "aborted"], []),
    ],
)
def test_runs_are_filtered(
    runs: Path, capsys: pytest.CaptureFixture[str], options: list[str], expected: list[int]
) -> None:
    rows = json.loads("\n".join(said(capsys, "list", *options, "--json")))
    assert [row["run"] for row in rows] == [f"night-{number:02}" for number in expected]


def test_a_date_that_is_none_is_a_usage_error(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert hil(["history", "list", "--since", "yesterday"]) == 11
    assert "--since 'yesterday' is no date" in capsys.readouterr().err


def test_the_health_of_a_rig_counts_runs_errors_and_the_last_reason(
    runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = said(capsys, "rigs")
    (row,) = [line for line in lines if line.startswith(samples.RIG)]
    assert "4 of 6 runs good, 0 rig errors, set aside 0 times" in row
    at = next(n for n, line in enumerate(lines) if line.startswith(samples.EDUKIT))
    assert "set aside 1 times" in lines[at]
    assert lines[at + 1].strip() == "the board <did> not start"
    rows = json.loads("\n".join(said(capsys, "rigs", "--limit", "2", "--json")))
    assert [row["run"] for row in rows[samples.RIG]] == ["night-04", "night-05"]


def test_rebuilding_forgets_runs_whose_journals_are_gone(
    runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert len(said(capsys, "list")) == 6
    shutil.rmtree(runs / "night-03")
    assert len(said(capsys, "list")) == 6, "the file still knows it"
    assert said(capsys, "rebuild") == [f"5 runs: {history_path(runs)}"]
    assert len(said(capsys, "list")) == 5


def test_the_page_shows_health_trends_failing_tests_and_links_to_reports(
    runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_views(runs / "night-02")
    assert said(capsys, "page") == [str(runs / "history.html")]
    page = (runs / "history.html").read_text(encoding="utf-8")
    for wanted in (
        'href="night-02/report.html"',
        "the board &lt;did&gt; not start",
        "4 of the last 6 runs good",
        '<svg class="trend"',
        "6 values, predicted; no drift",
        f'<td>{TEST}</td><td class="n">2</td><td class="n">6</td><td class="n">4</td>',
        "EMULATED",
    ):
        assert wanted in page, wanted
    assert 'href="night-01/report.html"' not in page, "there is no report to link to"
    assert "<script" not in page
    assert "http" not in page.replace("http://www.w3.org/2000/svg", ""), "it needs no network"
    assert "failing" not in page.split("</nav>")[0], "the last attempt of every test was good"
    night(runs, 6, "fail")
    said(capsys, "page", "--out", str(runs.parent / "elsewhere.html"))
    later = (runs.parent / "elsewhere.html").read_text(encoding="utf-8")
    assert f'<td>{TEST}</td><td class="nowrap">night-06</td>' in later
    assert 'href="runs/night-02/report.html"' in later


def test_a_page_that_cannot_be_written_is_said(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert hil(["history", "page", "--out", str(runs / "nowhere" / "page.html")]) == 11
    assert "page.html cannot be written: No such file" in capsys.readouterr().err


def test_a_project_without_runs_has_a_page_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HIL_HOME", str(tmp_path))
    said(capsys, "page", "--out", str(tmp_path / "page.html"))
    assert "No run with a rig yet." in (tmp_path / "page.html").read_text(encoding="utf-8")


@pytest.mark.skipif(shutil.which("chromium") is None, reason="no chromium here")
def test_a_browser_shows_the_page_without_complaint(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said(capsys, "page")
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--v=0"]
    profile = f"--user-data-dir={tmp_path / 'profile'}"
    command = ["chromium", *options, profile, "--dump-dom", (runs / "history.html").as_uri()]
    shown = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    assert "CONSOLE" not in shown.stderr
    for wanted in ('<section id="rigs">', '<svg class="trend"', '<svg class="strip"', '<section id="runs">'):
        assert wanted in shown.stdout
