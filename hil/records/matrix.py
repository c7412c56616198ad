"""The requirement matrix of a qualification as CSV, one line a requirement, for spreadsheets."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from hil.records.qualification import Qualification, RequirementRow, Share

__all__ = ["MATRIX", "matrix_text", "write_matrix"]

MATRIX = "requirements.csv"


def write_matrix(found: Qualification, path: Path) -> None:
    """Write the matrix of a qualification."""
    path.write_text(matrix_text(found), encoding="utf-8", newline="")


def matrix_text(found: Qualification) -> str:
    """The matrix: requirement, state, why, tests; then a column a rig, emulated ones marked so.

    Suites and limits follow as lines of their own kind. Each line says whether it is a rehearsal, so
    that a line that was copied out of its file still does.
    """
    output = io.StringIO()
    table = csv.writer(output, lineterminator="\r\n")  # RFC 4180
    rigs = [share.rig for share in found.shares]
    table.writerow(
        ["release", "run", "kind", "id", "text", "state", "why", "tests", *map(_head, found.shares)]
    )
    first = [found.release, "REHEARSAL, qualifies nothing" if found.rehearsal else "qualification"]
    rows = [["release", "", "", found.verdict, "; ".join(found.objections), ""]]
    for row in found.requirements:
        cells = [str(row.verdict_on(rig.rig) or "") for rig in rigs]
        rows.append(["requirement", row.id, row.text, row.state, row.why, _tests(row), *cells])
    for suite in found.suites:
        rows.append(["suite", suite.suite, suite.combination, suite.state, suite.why, ""])
    for limit in found.limits:
        values = "; ".join(figure.shown for figure in limit.figures)
        text = f"{limit.combination}: {limit.bounds}"
        rows.append(["limit", limit.measurement, text, limit.state, limit.why, values])
    width = 6 + len(rigs)
    table.writerows([*first, *map(_cell, row), *[""] * (width - len(row))] for row in rows)
    return output.getvalue()


def _head(share: Share) -> str:
    kind = share.rig.kind if share.rig.kind == "physical" else share.rig.kind.upper()
    return f"{share.rig.rig} ({kind}{'' if share.counts else ', counts for nothing'})"


def _tests(row: RequirementRow) -> str:
    return "; ".join(f"{test.title} on {test.rig}" for test in row.tests)


def _cell(text: str) -> str:
    """Text that no spreadsheet takes for a formula."""
    return f"'{text}" if text[:1] in ("=", "+", "-", "@") else text
