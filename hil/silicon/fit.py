"""Which knobs of a chip profile make the model answer as the part did.

Every candidate is asked the very questions that the part was asked. A knob is settled if another
setting would have shown; if all its settings answer alike, it stays open, and that is said.
"""

from __future__ import annotations

import typing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from msgspec.structs import replace

from hil.emulator.chip import load_profile
from hil.emulator.chip.engine import FORMS
from hil.emulator.chip.forms import format_modes
from hil.emulator.chip.knobs import Knobs
from hil.guard.slotrules import SlotRules
from hil.silicon.asking import in_words
from hil.silicon.irreversible import irreversible_cases
from hil.silicon.observe import Observed, kit_of, play, survival
from hil.silicon.scenes import scenes
from hil.silicon.simulated import SimulatedAsker, likeness
from hil.wire.atecc import Opcode, Status

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from hil.emulator.chip import Profile
    from hil.silicon.record import Characterization

__all__ = ["Fit", "Settled", "fit", "settings"]

_STATUSES = tuple(
    int(status) for status in (Status.PARSE, Status.EXECUTION, Status.MISCOMPARE, Status.ECC_FAULT)
)
_NUMBERS: Mapping[str, tuple[int, ...]] = {
    "io_buffer_bytes": (155, 151, 71),
    "lock_crc_mismatch": _STATUSES,
    "mac_mismatch": _STATUSES,
    "address_beyond": _STATUSES,
    "empty_private_slot": _STATUSES,
    "invalid_public_key": _STATUSES,
    "gpio_on_i2c": _STATUSES,
    "data_fill": (0x00, 0xFF),
    "sha_context_header": (36, 40),
    "ecc_fault_per_million": (0,),
}
"""Believable settings of the knobs that are numbers; a rate cannot be told from a few answers."""
_NEVER_SHOWN = frozenset(
    {
        "read_after_partial_command",
        "reserved_word_address",
        "surplus_bytes",
        "lock_crc_mismatch",
        "lock_data_before_config",
        "ecc_fault_per_million",
        "secure_boot_prohibit",
    }
)
"""Knobs that show only in what no characterization sends: malformed transactions, locks, a boot that is
prohibited; and a rate."""
_IRREVERSIBLE = frozenset(
    {
        "mac_mismatch",
        "update_extra_before_config_lock",
        "derive_key_no_mac_flag",
        "derive_key_bit13_before_data_lock",
        "pub_info_on_other_key_types",
        "unvalidated_parent",
    }
)
"""Knobs of commands that change the part for good."""
_OPCODES = frozenset(int(opcode) for opcode in Opcode)
_PASSES = 3


def settings(knob: str) -> tuple[Any, ...]:
    """Every setting of a knob that is tried."""
    if knob in _NUMBERS:
        return _NUMBERS[knob]
    hint = _HINTS[knob]
    return (True, False) if hint is bool else typing.get_args(hint)


_HINTS = typing.get_type_hints(Knobs)


@dataclass(frozen=True)
class Settled:
    """One knob and what is known of it.

    Attributes:
        knob: its name.
        value: its setting in the twin.
        evidence: observations that another setting would have made different; none if it is open.
        others: settings that what was observed leaves possible besides ``value``.
    """

    knob: str
    value: Any
    evidence: tuple[str, ...]
    others: tuple[Any, ...]

    @property
    def open(self) -> bool:
        """Whether any other setting would fit as well."""
        return bool(self.others)


@dataclass(frozen=True)
class Fit:
    """A profile that answers as the part did, as far as profiles can.

    Attributes:
        profile: with knobs, commands and revision as observed.
        knobs: each knob.
        commands: labels of commands whose modes differ from the base profile's.
        unexplained: observations that no setting of any knob reproduces.
        compared: how many observations were laid beside the model's.
    """

    profile: Profile
    knobs: tuple[Settled, ...]
    commands: tuple[str, ...]
    unexplained: tuple[str, ...]
    compared: int


def fit(seen: Characterization, progress: Callable[[str], None] | None = None) -> Fit:
    """Find the knobs.

    Args:
        seen: a part's characterization.
        progress: called with the knob that is tried.
    """
    wanted = {
        key: entry
        for key, entry in seen.observed.entries.items()
        if isinstance(entry, str)
        and key not in seen.content
        and not key.startswith(("Configuration", "Random | statistics"))
    }
    revision = bytes.fromhex(seen.observed.revision).hex(" ")
    base = load_profile(seen.observed.part)
    profile = replace(base, revision=revision, time_scale=1.0)
    model = _Model(seen, profile)
    wanted = {key: text for key, text in wanted.items() if key in model.answers}
    _fit_knobs(model, wanted, seen, progress)
    # What no knob explains may be a mode that the part lacks, or has; then the knobs once more.
    profile, changed = _fit_commands(model.profile, model.answers, wanted, seen)
    if changed:
        model.take(profile)
        _fit_knobs(model, wanted, seen, progress)
    knobs = tuple(_judge(name, model, wanted, seen) for name in Knobs.__struct_fields__)
    unexplained = tuple(key for key, text in wanted.items() if model.answers.get(key) != text)
    return Fit(model.profile, knobs, changed, unexplained, len(wanted))


class _Watched:
    """Knobs that remember which of them were asked for."""

    def __init__(self, knobs: Knobs) -> None:
        self._knobs = knobs
        self.asked: set[str] = set()

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401  (knobs have several types)
        self.asked.add(name)
        return getattr(self._knobs, name)


class _Model:
    """What a profile answers to the questions that a part was asked.

    Scenes are independent: each begins asleep. So a knob can change the answers of those scenes alone in
    which the model asks for it, and only they are played again for another setting.

    Args:
        seen: the part's characterization.
        profile: the first candidate.
    """

    def __init__(self, seen: Characterization, profile: Profile) -> None:
        self._seen = seen
        self._scenes = scenes(kit_of(seen.config, seen.keys))
        self._rules = SlotRules.of(seen.config)
        self.take(profile)

    def take(self, profile: Profile) -> None:
        """Make this the candidate, and find out which scenes ask for which knob."""
        self.profile = profile
        watched = _Watched(profile.knobs)
        asker = self._asker(replace(profile, knobs=cast(Knobs, watched)))
        always = set(watched.asked)  # what a part is made with
        found = Observed()
        self._asks: list[set[str]] = []
        for scene in self._scenes:
            watched.asked.clear()
            play(asker, scene, self._rules, found)
            self._asks.append(watched.asked | always)
        self._rest(asker, found, frozenset(range(0x100)))
        self.answers = found.entries

    def other(self, **knobs: Any) -> dict[str, str]:  # noqa: ANN401  (knobs have several types)
        """The answers with some knobs at another setting."""
        asker = self._asker(replace(self.profile, knobs=replace(self.profile.knobs, **knobs)))
        found = Observed()
        for scene, asks in zip(self._scenes, self._asks, strict=True):
            if asks & knobs.keys():
                play(asker, scene, self._rules, found)
        self._rest(asker, found, _OPCODES)  # no knob gives an opcode to a part
        return {**self.answers, **found.entries}

    def _asker(self, profile: Profile) -> SimulatedAsker:
        return SimulatedAsker(profile, likeness(profile, self._seen.config, self._seen.keys))

    def _rest(self, asker: SimulatedAsker, found: Observed, opcodes: frozenset[int]) -> None:
        """What is no scene, or changes the part for good and therefore comes last."""
        survival(asker, found)
        if not self._seen.irreversible:
            return
        for group, case, _, _, setup, command in irreversible_cases(self._seen.config, self._seen.keys):
            if command.opcode not in opcodes:
                continue
            with asker.scene():
                for before in setup:
                    asker.ask(before)
                found.entries[f"{group} | {case}"] = in_words(asker.ask(command))


def _tried(knob: str, seen: Characterization) -> tuple[Any, ...]:
    """The settings of a knob that could show in what was observed."""
    hidden = knob in _NEVER_SHOWN or (knob in _IRREVERSIBLE and not seen.irreversible)
    return () if hidden else settings(knob)


def _wrong(said: Mapping[str, str], wanted: Mapping[str, str]) -> int:
    return sum(said.get(key) != text for key, text in wanted.items())


def _fit_commands(
    profile: Profile, said: Mapping[str, str], wanted: Mapping[str, str], seen: Characterization
) -> tuple[Profile, tuple[str, ...]]:
    """Of the modes that still differ: those that answered 03 each time go, those that did not come."""
    answers: dict[int, set[str]] = {}
    predicted: dict[int, set[str]] = {}
    for key, text in wanted.items():
        if key in seen.shown and not key.endswith("TempKey after"):
            answers.setdefault(seen.shown[key], set()).add(text)
            predicted.setdefault(seen.shown[key], set()).add(said[key])
    refused = {"status 03"}
    modes = set(profile.modes)
    for mode, texts in answers.items():
        if texts == refused and predicted[mode] != refused:
            modes.discard(mode)
        elif texts != refused and predicted[mode] == refused and mode in FORMS[profile.family]:
            modes.add(mode)
    commands: dict[str, str] = {}
    changed = []
    for opcode in Opcode:
        own = [mode & 0xFF for mode in modes if mode >> 8 == opcode]
        before = [mode & 0xFF for mode in profile.modes if mode >> 8 == opcode]
        if set(own) == set(before):
            if own:
                commands[opcode.label] = profile.commands[opcode.label]
            continue
        changed.append(opcode.label)
        if own:
            commands[opcode.label] = format_modes(own)
    return replace(profile, commands=commands), tuple(changed)


def _fit_knobs(
    model: _Model,
    wanted: Mapping[str, str],
    seen: Characterization,
    progress: Callable[[str], None] | None,
) -> None:
    """One knob after the other, the best setting each, until nothing gets better."""
    best = _wrong(model.answers, wanted)
    for _ in range(_PASSES):
        before = best
        for name in Knobs.__struct_fields__:
            if not best:
                return
            if progress is not None:
                progress(f"{name}: {best} of {len(wanted)} observations differ")
            present = getattr(model.profile.knobs, name)
            values = [value for value in _tried(name, seen) if value != present]
            scores = [(_wrong(model.other(**{name: value}), wanted), value) for value in values]
            wrong, value = min(scores, key=lambda score: score[0], default=(best, present))
            if wrong < best:
                best = wrong
                model.take(replace(model.profile, knobs=replace(model.profile.knobs, **{name: value})))
        if best == before:
            return


def _judge(name: str, model: _Model, wanted: Mapping[str, str], seen: Characterization) -> Settled:
    """Whether another setting of a knob would have shown, and in what."""
    value, final = getattr(model.profile.knobs, name), model.answers
    evidence: dict[str, None] = {}
    tried = _tried(name, seen)
    others = [other for other in settings(name) if other != value and other not in tried]
    for other in tried:
        if other == value:
            continue
        said = model.other(**{name: other})
        against = [key for key in wanted if said.get(key) != final.get(key) and final.get(key) == wanted[key]]
        if not against:
            others.append(other)
        for key in against[:1]:
            evidence[f"{key}: {wanted[key]}, and not {said.get(key)} as with {other}"] = None
    return Settled(name, value, tuple(evidence), tuple(others))
