"""Statistics: known values, and properties that hold for every sample."""

from __future__ import annotations

import itertools
import math
import random
from statistics import NormalDist

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hil.errors import UsageError
from hil.measure import compare as comparing
from hil.measure.compare import compare, control_chart, rank_test, ratio
from hil.measure.statistics import (
    Sample,
    Standing,
    claim_below,
    quantile_interval,
    samples_needed,
    summarize,
)

values = st.lists(st.integers(0, 10_000), min_size=1, max_size=12)


def sample(*numbers: float, timeouts: int = 0) -> Sample:
    return Sample(tuple(map(float, numbers)), timeouts)


@pytest.mark.parametrize(
    ("fraction", "confidence", "n"),
    [(0.5, 0.95, 5), (0.9, 0.95, 29), (0.95, 0.90, 45), (0.95, 0.95, 59), (0.99, 0.95, 299)],
)
def test_the_sample_sizes_are_the_known_ones(fraction: float, confidence: float, n: int) -> None:
    assert samples_needed(fraction, confidence) == n
    enough, short = sample(*[1] * n), sample(*[1] * (n - 1))
    assert claim_below(enough, 2, fraction, confidence).standing is Standing.SHOWN
    assert claim_below(short, 2, fraction, confidence).standing is Standing.NOT_SHOWN


def test_one_exceedance_needs_more_samples() -> None:
    # Known: p95 < limit at 95 % with one exceedance needs 93 attempts, with two 124.
    for n, exceedances, standing in (
        (93, 1, "shown"),
        (92, 1, "not shown"),
        (124, 2, "shown"),
        (123, 2, "not shown"),
    ):
        tested = sample(*[1] * (n - exceedances), *[9] * exceedances)
        assert claim_below(tested, 5, 0.95, 0.95).standing == standing


def test_time_outs_count_as_exceedances_and_refute() -> None:
    claim = claim_below(sample(*[1] * 10, timeouts=10), 5, 0.95, 0.95)
    assert (claim.exceedances, claim.n, claim.standing) == (10, 20, Standing.REFUTED)


def test_a_claim_is_refuted_when_so_many_would_be_improbable() -> None:
    # P(3 or more of 20 above a true p95) = 0.075, P(4 or more) = 0.016.
    for exceedances, standing in ((3, Standing.NOT_SHOWN), (4, Standing.REFUTED)):
        tested = sample(*[1] * (20 - exceedances), *[9] * exceedances)
        assert claim_below(tested, 5, 0.95, 0.95).standing is standing


def test_a_model_without_draws_shows_nothing_however_often_it_runs() -> None:
    tested = Sample((1.0,) * 1000, deterministic=True)
    claim = claim_below(tested, 5, 0.95, 0.95)
    assert (claim.n, claim.standing) == (1, Standing.NOT_SHOWN)
    assert summarize(tested).median_interval.high == math.inf


def test_nothing_shows_nothing() -> None:
    assert claim_below(Sample(()), 5, 0.95, 0.95).standing is Standing.NOT_SHOWN
    with pytest.raises(UsageError):
        summarize(Sample(()))


def test_the_figures_of_a_known_sample() -> None:
    summary = summarize(sample(*range(1, 21)))
    assert (summary.n, summary.minimum, summary.median, summary.p90, summary.p95, summary.maximum) == (
        20, 1, 10.5, 18, 19, 20,
    )  # fmt: skip
    # Tables of the sign test, 95 %: n = 20: the 6th and the 15th value, n = 22: the 6th and the 17th.
    assert (summary.median_interval.low, summary.median_interval.high) == (6, 15)
    longer = summarize(sample(*range(1, 23))).median_interval
    assert (longer.low, longer.high) == (6, 17)


def test_quantiles_among_the_time_outs_are_infinite_and_the_others_unmoved() -> None:
    summary = summarize(sample(*range(1, 19), timeouts=2))
    assert (summary.timeouts, summary.median, summary.p90, summary.p95) == (2, 10.5, 18, math.inf)


def test_a_small_sample_has_an_open_interval() -> None:
    interval = quantile_interval(sample(1, 2, 3), 0.5, 0.95)
    assert (interval.low, interval.high) == (-math.inf, math.inf)


def test_the_interval_covers_the_median_as_often_as_it_says() -> None:
    draw = random.Random(7)
    hits = 0
    for _ in range(1000):
        interval = quantile_interval(sample(*(draw.expovariate(1) for _ in range(25))), 0.5, 0.90)
        hits += interval.low <= math.log(2) <= interval.high
    assert 880 <= hits <= 970


# -- two samples ------------------------------------------------------------------------------


def exhaustive(base: list[int], new: list[int]) -> float:
    """P of so many wins or more, by trying every split of the pooled values."""
    pool = base + new
    wins = sum(b > a for a in base for b in new)
    splits = list(itertools.combinations(range(len(pool)), len(new)))
    as_large = 0
    for split in splits:
        chosen = [pool[i] for i in split]
        rest = [pool[i] for i in range(len(pool)) if i not in split]
        as_large += sum(b > a for a in rest for b in chosen) >= wins
    return as_large / len(splits)


@given(st.lists(st.integers(), min_size=2, max_size=9, unique=True), st.data())
def test_the_exact_rank_test_counts_every_arrangement(pool: list[int], data: st.DataObject) -> None:
    cut = data.draw(st.integers(1, len(pool) - 1))
    base, new = pool[:cut], pool[cut:]
    assert rank_test(sample(*base), sample(*new)) == pytest.approx(exhaustive(base, new))


def test_the_approximation_meets_the_exact_test(monkeypatch: pytest.MonkeyPatch) -> None:
    draw = random.Random(3)
    pairs = [
        ([draw.gauss(100, 10) for _ in range(25)], [draw.gauss(104, 10) for _ in range(25)]) for _ in range(9)
    ]
    exact = [rank_test(sample(*base), sample(*new)) for base, new in pairs]
    monkeypatch.setattr(comparing, "_EXACT_PAIRS", 0)
    close = [rank_test(sample(*base), sample(*new)) for base, new in pairs]
    assert min(exact) < 0.05 < max(exact)
    assert close == pytest.approx(exact, abs=0.003)
    assert close != exact


def test_ties_are_corrected_for() -> None:
    # Known by hand: 3 + 3 values, wins 7 of 9, ties 2-2: z = (7 - 4.5 - 0.5) / sqrt(5.25 - 0.3)
    p = rank_test(sample(1, 2, 3), sample(2, 3, 4))
    assert p == pytest.approx(1 - NormalDist().cdf(2.0 / math.sqrt(9 / 12 * (7 - 12 / 30))))


def test_equal_samples_are_no_regression() -> None:
    same = sample(5, 5, 5, 5, 5)
    assert rank_test(same, same) == 1.0
    assert not compare(same, same).slower


def test_a_regression_must_be_certain_and_large_enough() -> None:
    draw = random.Random(1)
    base = sample(*(draw.gauss(500, 10) for _ in range(40)))
    little = sample(*(draw.gauss(520, 10) for _ in range(40)))
    much = sample(*(draw.gauss(600, 10) for _ in range(40)))
    few = sample(700.0)
    assert compare(base, little).p < 0.001
    assert not compare(base, little).slower
    assert compare(base, much, absolute=50).slower
    assert not compare(base, much, absolute=150).slower
    assert not compare(base, few).slower
    interval = compare(base, much).interval
    assert interval.low < 100 < interval.high
    assert interval.high - interval.low < 15


def test_time_outs_make_a_sample_slower() -> None:
    base = sample(*range(100, 130))
    assert compare(base, sample(*range(100, 110), timeouts=20)).slower


def test_two_deterministic_samples_are_compared_by_the_thresholds_alone() -> None:
    base, new = Sample((100.0,), deterministic=True), Sample((120.0,), deterministic=True)
    assert compare(base, new).slower
    assert not compare(base, new, relative=0.25).slower


@given(values, values, st.integers(0, 3))
def test_the_shift_follows_a_constant(base: list[int], new: list[int], timeouts: int) -> None:
    older, newer = sample(*base, timeouts=timeouts), sample(*new)
    moved = sample(*(value + 1000 for value in new))
    first, second = compare(older, newer), compare(older, moved)
    if math.isfinite(first.shift):
        assert second.shift == pytest.approx(first.shift + 1000)
    assert second.p <= first.p + 1e-12


@given(values, values)
def test_the_two_sides_of_the_test_belong_together(base: list[int], new: list[int]) -> None:
    p, q = rank_test(sample(*base), sample(*new)), rank_test(sample(*new), sample(*base))
    assert min(p, q) >= 0
    assert max(p, q) <= 1
    assert p + q >= 1 - 1e-9  # the observed arrangement counts for both


def test_a_ratio_comes_with_its_interval() -> None:
    element = sample(*range(440, 470))
    software = sample(*range(4300, 4360, 2))
    times, interval = ratio(element, software)
    assert interval.low < times < interval.high
    assert times == pytest.approx(9.5, abs=0.2)
    with pytest.raises(UsageError):
        ratio(sample(0, 1), software)


def test_time_outs_on_both_sides_prove_no_shift() -> None:
    base, new = sample(1, timeouts=1), sample(1, timeouts=1)
    assert compare(base, new).shift == 0.0


def test_a_sample_of_nonsense_is_refused() -> None:
    with pytest.raises(UsageError):
        sample(math.nan)
    with pytest.raises(UsageError):
        rank_test(sample(), sample(1))


# -- drift ----------------------------------------------------------------------------------------


def test_a_chart_of_a_known_series() -> None:
    chart = control_chart([10, 12, 11, 13, 12])
    assert chart.centre == 12
    assert chart.high - chart.centre == pytest.approx(2.66 * 1.5)
    assert not chart.drifts


def test_a_step_and_a_slow_drift_are_seen() -> None:
    steady = [100 + (-1) ** n for n in range(20)]
    assert not control_chart(steady).drifts
    assert control_chart([*steady, 130]).beyond == (20,)
    assert control_chart([100 + n for n in range(20)]).runs != ()


def test_one_outlier_accuses_itself_and_not_the_others() -> None:
    chart = control_chart([450, 451] * 6 + [700])
    assert (chart.beyond, chart.runs) == ((12,), ())


def test_values_on_the_centre_end_a_run() -> None:
    assert control_chart([1, -1] * 4 + [0] * 20).runs == ()
    with pytest.raises(UsageError):
        control_chart([1])
