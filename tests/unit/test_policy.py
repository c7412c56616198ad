"""AWS IoT policy evaluation: wildcards, variables, conditions, and Deny before Allow."""

from __future__ import annotations

import json
from typing import Any

import pytest

from hil.cloud.policy import Statement, decide, parse_policies
from hil.cloud.policyvars import connection_variables
from hil.cloud.registry import CertificateRecord, Thing
from hil.errors import ConfigError
from tests.unit.tls_rig import make_device

ARN = "arn:aws:iot:us-east-1:123456789012"


def policy(*statements: dict[str, Any]) -> tuple[Statement, ...]:
    return parse_policies([json.dumps({"Version": "2012-10-17", "Statement": list(statements)})])


def allow(action: Any = "iot:Publish", resource: Any = "*", **more: Any) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": action, "Resource": resource, **more}


def may(statements: tuple[Statement, ...], action: str, resource: str, **variables: str) -> bool:
    return decide(
        statements, action, f"{ARN}:{resource}", {f"iot:{k}": v for k, v in variables.items()}
    ).allowed


def test_nothing_is_allowed_without_a_statement() -> None:
    decision = decide((), "iot:Connect", f"{ARN}:client/x", {})
    assert not decision.allowed
    assert "no statement allows iot:Connect" in decision.reason


def test_an_explicit_deny_wins_whatever_the_order() -> None:
    deny = {"Effect": "Deny", "Action": "iot:Publish", "Resource": f"{ARN}:topic/secret", "Sid": "NoSecrets"}
    for statements in (policy(allow(), deny), policy(deny, allow())):
        assert may(statements, "iot:Publish", "topic/open")
        decision = decide(statements, "iot:Publish", f"{ARN}:topic/secret", {})
        assert not decision.allowed
        assert "NoSecrets" in decision.reason


@pytest.mark.parametrize(
    ("pattern", "resource", "expected"),
    [
        (f"{ARN}:topic/a/*", "topic/a/b/c", True),
        (f"{ARN}:topic/a/*", "topic/a/", True),
        (f"{ARN}:topic/a/*", "topic/a", False),
        (f"{ARN}:topic/a/?", "topic/a/b", True),
        (f"{ARN}:topic/a/?", "topic/a/bc", False),
        (f"{ARN}:topic/a/+", "topic/a/b", False),  # MQTT wildcards are ordinary characters
        (f"{ARN}:topic/a/#", "topic/a/b", False),
        (f"{ARN}:topic/a.b", "topic/axb", False),  # and so is what a regular expression would heed
        ("arn:aws:iot:*:123456789012:topic/a", "topic/a", True),
        (f"{ARN}:topic/A", "topic/a", False),
        ("*", "topic/line\nbreak", True),
    ],
)
def test_resource_wildcards(pattern: str, resource: str, expected: bool) -> None:
    assert may(policy(allow(resource=pattern)), "iot:Publish", resource) is expected


def test_actions_may_be_lists_and_wildcards_and_ignore_case() -> None:
    assert may(policy(allow(action=["iot:Receive", "iot:Pub*"])), "iot:Publish", "topic/a")
    assert may(policy(allow(action="IOT:publish")), "iot:Publish", "topic/a")
    assert not may(policy(allow(action=["iot:Receive"])), "iot:Publish", "topic/a")


def test_a_variable_is_replaced_by_its_literal_value() -> None:
    own_topic = policy(allow(resource=f"{ARN}:topic/${{iot:ClientId}}/up"))
    assert may(own_topic, "iot:Publish", "topic/d1/up", ClientId="d1")
    assert not may(own_topic, "iot:Publish", "topic/d2/up", ClientId="d1")
    assert not may(own_topic, "iot:Publish", "topic/d2/up", ClientId="*"), (
        "a wildcard in a client id is literal"
    )


def test_a_variable_without_a_value_matches_nothing_not_even_for_a_deny() -> None:
    by_thing = f"{ARN}:topic/${{iot:Connection.Thing.ThingName}}"
    assert not may(policy(allow(resource=by_thing)), "iot:Publish", "topic/")
    deny = {"Effect": "Deny", "Action": "iot:*", "Resource": by_thing}
    assert may(policy(allow(), deny), "iot:Publish", "topic/")


def test_a_literal_asterisk_is_written_as_a_variable() -> None:
    statements = policy(allow(resource=f"{ARN}:topic/${{*}}"))
    assert may(statements, "iot:Publish", "topic/*")
    assert not may(statements, "iot:Publish", "topic/a")


@pytest.mark.parametrize(
    ("condition", "attached", "expected"),
    [
        ({"Bool": {"iot:Connection.Thing.IsAttached": ["true"]}}, "true", True),
        ({"Bool": {"iot:Connection.Thing.IsAttached": True}}, "true", True),
        ({"Bool": {"iot:Connection.Thing.IsAttached": "true"}}, "false", False),
        ({"StringEquals": {"iot:ClientId": ["x", "d1"]}}, "true", True),
        ({"StringEquals": {"iot:ClientId": "D1"}}, "true", False),
        ({"StringEqualsIgnoreCase": {"iot:ClientId": "D1"}}, "true", True),
        ({"StringNotEquals": {"iot:ClientId": "d1"}}, "true", False),
        ({"StringNotEquals": {"iot:Missing": "d1"}}, "true", True),
        ({"StringEquals": {"iot:Missing": "d1"}}, "true", False),
        ({"StringEqualsIfExists": {"iot:Missing": "d1"}}, "true", True),
        ({"StringLike": {"iot:ClientId": "d?"}}, "true", True),
        ({"StringNotLike": {"iot:ClientId": "d*"}}, "true", False),
        ({"ForAnyValue:StringLike": {"iot:ClientId": "d*"}}, "true", True),
        ({"Null": {"iot:Missing": "true"}}, "true", True),
        ({"Null": {"iot:ClientId": "true"}}, "true", False),
        ({"StringEquals": {"iot:ClientId": "${iot:ClientId}"}}, "true", True),
        ({"DateGreaterThan": {"aws:CurrentTime": "2020-01-01"}}, "true", False),
    ],
)
def test_conditions(condition: dict[str, Any], attached: str, expected: bool) -> None:
    variables = {"iot:Connection.Thing.IsAttached": attached, "iot:ClientId": "d1"}
    decision = decide(policy(allow(Condition=condition)), "iot:Publish", f"{ARN}:topic/a", variables)
    assert decision.allowed is expected


def test_a_condition_that_is_not_modelled_never_stops_a_deny() -> None:
    deny = {
        "Effect": "Deny",
        "Action": "*",
        "Resource": "*",
        "Condition": {"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}},
    }
    assert not may(policy(allow(), deny), "iot:Publish", "topic/a")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "not JSON"),
        ("[]", "no Statement"),
        ('{"Statement": []}', "no Statement"),
        ('{"Statement": {"Effect": "Maybe"}}', "Effect"),
        ('{"Statement": {"Effect": "Allow", "Action": "a"}}', "Resource"),
        ('{"Statement": {"Effect": "Allow", "Action": [], "Resource": "*"}}', "Action"),
        ('{"Statement": {"Effect": "Allow", "Action": "a", "Resource": "*", "NotAction": "b"}}', "NotAction"),
        (
            '{"Statement": {"Effect": "Allow", "Action": "a", "Resource": "*", "Condition": {"Bool": "x"}}}',
            "Condition",
        ),
    ],
)
def test_broken_documents_are_told(text: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        parse_policies([text])


def test_the_variables_of_a_connection_come_from_certificate_and_thing() -> None:
    device = make_device("device-7")
    thing = Thing("device-7", "sensor", {"room": "lab"})
    record = CertificateRecord(device.id, "arn", "ACTIVE", (), (Thing("other"), thing))
    values = connection_variables("device-7", record, device.der)
    assert values["iot:Certificate.Subject.CommonName"] == "device-7"
    assert values["iot:Certificate.Issuer.CommonName"] == "test signer"
    assert values["iot:CertificateId"] == device.id
    assert values["iot:Connection.Thing.ThingName"] == "device-7"
    assert values["iot:Connection.Thing.ThingTypeName"] == "sensor"
    assert values["iot:Connection.Thing.Attributes[room]"] == "lab"
    assert values["iot:Connection.Thing.IsAttached"] == "true"


def test_without_a_thing_of_the_client_ids_name_there_are_no_thing_variables() -> None:
    device = make_device()
    record = CertificateRecord(device.id, "arn", "ACTIVE", (), (Thing("somebody-else"),))
    values = connection_variables("device-7", record, device.der)
    assert values["iot:Connection.Thing.IsAttached"] == "false"
    assert not any(name.startswith("iot:Connection.Thing.Thing") for name in values)
