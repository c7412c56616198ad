"""Learns a cost model from a rig, for its emulated twin: what the operations really take on this board.

Read off the console, and off our endpoint's stamps for what happens before the first line. The order of
the lines is that of TLS 1.2, where every operation ends with a line and nothing waits in between:

* ``SW ECDSA verify`` to ``SW ECDSA verify``: one verification;
* to ``SW ECDH``: key and agreement, which the console does not tell apart; each gets half;
* to ``SW ECDSA sign``: the signature;
* with an RSA key and chain: from the ClientHello to ``SW ECDH`` the verifications, from there to the end of
  TLS the signature and a round trip;
* steps of the element: what is left of each, once bus, wake and the smaller commands are taken off.

What no line shows (hashing, other curves, the boot) is taken from a base model, and says so.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from statistics import median
from typing import TYPE_CHECKING, Any

import yaml

from hil.connecttime.limits import RECIPES, bus_us, step_durations
from hil.connecttime.scenario import Case, find_scenario, not_applicable
from hil.emulator.chip import load_profile
from hil.emulator.mcu import load_costs, parse_costs
from hil.errors import RigError, UsageError
from hil.measure.statistics import quantile
from hil.records.journal import utc
from hil.wire.loglines import log_event, parse_line

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from hil.connecttime.sampler import Sampled, Sampler
    from hil.emulator.mcu import CostModel
    from hil.measure.connect import Connection
    from hil.tls.client import Version

__all__ = ["LEAST", "learn", "to_yaml"]

LEAST = 5
"""Fewer connections give no p95 worth writing down."""

_VERSION: Version = "1.2"
_MAIN = {
    "element-verify": "Verify",
    "element-sign": "Sign",
    "element-ecdh": "ECDH",
    "element-ecdh-key": "GenKey public",
}
"""Step, and the form of the command whose time is learned from it."""


@dataclass(frozen=True)
class _Times:
    """Durations of one thing in microseconds, and how they were come by."""

    us: tuple[float, ...]
    how: str

    def entry(self, rig: str) -> dict[str, Any]:
        ordered = sorted(max(value, 0.0) for value in self.us)
        middle = median(ordered)
        return {
            "ms": round(middle / 1000, 3),
            "p95_ms": round(max(quantile(ordered, 0.95), middle) / 1000, 3),
            "n": len(ordered),
            "provenance": f"{rig}: {self.how}",
        }


def learn(
    sampler: Sampler, n: int, *, base: str | None = None, progress: Callable[[str, int], None] | None = None
) -> dict[str, Any]:
    """A cost model as the mapping of its file.

    Args:
        sampler: of a rig whose endpoint is ours.
        n: connections of each scenario, at least :data:`LEAST`.
        base: model for what cannot be seen; default: the shipped one for the rig's MCU and clock.
        progress: called with the scenario and the number of attempts so far.

    Raises:
        UsageError: the rig cannot be learned from.
        RigError: the board does not connect, or says too little.
    """
    rig = sampler.rig
    if n < LEAST:
        raise UsageError(f"{n} connections teach nothing; take at least {LEAST}")
    if not rig.cloud.serves:
        raise UsageError(
            f"{rig.name} meets an endpoint that is not ours; its stamps are needed",
            hint="let this program listen: cloud: {listen: …}",
        )
    sampled: dict[str, Sampled] = {}
    for name in ("element", "software-ecc", "software-rsa"):
        case = Case(find_scenario(name), _VERSION)
        reason = not_applicable(rig.file, case)
        if reason is not None:
            raise UsageError(f"{rig.name} cannot be learned from: {reason}")
        sampler.prepare(case)
        told = None if progress is None else (lambda done, name=name: progress(name, done))
        sampled[name] = sampler.take(n, "reconnect", told)
        if len(sampled[name].connections) < LEAST:
            raise RigError(f"{rig.name}, {name}: {sampled[name].failure or 'too few connections'}")
    costs = load_costs(base or f"{rig.file.board.mcu}-{_mhz(sampler)}mhz")
    return _model(sampler, sampled, costs)


def to_yaml(model: dict[str, Any]) -> str:
    """The file's text; checked against the schema of cost models."""
    head = (
        f"# What software costs on {model['learned']['rig']}, learned by `hil costs learn`.\n"
        "# Medians and 95th percentiles; what no console line shows is taken over from another model.\n"
    )
    text = head + yaml.safe_dump(model, sort_keys=False, allow_unicode=True, width=100)
    parse_costs(text, f"{model['name']}.yaml")
    return text


def _model(sampler: Sampler, sampled: dict[str, Sampled], base: CostModel) -> dict[str, Any]:
    rig = sampler.rig
    rtt = _rtt_us(sampled.values())
    software = _software(sampled["software-ecc"], sampled["software-rsa"], sampler, rtt)
    hello = _Times(
        tuple(lag - 1.5 * rtt for lag in _hello_lags(sampled["element"])),
        "from the start to the ClientHello, without one and a half round trips",
    )
    from_base = f"not seen; from {base}"
    operations = {name: times.entry(rig.name) for name, times in software.items()}
    for name in ("p384_verify", "sha256_4k"):
        operations[name] = {"ms": base.us(name) / 1000, "provenance": from_base}
    boot = None if rig.boot is None else rig.boot.firmware
    return {
        "name": f"learned-{rig.name}",
        "part": base.part,
        "arch": base.arch,
        "frequency_mhz": base.frequency_mhz,
        "default_source": "learned",
        "learned": {
            "rig": rig.name,
            "firmware": str(boot or "unknown"),
            "element": rig.file.element.part,
            "revision": rig.element.info_revision().hex(),
            "clock": rig.clock.kind,
            "samples": min(len(one.connections) for one in sampled.values()),
            "rtt_ms": round(rtt / 1000, 3),
            "at": utc(rig.calendar.time()),
        },
        "sources": {
            "learned": {"provenance": f"console and endpoint stamps of {rig.name}", "operations": operations}
        },
        "spread": {"p95": 1.0, "provenance": "what was learned brings its own; the rest does not vary"},
        "overheads": {
            "host_overhead": hello.entry(rig.name),
            "rpc": {"ms": base.us("rpc") / 1000, "provenance": from_base},
        },
        "delays": {name: {"ms": us / 1000, "provenance": from_base} for name, us in base.delays.items()},
        "i2c_gap_us": {"value": base.i2c_gap_us, "provenance": from_base},
        "chip": {form: times.entry(rig.name) for form, times in _chip(sampled["element"], sampler).items()},
    }


def _software(ecc: Sampled, rsa: Sampled, sampler: Sampler, rtt: float) -> dict[str, _Times]:
    """Costs of the MCU's operations."""
    verify = _between(ecc.connections, "mcu-verify", "mcu-verify", first_only=True)
    agree = [us / 2 for us in _between(ecc.connections, "mcu-verify", "mcu-ecdh")]
    sign = _between(ecc.connections, "mcu-ecdh", "mcu-sign")
    rsa_sign = [us - rtt for us in _between(rsa.connections, "mcu-ecdh", "tls")]
    signatures = len(sampler.rig.cloud.endpoint.pki.chain("rsa").certificates) + 1
    rsa_verify = [(us - rtt / 2 - 2 * median(agree or [0])) / signatures for us in _hello_to(rsa, "mcu-ecdh")]
    half = "half of the time from the last verification to `SW ECDH`: key and agreement are not told apart"
    return {
        name: _needed(name, times)
        for name, times in {
            "p256_keygen": _Times(tuple(agree), half),
            "p256_ecdh": _Times(tuple(agree), half),
            "p256_sign": _Times(tuple(sign), "`SW ECDH` to `SW ECDSA sign`"),
            "p256_verify": _Times(tuple(verify), "`SW ECDSA verify` to the next"),
            "rsa2048_verify": _Times(
                tuple(rsa_verify), f"ClientHello to `SW ECDH` without the agreement, by {signatures}"
            ),
            "rsa2048_sign": _Times(tuple(rsa_sign), "`SW ECDH` to the end of TLS, without a round trip"),
        }.items()
    }


def _needed(name: str, times: _Times) -> _Times:
    if not times.us:
        raise RigError(
            f"the console does not show {name}: {times.how}",
            hint="is the firmware's TLS library the one that prints `SW …` and `ATCA:…` lines?",
        )
    return times


def _between(
    connections: Sequence[Connection], first: str, second: str, *, first_only: bool = False
) -> list[float]:
    """Time from one step to another that follows it directly."""
    found: list[float] = []
    for connection in connections:
        pairs = [
            float(step.after_us - before.after_us)
            for before, step in pairwise(connection.steps)
            if (before.name, step.name) == (first, second)
        ]
        found += pairs[:1] if first_only else pairs
    return found


def _hello_lags(sampled: Sampled) -> list[int]:
    return [one.agreement.hello_lag_us for one in sampled.attempts if one.agreement is not None]


def _hello_to(sampled: Sampled, step: str) -> list[float]:
    """From the ClientHello at the endpoint to a step at the console."""
    return [
        float(after - one.agreement.hello_lag_us)
        for one in sampled.attempts
        if one.agreement is not None and (after := one.connection.after(step)) is not None
    ]


def _rtt_us(sampled: Any) -> float:  # noqa: ANN401  (values of a dict)
    """The shortest time from the endpoint's last flight to the CONNECT: a round trip and a little."""
    gaps = [
        stamps["connect"] - stamps["tls-done"]
        for one in sampled
        for stamps in one.stamps
        if "connect" in stamps
    ]
    if not gaps:
        raise RigError("the endpoint saw no connection")
    return float(min(gaps))


def _chip(sampled: Sampled, sampler: Sampler) -> dict[str, _Times]:
    """Execution times of the element's main commands."""
    rig = sampler.rig
    profile = load_profile(rig.file.element.part)
    found: dict[str, _Times] = {}
    for step, durations in step_durations(sampled.connections).items():
        main = _MAIN[step]
        if step == "element-ecdh-key" and any("gen" in one.text for one in _steps(sampled, step)):
            main = "GenKey"
        beside = [opcode for opcode in RECIPES[step] if opcode.label != main.split()[0]]
        rows = [profile.time_of(opcode.label, opcode.label) for opcode in beside]
        smaller = sum(profile.range_of(row)[0] for row in rows)
        off = smaller + bus_us(step, rig.file.bus.hz)
        found[main] = _Times(
            tuple(us - off for us in durations), f"step {step} without bus, wake and smaller commands"
        )
    return found


def _steps(sampled: Sampled, name: str) -> list[Any]:
    return [step for one in sampled.connections for step in one.steps if step.name == name]


def _mhz(sampler: Sampler) -> int:
    """The clock that the boot log tells."""
    for line in reversed(sampler.rig.console.transcript.lines):
        event = log_event(parse_line(line.text).message)
        if event is not None and event.kind == "cpu":
            return int(event.fields["mhz"])
    raise RigError("the boot log names no clock frequency", hint="name a base model: --base")
