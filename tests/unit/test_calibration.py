"""The model of the elements against published connections: how far off, and what was fitted."""

from __future__ import annotations

import json

from click.testing import CliRunner

from hil.cli import cli
from hil.connecttime.calibration import comparisons, fitted_inputs, published, statement, steps_of

# What was found when the model was made; a worse model has to be looked at, a better one too.
WORST = {"508A, February 2021": 0.11, "508A, February 2022": 0.10, "608, December 2022": 0.30}


def test_figures_were_fitted_to_one_log_and_the_others_check() -> None:
    assert [log.fitted for log in published()] == [True, False, False]
    assert len(fitted_inputs()) == 3


def test_the_model_is_as_near_to_each_log_as_is_claimed() -> None:
    found = {
        log.name: max(abs(one.deviation) for one in comparisons() if one.log is log) for log in published()
    }
    assert found.keys() == WORST.keys()
    for name, worst in found.items():
        assert worst <= WORST[name], name
        assert f"{worst:.0%}" in next(said for said in statement() if name in said)


def test_the_sum_of_a_508s_steps_is_that_of_the_log_it_was_fitted_to() -> None:
    """Two verifications, key, agreement, signature: 279 ms."""
    steps = steps_of("atecc508a")
    assert abs(sum(steps.values()) + steps["element-verify"] - 279) < 15


def test_a_faster_bus_makes_the_steps_shorter_by_their_bytes() -> None:
    """A Sign step carries 174 bytes (and three wakes at 100 kHz): at 400 kHz 67.5 us less for each."""
    slow, fast = steps_of("atecc508a"), steps_of("atecc508a", 400_000)
    assert 174 * 0.0675 - 4 < slow["element-sign"] - fast["element-sign"] < 174 * 0.0675 + 4


def test_the_command_says_it_in_words_and_as_json() -> None:
    said = CliRunner().invoke(cli, ["costs", "check"])
    assert said.exit_code == 0
    assert "fitted to the published log" in said.output
    assert "cycles per instruction, ESP8266 = 2.4" in said.output
    rows = json.loads(CliRunner().invoke(cli, ["costs", "check", "--json"]).output)
    assert len(rows["steps"]) == 11
    assert {"input", "value", "why"} == rows["fitted"][0].keys()
