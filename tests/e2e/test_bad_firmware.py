"""Deliberately bad firmware fails exactly the test cases that look for its mistake, and no others."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from hil.emulator.boards.mongoose_manners import BAD_MANNERS
from hil.measure.verdict import Verdict
from tests.e2e.suite_runs import run_suites

if TYPE_CHECKING:
    from pathlib import Path

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
    "firmware-small-tls-buffer": {"TLS_Large_Size_Server_Cert", "TLS_Receive_Maximum_Size_Fragments"},
    "firmware-linear-retry": BACKOFF,
    "firmware-no-jitter": BACKOFF - {"MQTT_Connect_Exponential_Backoff_Retries"},
    "firmware-eager-retry": BACKOFF | {"MQTT_ReconnectionAfterSuccessfulConnection"},
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


def test_every_mistake_has_its_cases() -> None:
    assert CASES.keys() == BAD_MANNERS.keys() | {"wildcard-policy"}


@pytest.mark.parametrize("fault", [fault for fault in CASES if fault != "firmware-no-jitter"])
def test_bad_firmware_fails_exactly_its_cases(fault: str, tmp_path: Path) -> None:
    code, run = run_suites(tmp_path, "suites/cloud", "suites/connect", "--fault", fault)
    assert code == 1
    assert not run.rig_errors
    failed = {test.requirements[0] for test in run.tests if test.verdict is Verdict.FAIL}
    assert failed == {f"AWS-DA-{case}" for case in CASES[fault]}
    assert {test.verdict for test in run.tests} <= {
        Verdict.PASS,
        Verdict.WARN,
        Verdict.SKIPPED,
        Verdict.FAIL,
    }


def test_strictly_exponential_pauses_pass_with_warnings(tmp_path: Path) -> None:
    """As Device Advisor has it: the pauses double, but without jitter all devices come back together."""
    code, run = run_suites(tmp_path, "suites/connect", "--fault", "firmware-no-jitter")
    assert code == 0
    warned = {test.requirements[0] for test in run.tests if test.verdict is Verdict.WARN}
    assert warned == {f"AWS-DA-{case}" for case in CASES["firmware-no-jitter"]}
    assert {test.verdict for test in run.tests} <= {Verdict.PASS, Verdict.SKIPPED, Verdict.WARN}
