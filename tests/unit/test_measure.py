"""Measurements: limits, provenance, and the promise that a declared value is set."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hil.errors import UsageError
from hil.measure.measurement import (
    Limit,
    Measured,
    Measurement,
    Measurements,
    Predicted,
    format_value,
)
from hil.measure.verdict import MEANINGS, Verdict, worst

MODEL = Predicted("test model")
CONSOLE = Measured("console")


@pytest.mark.parametrize(
    ("value", "verdict"),
    [(9.9, "fail"), (10, "pass with warnings"), (11.9, "pass with warnings"), (12, "pass"),
     (18, "pass"), (18.1, "pass with warnings"), (20, "pass with warnings"), (20.1, "fail"),
     (math.nan, "fail"), (math.inf, "fail")],
)  # fmt: skip
def test_bounds_are_inclusive_and_inner_bounds_warn(value: float, verdict: str) -> None:
    assert Limit(low=10, high=20, warn_low=12, warn_high=18).judge(value) == verdict


def test_what_is_not_a_number_fails_without_any_limit() -> None:
    assert Limit().judge(math.nan) is Verdict.FAIL
    assert Limit().judge(-1e300) is Verdict.PASS


def test_an_equal_limit_knows_flags_from_numbers() -> None:
    assert Limit(equal=1).judge(1) is Verdict.PASS
    assert Limit(equal=1).judge(True) is Verdict.FAIL
    assert Limit(equal="96").judge("97") is Verdict.FAIL


@pytest.mark.parametrize(
    "bounds", [{"low": 2, "high": 1}, {"high": 1, "warn_high": 2}, {"equal": 1, "high": 2}]
)
def test_a_limit_that_contradicts_itself_is_refused(bounds: dict[str, float]) -> None:
    with pytest.raises(UsageError):
        Limit(**bounds)


@given(st.floats(allow_nan=False), st.floats(allow_nan=False), st.floats(allow_nan=False))
def test_a_limit_passes_exactly_what_lies_between(low: float, high: float, value: float) -> None:
    low, high = sorted((low, high))
    assert (Limit(low=low, high=high).judge(value) is Verdict.PASS) == (low <= value <= high)


@pytest.mark.parametrize(
    ("limit", "text"),
    [
        (Limit(high=1000, warn_high=900), "≤ 1000, warns above 900"),
        (Limit(low=3, warn_low=4), "≥ 3, warns below 4"),
        (Limit(low=1, high=2), "1 … 2"),
        (Limit(equal=96), "= 96"),
        (Limit(), "none"),
    ],
)
def test_a_limit_prints_what_was_applied(limit: Limit, text: str) -> None:
    assert str(limit) == text


def test_a_virtual_clock_cannot_measure() -> None:
    with pytest.raises(UsageError, match="virtual clock predicts"):
        Measurement("connect time", "ms", "virtual", 1.0, CONSOLE)
    assert Measurement("connect time", "ms", "virtual", 1.0, MODEL).verdict is Verdict.PASS


def test_a_value_without_provenance_is_refused() -> None:
    with pytest.raises(UsageError, match="Measured or Predicted"):
        Measurement("connect time", "ms", "wall", 1.0)


def test_a_declared_value_that_is_never_set_fails() -> None:
    emitted: list[Measurement] = []
    measurements = Measurements("wall", CONSOLE, emitted.append)
    measurements.declare("connect time", "ms", Limit(high=1000))
    measurements.record("current", 12.5, "mA")
    assert measurements.close() is Verdict.FAIL
    assert [(m.name, m.value, m.verdict) for m in emitted] == [
        ("current", 12.5, Verdict.PASS),
        ("connect time", None, Verdict.FAIL),
    ]


def test_a_declared_value_keeps_its_limit() -> None:
    measurements = Measurements("wall", CONSOLE, lambda measurement: None)
    measurements.declare("connect time", "ms", Limit(high=1000, warn_high=900), key=True)
    measured = measurements.record("connect time", 950)
    assert (measured.unit, measured.key, measured.verdict) == ("ms", True, Verdict.WARN)
    assert measurements.close() is Verdict.WARN


def test_a_name_is_used_once_and_a_limit_is_not_moved_afterwards() -> None:
    measurements = Measurements("wall", CONSOLE, lambda measurement: None)
    measurements.declare("a", "ms", Limit(high=1))
    with pytest.raises(UsageError, match="declared before"):
        measurements.declare("a")
    with pytest.raises(UsageError, match="cannot be given again"):
        measurements.record("a", 5, limit=Limit(high=10))
    assert measurements.record("a", 5).verdict is Verdict.FAIL
    with pytest.raises(UsageError, match="measured or declared before"):
        measurements.record("a", 0)


def test_a_text_cannot_have_bounds() -> None:
    measurements = Measurements("wall", CONSOLE, lambda measurement: None)
    with pytest.raises(UsageError, match="cannot be compared"):
        measurements.record("state", "on", limit=Limit(high=3))
    assert measurements.finished == []


def test_a_test_without_measurements_passes() -> None:
    assert Measurements("wall", CONSOLE, lambda measurement: None).close() is Verdict.PASS


def test_the_journal_fields_say_measured_or_predicted() -> None:
    fields = Measurement("t", "ms", "virtual", 1.5, MODEL, Limit(high=2), key=True).fields()
    assert fields == {
        "name": "t",
        "value": 1.5,
        "unit": "ms",
        "limit": {"high": 2},
        "clock": "virtual",
        "provenance": "predicted",
        "source": "test model",
        "verdict": "pass",
        "key": True,
    }
    assert Measurement("t", "ms", "wall").fields()["provenance"] is None
    assert Measurement("t", "ms", "wall", 1, CONSOLE).fields()["source"] == "console"


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [(946.26, "ms", "946.3 ms"), (12345.678, "us", "12346 us"), (0.00012, "s", "0.00012 s"),
     (96, "", "96"), (True, "", "yes")],
)  # fmt: skip
def test_values_are_shown_with_four_digits(value: float, unit: str, text: str) -> None:
    assert format_value(value, unit) == text


def test_the_worst_verdict_counts_and_nothing_is_skipped() -> None:
    assert worst([Verdict.PASS, Verdict.SKIPPED]) is Verdict.PASS
    assert worst([Verdict.WARN, Verdict.RIG_ERROR, Verdict.BLOCKED]) is Verdict.RIG_ERROR
    assert worst([Verdict.RIG_ERROR, Verdict.FAIL]) is Verdict.FAIL
    assert worst([]) is Verdict.SKIPPED
    assert {verdict for verdict in Verdict if verdict.good} == {
        "pass",
        "skipped",
        "quarantined",
        "pass with warnings",
    }
    assert MEANINGS.keys() == set(Verdict)
