"""What the type checker and the source tree guarantee: a forgotten permit cannot be written."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from textwrap import dedent

import pytest

ROOT = Path(__file__).parents[2]
CACHE = Path(tempfile.gettempdir()) / f"hil-mypy-cache-{os.getuid()}"
"""Kept between runs: the first takes a quarter of a minute."""
SOURCES = sorted(p for folder in ("hil", "fixtures", "suites") for p in (ROOT / folder).rglob("*.py"))

HEAD = """
from hil.board import espidf_irreversible, flash_irreversible, irreversible as by_firmware
from hil.board.calls import MongooseCalls
from hil.board.espidf import EspIdfBoard
from hil.board.flash import Flasher
from hil.element import irreversible, irreversible_boot, irreversible_state, irreversible_words
from hil.element.commands608 import KdfSource
from hil.element.device import Element
from hil.guard.guard import Facts, Guard
from hil.guard.operations import Operation
from hil.guard.permit import Permit

element: Element
guard: Guard
permit: Permit
board: MongooseCalls
edukit: EspIdfBoard
flasher: Flasher
"""
FORGOTTEN = {
    "write_config": "irreversible.write_config(element, bytes(128))",
    "lock_config": "irreversible.lock_config(element, bytes(128))",
    "lock_data": "irreversible.lock_data(element, {}, bytes(64))",
    "lock_slot": "irreversible.lock_slot(element, 9)",
    "generate_key": "irreversible.generate_key(element, 0)",
    "write_private_key": "irreversible.write_private_key(element, 0, bytes(32))",
    "write_slot": "irreversible.write_slot(element, 4, bytes(32))",
    "write_otp": "irreversible.write_otp(element, bytes(64))",
    "increment_counter": "irreversible_state.increment_counter(element, 0)",
    "derive_key": "irreversible_state.derive_key(element, 5)",
    "write_slot_word": 'irreversible_words.write_slot_word(element, 9, 0, b"word")',
    "validate_by_certificate": "irreversible_state.validate_by_certificate(element, 9, b'', b'', bytes(64))",
    "update_extra": "irreversible_state.update_extra(element, 1)",
    "update_selector": "irreversible_state.update_selector(element, 1)",
    "burn_use": "irreversible_state.burn_use(element, 7)",
    "agree_into_slot": "irreversible_state.agree_into_slot(element, 2, bytes(64))",
    "hkdf_into_slot": 'irreversible_state.hkdf_into_slot(element, 9, b"", source=KdfSource.TEMPKEY)',
    "prf_into_slot": 'irreversible_state.prf_into_slot(element, 9, b"", source=KdfSource.TEMPKEY)',
    "set_key_validity": "irreversible_state.set_key_validity(element, 9, bytes(32), bytes(64), bytes(19))",
    "secure_boot_check_stored": "irreversible_boot.secure_boot_check_stored(element, bytes(32))",
    "secure_boot_check_stored_mac": (
        "irreversible_boot.secure_boot_check_stored_mac(element, bytes(32), bytes(32))"
    ),
    "clear_otp_bits": "irreversible_words.clear_otp_bits(element, 0, bytes(4))",
    "secure_boot_copy": "irreversible_boot.secure_boot_copy(element, bytes(32), bytes(64))",
    "secure_boot_copy_mac": (
        "irreversible_boot.secure_boot_copy_mac(element, bytes(32), bytes(64), bytes(32))"
    ),
    "agree_into_next_slot": "irreversible_state.agree_into_next_slot(element, 2, bytes(64))",
    "esptool": 'flash_irreversible.run_esptool(flasher, ["burn-efuse"])',
    "by firmware: set_config": "by_firmware.atca_set_config(board, bytes(128))",
    "by firmware: lock_zone": 'by_firmware.atca_lock_zone(board, "config")',
    "by firmware: generate_key": "by_firmware.atca_generate_key(board, 0)",
    "by firmware: set_key": "by_firmware.atca_set_key(board, 0, bytes(32), private=True)",
    "by console: generate_keys": "espidf_irreversible.generate_keys(edukit, 0)",
    "by console: program": 'espidf_irreversible.program_certificate(edukit, 10, "", lock=True)',
}
WRONG = {
    "none for a permit": "irreversible.lock_config(element, bytes(128), None)  # expect: arg-type",
    "a flag for a permit": "irreversible.lock_config(element, bytes(128), True)  # expect: arg-type",
    "a guard for a permit": "irreversible.lock_config(element, bytes(128), guard)  # expect: arg-type",
    "a permit by hand": 'Permit(object(), guard, Operation.LOCK_DATA, "", None)  # expect: arg-type',
    "a widened permit": "permit.operation = Operation.LOCK_CONFIG  # expect: misc",
    "another slot": "permit.slot = 3  # expect: misc",
    "a subclass": "class Mine(Permit): ...  # expect: misc",
    "a permit without facts": "guard.permit(Operation.LOCK_CONFIG)  # expect: call-arg",
    "facts without a serial number": "guard.permit(Operation.COUNTER, Facts())  # expect: call-arg",
}
ARMING = {
    "hil/board/espidf.py",
    "hil/element/change.py",
    "hil/rig/lockprobe.py",  # the locks suite's: what a healthy element refuses
    "hil/provision/zones.py",
    "suites/locks/test_power_lost.py",
    "suites/locks/test_zones.py",
}
"""What arms permits, besides the modules that say in their name that they are irreversible."""
RIGHT = """
irreversible.lock_config(
    element, bytes(128), guard.permit(Operation.LOCK_CONFIG, Facts("00" * 9, config=bytes(128)))
)
"""


@pytest.fixture(scope="module")
def complaints(tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[str]]:
    """mypy's error codes for each snippet; one run checks them all."""
    folder = tmp_path_factory.mktemp("snippets")
    lines = HEAD.splitlines()
    places: dict[int, str] = {}
    for name, code in (FORGOTTEN | WRONG | {"right": RIGHT}).items():
        body = dedent(code).strip().splitlines()
        for line in body:
            places[len(lines) + 1] = name
            lines.append(line)
    snippet = folder / "snippets.py"
    snippet.write_text("\n".join(lines) + "\n")
    done = subprocess.run(
        [
            sys.executable, "-m", "mypy", "--strict", "--show-error-codes", "--no-error-summary",
            "--no-pretty",
            "--config-file", str(ROOT / "pyproject.toml"), "--cache-dir", str(CACHE), str(snippet),
        ],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    found: dict[str, set[str]] = {name: set() for name in places.values()}
    for line in done.stdout.splitlines():
        if ": error: " not in line:
            continue
        path, number, _ = line.split(":", 2)
        if Path(path).name != snippet.name:
            continue
        found[places[int(number)]].add(line.rpartition("[")[2].rstrip("]"))
    assert done.returncode == 1, done.stdout + done.stderr
    return found


@pytest.mark.parametrize("name", FORGOTTEN)
def test_a_forgotten_permit_does_not_type_check(complaints: dict[str, set[str]], name: str) -> None:
    assert complaints[name] == {"call-arg"}


def test_every_function_that_takes_a_permit_has_a_snippet() -> None:
    """Public functions that cannot be called without one, wherever they are, but for the guard itself."""
    found = set()
    for path in SOURCES:
        if "hil" not in path.parts or path.parent.name == "guard" or path.stem == "change":
            continue
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
                arguments = [*node.args.args, *node.args.kwonlyargs]
                if any(a.annotation and ast.unparse(a.annotation) == "Permit" for a in arguments):
                    found.add(node.name)
    called = {code.partition("(")[0].rpartition(".")[2] for code in FORGOTTEN.values()}
    assert found == called


def test_what_arms_a_permit_is_known() -> None:
    """Armed packets are what passes the filter: a new place that arms some has to be looked at."""
    armed = {
        path.relative_to(ROOT).as_posix()
        for path in SOURCES
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "armed"
    }
    assert {path for path in armed if "irreversible" not in Path(path).stem} == ARMING


@pytest.mark.parametrize("name", WRONG)
def test_what_is_no_permit_does_not_type_check(complaints: dict[str, set[str]], name: str) -> None:
    expected = WRONG[name].rpartition("# expect: ")[2]
    assert complaints[name] == {expected}


def test_with_a_permit_it_does(complaints: dict[str, set[str]]) -> None:
    assert complaints["right"] == set()


# -- the source tree ------------------------------------------------------------------------------


def names_used(path: Path) -> set[str]:
    """Every name that a module imports or mentions."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom | ast.Import):
            found |= {alias.name for alias in node.names}
    return found


def modules_with(*names: str) -> set[str]:
    return {path.relative_to(ROOT).as_posix() for path in SOURCES if {*names} & names_used(path)}


def imports_of(module: str, name: str) -> set[str]:
    """Modules that import ``name`` from ``module``."""
    found = set()
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module == module:
                found |= {path.relative_to(ROOT).as_posix() for alias in node.names if alias.name == name}
    return found


def test_only_the_guard_makes_permits() -> None:
    assert imports_of("hil.guard.permit", "issue") == {"hil/guard/guard.py"}
    assert imports_of("hil.guard.permit", "_SEAL") == set()


OPENING = {"hil/rig/ports.py", "hil/rig/own.py"}
"""Where a rig opens what its file names; the second is for boards and buses that other packages bring."""


def test_only_the_rig_opens_ways_to_an_element() -> None:
    """Whoever opens one elsewhere would have to bring a guard along."""
    ways = {"LinuxI2C": "hil/i2c/linux.py", "KitBus": "hil/i2c/kit.py", "MongooseI2C": "hil/i2c/mongoose.py"}
    for name, home in ways.items():
        assert modules_with(name) - {home} <= OPENING, name
    boards = {"MongooseBoard": "hil/board/mongoose.py", "EspIdfBoard": "hil/board/espidf.py"}
    for name, home in boards.items():
        made = {
            path.relative_to(ROOT).as_posix()
            for path in SOURCES
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == name
        }
        # `hil discover` asks boards that no rig file names yet; test_discover says that it does no more.
        assert made - {home} <= {*OPENING, "hil/bringup/discover.py"}, name


def calls_in(path: str) -> list[str]:
    """Every call of a module, as text."""
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    return [ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Call)]


def test_every_way_that_the_rig_opens_is_guarded() -> None:
    """A board only with the guarded line, a bus only in the guarded bus, a relay only in the guarded one."""
    calls = calls_in("hil/rig/ports.py")
    assert "MongooseBoard(GuardedLine(port, rig.guard, 'rpc'))" in calls
    assert "EspIdfBoard(GuardedLine(port, rig.guard, 'console'))" in calls
    assert {c for c in calls if c.startswith("TracedBus(")} == {
        "TracedBus(MongooseI2C(board.rpc), rig.trace.append)",  # its client asks the guard about every call
        "TracedBus(GuardedBus(linux, rig.guard.filter), rig.trace.append)",
        "TracedBus(GuardedBus(kit, rig.guard.filter), rig.trace.append)",
    }
    own = calls_in("hil/rig/own.py")
    assert {c for c in own if c.startswith("TracedBus(")} == {
        "TracedBus(GuardedBus(own, rig.guard.filter), rig.trace.append)"
    }
    for path in OPENING:
        assert "board.rpc.before_send = " in (ROOT / path).read_text(encoding="utf-8")
    relays = [c for c in calls_in("hil/rig/rig.py") if "open_relay(" in c and not c.startswith("open_relay(")]
    assert relays
    assert all("GuardedRelay(open_relay(" in c for c in relays)
