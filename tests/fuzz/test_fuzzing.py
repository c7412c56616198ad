"""Coverage-guided fuzzing of every target from its corpus on; environment ``long``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.fuzz import corpus
from tests.fuzz.targets import TARGETS

if TYPE_CHECKING:
    from pathlib import Path

SECONDS = 120


@pytest.mark.long
@pytest.mark.parametrize("target", TARGETS)
def test_two_minutes_of_fuzzing_break_nothing(target: str, tmp_path: Path) -> None:
    pytest.importorskip("atheris", reason="atheris is not installed: it exists for Linux on x86-64")
    corpus.unpack(corpus.read(target), tmp_path / "corpus")
    done = corpus.fuzz(
        target,
        f"-max_total_time={SECONDS}",
        f"-artifact_prefix={tmp_path}/",
        str(tmp_path / "corpus"),
        patience_s=SECONDS + 300,
    )
    broken = [path.read_bytes().hex() for path in tmp_path.glob("crash-*")]
    assert done.returncode == 0, f"{target} is broken by {broken}:\n{done.stderr[-3000:]}"
