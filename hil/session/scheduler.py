"""Which process runs which test: all tests of a rig in one, and none lost when a process dies."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Any

from xdist.scheduler import LoadScopeScheduling

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pytest
    from xdist.workermanage import WorkerController

    from hil.session.workers import Controller

__all__ = ["RigScheduling"]


class RigScheduling(LoadScopeScheduling):  # type: ignore[misc]  # xdist has no types
    """Hands out tests rig by rig; tests without a rig one by one.

    Args:
        config: of the session.
        log: pytest-xdist's.
        controller: knows which test uses which rig, and decides what becomes of a lost one.
    """

    def __init__(self, config: pytest.Config, log: Any, controller: Controller) -> None:  # noqa: ANN401
        super().__init__(config, log)
        self._controller = controller

    def add_node_collection(self, node: WorkerController, collection: Sequence[str]) -> None:
        """Take note of what a process has collected; one that has found other tests is sent home.

        pytest-xdist would leave it without work for ever, and wait for it. That happens if somebody changes
        the tests while they run: a process that replaces a killed one reads them again.
        """
        super().add_node_collection(node, collection)
        if node not in self.registered_collections:
            node.shutdown()

    def _split_scope(self, nodeid: str) -> str:
        known = self._controller.known(nodeid)
        return nodeid if known is None else f"rig {known['rig']}"

    def _reschedule(self, node: WorkerController) -> None:
        """Give work to a process that can take it; one that still collects asks again when it has."""
        if node in self.registered_collections:
            super()._reschedule(node)

    def remove_node(self, node: WorkerController) -> str | None:
        """Take back the work of a process that has ended; returns the test during which it died.

        Only what is still to be done goes back into the queue, the rig that it had begun first.
        """
        workload = self.assigned_work.pop(node)
        open_units = {scope: unit for scope, unit in workload.items() if not all(unit.values())}
        if not open_units:
            return None
        scope, unit = next(iter(open_units.items()))
        waiting = [nodeid for nodeid, done in unit.items() if not done]
        lost: str = waiting[0]
        if not self._controller.lost(lost, waiting[1:]):
            done = waiting if scope.startswith("rig ") else [lost]
            unit.update(dict.fromkeys(done, True))
        queue = OrderedDict((name, tests) for name, tests in open_units.items() if not all(tests.values()))
        queue.update(self.workqueue)
        self.workqueue: OrderedDict[str, dict[str, bool]] = queue
        for other in self.assigned_work:
            self._reschedule(other)
        return lost
