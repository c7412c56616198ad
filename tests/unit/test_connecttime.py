"""Connect times: what a sample says, which phase is to blame, and whether two clocks agree."""

from __future__ import annotations

import math

import pytest

from hil.connecttime.findings import judge, placement
from hil.connecttime.limits import held_back, slow_steps, step_limit
from hil.connecttime.regression import regressions
from hil.emulator.mcu import bounds, load_costs
from hil.errors import ConfigError, RigError
from hil.measure.connect import Connection, Step, read_connection
from hil.measure.stamps import agree
from hil.measure.statistics import Sample, Standing
from hil.records.baseline import Baseline, Timing
from hil.records.distribution import Row, Samples, distribution_picture
from hil.records.waterfall import Bar, Moment, Waterfall, waterfall_picture


def connection(*steps: tuple[str, int], software: tuple[str, ...] = ()) -> Connection:
    made = tuple(Step(name, us, name, 0 if name == "element-sign" else None) for name, us in steps)
    return Connection(1_000, made, 0, software, None, 0)


GOOD = connection(
    ("element-verify", 200_000),
    ("element-verify", 260_000),
    ("element-ecdh-key", 302_000),
    ("element-ecdh", 352_000),
    ("element-sign", 420_000),
    ("tls", 425_000),
    ("connack", 430_000),
)


def test_59_attempts_without_an_exceedance_show_p95_and_29_show_p90() -> None:
    assert judge(Sample((500.0,) * 59), 1000).fraction == 0.95
    assert judge(Sample((500.0,) * 59), 1000).standing is Standing.SHOWN
    assert judge(Sample((500.0,) * 29), 1000).fraction == 0.90


def kept(**entries: object) -> Baseline:
    return Baseline("connect-rig", "00005000", entries)  # type: ignore[arg-type]


def test_slower_connects_and_more_bytes_on_the_bus_are_regressions() -> None:
    usual = Timing(Sample(tuple(500_000.0 + 1_000 * n for n in range(29))))
    slower = Timing(Sample(tuple(600_000.0 + 1_000 * n for n in range(29))))
    base = kept(time=usual, octets=748)
    assert regressions(base, kept(time=usual, octets=748)) == []
    assert regressions(base, kept(time=usual, octets=700)) == [], "less is no regression"
    assert regressions(base, kept(other=slower)) == [], "only one of them has it"
    (said,) = regressions(base, kept(time=slower))
    assert said.startswith("time: slower by 100 ms, from a median of 514 ms")
    assert regressions(base, kept(octets=749)) == ["octets: 749, before 748"]


def test_a_shift_below_the_practical_threshold_is_none_however_certain() -> None:
    usual = Timing(Sample(tuple(500_000.0 + 100 * n for n in range(59))))
    later = Timing(Sample(tuple(540_000.0 + 100 * n for n in range(59))))
    assert regressions(kept(time=usual), kept(time=later)) == []


def test_a_model_with_fixed_times_shows_nothing_however_often_it_runs() -> None:
    assert judge(Sample((500.0,) * 59, deterministic=True), 1000).standing is Standing.NOT_SHOWN


def test_an_element_within_its_maxima_is_not_to_blame() -> None:
    assert slow_steps([GOOD] * 10, "atecc508a") == []
    assert placement([GOOD]) == []


def test_an_element_beyond_its_maximum_is_named_with_its_step() -> None:
    late = step_limit("element-sign", "atecc508a").us + 1_000
    slow = connection(
        ("element-ecdh-key", 100_000), ("element-verify", 200_000), ("element-sign", 200_000 + late)
    )
    (said,) = slow_steps([slow] * 10, "atecc508a")
    assert said.startswith("element-sign took")
    assert "slower than its data sheet" in said


def test_rsa_work_of_the_mcu_before_the_signature_is_not_the_elements() -> None:
    rsa = connection(("element-ecdh-key", 100_000), ("element-ecdh", 150_000), ("element-sign", 1_000_000))
    assert slow_steps([rsa] * 10, "atecc508a") == []


def test_two_signatures_and_software_are_blamed_on_their_phase() -> None:
    twice = connection(*((s.name, s.after_us) for s in GOOD.steps), ("element-sign", 440_000))
    assert [finding.phase for finding in placement([twice])] == ["sign"]
    fallen = connection(("element-sign", 1), software=("SW ECDH curve 3",))
    assert [finding.phase for finding in placement([fallen])] == ["ecdh"]


def test_a_connect_that_is_held_back_is_blamed_on_mqtt() -> None:
    stamps = {"tls-done": 0, "connect": 45_000}
    assert "set TCP_NODELAY" in held_back([GOOD], [stamps], 5_000)
    assert held_back([GOOD], [{"tls-done": 0, "connect": 5_000}], 5_000) == ""


def test_console_and_endpoint_that_tell_the_same_story_agree() -> None:
    stamps = {"client-hello": 130_000, "server-flight": 130_000, "client-flight": 400_000, "connack": 428_000}
    found = agree(GOOD, stamps, rtt_us=5_000)
    assert found.device_us == 270_000
    assert found.connack_lag_us == 3_000


def test_a_clock_that_jumped_is_an_error_of_the_rig() -> None:
    stamps = {"client-hello": 130_000, "connack": 628_000}
    with pytest.raises(RigError, match="console and endpoint disagree"):
        agree(GOOD, stamps, rtt_us=5_000)


def test_the_console_tells_software_time_and_slots() -> None:
    class Line:
        def __init__(self, at: int, text: str) -> None:
            self.at, self.text = at, text

    said = [
        Line(10, "MQTT0 connecting to a:8883"),
        Line(20, "ATCA is not available (-20096), using sw ECDH"),
        Line(30, "SW ECDH curve 3"),
        Line(40, "ATCA:0 ECDSA sign ok"),
        Line(50, "MQTT0 CONNACK 0"),
    ]
    found = read_connection(said, waited_us=0)
    assert found.software == (said[1].text, said[2].text)
    assert found.count("element-sign", 0) == 1
    assert found.count("element-sign", 1) == 0
    assert found.after("mcu-ecdh") == 20


def test_a_clock_that_was_never_set_is_named() -> None:
    class Line:
        at, text = 5, "Time is not set, not connecting"

    assert read_connection([Line()], waited_us=0).explain().startswith("time not set")


def test_the_shares_of_a_waterfall_add_up_to_its_time() -> None:
    bars = (Bar("bus", 0, 40, "b"), Bar("chip", 20, 40, "c"), Bar("network", 80, 50, "n"))
    shown = Waterfall("case", "rig", "virtual", "predicted", 100, bars, (Moment(100, "CONNACK"),))
    assert shown.shares() == {
        "chip": 40, "bus": 20, "wake": 0, "mcu": 0, "board": 0, "network": 20, "waiting": 20,
    }  # fmt: skip
    assert Waterfall.from_json(shown.to_json()) == shown
    assert "CONNACK" in waterfall_picture(shown)
    with pytest.raises(ConfigError):
        Waterfall.from_json("{}")


def test_samples_are_drawn_with_their_band_and_survive_the_journal() -> None:
    shown = Samples(
        "rig",
        "virtual",
        "predicted",
        (Row("a <b>", (500.0, 600.0), 1, False, (400.0, 900.0)),),
        1000,
        ("so",),
    )
    assert Samples.from_json(shown.to_json()) == shown
    picture = distribution_picture(shown)
    assert "a &lt;b&gt;" in picture
    assert "1 failed" in picture


def test_the_sources_of_a_cost_model_are_shown_at_both_ends() -> None:
    found = bounds("esp8266-80mhz")
    signs = [bound.costs.us("p256_sign") for bound in found]
    assert 10 < max(signs) / min(signs) < 20
    assert {bound.end for bound in found} == {"low", "high"}


def test_times_are_drawn_around_their_median() -> None:
    from random import Random

    costs, rng = load_costs("esp8266-80mhz"), Random(1)
    drawn = sorted(costs.factor("p256_sign", rng) for _ in range(2001))
    assert math.isclose(drawn[1000], 1.0, abs_tol=0.005)
    assert math.isclose(drawn[1900], 1.05, abs_tol=0.01)
    assert costs.factor("p256_sign", None) == 1.0
