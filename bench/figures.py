"""A figure: what was measured, what it is held against, and by how much."""

from __future__ import annotations

import statistics
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hil.clock import wall_us

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


@dataclass(frozen=True)
class Figure:
    """One row; ``limit`` is the largest allowed value, or the smallest if ``at_least``."""

    name: str
    value: float
    unit: str
    limit: float
    at_least: bool = False
    note: str = ""

    @property
    def met(self) -> bool:
        return self.value >= self.limit if self.at_least else self.value <= self.limit


def table(figures: Sequence[Figure]) -> str:
    rows = [("figure", "value", "limit", "", "")]
    for f in figures:
        sign = "≥" if f.at_least else "≤"
        rows.append(
            (f.name, f"{f.value:.3g} {f.unit}", f"{sign} {f.limit:g}", "met" if f.met else "MISSED", f.note)
        )
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row[:4], widths, strict=True)) + f"  {row[4]}"
        for row in rows
    )


def run_us(command: Sequence[str], cwd: Path) -> int:
    """Wall time of a command in microseconds; it has to succeed."""
    start = wall_us()
    subprocess.run(command, cwd=cwd, check=True, stdout=subprocess.DEVNULL)
    return wall_us() - start


def paired(a: Sequence[str], b: Sequence[str], cwd: Path, runs: int) -> tuple[float, float]:
    """Median ratio a/b and median difference a-b in ms, taken in turn after one warm-up each."""
    run_us(a, cwd)
    run_us(b, cwd)
    pairs = [(run_us(a, cwd), run_us(b, cwd)) for _ in range(runs)]
    ratio = statistics.median(x / y for x, y in pairs)
    difference = statistics.median((x - y) / 1000 for x, y in pairs)
    return ratio, difference
