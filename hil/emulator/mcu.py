"""What software costs on an emulated MCU: cost models, and the processor that spends them.

A cost model is a file in ``rigs/boards``. It holds one or more *sources* of cryptographic costs
(instruction counts, published constants, what was learned from a board), because public figures
disagree by up to ten times; one of them is selected. Everything else (overheads, delays) is common to
them. Each entry carries its provenance, and a result that uses them is *predicted*, never measured.

Two kinds of not knowing are kept apart. The *band* (``low``, ``high``; the believable range of cycles
per instruction) says how far boards and builds differ: it moves every connection of a run alike, see
:func:`bounds`. The *spread* (``p95``) says how far one operation varies from time to time on one board:
it is drawn anew each time, see :class:`Mcu`.
"""

from __future__ import annotations

import difflib
import math
from collections import Counter
from dataclasses import dataclass, field
from importlib.resources import files
from typing import TYPE_CHECKING, Literal, NamedTuple

import msgspec
import yaml

from hil.emulator.cpu import Cpu
from hil.errors import ConfigError
from hil.yamltext import load_yaml

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path
    from random import Random

    from hil.clock import World

__all__ = [
    "Bound",
    "ChipTime",
    "CostModel",
    "End",
    "Learned",
    "Mcu",
    "bounds",
    "cost_model_names",
    "load_costs",
    "parse_costs",
]


Arch = Literal["esp8266", "esp32"]
End = Literal["typical", "low", "high"]
"""Which end of the believable range of every figure."""

_Z95 = 1.6448536269514722
"""The standard normal distribution's 95th percentile."""
_HASH_BYTES = 4096
"""What ``sha256_4k`` hashes."""


class _Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One operation: either ``minstructions`` (millions) or ``ms``; p95 and n if it was learned."""

    provenance: str
    minstructions: float | None = None
    ms: float | None = None
    p95_ms: float | None = None
    n: int | None = None

    def __post_init__(self) -> None:
        if (self.minstructions is None) == (self.ms is None):
            raise ValueError("give either minstructions or ms")
        if (self.minstructions or self.ms or 0.0) < 0:
            raise ValueError("a cost is not negative")
        if self.p95_ms is not None and (self.ms is None or self.p95_ms < self.ms):
            raise ValueError("p95_ms belongs to ms and is not below it")


class _Cpi(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Cycles per instruction: the value used and the band that is believable."""

    value: float
    low: float
    high: float
    provenance: str


class _Source(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    provenance: str
    operations: dict[str, _Entry]
    cpi: _Cpi | None = None


class _Delay(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A time that no clock frequency or library changes, the band around it, and its spread."""

    ms: float
    provenance: str
    low_ms: float | None = None
    high_ms: float | None = None
    p95_ms: float | None = None
    n: int | None = None

    def __post_init__(self) -> None:
        low, high = self.at("low"), self.at("high")
        if not 0 <= low <= self.ms <= high:
            raise ValueError("low_ms, ms and high_ms rise from 0")
        if self.p95_ms is not None and self.p95_ms < self.ms:
            raise ValueError("p95_ms is not below ms")

    def at(self, end: End) -> float:
        """Milliseconds at one end of the band."""
        found = {"low": self.low_ms, "high": self.high_ms, "typical": None}[end]
        return self.ms if found is None else found


class _Spread(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The 95th percentile over the median, for everything that brings no p95 of its own."""

    p95: float
    provenance: str

    def __post_init__(self) -> None:
        if self.p95 < 1:
            raise ValueError("p95 is a factor of 1 or more")


class _Gap(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    value: int
    provenance: str


class Learned(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a learned model was learned from.

    Attributes:
        rig: name of the rig.
        firmware: what its boot log says.
        element: part of its element.
        revision: what Info answers, 8 hex digits.
        clock: ``wall``, or ``virtual`` for a model learned from an emulated rig.
        samples: connections of each scenario.
        rtt_ms: round trip to the endpoint meanwhile.
        at: UTC.
    """

    rig: str
    firmware: str
    element: str
    revision: str
    clock: Literal["wall", "virtual"]
    samples: int
    rtt_ms: float
    at: str


class ChipTime(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Execution time of one command form of the element, as learned."""

    ms: float
    p95_ms: float
    n: int
    provenance: str


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: str
    part: str
    arch: Arch
    frequency_mhz: float
    default_source: str
    sources: dict[str, _Source]
    overheads: dict[str, _Delay]
    delays: dict[str, _Delay]
    i2c_gap_us: _Gap
    spread: _Spread | None = None
    learned: Learned | None = None
    chip: dict[str, ChipTime] = {}


@dataclass(frozen=True)
class CostModel:
    """What an MCU needs for each operation, in whole microseconds.

    Attributes:
        name: file name without suffix, e.g. ``esp8266-80mhz``.
        part: the MCU in words.
        arch: what the firmware calls it.
        frequency_mhz: clock of the core.
        source: which source of cryptographic costs was selected.
        cpi: cycles per instruction in use; None for a source of constants.
        operations: microseconds of processor time of each operation and overhead.
        delays: microseconds that pass without the processor being busy.
        i2c_gap_us: what a byte on a bit-banged bus takes beyond nine bit times.
        provenance: where each figure comes from, by name; ``""`` is the source as a whole.
        spreads: 95th percentile over median of each operation and delay; 1 = it never varies.
        learned: the rig that it was learned from, if it was.
        chip: learned execution times of the element's commands, by form.
    """

    name: str
    part: str
    arch: Arch
    frequency_mhz: float
    source: str
    cpi: float | None
    operations: Mapping[str, int]
    delays: Mapping[str, int]
    i2c_gap_us: int
    provenance: Mapping[str, str]
    spreads: Mapping[str, float] = field(default_factory=dict)
    learned: Learned | None = None
    chip: Mapping[str, ChipTime] = field(default_factory=dict)

    def us(self, operation: str) -> int:
        """Processor time of one ``operation``.

        Raises:
            ConfigError: the model does not know it.
        """
        return _known(self.operations, operation, f"cost model {self.name}: operation")

    def delay(self, name: str) -> int:
        """A delay that keeps nobody busy.

        Raises:
            ConfigError: the model does not know it.
        """
        return _known(self.delays, name, f"cost model {self.name}: delay")

    def factor(self, name: str, rng: Random | None) -> float:
        """By how much an operation or delay differs from its median this time.

        Log-normal: never negative, longer now and then. Without ``rng`` it does not differ.
        """
        spread = self.spreads.get(name, 1.0)
        if rng is None or spread <= 1.0:
            return 1.0
        return rng.lognormvariate(0.0, math.log(spread) / _Z95)

    def __str__(self) -> str:
        cpi = "" if self.cpi is None else f", CPI {self.cpi:g}"
        return f"{self.name} ({self.source}{cpi})"


def cost_model_names() -> list[str]:
    """Names of the cost models that are shipped."""
    folder = files("hil.rigs") / "boards"
    return sorted(entry.name[:-5] for entry in folder.iterdir() if entry.name.endswith(".yaml"))


def load_costs(
    name: str,
    *,
    source: str | None = None,
    cpi: float | None = None,
    end: End = "typical",
    folder: Path | None = None,
) -> CostModel:
    """Read a cost model.

    Args:
        name: e.g. ``esp8266-80mhz``.
        source: which source of cryptographic costs; None for the file's default.
        cpi: cycles per instruction instead of the file's value; for sources of instruction counts.
        end: which end of the believable band of everything that has one.
        folder: a project's own models, looked at before the shipped ones.

    Raises:
        ConfigError: no such model or source, the file breaks its schema, or ``cpi`` does not apply.
    """
    text, where = _read(name, folder)
    return parse_costs(text, where, source=source, cpi=cpi, end=end)


def bounds(name: str, *, folder: Path | None = None) -> list[Bound]:
    """Every source of a model at both ends of its band: how far from each other honest answers lie.

    Raises:
        ConfigError: as :func:`load_costs`.
    """
    text, where = _read(name, folder)
    found: list[Bound] = []
    ends: tuple[End, End] = ("low", "high")
    for source in _parsed(text, where).sources:
        for end in ends:
            costs = parse_costs(text, where, source=source, end=end)
            what = f"{end} overheads" if costs.cpi is None else f"CPI {costs.cpi:g}"
            found.append(Bound(f"{source}, {what}", end, costs))
    return found


def parse_costs(
    text: str,
    where: str,
    *,
    source: str | None = None,
    cpi: float | None = None,
    end: End = "typical",
) -> CostModel:
    """A cost model from YAML ``text``; ``where`` is what errors call it. See :func:`load_costs`."""
    file = _parsed(text, where)
    chosen_name = source or file.default_source
    if chosen_name not in file.sources:
        raise _unknown(chosen_name, file.sources, f"{where}: source")
    chosen = file.sources[chosen_name]
    if cpi is not None and (chosen.cpi is None or cpi <= 0):
        raise ConfigError(
            f"{where}: source {chosen_name} takes no cpi of {cpi}", hint="cpi scales instruction counts"
        )
    if cpi is None and chosen.cpi is not None:
        cpi = {"typical": chosen.cpi.value, "low": chosen.cpi.low, "high": chosen.cpi.high}[end]
    operations = {
        name: _us(entry, cpi, file.frequency_mhz, f"{where}: {name}")
        for name, entry in chosen.operations.items()
    }
    operations |= {name: round(entry.at(end) * 1000) for name, entry in file.overheads.items()}
    entries: dict[str, _Entry | _Delay] = {**chosen.operations, **file.overheads, **file.delays}
    return CostModel(
        name=file.name,
        part=file.part,
        arch=file.arch,
        frequency_mhz=file.frequency_mhz,
        source=chosen_name,
        cpi=cpi,
        operations=operations,
        delays={key: round(entry.at(end) * 1000) for key, entry in file.delays.items()},
        i2c_gap_us=file.i2c_gap_us.value,
        provenance={"": chosen.provenance} | {key: entry.provenance for key, entry in entries.items()},
        spreads={key: _spread(entry, file.spread) for key, entry in entries.items()},
        learned=file.learned,
        chip=file.chip,
    )


def _read(name: str, folder: Path | None) -> tuple[str, str]:
    """Text of a model, and what errors call its file."""
    if folder is not None and (own := folder / f"{name}.yaml").is_file():
        return own.read_text(encoding="utf-8"), str(own)
    resource = files("hil.rigs") / "boards" / f"{name}.yaml"
    if not resource.is_file():
        raise _unknown(name, cost_model_names(), "cost model")
    return resource.read_text(encoding="utf-8"), f"rigs/boards/{name}.yaml"


def _parsed(text: str, where: str) -> _File:
    try:
        return msgspec.convert(load_yaml(text), _File)
    except (yaml.YAMLError, msgspec.ValidationError) as error:
        raise ConfigError(f"{where}: {error}") from error


class Bound(NamedTuple):
    """One end of one source of a cost model.

    Attributes:
        label: for people, e.g. ``instructions, CPI 1``.
        end: which end.
        costs: the model with these figures.
    """

    label: str
    end: End
    costs: CostModel


class Mcu:
    """One MCU's processor in a world; operations of its tasks queue for it.

    Args:
        world: whose time is spent.
        costs: what each operation takes; may be exchanged while the board is off.
        rng: draws how far each operation differs from its median; None = never.
    """

    def __init__(self, world: World, costs: CostModel, rng: Random | None = None) -> None:
        self.costs = costs
        self.rng = rng
        self.performed: Counter[str] = Counter()
        """How often each operation was performed since the last reset."""
        self._world = world
        self._cpu = Cpu(world)

    def spend(self, operation: str, n: int = 1) -> int:
        """Perform ``operation`` ``n`` times; returns the processor time in microseconds.

        Raises:
            ConfigError: the cost model does not know the operation.
        """
        return self._perform(operation, n, n)

    def hash(self, length: int) -> int:
        """SHA-256 over ``length`` bytes; returns the processor time in microseconds."""
        return self._perform("sha256_4k", length / _HASH_BYTES, 1)

    def _perform(self, operation: str, amount: float, times: int) -> int:
        us = round(self.costs.us(operation) * amount * self.costs.factor(operation, self.rng))
        self.performed[operation] += times
        self._cpu.spend(us)
        return us

    def sleep(self, delay: str) -> None:
        """Let a delay of the cost model pass, which keeps nobody busy."""
        self._world.sleep(round(self.costs.delay(delay) * self.costs.factor(delay, self.rng)))

    def reset(self) -> None:
        """Power-off or reset: whoever queued is gone."""
        self._cpu.reset()
        self.performed.clear()


def _us(entry: _Entry, cpi: float | None, frequency_mhz: float, where: str) -> int:
    if entry.ms is not None:
        return round(entry.ms * 1000)
    if cpi is None or entry.minstructions is None:
        raise ConfigError(f"{where}: instruction counts need a cpi")
    return round(entry.minstructions * 1e6 * cpi / frequency_mhz)


def _spread(entry: _Entry | _Delay, common: _Spread | None) -> float:
    if entry.p95_ms is not None and entry.ms:
        return entry.p95_ms / entry.ms
    return 1.0 if common is None else common.p95


def _known(table: Mapping[str, int], name: str, what: str) -> int:
    try:
        return table[name]
    except KeyError:
        raise _unknown(name, table, what) from None


def _unknown(name: str, known: Iterable[str], what: str) -> ConfigError:
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1)
    guess = f"did you mean {close[0]!r}? " if close else ""
    return ConfigError(f"{what} {name!r} is unknown", hint=f"{guess}known: {', '.join(names)}")
