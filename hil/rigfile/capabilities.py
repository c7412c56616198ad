"""What a rig can do, derived from its file, and why it cannot do the rest."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hil.extensions import BoardKind, load

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hil.rigfile.model import RigFile

__all__ = ["CAPABILITIES", "DIRECT_BUS", "capabilities", "is_built_in", "missing", "only_hardware"]

CAPABILITIES: dict[str, str] = {
    "atca": "the firmware's own ATCA.* calls",
    "atecc508a": "an ATECC508A",
    "atecc608": "an ATECC608A or 608B",
    "aws": "a real AWS account",
    "boot-log": "a boot log on the console",
    "certificates": "certificates that were delivered in the element",
    "cloud": "AWS IoT or its stand-in",
    "config": "the firmware's configuration, to read and to change",
    "console": "a text console",
    "emulated": "parts that this program emulates",
    "flash": "a firmware image to write, and a MAC address to know the board by",
    "fs": "files on the board",
    "https": "an HTTPS server on the board",
    "i2c": "the element's I2C bus, transaction by transaction",
    "mqtt": "a board that connects to an MQTT endpoint by itself",
    "physical": "physical parts",
    "power": "a relay that switches the power",
    "provision": "writing configuration and keys into the element",
    "pubkey": "reading public keys of the element",
    "rpc": "calls into the firmware by mg_rpc",
    "sign": "signing any digest with a key of the element",
    "wiring": "a wiring table in the rig file",
}
"""Every capability that a test can need, in words."""

DIRECT_BUS = frozenset({"i2c", "provision", "pubkey", "sign"})
"""What the element's bus gives."""
_BY_BOARD: dict[str, frozenset[str]] = {
    "mongoose-os": DIRECT_BUS | {"atca", "boot-log", "config", "console", "fs", "https", "mqtt", "rpc"},
    "esp-idf-console": frozenset({"boot-log", "console", "pubkey"}),
    "none": frozenset(),
}


def is_built_in(board: str) -> bool:
    """Whether a board kind is one of ours, not of another package."""
    return board in _BY_BOARD


def capabilities(rig: RigFile) -> frozenset[str]:
    """The capabilities of a rig; a subset of :data:`CAPABILITIES`."""
    if is_built_in(rig.board.kind):
        found = set(_BY_BOARD[rig.board.kind])
    else:
        own = load(BoardKind, rig.board.kind)
        found = set(own.capabilities)
        if own.bus is not None or "rpc" in own.capabilities:  # Mongoose OS brings its bus along
            found |= DIRECT_BUS
    if rig.bus.kind != "board":
        found |= DIRECT_BUS
    optional = {
        "power": rig.power.kind != "none",
        "wiring": rig.wiring is not None,
        "flash": rig.board.image is not None and rig.board.mac is not None,
        "certificates": rig.element.state == "trust",
        "cloud": True,
        "aws": rig.cloud.mode == "aws",
        "emulated": rig.emulated,
        "physical": not rig.emulated,
        "atecc508a": rig.element.part == "atecc508a",
        "atecc608": rig.element.part.startswith("atecc608"),
    }
    found.update(name for name, present in optional.items() if present)
    if rig.element.state == "trust":
        found.discard("provision")  # delivered locked: there is nothing left to provision
    return frozenset(found)


def missing(rig: RigFile, needed: Iterable[str]) -> str | None:
    """Why ``rig`` cannot serve a test that needs these capabilities, or None if it can.

    An unknown name counts as missing.
    """
    lacking = sorted(set(needed) - capabilities(rig))
    if not lacking:
        return None
    words = ", ".join(f"{name} ({CAPABILITIES.get(name, 'an unknown capability')})" for name in lacking)
    return f"{rig.rig} has no {words}"


def only_hardware(reason: str) -> bool:
    """Whether :func:`missing` said that only a physical rig would do."""
    return reason.endswith(f"has no physical ({CAPABILITIES['physical']})")
