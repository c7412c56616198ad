"""The verdict table."""

from __future__ import annotations

from pathlib import Path

import pytest

from hil.records.rebuild import load_run
from hil.records.terminal import span, verdict_table
from tests.unit import record_samples as samples


@pytest.fixture
def table(tmp_path: Path) -> list[str]:
    return verdict_table(load_run(samples.mixed(tmp_path)), width=120, report=Path("runs/1/report.html"))


def row(table: list[str], suite: str) -> list[str]:
    line = next(line for line in table if line.startswith(f"{suite} ") and "|" in line)
    return [cell.strip() for cell in line.split("|")]


def test_each_suite_stands_below_its_rig_with_its_tests_and_verdict(table: list[str]) -> None:
    assert row(table, "power")[:3] == ["power", "2", "pass"]
    assert row(table, "wiring")[:3] == ["wiring", "1/2", "fail"]
    assert row(table, "locks")[:3] == ["locks", "0/1", "blocked"]
    assert row(table, "signing")[:3] == ["signing", "0/1", "skipped"]
    headings = [line for line in table if line.endswith("(EMULATED)")]
    assert headings == [f"{samples.RIG} (EMULATED)", f"{samples.EDUKIT} (EMULATED)"]
    rows = [
        table.index(headings[0]),
        *(n for n, line in enumerate(table) if line.startswith(("locks ", "signing "))),
    ]
    assert rows == sorted(rows)


def test_key_figures_say_that_they_are_predicted(table: list[str]) -> None:
    assert row(table, "connect")[3] == "connect time 946.3 ms predicted (≤ 1000)"


def test_columns_stand_below_each_other_for_all_rigs(table: list[str]) -> None:
    rules = {line for line in table if line.startswith("---")}
    assert len(rules) == 1


def test_the_table_fits_into_eighty_columns(tmp_path: Path) -> None:
    lines = verdict_table(load_run(samples.mixed(tmp_path)), width=80)
    assert max(len(line) for line in lines if "|" in line) <= 80


def test_a_failure_is_told_with_reason_and_likely_cause(table: list[str]) -> None:
    start = table.index(f"fail wiring on {samples.RIG}: only the element answers on the bus")
    assert table[start + 1] == "    the scan found [], not [96]"
    assert table[start + 2].startswith("    SDA and SCL are swapped")


def test_what_did_not_apply_is_told_with_its_reason(table: list[str]) -> None:
    assert "skipped 1: the rig has no sign (signing any digest with a key of the element)" in table


def test_many_reasons_are_cut_and_the_most_frequent_come_first(tmp_path: Path) -> None:
    with samples.begin(tmp_path) as journal:
        for number in [*range(9), 5, 5, 7]:
            journal.event("skip", test=f"t{number}", suite="s", reason=f"reason {number}")
        journal.end(exit_status=0)
    said = [line for line in verdict_table(load_run(tmp_path)) if line.startswith("skipped")]
    assert said[:2] == ["skipped 3: reason 5", "skipped 2: reason 7"]
    assert said[-1] == "skipped for 3 further reasons: see the report"


def test_a_rig_error_is_told_with_what_to_do(table: list[str]) -> None:
    start = next(n for n, line in enumerate(table) if line.startswith("rig error emulated-edukit-trustgo"))
    assert table[start + 1] == "    → check the USB cable of the relay"


def test_the_end_names_verdict_slowest_steps_and_report(table: list[str]) -> None:
    assert table[-1] == "report: runs/1/report.html"
    assert table[-2].startswith("verdict: fail (1 skipped, 4 pass, 1 pass with warnings, 1 blocked, 1 fail, ")
    assert table[-3] == "slowest steps: Sign 68 ms, server flight 60.9 ms, ECDH 50.1 ms"


def test_without_colour_there_is_no_escape_sequence(tmp_path: Path) -> None:
    run = load_run(samples.mixed(tmp_path))
    assert "\x1b" not in "".join(verdict_table(run, width=40))
    assert "\x1b[" in "".join(verdict_table(run, colour=True))


def test_square_brackets_and_colons_are_no_markup(tmp_path: Path) -> None:
    with samples.begin(tmp_path) as journal:
        journal.event("test-start", test="t", suite="s", title="a", requirements=[])
        journal.event("test-end", test="t", verdict="fail", reason="[bold]x[/bold] :smile:", wall_us=1)
        journal.end(exit_status=1)
    assert "    [bold]x[/bold] :smile:" in verdict_table(load_run(tmp_path))


def test_a_run_without_tests_says_so(tmp_path: Path) -> None:
    samples.begin(tmp_path).end(exit_status=5)
    assert verdict_table(load_run(tmp_path))[-1].startswith("verdict: skipped (no tests, ")


@pytest.mark.parametrize(
    ("us", "text"),
    [(0, "0 us"), (999, "999 us"), (67_960, "68 ms"), (999_999, "1000 ms"), (1_000_000, "1 s"),
     (119_000_000, "119 s"), (125_000_000, "2 min 5 s"), (7_200_000_000, "2 h 0 min")],
)  # fmt: skip
def test_durations_are_told_in_the_unit_that_people_use(us: int, text: str) -> None:
    assert span(us) == text
