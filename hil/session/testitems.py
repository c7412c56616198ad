"""What a pytest item is to us: its suite, its id in the record, its title, its rig."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hil import suitegraph
from hil.marks import requirements

if TYPE_CHECKING:
    from collections.abc import Container

    import pytest

__all__ = ["first_line", "item_id", "item_title", "parameters_of", "rig_of", "skip_reason", "suite_name"]


def rig_of(item: pytest.Item, rigs: Container[str]) -> str | None:
    """The rig that a test runs on, or None if it uses none of ours."""
    spec = getattr(item, "callspec", None)
    name = spec.params.get("rig") if spec is not None else None
    return name if isinstance(name, str) and name in rigs else None


def suite_name(item: pytest.Item) -> str:
    """The suite that a test belongs to."""
    return suitegraph.suite_of(item.path.as_posix())


def parameters_of(item: pytest.Item) -> dict[str, object]:
    """The parameters of a test without the rig, sorted by name."""
    spec = getattr(item, "callspec", None)
    return {} if spec is None else {name: spec.params[name] for name in sorted(spec.params) if name != "rig"}


def item_id(item: pytest.Item, rig: str) -> str:
    """Requirement, test, parameters and rig: the same in a checkout and in an installed package."""
    shown = ",".join(f"{name}={value}" for name, value in parameters_of(item).items())
    first = (requirements(item) or [suite_name(item)])[0]
    return f"{first} {_name(item)}[{shown}] @ {rig}" if shown else f"{first} {_name(item)} @ {rig}"


def item_title(item: pytest.Item) -> str:
    """The test in words."""
    words = _name(item).removeprefix("test_").replace("_", " ")
    given = [str(value) for value in parameters_of(item).values()]
    return f"{words} ({', '.join(given)})" if given else words


def _name(item: pytest.Item) -> str:
    return str(getattr(item, "originalname", None) or item.name)


def skip_reason(report: pytest.TestReport) -> str:
    """Why a test was skipped."""
    text = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    return text.removeprefix("Skipped: ")


def first_line(error: BaseException | None) -> str:
    """The first line of an error's message, or its type."""
    lines = str(error).strip().splitlines() if error is not None else []
    return lines[0] if lines else type(error).__name__
