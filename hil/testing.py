"""The emulated element as a pytest fixture, for people who test a driver of their own.

In the ``conftest.py`` of a project that has ``atecc-hil`` installed::

    pytest_plugins = ["hil.testing"]

and in a test::

    @pytest.mark.atecc("atecc508a", "provisioned")
    def test_my_driver_signs(atecc):
        driver = MyDriver(atecc.smbus, sleep=atecc.time.sleep)
        assert len(driver.sign(slot=0, digest=bytes(32))) == 64

Nothing of the chip is imported before a test asks for one. If a test fails, the report shows what
was on the bus, decoded, with keys hidden.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import pytest

from hil.emulator.standalone import EmulatedElement, emulated_element

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

__all__ = ["EmulatedElement", "MakeAtecc", "atecc", "emulated_element", "make_atecc"]

MARK = (
    "atecc(part='atecc608b', state='blank', **options): the emulated part that the fixture `atecc` makes;"
    " options as of hil.testing.emulated_element"
)

_PARTS: pytest.StashKey[list[EmulatedElement]] = pytest.StashKey()


class MakeAtecc(Protocol):
    """What the fixture ``make_atecc`` gives: arguments as of :func:`emulated_element`."""

    def __call__(self, part: str = "atecc608b", state: str = "blank", **options: object) -> EmulatedElement:
        """One more part, on a bus of its own and with a serial number of its own."""
        ...


def pytest_configure(config: pytest.Config) -> None:
    """Register the mark."""
    config.addinivalue_line("markers", MARK)


@pytest.fixture
def make_atecc(request: pytest.FixtureRequest) -> Iterator[MakeAtecc]:
    """Makes emulated elements; they are closed after the test."""
    parts = request.node.stash.setdefault(_PARTS, [])

    def make(part: str = "atecc608b", state: str = "blank", **options: object) -> EmulatedElement:
        options.setdefault("number", len(parts) + 1)
        made = emulated_element(part, state, **options)  # type: ignore[arg-type]  # checked there
        parts.append(made)
        return made

    yield make
    for made in parts:
        made.close()


@pytest.fixture
def atecc(request: pytest.FixtureRequest, make_atecc: MakeAtecc) -> EmulatedElement:
    """An emulated element on a bus of its own; ``@pytest.mark.atecc(…)`` says which."""
    mark = request.node.get_closest_marker("atecc")
    return make_atecc() if mark is None else make_atecc(*mark.args, **mark.kwargs)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A failed test shows the traffic of its parts."""
    report = yield
    if report.failed:
        for part in item.stash.get(_PARTS, []):
            report.sections.append((f"I2C of {part!r}", part.listing() or "no transaction"))
    return report
