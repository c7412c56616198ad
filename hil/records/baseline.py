"""Golden baselines: what a part of a given revision is known to do, and what changed since.

A baseline belongs to one part and one revision. It becomes one by being approved by name; a
revision without a baseline is exactly that and never a pass. Keys are free texts such as
``"Sign | p1 80 | status"``; values are JSON, or timings, which are compared by ranks.
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from hil.errors import ConfigError, UsageError
from hil.homes import made
from hil.measure.compare import compare as compare_samples
from hil.measure.statistics import Sample, middle
from hil.records.journal import utc

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from hil.clock import Calendar

__all__ = [
    "Baseline",
    "Change",
    "Difference",
    "Entry",
    "Timing",
    "approve",
    "compare",
    "entry_from",
    "entry_row",
    "find_baseline",
    "list_baselines",
    "masked",
]

FORMAT = 1
_NAME = re.compile(r"[a-z0-9][a-z0-9-]*")
# A shift below both is not worth a line, however significant.
_RELATIVE, _ABSOLUTE_US = 0.10, 500.0
_ALPHA = 0.001


@dataclass(frozen=True)
class Timing:
    """Repeated durations of one thing, in microseconds."""

    sample: Sample


Entry = Timing | str | int | float | bool | None | list[Any] | dict[str, Any]


@dataclass(frozen=True)
class Baseline:
    """What one part of one revision does.

    Attributes:
        part: e.g. ``"atecc508a"``.
        revision: the answer to Info(Revision), 8 hex digits.
        entries: observation by key.
        approved_by: who approved it; empty for an observation that nobody looked at yet.
        approved_at: when, seconds since the epoch.
        emulated: True if it was taken from an emulated part.
        resolution_us: how far apart two polls of the bus were: timings are known no better.
        unobservable: key, and why nothing could be said about it.
    """

    part: str
    revision: str
    entries: Mapping[str, Entry] = field(default_factory=dict)
    approved_by: str = ""
    approved_at: float = 0.0
    emulated: bool = False
    resolution_us: float = 0.0
    unobservable: Mapping[str, str] = field(default_factory=dict)


class Change(StrEnum):
    """How an observation relates to the baseline."""

    IDENTICAL = "identical"
    CHANGED = "changed"
    NEW = "new"
    MISSING = "missing"


@dataclass(frozen=True)
class Difference:
    """One key of the comparison; ``before`` and ``after`` are in words."""

    key: str
    change: Change
    before: str
    after: str


def masked(data: bytes, per_die: set[int]) -> str:
    """Bytes as hex, with ``..`` for those that differ from die to die (serial number, trim)."""
    return " ".join(".." if at in per_die else f"{byte:02x}" for at, byte in enumerate(data))


def compare(base: Baseline, new: Baseline) -> list[Difference]:
    """Every key of both, in rising order.

    Raises:
        UsageError: the two are of different families; part and revision may differ.
    """
    if _family(base.part) != _family(new.part):
        raise UsageError(f"a {new.part} cannot be compared with the baseline of a {base.part}")
    finest = max(_ABSOLUTE_US, base.resolution_us, new.resolution_us)
    timings = sum(isinstance(entry, Timing) for entry in base.entries.values())
    # Many timings are judged at once, each in two directions: the whole shall seldom cry wolf.
    alpha = _ALPHA / max(1, 2 * timings)
    return [
        _difference(key, base, new, finest, alpha) for key in sorted(base.entries.keys() | new.entries.keys())
    ]


def _family(part: str) -> str:
    """``atecc`` of ``atecc608b``: an element is compared with its successor, not with a board."""
    return re.split("[0-9]", part, maxsplit=1)[0]


def _difference(key: str, base: Baseline, new: Baseline, finest_us: float, alpha: float) -> Difference:
    if key not in base.entries:
        return Difference(key, Change.NEW, base.unobservable.get(key, ""), _words(new.entries[key]))
    if key not in new.entries:
        return Difference(key, Change.MISSING, _words(base.entries[key]), new.unobservable.get(key, ""))
    before, after = base.entries[key], new.entries[key]
    if isinstance(before, Timing) and isinstance(after, Timing):
        same = not _moved(before.sample, after.sample, finest_us, alpha)
    elif isinstance(before, Timing) or isinstance(after, Timing):
        same = False
    else:
        # As JSON: in Python True == 1 == 1.0, on the wire they are different answers.
        same = _words(before) == _words(after)
    return Difference(key, Change.IDENTICAL if same else Change.CHANGED, _words(before), _words(after))


def _moved(before: Sample, after: Sample, finest_us: float, alpha: float) -> bool:
    """Whether a timing is slower or faster by more than chance and by enough to matter."""
    if not before.n or not after.n:
        return before.n != after.n
    return any(
        compare_samples(one, other, relative=_RELATIVE, absolute=finest_us, alpha=alpha).slower
        for one, other in ((before, after), (after, before))
    )


def _words(entry: Entry) -> str:
    if not isinstance(entry, Timing):
        return json.dumps(entry, ensure_ascii=False, sort_keys=True)
    sample = entry.sample
    if not sample.n:
        return "never timed"
    timeouts = f", {sample.timeouts} timed out" if sample.timeouts else ""
    return f"median {middle(sample.ordered()) / 1000:.3g} ms of {sample.n}{timeouts}"


# -- the folder of baselines ----------------------------------------------------------------------


def find_baseline(folder: Path, part: str, revision: str) -> Baseline | None:
    """The approved baseline of a part and revision, or None: *no baseline*.

    Raises:
        ConfigError: the file is damaged, of a newer format, or was approved by nobody.
    """
    path = _path(folder, part, revision)
    if not path.is_file():
        return None
    try:
        row = json.loads(path.read_text(encoding="utf-8"))
        if row["format"] > FORMAT:
            raise ConfigError(f"{path}: written by a newer version of hil")
        found = Baseline(
            part=row["part"],
            revision=row["revision"],
            entries={key: entry_from(value) for key, value in row["entries"].items()},
            approved_by=row["approved_by"],
            approved_at=row["approved_at"],
            emulated=row["emulated"],
            resolution_us=row.get("resolution_us", 0.0),
            unobservable=row.get("unobservable", {}),
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(f"{path} is no baseline: {error!r}") from error
    if (found.part, found.revision) != (part, revision):
        raise ConfigError(f"{path} is the baseline of {found.part} {found.revision}")
    if not found.approved_by:
        raise ConfigError(f"{path} was approved by nobody", hint="hil baseline approve")
    return found


def approve(folder: Path, observed: Baseline, by: str, calendar: Calendar, *, replace: bool = False) -> Path:
    """Make an observation the baseline of its part and revision.

    Args:
        folder: the project's baselines.
        observed: what was seen.
        by: who looked at it and approves.
        calendar: date and time of the approval.
        replace: allow that there is a baseline already.

    Raises:
        UsageError: nobody approves, there is nothing to approve, or a baseline exists.
    """
    path = _path(folder, observed.part, observed.revision)
    if not by.strip() or not observed.entries:
        raise UsageError("a baseline is approved by somebody and holds at least one observation")
    if path.exists() and not replace:
        raise UsageError(f"{path} exists", hint="compare first; replace it only if the change is understood")
    row = {
        "format": FORMAT,
        "part": observed.part,
        "revision": observed.revision,
        "emulated": observed.emulated,
        "approved_by": by.strip(),
        "approved_at": calendar.time(),
        "approved_on": utc(calendar.time()),
        "resolution_us": observed.resolution_us,
        "entries": {key: entry_row(entry) for key, entry in sorted(observed.entries.items())},
        "unobservable": dict(sorted(observed.unobservable.items())),
    }
    made(folder)
    half = path.with_suffix(".tmp")
    half.write_text(json.dumps(row, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    os.replace(half, path)  # a crash leaves the old baseline, never half a new one
    return path


def list_baselines(folder: Path) -> list[tuple[str, str]]:
    """Part and revision of every baseline of the folder."""
    found = (re.fullmatch(r"(.+)-([0-9a-f]{8})\.json", path.name) for path in sorted(folder.glob("*.json")))
    return [(match[1], match[2]) for match in found if match is not None]


def _path(folder: Path, part: str, revision: str) -> Path:
    if not _NAME.fullmatch(part) or not re.fullmatch("[0-9a-f]{8}", revision):
        raise UsageError(
            f"{part!r} {revision!r}: a baseline belongs to a part and a revision of 8 hex digits"
        )
    return folder / f"{part}-{revision}.json"


def entry_row(entry: Entry) -> Any:  # noqa: ANN401  (any JSON value)
    """An entry as JSON; :func:`entry_from` reads it."""
    if not isinstance(entry, Timing):
        return {"value": entry}
    sample = entry.sample
    return {
        "timing_us": list(sample.values),
        "timeouts": sample.timeouts,
        "deterministic": sample.deterministic,
    }


def entry_from(row: dict[str, Any]) -> Entry:
    """An entry from JSON.

    Raises:
        KeyError, TypeError: it is none.
    """
    if "timing_us" not in row:
        value: Entry = row["value"]
        return value
    return Timing(Sample(tuple(row["timing_us"]), row["timeouts"], row["deterministic"]))
