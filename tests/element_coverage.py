"""Which test makes the emulated element execute what: recorded by running the tests.

``python -m tests.element_coverage`` runs the tests of the chip and of the driver on it, and writes
``tests/element-coverage.json``, from which ``docs/generate.py`` makes ``docs/element-coverage.md``.
For each part, command and mode the record names the first test in which the part *executed* it (a
refusal does not count), and the methods of the host driver that sent it. In the file modes are written
as in chip profiles: ``XX``, or ``XX/free bits``.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from hil.emulator.chip.engine import Engine
from hil.emulator.chip.forms import format_modes, parse_modes
from hil.wire.atecc import Opcode, Status

if TYPE_CHECKING:
    from collections.abc import Generator
    from types import FrameType

    from hil.emulator.chip.engine import Outcome

RECORD = Path(__file__).parent / "element-coverage.json"
ROOT = Path(__file__).parents[1]
MODULES = (
    "tests/conformance/test_chip_results.py",
    "tests/unit/test_chip_every_mode.py",
    "tests/unit/test_chip_golden.py",
    "tests/unit/test_chip_commands.py",
    "tests/unit/test_chip_608.py",
    "tests/unit/test_chip_policy.py",
    "tests/unit/test_element_on_chip.py",
    "tests/unit/test_element_on_chip_commands.py",
    "tests/unit/test_element_on_chip_rest.py",
)
"""In this order a cell takes its test from them."""

Cell = tuple[str, int, int]
"""Part, opcode, mode."""


class Recorder:
    """A pytest plugin.

    Attributes:
        tests: by part, opcode and mode the first test that had it executed.
        methods: by opcode and mode the driver's methods that sent it.
    """

    def __init__(self) -> None:
        self.tests: dict[Cell, str] = {}
        self.methods: dict[tuple[int, int], set[str]] = {}
        self._test = ""

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None, None, None]:
        self._test = item.nodeid.partition("[")[0]
        with pytest.MonkeyPatch.context() as patch:
            execute = Engine.execute

            def watched(engine: Engine, group: bytes, left_us: int) -> Outcome:
                outcome = execute(engine, group, left_us)
                if _executed(group, outcome):
                    self._note(engine.profile.name, group[1], group[2], sys._getframe(1))
                return outcome

            patch.setattr(Engine, "execute", watched)
            return (yield)

    def _note(self, part: str, opcode: int, mode: int, frame: FrameType) -> None:
        self.tests.setdefault((part, opcode, mode), self._test)
        method = _driver_method(frame)
        if method is not None:
            self.methods.setdefault((opcode, mode), set()).add(method)


def _executed(group: bytes, outcome: Outcome) -> bool:
    """Whether the command was carried out: data, success, or a comparison that failed."""
    payload = outcome.payload
    done = len(payload) > 1 or payload[0] in (Status.OK, Status.MISCOMPARE)
    failed_tests = group[1] == Opcode.SELFTEST and not payload[0] & 0xC2  # bits that no test has
    return outcome.goes_idle or done or failed_tests


def _driver_method(frame: FrameType | None) -> str | None:
    """The innermost public function of the host driver above ``Transport.execute``, if there is one."""
    inside = False
    while frame is not None:
        module = frame.f_globals.get("__name__", "")
        name = frame.f_code.co_qualname.split(".<locals>")[0].split(".")[-1]
        if module == "hil.element.transport":
            inside = inside or name == "execute"
        elif inside and module.startswith("hil.element.") and module not in _PLUMBING and name[0] != "_":
            return (
                f"Element.{name}" if module in _METHODS else f"{module.removeprefix('hil.element.')}.{name}"
            )
        frame = frame.f_back
    return None


_METHODS = {"hil.element.commands", "hil.element.commands608", "hil.element.device"}
_PLUMBING = {"hil.element.change", "hil.element.repeat"}


# -- the file ------------------------------------------------------------------------------------


Modes = dict[str, str]
Record = dict[str, dict[str, dict[str, Modes]]]


def file_of(recorder: Recorder) -> Record:
    """``{"tests": {part: {test: {opcode: modes}}}, "driver": {"": {method: {opcode: modes}}}}``."""
    found: dict[tuple[str, str, str, str], set[int]] = {}
    for (part, opcode, mode), test in recorder.tests.items():
        found.setdefault(("tests", part, test, f"{opcode:02X}"), set()).add(mode)
    for (opcode, mode), methods in recorder.methods.items():
        for method in methods:
            found.setdefault(("driver", "", method, f"{opcode:02X}"), set()).add(mode)
    record: Record = {}
    for (kind, part, name, opcode_text), modes in sorted(found.items()):
        record.setdefault(kind, {}).setdefault(part, {}).setdefault(name, {})[opcode_text] = format_modes(
            modes
        )
    return record


def load() -> tuple[dict[Cell, str], dict[tuple[int, int], set[str]]]:
    """What the file says, as :class:`Recorder` has it."""
    record: Record = json.loads(RECORD.read_text(encoding="utf-8"))
    tests = {
        (part, int(opcode, 16), mode): test
        for part, by_test in record["tests"].items()
        for test, by_opcode in by_test.items()
        for opcode, modes in by_opcode.items()
        for mode in parse_modes(modes)
    }
    methods: dict[tuple[int, int], set[str]] = {}
    for method, by_opcode in record["driver"][""].items():
        for opcode, modes in by_opcode.items():
            for mode in parse_modes(modes):
                methods.setdefault((int(opcode, 16), mode), set()).add(method)
    return tests, methods


def run(*tests: str) -> Recorder:
    """Run the tests, all of which must pass, and note what they made the parts do."""
    recorder = Recorder()
    options = ["-q", "-p", "no:cacheprovider", "-W", "ignore::pytest.PytestAssertRewriteWarning"]
    code = pytest.main([*options, *tests], plugins=[recorder])
    if code != 0:
        raise SystemExit(f"the tests ended with code {code}: nothing was written")
    return recorder


def main() -> None:
    recorder = run(*(str(ROOT / module) for module in MODULES))
    text = json.dumps(file_of(recorder), indent=1) + "\n"
    RECORD.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
