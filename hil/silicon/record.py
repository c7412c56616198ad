"""A characterization as a file: what was seen of one part, ready to be compared, approved, made a twin of."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from hil.errors import ConfigError, UsageError
from hil.records.baseline import Baseline, entry_from, entry_row
from hil.records.journal import utc

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = ["Characterization", "load", "save"]

FORMAT = 1


@dataclass(frozen=True)
class Characterization:
    """What was seen of one part.

    Attributes:
        observed: part, revision, observations and what could not be observed.
        rig: where.
        at: when it began, seconds since the epoch.
        clock: ``virtual`` times are predictions of a model, ``wall`` times were measured.
        bus: what carried the packets.
        state: life-cycle state of the part.
        config: its configuration zone, the bytes that differ from die to die set to zero.
        keys: for each private slot whether it held a complete key.
        content: keys of observations that depend on what the part's slots held.
        shown: command and mode (``opcode << 8 | param1``) behind an observation.
        watchdog_us: between what times the watchdog fired, or None if it did not.
        wake_us: the shortest wake pulse that woke it and the longest that did not (0: all did), if tried.
        irreversible: the irreversible set was observed as well.
    """

    observed: Baseline
    rig: str
    at: float
    clock: str
    bus: str
    state: str
    config: bytes
    keys: Mapping[int, bool] = field(default_factory=dict)
    content: frozenset[str] = frozenset()
    shown: Mapping[str, int] = field(default_factory=dict)
    watchdog_us: tuple[float, float] | None = None
    wake_us: tuple[float, float] | None = None
    irreversible: bool = False


def save(path: Path, seen: Characterization) -> None:
    """Write the file.

    Raises:
        UsageError: it cannot be written.
    """
    base = seen.observed
    row = {
        "characterization": FORMAT,
        "part": base.part,
        "revision": base.revision,
        "emulated": base.emulated,
        "rig": seen.rig,
        "at": utc(seen.at),
        "began": seen.at,
        "clock": seen.clock,
        "bus": seen.bus,
        "state": seen.state,
        "config": seen.config.hex(),
        "keys": {str(slot): valid for slot, valid in seen.keys.items()},
        "watchdog_us": seen.watchdog_us,
        "wake_us": seen.wake_us,
        "resolution_us": base.resolution_us,
        "irreversible": seen.irreversible,
        "entries": {key: entry_row(entry) for key, entry in base.entries.items()},
        "unobservable": dict(base.unobservable),
        "content": sorted(seen.content),
        "shown": {key: f"{shown:04x}" for key, shown in seen.shown.items()},
    }
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(row, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}") from error


def load(path: Path) -> Characterization:
    """Read the file.

    Raises:
        UsageError: it is not there.
        ConfigError: it is no characterization, or one of a newer version.
    """
    try:
        row: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if row["characterization"] > FORMAT:
            raise ConfigError(f"{path}: written by a newer version of hil")
        watchdog, wake = row["watchdog_us"], row["wake_us"]
        return Characterization(
            Baseline(
                row["part"],
                row["revision"],
                {key: entry_from(value) for key, value in row["entries"].items()},
                emulated=row["emulated"],
                resolution_us=row["resolution_us"],
                unobservable=row["unobservable"],
            ),
            rig=row["rig"],
            at=row["began"],
            clock=row["clock"],
            bus=row["bus"],
            state=row["state"],
            config=bytes.fromhex(row["config"]),
            keys={int(slot): valid for slot, valid in row["keys"].items()},
            content=frozenset(row["content"]),
            shown={key: int(value, 16) for key, value in row["shown"].items()},
            watchdog_us=None if watchdog is None else (watchdog[0], watchdog[1]),
            wake_us=None if wake is None else (wake[0], wake[1]),
            irreversible=row["irreversible"],
        )
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise ConfigError(
            f"{path} is no characterization: {error!r}", hint="hil characterize writes one"
        ) from error
