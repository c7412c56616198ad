"""The summary for the page of a CI job."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hil.records.markdown import summary
from hil.records.rebuild import load_run
from tests.unit import record_samples as samples

if TYPE_CHECKING:
    from pathlib import Path


def test_a_failure_says_what_was_seen_and_what_is_likely(tmp_path: Path) -> None:
    text = summary(load_run(samples.mixed(tmp_path)))
    assert "the scan found [], not [96]; SDA and SCL are swapped: with the pins exchanged" in text
    assert "### Rigs set aside\n\n- **emulated-edukit-trustgo**: the relay does not answer" in text
    assert f"| {samples.RIG} | EMULATED | " in text


def test_what_a_rig_says_breaks_no_table(tmp_path: Path) -> None:
    with samples.begin(tmp_path) as journal:
        shared = {"test": "t", "suite": "s", "rig": "r", "requirements": []}
        journal.event("test-start", title="a | b", **shared)
        journal.event("test-end", verdict="fail", reason="<script>\n| x |", wall_us=1, **shared)
        journal.end(exit_status=1)
    text = summary(load_run(tmp_path))
    assert "a \\| b — &lt;script> \\| x \\|" in text
