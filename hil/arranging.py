"""Which tests run on which rig, and in what order."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from hil import rigfile, suitegraph
from hil.marks import wanted_state
from hil.testitems import rig_of, suite_name

if TYPE_CHECKING:
    from hil.options import Options
    from hil.rigfile import RigFile

__all__ = ["arrange"]


def arrange(items: list[pytest.Item], options: Options) -> None:
    """Rig by rig, suites in bring-up order, irreversible tests last in their suite.

    What a rig cannot do, or must not, is marked to be skipped with its reason.
    """
    files = {file.rig: file for file in options.rigs}
    position = {name: number for number, name in enumerate(files)}
    for item in items:
        name = rig_of(item, files)
        if name is not None:
            reason = _left_out(item, files[name], options)
            if reason is not None:
                item.add_marker(pytest.mark.skip(reason=reason))

    def key(item: pytest.Item) -> tuple[int, int, bool]:
        name = rig_of(item, files)
        if name is None:
            return (-1, 0, False)
        irreversible = item.get_closest_marker("irreversible") is not None
        return (position[name], suitegraph.order(suite_name(item)), irreversible)

    items.sort(key=key)  # stable: within a suite the order of the files stays
    if options.worker is not None:
        from hil.workers import tell_tests

        tell_tests(options.worker, items, files)


def _left_out(item: pytest.Item, file: RigFile, options: Options) -> str | None:
    """Why a test is not run on a rig, or None if it is."""
    needed: set[str] = set()
    for mark in item.iter_markers("needs"):
        needed.update(mark.args)
    reason = rigfile.missing(file, needed)
    if reason is not None:
        return f"not applicable: {reason}"
    state = wanted_state(item)
    if state is not None and (state == "trust") != (file.element.state == "trust"):
        return f"not applicable: {file.rig} has no {state} element, it is {file.element.state}"
    if item.get_closest_marker("irreversible") is None:
        return None
    if options.plan.reversible_only:
        return f"left out: plan {options.plan.name} runs reversible tests only"
    serial = file.element.serial
    allowed = file.element.expendable and serial in options.allow_irreversible
    if file.emulated or allowed:
        return None
    return (
        f"not allowed: irreversible on a physical element; needs `expendable: true` and "
        f"--allow-irreversible {serial or 'SERIAL'}"
    )
