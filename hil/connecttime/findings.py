"""What is wrong with a sample of connections, blamed on the phase in which it happened.

A finding is read off the console and the endpoint's stamps alone. Where nothing can be said for
certain, nothing is said.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from hil.connecttime.limits import held_back, slow_steps
from hil.measure.statistics import Claim, Standing, claim_below, samples_needed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hil.connecttime.sampler import Sampled
    from hil.element.timing import Divider
    from hil.measure.connect import Connection
    from hil.measure.statistics import Sample

__all__ = ["Finding", "find", "judge", "placement", "words"]

KEY_SLOT = 0
CONFIDENCE = 0.95
_QUANTILES = (0.95, 0.90, 0.50)
"""What a sample can show without an exceedance: 59 attempts p95, 29 p90, 5 the median."""


class Finding(NamedTuple):
    """One thing that is wrong.

    Attributes:
        phase: where: ``sign``, ``ecdh``, ``verify``, ``element``, ``mqtt`` or ``connect``.
        text: in words, with what to do.
    """

    phase: str
    text: str

    def __str__(self) -> str:
        return f"{self.phase}: {self.text}"


def find(
    sampled: Sampled, part: str, *, hz: int = 100_000, divider: Divider = "M0", rtt_us: int = 0
) -> list[Finding]:
    """Everything that is wrong with a sample, gravest first.

    Args:
        sampled: the attempts.
        part: the element's part number, for its published maxima.
        hz: speed of the bus between MCU and element.
        divider: the 608's clock divider.
        rtt_us: round trip, as far as it is known.
    """
    found = [Finding("connect", sampled.failure)] if sampled.failure else []
    connections = sampled.connections
    if sampled.case.scenario.element != "none":
        found += placement(connections, all_of_it=sampled.case.scenario.element == "all")
        if sampled.case.scenario.server == "ec" and sampled.case.scenario.element == "all":
            found += _chain(connections)
        found += [Finding("element", said) for said in slow_steps(connections, part, hz=hz, divider=divider)]
    held = held_back(connections, sampled.stamps, rtt_us)
    return found + ([Finding("mqtt", held)] if held else [])


def placement(connections: Sequence[Connection], *, all_of_it: bool = True) -> list[Finding]:
    """Whether every private-key operation, and everything else it should do, was the element's.

    Args:
        connections: accepted ones.
        all_of_it: ECDH and verification belong to the element, not the signature alone.
    """
    found = []
    signs = sorted({one.count("element-sign", KEY_SLOT) for one in connections})
    if signs and signs != [1]:
        times = " or ".join(map(str, signs))
        found.append(
            Finding("sign", f"slot {KEY_SLOT} signed {times} times in a handshake; once is what TLS needs")
        )
    others = {step.slot for one in connections for step in one.steps if step.name == "element-sign"}
    if others - {KEY_SLOT}:
        found.append(Finding("sign", f"slots {sorted(map(str, others))} signed, not only slot {KEY_SLOT}"))
    if any(one.count("mcu-sign") for one in connections):
        found.append(Finding("sign", "the MCU signed: a private key lies outside of the element"))
    if all_of_it:
        lines = [line for one in connections for line in one.software]
        for phase, word in (("ecdh", "ECDH"), ("verify", "verify")):
            said = [line for line in lines if word in line and "sign" not in line]
            if said:
                found.append(
                    Finding(phase, f"done in software although an element is there; the log says {said[0]!r}")
                )
        if any(not one.count("element-ecdh") for one in connections) and not lines:
            found.append(Finding("ecdh", "no ECDH in the element, and the log does not say who did it"))
    return found


def _chain(connections: Sequence[Connection]) -> list[Finding]:
    """An EC chain has at least one certificate and the key exchange to verify."""
    for one in connections:
        if not one.count("element-verify") and not any("verify" in line for line in one.software):
            return [
                Finding(
                    "verify",
                    "no signature of the server was verified in the element: the server shows an RSA chain "
                    "(or another curve), which the MCU verifies; have the client offer ECDSA suites first",
                )
            ]
    return []


def judge(sample: Sample, limit_ms: float) -> Claim:
    """The strongest claim ``quantile < limit`` that a sample of this size can show.

    With 59 attempts p95, with 29 p90, with fewer the median, each with 95 % confidence.
    """
    able = [q for q in _QUANTILES if samples_needed(q, CONFIDENCE) <= max(sample.n, 5)]
    return claim_below(sample, limit_ms, able[0], CONFIDENCE)


def words(claim: Claim) -> str:
    """A claim for people: ``p95 ≤ 1000 ms shown with 95 % confidence (0 of 59 above)``."""
    what = "median" if claim.fraction == 0.5 else f"p{claim.fraction * 100:.0f}"
    certain = f" with {claim.confidence:.0%} confidence" if claim.standing is not Standing.NOT_SHOWN else ""
    return f"{what} ≤ {claim.limit:g} ms {claim.standing}{certain} ({claim.exceedances} of {claim.n} above)"
