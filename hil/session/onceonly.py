"""An irreversible test is run once: not again after it failed, not several times, whoever asks.

Plugins that run tests again come in two kinds. Some run the same item once more: it is noticed when
its setup begins a second time. Others make several items of one test, which differ in a parameter of
the plugin's own (pytest-repeat calls it ``__pytest_repeat_step_number``): all but the first are left out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable

__all__ = ["Once", "is_irreversible", "repetitions"]


def is_irreversible(item: pytest.Item) -> bool:
    """Whether a test does something that cannot be undone."""
    return item.get_closest_marker("irreversible") is not None


def repetitions(items: Iterable[pytest.Item]) -> list[pytest.Item]:
    """The items of irreversible tests that repeat an earlier one."""
    seen: set[Hashable] = set()
    again = []
    for item in items:
        if is_irreversible(item):
            identity = _identity(item)
            if identity in seen:
                again.append(item)
            seen.add(identity)
    return again


def _identity(item: pytest.Item) -> Hashable:
    """File, function and parameters; those of plugins begin with an underscore and do not count."""
    spec = getattr(item, "callspec", None)
    if spec is None:
        return item.nodeid
    # Values need not be hashable; every item of a test shares the objects that were listed once.
    ours = frozenset((name, id(value)) for name, value in spec.params.items() if not name.startswith("_"))
    return (item.nodeid.partition("::")[0], getattr(item, "originalname", item.name), ours)


class Once:
    """Remembers which irreversible tests of a session have begun."""

    def __init__(self) -> None:
        self._begun: dict[str, bool] = {}

    def begins(self, item: pytest.Item) -> None:
        """Its setup begins.

        Raises:
            pytest.fail.Exception: it began before in this session, and failed: it stays failed.
            pytest.skip.Exception: it began before, and did not fail.
        """
        if not is_irreversible(item):
            return
        failed = self._begun.get(item.nodeid)
        if failed is None:
            self._begun[item.nodeid] = False
            return
        what = "an irreversible test is never run again"
        if failed:
            pytest.fail(f"{what}: it failed once, and the element may have changed", pytrace=False)
        pytest.skip(f"left out: {what}")

    def failed(self, item: pytest.Item) -> None:
        """A phase of it failed."""
        if item.nodeid in self._begun:
            self._begun[item.nodeid] = True
