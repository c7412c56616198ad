"""The calls of Mongoose OS firmware with their types, over whatever channel.

Calls that change the element for good are in :mod:`hil.board.irreversible`.
Sources: mongoose-os-libs ``rpc-service-{config,fs,i2c,atca,wifi}``, ``rpc-common``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from hil.errors import FrameError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hil.board.rpc import RpcClient

__all__ = ["MongooseCalls", "SystemInfo", "WifiState"]

FS_CHUNK = 512
"""Bytes of a file per call; what mos uses."""
WIFI_SCAN_US = 15_000_000


class WifiState(msgspec.Struct, frozen=True):
    """The ``wifi`` member of ``Sys.GetInfo``."""

    sta_ip: str = ""
    ap_ip: str = ""
    status: str = ""
    ssid: str = ""


class SystemInfo(msgspec.Struct, frozen=True):
    """What ``Sys.GetInfo`` reports; sizes in bytes, uptime in seconds."""

    id: str = ""
    app: str = ""
    fw_version: str = ""
    fw_id: str = ""
    mg_version: str = ""
    mg_id: str = ""
    mac: str = ""
    arch: str = ""
    uptime: float = 0
    public_key: str | None = None
    ram_size: int = 0
    ram_free: int = 0
    ram_min_free: int = 0
    fs_size: int = 0
    fs_free: int = 0
    wifi: WifiState | None = None

    @property
    def mac_address(self) -> str:
        """The MAC address, lower case with colons; the firmware writes twelve hex digits."""
        digits = self.mac.lower()
        return ":".join(digits[i : i + 2] for i in range(0, len(digits), 2))


class _FileChunk(msgspec.Struct, frozen=True):
    data: bytes = b""
    left: int = 0


class _Config(msgspec.Struct, frozen=True):
    config: bytes


class _PublicKey(msgspec.Struct, frozen=True):
    pubkey: bytes


class _Signature(msgspec.Struct, frozen=True):
    signature: bytes


class _Data(msgspec.Struct, frozen=True):
    data: bytes


class _HexData(msgspec.Struct, frozen=True):
    data_hex: str


class MongooseCalls:
    """What the firmware offers.

    Args:
        rpc: owned and closed by whoever made it.
    """

    def __init__(self, rpc: RpcClient) -> None:
        self.rpc = rpc

    # -- RPC, Sys ---------------------------------------------------------------------------

    def rpc_list(self) -> list[str]:
        """Names of all methods that the firmware offers."""
        return self.rpc.call_as(list[str], "RPC.List")

    def ping(self) -> None:
        """``RPC.Ping``: raises if the firmware does not answer."""
        self.rpc.call("RPC.Ping")

    def sys_get_info(self) -> SystemInfo:
        """``Sys.GetInfo``."""
        return self.rpc.call_as(SystemInfo, "Sys.GetInfo")

    def set_log_level(self, level: int) -> None:
        """Log level until the next start: 0 errors, 1 warnings, 2 info, 3 debug, 4 verbose."""
        self.rpc.call("Config.Set", {"config": {"debug": {"level": level}}, "save": False})

    # -- Config -----------------------------------------------------------------------------

    def config_get(self, key: str | None = None) -> object:
        """The whole configuration, or the value or subtree at a dotted ``key``."""
        return self.rpc.call("Config.Get", None if key is None else {"key": key})

    def config_set(self, config: Mapping[str, object], *, reboot: bool = False) -> None:
        """Change and save the configuration.

        Args:
            config: nested as the configuration is, e.g. ``{"i2c": {"enable": True}}``.
            reboot: let the firmware restart; does not wait for it.
        """
        result = self.rpc.call("Config.Set", {"config": config, "save": True, "reboot": reboot})
        if not (isinstance(result, dict) and result.get("saved")):  # firmware before 2.12
            self.config_save(reboot=reboot)

    def config_save(self, *, reboot: bool = False) -> None:
        """``Config.Save``; with ``reboot`` the firmware restarts, which is not waited for."""
        self.rpc.call("Config.Save", {"try_once": False, "reboot": reboot})

    # -- FS ---------------------------------------------------------------------------------

    def fs_list(self) -> list[str]:
        """Names of the files, sorted."""
        return sorted(self.rpc.call_as(list[str], "FS.List"))

    def fs_get(self, filename: str) -> bytes:
        """Content of a file."""
        content = b""
        while True:
            params = {"filename": filename, "offset": len(content), "len": FS_CHUNK}
            chunk = self.rpc.call_as(_FileChunk, "FS.Get", params)
            content += chunk.data
            if chunk.left <= 0 or not chunk.data:
                return content

    def fs_put(self, filename: str, content: bytes) -> None:
        """Write a file in chunks; an existing one is replaced."""
        for offset in range(0, max(len(content), 1), FS_CHUNK):
            self.rpc.call(
                "FS.Put",
                {
                    "filename": filename,
                    "offset": offset,
                    "append": offset > 0,
                    "data": content[offset : offset + FS_CHUNK],
                },
            )

    def fs_remove(self, filename: str) -> None:
        """Delete a file."""
        self.rpc.call("FS.Remove", {"filename": filename})

    # -- I2C --------------------------------------------------------------------------------

    def i2c_scan(self, bus: int = 0) -> list[int]:
        """Addresses that acknowledge, ascending; the firmware probes 1 to 119."""
        return self.rpc.call_as(list[int], "I2C.Scan", {"bus": bus} if bus else None)

    def i2c_read(self, address: int, length: int, bus: int = 0) -> bytes:
        """Read ``length`` bytes; error 503 means that nobody acknowledged."""
        params = {"bus": bus, "addr": address, "len": length}
        return _hex(self.rpc.call_as(_HexData, "I2C.Read", params).data_hex)

    def i2c_write(self, address: int, data: bytes, bus: int = 0) -> None:
        """Write ``data``; error 503 means that nobody acknowledged."""
        self.rpc.call("I2C.Write", {"bus": bus, "addr": address, "data_hex": data.hex()})

    # -- ATCA, what only reads --------------------------------------------------------------

    def atca_get_config(self) -> bytes:
        """The element's configuration zone, 128 bytes. Error 404: no element at boot, or disabled."""
        return self.rpc.call_as(_Config, "ATCA.GetConfig").config

    def atca_public_key(self, slot: int) -> bytes:
        """Public key of a private slot: ``X ‖ Y``, 64 bytes."""
        return self.rpc.call_as(_PublicKey, "ATCA.GetPubKey", {"slot": slot}).pubkey

    def atca_sign(self, slot: int, digest: bytes) -> bytes:
        """Sign a 32-byte digest; ``R ‖ S``, 64 bytes."""
        return self.rpc.call_as(_Signature, "ATCA.Sign", {"slot": slot, "digest": digest}).signature

    def atca_aes(self, slot: int, block: int, data: bytes, *, decrypt: bool = False) -> bytes:
        """AES-ECB with a slot's key on a multiple of 16 bytes (ATECC608)."""
        params = {"slot": slot, "block": block, "mode": int(decrypt), "data": data}
        return self.rpc.call_as(_Data, "ATCA.AES", params).data

    # -- Wifi -------------------------------------------------------------------------------

    def wifi_scan(self) -> list[dict[str, object]]:
        """Networks in reach, as the firmware describes them."""
        return self.rpc.call_as(list[dict[str, object]], "Wifi.Scan", timeout_us=WIFI_SCAN_US)


def _hex(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError as error:
        raise FrameError(f"the firmware sent {text[:40]!r} where hex digits belong") from error
