"""A pytest plugin that lets things go wrong on chosen rigs: ``-p misfortunes`` with HIL_MISFORTUNES set.

HIL_MISFORTUNES is JSON: rig to ``{"what": …, "at": number of the test that is struck}``. What can
happen: ``kill`` the process that owns the rig or ``unplug`` its ports, once or (``…-again``) at every
attempt; the computer is ``slow``; the element is ``element-broken``; a test does ``fail``.
"""

from __future__ import annotations

import json
import os
import signal
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from hil.clock import WallClock

PLANNED: dict[str, dict[str, Any]] = json.loads(os.environ.get("HIL_MISFORTUNES", "{}"))
MARKS = Path(os.environ.get("HIL_MISFORTUNE_MARKS", "."))
_count: Counter[str] = Counter()


def _is_due(rig: str, what: str, at: int) -> bool:
    """At the test that was chosen; where it comes again, at whatever test runs after that."""
    mark = MARKS / f"{rig}.struck"
    if mark.exists():
        return what.endswith("-again")
    if _count[rig] == at:
        mark.touch()
        return True
    return False


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_call(item: pytest.Item) -> None:
    spec = getattr(item, "callspec", None)
    name = "" if spec is None else spec.params.get("rig", "")
    planned = PLANNED.get(name)
    if planned is None:
        return
    _count[name] += 1
    what: str = planned["what"]
    rig = item.funcargs["rig"]  # type: ignore[attr-defined]
    if what == "slow":
        WallClock().sleep(20_000)
    elif what == "element-broken":
        faults = rig.emulated.element.chip.faults  # tests exchange the part: each of them is broken
        if "random-stuck" not in faults.names:
            faults.add("random-stuck")
    elif not _is_due(name, what, planned["at"]):
        return
    elif what.startswith("kill"):
        os.kill(os.getpid(), signal.SIGKILL)
    elif what.startswith("unplug"):
        for port in rig.ports:
            port.close()
    elif what == "fail":
        raise AssertionError("the product is wrong, says this test")
