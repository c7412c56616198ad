"""What software costs on an emulated MCU: cost models, and the processor that spends them.

A cost model is a file in ``rigs/boards``. It holds one or more *sources* of cryptographic costs
(instruction counts, published constants), because public figures disagree by up to ten times;
one of them is selected. Everything else (overheads, delays) is common to them. Each entry
carries its provenance, and a result that uses them is *predicted*, never measured.
"""

from __future__ import annotations

import difflib
from collections import Counter
from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING, Literal

import msgspec
import yaml

from hil.clock import Cpu
from hil.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from hil.clock import World

__all__ = ["CostModel", "Mcu", "cost_model_names", "load_costs"]

Arch = Literal["esp8266", "esp32"]


class _Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One operation: either ``minstructions`` (millions) or ``ms``."""

    provenance: str
    minstructions: float | None = None
    ms: float | None = None

    def __post_init__(self) -> None:
        if (self.minstructions is None) == (self.ms is None):
            raise ValueError("give either minstructions or ms")
        if (self.minstructions or self.ms or 0.0) < 0:
            raise ValueError("a cost is not negative")


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
    ms: float
    provenance: str


class _Gap(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    value: int
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


def cost_model_names() -> list[str]:
    """Names of the cost models that are shipped."""
    folder = files("hil.rigs") / "boards"
    return sorted(entry.name[:-5] for entry in folder.iterdir() if entry.name.endswith(".yaml"))


def load_costs(name: str, *, source: str | None = None, cpi: float | None = None) -> CostModel:
    """Read ``rigs/boards/<name>.yaml``.

    Args:
        name: e.g. ``esp8266-80mhz``.
        source: which source of cryptographic costs; None for the file's default.
        cpi: cycles per instruction instead of the file's value; for sources of instruction counts.

    Raises:
        ConfigError: no such model or source, the file breaks its schema, or ``cpi`` does not apply.
    """
    resource = files("hil.rigs") / "boards" / f"{name}.yaml"
    if not resource.is_file():
        raise _unknown(name, cost_model_names(), "cost model")
    where = f"rigs/boards/{name}.yaml"
    return parse_costs(resource.read_text(encoding="utf-8"), where, source=source, cpi=cpi)


def parse_costs(text: str, where: str, *, source: str | None = None, cpi: float | None = None) -> CostModel:
    """A cost model from YAML ``text``; ``where`` is what errors call it. See :func:`load_costs`."""
    try:
        file = msgspec.convert(yaml.safe_load(text), _File)
    except (yaml.YAMLError, msgspec.ValidationError) as error:
        raise ConfigError(f"{where}: {error}") from error
    chosen_name = source or file.default_source
    if chosen_name not in file.sources:
        raise _unknown(chosen_name, file.sources, f"{where}: source")
    chosen = file.sources[chosen_name]
    if cpi is not None and (chosen.cpi is None or cpi <= 0):
        raise ConfigError(
            f"{where}: source {chosen_name} takes no cpi of {cpi}", hint="cpi scales instruction counts"
        )
    used_cpi = cpi if cpi is not None else chosen.cpi.value if chosen.cpi is not None else None
    operations = {
        name: _us(entry, used_cpi, file.frequency_mhz, f"{where}: {name}")
        for name, entry in chosen.operations.items()
    }
    operations |= {name: round(entry.ms * 1000) for name, entry in file.overheads.items()}
    entries: dict[str, _Entry | _Delay] = {**chosen.operations, **file.overheads, **file.delays}
    provenance = {"": chosen.provenance} | {key: entry.provenance for key, entry in entries.items()}
    return CostModel(
        name=file.name,
        part=file.part,
        arch=file.arch,
        frequency_mhz=file.frequency_mhz,
        source=chosen_name,
        cpi=used_cpi,
        operations=operations,
        delays={key: round(entry.ms * 1000) for key, entry in file.delays.items()},
        i2c_gap_us=file.i2c_gap_us.value,
        provenance=provenance,
    )


class Mcu:
    """One MCU's processor in a world; operations of its tasks queue for it.

    Args:
        world: whose time is spent.
        costs: what each operation takes.
    """

    def __init__(self, world: World, costs: CostModel) -> None:
        self.costs = costs
        self.performed: Counter[str] = Counter()
        """How often each operation was performed since the last reset."""
        self._cpu = Cpu(world)

    def spend(self, operation: str, n: int = 1) -> int:
        """Perform ``operation`` ``n`` times; returns the processor time in microseconds.

        Raises:
            ConfigError: the cost model does not know the operation.
        """
        us = self.costs.us(operation) * n
        self.performed[operation] += n
        self._cpu.spend(us)
        return us

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
