"""A rig as the journal's ``rig`` event describes it."""

from __future__ import annotations

import dataclasses
import hashlib
from typing import TYPE_CHECKING, Any, Literal

from hil.rigfile import capabilities

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hil.rigfile import RigFile

__all__ = ["rig_fields"]

_EMULATED = "emu://"


def rig_fields(
    rig: RigFile,
    phase: Literal["open", "close"],
    clock: Literal["virtual", "wall"],
    identities: Mapping[str, Mapping[str, Any]],
) -> dict[str, Any]:
    """The fields of a ``rig`` event.

    Args:
        rig: the rig file.
        phase: whether the rig was just opened or is about to be closed.
        clock: the kind of the rig's clock.
        identities: what the parts said of themselves, by part: ``board``, ``element``, ``power``,
            ``cloud``; e.g. ``{"element": {"serial": "0123…ee", "revision": "00005000"}}``.
    """
    return {
        "rig": rig.rig,
        "phase": phase,
        "emulated": rig.emulated,
        "clock": clock,
        "description": rig.description,
        "file": str(rig.path),
        "file_sha256": hashlib.sha256(rig.path.read_bytes()).hexdigest(),
        "parts": _parts(rig, identities),
        "wiring": _wiring(rig),
        "capabilities": sorted(capabilities(rig)),
    }


def _parts(rig: RigFile, identities: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    bus_port = {"board": rig.board.port, "linux": f"/dev/i2c-{rig.bus.number}", "kit": rig.bus.port}[
        rig.bus.kind
    ]
    board_kind = f"{rig.board.mcu}, {rig.board.kind}"
    found = []
    if rig.board.kind != "none":
        found.append(("board", board_kind, rig.board.port))
    found.append(("element", rig.element.part, bus_port))
    if rig.power.kind != "none":
        found.append(("power", f"{rig.power.kind} relay, channel {rig.power.channel}", rig.power.port))
    parts = [
        {
            "part": part,
            "kind": kind,
            # By the port alone: what this process does not emulate is physical, whatever a file says.
            "physical": not port.startswith(_EMULATED),
            "port": port,
            "identity": dict(identities.get(part, {})),
        }
        for part, kind, port in found
    ]
    cloud = {
        "part": "cloud",
        "kind": {"moto": "moto, in process", "moto-server": "moto server", "aws": "AWS IoT"}[rig.cloud.mode],
        "physical": rig.cloud.mode == "aws",
        "port": rig.cloud.endpoint_url or rig.cloud.region,
        "identity": dict(identities.get("cloud", {})),
    }
    return [*parts, cloud]


def _wiring(rig: RigFile) -> list[dict[str, Any]]:
    if rig.wiring is None:
        return []
    return [
        {
            "signal": signal,
            **{key: value for key, value in dataclasses.asdict(wire).items() if value is not None},
        }
        for signal, wire in rig.wiring.rows()
    ]
