"""What one part number is: revision, factory configuration, times, thresholds, knobs.

Profiles are data (``rigs/chips/*.yaml``), so that a new revision is a new file. A profile may
extend another one; mappings are merged key by key.
"""

from __future__ import annotations

from functools import cache, cached_property
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Literal

import msgspec
import yaml

from hil.emulator.chip.forms import parse_modes
from hil.emulator.chip.knobs import Knobs
from hil.errors import ConfigError
from hil.wire.atecc import Opcode
from hil.yamltext import load_yaml

if TYPE_CHECKING:
    from pathlib import Path

__all__ = [
    "CONFIG_BYTES",
    "Draw",
    "Profile",
    "Time",
    "Wake",
    "Watchdog",
    "load_profile",
    "merged_profile",
    "parse_profile",
    "profile_names",
]


CONFIG_BYTES = 128
FIRST_FREE = 16
"""First byte of the configuration zone that anybody may write."""

Draw = Literal["typical", "maximum"]
"""Which published figure an execution takes; a seeded ``random.Random`` instead draws between the two."""

CLOCK_DIVIDERS = {0x00: 0, 0x05: 1, 0x0D: 2}
"""ChipMode bits 7:3 to the column of the maxima: M0, M1, M2 (DS40002138A table 2-3)."""


class Time(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Execution time of one command, microseconds."""

    typical: int
    maximum: tuple[int, ...]
    note: str = ""


class Sources(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where the times come from."""

    typical: str
    maximum: str


class Times(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Execution times; ``commands`` is keyed by form ("GenKey public") or opcode label ("GenKey")."""

    sources: Sources
    error_us: int
    limited_use: Time
    commands: dict[str, Time]


class Watchdog(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """From wake to the forced sleep, microseconds; ``long`` with ChipMode bit 2."""

    minimum: int
    typical: int
    maximum: int
    long: int


class Wake(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How long SDA must be low to wake the part, and when it answers afterwards (us)."""

    threshold_us: int
    ready_us: int
    self_test_us: int


class Configuration(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A ready-made configuration: bytes 16 to 127 of the zone, as hex."""

    bytes: str


class Profile(msgspec.Struct, frozen=True, forbid_unknown_fields=True, dict=True):
    """One part number. Made by :func:`load_profile`; vary it with ``msgspec.structs.replace``.

    Attributes:
        name: what rig files and :func:`load_profile` call it.
        family: whose behaviour it has.
        revision: what Info(Revision) answers, hex.
        config: the configuration zone as shipped, hex; byte 16 is the I2C address shifted left.
        commands: by label the values of param1, ``XX`` or ``XX/free bits``; others get status 03.
        times: execution times with their sources.
        watchdog, wake: periods and thresholds.
        power_up_us: tPU, from Vcc to the first wake.
        nonvolatile_write_us: how long before the end of a command its write begins.
        time_scale: factor on all execution times.
        configurations: ready-made ones by name.
        knobs: what public sources leave open.
        source: what a learned profile was learned from.
        evidence: for knobs that were settled on a part, the observation that did it.
        open: knobs that what was observed leaves open.
    """

    name: str
    family: Literal[508, 608]
    revision: str
    config: str
    commands: dict[str, str]
    times: Times
    watchdog: Watchdog
    wake: Wake
    power_up_us: int
    nonvolatile_write_us: int
    time_scale: float = 1.0
    configurations: dict[str, Configuration] = {}
    knobs: Knobs = Knobs()
    source: str = ""
    evidence: dict[str, str] = {}
    open: tuple[str, ...] = ()

    @cached_property
    def revision_bytes(self) -> bytes:
        """What Info(Revision) answers, 4 bytes."""
        return _hex(self.revision, 4, f"{self.name}: revision")

    @cached_property
    def factory_config(self) -> bytes:
        """The configuration zone as shipped, 128 bytes; the serial number is left 0."""
        return _hex(self.config, CONFIG_BYTES, f"{self.name}: config")

    @cached_property
    def modes(self) -> frozenset[int]:
        """Every command and mode that the part knows, as ``opcode << 8 | param1``."""
        return frozenset(
            opcode << 8 | mode
            for label, text in self.commands.items()
            for opcode in (_opcode(label, self.name),)
            for mode in _modes(text, f"{self.name}: commands: {label}")
        )

    def configuration(self, name: str) -> bytes:
        """Bytes 16 to 127 of a ready-made configuration.

        Raises:
            ConfigError: the profile has no such configuration.
        """
        if name not in self.configurations:
            known = ", ".join(sorted(self.configurations)) or "none"
            raise ConfigError(f"{self.name} has no configuration {name!r}", hint=f"it has: {known}")
        return _hex(self.configurations[name].bytes, CONFIG_BYTES - FIRST_FREE, f"{self.name}: {name}")

    def range_of(self, time: Time, divider: int = 0) -> tuple[int, int]:
        """Typical and longest execution time, microseconds.

        Args:
            time: a row of the table.
            divider: column of the maxima, 0 to 2; the typical time is stretched as the maximum is.
        """
        maximum = time.maximum[min(divider, len(time.maximum) - 1)]
        typical = time.typical * maximum // time.maximum[0]
        return int(typical * self.time_scale), int(maximum * self.time_scale)

    def time_of(self, form: str, label: str) -> Time:
        """The row for a form of a command, or for the command as a whole."""
        row = self.times.commands.get(form)
        return self.times.commands[label] if row is None else row


def profile_names(folder: Path | None = None) -> list[str]:
    """Names that :func:`load_profile` takes; ``folder`` is looked into besides the shipped one."""
    found = {f.name.removesuffix(".yaml") for f in _shipped().iterdir() if f.name.endswith(".yaml")}
    if folder is not None:
        found |= {path.stem for path in folder.glob("*.yaml")}
    return sorted(found)


@cache
def load_profile(name: str, folder: Path | None = None) -> Profile:
    """The profile of a part, e.g. ``"atecc508a"``.

    Args:
        name: of a shipped profile, or of one in ``folder``, which comes first.
        folder: the project's own profiles.

    Raises:
        ConfigError: no such profile, or its file is wrong.
    """
    return parse_profile(_raw(name, folder), where=f"chips/{name}.yaml")


def parse_profile(raw: dict[str, Any], *, where: str) -> Profile:
    """A profile from the mapping of its file.

    Raises:
        ConfigError: a field is unknown, missing or of the wrong type, or a hex field has a wrong length.
    """
    try:
        profile = msgspec.convert(raw, Profile)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{where}: {error}") from error
    _ = profile.factory_config, profile.revision_bytes, profile.modes
    for configuration in profile.configurations:
        profile.configuration(configuration)
    return profile


def _merged(base: dict[str, Any], top: dict[str, Any]) -> dict[str, Any]:
    result = dict(base)
    for key, value in top.items():
        below = result.get(key)
        result[key] = _merged(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    return result


def _raw(name: str, folder: Path | None) -> dict[str, Any]:
    own = None if folder is None else folder / f"{name}.yaml"
    path = own if own is not None and own.is_file() else _shipped() / f"{name}.yaml"
    if not path.is_file():
        known = ", ".join(profile_names(folder))
        raise ConfigError(f"there is no chip profile {name!r}", hint=f"known: {known}")
    where = f"chips/{name}.yaml"
    try:
        raw = load_yaml(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise ConfigError(f"{where}: {error}") from error
    if not isinstance(raw, dict):
        raise ConfigError(f"{where}: expected a mapping")
    if raw.get("extends") == name:
        raise ConfigError(f"{where} extends itself", hint="extend one of the shipped profiles")
    return merged_profile(raw, folder)


def merged_profile(raw: dict[str, Any], folder: Path | None = None) -> dict[str, Any]:
    """The mapping of a profile's file, with what it extends below it.

    Raises:
        ConfigError: it extends a profile that there is not.
    """
    below = raw.get("extends")
    own = {key: value for key, value in raw.items() if key != "extends"}
    return own if below is None else _merged(_raw(below, folder), own)


def _shipped() -> Any:  # noqa: ANN401  importlib's Traversable moved between versions
    return files("hil.rigs") / "chips"


def _opcode(label: str, where: str) -> int:
    for opcode in Opcode:
        if opcode.label == label:
            return opcode
    known = ", ".join(opcode.label for opcode in Opcode)
    raise ConfigError(f"{where}: commands: there is no command {label!r}", hint=f"there are: {known}")


def _modes(text: str, what: str) -> frozenset[int]:
    try:
        return parse_modes(text)
    except ValueError as error:
        raise ConfigError(f"{what}: {str(error)!r} is not XX or XX/XX in hexadecimal digits") from error


def _hex(text: str, length: int, what: str) -> bytes:
    try:
        data = bytes.fromhex(text)
    except ValueError as error:
        raise ConfigError(f"{what}: {error}") from error
    if len(data) != length:
        raise ConfigError(f"{what}: {len(data)} bytes, expected {length}")
    return data
