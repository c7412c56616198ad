"""The coverage page of the element is complete, and what it says of the tests is so."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import pytest

from hil.emulator.chip import load_profile, profile_names
from hil.emulator.chip.forms import format_modes, parse_modes
from tests import element_coverage

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "element-coverage.md"
NEVER_CARRIED_OUT = {(0x30, 0x03), (0x12, 0x01), (0x45, 0x01)}
"""Info GPIO; a word of OTP and Verify by a certificate on a 608: the page gives the reasons."""

pytestmark = pytest.mark.skipif(not PAGE.is_file(), reason="needs a checkout")


def test_the_record_has_every_mode_of_every_part_and_no_other() -> None:
    tests, methods = element_coverage.load()
    for part in profile_names():
        known = load_profile(part).modes
        recorded = {opcode << 8 | mode for found, opcode, mode in tests if found == part}
        assert recorded <= known
        missing = {(key >> 8, key & 0xFF) for key in known - recorded}
        assert missing <= NEVER_CARRIED_OUT, f"{part}: run python -m tests.element_coverage"
    assert {opcode << 8 | mode for opcode, mode in methods} <= load_profile("atecc508a").modes | load_profile(
        "atecc608b"
    ).modes


def test_every_test_that_the_record_names_exists() -> None:
    tests, _ = element_coverage.load()
    functions: dict[str, set[str]] = {}
    for test in set(tests.values()):
        module, _, function = test.partition("::")
        if module not in functions:
            tree = ast.parse((ROOT / module).read_text(encoding="utf-8"))
            functions[module] = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
        assert function in functions[module], f"{test}: run python -m tests.element_coverage"


def test_no_cell_of_the_page_is_empty() -> None:
    rows = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("|")]
    cells = [row.strip("|").split("|") for row in rows]
    assert len(rows) > 100
    assert {len(row) for row in cells} == {9}
    assert all(cell.strip() for row in cells for cell in row)
    reasons = {
        cell.strip() for row in cells for cell in row if cell.strip().startswith(("no", "refused", "none"))
    }
    assert all(len(reason.partition(":")[2].split()) > 1 for reason in reasons)


def test_modes_are_written_in_few_words_and_read_back() -> None:
    assert format_modes({0x80, 0xC0, 0xA0, 0xE0, 0x03}) == "03 80/60"
    for values in ({0}, set(range(256)), {1, 2, 4}, {5, 6, 7, 0x45, 0x46, 0x47}):
        assert parse_modes(format_modes(values)) == values


@pytest.mark.long
def test_running_the_tests_gives_the_record() -> None:
    """A minute: every test of the chip and of the driver on it, watched."""
    modules = [str(ROOT / module) for module in element_coverage.MODULES]
    found = element_coverage.file_of(element_coverage.run(*modules))
    assert found == json.loads(element_coverage.RECORD.read_text(encoding="utf-8"))
