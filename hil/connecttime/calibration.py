"""How far the model of the element and its bus is from published connections of real boards.

One log was used to choose figures, the others only check. Each step is played by the emulated part
behind the firmware model's own use of it, with typical times, and compared with the time between
the log's lines.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from statistics import mean
from typing import TYPE_CHECKING

import msgspec
import yaml
from cryptography.hazmat.primitives.asymmetric import ec

from hil.element.device import Element
from hil.emulator.boards.mongoose_atca import PACE, Atca
from hil.emulator.standalone import emulated_element
from hil.errors import ConfigError
from hil.tls.software import SoftwareKey
from hil.yamltext import load_yaml

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = [
    "Comparison",
    "Fitted",
    "Log",
    "comparisons",
    "fitted_inputs",
    "published",
    "statement",
    "steps_of",
]

_DIGEST = bytes(range(32))
_ECDH_SLOT = 2
_KEY_SLOT = 0


class Log(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One published connection.

    Attributes:
        name: part and date.
        chip: profile of the part.
        fitted: whether figures were fitted to it; else it only checks.
        steps: milliseconds of each step of the element.
        overhead: milliseconds from the start to the TCP SYN.
    """

    name: str
    chip: str
    fitted: bool
    steps: dict[str, list[float]]
    overhead: float


class Fitted(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One input that was chosen to meet a published figure."""

    input: str
    value: str
    why: str


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    logs: list[Log]
    fitted: list[Fitted]


@dataclass(frozen=True)
class Comparison:
    """One step of one log beside the model.

    Attributes:
        log: which.
        step: one of :data:`hil.measure.connect.ELEMENT_STEPS`.
        published_ms, model_ms: the two.
    """

    log: Log
    step: str
    published_ms: float
    model_ms: float

    @property
    def deviation(self) -> float:
        """How much longer the model takes, as a fraction of the published time."""
        return self.model_ms / self.published_ms - 1


@cache
def _file() -> _File:
    resource = files("hil.rigs") / "logs" / "connects.yaml"
    try:
        return msgspec.convert(load_yaml(resource.read_text(encoding="utf-8")), _File)
    except (OSError, yaml.YAMLError, msgspec.ValidationError) as error:
        raise ConfigError(f"rigs/logs/connects.yaml: {error}") from error


def published() -> list[Log]:
    """The published connections."""
    return _file().logs


def fitted_inputs() -> list[Fitted]:
    """What was chosen so that the model meets what was published."""
    return _file().fitted


@cache
def steps_of(chip: str, hz: int = 100_000) -> Mapping[str, float]:
    """Milliseconds of each step of a part at typical times, bus and wake included.

    Args:
        chip: name of its profile.
        hz: speed of the bus.
    """
    with emulated_element(chip, "provisioned", hz=hz) as part:
        element = Element(part.bus, part.address, part=chip, pace=PACE)
        atca = Atca(element, part.profile.family == 608, (_ECDH_SLOT,))
        peer = SoftwareKey(ec.generate_private_key(ec.SECP256R1()))
        point, signature = peer.public_key(), peer.sign_digest(_DIGEST)
        steps: dict[str, Callable[[], object]] = {
            "element-verify": lambda: atca.verify(point, _DIGEST, signature),
            "element-ecdh-key": lambda: element.public_key(_ECDH_SLOT),
            "element-ecdh": lambda: element.ecdh_slot(_ECDH_SLOT, point),
            "element-sign": lambda: atca.sign(_KEY_SLOT, _DIGEST),
        }
        if atca.is_608:  # as the firmware does: a key in TempKey where there is one
            steps |= {
                "element-ecdh-key": element.ephemeral_key,
                "element-ecdh": lambda: element.ecdh_ephemeral(point),
            }
        found = {}
        with element.session():
            for name, run in steps.items():
                start = part.clock.now
                run()
                found[name] = (part.clock.now - start) / 1000
        return found


def comparisons() -> list[Comparison]:
    """Every step of every log beside the model."""
    return [
        Comparison(log, step, mean(times), steps_of(log.chip)[step])
        for log in published()
        for step, times in log.steps.items()
    ]


def statement() -> list[str]:
    """How good the model is, and what was fitted, in words for a report."""
    said = []
    for log in published():
        worst = max((one for one in comparisons() if one.log is log), key=lambda one: abs(one.deviation))
        role = "fitted to" if log.fitted else "checked against"
        times = f"{worst.model_ms:.0f} ms, log {worst.published_ms:.0f} ms"
        said.append(
            f"{role} the published log of a {log.name}: its steps in the element deviate by at most "
            f"{abs(worst.deviation):.0%} ({worst.step}: {times})"
        )
    inputs = ", ".join(f"{one.input} = {one.value}" for one in fitted_inputs())
    return [*said, f"fitted inputs: {inputs}"]
