"""Baselines: approved by name, compared key by key."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hil.clock import Calendar
from hil.errors import ConfigError, UsageError
from hil.measure.statistics import Sample
from hil.records.baseline import (
    Baseline,
    Change,
    Timing,
    approve,
    compare,
    find_baseline,
    masked,
)
from tests.unit.record_samples import NOON

if TYPE_CHECKING:
    from pathlib import Path

    from hil.records.baseline import Entry

CALENDAR = Calendar(NOON)
SIGN = Timing(Sample(tuple(60_000.0 + n for n in range(30)), timeouts=1))
KNOWN = Baseline(
    "atecc608a",
    "00006002",
    {"Info": "00 00 60 02", "Sign time": SIGN, "AES": True, "slots": [1, {"a": None}]},
)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


def changes(base: Baseline, new: Baseline) -> dict[str, str]:
    return {difference.key: str(difference.change) for difference in compare(base, new)}


def test_an_approved_baseline_comes_back_with_who_and_when(tmp_path: Path) -> None:
    path = approve(tmp_path / "baselines", KNOWN, "Ada", CALENDAR)
    found = find_baseline(tmp_path / "baselines", "atecc608a", "00006002")
    assert path.name == "atecc608a-00006002.json"
    assert found is not None
    assert (found.entries, found.approved_by, found.approved_at) == (KNOWN.entries, "Ada", NOON)
    assert set(changes(KNOWN, found).values()) == {"identical"}


def test_an_unknown_revision_has_no_baseline(tmp_path: Path) -> None:
    approve(tmp_path, KNOWN, "Ada", CALENDAR)
    assert find_baseline(tmp_path, "atecc608a", "00006003") is None


def test_a_baseline_is_not_replaced_by_accident(tmp_path: Path) -> None:
    approve(tmp_path, KNOWN, "Ada", CALENDAR)
    changed = Baseline("atecc608a", "00006002", {"Info": "other"})
    with pytest.raises(UsageError, match="exists"):
        approve(tmp_path, changed, "Bob", CALENDAR)
    approve(tmp_path, changed, "Bob", CALENDAR, replace=True)
    found = find_baseline(tmp_path, "atecc608a", "00006002")
    assert found is not None
    assert found.entries == {"Info": "other"}


@pytest.mark.parametrize(
    ("observed", "by"),
    [(KNOWN, " "), (Baseline("atecc608a", "00006002"), "Ada"),
     (Baseline("../x", "00006002", {"a": 1}), "Ada"), (Baseline("atecc608a", "6002", {"a": 1}), "Ada")],
)  # fmt: skip
def test_what_cannot_be_approved_is_refused_and_leaves_nothing(
    tmp_path: Path, observed: Baseline, by: str
) -> None:
    with pytest.raises(UsageError):
        approve(tmp_path, observed, by, CALENDAR)
    assert list(tmp_path.iterdir()) == []


def test_a_baseline_that_nobody_approved_or_that_was_renamed_is_refused(tmp_path: Path) -> None:
    path = approve(tmp_path, KNOWN, "Ada", CALENDAR)
    row = json.loads(path.read_text())
    path.rename(tmp_path / "atecc608a-00006003.json")
    with pytest.raises(ConfigError, match="is the baseline of atecc608a 00006002"):
        find_baseline(tmp_path, "atecc608a", "00006003")
    path.write_text(json.dumps({**row, "approved_by": ""}))
    with pytest.raises(ConfigError, match="approved by nobody"):
        find_baseline(tmp_path, "atecc608a", "00006002")


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": 2}', '{"format": 1, "part": 3, "entries": []}'])
def test_a_damaged_baseline_is_one_message(tmp_path: Path, text: str) -> None:
    (tmp_path / "atecc608a-00006002.json").write_text(text)
    with pytest.raises(ConfigError, match=r"atecc608a-00006002\.json"):
        find_baseline(tmp_path, "atecc608a", "00006002")


def test_each_key_is_identical_changed_new_or_missing() -> None:
    base = Baseline("atecc608a", "00006002", {"a": 1, "b": 1, "c": 1})
    new = Baseline("atecc608b", "00006003", {"a": 1, "b": 2, "d": 1})
    assert changes(base, new) == {"a": "identical", "b": "changed", "c": "missing", "d": "new"}


def test_a_flag_and_a_number_are_different_answers() -> None:
    def seen(entry: Entry) -> Baseline:
        return Baseline("atecc608a", "00006002", {"x": entry})

    assert changes(seen(1), seen(True)) == {"x": "changed"}
    assert changes(seen([{"a": 0}]), seen([{"a": False}])) == {"x": "changed"}
    assert changes(seen({"a": 0, "b": 1}), seen({"b": 1, "a": 0})) == {"x": "identical"}


def test_a_timing_changes_in_either_direction_only_if_it_matters() -> None:
    def timing(*values: float, timeouts: int = 0) -> Baseline:
        return Baseline("atecc608a", "00006002", {"t": Timing(Sample(values, timeouts))})

    base = timing(*range(60_000, 60_030))
    assert changes(base, timing(*range(60_900, 60_930))) == {"t": "identical"}
    assert changes(base, timing(*range(110_000, 110_030))) == {"t": "changed"}
    assert changes(timing(*range(110_000, 110_030)), base) == {"t": "changed"}
    assert changes(base, timing(timeouts=30)) == {"t": "changed"}
    assert changes(base, timing()) == {"t": "changed"}
    assert changes(base, Baseline("atecc608a", "00006002", {"t": 60_000})) == {"t": "changed"}


def test_differences_are_told_in_words() -> None:
    slower = Timing(Sample(tuple(115_000.0 + n for n in range(30))))
    new = Baseline("atecc608b", "00006003", {**KNOWN.entries, "Sign time": slower})
    (changed,) = (d for d in compare(KNOWN, new) if d.change is Change.CHANGED)
    assert (changed.before, changed.after) == ("median 60 ms of 31, 1 timed out", "median 115 ms of 30")


def test_different_kinds_of_parts_are_not_compared() -> None:
    assert compare(Baseline("atecc508a", "00005000"), Baseline("atecc608a", "00006002")) == []
    with pytest.raises(UsageError, match="cannot be compared"):
        compare(Baseline("esp32", "00000000"), KNOWN)


@given(st.dictionaries(st.text(max_size=4), json_values, min_size=1), st.data())
def test_what_is_stored_is_identical_when_read(
    tmp_path_factory: pytest.TempPathFactory, entries: dict[str, object], data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("baselines")
    base = Baseline("part", "00000000", entries)  # type: ignore[arg-type]  # JSON values
    approve(folder, base, "Ada", CALENDAR)
    found = find_baseline(folder, "part", "00000000")
    assert found is not None
    assert set(changes(base, found).values()) == {"identical"}
    gone = data.draw(st.sampled_from(sorted(entries)))
    rest = {key: value for key, value in entries.items() if key != gone}
    assert changes(base, Baseline("part", "00000000", rest))[gone] == "missing"  # type: ignore[arg-type]


def test_bytes_that_differ_from_die_to_die_are_masked() -> None:
    assert masked(bytes.fromhex("0123aabb00005000"), {2, 3}) == "01 23 .. .. 00 00 50 00"
