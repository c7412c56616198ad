"""Registers many devices: at a pace, with back-off, to be resumed, and with a fate for every one.

A device that cannot be registered never stops or hides the others. Every fate is a line of a file, written
at once; a second run with the same file leaves out what is done. Only errors that every further device
would meet as well (credentials, quota, a cloud that does not answer) end the run.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Literal

from hil.cloud.lines import append_line, whole_lines
from hil.cloud.pem import load_certificate, to_der
from hil.cloud.refusals import aws_code
from hil.cloud.registry import certificate_id
from hil.errors import CertificateError, CloudError, ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from hil.clock import Clock
    from hil.cloud.registration import Registrar

__all__ = ["BulkReport", "Candidate", "Fate", "Pace", "register_all"]

Outcome = Literal["registered", "kept", "bad", "refused"]

RETRIED = frozenset(
    {
        "ThrottlingException",
        "TooManyRequestsException",
        "ServiceUnavailableException",
        "InternalFailureException",
        "ConnectTimeoutError",
        "ReadTimeoutError",
        "EndpointConnectionError",
        "ConnectionClosedError",
    }
)
"""Errors that pass; worth another attempt after a while."""

HOPELESS = frozenset(
    {
        "UnauthorizedException",
        "AccessDeniedException",
        "ExpiredTokenException",
        "UnrecognizedClientException",
        "InvalidSignatureException",
        "LimitExceededException",
    }
)
"""Errors that every further device would meet."""


@dataclass(frozen=True)
class Candidate:
    """A device that is to be registered.

    Attributes:
        identity: what it is called, e.g. the element's serial number; becomes the thing's name.
        pem: its certificate, or the chain that begins with it; None if there is none that can be trusted.
        problem: why not, then.
    """

    identity: str
    pem: str | None
    problem: str = ""


@dataclass(frozen=True)
class Fate:
    """What became of a device.

    Attributes:
        identity: which one.
        outcome: ``registered`` now, ``kept`` from an earlier run, ``bad`` (its data are not acceptable) or
            ``refused`` (by the cloud).
        certificate_id: of its certificate; empty if that cannot be read.
        reason: why it is bad or was refused.
        attempts: how often the cloud was asked.
    """

    identity: str
    outcome: Outcome
    certificate_id: str = ""
    reason: str = ""
    attempts: int = 0


@dataclass(frozen=True)
class Pace:
    """How fast, and how patiently.

    Attributes:
        per_second: devices per second at most; 0 is as fast as it goes. A device takes 6 calls, and AWS
            lets an account make about 10 of some of them in a second (adjustable quota; not published for
            every region).
        attempts: per device, when the cloud is busy.
        first_wait_us: after the first refusal; doubled each time, with a random part of up to one half.
        longest_wait_us: never longer.
    """

    per_second: float = 0.0
    attempts: int = 8
    first_wait_us: int = 500_000
    longest_wait_us: int = 30_000_000


@dataclass
class BulkReport:
    """How it ended.

    Attributes:
        counts: devices by outcome, those of earlier runs included as ``kept``.
        problems: the first of those that were not registered.
        stopped: why the run ended before its last device; empty if it did not.
    """

    counts: Counter[str] = field(default_factory=Counter)
    problems: list[Fate] = field(default_factory=list)
    stopped: str = ""

    MOST_PROBLEMS = 20

    @property
    def exit_code(self) -> int:
        """0 only if every device is registered; 17 if the cloud refused any, else 16 for bad ones."""
        if self.stopped or self.counts["refused"]:
            return CloudError.exit_code
        return CertificateError.exit_code if self.counts["bad"] else 0

    def add(self, fate: Fate) -> None:
        """Count a fate."""
        self.counts[fate.outcome] += 1
        if fate.outcome in ("bad", "refused") and len(self.problems) < self.MOST_PROBLEMS:
            self.problems.append(fate)


def register_all(
    registrar: Registrar,
    candidates: Iterable[Candidate],
    *,
    policy: str,
    clock: Clock,
    record: Path | None = None,
    pace: Pace | None = None,
    progress: Callable[[Fate], None] = lambda fate: None,
    seed: int = 0,
) -> BulkReport:
    """Register every candidate without a CA (way 4).

    Args:
        registrar: the account.
        candidates: taken one by one; a generator need not hold them all.
        policy: name of a policy that exists.
        clock: waits between devices and after refusals.
        record: JSONL file of fates, appended to; devices that it shows as done are left out.
        pace: how fast; as fast as it goes if None.
        progress: called with each fate.
        seed: of the random part of the waits.

    Raises:
        ConfigError: the record is something else.
    """
    pace = pace or Pace()
    done = _done(record) if record is not None else {}
    seen: set[str] = set()
    report = BulkReport()
    jitter = random.Random(seed)
    spacing = round(1_000_000 / pace.per_second) if pace.per_second else 0
    due = clock.now
    for candidate in candidates:
        fate, found = _judge(candidate, seen, done)
        if fate is None:
            clock.sleep(due - clock.now)
            due = max(due, clock.now) + spacing
            try:
                fate = _register(registrar, candidate, found, policy, clock, pace, jitter)
            except CloudError as error:
                report.stopped = error.message
                return report
        report.add(fate)
        if record is not None and fate.outcome != "kept":
            append_line(record, json.dumps(asdict(fate)))
        progress(fate)
    return report


def _judge(candidate: Candidate, seen: set[str], done: dict[str, str]) -> tuple[Fate | None, str]:
    """The fate of a candidate that needs no call, or None; and its certificate's id."""
    identity = candidate.identity
    if candidate.problem or candidate.pem is None:
        return Fate(identity, "bad", reason=candidate.problem or "there is no certificate"), ""
    try:
        found = certificate_id(to_der(load_certificate(candidate.pem)))
    except CertificateError as error:
        return Fate(identity, "bad", reason=error.message), ""
    if identity in seen:
        return Fate(identity, "bad", found, "another entry has the same name"), found
    seen.add(identity)
    return (Fate(identity, "kept", found) if done.get(identity) == found else None), found


def _register(
    registrar: Registrar,
    candidate: Candidate,
    found: str,
    policy: str,
    clock: Clock,
    pace: Pace,
    jitter: random.Random,
) -> Fate:
    """Register one device, with patience.

    Raises:
        CloudError: no further device could be registered either.
    """
    wait = pace.first_wait_us
    for attempt in range(1, pace.attempts + 1):
        try:
            registrar.without_ca(str(candidate.pem), thing=candidate.identity, policy=policy)
        except CloudError as error:
            code = aws_code(error)
            if code in HOPELESS or (code in RETRIED and attempt == pace.attempts):
                raise
            if code not in RETRIED:
                return Fate(candidate.identity, "refused", found, error.message, attempt)
            clock.sleep(wait + jitter.randrange(wait // 2 + 1))
            wait = min(2 * wait, pace.longest_wait_us)
        else:
            return Fate(candidate.identity, "registered", found, attempts=attempt)
    raise CloudError("a pace of no attempts registers nothing")


def _done(record: Path) -> dict[str, str]:
    """Names and certificate ids of the devices that earlier runs have registered."""
    done: dict[str, str] = {}
    for number, line in enumerate(whole_lines(record), 1):
        try:
            fate = Fate(**json.loads(line))
        except (TypeError, ValueError) as error:
            raise ConfigError(
                f"{record}:{number}: not a line of a registration record ({error})",
                hint="name another file, or move this one away",
            ) from error
        if fate.outcome == "registered":
            done[fate.identity] = fate.certificate_id
    return done
