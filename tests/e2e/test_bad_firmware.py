"""Deliberately bad firmware fails exactly the test cases that look for its mistake, and no others."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from hil.cloud.advisorcases import CASES as ALL
from hil.emulator.boards.mongoose_manners import BAD_MANNERS
from hil.measure.verdict import Verdict
from tests.e2e.suite_runs import run_suites

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from hil.records.model import Run

BACKOFF = {
    "MQTT_Connect_Jitter_Backoff_Retries",
    "MQTT_Connect_Exponential_Backoff_Retries",
    "MQTT_Reconnect_Backoff_Retries_On_Server_Disconnect",
}
CASES: dict[str, set[str]] = {
    "wildcard-policy": {"Security_Device_Policies"},
    "firmware-no-ca-check": {"TLS_Unsecure_Server_Cert"},
    "firmware-no-name-check": {"TLS_Incorrect_Subject_Name_Server_Cert"},
    "firmware-no-date-check": {"TLS_Expired_Server_Cert"},
    # No case can be judged without a handshake, whether the board has to complete it or to refuse.
    "firmware-foreign-ciphers": {case.id for case in ALL} - {"Security_Device_Policies"},
    "firmware-small-tls-buffer": {"TLS_Large_Size_Server_Cert", "TLS_Receive_Maximum_Size_Fragments"},
    "firmware-linear-retry": BACKOFF,
    "firmware-no-jitter": BACKOFF - {"MQTT_Connect_Exponential_Backoff_Retries"},
    "firmware-eager-retry": BACKOFF | {"MQTT_ReconnectionAfterSuccessfulConnection"},
    "firmware-publishes-nothing": {"MQTT_Publish", "MQTT_Publish_Retry_No_Puback"},
    "firmware-subscribes-to-nothing": {
        "MQTT_Subscribe",
        "MQTT_Subscribe_Retry_No_Suback",
        "MQTT_Client_Puback_Qos1",
        "MQTT_Persistent_Session_Happy_Case",
        "MQTT_Persistent_Session_Session_Expiry",
        "TLS_Receive_Maximum_Size_Fragments",
    },
    # The other two want the PUBACK as the sign that a message was taken in.
    "firmware-no-puback": {
        "MQTT_Client_Puback_Qos1",
        "MQTT_Persistent_Session_Happy_Case",
        "TLS_Receive_Maximum_Size_Fragments",
    },
    "firmware-trusts-silence": {"MQTT_No_Ack_PingResp"},
    "firmware-no-publish-retry": {"MQTT_Publish_Retry_No_Puback"},
    "firmware-no-subscribe-retry": {"MQTT_Subscribe_Retry_No_Suback"},
    "firmware-forgets-session": {
        "MQTT_Persistent_Session_Happy_Case",
        "MQTT_Persistent_Session_Session_Expiry",
    },
}
"""Fault: the ids of the cases of AWS IoT Device Advisor that have to fail, or to warn (no jitter)."""


WARNS = "firmware-no-jitter"
TOGETHER = (
    (
        *("wildcard-policy", "firmware-no-ca-check", "firmware-no-name-check", "firmware-no-date-check"),
        *("firmware-small-tls-buffer", "firmware-linear-retry", "firmware-trusts-silence"),
        *("firmware-no-publish-retry", "firmware-no-subscribe-retry", "firmware-forgets-session"),
    ),
    ("firmware-eager-retry", "firmware-no-puback", "firmware-publishes-nothing"),
    (WARNS, "firmware-subscribes-to-nothing"),
    ("firmware-foreign-ciphers",),
)
"""Faults that one board can have at once, because no case looks for two of them: a run for each group."""
ADVISOR = [f"suites/connect/test_device_advisor_{part}.py" for part in ("tls", "mqtt", "security")]


def test_every_mistake_has_its_cases() -> None:
    assert CASES.keys() == BAD_MANNERS.keys() | {"wildcard-policy"}


def test_every_case_of_device_advisor_can_fail() -> None:
    assert set().union(*CASES.values()) == {case.id for case in ALL}


def test_every_mistake_is_in_a_group_and_no_case_looks_for_two_of_one_group() -> None:
    assert sorted(fault for group in TOGETHER for fault in group) == sorted(CASES)
    for group in TOGETHER:
        assert sum(len(CASES[fault]) for fault in group) == len(set().union(*map(CASES.get, group)))  # type: ignore[arg-type]


def the_cases_of(run: Run, faults: Sequence[str]) -> None:
    """What failed, or warned, is what the faults make fail, or warn; everything else passed."""
    assert not run.rig_errors
    found = {
        verdict: {test.requirements[0] for test in run.tests if test.verdict is verdict}
        for verdict in Verdict
    }
    for verdict, expected in (
        (Verdict.FAIL, [fault for fault in faults if fault != WARNS]),
        (Verdict.WARN, [fault for fault in faults if fault == WARNS]),
    ):
        assert found.pop(verdict) == {f"AWS-DA-{case}" for fault in expected for case in CASES[fault]}
    assert found.pop(Verdict.PASS)
    found.pop(Verdict.SKIPPED)
    assert not any(found.values()), found


def options(faults: Sequence[str]) -> list[str]:
    return [word for fault in faults for word in ("--fault", fault)]


@pytest.mark.parametrize("faults", TOGETHER, ids=lambda faults: faults[0])
def test_bad_firmware_fails_exactly_its_cases(faults: Sequence[str], tmp_path: Path) -> None:
    """A board with several mistakes: each case that fails belongs to one of them, and to one only."""
    code, run = run_suites(tmp_path, *ADVISOR, *options(faults))
    assert code == 1
    the_cases_of(run, faults)


@pytest.mark.long
@pytest.mark.parametrize("fault", CASES)
def test_one_mistake_alone_fails_exactly_its_cases(fault: str, tmp_path: Path) -> None:
    code, run = run_suites(tmp_path, *ADVISOR, *options([fault]))
    assert code == (0 if fault == WARNS else 1)
    the_cases_of(run, [fault])
