"""Which tests run on which rig, and in what order."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from hil import rigfile, suitegraph
from hil.errors import UsageError
from hil.marks import STATES, wanted_state
from hil.session.onceonly import is_irreversible, repetitions
from hil.session.testitems import rig_of, suite_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hil.rigfile import RigFile
    from hil.session.options import Options

__all__ = ["arrange", "put_in_order", "refuse_choice"]


def arrange(items: list[pytest.Item], options: Options) -> None:
    """Rig by rig, suites in bring-up order, irreversible tests last in their suite.

    What a rig cannot do, or must not, is marked to be skipped with its reason.
    """
    files = {file.rig: file for file in options.rigs}
    for item in repetitions(items):
        if rig_of(item, files) is not None:
            item.add_marker(pytest.mark.skip(reason="left out: an irreversible test is never repeated"))
    for item in items:
        name = rig_of(item, files)
        if name is not None:
            reason = _left_out(item, files[name], options)
            if reason is not None:
                item.add_marker(pytest.mark.skip(reason=reason))

    put_in_order(items, options)
    if options.worker is not None:
        from hil.session.workers import tell_tests

        tell_tests(options.worker, items, files)


def put_in_order(items: list[pytest.Item], options: Options) -> None:
    """Sort; within a suite the order of the files stays.

    Irreversible tests come last in their suite, in the order of an element's life: a physical part
    that may be used up serves one state after the other.
    """
    position = {file.rig: number for number, file in enumerate(options.rigs)}

    def key(item: pytest.Item) -> tuple[int, tuple[int, int], int]:
        name = rig_of(item, position)
        if name is None:
            return (-1, (0, 0), 0)
        state = wanted_state(item)
        stage = 0 if state is None else 1 + STATES.index(state)
        return (position[name], suitegraph.order(suite_name(item)), is_irreversible(item) * (1 + stage))

    items.sort(key=key)


def _left_out(item: pytest.Item, file: RigFile, options: Options) -> str | None:
    """Why a test is not run on a rig, or None if it is."""
    needed: set[str] = set()
    for mark in item.iter_markers("needs"):
        needed.update(mark.args)
    reason = rigfile.missing(file, needed) or suitegraph.lacks_settings(file, suite_name(item))
    if reason is not None:
        return f"not applicable: {reason}"
    state = wanted_state(item)
    if state is not None and (state == "trust") != (file.element.state == "trust"):
        return f"not applicable: {file.rig} has no {state} element, it is {file.element.state}"
    if not is_irreversible(item):
        return None
    if options.plan.reversible_only:
        return f"left out: plan {options.plan.name} runs reversible tests only"
    if file.emulated:
        return None
    if options.last_failed:
        return "left out: --lf would run an irreversible test again; look at the element first"
    serial = file.element.serial
    if file.element.expendable and serial in options.allow_irreversible:
        return None
    return (
        f"not allowed: irreversible on a physical element; needs `expendable: true` and "
        f"--allow-irreversible {serial or 'SERIAL'}"
    )


def refuse_choice(left_out: Sequence[pytest.Item], options: Options) -> None:
    """Refuse that a plan which is to be complete leaves out tests of its rigs.

    Raises:
        UsageError: it would.
    """
    rigs = {file.rig for file in options.rigs}
    ours = [item for item in left_out if rig_of(item, rigs) is not None]
    if options.plan.complete and ours:
        raise UsageError(
            f"plan {options.plan.name} runs every test of its suites; deselected: {len(ours)}, the first is "
            f"{ours[0].nodeid}",
            hint="leave out -k, -m and --deselect",
        )
