"""History: what journals say over time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from hil.cli import run as hil
from hil.clock import Calendar
from hil.errors import ConfigError
from hil.measure.measurement import Limit
from hil.measure.verdict import Verdict
from hil.records.history import History
from hil.records.journal import Journal
from tests.unit import record_samples as samples

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TEST = f"HIL-CONN-003 test_connect_time @ {samples.RIG}"


@pytest.fixture
def history(tmp_path: Path) -> Iterator[History]:
    with History(tmp_path / "history.sqlite") as opened:
        yield opened


def night(runs: Path, number: int, verdict: str, value: float = 450.0, *, end: bool = True) -> Path:
    """One run per day with one test and one measurement."""
    folder = runs / f"night-{number:02}"
    folder.mkdir(parents=True)
    with Journal(folder, Calendar(samples.NOON + 86_400 * number)) as journal:
        journal.event(
            "run-start", format=1, run=folder.name, command=[], versions={}, suites={"commit": "abc"}
        )
        samples.open_rigs(journal)
        for attempt in verdict.split("+"):
            journal.event("test-start", test=TEST, suite="connect", rig=samples.RIG, requirements=[])
            samples.measured(journal, TEST, value, Limit(high=1000))
            journal.event("test-end", test=TEST, verdict=attempt, wall_us=1, clock_us=2)
        if end:
            journal.end(exit_status=0)
    return folder


def test_runs_are_listed_newest_first(history: History, tmp_path: Path) -> None:
    for number, verdict in enumerate(("pass", "fail", "pass")):
        night(tmp_path / "runs", number, verdict)
    assert history.take_all(tmp_path / "runs") == []
    rows = history.runs()
    assert [(row.run, row.verdict, row.kind, row.commit) for row in rows] == [
        ("night-02", Verdict.PASS, "emulated", "abc"),
        ("night-01", Verdict.FAIL, "emulated", "abc"),
        ("night-00", Verdict.PASS, "emulated", "abc"),
    ]
    assert [row.run for row in history.runs(limit=1)] == ["night-02"]
    assert history.runs(rig="another") == []


def test_importing_again_changes_nothing(history: History, tmp_path: Path) -> None:
    folder = night(tmp_path / "runs", 0, "pass")
    history.take(folder)
    before = (history.runs(), history.trend("connect time", samples.RIG))
    history.take(folder)
    history.take_all(tmp_path / "runs")
    assert (history.runs(), history.trend("connect time", samples.RIG)) == before


def test_a_run_that_was_going_on_is_imported_again_when_it_ended(history: History, tmp_path: Path) -> None:
    folder = night(tmp_path / "runs", 0, "pass", end=False)
    history.take_all(tmp_path / "runs")
    assert history.runs()[0].verdict is Verdict.ABORTED
    with (folder / "journal.jsonl").open("a") as file:
        file.write('{"n":99,"at":1,"kind":"run-end","verdict":"pass","exit_status":0}\n')
    history.take_all(tmp_path / "runs")
    assert history.runs()[0].verdict is Verdict.PASS


def test_a_damaged_journal_hides_no_other(history: History, tmp_path: Path) -> None:
    night(tmp_path / "runs", 0, "pass")
    (tmp_path / "runs" / "broken").mkdir()
    (tmp_path / "runs" / "broken" / "journal.jsonl").write_text("no journal\n")
    (problem,) = history.take_all(tmp_path / "runs")
    assert "broken/journal.jsonl:1: damaged" in problem
    assert [row.run for row in history.runs()] == ["night-00"]


def test_a_trend_is_in_order_and_says_where_values_come_from(history: History, tmp_path: Path) -> None:
    for number in (2, 0, 1):
        history.take(night(tmp_path / "runs", number, "pass", 450.0 + number))
    points = history.trend("connect time", samples.RIG)
    assert [point.value for point in points] == [450, 451, 452]
    assert {(point.unit, point.provenance, point.limit["high"]) for point in points} == {
        ("ms", "predicted", 1000)
    }
    assert history.measurements() == [("connect time", samples.RIG, 3)]
    assert history.trend("connect time", "another") == []


@pytest.mark.parametrize(
    ("verdicts", "first"),
    [
        (["pass", "fail", "fail"], "night-01"),
        (["fail", "pass", "fail"], "night-02"),
        (["fail", "pass"], None),
        (["pass", "fail", "rig error", "blocked", "fail"], "night-01"),
        (["rig error", "skipped"], None),
        (["fail", "pass with warnings"], None),
    ],
)
def test_the_first_bad_run_is_the_one_since_the_last_pass(
    history: History, tmp_path: Path, verdicts: list[str], first: str | None
) -> None:
    for number, verdict in enumerate(verdicts):
        history.take(night(tmp_path / "runs", number, verdict))
    assert history.first_bad(TEST) == first


def test_a_pass_on_the_second_attempt_is_flaky(history: History, tmp_path: Path) -> None:
    for number, verdict in enumerate(("pass", "fail+pass", "pass")):
        history.take(night(tmp_path / "runs", number, verdict))
    (flaky,) = history.flaky()
    assert (flaky.test, flaky.attempts, flaky.failures, flaky.flips) == (TEST, 4, 1, 2)


def test_a_test_that_always_fails_is_not_flaky(history: History, tmp_path: Path) -> None:
    for number in range(3):
        history.take(night(tmp_path / "runs", number, "fail"))
    assert history.flaky() == []


def test_a_foreign_file_is_one_message(tmp_path: Path) -> None:
    (tmp_path / "no.sqlite").write_text("not a database, but long enough to be looked at as one" * 20)
    with pytest.raises(ConfigError, match="is no history"):
        History(tmp_path / "no.sqlite")


def test_a_newer_file_is_refused(tmp_path: Path) -> None:
    import sqlite3

    db = sqlite3.connect(tmp_path / "new.sqlite")
    db.execute("PRAGMA user_version = 9")
    db.close()
    with pytest.raises(ConfigError, match="is of version 9"):
        History(tmp_path / "new.sqlite")


# -- hil history ----------------------------------------------------------------------------------


@pytest.fixture
def nights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HIL_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    for number in range(12):
        night(tmp_path / "home" / "runs", number, "fail" if number in (3, 11) else "pass", 450.0 + number % 2)
    night(tmp_path / "home" / "runs", 12, "pass", 700.0)


@pytest.mark.usefixtures("nights")
def test_the_command_shows_runs_trends_and_flaky_tests(capsys: pytest.CaptureFixture[str]) -> None:
    def said(*arguments: str) -> list[str]:
        assert hil(["history", *arguments]) == 0
        return capsys.readouterr().out.splitlines()

    assert said("list", "--limit", "2")[0].split()[:2] == ["night-12", "pass"]
    assert said("trend") == [f"connect time  on {samples.RIG}: 13"]
    trend = said("trend", "connect time")
    assert len(trend) == 14
    assert trend[-1].endswith("drifts, first at night-12")
    assert said("flaky") == [f"2 of 13 failed, 4 changes: {TEST}"]
    assert said("first-bad", TEST) == ["good"]
    assert said("list", "--json")[0] == "["


@pytest.mark.usefixtures("nights")
def test_an_unknown_measurement_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert hil(["history", "trend", "conect time"]) == 11
    assert "there is no measurement 'conect time'" in capsys.readouterr().err
