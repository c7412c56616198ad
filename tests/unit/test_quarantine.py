"""The quarantine list: read with its mistakes, and without effect after its last day."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from hil.clock import Calendar
from hil.errors import ConfigError, UsageError
from hil.session.quarantine import Quarantine, load_quarantine

if TYPE_CHECKING:
    from pathlib import Path

LIST = """\
quarantine:
  - requirement: HIL-CONN-003
    rig: bench-*
    reason: the access point drops packets
    issue: https://example.org/issues/12
    until: 2026-03-31
  - test: test_it_blinks
    reason: the lamp is broken
    issue: "#7"
    until: 2026-12-31
"""


@dataclass
class Item:
    """As much of a test as the quarantine looks at."""

    name: str = "test_it_connects[bench-1]"
    originalname: str = "test_it_connects"
    nodeid: str = "suites/x.py::test_it_connects"
    marks: list[Any] = field(default_factory=list)

    def iter_markers(self, name: str) -> list[Any]:
        return [mark for mark in self.marks if mark.name == name]


def at(day: str) -> Calendar:
    return Calendar(datetime.fromisoformat(f"{day}T23:59:00").replace(tzinfo=UTC).timestamp())


def found(path: Path, day: str, item: Item, requirements: list[str], rig: str) -> str | None:
    entry = Quarantine(load_quarantine(path, required=True), at(day)).find(
        item,  # type: ignore[arg-type]
        requirements,
        rig,
    )
    return None if entry is None else str(entry)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "quarantine.yaml"
    file.write_text(LIST, encoding="utf-8")
    return file


@pytest.mark.parametrize(
    ("day", "requirement", "bench", "tolerated"),
    [
        ("2026-03-30", "HIL-CONN-003", "bench-1", True),
        ("2026-03-31", "HIL-CONN-003", "bench-1", True),
        ("2026-04-01", "HIL-CONN-003", "bench-1", False),
        ("2026-03-30", "HIL-CONN-003", "desk-1", False),
        ("2026-03-30", "HIL-CONN-004", "bench-1", False),
    ],
)
def test_an_entry_holds_for_its_requirement_and_rigs_until_its_last_day(
    path: Path, day: str, requirement: str, bench: str, tolerated: bool
) -> None:
    said = found(path, day, Item(), [requirement], bench)
    assert (said is not None) is tolerated
    if said is not None:
        assert said == (
            "the access point drops packets (https://example.org/issues/12), tolerated until 2026-03-31"
        )


def test_a_test_is_meant_by_its_name_whatever_its_parameters(path: Path) -> None:
    item = Item(name="test_it_blinks[bench-1-red]", originalname="test_it_blinks")
    assert found(path, "2026-03-30", item, [], "desk-1") is not None
    assert found(path, "2026-03-30", Item(), [], "desk-1") is None


def test_the_header_of_a_run_says_which_entries_have_expired(path: Path) -> None:
    rows = Quarantine(load_quarantine(path, required=True), at("2026-06-01")).fields()
    assert [(row.get("requirement"), row.get("test"), row["expired"]) for row in rows] == [
        ("HIL-CONN-003", None, True),
        (None, "test_it_blinks", False),
    ]


def test_a_mark_needs_reason_issue_and_date() -> None:
    good = pytest.mark.quarantine("flaky antenna", issue="#9", until="2026-12-31").mark
    quarantine = Quarantine((), at("2026-06-01"))
    item = Item(marks=[good])
    entry = quarantine.find(item, [], "bench-1")  # type: ignore[arg-type]
    assert entry is not None
    assert entry.reason == "flaky antenna"
    assert Quarantine((), at("2027-01-01")).find(item, [], "bench-1") is None  # type: ignore[arg-type]
    bad = Item(marks=[pytest.mark.quarantine("flaky antenna").mark])
    with pytest.raises(UsageError, match="needs reason, issue and until"):
        quarantine.find(bad, [], "bench-1")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("quarantine: []\n", "there is no entry"),
        (LIST.replace("2026-03-31", "next week"), r"quarantine.yaml:6:\d+: .*a date, YEAR-MONTH-DAY"),
        (
            LIST.replace("  - test: test_it_blinks\n    reason", "  - reason"),
            "either a requirement or a test",
        ),
        (LIST.replace('issue: "#7"', "isue: x"), "issue"),
    ],
)
def test_a_list_that_is_wrong_is_refused_with_its_place(path: Path, text: str, said: str) -> None:
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=said):
        load_quarantine(path, required=True)


def test_a_list_that_was_not_named_may_be_missing(tmp_path: Path) -> None:
    assert load_quarantine(tmp_path / "none.yaml", required=False) == ()
    with pytest.raises(ConfigError):
        load_quarantine(tmp_path / "none.yaml", required=True)
