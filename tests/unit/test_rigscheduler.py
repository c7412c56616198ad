"""Who gets which test: a rig stays with one process, and nobody waits for a process without work."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("xdist")

from hil.session.scheduler import RigScheduling


class Config:
    """As much of pytest's configuration as the scheduler looks at."""

    class option:  # noqa: N801  (pytest's name)
        loadscopereorder = False

    def getvalue(self, name: str) -> Any:
        return ["popen", "popen"]

    def getoption(self, name: str, default: Any = None) -> Any:
        return ["popen", "popen"] if name == "tx" else default


class Gateway:
    def __init__(self, name: str) -> None:
        self.id = name


class Node:
    """A process: remembers what it was told to run."""

    def __init__(self, name: str) -> None:
        self.gateway = Gateway(name)
        self.shutting_down = False
        self.sent: list[int] = []

    def send_runtest_some(self, indices: list[int]) -> None:
        self.sent += indices

    def shutdown(self) -> None:
        self.shutting_down = True


class Controller:
    """Knows the rigs; what was lost with a process is tried once more."""

    def known(self, nodeid: str) -> dict[str, str] | None:
        rig = nodeid.partition("[")[2].rstrip("]")
        return {"rig": rig} if rig else None

    def lost(self, nodeid: str, rest: list[str]) -> bool:
        return True


TESTS = [f"t.py::test_{number}[{rig}]" for rig in ("a", "b", "c") for number in range(4)]


def started() -> tuple[RigScheduling, Node, Node]:
    scheduling = RigScheduling(Config(), None, Controller())  # type: ignore[arg-type]
    nodes = Node("gw0"), Node("gw1")
    for node in nodes:
        scheduling.add_node(node)
    for node in nodes:
        scheduling.add_node_collection(node, TESTS)
    scheduling.schedule()
    return scheduling, *nodes


def test_all_tests_of_a_rig_go_to_one_process() -> None:
    _, first, second = started()
    owners = [{TESTS[index].partition("[")[2] for index in node.sent} for node in (first, second)]
    assert not owners[0] & owners[1]
    assert all(owners)


def test_what_a_killed_process_left_goes_to_others_the_rig_it_had_begun_first() -> None:
    scheduling, first, second = started()
    scheduling.mark_test_complete(first, first.sent[0])
    lost = scheduling.remove_node(first)
    assert lost == TESTS[first.sent[1]]
    assert next(iter(scheduling.workqueue)) == "rig a" or "rig a" in scheduling.assigned_work[second]


def test_a_replacement_that_finds_other_tests_is_sent_home_instead_of_waited_for() -> None:
    scheduling, first, _ = started()
    scheduling.remove_node(first)
    good, odd = Node("gw2"), Node("gw3")
    for node in (good, odd):
        scheduling.add_node(node)
    scheduling.add_node_collection(odd, [*TESTS, "t.py::test_new[a]"])
    scheduling.add_node_collection(good, TESTS)
    scheduling.schedule()
    assert odd.shutting_down
    assert odd.sent == []
    assert good.sent
    assert not good.shutting_down
