"""The policy that registered devices get."""

from __future__ import annotations

import json

__all__ = ["device_policy", "wildcard_policy"]


def device_policy(account_id: str, region: str) -> str:
    """A policy that lets each device be itself only: client id and topics begin with its thing's name.

    Args:
        account_id: the account.
        region: its region.

    Returns:
        The JSON document.
    """
    arn = f"arn:aws:iot:{region}:{account_id}"
    name = "${iot:Connection.Thing.ThingName}"
    rules = {
        "iot:Connect": [f"{arn}:client/{name}"],
        "iot:Publish": [f"{arn}:topic/{name}/*"],
        "iot:Subscribe": [f"{arn}:topicfilter/{name}/*"],
        "iot:Receive": [f"{arn}:topic/{name}/*"],
    }
    statements = [{"Effect": "Allow", "Action": a, "Resource": r} for a, r in rules.items()]
    return json.dumps({"Version": "2012-10-17", "Statement": statements})


def wildcard_policy(account_id: str, region: str) -> str:
    """What careless projects attach: everything is allowed to every device. For faults and tests.

    Args:
        account_id: the account.
        region: its region.

    Returns:
        The JSON document.
    """
    everything = {"Effect": "Allow", "Action": "iot:*", "Resource": f"arn:aws:iot:{region}:{account_id}:*"}
    return json.dumps({"Version": "2012-10-17", "Statement": [everything]})
