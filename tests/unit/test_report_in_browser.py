"""The report in a real browser, headless: no complaint, everything there, marked on every page."""

from __future__ import annotations

import re
import struct
from itertools import pairwise
from typing import TYPE_CHECKING

from hil.records.views import write_views
from tests.unit import record_samples, release_samples
from tests.unit.browser import needs_browser, show
from tests.unit.pdftext import pages
from tests.unit.release_samples import RELEASE, Bench, emulated

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = needs_browser
MANY = [*RELEASE["requirements"], *({"id": f"MORE-{number:03}", "text": "more"} for number in range(90))]


def size(picture: Path) -> tuple[int, int]:
    """Width and height of a PNG."""
    head = picture.read_bytes()[:24]
    assert head.startswith(b"\x89PNG\r\n\x1a\n")
    width, height = struct.unpack(">II", head[16:24])
    return int(width), int(height)


def test_it_opens_from_its_file_without_complaint_and_everything_is_there(tmp_path: Path) -> None:
    record_samples.mixed(tmp_path)
    write_views(tmp_path)
    shown = show(tmp_path / "report.html", "report")
    assert shown.complaints == []
    for wanted in ('<section id="wrong">', "the scan found [], not [96]", '<svg class="wiring"', "XPRO 11"):
        assert wanted in shown.dom
    for section in ("measurements", "suites", "rigs", "timeline", "requirements", "irreversible", "skipped"):
        assert f'<section id="{section}">' in shown.dom
    assert size(shown.picture) == (1280, 2400)
    text = "".join(pages(shown.pdf))
    for printed in ("the scan found [], not [96]", "Likely cause.", "attached file", "console.txt"):
        assert printed in text, printed
    assert "REHEARSAL" not in text


def test_it_can_be_read_without_seeing_it(tmp_path: Path) -> None:
    """A language, one title, headings without gaps, names for pictures, and no meaning in colour alone."""
    release_samples.write(tmp_path, Bench(results={"HIL-PWR-001": "fail"}), emulated())
    dom = show(tmp_path / "report.html", "report-not-qualified").dom
    assert '<html lang="en">' in dom
    levels = [int(level) for level in re.findall(r"<h([1-6])", dom)]
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    for picture in re.findall(r"<svg[^>]*>", dom):
        assert 'aria-hidden="true"' in picture or ('role="img"' in picture and "aria-label=" in picture), (
            picture
        )
    for pill in re.findall(r'<span class="pill[^"]*">([^<]*)</span>', dom):
        assert pill.strip(), "a colour that says nothing in words"


def test_every_printed_page_of_a_rehearsal_says_so(tmp_path: Path) -> None:
    release_samples.write(tmp_path / "rehearsal", emulated(), rehearsal=True, requirements=MANY)
    shown = show(tmp_path / "rehearsal" / "report.html", "report-rehearsal")
    assert shown.complaints == []
    printed = pages(shown.pdf)
    assert len(printed) > 4
    for number, text in enumerate(printed, 1):
        assert "REHEARSAL: qualifies nothing" in text, f"the head of page {number}"
        assert text.count("REHEARSAL") >= 2, f"the mark across page {number}"
