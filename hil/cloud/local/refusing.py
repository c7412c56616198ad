"""What AWS IoT says no to: its errors, and the form of names, states and policies.

Forms: the ``iot`` service model of botocore; the size of a policy: AWS IoT Core quotas.
"""

from __future__ import annotations

import json
import re
from typing import Any

from moto.iot.exceptions import InvalidRequestException, IoTClientError

__all__ = [
    "POLICY_NAME",
    "SETTABLE_STATUS",
    "THING_NAME",
    "Refused",
    "check_name",
    "check_policy",
    "initial_status",
    "invalid_certificate",
]

SETTABLE_STATUS = {"ACTIVE", "INACTIVE", "REVOKED", "REGISTER_INACTIVE"}
THING_NAME = re.compile(r"[a-zA-Z0-9:_-]{1,128}")
POLICY_NAME = re.compile(r"[\w+=,.@-]{1,128}")
POLICY_SIZE = 2048
"""Largest policy document in characters, white space not counted."""


class Refused(IoTClientError):
    """An error of the service model.

    Args:
        code: HTTP status.
        name: the exception's name.
        message: why.
    """

    def __init__(self, code: int, name: str, message: str) -> None:
        self.code = code
        super().__init__(name, message)


def invalid_certificate(message: str) -> Refused:
    """The error for a certificate that is not acceptable."""
    return Refused(400, "CertificateValidationException", message)


def check_name(what: str, pattern: re.Pattern[str], name: str) -> None:
    """Refuse a name that does not have the required form."""
    if not pattern.fullmatch(name):
        raise InvalidRequestException(f"The {what} name {name!r} does not match {pattern.pattern}.")


def initial_status(status: str | None) -> str:
    """What a new certificate's status may be; INACTIVE when nothing is said."""
    if status in (None, ""):
        return "INACTIVE"
    if status not in SETTABLE_STATUS:
        raise InvalidRequestException(f"A certificate cannot be registered as {status}.")
    return str(status)


def check_policy(document: Any) -> None:  # noqa: ANN401  (what a request happened to hold)
    """Refuse a policy document that makes no sense."""

    def malformed(why: str) -> Refused:
        return Refused(400, "MalformedPolicyException", f"Policy document is malformed: {why}.")

    try:
        policy = json.loads(document)
    except (TypeError, ValueError) as error:
        raise malformed(f"not JSON ({error})") from error
    if len("".join(document.split())) > POLICY_SIZE:
        raise malformed(f"more than {POLICY_SIZE} characters without white space")
    statements = policy.get("Statement") if isinstance(policy, dict) else None
    if isinstance(statements, dict):
        statements = [statements]
    if not statements or not isinstance(statements, list):
        raise malformed("no Statement")
    for statement in statements:
        if not isinstance(statement, dict) or statement.get("Effect") not in ("Allow", "Deny"):
            raise malformed("a Statement's Effect is neither Allow nor Deny")
        for part in ("Action", "Resource"):
            if not statement.get(part) and not statement.get(f"Not{part}"):
                raise malformed(f"a Statement has no {part}")
