"""What the plugin costs: 200 trivial tests on an emulated rig, and a run that does not use it."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from bench.figures import Figure, paired

PLAIN = "import pytest\n\n@pytest.mark.parametrize('n', range({n}))\ndef test_trivial(n): assert n >= 0\n"
WITH_RIG = (
    "import pytest\n\n@pytest.mark.parametrize('n', range({n}))\n"
    "def test_trivial(rig, n): assert rig.name and n >= 0\n"
)
PYTEST = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]


def measure() -> list[Figure]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "test_plain.py").write_text(PLAIN.format(n=200))
        (folder / "test_rig.py").write_text(WITH_RIG.format(n=200))
        (folder / "test_one.py").write_text(PLAIN.format(n=1))
        junit = ["--junitxml", str(folder / "plain.xml")]
        with_rig = [*PYTEST, "--no-report", "--runs", str(folder / "runs"), *junit, "test_rig.py"]
        ratio, _ = paired(with_rig, [*PYTEST, "-p", "no:hil", *junit, "test_plain.py"], folder, runs=7)
        one = [*PYTEST, "test_one.py"]
        _, difference = paired(one, [*PYTEST, "-p", "no:hil", "test_one.py"], folder, runs=11)
    return [
        Figure("200 trivial tests on the emulated rig / the same without", ratio, "×", 1.3),
        Figure("plugin installed but unused, one trivial test", difference, "ms", 30),
    ]
