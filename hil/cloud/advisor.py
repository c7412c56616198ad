"""What the test cases of AWS IoT Device Advisor look at, as figures that can be held against limits.

Device Advisor says Pass, Pass with warnings or Fail; a limit with a warning bound says the same. How
exactly it decides is not published; where it matters, our reading stands with the function.

Source: AWS IoT Core developer guide, "Device Advisor test cases" (TLS, MQTT, permissions and policies).
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from hil.cloud.policy import parse_policies
from hil.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hil.cloud.local.faults import SessionLog

__all__ = [
    "JITTER",
    "LINEAR",
    "NOISE_US",
    "SuiteOffer",
    "broad_wildcards",
    "gaps",
    "growth",
    "jitter",
    "suite_offer",
]

# -- cipher suites ------------------------------------------------------------------------------

RECOMMENDED = frozenset({0xC02B, 0xC02F, 0x1301})
"""ECDHE-{ECDSA,RSA}-AES128-GCM-SHA256, and TLS_AES_128_GCM_SHA256 for TLS 1.3 (our reading)."""
SUPPORTED = RECOMMENDED | frozenset(
    {
        *(0xC023, 0xC027, 0xC009, 0xC013, 0xC02C, 0xC030, 0xC024, 0xC028, 0xC014, 0xC00A),
        *(0x009C, 0x003C, 0x002F, 0x009D, 0x003D, 0x0035),
        *(0x1302, 0x1303),
    }
)
"""Every suite of AWS IoT Core (IANA numbers; "Transport security in AWS IoT")."""
_SIGNALS = frozenset({0x00FF, 0x5600})
"""Signalling values (RFC 5746, RFC 7507): not suites."""


@dataclass(frozen=True)
class SuiteOffer:
    """How many of the suites that a ClientHello offers are recommended, supported, neither."""

    recommended: int
    supported: int
    unsupported: int


def suite_offer(suites: Sequence[int]) -> SuiteOffer:
    """Sort the suites of a ClientHello.

    Args:
        suites: IANA numbers.
    """
    real = {suite for suite in suites if suite not in _SIGNALS and suite & 0x0F0F != 0x0A0A}  # GREASE
    supported = real & SUPPORTED
    return SuiteOffer(len(real & RECOMMENDED), len(supported), len(real - supported))


# -- back-off -----------------------------------------------------------------------------------

LINEAR = 1.6
"""Above this the growth counts as exponential; a linear pause over five attempts stays below."""
NOISE_US = 50_000
"""What resolving the name and connecting may add to one pause and not to another."""
JITTER = 0.01
"""Below this two rounds of pauses count as the same ones."""


def growth(pauses: Sequence[float]) -> float:
    """Factor from one pause to the next, fitted to all of them.

    About 2 for doubling, 1 for a constant pause; a linear one (1, 2, 3, 4, 5) comes to 1.48. Five pauses
    tell these apart when the jitter is a fraction of the pause. Full jitter (anything between nothing and
    the doubled pause) needs ten.

    Args:
        pauses: all of them above zero, in any unit.

    Raises:
        UsageError: fewer than four.
    """
    count = len(pauses)
    if count < 4:
        raise UsageError(f"{count} pauses say nothing about a back-off")
    logs = [math.log2(pause) for pause in pauses]
    middle = (count - 1) / 2
    slope = sum((n - middle) * value for n, value in enumerate(logs)) / sum(
        (n - middle) ** 2 for n in range(count)
    )
    return float(2**slope)


def jitter(first: Sequence[int], second: Sequence[int]) -> float:
    """How much the pauses of one round differ from those of another, both begun after a connection.

    A device without jitter waits the same times each round, however they grow and where they end. The
    shape of a single round does not tell: five pauses that were drawn within a tenth of a strictly
    doubled one look like it in 1 of 50 rounds, two rounds of them like each other in 1 of 5000.

    Args:
        first: pauses in us.
        second: as many, in the same order.

    Returns:
        The largest relative difference between two pauses of the same place, beyond :data:`NOISE_US`.

    Raises:
        UsageError: the rounds are of different length, or empty.
    """
    if len(first) != len(second) or not first:
        raise UsageError(f"rounds of {len(first)} and {len(second)} pauses cannot be compared")
    return max(
        max(abs(one - other) - NOISE_US, 0) * 2 / (one + other)
        for one, other in zip(first, second, strict=True)
    )


def gaps(logs: Sequence[SessionLog]) -> list[int]:
    """Pauses between connections in us: from the end of one to the beginning of the next."""
    return [
        later.opened_us - (earlier.closed_us if earlier.closed_us is not None else later.opened_us)
        for earlier, later in pairwise(logs)
    ]


# -- policies -----------------------------------------------------------------------------------

_OWN = re.compile(r"\$\{(iot:ClientId|iot:Connection\.Thing\.ThingName|iot:CertificateId)\}")


def broad_wildcards(documents: Sequence[str]) -> list[str]:
    """Wildcards in Allow statements that reach beyond the device, each with the place where it stands.

    A wildcard behind a variable that names the device (``topic/${iot:ClientId}/*``) stays within the
    device's own; whether Device Advisor lets it pass is not published.

    Args:
        documents: JSON of every attached policy.

    Raises:
        ConfigError: one is not a policy.
    """
    found = []
    for statement in parse_policies(documents):
        if not statement.allow:
            continue
        found += [f"{statement.name}: action {name}" for name in statement.actions if "*" in name]
        for resource in statement.resources:
            own = _OWN.search(resource)
            before = resource if own is None else resource[: own.start()]
            if "*" in before or "?" in before:
                found.append(f"{statement.name}: resource {resource}")
    return found
