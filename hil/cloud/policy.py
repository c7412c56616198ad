"""AWS IoT policies: whether a connection may do something, and which statement said so.

An explicit Deny wins, then any Allow, and without either the answer is no. ``*`` and ``?`` in actions
and resources are wildcards; MQTT's own ``+`` and ``#`` are ordinary characters. A policy variable
that has no value makes its statement match nothing; wildcards inside a value are literal.

Sources: AWS IoT Core developer guide, "AWS IoT Core policies", "policy variables", "policy actions";
AWS IAM user guide, "policy evaluation logic" and "condition operators".
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hil.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

__all__ = ["Decision", "Statement", "decide", "parse_policies"]

_VARIABLE = re.compile(r"\$\{([^}]*)\}")


@dataclass(frozen=True)
class Statement:
    """One statement of a policy document.

    Attributes:
        name: where it stands, for reasons: ``"policy 1, statement 2 (Sid)"``.
        allow: True for Allow, False for Deny.
        actions: patterns such as ``iot:Publish`` or ``iot:*``.
        resources: ARN patterns; policy variables not yet replaced.
        conditions: operator → condition key → accepted values.
    """

    name: str
    allow: bool
    actions: tuple[str, ...]
    resources: tuple[str, ...]
    conditions: Mapping[str, Mapping[str, tuple[str, ...]]]


@dataclass(frozen=True)
class Decision:
    """The answer and what led to it."""

    allowed: bool
    reason: str


def parse_policies(documents: Sequence[str]) -> tuple[Statement, ...]:
    """The statements of policy documents in JSON.

    Raises:
        ConfigError: a document is not a policy.
    """
    return tuple(
        statement
        for number, text in enumerate(documents, 1)
        for statement in _parse(text, f"policy {number}")
    )


def decide(
    statements: Iterable[Statement], action: str, resource: str, variables: Mapping[str, str]
) -> Decision:
    """Whether ``action`` on ``resource`` is allowed.

    Args:
        statements: of every policy that is attached.
        action: e.g. ``"iot:Publish"``.
        resource: e.g. ``"arn:aws:iot:us-east-1:123456789012:topic/a/b"``.
        variables: values of policy variables and condition keys, e.g. ``{"iot:ClientId": "d1"}``.
    """
    allowed_by = None
    for statement in statements:
        if not _applies(statement, action, resource, variables):
            continue
        if not statement.allow:
            return Decision(False, f"{statement.name} denies {action} on {resource}")
        allowed_by = allowed_by or statement
    if allowed_by is None:
        return Decision(False, f"no statement allows {action} on {resource}")
    return Decision(True, f"{allowed_by.name} allows {action} on {resource}")


# -- reading documents ------------------------------------------------------------------------


def _parse(text: str, where: str) -> list[Statement]:
    try:
        document = json.loads(text)
    except ValueError as error:
        raise ConfigError(f"{where} is not JSON: {error}") from error
    statements = document.get("Statement") if isinstance(document, dict) else None
    if isinstance(statements, dict):
        statements = [statements]
    if not isinstance(statements, list) or not statements:
        raise ConfigError(f"{where} has no Statement")
    return [_statement(one, f"{where}, statement {index}") for index, one in enumerate(statements, 1)]


def _statement(one: object, where: str) -> Statement:
    if not isinstance(one, dict) or one.get("Effect") not in ("Allow", "Deny"):
        raise ConfigError(f"{where}: Effect must be Allow or Deny")
    if unknown := set(one) - {"Sid", "Effect", "Action", "Resource", "Condition"}:
        raise ConfigError(f"{where}: {', '.join(sorted(unknown))} is not an element of an IoT policy")
    name = f"{where} ({one['Sid']})" if one.get("Sid") else where
    conditions = one.get("Condition", {})
    if not isinstance(conditions, dict) or not all(isinstance(keys, dict) for keys in conditions.values()):
        raise ConfigError(f"{where}: Condition must map operators to condition keys")
    return Statement(
        name,
        one["Effect"] == "Allow",
        _texts(one.get("Action"), f"{where}: Action"),
        _texts(one.get("Resource"), f"{where}: Resource"),
        {
            operator: {key: _texts(value, f"{where}: {key}") for key, value in keys.items()}
            for operator, keys in conditions.items()
        },
    )


def _texts(value: Any, what: str) -> tuple[str, ...]:  # noqa: ANN401  (JSON)
    values = value if isinstance(value, list) else [value]
    if not values or not all(isinstance(one, str | bool) for one in values):
        raise ConfigError(f"{what} must be a string or a list of strings")
    return tuple(str(one).lower() if isinstance(one, bool) else one for one in values)


# -- matching ---------------------------------------------------------------------------------


def _applies(statement: Statement, action: str, resource: str, variables: Mapping[str, str]) -> bool:
    return (
        any(_like(action.lower(), pattern.lower(), {}) for pattern in statement.actions)
        and any(_like(resource, pattern, variables) for pattern in statement.resources)
        and all(
            _condition(operator, key, values, variables, allow=statement.allow)
            for operator, keys in statement.conditions.items()
            for key, values in keys.items()
        )
    )


def _like(text: str, pattern: str, variables: Mapping[str, str]) -> bool:
    """Whether ``text`` matches ``pattern`` after its variables are replaced by their literal values."""
    expression = ""
    for index, part in enumerate(_VARIABLE.split(pattern)):
        if index % 2 == 0:
            expression += re.escape(part).replace(r"\*", ".*").replace(r"\?", ".")
        elif part in ("*", "?", "$"):  # ${*} is a literal asterisk
            expression += re.escape(part)
        elif part in variables:
            expression += re.escape(variables[part])
        else:
            return False
    return re.fullmatch(expression, text, re.DOTALL) is not None


def _replaced(value: str, variables: Mapping[str, str]) -> str | None:
    """``value`` with its variables replaced; None if one has no value."""
    names = _VARIABLE.findall(value)
    if any(name not in variables for name in names):
        return None
    return _VARIABLE.sub(lambda match: variables[match.group(1)], value)


def _equal(actual: str, wanted: str, variables: Mapping[str, str]) -> bool:
    return actual == _replaced(wanted, variables)


def _equal_ignoring_case(actual: str, wanted: str, variables: Mapping[str, str]) -> bool:
    replaced = _replaced(wanted, variables)
    return replaced is not None and actual.lower() == replaced.lower()


_OPERATORS: dict[str, tuple[Callable[[str, str, Mapping[str, str]], bool], bool]] = {
    "StringEquals": (_equal, False),
    "StringNotEquals": (_equal, True),
    "StringEqualsIgnoreCase": (_equal_ignoring_case, False),
    "StringNotEqualsIgnoreCase": (_equal_ignoring_case, True),
    "StringLike": (_like, False),
    "StringNotLike": (_like, True),
    "ArnEquals": (_like, False),
    "ArnLike": (_like, False),
    "ArnNotEquals": (_like, True),
    "ArnNotLike": (_like, True),
    "Bool": (_equal_ignoring_case, False),
}
"""Operator → (comparison with one accepted value, whether the result is negated)."""


def _condition(
    operator: str, key: str, values: tuple[str, ...], variables: Mapping[str, str], *, allow: bool
) -> bool:
    """Whether a condition holds; one that is not modelled never helps an Allow and never stops a Deny."""
    name = operator.rpartition(":")[2]  # ForAnyValue: and ForAllValues: differ for multi-valued keys only
    actual = variables.get(key)
    if name == "Null":
        return (actual is None) == (values[0].lower() == "true")
    if_exists = name.endswith("IfExists")
    row = _OPERATORS.get(name.removesuffix("IfExists"))
    if row is None:
        return not allow
    compare, negated = row
    if actual is None:
        return if_exists or negated
    return any(compare(actual, value, variables) for value in values) != negated
