"""The HTML report: complete, self-contained, and honest about what is emulated."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hil.measure.measurement import Limit, Measured
from hil.records.rebuild import load_run
from hil.records.report import SHOWN_CHARACTERS, render_report
from hil.records.views import write_views
from tests.unit import record_samples as samples

if TYPE_CHECKING:
    from pathlib import Path

VOID = {"meta", "br", "col", "link", "img", "hr", "input"}


class Page(HTMLParser):
    """Checks that elements nest, and collects sections, text and addresses."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self._open: list[tuple[str, str | None]] = []
        self.sections: dict[str, str] = {}
        self.addresses: list[str] = []
        self.tags: list[str] = []
        self.text = ""
        self.feed(html)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.tags.append(tag)
        self.addresses += [value for name in ("src", "href") if (value := given.get(name))]
        if tag not in VOID:
            self._open.append((tag, given.get("id") if tag == "section" else None))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop()[0] == tag

    def handle_data(self, data: str) -> None:
        self.text += data
        for _, section in self._open:
            if section is not None:
                self.sections[section] = self.sections.get(section, "") + data


def page(folder: Path) -> Page:
    return Page(render_report(load_run(folder)))


@pytest.fixture
def mixed(tmp_path: Path) -> Page:
    return page(samples.mixed(tmp_path))


def test_it_needs_nothing_else(mixed: Page) -> None:
    assert not {"script", "link", "img", "iframe", "object"} & set(mixed.tags)
    assert all(address.startswith(("#", "attachments/")) for address in mixed.addresses)
    assert mixed.addresses


def test_every_section_says_that_it_is_emulated(mixed: Page) -> None:
    assert set(mixed.sections) == {
        "wrong", "measurements", "suites", "rigs", "timeline", "requirements", "irreversible",
        "flashed", "skipped", "run",
    }  # fmt: skip
    for name, text in mixed.sections.items():
        assert re.match(r"\s*[A-Z][a-z ]+EMULATED", text), name
        assert "PHYSICAL" not in text, name


def test_a_physical_rig_is_never_called_emulated(tmp_path: Path) -> None:
    with samples.begin(tmp_path) as journal:
        parts = [
            {"part": "element", "kind": "atecc508a", "physical": True, "port": "/dev/ttyUSB0", "identity": {}}
        ]
        journal.event("rig", rig="bench", phase="open", emulated=False, clock="wall", parts=parts)
        samples.passing(journal, "t", "power", 5, rig="bench")
        journal.event("test-start", test="u", suite="connect", rig="bench", requirements=[])
        samples.measured(journal, "u", 812.0, Limit(high=1000), Measured("console timestamps"))
        journal.event("test-end", test="u", verdict="pass", wall_us=812_000, clock_us=812_000)
        journal.end(exit_status=0)
    found = page(tmp_path)
    assert "EMULATED" not in found.text
    assert "PHYSICAL" in found.sections["suites"]
    assert "console timestamps, wall clock" in found.sections["measurements"]


def test_mixed_rigs_are_told_apart_row_by_row(tmp_path: Path) -> None:
    with samples.begin(tmp_path) as journal:
        samples.open_rigs(journal)
        journal.event("rig", rig="bench", phase="open", emulated=False, clock="wall", parts=[])
        samples.passing(journal, "t", "power", 5, rig="bench")
        samples.passing(journal, "u", "power", 5)
        journal.end(exit_status=0)
    suites = page(tmp_path).sections["suites"]
    assert re.search(r"on bench\s*PHYSICAL\s*pass", suites)
    assert re.search(rf"on {samples.RIG}\s*EMULATED\s*pass", suites)


def test_failures_come_first_with_cause_console_and_trace(mixed: Page) -> None:
    assert next(iter(mixed.sections)) == "wrong"
    wrong = mixed.sections["wrong"]
    order = [
        "the scan found [], not [96]",
        "Likely cause.",
        "I2C.Scan",
        "mgos_atca",
        "no acknowledge",
        "AssertionError",
        "Rig error on",
        "locks",
    ]
    positions = [wrong.index(text) for text in order]
    assert positions == sorted(positions)


def test_what_a_console_says_is_text(mixed: Page) -> None:
    assert "<script>alert('console')</script>" in mixed.sections["wrong"]


def test_measurements_stand_against_their_limits(mixed: Page) -> None:
    text = " ".join(mixed.sections["measurements"].split())
    assert (
        "946.3 ms ≤ 1000, warns above 900 predictedatecc508a, esp8266-80mhz, rtt 5 ms, virtual clock" in text
    )


def test_the_wiring_is_drawn_from_the_rig_file(mixed: Page) -> None:
    rigs = mixed.sections["rigs"]
    for text in ("SDA", "yellow", "GPIO12", "D6", "XPRO 11", "pin 5", "SCL", "white", "XPRO 20", "RELAY"):
        assert text in rigs


def test_what_the_run_changed_is_listed(mixed: Page) -> None:
    assert re.search(r"element\s*config locked\s*no\s*yes", mixed.sections["rigs"])


def test_irreversible_operations_are_summed_up_and_open_intents_stand_out(mixed: Page) -> None:
    text = " ".join(mixed.sections["irreversible"].split())
    assert f"write-slot0, 40123e07e00000508ee{samples.RIG} EMULATED2done" in text
    assert f"lock-config0123e07e00000508ee{samples.RIG} EMULATED1no result: needs inspection" in text


def test_firmware_that_was_written_is_listed_and_an_unknown_end_stands_out(mixed: Page) -> None:
    text = " ".join(mixed.sections["flashed"].split())
    assert f"{samples.IMAGE['sha256']}800x1000esp8266 02:e0:7e:00:50:8a{samples.RIG} EMULATEDdone" in text
    assert text.count("what the flash holds is not known") == 1


def test_what_was_tried_again_tolerated_or_set_aside_has_a_place_of_its_own(tmp_path: Path) -> None:
    shared = {"suite": "connect", "rig": samples.RIG, "requirements": []}
    with samples.begin(tmp_path) as journal:
        samples.open_rigs(journal)
        for verdict, reason in (("rig error", "the port went away"), ("pass", "")):
            journal.event("test-start", test="t", title="it connects", **shared)
            journal.event("test-end", test="t", verdict=verdict, reason=reason, wall_us=1, **shared)
        journal.event("test-start", test="u", title="it is quick", **shared)
        tolerated = {"quarantine": "slow access point (#12), tolerated until 2099-12-31"}
        journal.event(
            "test-end", test="u", verdict="quarantined", reason="3 s", wall_us=1, **tolerated, **shared
        )
        message = {"rig": samples.EDUKIT, "error": "PortError", "message": "no such port"}
        journal.event("rig-error", **message)
        journal.event("rig-aside", rig=samples.EDUKIT, reason="no such port")
        journal.end(exit_status=13)
    found = page(tmp_path).sections
    assert re.search(r"connect: it connects.*1\s*the port went away\s*rig error", found["retried"], re.DOTALL)
    assert re.search(
        r"connect: it is quick.*3 s\s*slow access point \(#12\)", found["quarantined"], re.DOTALL
    )
    assert "skipped" not in found, "what was tolerated has run"
    assert re.search(rf"Set aside: {samples.EDUKIT}.*no such port", found["wrong"], re.DOTALL)
    assert "passed at attempt 2" in found["suites"]


def test_a_changed_attachment_is_pointed_out(tmp_path: Path) -> None:
    samples.mixed(tmp_path)
    (tmp_path / "attachments" / "console.txt").write_text("nothing happened\n")
    (tmp_path / "attachments" / "i2c-trace.txt").unlink()
    wrong = page(tmp_path).sections["wrong"]
    assert "attachments/console.txt changed since the run: its hash differs" in wrong
    assert "attachments/i2c-trace.txt cannot be read" in wrong


def test_a_long_console_is_cut_at_its_beginning(tmp_path: Path) -> None:
    with samples.begin(tmp_path) as journal:
        journal.event("test-start", test="t", suite="s", requirements=[])
        journal.attach("console", "\n".join(f"line {n}" for n in range(20_000)), test="t")
        journal.event("test-end", test="t", verdict="fail", wall_us=1)
        journal.end(exit_status=1)
    wrong = page(tmp_path).sections["wrong"]
    assert "line 19999" in wrong
    assert "line 100\n" not in wrong
    assert "characters before it are in" in wrong
    assert len(wrong) < SHOWN_CHARACTERS + 2000


def test_an_aborted_run_says_that_it_proves_nothing(tmp_path: Path) -> None:
    with samples.begin(tmp_path) as journal:
        samples.passing(journal, "t", "power", 5)
    assert "What follows is incomplete and proves nothing." in page(tmp_path).text


def test_an_empty_run_has_a_report(tmp_path: Path) -> None:
    samples.begin(tmp_path).end(exit_status=5)
    assert "No test was run." in page(tmp_path).text


@settings(max_examples=30, deadline=None)
@given(text=st.text() | st.sampled_from(["<b>&amp;", "\x00\x1b[31m", "\ud800", "{{ 7*7 }}", "</pre>", "]]>"]))
def test_no_text_breaks_the_page(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    folder = tmp_path_factory.mktemp("report")
    with samples.begin(folder) as journal:
        wiring = [{"signal": text, "colour": text, "board_pin": text}]
        rig = {"rig": f"r{text}", "emulated": True, "clock": "virtual", "description": text, "wiring": wiring}
        journal.event("rig", phase="open", parts=[], **rig)
        journal.event(
            "test-start", test="t", suite=f"s{text}", rig=f"r{text}", title=text, requirements=[text]
        )
        journal.event("step", test="t", title=text, start_us=0, duration_us=5, detail=text)
        journal.attach(text or "console", text, test="t")
        journal.event(
            "test-end", test="t", verdict="fail", reason=text, cause=text, trace=text, wall_us=1, clock_us=9
        )
        journal.end(exit_status=1)
    write_views(folder)
    written = (folder / "report.html").read_text(encoding="utf-8")
    found = Page(written)
    assert found.sections["wrong"]
    if "{{" in text:
        assert "{{ 7*7 }}" in found.text


def test_a_thousand_tests_stay_below_two_megabytes(tmp_path: Path) -> None:
    with samples.begin(tmp_path) as journal:
        samples.open_rigs(journal)
        for number in range(1000):
            test = (
                f"suites/connect/test_connect.py::test_that_a_long_named_thing_holds[{number}-{samples.RIG}]"
            )
            journal.event(
                "test-start", test=test, suite="connect", rig=samples.RIG, requirements=["HIL-CONN-001"]
            )
            samples.measured(journal, test, 900.0 + number % 90, Limit(high=1000, warn_high=950))
            journal.event("test-end", test=test, verdict="pass", wall_us=900, clock_us=900_000)
        journal.end(exit_status=0)
    write_views(tmp_path)
    assert (tmp_path / "report.html").stat().st_size < 2_000_000


def test_the_views_are_the_same_when_made_again(tmp_path: Path) -> None:
    samples.mixed(tmp_path)
    first = write_views(tmp_path)
    before = [(tmp_path / name).read_bytes() for name in ("junit.xml", "report.html")]
    assert write_views(tmp_path) == first
    assert [(tmp_path / name).read_bytes() for name in ("junit.xml", "report.html")] == before
