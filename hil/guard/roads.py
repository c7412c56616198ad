"""Every call by name that can reach the element irreversibly, as tables.

A firmware call either does it by itself (``ATCA.LockZone``) or carries raw bytes to the bus
(``I2C.Write``); the bytes are then decoded by the transport filter like any transaction. Arguments
are read more strictly than the firmware reads them: what two decoders could read differently is
refused.

Sources: mongoose-os-libs/rpc-service-atca, rpc-service-i2c, atca (src/*.c);
espressif/esp-cryptoauthlib esp_cryptoauth_utility (commands.c, handlers.c). Commands of esptool are
in :mod:`hil.guard.programs`.
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec

from hil.errors import GuardRefusal
from hil.guard.operations import Operation
from hil.guard.permit import RpcCall
from hil.guard.programs import is_program

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from hil.guard.permit import Permit

__all__ = [
    "CONSOLE_HARMLESS",
    "CONSOLE_READS_MORE",
    "CONSOLE_ROADS",
    "RPC_MEANINGS",
    "RPC_ROADS",
    "BusWrite",
    "covered_by",
    "misfit",
    "rpc_actions",
    "rpc_call",
]

_NAME_OF_MASK = "sys.atca.ecdh_slots_mask"
_USUAL_MASK = 0x0C
"""Slots 2 and 3: what the firmware uses for ECDH keys unless told otherwise; it makes new ones there
at every handshake."""


class BusWrite(msgspec.Struct, frozen=True):
    """A call that writes ``data`` to the bus.

    Attributes:
        address: 7-bit address, as asked for.
        data: the bytes.
        main_bus: it is the bus that the rig file describes.
    """

    address: int
    data: bytes
    main_bus: bool = True


Action: TypeAlias = "RpcCall | BusWrite"


def _plain_call(method: str) -> Callable[[Mapping[str, Any]], list[Action]]:
    return lambda params: [RpcCall(method)]


def _slot_call(method: str, *, content: bool = False) -> Callable[[Mapping[str, Any]], list[Action]]:
    """A call for one slot; with ``content`` what it puts there is part of the call."""

    def actions(params: Mapping[str, Any]) -> list[Action]:
        slot = _integer(params, "slot", method)
        if not 0 <= slot <= 15:
            raise GuardRefusal(f"refused {method}: there is no slot {slot}")
        return [RpcCall(method, slot, _digest(method, params) if content else None)]

    return actions


def _digest(method: str, params: Mapping[str, Any]) -> str:
    """What tells one set of arguments from another, and does not give them away."""
    try:
        return hashlib.sha256(msgspec.json.encode(params, order="sorted")).hexdigest()
    except (TypeError, ValueError, OverflowError):
        # Not chained: the codec's message may show an argument.
        raise GuardRefusal(f"refused {method}: its arguments are no plain values") from None


def rpc_call(method: str, params: Mapping[str, Any]) -> RpcCall:
    """The action to arm a permit with, for one firmware call with exactly these arguments.

    Raises:
        GuardRefusal: the call needs no permit, or its arguments cannot be read.
    """
    match rpc_actions(method, params):
        case [RpcCall() as call]:
            return call
    raise GuardRefusal(f"{method} is no call that a permit could be for")


def _bus_write(params: Mapping[str, Any]) -> list[Action]:
    text = params.get("data_hex", "")
    if not isinstance(text, str) or not re.fullmatch(r"(?:[0-9A-Fa-f]{2})*", text):
        raise GuardRefusal("refused I2C.Write: data_hex is no even row of hex digits")
    return [_to_bus(params, bytes.fromhex(text), "I2C.Write")]


def _register_write(method: str, width: int) -> Callable[[Mapping[str, Any]], list[Action]]:
    def actions(params: Mapping[str, Any]) -> list[Action]:
        body = _fitting(params, "reg", 1, method) + _fitting(params, "value", width, method)
        return [_to_bus(params, body, method)]

    return actions


def _register_read(method: str) -> Callable[[Mapping[str, Any]], list[Action]]:
    """Reading a register begins with writing its number: to an element, a word address."""
    return lambda params: [_to_bus(params, _fitting(params, "reg", 1, method), method)]


def _config_set(params: Mapping[str, Any]) -> list[Action]:
    """A wider mask lets the firmware replace the keys of more slots, at the next handshake."""
    mask = params.get("value") if params.get("key") == _NAME_OF_MASK else None
    node: Any = params.get("config")
    for name in _NAME_OF_MASK.split("."):
        node = node.get(name) if isinstance(node, dict) else None
    for wanted in (mask, node):
        if wanted is not None and (type(wanted) is not int or wanted & ~_USUAL_MASK):
            return [RpcCall(f"Config.Set {_NAME_OF_MASK}")]
    return []


def _file_written(method: str, name_of: str) -> Callable[[Mapping[str, Any]], list[Action]]:
    """Files that the firmware obeys at its next start: a mask set there never passes ``Config.Set``."""

    def actions(params: Mapping[str, Any]) -> list[Action]:
        name = params.get(name_of)
        if isinstance(name, str) and not _OBEYED_FILE.search(name):
            return []
        return [RpcCall(f"{method} {name}", None, _digest(method, params))]

    return actions


_OBEYED_FILE = re.compile(r"(?:^|/)conf[^/]*\.json$|\.js$", re.IGNORECASE)
"""Configuration layers (``conf0.json`` … ``conf9.json``, vendor layers) and scripts (``init.js``)."""

RPC_ROADS: Mapping[str, Callable[[Mapping[str, Any]], list[Action]]] = {
    "ATCA.SetConfig": _plain_call("ATCA.SetConfig"),
    "ATCA.LockZone": _plain_call("ATCA.LockZone"),
    "ATCA.SetKey": _slot_call("ATCA.SetKey", content=True),
    "ATCA.GenKey": _slot_call("ATCA.GenKey"),
    "ATCA.Sign": _slot_call("ATCA.Sign"),
    "ATCA.AES": _slot_call("ATCA.AES"),
    "I2C.Write": _bus_write,
    "I2C.WriteRegB": _register_write("I2C.WriteRegB", 1),
    "I2C.WriteRegW": _register_write("I2C.WriteRegW", 2),
    "I2C.ReadRegB": _register_read("I2C.ReadRegB"),
    "I2C.ReadRegW": _register_read("I2C.ReadRegW"),
    "Config.Set": _config_set,
    "FS.Put": _file_written("FS.Put", "filename"),
    "FS.Rename": _file_written("FS.Rename", "dst"),
}
"""Method → what it does to the element, from its parameters."""

RPC_MEANINGS: Mapping[str, str] = {
    "ATCA.SetConfig": "writes the configuration zone; the permit's 128 bytes and no others",
    "ATCA.LockZone": "locks without a checksum: only the data zone, and only with the named exception",
    "ATCA.SetKey": "writes a key or content into a slot; armed with the digest of its arguments",
    "ATCA.GenKey": "replaces the private key of a slot",
    "ATCA.Sign": "uses a key: irreversible if the slot counts its uses",
    "ATCA.AES": "uses a key: irreversible if the slot counts its uses",
    "I2C.Write": "bytes to the bus: decoded like any transaction",
    "I2C.WriteRegB": "two bytes to the bus: a fragment of a command, refused",
    "I2C.WriteRegW": "three bytes to the bus: a fragment of a command, refused",
    "I2C.ReadRegB": "writes one byte first: decoded like any transaction",
    "I2C.ReadRegW": "writes one byte first: decoded like any transaction",
    "Config.Set": "`sys.atca.ecdh_slots_mask` beyond slots 2 and 3 lets the firmware replace other keys",
    "FS.Put": "of a `conf*.json` or `*.js`, which the firmware obeys at its next start",
    "FS.Rename": "to such a name",
}
"""Method → what the guard makes of it, for ``docs/guard.md``."""

_HARMLESS = frozenset(
    {"ATCA.GetConfig", "ATCA.GetPubKey", "I2C.Scan", "I2C.Read", "OTA.Status", "FS.Get", "FS.List",
     "FS.ListExt", "FS.Remove", "FS.Mkfs", "FS.Mount", "FS.Umount"}
)  # fmt: skip
_SERVICES = ("atca.", "i2c.", "ota.", "fs.")
"""Services of which every call is irreversible that is not known to be harmless."""

USES_KEY = frozenset({"ATCA.Sign", "ATCA.AES"})
"""Calls that are irreversible only if the slot's key counts its uses."""

CONSOLE_ROADS: Mapping[str, str] = {
    "init": "locks both zones of a part that is not locked yet, without CRC",
    "generate-keys": "replaces the private key of a slot",
    "program-dev-cert": "with lock = 1 locks slot 10 for ever",
    "program-signer-cert": "with lock = 1 locks slot 12 for ever",
}
"""Commands of the esp_cryptoauth console."""

CONSOLE_HARMLESS = frozenset(
    {"help", "print-chip-info", "generate-pubkey", "generate-csr", "provide-cert-def",
     "get-tngtls-root-cert", "get-tngtls-signer-cert", "get-tngtls-device-cert"}
)  # fmt: skip
"""Its other commands; what no release is known to have is not taken for harmless."""

CONSOLE_READS_MORE = frozenset({"program-dev-cert", "program-signer-cert", "provide-cert-def"})
"""Commands that read further bytes, up to a NUL."""

_COVERED: Mapping[str, frozenset[Operation]] = {
    "ATCA.SetConfig": frozenset({Operation.WRITE_CONFIG}),
    "ATCA.LockZone": frozenset({Operation.LOCK_DATA}),
    "ATCA.SetKey": frozenset({Operation.WRITE_SLOT, Operation.WRITE_PRIVATE_KEY}),
    "ATCA.GenKey": frozenset({Operation.GENERATE_KEY}),
    "ATCA.Sign": frozenset({Operation.LIMITED_USE}),
    "ATCA.AES": frozenset({Operation.LIMITED_USE}),
    "generate-keys": frozenset({Operation.GENERATE_KEY}),
    "program-dev-cert": frozenset({Operation.WRITE_SLOT, Operation.LOCK_SLOT}),
    "program-signer-cert": frozenset({Operation.WRITE_SLOT, Operation.LOCK_SLOT}),
    "power off": frozenset({Operation.CUT_POWER}),
}
"""Which permits cover a call; any other call is whatever the firmware makes of it."""


def rpc_actions(method: str, params: Mapping[str, Any]) -> list[Action]:
    """What a call does to the bus or the element; empty for a harmless one.

    A firmware may look methods up by prefix or whatever their case, so that everything that looks
    like one of these services and is not known exactly is not taken for harmless.

    Raises:
        GuardRefusal: the parameters cannot be read, or could be read in two ways.
    """
    road = RPC_ROADS.get(method)
    if road is not None:
        return road(params)
    if method.lower().startswith(_SERVICES) and method not in _HARMLESS:
        return [RpcCall(method, None, _digest(method, params))]
    return []


def covered_by(permit: Permit, call: RpcCall) -> bool:
    """Whether a permit is for this call.

    The firmware's own lock has no checksum: only a data lock that was allowed by name to go without
    one may take that road.
    """
    if is_program(call):
        return permit.operation is Operation.BOARD_FUSE
    operations = _COVERED.get(call.method, frozenset({Operation.FIRMWARE_DEFINED}))
    if permit.operation not in operations or call.slot != permit.slot:
        return False
    if call.method == "ATCA.SetKey" and call.arguments is None:
        return False
    return call.method != "ATCA.LockZone" or permit.lock_crc is None


def misfit(permit: Permit, method: str, params: Mapping[str, Any]) -> str | None:
    """Why the parameters of an armed call are not what was permitted, or None if they are."""
    if method == "ATCA.LockZone" and _integer(params, "zone", method) != 1:
        return "the permit is for the data zone"
    if method == "ATCA.SetKey":
        private = params.get("ecc") is True
        if private is not (permit.operation is Operation.WRITE_PRIVATE_KEY):
            return "a private key and a slot's content need different permits"
    if method == "ATCA.SetConfig":
        config = params.get("config")
        if permit.config is None or config != permit.config:
            return "another configuration was permitted, or none"
        if permit.config[84] or permit.config[85]:
            return "the firmware also sets UserExtra and Selector, which needs a permit of its own"
    return None


def _to_bus(params: Mapping[str, Any], data: bytes, method: str) -> BusWrite:
    address = _integer(params, "addr", method)
    bus = _integer(params, "bus", method) if "bus" in params else 0
    return BusWrite(address, data, main_bus=bus == 0)


def _fitting(params: Mapping[str, Any], name: str, width: int, method: str) -> bytes:
    value = _integer(params, name, method)
    if not 0 <= value < 1 << 8 * width:
        raise GuardRefusal(f"refused {method}: {name} {value} does not fit in {width} bytes")
    return value.to_bytes(width, "big")


def _integer(params: Mapping[str, Any], name: str, method: str) -> int:
    """A whole number: a firmware reads texts, fractions and truth values in ways of its own."""
    value = params.get(name)
    if type(value) is not int:
        raise GuardRefusal(f"refused {method}: {name} is no whole number")
    return value
