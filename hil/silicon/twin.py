"""The twin of a physical rig: a chip profile, a cost model and an emulated rig file beside its own."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Any

import yaml

from hil.emulator.chip.profile import parse_profile
from hil.emulator.relaykinds import EMULATED_RELAYS
from hil.records.baseline import Timing
from hil.records.journal import utc
from hil.silicon.periods import spread
from hil.wire.serials import reserved_serial

if TYPE_CHECKING:
    from hil.emulator.chip import Profile
    from hil.rigfile import RigFile
    from hil.silicon.fit import Fit
    from hil.silicon.record import Characterization

__all__ = ["profile_text", "rig_text", "twin_name"]

_MEDIAN_UP, _P95_UP = 1 - 0.5**0.5, 1 - 0.05**0.5
"""Where median and 95th percentile of the model's times lie between typical and maximum: they are drawn
from a triangle that falls from the typical time to the maximum."""
_SHOWN = 2


def twin_name(rig: str) -> str:
    """What the twin of a rig is called."""
    return f"{rig}-twin"


class _Dumper(yaml.SafeDumper):
    """Texts of several lines as they are; short lists on one line."""


_Dumper.add_representer(
    str,
    lambda dumper, text: dumper.represent_scalar(
        "tag:yaml.org,2002:str", text, style="|" if "\n" in text else None
    ),
)
_Dumper.add_representer(
    list, lambda dumper, row: dumper.represent_sequence("tag:yaml.org,2002:seq", row, flow_style=True)
)


def _yaml(raw: dict[str, Any]) -> str:
    return yaml.dump(raw, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110)


# -- the chip profile ---------------------------------------------------------------------------------


def profile_text(name: str, seen: Characterization, found: Fit) -> str:
    """The profile's file; each knob with its evidence, the open ones listed.

    Raises:
        ConfigError: it would not be a profile.
    """
    base = seen.observed
    kind = "an EMULATED part: still a prediction" if base.emulated else "a physical part"
    raw: dict[str, Any] = {
        "name": name,
        "extends": base.part,
        "revision": bytes.fromhex(base.revision).hex(" "),
        "source": f"{base.part} of {seen.rig}, {kind}, {seen.state}, {utc(seen.at)}",
        "time_scale": 1.0,
        "config": _config(found.profile, seen),
    }
    if found.commands:
        raw["commands"] = {label: found.profile.commands.get(label, "") for label in found.commands}
    raw["times"] = {"commands": _times(found.profile, seen)}
    if seen.watchdog_us is not None:
        raw["watchdog"] = _watchdog(found.profile, seen.watchdog_us, long=bool(seen.config[19] & 4))
    if seen.wake_us is not None:
        shortest, failed = seen.wake_us
        threshold = (shortest * failed) ** 0.5 if failed else min(shortest, found.profile.wake.threshold_us)
        raw["wake"] = {"threshold_us": round(threshold)}
    raw["knobs"] = {knob.knob: knob.value for knob in found.knobs}
    raw["evidence"] = {knob.knob: "; ".join(knob.evidence[:_SHOWN]) for knob in found.knobs if knob.evidence}
    raw["open"] = [knob.knob for knob in found.knobs if knob.open]
    _check(raw, name)
    return _head(seen, found) + _yaml(raw)


def _check(raw: dict[str, Any], name: str) -> None:
    """What was written is what `load_profile` takes."""
    from hil.emulator.chip.profile import merged_profile

    parse_profile(merged_profile(raw), where=f"chips/{name}.yaml")


def _head(seen: Characterization, found: Fit) -> str:
    lines = [
        f"A chip profile learned by `hil twin` from {seen.rig}: {found.compared} observations laid beside",
        f"those of the model, {found.compared - len(found.unexplained)} of them equal.",
    ]
    if found.unexplained:
        lines.append("No setting of any knob reproduces:")
        lines += [f"  {key}: {seen.observed.entries[key]}" for key in found.unexplained]
    still = [knob for knob in found.knobs if knob.open]
    if still:
        lines.append("Open: what was observed fits these settings as well.")
        lines += [f"  {knob.knob}: {', '.join(map(str, knob.others))}" for knob in still]
    unknown = [key for key in seen.observed.unobservable if key.endswith("execution time")]
    if unknown:
        lines.append("Times taken over from the profile that this one extends:")
        lines += [f"  {key.partition(' |')[0]}: {seen.observed.unobservable[key]}" for key in unknown]
    return "".join(f"# {line}\n" for line in lines)


def _config(base: Profile, seen: Characterization) -> str:
    """The zone as shipped: as observed if the part is blank, else what only the maker writes."""
    config = bytearray(seen.config if seen.state == "blank" else base.factory_config)
    config[4:8], config[13:16] = seen.config[4:8], seen.config[13:16]
    config[2:4], config[8:12] = bytes(2), bytes(4)
    config[12] = seen.config[12]
    return "".join(config[at : at + 16].hex(" ") + "\n" for at in range(0, 128, 16))


def _times(base: Profile, seen: Characterization) -> dict[str, dict[str, Any]]:
    """Typical and longest times of the commands that could be timed."""
    found: dict[str, dict[str, Any]] = {}
    for key, entry in seen.observed.entries.items():
        name = key.removesuffix(" | execution time")
        if not isinstance(entry, Timing) or name == key:
            continue
        sample = entry.sample
        centre, high = spread(sample, seen.observed.resolution_us)
        before = base.time_of(name, name.split()[0])
        if sample.deterministic or high <= centre:
            typical, longest = centre, max(centre, before.maximum[0])
        else:
            width = (high - centre) / (_P95_UP - _MEDIAN_UP)
            typical = max(0.0, centre - _MEDIAN_UP * width)
            longest = typical + width
        how = "one value of a model" if sample.deterministic else f"{sample.n} executions"
        found[name] = {
            "typical": round(typical),
            "maximum": [round(longest)],
            "note": f"{seen.rig}: {how}, polls {seen.observed.resolution_us / 1000:.1f} ms apart",
        }
    return found


def _watchdog(base: Profile, bracket: tuple[float, float], *, long: bool) -> dict[str, int]:
    middle = round((bracket[0] + bracket[1]) / 2)
    limits = base.watchdog
    if long:
        return {"long": middle}
    return {
        "minimum": min(limits.minimum, middle),
        "typical": middle,
        "maximum": max(limits.maximum, middle),
    }


# -- the rig file -------------------------------------------------------------------------------------


def rig_text(file: RigFile, chip: str, cost_model: str, rtt_ms: float | None = None) -> str:
    """The emulated rig file beside a rig's own.

    Args:
        file: the rig.
        chip: name of the twin's chip profile.
        cost_model: name of its board's cost model.
        rtt_ms: round trip of its network, if it was learned.
    """
    name = twin_name(file.rig)
    number = zlib.crc32(name.encode())
    trust = file.element.state == "trust"
    stand_in = file.board.kind not in ("mongoose-os", "esp-idf-console")
    relay = file.power.kind if file.power.kind in EMULATED_RELAYS else "lcus"
    raw: dict[str, Any] = {
        "rig": name,
        "description": f"Emulated twin of {file.rig}" + (", its board a stand-in" if stand_in else ""),
        "board": {
            "kind": "mongoose-os" if stand_in else file.board.kind,
            "mcu": file.board.mcu or "esp32",
            "port": f"emu://{name}/board",
            "mac": "02:e0:7e:" + number.to_bytes(4, "big")[1:].hex(":"),
        },
        "power": {
            "kind": relay,
            "port": f"emu://{name}/relay",
            "channel": max(1, file.power.channel),
            "channels": max(1, file.power.channels),
        },
        "element": {
            "part": file.element.part,
            "address": file.element.address,
            "serial": reserved_serial(number, trust=trust).hex(),
            "state": "trust" if trust else "blank",
            "expendable": True,
        },
        "bus": {"hz": file.bus.hz},
        "cloud": {"mode": "moto"},
        "connect": {
            "limit_ms": file.connect.limit_ms,
            "samples": file.connect.samples,
            "tls_versions": [float(version) for version in file.connect.tls_versions],
        },
        "emulation": {
            "chip": chip,
            "cost_model": cost_model,
            "draw": _draw(file),
            "element": "trust-go" if trust else "blank",
            "seed": number % 1000,
        },
    }
    if file.element.config is not None and not trust:
        raw["element"]["config"] = file.element.config
    if file.element.accepted_findings:
        raw["element"]["accepted_findings"] = list(file.element.accepted_findings)
    if rtt_ms is not None:
        raw["emulation"]["rtt_ms"] = rtt_ms
    if file.wiring is not None:
        raw["wiring"] = {
            signal.lower(): {
                key: value
                for key in ("gpio", "mcu_pin", "board_pin", "element_pin", "xpro_pin", "colour")
                if (value := getattr(wire, key)) is not None
            }
            for signal, wire in file.wiring.rows()
        }
    head = (
        f"# The emulated twin of {file.rig}, written by `hil twin`; docs/twin.md says what it is good for.\n"
    )
    return head + _yaml(raw)


def _draw(file: RigFile) -> str:
    """A physical part's times vary; those of a twin's twin as that one's did."""
    return "random" if file.emulation is None else file.emulation.draw
