"""When a run qualifies a release, and everything that keeps it from doing so."""

from __future__ import annotations

import csv
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from hil.clock import Calendar
from hil.records.journal import Journal
from hil.records.matrix import MATRIX
from hil.records.qualification import SAMPLES, Qualification, judge
from hil.records.rebuild import load_run
from hil.records.report import render_report
from hil.records.views import write_views
from hil.rigfile import load_rig, missing
from hil.session.ending import exit_status
from hil.session.plans import PLANS
from tests.unit import release_samples as samples
from tests.unit.release_samples import BENCH, COMBINATION, EMULATED, IMAGE, OTHER_IMAGE, Bench, emulated

if TYPE_CHECKING:
    from pathlib import Path

BOTH = {"HIL-PWR-001": "pass", "HIL-WIRE-001": "pass"}
WAIVER = {"requirement": "HIL-WIRE-001", "who": "Ada", "why": "no such bench", "until": "2025-06-15"}


def judged(folder: Path, *benches: Bench, **options: Any) -> Qualification:
    return judge(samples.write(folder / "run", *benches, **options))


def test_a_physical_rig_that_shows_everything_qualifies(tmp_path: Path) -> None:
    found = judged(tmp_path)
    assert (found.verdict, found.qualified, found.objections) == ("qualified", True, ())
    assert [row.state for row in found.requirements] == [row.state for row in found.suites] == ["passed"] * 2


def test_a_pass_with_warnings_is_a_pass(tmp_path: Path) -> None:
    assert judged(tmp_path, Bench(results={**BOTH, "HIL-WIRE-001": "pass with warnings"})).qualified


@pytest.mark.parametrize(
    ("bench", "words"),
    [
        (Bench(serial="0123e07e00000508ee"), "serial number 0123e07e00000508ee of an emulated part"),
        (Bench(mac="02:E0:7E:00:50:8A"), "MAC address 02:E0:7E:00:50:8A of an emulated board"),
        (
            Bench(mac="", loader_mac="02:e0:7e:00:50:8a"),
            "written as an emulated one, MAC address 02:e0:7e:00",
        ),
        (Bench(board_port="emu://bench-1/board"), "its board is reached through emu://bench-1/board"),
        (emulated(name=BENCH), "emulated"),
        (Bench(firmware=()), "was not written and read back"),
        (Bench(firmware=(OTHER_IMAGE,)), "was not written and read back"),
        (Bench(firmware=(IMAGE, OTHER_IMAGE)), "other firmware was written into it: cdcd"),
        (Bench(revision="00006002"), "no combination of the release: esp8266, element revision 00006002"),
        (Bench(mcu="esp32"), "no combination of the release: esp32"),
    ],
)
def test_a_rig_that_does_not_count_moves_nothing(tmp_path: Path, bench: Bench, words: str) -> None:
    found = judged(tmp_path, bench)
    assert not found.passed
    assert f"no rig counts for {COMBINATION}" in found.objections
    (share,) = found.shares
    assert words in share.why_not
    assert f"{BENCH} does not count: {share.why_not}" in found.notes
    assert all(row.state == "not covered" for row in found.requirements)
    assert all(len(row.apart) == 1 and not row.tests for row in found.requirements)
    assert "results that do not count: pass on bench-1" in found.requirements[0].why


def test_emulated_results_never_stand_in_for_physical_ones(tmp_path: Path) -> None:
    found = judged(tmp_path, Bench(results={"HIL-PWR-001": "pass", "HIL-WIRE-001": "skipped"}), emulated())
    wiring = found.requirements[1]
    assert (wiring.state, [test.rig for test in wiring.apart]) == ("not covered", [EMULATED])
    assert not found.qualified
    assert any("HIL-WIRE-001: its tests were skipped: not applicable" in one for one in found.objections)
    assert any(one.startswith(f"wiring on {COMBINATION}: its tests were skipped") for one in found.objections)


def test_a_failure_on_an_emulated_rig_beside_it_moves_nothing_either(tmp_path: Path) -> None:
    assert judged(tmp_path, Bench(), emulated(results={**BOTH, "HIL-PWR-001": "fail"})).qualified


@pytest.mark.parametrize("verdict", ["fail", "rig error", "blocked", "quarantined", "aborted"])
def test_one_test_that_is_not_good_spoils_its_requirement(tmp_path: Path, verdict: str) -> None:
    second = Bench(name="bench-2", results={**BOTH, "HIL-WIRE-001": verdict})
    found = judged(tmp_path, Bench(), second)
    assert not found.passed
    assert found.requirements[1].state == "failed"
    assert f"on bench-2: {verdict}" in found.requirements[1].why


def test_a_failure_of_a_test_that_no_requirement_names_counts_too(tmp_path: Path) -> None:
    found = judged(tmp_path, Bench(results={**BOTH, "HIL-PWR-009": "fail"}))
    assert "power on bench-1: it of HIL-PWR-009 failed: it broke" in found.objections


def test_a_waiver_holds_up_to_its_last_day(tmp_path: Path) -> None:
    lacking = Bench(results={"HIL-PWR-001": "pass", "HIL-WIRE-002": "pass"})
    found = judged(tmp_path, lacking, waivers=[WAIVER])
    assert found.qualified
    assert found.requirements[1].state == "waived"
    assert found.requirements[1].why == "waived by Ada until 2025-06-15: no such bench"
    late = judge(samples.write(tmp_path / "late", lacking, waivers=[{**WAIVER, "until": "2025-06-14"}]))
    assert not late.passed
    assert "the waiver of HIL-WIRE-001 by Ada ended on 2025-06-14" in late.notes


def test_nobody_waives_a_failure(tmp_path: Path) -> None:
    found = judged(tmp_path, Bench(results={**BOTH, "HIL-WIRE-001": "fail"}), waivers=[WAIVER])
    assert found.requirements[1].state == "failed"


def test_a_suite_can_be_waived_for_a_board(tmp_path: Path) -> None:
    waiver = {"suite": "wiring", "who": "Ada", "why": "soldered", "until": "2025-12-31"}
    power = Bench(results={"HIL-PWR-001": "pass"})
    options: dict[str, Any] = {"requirements": samples.RELEASE["requirements"][:1]}
    assert not judged(tmp_path, power, **options).passed
    assert judge(
        samples.write(tmp_path / "b", power, waivers=[{**waiver, "board": "nodemcu"}], **options)
    ).qualified
    other = samples.write(tmp_path / "c", power, waivers=[{**waiver, "board": "esp32"}], **options)
    assert not judge(other).passed


def test_tests_that_pass_are_not_enough_for_exit_code_0(tmp_path: Path) -> None:
    lacking = samples.write(
        tmp_path / "lacking", Bench(results={"HIL-PWR-001": "pass", "HIL-WIRE-002": "pass"})
    )
    assert exit_status(0, lacking) == 23
    assert exit_status(0, samples.write(tmp_path / "good")) == 0


def test_every_combination_has_to_be_shown(tmp_path: Path) -> None:
    more = [
        *samples.RELEASE["combinations"],
        {"board": "nodemcu", "part": "atecc608b", "revision": "00006003"},
    ]
    found = judged(tmp_path, combinations=more)
    assert "no rig counts for nodemcu with atecc608b 00006003" in found.objections
    assert any(
        one.startswith("power on nodemcu with atecc608b 00006003: none of its tests")
        for one in found.objections
    )


@pytest.mark.parametrize(
    ("figures", "limit", "words"),
    [
        ((812.0,), {}, ""),
        ((), {}, "it was not measured"),
        ((812.0, 1100.0), {}, "1100 ms is not ≤ 1000 ms"),
        ((812.0,), {"samples": 3}, "samples, 3 are asked for"),
        ((812.0,), {"unit": "s"}, "it was not measured"),
    ],
)
def test_the_limits_of_the_release_hold_on_every_combination(
    tmp_path: Path, figures: tuple[float, ...], limit: dict[str, Any], words: str
) -> None:
    row = {"measurement": "connect time", "unit": "ms", "high": 1000.0, "samples": 1, **limit}
    found = judged(tmp_path, Bench(figures=figures), limits=[row])
    assert found.qualified == (not words)
    assert words in found.limits[0].why


def test_a_sample_is_as_large_as_the_plan_has_it(tmp_path: Path) -> None:
    assert PLANS["qualification"].samples == SAMPLES
    row = {"measurement": "connect time", "unit": "ms", "high": 1000.0, "samples": 100}
    found = judged(tmp_path, Bench(figures=(812.0,), samples=58))
    assert "connect time on bench-1 stands for 58 samples, not for 59" in found.objections
    full = Bench(figures=(812.0,), samples=59)
    assert judge(samples.write(tmp_path / "full", full)).qualified
    two = judge(
        samples.write(tmp_path / "two", full, Bench(name="bench-2", figures=(1.0,), samples=59), limits=[row])
    )
    assert two.qualified, "both rigs of a combination count"


def test_predicted_values_hold_no_limit_of_a_release(tmp_path: Path) -> None:
    limit = {"measurement": "connect time", "unit": "ms", "high": 1000.0}
    run = samples.write(tmp_path / "run", Bench(figures=(812.0,)), limits=[limit])
    for test in run.tests:
        test.figures = [
            type(figure)(
                **{**{n: getattr(figure, n) for n in figure.__struct_fields__}, "provenance": "predicted"}
            )
            for figure in test.figures
        ]
    found = judge(run)
    assert found.limits[0].why == "its values are not measured"
    assert not found.passed


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"end": False}, "the run did not come to its end"),
        ({"header": {"faults": ["sda-open"]}}, "emulated parts were given faults: sda-open"),
        ({"header": {"quarantine": [{}]}}, "a quarantine list was in force"),
    ],
)
def test_what_no_qualification_may_have(tmp_path: Path, options: dict[str, Any], words: str) -> None:
    found = judged(tmp_path, **options)
    assert words in found.objections
    assert not found.passed


def test_a_retry_disqualifies(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    samples.write(folder, end=False)
    again = "HIL-WIRE-001 test_it @ bench-1"
    with Journal(folder, Calendar(samples.NOON), after=100) as journal:
        shared = {"test": again, "rig": BENCH, "suite": "wiring", "requirements": ["HIL-WIRE-001"]}
        journal.event("test-start", title="it", **shared)
        journal.event("test-end", verdict="pass", wall_us=5, **shared)
        journal.end(0)
    found = judge(load_run(folder))
    assert any("attempts were repeated, among them it on bench-1" in one for one in found.objections)


def test_uncommitted_suites_are_told(tmp_path: Path) -> None:
    found = judged(tmp_path, header={"suites": {"commit": "ab", "dirty": True}})
    assert found.qualified
    assert "the suites had uncommitted changes" in found.notes


def test_a_rehearsal_passes_and_qualifies_nothing(tmp_path: Path) -> None:
    found = judged(tmp_path, emulated(), rehearsal=True)
    assert (found.verdict, found.passed, found.qualified) == ("rehearsal passed", True, False)
    physical = judge(samples.write(tmp_path / "physical", Bench(), rehearsal=True))
    assert physical.shares[0].why_not == "a rehearsal counts emulated rigs only"
    assert physical.verdict == "rehearsal failed"


def test_what_only_hardware_can_show_keeps_no_rehearsal_from_passing(tmp_path: Path) -> None:
    reason = f"not applicable: {missing(load_rig('emulated-esp8266-atecc508a'), {'physical'})}"
    bench = emulated(results={**BOTH, "HIL-WIRE-001": f"skipped: {reason}", "HIL-WIRE-002": "pass"})
    found = judged(tmp_path, bench, rehearsal=True)
    assert found.passed
    assert (found.requirements[1].state, found.requirements[1].why) == (
        "left to hardware",
        "only a physical rig can show it",
    )
    other = emulated(name="emulated-2", results={"HIL-WIRE-001": "skipped: it has no relay"})
    assert judge(samples.write(tmp_path / "two", bench, other, rehearsal=True)).passed
    pretended = Bench(results={**BOTH, "HIL-WIRE-001": f"skipped: {reason}"})
    assert not judge(samples.write(tmp_path / "pretended", pretended)).passed, "hardware has to show it"
    lacking = emulated(results={**BOTH, "HIL-WIRE-001": "skipped: not applicable: it has no relay"})
    assert not judge(samples.write(tmp_path / "other", lacking, rehearsal=True)).passed


# -- the views ------------------------------------------------------------------------------------


def table(folder: Path) -> list[list[str]]:
    with (folder / MATRIX).open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


def test_the_matrix_has_a_column_a_rig_and_marks_the_emulated_ones(tmp_path: Path) -> None:
    samples.write(tmp_path / "run", Bench(), emulated())
    head, verdict, *rows = table(tmp_path / "run")
    assert head[-2:] == [f"{BENCH} (physical)", f"{EMULATED} (EMULATED, counts for nothing)"]
    assert verdict[2:6] == ["release", "", "", "qualified"]
    assert [row[2:6] + row[-2:] for row in rows if row[2] == "requirement"] == [
        ["requirement", "HIL-PWR-001", "The relay cuts the power.", "passed", "pass", "pass"],
        ["requirement", "HIL-WIRE-001", "Only the element answers.", "passed", "pass", "pass"],
    ]
    assert {len(row) for row in (head, verdict, *rows)} == {len(head)}


def test_every_line_of_a_rehearsal_says_so(tmp_path: Path) -> None:
    run = samples.write(tmp_path / "run", emulated(), rehearsal=True)
    assert {row[1] for row in table(tmp_path / "run")[1:]} == {"REHEARSAL, qualifies nothing"}
    report = render_report(run)
    assert "<title>REHEARSAL: rehearsal passed" in report
    assert '<body class="rehearsal">' in report
    assert "hil REHEARSAL (qualifies nothing)" in (tmp_path / "run" / "junit.xml").read_text(encoding="utf-8")


def test_no_text_of_a_release_is_a_formula(tmp_path: Path) -> None:
    samples.write(tmp_path / "run", requirements=[{"id": "HIL-PWR-001", "text": "=1+1"}])
    assert [row[4] for row in table(tmp_path / "run") if row[3] == "HIL-PWR-001"] == ["'=1+1"]


def test_the_report_begins_with_what_speaks_against_the_release(tmp_path: Path) -> None:
    report = render_report(samples.write(tmp_path / "run", Bench(results={**BOTH, "HIL-WIRE-001": "fail"})))
    assert "<h1>not qualified</h1>" in report
    assert report.index('<section id="release">') < report.index('<section id="wrong">')
    assert "HIL-WIRE-001: it of HIL-WIRE-001 on bench-1: fail" in report
    assert "Release sensor-2.4.0 on physical rigs: 2 requirements are covered, 0 waived." in render_report(
        samples.write(tmp_path / "good")
    )


def test_the_views_of_a_release_are_made_from_the_journal_alone(tmp_path: Path) -> None:
    samples.write(tmp_path / "run", Bench(), emulated())
    before = {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir()}
    (tmp_path / "alone" / "run").mkdir(parents=True)
    (tmp_path / "alone" / "run" / "journal.jsonl").write_bytes(before["journal.jsonl"])
    write_views(tmp_path / "alone" / "run")
    assert {path.name: path.read_bytes() for path in (tmp_path / "alone" / "run").iterdir()} == before
    assert before.keys() == {"journal.jsonl", "junit.xml", "report.html", MATRIX}


def test_an_older_bench_record_without_parts_never_counts(tmp_path: Path) -> None:
    run = samples.write(tmp_path / "run")
    run.rigs[BENCH] = replace(run.rigs[BENCH], parts=[], after=[])
    assert judge(run).shares[0].why_not == "nothing is known of its parts"
