"""Rules of the house that no linter knows."""

from __future__ import annotations

import ast
from pathlib import Path

ROOT = Path(__file__).parents[2]
SOURCES = sorted(p for part in ("hil", "fixtures", "suites", "bench") for p in (ROOT / part).rglob("*.py"))
TIME = {"sleep", "monotonic", "monotonic_ns", "time", "time_ns", "perf_counter", "perf_counter_ns"}


def names_of_time(path: Path) -> list[str]:
    """Where a module reads or sleeps on the computer's clock."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            of_time = node.value.id == "time" and node.attr in TIME
            of_datetime = node.value.id in ("datetime", "date") and node.attr in ("now", "utcnow", "today")
            if of_time or of_datetime:
                found.append(f"{path.relative_to(ROOT)}:{node.lineno} {node.value.id}.{node.attr}")
        if isinstance(node, ast.ImportFrom) and node.module == "time":
            found.append(f"{path.relative_to(ROOT)}:{node.lineno} from time import")
    return found


def test_the_rule_recognises_what_it_forbids(tmp_path: Path) -> None:
    offender = ROOT / "hil" / "clock.py"
    assert any("time.sleep" in found for found in names_of_time(offender))


def test_only_the_clock_module_knows_the_computers_time() -> None:
    allowed = ROOT / "hil" / "clock.py"
    assert [found for path in SOURCES if path != allowed for found in names_of_time(path)] == []


def test_modules_are_small() -> None:
    long = {p.relative_to(ROOT).as_posix(): lines for p in SOURCES if (lines := lines_of(p)) > 600}
    assert long == {}


def lines_of(path: Path) -> int:
    return path.read_text(encoding="utf-8").count("\n")


def test_the_plugin_imports_nothing_heavy() -> None:
    """Only what the standard library, pytest and the error tree bring."""
    tree = ast.parse((ROOT / "hil" / "plugin.py").read_text(encoding="utf-8"))
    top = [n for n in tree.body if isinstance(n, (ast.Import, ast.ImportFrom))]
    modules = {n.module if isinstance(n, ast.ImportFrom) else n.names[0].name for n in top}
    assert modules <= {"__future__", "itertools", "typing", "pytest"}


def test_the_public_names_are_the_documented_ones() -> None:
    import hil

    assert sorted(hil.__all__) == [
        "Calendar",
        "Clock",
        "HilError",
        "RigFile",
        "World",
        "__version__",
        "load_rig",
    ]
    for name in hil.__all__:
        assert getattr(hil, name) is not None
