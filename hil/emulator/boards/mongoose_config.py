"""The configuration tree of an emulated Mongoose OS board.

Every key exists with a type and a default; files ``conf1.json`` to ``conf9.json`` hold what each
level changes (9 = the user's). Setting a value never makes a new key. Names and defaults follow
the ``config_schema`` of the libraries' ``mos.yml`` (mongoose-os-libs: atca, i2c, mqtt, http-server,
wifi, rpc-common, rpc-uart, aws, sntp; mongoose-os: core).
"""

from __future__ import annotations

import json
from contextlib import suppress
from typing import TYPE_CHECKING

import msgspec

from hil.emulator.boards.mongoose_fs import FileSystem, Flash

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["USER_LEVEL", "Config", "Scalar", "Tree", "defaults", "flash_with_config"]

Scalar = bool | int | float | str
Tree = dict[str, "Scalar | Tree"]

USER_LEVEL = 9
TRIAL_BACKUP = "conf9.json.bak"
"""Where the last good configuration lies while another one is tried; a knob of the model."""

_COMMON: Mapping[str, Scalar] = {
    "device.id": "",
    "device.license": "",
    "device.mac": "",
    "device.public_key": "",
    "device.sn": "",
    "debug.udp_log_addr": "",
    "debug.udp_log_level": 3,
    "debug.level": 2,
    "debug.file_level": "",
    "debug.event_level": 2,
    "debug.stdout_uart": 0,
    "debug.stderr_uart": 0,
    "debug.factory_reset_gpio": -1,
    "debug.mg_mgr_hexdump_file": "",
    "debug.stdout_topic": "",
    "debug.stderr_topic": "",
    "sys.tz_spec": "",
    "sys.wdt_timeout": 30,
    "sys.pref_ota_lib": "",
    "sys.atca.enable": False,
    "sys.atca.i2c_bus": 0,
    "sys.atca.i2c_addr": 0x60,
    "sys.atca.ecdh_slots_mask": 0x0C,
    "conf_acl": "*",
    "http.enable": True,
    "http.listen_addr": "80",
    "http.document_root": "/",
    "http.index_files": "",
    "http.ssl_cert": "",
    "http.ssl_key": "",
    "http.ssl_ca_cert": "",
    "http.upload_acl": "*",
    "http.hidden_files": "",
    "http.auth_domain": "",
    "http.auth_file": "",
    "http.auth_algo": 0,
    "i2c.enable": False,
    "i2c.freq": 100_000,
    "i2c.debug": False,
    "i2c1.enable": False,
    "i2c1.freq": 100_000,
    "i2c1.debug": False,
    "mqtt.enable": False,
    "mqtt.server": "",
    "mqtt.client_id": "",
    "mqtt.user": "",
    "mqtt.pass": "",
    "mqtt.reconnect_timeout_min": 2.0,
    "mqtt.reconnect_timeout_max": 60.0,
    "mqtt.ssl_cert": "",
    "mqtt.ssl_key": "",
    "mqtt.ssl_ca_cert": "",
    "mqtt.ssl_cipher_suites": "",
    "mqtt.ssl_psk_identity": "",
    "mqtt.ssl_psk_key": "",
    "mqtt.clean_session": True,
    "mqtt.keep_alive": 60,
    "mqtt.will_topic": "",
    "mqtt.will_message": "",
    "mqtt.will_retain": False,
    "mqtt.max_qos": 2,
    "mqtt.recv_mbuf_limit": 3072,
    "mqtt.require_time": False,
    "mqtt.cloud_events": True,
    "mqtt.max_queue_length": 5,
    "mqtt.ws_enable": False,
    "mqtt.ws_path": "/mqtt",
    "aws.thing_name": "",
    "aws.greengrass.enable": False,
    "aws.greengrass.reconnect_timeout_min": 2,
    "aws.greengrass.reconnect_timeout_max": 60,
    "rpc.enable": True,
    "rpc.http.enable": True,
    "rpc.service_sys_enable": True,
    "rpc.max_frame_size": 4096,
    "rpc.max_queue_length": 25,
    "rpc.max_non_persistent_channels": 10,
    "rpc.default_out_channel_idle_close_timeout": 10,
    "rpc.acl": "",
    "rpc.acl_file": "",
    "rpc.auth_domain": "",
    "rpc.auth_file": "",
    "rpc.auth_algo": 0,
    "rpc.uart.uart_no": 0,
    "rpc.uart.baud_rate": 115_200,
    "rpc.uart.fc_type": 2,
    "rpc.uart.wait_for_start_frame": True,
    "rpc.uart.dst": "",
    "rpc.tcp.listen_addr": "",
    "sntp.enable": True,
    "sntp.server": "time.google.com",
    "sntp.retry_min": 1,
    "sntp.retry_max": 30,
    "sntp.update_interval": 7200,
    "wifi.sta.enable": False,
    "wifi.sta.ssid": "",
    "wifi.sta.pass": "",
    "wifi.sta.user": "",
    "wifi.sta.ip": "",
    "wifi.sta.netmask": "",
    "wifi.sta.gw": "",
    "wifi.sta.nameserver": "",
    "wifi.sta.dhcp_hostname": "",
    "wifi.ap.enable": True,
    "wifi.ap.ssid": "Mongoose_??????",
    "wifi.ap.pass": "Mongoose",
    "wifi.ap.channel": 6,
    "wifi.ap.ip": "192.168.4.1",
}

_BY_ARCH: Mapping[str, Mapping[str, Scalar]] = {
    "esp8266": {"i2c.sda_gpio": 12, "i2c.scl_gpio": 14, "i2c1.sda_gpio": 4, "i2c1.scl_gpio": 5},
    "esp32": {
        "i2c.unit_no": 0,
        "i2c.sda_gpio": 32,
        "i2c.scl_gpio": 33,
        "i2c1.unit_no": 1,
        "i2c1.sda_gpio": 22,
        "i2c1.scl_gpio": 23,
    },
}


def defaults(arch: str, mac: str) -> Tree:
    """The tree of a freshly flashed board.

    Args:
        arch: ``esp8266`` or ``esp32``.
        mac: six hex bytes, with or without colons; fills the ``??????`` of names.
    """
    tail = mac.replace(":", "").upper()[-6:]
    tree: Tree = {}
    for path, value in {**_COMMON, **_BY_ARCH[arch]}.items():
        _put(tree, path, value.replace("??????", tail) if isinstance(value, str) else value)
    _put(tree, "device.id", f"{arch}_{tail}")
    return tree


def flash_with_config(settings: Mapping[str, Scalar], files: Mapping[str, bytes] | None = None) -> Flash:
    """A flash whose user level holds ``settings`` (dotted keys) and which holds ``files``."""
    tree: Tree = {}
    for path, value in settings.items():
        _put(tree, path, value)
    flash = Flash(dict(files or {}))
    flash.files[_file(USER_LEVEL)] = _dump(tree)
    return flash


class Config:
    """The configuration of a running board.

    Args:
        base: :func:`defaults` of the board.
        fs: where the levels are.
    """

    def __init__(self, base: Tree, fs: FileSystem) -> None:
        self._base = base
        self._fs = fs
        self.tree = self.level(USER_LEVEL)
        if fs.exists(TRIAL_BACKUP):  # this start is the one try: the next one goes back
            fs.rename(TRIAL_BACKUP, _file(USER_LEVEL))

    def level(self, level: int) -> Tree:
        """The tree as levels 1 to ``level`` leave it; 0 is the defaults."""
        tree = _copied(self._base)
        for number in range(1, level + 1):
            if self._fs.exists(_file(number)):
                with suppress(
                    ValueError, RecursionError
                ):  # a broken level is skipped, so that the board still starts
                    tree = apply(tree, "", msgspec.json.decode(self._fs.read(_file(number))))
        return tree

    def save(self, tree: Tree | None = None, level: int = USER_LEVEL, *, try_once: bool = False) -> None:
        """Write what ``tree`` (default: the running one) changes against the level below.

        Args:
            tree: the configuration.
            level: where it goes.
            try_once: (user level only) for the next start; the one after has the present file again,
                unless the configuration is saved for good meanwhile.

        Raises:
            OSError: the file system is full.
        """
        fs, name = self._fs, _file(level)
        difference = _dump(_difference(self.level(level - 1), self.tree if tree is None else tree))
        if try_once and not fs.exists(TRIAL_BACKUP):
            fs.write(TRIAL_BACKUP, fs.read(name) if fs.exists(name) else b"{}")
        fs.write(name, difference)
        if not try_once and fs.exists(TRIAL_BACKUP):
            fs.remove(TRIAL_BACKUP)

    def scalar(self, path: str) -> Scalar:
        """A value of the running configuration; the key must exist."""
        value = lookup(self.tree, path)
        assert value is not None, path
        assert not isinstance(value, dict), path
        return value

    def text(self, path: str) -> str:
        """A string value."""
        return str(self.scalar(path))

    def number(self, path: str) -> float:
        """A numeric value."""
        return float(self.scalar(path))

    def integer(self, path: str) -> int:
        """An integer value."""
        return int(self.scalar(path))

    def flag(self, path: str) -> bool:
        """A boolean value."""
        return bool(self.scalar(path))


def lookup(tree: Tree, path: str) -> Scalar | Tree | None:
    """What is at the dotted ``path`` (``""``: the whole tree); None if the key does not exist."""
    node: Scalar | Tree = tree
    for part in filter(None, path.split(".")):
        if not isinstance(node, dict) or part not in node:
            return None
        node = node[part]
    return node


def _copied(tree: Tree) -> Tree:
    """A copy: below its objects there are only scalars."""
    return {name: _copied(value) if isinstance(value, dict) else value for name, value in tree.items()}


def apply(tree: Tree, path: str, value: object) -> Tree:
    """A copy of ``tree`` with ``value`` set at ``path``; keys that do not exist are ignored.

    Raises:
        KeyError: ``path`` itself does not exist.
        ValueError: a value has another type than its key (the text is the firmware's); nothing is set.
    """
    changed = _copied(tree)
    if lookup(changed, path) is None:
        raise KeyError(path)
    if not path:
        if not isinstance(value, dict):
            raise ValueError("Not an object")
        _merge(changed, value, "")
        return changed
    parent_path, _, name = path.rpartition(".")
    parent = lookup(changed, parent_path)
    assert isinstance(parent, dict), "the path was looked up"
    _merge(parent, {name: value}, f"{parent_path}." if parent_path else "")
    return changed


def _merge(tree: Tree, values: Mapping[str, object], prefix: str) -> None:
    for name, value in values.items():
        if name not in tree:
            continue
        path, old = prefix + name, tree[name]
        if isinstance(old, dict):
            if not isinstance(value, dict):
                raise ValueError(f"[{path}] is not an object")
            _merge(old, value, path + ".")
        else:
            tree[name] = _converted(old, value, path)


def _converted(old: Scalar, value: object, path: str) -> Scalar:
    if isinstance(old, bool):
        if not isinstance(value, bool):
            raise ValueError(f"[{path}] is not a boolean")
        return value
    if isinstance(old, int | float):
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError(f"[{path}] is not a number")
        return float(value) if isinstance(old, float) else _as_int32(value)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise ValueError(f"[{path}] is not a string")
    return value


def _as_int32(value: float) -> int:
    """What the firmware's ``int`` makes of a JSON number."""
    return max(-(1 << 31), min(int(value), (1 << 31) - 1))


def _difference(below: Tree, tree: Tree) -> Tree:
    changed: Tree = {}
    for name, value in tree.items():
        old = below[name]
        if isinstance(value, dict):
            assert isinstance(old, dict), "both trees have the same keys"
            if inner := _difference(old, value):
                changed[name] = inner
        elif value != old:
            changed[name] = value
    return changed


def _put(tree: Tree, path: str, value: Scalar) -> None:
    *parents, name = path.split(".")
    for part in parents:
        inner = tree.setdefault(part, {})
        assert isinstance(inner, dict), path
        tree = inner
    tree[name] = value


def _file(level: int) -> str:
    return f"conf{level}.json"


def _dump(tree: Tree) -> bytes:
    return json.dumps(tree, indent=2).encode()
