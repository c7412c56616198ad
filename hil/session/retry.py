"""One more try of a test whose rig broke, with everything that it stood on made anew."""

from __future__ import annotations

from typing import TYPE_CHECKING

from _pytest.runner import runtestprotocol  # what plugins that run tests again use

if TYPE_CHECKING:
    import pytest

    from hil.session.run import Run

__all__ = ["run_again"]


def run_again(run: Run, item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """Take down every fixture, the session's too, and run the test once more.

    The rig was let go of when the first attempt ended; the fixture that opened it still holds it,
    or its error, and is made again.
    """
    item.session._setupstate.teardown_exact(None)
    run.test_starts(item)
    try:
        runtestprotocol(item, nextitem=nextitem, log=True)
    except BaseException:
        run.breaks_off()
        raise
    run.test_ends(item)
