"""Asks what the scenes say and puts the answers down, by key."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from hil.element.configzone import ConfigZone
from hil.errors import DeviceError, GuardRefusal
from hil.guard.slotrules import SlotRules, classify_on
from hil.silicon.asking import in_words
from hil.silicon.roles import roles_of
from hil.silicon.scene import POINT, SIGNATURE, STATE, Kit, load, load_message
from hil.silicon.scenes import scenes
from hil.wire.atecc import Command, Opcode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from hil.silicon.asking import Asker
    from hil.silicon.scene import Scene

__all__ = [
    "PER_DIE",
    "Observed",
    "config_entries",
    "flags",
    "key_slots",
    "kit_of",
    "observe",
    "play",
    "survival",
]

PER_DIE = {2, 3, 8, 9, 10, 11, 13, 14}
"""Bytes of the configuration zone that differ from die to die: serial number, trim bits."""


@dataclass
class Observed:
    """What was seen.

    Attributes:
        entries: observation by key.
        unobservable: key or group, and why nothing can be said here.
        content: keys of entries that depend on what a slot of this very part holds.
        shown: command and mode (``opcode << 8 | param1``) behind each key that a scene made.
    """

    entries: dict[str, str] = field(default_factory=dict)
    unobservable: dict[str, str] = field(default_factory=dict)
    content: set[str] = field(default_factory=set)
    shown: dict[str, int] = field(default_factory=dict)


def observe(
    asker: Asker,
    config: bytes,
    keys: Mapping[int, bool],
    *,
    progress: Callable[[str], None] | None = None,
) -> Observed:
    """Ask everything that changes nothing.

    Args:
        asker: who carries the packets.
        config: the element's configuration zone, 128 bytes, read just before.
        keys: for each private slot whether it holds a complete key; see :func:`key_slots`.
        progress: called with the name of each command group.

    Raises:
        DeviceError: the element cannot be woken any more.
    """
    seen = Observed()
    kit = kit_of(config, keys)
    rules = SlotRules.of(config)
    group = ""
    for scene in scenes(kit):
        if scene.group != group and progress is not None:
            progress(scene.group)
        group = scene.group
        play(asker, scene, rules, seen)
    if progress is not None:
        progress("Survival")
    survival(asker, seen)
    for role, slot in zip(kit.roles.__struct_fields__, _values(kit), strict=True):
        if slot is None:
            seen.unobservable[f"{role} slot"] = "the configuration has no slot that can play this part"
    return seen


def kit_of(config: bytes, keys: Mapping[int, bool]) -> Kit:
    """What scenes for a part with this configuration and these keys are made of."""
    zone = ConfigZone.from_bytes(config)
    return Kit(roles_of(zone, keys), zone.serial)


def _values(kit: Kit) -> list[int | None]:
    return [getattr(kit.roles, name) for name in kit.roles.__struct_fields__]


def play(asker: Asker, scene: Scene, rules: SlotRules, seen: Observed) -> None:
    """One scene; what would change the part for good is left out, and said to be."""
    for command in (*scene.setup, scene.probe):
        operation = classify_on(command, rules)
        if operation is not None:  # also the guard would refuse it; here the reason is kept
            seen.unobservable[scene.key] = f"{command.label} may do what cannot be undone: {operation}"
            return
    try:
        with asker.scene():
            for command in scene.setup:
                asker.ask(command)
            answer = in_words(asker.ask(scene.probe), exact=scene.exact)
            state = flags(asker.ask(STATE)) if scene.state else None
    except GuardRefusal as refusal:
        seen.unobservable[scene.key] = refusal.message
        return
    seen.entries[scene.key] = answer
    seen.shown[scene.key] = scene.probe.opcode << 8 | scene.probe.p1
    if state is not None:
        seen.entries[f"{scene.key} | TempKey after"] = state
        seen.shown[f"{scene.key} | TempKey after"] = seen.shown[scene.key]
    if scene.content:
        seen.content.update((scene.key, f"{scene.key} | TempKey after"))


_FLAGS = ((0, 0x80, "no MAC"), (0, 0x40, "GenKey"), (0, 0x20, "GenDig"), (1, 0x04, "authorised"))


def flags(answer: bytes | str) -> str:
    """Info(State) in words; slot numbers are left out, as they differ with the layout."""
    if isinstance(answer, str) or len(answer) != 4:
        return in_words(answer)
    first, second = answer[0], answer[1]
    words = [f"valid from {'input' if first & 0x10 else 'generator'}" if second & 0x80 else "not valid"]
    words += [name for at, bit, name in _FLAGS if answer[at] & bit]
    words += [f"seeds {second & 3}"] * bool(second & 3)
    return ", ".join(words)


# -- what survives ----------------------------------------------------------------------------------


def _events(asker: Asker) -> Iterator[tuple[str, Callable[[], None]]]:
    yield "idle", asker.idle
    yield "sleep", asker.sleep
    yield "watchdog", asker.outlast_watchdog
    if asker.switches:
        yield "power cycle", asker.power_cycle


def survival(asker: Asker, seen: Observed) -> None:
    """TempKey, MsgDigBuf, the SHA context and the latch over idle, sleep, watchdog and power."""
    verify = Command(Opcode.VERIFY, 0x22, 4, SIGNATURE + POINT)
    start, end = Command(Opcode.SHA, 0x00), Command(Opcode.SHA, 0x02)
    update = Command(Opcode.SHA, 0x01, 64, bytes(64))
    cases: tuple[tuple[str, tuple[Command, ...], Command], ...] = (
        ("TempKey", (load(),), STATE),
        ("MsgDigBuf", (load_message(),), verify),
        ("SHA context", (start, update), end),
    )
    for event, happen in _events(asker):
        for what, setup, probe in cases:
            with asker.scene():
                for command in setup:
                    asker.ask(command)
                happen()
                answer = asker.ask(probe)
            said = flags(answer) if probe is STATE else in_words(answer, exact=True)
            seen.entries[f"Survival | {what} over {event}"] = said
    if not asker.switches:
        seen.unobservable["Survival | over power cycle"] = "this rig cannot switch the power"


# -- the configuration zone ---------------------------------------------------------------------------

_PARTS = (
    ("serial number", 0, 4), ("RevNum", 4, 8), ("serial number, end", 8, 13), ("bytes 13 to 15", 13, 16),
    ("address, byte 17", 16, 18), ("byte 18", 18, 19), ("ChipMode", 19, 20), ("SlotConfig", 20, 52),
    ("counters", 52, 68), ("bytes 68 to 83", 68, 84), ("bytes 84 and 85", 84, 86), ("locks", 86, 90),
    ("bytes 90 and 91", 90, 92), ("X509format", 92, 96), ("KeyConfig", 96, 128),
)  # fmt: skip


def config_entries(config: bytes) -> dict[str, str]:
    """The configuration zone in parts, per-die bytes masked; of bytes 13 and 14 the bit with a meaning."""
    entries = {
        f"Configuration | {name}": " ".join(
            ".." if at in PER_DIE else f"{config[at]:02x}" for at in range(start, stop)
        )
        for name, start, stop in _PARTS
    }
    entries["Configuration | AES enabled, byte 13 bit 0"] = str(config[13] & 1)
    entries["Configuration | I2C enabled, byte 14 bit 0"] = str(config[14] & 1)
    return entries


def key_slots(asker: Asker, config: bytes) -> dict[int, bool]:
    """For each private slot whether it holds a complete key, as Info(KeyValid) says."""
    zone = ConfigZone.from_bytes(config)
    found: dict[int, bool] = {}
    with asker.scene():
        for slot in (number for number, one in enumerate(zone.slots) if one.key.private):
            answer = asker.ask(Command(Opcode.INFO, 0x01, slot))
            if isinstance(answer, str):
                raise DeviceError(f"Info(KeyValid) of slot {slot}: {answer}")
            found[slot] = answer[0] == 1 and len(answer) == 4
    return found
