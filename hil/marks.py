"""What a test's marks ask for; light, because the fixtures import it in every session."""

from __future__ import annotations

from typing import NoReturn

import pytest

from hil.errors import UsageError

__all__ = ["STATES", "block", "is_block", "reason_of", "requirements", "wanted_state"]

_BLOCKED = "blocked: "

STATES = ("blank", "config-locked", "provisioned", "trust")
"""Life-cycle states of an element."""


def block(reason: str) -> NoReturn:
    """End a test that says nothing, because something it stands on failed."""
    pytest.skip(_BLOCKED + reason)


def reason_of(text: str) -> str:
    """What :func:`block` was told."""
    return text.removeprefix(_BLOCKED)


def is_block(reason: str) -> bool:
    """Whether a skip's reason comes from :func:`block`."""
    return reason.startswith(_BLOCKED)


def requirements(item: pytest.Item) -> list[str]:
    """Requirement ids of a test."""
    return [str(arg) for mark in item.iter_markers("req") for arg in mark.args]


def wanted_state(item: pytest.Item) -> str | None:
    """The element's life-cycle state that a test asks for.

    Raises:
        UsageError: there is no such state.
    """
    for mark in item.iter_markers("needs"):
        state = mark.kwargs.get("element")
        if state is not None:
            if state not in STATES:
                raise UsageError(
                    f"{item.nodeid}: no element state {state!r}", hint=f"states: {', '.join(STATES)}"
                )
            return str(state)
    return None
