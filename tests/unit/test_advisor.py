"""Figures behind the cases of AWS IoT Device Advisor."""

from __future__ import annotations

import json
import re
from pathlib import Path
from random import Random

import pytest

from hil.cloud.advisor import (
    JITTER,
    LINEAR,
    SuiteOffer,
    broad_wildcards,
    gaps,
    growth,
    jitter,
    suite_offer,
)
from hil.cloud.advisorcases import CASES
from hil.cloud.local.faults import SessionLog
from hil.emulator.boards.mongoose_manners import Backoff, Manners
from hil.errors import ConfigError, UsageError

SUITES = Path(__file__).parents[2] / "suites" / "connect"
CONNECTING_US = 60_000
ROUNDS = 2000


def round_of(backoff: Backoff, rng: Random, *, noise_us: int = 0) -> list[int]:
    """Five pauses as the endpoint sees them: the firmware's, and what connecting takes."""
    manners = Manners(backoff=backoff)
    waits_ms = [manners.wait_ms(attempt, 1000 << attempt, rng) for attempt in range(1, 6)]
    return [wait * 1000 + CONNECTING_US + rng.randrange(noise_us + 1) for wait in waits_ms]


def test_what_doubles_is_exponential_with_and_without_jitter() -> None:
    rng = Random(1)
    for _ in range(ROUNDS):
        assert growth(round_of("jitter", rng)) > LINEAR
    assert growth(round_of("exact", rng)) == pytest.approx(2.0, abs=0.05)


def test_linear_and_constant_pauses_are_not_exponential() -> None:
    rng = Random(2)
    assert growth([1, 2, 3, 4, 5]) == pytest.approx(1.48, abs=0.01)
    assert growth(round_of("linear", rng, noise_us=50_000)) < LINEAR
    assert growth(round_of("eager", rng)) == pytest.approx(1.0)


def test_the_jitter_of_a_good_firmware_is_seen() -> None:
    """It may be drawn so that two rounds look alike, but hardly ever: no run is spoilt by it."""
    rng = Random(3)
    unseen = sum(
        jitter(round_of("jitter", rng), round_of("jitter", rng)) < JITTER for _ in range(10 * ROUNDS)
    )
    assert unseen <= 10 * ROUNDS / 2000


def test_the_noise_of_connecting_is_no_jitter() -> None:
    rng = Random(4)
    for _ in range(ROUNDS):
        rounds = [round_of("exact", rng, noise_us=50_000) for _ in range(2)]
        assert jitter(*rounds) == 0


def test_capped_pauses_without_jitter_are_still_the_same_ones() -> None:
    assert jitter([2_000_000, 4_000_000, 4_000_000], [2_000_000, 4_020_000, 4_000_000]) == 0
    assert jitter([2_000_000, 4_000_000, 4_000_000], [2_000_000, 4_400_000, 4_000_000]) > JITTER


@pytest.mark.parametrize("pauses", [[], [1, 2, 4]])
def test_too_few_pauses_tell_nothing(pauses: list[int]) -> None:
    with pytest.raises(UsageError, match=f"{len(pauses)} pauses"):
        growth(pauses)


@pytest.mark.parametrize("rounds", [([], []), ([1], [1, 2])])
def test_only_rounds_of_the_same_length_are_compared(rounds: tuple[list[int], list[int]]) -> None:
    with pytest.raises(UsageError, match="cannot be compared"):
        jitter(*rounds)


def test_a_pause_goes_from_the_end_of_a_connection_to_the_beginning_of_the_next() -> None:
    logs = [SessionLog(1, "board", 0, closed_us=10), SessionLog(2, "board", 30), SessionLog(3, "board", 50)]
    assert gaps(logs) == [20, 0]  # the second never ended: no pause at all


def test_suites_are_sorted_and_signals_and_grease_are_none() -> None:
    assert suite_offer([0xC02B, 0xC030, 0xCCA9, 0x00FF, 0x5600, 0x1A1A]) == SuiteOffer(1, 2, 1)
    assert suite_offer([]) == SuiteOffer(0, 0, 0)


def policy(effect: str, action: str, resource: str) -> str:
    statement = {"Effect": effect, "Action": [action], "Resource": [resource]}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


TOPIC = "arn:aws:iot:us-east-1:123456789012:topic/"


@pytest.mark.parametrize(
    ("document", "broad"),
    [
        (policy("Allow", "iot:Publish", TOPIC + "${iot:ClientId}/*"), 0),
        (policy("Allow", "iot:Publish", TOPIC + "*/${iot:ClientId}"), 1),
        (policy("Allow", "iot:Publish", TOPIC + "all/*"), 1),
        (policy("Allow", "iot:*", "*"), 2),
        (policy("Deny", "iot:*", "*"), 0),
    ],
)
def test_wildcards_beyond_the_device_are_found(document: str, broad: int) -> None:
    assert len(broad_wildcards([document])) == broad


def test_what_is_no_policy_is_refused() -> None:
    with pytest.raises(ConfigError):
        broad_wildcards(["[]"])


def test_every_case_of_the_table_has_its_test_and_every_test_its_case() -> None:
    sources = [path.read_text(encoding="utf-8") for path in SUITES.glob("test_device_advisor_*.py")]
    tried = [found for source in sources for found in re.findall(r'req\("AWS-DA-(\w+)"\)', source)]
    assert sorted(tried) == sorted(case.id for case in CASES)
