"""Irreversible tests: last in their suite, once, and on a physical rig only if named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from hil import rigfile
from hil.session.arranging import arrange
from hil.session.options import Options

if TYPE_CHECKING:
    from hil.rigfile import RigFile

pytest_plugins = ["pytester"]

SESSION = ("--rig", "emulated-esp8266-atecc508a", "-p", "no:cacheprovider", "--runs", "runs", "--no-report")

COUNTING = """
import pathlib
import pytest

irreversible = pytest.mark.irreversible("lock-config")

def count(name):
    with pathlib.Path("log").open("a") as file:
        file.write(name + "\\n")
"""
RERUNNING = """
import pytest
from _pytest.runner import runtestprotocol

@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item, nextitem):
    \"\"\"Every test three times until it passes, the way pytest-rerunfailures does it.\"\"\"
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    for attempt in range(3):
        reports = runtestprotocol(item, nextitem=nextitem, log=False)
        if attempt == 2 or not any(report.failed for report in reports):
            for report in reports:
                item.ihook.pytest_runtest_logreport(report=report)
            break
        item._initrequest()
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
    return True
"""
REPEATING = """
def pytest_generate_tests(metafunc):
    if "repeated" in metafunc.function.__name__:
        metafunc.fixturenames.append("__pytest_repeat_step_number")
        metafunc.parametrize("__pytest_repeat_step_number", range(3))

@pytest.fixture
def __pytest_repeat_step_number(request):
    return request.param
"""
REVERSING = """
@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection_modifyitems(items):
    yield
    items.reverse()  # as late as `--ff` does it
"""
LOOPING = """
import pytest

@pytest.hookimpl(wrapper=True)
def pytest_runtestloop(session):
    \"\"\"The whole session twice.\"\"\"
    first = yield
    for number, item in enumerate(session.items):
        following = session.items[number + 1 : number + 2]
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=following[0] if following else None)
    return first
"""


def log(pytester: pytest.Pytester) -> list[str]:
    """The names of the tests in the order in which their bodies ran."""
    return (pytester.path / "log").read_text().splitlines()


def verdicts(pytester: pytest.Pytester) -> dict[str, list[str]]:
    """Test → the verdicts of its attempts, from the run's journal."""
    (journal,) = (pytester.path / "runs").glob("*/journal.jsonl")
    found: dict[str, list[str]] = {}
    for line in journal.read_text().splitlines():
        event = json.loads(line)
        if event["kind"] == "test-end":
            found.setdefault(event["test"].split()[1], []).append(event["verdict"])
    return found


def test_they_come_last_in_the_order_of_an_elements_life_and_no_plugin_runs_them_again(
    pytester: pytest.Pytester,
) -> None:
    """Under plugins that rerun what failed, repeat what passes, and turn the order around."""
    pytester.makeconftest(RERUNNING + REPEATING + REVERSING)
    pytester.makepyfile(
        COUNTING
        + """
@irreversible
@pytest.mark.needs(element="provisioned")
def test_provisioned(rig):
    count("provisioned")

@irreversible
@pytest.mark.needs(element="blank")
def test_blank_fails(rig):
    count("blank")
    assert False

@irreversible
@pytest.mark.needs(element="config-locked")
@pytest.mark.parametrize("slot", [[1], [2]])
def test_between_repeated(rig, slot):
    count(f"between {slot[0]}")

def test_reversible_repeated_fails(rig):
    count("reversible")
    assert False
"""
    )
    result = pytester.runpytest_subprocess(*SESSION, "-rs")
    ran = log(pytester)
    assert ran[:10] == ["reversible"] * 9 + ["blank"]
    assert sorted(ran[10:12]) == ["between 1", "between 2"]
    assert ran[12:] == ["provisioned"]
    assert result.ret == 1
    result.stdout.fnmatch_lines(["*an irreversible test is never run again: it failed once*"])
    result.stdout.fnmatch_lines(["SKIPPED*left out: an irreversible test is never repeated"])
    assert verdicts(pytester)["test_blank_fails"] == ["fail"]


def test_a_plugin_that_loops_the_session_leaves_them_out(pytester: pytest.Pytester) -> None:
    """What passed stays passed; what failed stays failed."""
    pytester.makeconftest(LOOPING)
    pytester.makepyfile(
        COUNTING
        + """
@irreversible
def test_fails(rig):
    count("fails")
    assert False

@irreversible
def test_passes(rig):
    count("passes")

def test_reversible(rig):
    count("reversible")
"""
    )
    result = pytester.runpytest_subprocess(*SESSION)
    assert sorted(log(pytester)) == ["fails", "passes", "reversible", "reversible"]
    assert result.ret == 1
    found = verdicts(pytester)
    assert found["test_fails"] == ["fail", "fail"]
    assert found["test_passes"] == ["pass", "skipped"]


def test_our_own_retry_after_a_rig_error_leaves_them_out(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(
        'from hil.session.plans import PLANS, Plan\nPLANS["twice"] = Plan("twice", retries=1)'
    )
    pytester.makepyfile(
        COUNTING
        + """
from hil.errors import RigError

broken = []

def test_reversible(rig):
    count("reversible")
    if not broken:
        broken.append(True)
        raise RigError("the bench broke")

@irreversible
def test_irreversible(rig):
    count("irreversible")
    raise RigError("the bench broke")
"""
    )
    result = pytester.runpytest_subprocess(*SESSION, "--plan", "twice", "-n0")
    assert log(pytester) == ["reversible", "reversible", "irreversible"]
    assert result.ret == 13


# -- on a physical rig --------------------------------------------------------------------------------

PHYSICAL = """
rig: bench
board: {kind: mongoose-os, mcu: esp8266, port: /dev/ttyUSB0}
element: {part: atecc508a, state: blank, serial: 01233bd44dfc6509ee, expendable: EXPENDABLE}
"""
SERIAL = "01233bd44dfc6509ee"
REFUSED = (
    "not allowed: irreversible on a physical element; needs `expendable: true` and "
    f"--allow-irreversible {SERIAL}"
)
ITEMS = """
import pytest

@pytest.mark.irreversible("lock-config")
@pytest.mark.parametrize("rig", ["bench"])
def test_irreversible(rig): ...

@pytest.mark.parametrize("rig", ["bench"])
def test_reversible(rig): ...
"""


def bench(folder: Path, *, expendable: bool) -> RigFile:
    file = folder / "bench.yaml"
    file.write_text(PHYSICAL.replace("EXPENDABLE", str(expendable).lower()), encoding="utf-8")
    return rigfile.load(file)


NOT_AGAIN = "left out: --lf would run an irreversible test again; look at the element first"


def test_on_a_physical_rig_they_are_refused_unless_expendable_and_named(pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\nmarkers =\n    irreversible\n    needs\n")
    module = pytester.getmodulecol(ITEMS, configargs=["-p", "no:hil"])
    for expendable, named, last_failed, reason in [
        (False, "", False, REFUSED),
        (False, SERIAL, False, REFUSED),
        (True, "", False, REFUSED),
        (True, "01233bd44dfc6508ee", False, REFUSED),
        (True, SERIAL, True, NOT_AGAIN),
        (True, SERIAL, False, None),
    ]:
        rigs = (bench(pytester.path, expendable=expendable),)
        named_ones = frozenset({named})
        options = Options(rigs, Path("runs"), allow_irreversible=named_ones, last_failed=last_failed)
        items = [item for item in pytester.genitems([module]) if isinstance(item, pytest.Function)]
        for item in items:
            item.own_markers = [mark for mark in item.own_markers if mark.name != "skip"]
        arrange([*items], options)
        reasons = {i.originalname: [mark.kwargs["reason"] for mark in i.iter_markers("skip")] for i in items}
        assert reasons == {"test_reversible": [], "test_irreversible": [] if reason is None else [reason]}
