"""What a difference between two parts means for firmware, in the words of somebody who has to port it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hil.measure.compare import rank_test
from hil.measure.statistics import middle
from hil.records.baseline import Change, Timing, compare
from hil.wire.atecc import Opcode

if TYPE_CHECKING:
    from collections.abc import Callable

    from hil.measure.statistics import Sample
    from hil.records.baseline import Baseline, Difference

__all__ = ["Comparison", "Group", "compare_parts", "group_of"]

_LEAST_P = 1e-9
"""Below this a p of the normal approximation is no figure to quote."""
_COMMANDS = frozenset(opcode.label for opcode in Opcode)
_TIME, _STATE = "| execution time", "| TempKey after"


@dataclass(frozen=True)
class Group:
    """Differences that mean the same for firmware.

    Attributes:
        heading: what they mean.
        lines: each in words.
    """

    heading: str
    lines: tuple[str, ...]


@dataclass(frozen=True)
class Comparison:
    """One part against another.

    Attributes:
        base, new: what was compared.
        differences: every key of both.
        groups: what differs, by what it means.
    """

    base: Baseline
    new: Baseline
    differences: tuple[Difference, ...]
    groups: tuple[Group, ...]

    @property
    def counts(self) -> Counter[Change]:
        """How many keys are identical, changed, new, missing."""
        return Counter(one.change for one in self.differences)

    @property
    def same(self) -> bool:
        """Nothing changed, nothing is new, nothing is missing."""
        return all(one.change is Change.IDENTICAL for one in self.differences)

    def by_command(self) -> dict[str, Counter[Change]]:
        """The same counts for each command."""
        found: dict[str, Counter[Change]] = {}
        for one in self.differences:
            found.setdefault(group_of(one.key), Counter())[one.change] += 1
        return found


def group_of(key: str) -> str:
    """The command that a key says something about; ``GenKey public`` is a time of GenKey."""
    name = key.partition(" | ")[0]
    first = name.partition(" ")[0]
    return first if first in _COMMANDS else name


def compare_parts(base: Baseline, new: Baseline) -> Comparison:
    """Compare, and say what it means.

    Raises:
        UsageError: the two are of different families.
    """
    differences = compare(base, new)
    changed = [one for one in differences if one.change is not Change.IDENTICAL]
    groups = []
    gone, came = _opcodes(base, new)
    for heading, fits, words in _MEANINGS:
        lines = []
        rest = []
        for one in changed:
            if fits(one, gone, came):
                lines.append(words(one, base, new))
            else:
                rest.append(one)
        changed = rest
        if lines:
            groups.append(Group(heading, tuple(dict.fromkeys(lines))))
    assert not changed, "the last row takes everything"
    return Comparison(base, new, tuple(differences), tuple(groups))


def _opcodes(base: Baseline, new: Baseline) -> tuple[frozenset[str], frozenset[str]]:
    """Commands that only one of the two parts knows at all."""
    before, after = _refused(base), _refused(new)
    return (
        frozenset(name for name, refused in after.items() if refused and before.get(name) is False),
        frozenset(name for name, refused in before.items() if refused and after.get(name) is False),
    )


def _refused(seen: Baseline) -> dict[str, bool]:
    """For each command whether every single answer was 03."""
    found: dict[str, bool] = {}
    for key, entry in seen.entries.items():
        name = group_of(key)
        if isinstance(entry, str) and name in _COMMANDS and not key.endswith(_STATE):
            found[name] = found.get(name, True) and entry == "status 03"
    return found


# -- sentences ----------------------------------------------------------------------------------------


def _plain(one: Difference, base: Baseline, new: Baseline) -> str:
    before, after = (text.strip('"') or "not observed" for text in (one.before, one.after))
    return f"{one.key}: {before} → {after}"


def _ms(us: float) -> str:
    return f"{us / 1000:.0f}" if us >= 10_000 else f"{us / 1000:.1f}"


def _time(one: Difference, base: Baseline, new: Baseline) -> str:
    old, now = _sample(base, one.key), _sample(new, one.key)
    if old is None or now is None:
        return _plain(one, base, new)
    slower = middle(now.ordered()) > middle(old.ordered())
    p = rank_test(old, now) if slower else rank_test(now, old)
    chance = (
        "one model each"
        if old.deterministic and now.deterministic
        else (f"p {p:.1g}" if p >= _LEAST_P else "p < 1e-9")
    )
    name = one.key.removesuffix(_TIME).rstrip(" |")
    top = f"maximum {_ms(max(old.values))} → {_ms(max(now.values))} ms"
    return f"{name} {top} (median {_ms(middle(old.ordered()))} → {_ms(middle(now.ordered()))} ms, {chance})"


def _sample(seen: Baseline, key: str) -> Sample | None:
    entry = seen.entries.get(key)
    return entry.sample if isinstance(entry, Timing) else None


def _opcode_gone(one: Difference, base: Baseline, new: Baseline) -> str:
    return f"{group_of(one.key)}: every call answers 03"


def _opcode_came(one: Difference, base: Baseline, new: Baseline) -> str:
    return f"{group_of(one.key)}: answered 03 before"


# -- what fits where -----------------------------------------------------------------------------------

_Opcodes = frozenset[str]


def _is_time(one: Difference) -> bool:
    return one.key.endswith(_TIME) and one.change is Change.CHANGED


def _slower(one: Difference, gone: _Opcodes, came: _Opcodes) -> bool:
    return _is_time(one) and _median(one.after) > _median(one.before)


def _median(words: str) -> float:
    """From ``median 42.1 ms of 20``."""
    return float(words.split()[1])


def _is_status(text: str) -> bool:
    return text.startswith('"status ') or text in ('"no answer"', '"not acknowledged"')


_MEANINGS: tuple[
    tuple[
        str,
        Callable[[Difference, frozenset[str], frozenset[str]], bool],
        Callable[[Difference, Baseline, Baseline], str],
    ],
    ...,
] = (
    ("fixed-delay drivers break", _slower, _time),
    ("faster: drivers that poll gain", lambda one, gone, came: _is_time(one), _time),
    (
        "firmware that names the part by its revision must know this one",
        lambda one, gone, came: one.key.startswith(("Info | revision", "Configuration | RevNum")),
        _plain,
    ),
    (
        "commands that are gone: drivers that use them break",
        lambda one, gone, came: group_of(one.key) in gone,
        _opcode_gone,
    ),
    ("commands that are new", lambda one, gone, came: group_of(one.key) in came, _opcode_came),
    (
        "sessions end at another time: the watchdog",
        lambda one, gone, came: one.key.startswith("Watchdog"),
        _plain,
    ),
    (
        "what survives idle, sleep and power: drivers that keep state between exchanges",
        lambda one, gone, came: one.key.startswith("Survival"),
        _plain,
    ),
    (
        "configuration zone: the same bytes may mean something else",
        lambda one, gone, came: one.key.startswith("Configuration"),
        _plain,
    ),
    (
        "refused now: drivers that do this break",
        lambda one, gone, came: (
            one.change is Change.CHANGED
            and not one.key.endswith(_STATE)
            and _is_status(one.after)
            and not _is_status(one.before)
        ),
        _plain,
    ),
    (
        "possible now",
        lambda one, gone, came: (
            one.change is Change.CHANGED
            and not one.key.endswith(_STATE)
            and _is_status(one.before)
            and not _is_status(one.after)
        ),
        _plain,
    ),
    (
        "another status for the same refusal: error handling that asks for one",
        lambda one, gone, came: (
            one.change is Change.CHANGED and not one.key.endswith(_STATE) and _is_status(one.after)
        ),
        _plain,
    ),
    (
        "TempKey holds something else afterwards: drivers that count on it between commands",
        lambda one, gone, came: one.change is Change.CHANGED and one.key.endswith(_STATE),
        _plain,
    ),
    (
        "another answer to the same question",
        lambda one, gone, came: one.change is Change.CHANGED,
        _plain,
    ),
    ("seen for the first time", lambda one, gone, came: one.change is Change.NEW, _plain),
    ("not seen any more", lambda one, gone, came: True, _plain),
)
"""What a difference means, the first row that fits."""
