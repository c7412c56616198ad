"""Journals that older versions wrote stay readable, and so do those that say as little as they may."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from hil.clock import Calendar
from hil.measure.verdict import Verdict
from hil.records.journal import KINDS, Journal
from hil.records.rebuild import load_run
from hil.records.views import write_views

FIRST = Path(__file__).parents[1] / "journals" / "first"
"""A run of the first version that wrote journals, as it left it; only names of people and hosts differ."""

LEAST: dict[str, Any] = {
    "format": 1, "run": "r", "command": ["pytest"], "versions": {}, "worker": "gw0", "pid": 1, "rig": "bench",
    "phase": "intent", "emulated": False, "clock": "wall", "parts": [], "test": "t", "suite": "power",
    "requirements": [], "title": "s", "start_us": 0, "duration_us": 1, "name": "m", "value": 1, "unit": "ms",
    "limit": {}, "provenance": "measured", "verdict": "pass", "path": "attachments/a",
    "media_type": "text/plain", "sha256": "", "size": 0, "wall_us": 1, "by": "power", "reason": "",
    "serial": "", "operation": "lock-config", "message": "m", "offset": 0, "exit_status": 0,
}  # fmt: skip


def test_the_first_journal_is_read_and_seen_in_every_view(tmp_path: Path) -> None:
    run = load_run(FIRST)
    assert run.verdict is Verdict.FAIL
    assert {str(verdict): count for verdict, count in run.counts.items()} == {
        "pass": 3,
        "fail": 1,
        "blocked": 7,
    }
    assert run.rigs["emulated-esp8266-atecc508a"].kind == "emulated"
    (failed,) = [test for test in run.tests if test.verdict is Verdict.FAIL]
    assert [attached.name for attached in failed.attachments] == ["console", "I2C", "world"]
    folder = Path(shutil.copytree(FIRST, tmp_path / "first"))
    table = write_views(folder)
    assert any(line.startswith("verdict: fail (3 pass, 7 blocked, 1 fail") for line in table)
    report = (folder / "report.html").read_text(encoding="utf-8")
    assert "did not acknowledge the address" in report
    assert "changed since the run" not in report


def test_a_journal_needs_no_more_than_its_schema_asks_for(tmp_path: Path) -> None:
    with Journal(tmp_path, Calendar(0.0)) as journal:
        for kind, fields in KINDS.items():
            journal.event(kind, **{name: LEAST[name] for name in sorted(fields)})
    write_views(tmp_path)
    run = load_run(tmp_path)
    assert run.verdict is Verdict.RIG_ERROR, "the gravest of what is in it"
    assert (len(run.irreversible), len(run.flashed), len(run.rig_errors)) == (1, 1, 1)


def test_the_first_journal_has_only_events_that_are_still_known() -> None:
    rows = [json.loads(line) for line in (FIRST / "journal.jsonl").read_text(encoding="utf-8").splitlines()]
    for row in rows:
        assert KINDS[row["kind"]] <= row.keys(), row["kind"]
