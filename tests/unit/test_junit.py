"""The JUnit view."""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hil.measure.verdict import Verdict
from hil.records.junit import junit_tree, write_junit
from hil.records.rebuild import load_run
from tests.unit import record_samples as samples

if TYPE_CHECKING:
    from pathlib import Path
    from xml.etree.ElementTree import Element


def junit(folder: Path) -> Element:
    write_junit(load_run(folder), folder / "junit.xml")
    return ElementTree.parse(folder / "junit.xml").getroot()


def outcome(case: Element) -> str:
    return next((child.tag for child in case if child.tag in ("failure", "error", "skipped")), "passed")


def test_the_counts_are_those_of_the_cases(tmp_path: Path) -> None:
    root = junit(samples.mixed(tmp_path))
    for element in (root, *root.iter("testsuite")):
        cases = [outcome(case) for case in element.iter("testcase")]
        assert element.get("tests") == str(len(cases))
        assert element.get("failures") == str(cases.count("failure"))
        assert element.get("errors") == str(cases.count("error"))
        assert element.get("skipped") == str(cases.count("skipped"))
    assert root.get("failures") == "1"


def test_suites_are_named_with_their_rig_and_say_that_it_is_emulated(tmp_path: Path) -> None:
    root = junit(samples.mixed(tmp_path))
    suites = {suite.get("name"): suite for suite in root.iter("testsuite")}
    wiring = suites[f"wiring [{samples.RIG}]"]
    properties = {p.get("name"): p.get("value") for p in wiring.findall("properties/property")}
    assert properties["rig.kind"] == "emulated"
    assert properties["rig.element"] == (
        "atecc508a (emulated) serial 0123e07e00000508ee, revision 00005000, "
        "config_locked False, data_locked False"
    )


def test_a_failure_carries_reason_cause_and_trace(tmp_path: Path) -> None:
    case = next(c for c in junit(samples.mixed(tmp_path)).iter("testcase") if outcome(c) == "failure")
    failure = case.find("failure")
    assert failure is not None
    assert failure.get("message") == "fail: the scan found [], not [96]"
    assert "SDA and SCL are swapped" in (failure.text or "")
    assert "AssertionError" in (failure.text or "")
    requirements = [
        p.get("value") for p in case.findall("properties/property") if p.get("name") == "requirement"
    ]
    assert requirements == ["HIL-WIRE-001"]


@pytest.mark.parametrize(
    ("verdict", "tag"),
    [
        (Verdict.PASS, "passed"),
        (Verdict.WARN, "passed"),
        (Verdict.FAIL, "failure"),
        (Verdict.RIG_ERROR, "error"),
        (Verdict.ABORTED, "error"),
        (Verdict.BLOCKED, "skipped"),
        (Verdict.QUARANTINED, "skipped"),
        (Verdict.SKIPPED, "skipped"),
    ],
)
def test_each_verdict_has_its_place(tmp_path: Path, verdict: Verdict, tag: str) -> None:
    with samples.begin(tmp_path) as journal:
        samples.passing(journal, "a::test_one", "power", 5, verdict=str(verdict))
        journal.end(exit_status=0)
    cases = [case for case in junit(tmp_path).iter("testcase") if case.get("classname") != "rig"]
    assert [outcome(case) for case in cases] == [tag]


def test_an_aborted_run_is_red_even_if_every_test_passed(tmp_path: Path) -> None:
    with samples.begin(tmp_path) as journal:
        samples.passing(journal, "a::test_one", "power", 5)
    root = junit(tmp_path)
    assert root.get("errors") == "1"
    assert [case.get("name") for case in root.iter("testcase") if outcome(case) == "error"] == ["run"]


def test_a_rig_error_outside_of_a_test_is_red(tmp_path: Path) -> None:
    with samples.begin(tmp_path) as journal:
        journal.event("rig-error", rig="bench-3", error="PortError", message="/dev/ttyUSB0 is absent")
        journal.end(exit_status=13)
    (case,) = junit(tmp_path).iter("testcase")
    error = case.find("error")
    assert error is not None
    assert (case.get("name"), error.get("type"), error.get("message")) == (
        "bench-3", "PortError", "/dev/ttyUSB0 is absent",
    )  # fmt: skip


@given(text=st.text() | st.sampled_from(["\x00\x1b[31m", "\ud800", "]]>", "<&\"'"]))
def test_every_text_yields_well_formed_xml(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    folder = tmp_path_factory.mktemp("junit")
    with samples.begin(folder) as journal:
        journal.event("test-start", test=f"t{text}", suite="s", title=text or "x", requirements=[text])
        journal.event("test-end", test=f"t{text}", verdict="fail", reason=text, trace=text, wall_us=1)
        journal.end(exit_status=1)
    assert len(list(junit(folder).iter("testcase"))) == 1


def test_the_tree_is_the_same_each_time(tmp_path: Path) -> None:
    run = load_run(samples.mixed(tmp_path))
    first, second = (ElementTree.tostring(junit_tree(run).getroot()) for _ in range(2))
    assert first == second
