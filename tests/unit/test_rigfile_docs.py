"""The generated pages are current, and say what there is to say."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from hil import rigfile
from hil.rigfile.schema import reference_rows

DOCS = Path(__file__).parents[2] / "docs"

pytestmark = pytest.mark.skipif(not (DOCS / "generate.py").is_file(), reason="needs a checkout")


def test_the_pages_are_what_the_generator_makes() -> None:
    command = [sys.executable, str(DOCS / "generate.py"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")


def test_every_key_of_every_section_is_on_the_page() -> None:
    page = (DOCS / "rig-file.md").read_text(encoding="utf-8")
    sections = reference_rows()
    assert len(sections) == 11
    for name, _, rows in sections:
        assert f"### {f'`{name}`' if name else 'Top level'}" in page
        for row in rows:
            assert f"| `{row.key}` |" in page
    for capability in rigfile.CAPABILITIES:
        assert f"| `{capability}` |" in page
