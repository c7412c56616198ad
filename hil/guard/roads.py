"""Every firmware call that can reach the element irreversibly, as a table.

A call either does it by itself (``ATCA.LockZone``) or carries raw bytes to the bus
(``I2C.Write``); the bytes are then decoded by the transport filter like any transaction.

Source of the methods: mongoose-os-libs/rpc-service-atca, rpc-service-i2c (src/*.c).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hil.errors import GuardRefusal
from hil.guard.permit import RpcCall

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["CONSOLE_ROADS", "RPC_ROADS", "rpc_actions"]

Action = RpcCall | tuple[int, bytes]


def _slot_call(method: str) -> Callable[[Mapping[str, Any]], list[Action]]:
    return lambda params: [RpcCall(method, params.get("slot", 0))]


def _plain_call(method: str) -> Callable[[Mapping[str, Any]], list[Action]]:
    return lambda params: [RpcCall(method)]


def _bus_write(params: Mapping[str, Any]) -> list[Action]:
    return [(_address(params), _hex(params.get("data_hex", "")))]


def _register_write(width: int) -> Callable[[Mapping[str, Any]], list[Action]]:
    def actions(params: Mapping[str, Any]) -> list[Action]:
        try:
            body = int(params["reg"]).to_bytes(1, "big") + int(params["value"]).to_bytes(width, "big")
        except (KeyError, ValueError, TypeError, OverflowError) as error:
            raise GuardRefusal(f"refused an I2C register write that cannot be decoded: {error!r}") from error
        return [(_address(params), body)]

    return actions


RPC_ROADS: Mapping[str, Callable[[Mapping[str, Any]], list[Action]]] = {
    "ATCA.SetConfig": _plain_call("ATCA.SetConfig"),
    "ATCA.LockZone": _plain_call("ATCA.LockZone"),
    "ATCA.SetKey": _slot_call("ATCA.SetKey"),
    "ATCA.GenKey": _slot_call("ATCA.GenKey"),
    "I2C.Write": _bus_write,
    "I2C.WriteRegB": _register_write(1),
    "I2C.WriteRegW": _register_write(2),
}
"""Method → what it does to the element, from its parameters."""

CONSOLE_ROADS: Mapping[str, str] = {
    "init": "locks both zones of a part that is not locked yet, without CRC",
    "generate-keys": "replaces the private key of a slot",
    "program-dev-cert": "with lock = 1 locks slot 10 for ever",
    "program-signer-cert": "with lock = 1 locks slot 12 for ever",
}
"""Commands of the esp_cryptoauth console (espressif/esp-cryptoauthlib, commands.c, handlers.c)."""


def rpc_actions(method: str, params: Mapping[str, Any]) -> list[Action]:
    """What a call does to the bus or the element; empty for a harmless one.

    The firmware looks methods up case-sensitively, but a glob or an unknown ``ATCA.`` method is
    not taken for harmless.
    """
    road = RPC_ROADS.get(method)
    if road is not None:
        return road(params)
    if method.startswith(("ATCA.", "I2C.")) and method not in _HARMLESS:
        return [RpcCall(method)]
    return []


_HARMLESS = frozenset(
    {
        "ATCA.GetConfig",
        "ATCA.GetPubKey",
        "ATCA.Sign",
        "ATCA.AES",
        "I2C.Scan",
        "I2C.Read",
        "I2C.ReadRegB",
        "I2C.ReadRegW",
    }
)


def _address(params: Mapping[str, Any]) -> int:
    try:
        return int(params["addr"])
    except (KeyError, ValueError, TypeError) as error:
        raise GuardRefusal(f"refused an I2C write without a usable address: {error!r}") from error


def _hex(text: object) -> bytes:
    try:
        return bytes.fromhex(str(text))
    except ValueError as error:
        raise GuardRefusal(f"refused I2C data that is no hex: {error}") from error
