"""Who the parts of a rig are: asked of the parts, never taken from the rig file.

What cannot be asked is recorded as such, with the reason. A part that shows a mark of an emulated one
(a serial number or a MAC address of the ranges that only emulated parts use) is recorded as not
physical whatever port it was reached through.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hil.element.configzone import ConfigZone
from hil.element.device import Element
from hil.errors import BoardIdentityError, HilError
from hil.guard.requirements import config_digest
from hil.power.relay import State
from hil.wire.serials import is_reserved

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hil.rig.rig import Rig

__all__ = ["RESERVED_MAC", "check_board", "is_reserved_mac", "marks_of_emulation", "part_identities"]

RESERVED_MAC = "02:e0:7e:"
"""Beginning of the MAC addresses of emulated boards; locally administered, so that no maker has it."""

Identity = dict[str, Any]


def part_identities(rig: Rig) -> list[dict[str, Any]]:
    """Every part with kind, port and what it says of itself, as the journal's ``rig`` event has it."""
    file = rig.file
    emulated = rig.emulated is not None
    board, element = _asked(_board, rig), _asked(_element, rig)
    false_board, false_element = _reserved_mac(board), _reserved_serial(element)
    cloud = {"account": file.cloud.account_id, "region": file.cloud.region}
    rows = (
        ("board", file.board.kind, file.board.port, board, not (emulated or false_board)),
        ("element", file.element.part, _bus_port(rig), element, not (emulated or false_element)),
        ("power", file.power.kind, file.power.port, _relay(rig), not emulated),
        ("cloud", file.cloud.mode, "", cloud, file.cloud.mode == "aws"),
    )
    return [
        {"part": part, "kind": kind, "physical": physical, "port": port, "identity": identity}
        for part, kind, port, identity, physical in rows
    ]


def marks_of_emulation(parts: Sequence[Mapping[str, Any]]) -> list[str]:
    """What shows that parts are emulated, in words; empty if nothing does.

    Args:
        parts: as :func:`part_identities` gives them.
    """
    found = []
    for part in parts:
        identity = part["identity"]
        if part["part"] == "board" and _reserved_mac(identity):
            found.append(f"the board's MAC address {identity['mac']} is of the range of emulated boards")
        if part["part"] == "element" and _reserved_serial(identity):
            found.append(
                f"the element's serial number {identity['serial']} is of the range of emulated parts"
            )
    return found


def is_reserved_mac(mac: str | None) -> bool:
    """Whether a MAC address belongs to an emulated board."""
    return mac is not None and mac.lower().startswith(RESERVED_MAC)


def _reserved_mac(identity: Identity) -> bool:
    mac = identity.get("mac")
    return isinstance(mac, str) and is_reserved_mac(mac)


def _reserved_serial(identity: Identity) -> bool:
    serial = identity.get("serial")
    return isinstance(serial, str) and is_reserved(bytes.fromhex(serial))


def check_board(rig: Rig, parts: list[dict[str, Any]]) -> None:
    """The health gate's last step: it is the board that the rig file names.

    Raises:
        BoardIdentityError: another one answers.
    """
    wanted = rig.file.board.mac
    found = parts[0]["identity"].get("mac")
    if wanted is not None and found is not None and found != wanted:
        raise BoardIdentityError(
            f"the board on {rig.file.board.port} has the MAC address {found}, the rig file names {wanted}",
            hint="another board is plugged in, or ports changed places; use a /dev/serial/by-id name",
        )


def _asked(ask: Any, rig: Rig) -> Identity:  # noqa: ANN401  (one of the functions below)
    try:
        found: Identity = ask(rig)
    except HilError as error:
        return {"unread": error.message}
    return {name: value for name, value in found.items() if value not in (None, "")}


def _silent(rig: Rig) -> str | None:
    """Why the board cannot be asked, or None if it can."""
    if rig.running:
        return None
    return rig.diagnose_silence() if rig.file.board.kind != "none" else None


def _board(rig: Rig) -> Identity:
    silence = _silent(rig)
    if silence is not None:
        return {"mcu": rig.file.board.mcu, "unread": silence}
    boot = rig.boot
    found: Identity = {
        "mcu": rig.file.board.mcu,
        "mac": None if boot is None else boot.mac,
        "firmware": None if boot is None else boot.firmware,
        "firmware_sha256": rig.firmware_sha256,
    }
    board = rig.mongoose_board
    if board is not None:
        info = board.sys_get_info()
        found |= {
            "mcu": info.arch or rig.file.board.mcu,
            "mac": info.mac_address or found["mac"],
            "app": info.app,
            "firmware": info.mg_version or found["firmware"],
            "firmware_version": info.fw_version,
            "firmware_build": info.fw_id,
        }
    elif rig.console_board is not None:
        found["firmware"] = found["firmware"] or rig.console_board.version
    return found


def _element(rig: Rig) -> Identity:
    if rig.file.bus.kind == "board":
        silence = _silent(rig)
        if silence is not None:
            return {"unread": f"the board that carries its bus is silent: {silence}"}
    if rig.bus_or_none is None:
        return _element_by_console(rig)
    element = Element(rig.bus_or_none, rig.file.element.address, part=rig.file.element.part)
    with element.exchange():
        revision = element.info_revision()
        config = element.read_config()
    rig.guard.learn(config)
    zone = ConfigZone.from_bytes(config)
    return {
        "serial": (config[0:4] + config[8:13]).hex(),
        "revision": revision.hex(),
        "config_digest": config_digest(config),
        "config_locked": zone.config_locked,
        "data_locked": zone.data_locked,
        "slots_locked": [slot for slot in range(16) if not zone.slot_unlocked(slot)],
    }


def _element_by_console(rig: Rig) -> Identity:
    if rig.console_board is None:
        return {"unread": "this rig has no way to ask the element"}
    info = rig.esp_idf_board().chip_info()
    return {
        "serial": info.serial.hex(),
        "revision": None if info.revision is None else info.revision.hex(),
        "unread": "the console does not tell configuration and locks",
    }


def _relay(rig: Rig) -> Identity:
    if rig.file.power.kind == "none":
        return {}
    power = rig.power
    state = power.commanded if power.commanded is not State.UNKNOWN else power.state
    return {"channel": rig.file.power.channel, "state": str(state), "cycles": rig.relay_cycles}


def _bus_port(rig: Rig) -> str:
    """How the element is reached, where it is not through the board."""
    bus = rig.file.bus
    return f"/dev/i2c-{bus.number}" if bus.kind == "linux" else bus.port
