"""The default run of all suites: wall time, and virtual time covered."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

from bench.figures import Figure, run_us

ROOT = Path(__file__).parent.parent


def measure() -> list[Figure]:
    with tempfile.TemporaryDirectory() as name:
        command = [sys.executable, "-m", "pytest", "-q", f"--runs={name}"]
        wall = run_us(command, ROOT) / 1e6
        (journal,) = Path(name).glob("*/journal.jsonl")
        events = [json.loads(line) for line in journal.read_text().splitlines()]
    virtual = sum(e.get("clock_us") or 0 for e in events if e["kind"] == "test-end") / 1e6
    return [
        Figure("default run", wall, "s", 20, note="all suites, HTML report included"),
        Figure("virtual time / wall time of it", virtual / wall, "×", 1.0, at_least=True),
    ]
