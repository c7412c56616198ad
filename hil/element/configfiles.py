"""Configuration files: the YAML, JSON and hex forms that ``mos atca-set-config`` reads and writes.

YAML keys are the lower-cased JSON keys; counters and LastKeyUse are 64-bit big-endian numbers;
hex is every pair of hex digits found (mongoose-os/mos ``cli/atca/config.go``).

The YAML and JSON forms have no place for byte 14 bits 7:1 (they differ from die to die and cannot
be written) and for ChipMode bits 7:3, KeyConfig bit 13 and other key types; a zone that uses the
latter can only be written as hex.
"""

from __future__ import annotations

import base64
import binascii
import difflib
import json
import re
from typing import TYPE_CHECKING, Literal, TypeAlias, cast

import yaml

from hil.element.configzone import (
    KEY_TYPE_AES,
    KEY_TYPE_OTHER,
    KEY_TYPE_P256,
    LOCKED,
    UNLOCKED,
    ConfigZone,
    KeyConfig,
    Slot,
    SlotConfig,
)
from hil.element.zones import CONFIG_SIZE, SLOTS
from hil.errors import ConfigError
from hil.yamltext import load_yaml

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Form", "dump_config", "form_of", "load_config", "parse_config"]

Form = Literal["yaml", "json", "hex"]
Tree: TypeAlias = "dict[str, Tree] | list[Tree] | str | int | bool | float | None"

_KEY_TYPES = {"ecc": KEY_TYPE_P256, "aes": KEY_TYPE_AES, "other": KEY_TYPE_OTHER, "nonecc": KEY_TYPE_OTHER}
_KEY_TYPE_NAMES = {KEY_TYPE_P256: "ECC", KEY_TYPE_AES: "AES", KEY_TYPE_OTHER: "NonECC"}
_WATCHDOG = {"1s": 0, "10s": 1}
_LOCKS = {"locked": LOCKED, "unlocked": UNLOCKED}


def form_of(path: Path) -> Form:
    """The form by the file's suffix, as ``mos`` decides."""
    suffixes: dict[str, Form] = {".yaml": "yaml", ".yml": "yaml", ".json": "json"}
    return suffixes.get(path.suffix.lower(), "hex")


def load_config(path: Path, form: Form | None = None) -> ConfigZone:
    """Read a configuration file.

    Raises:
        ConfigError: it cannot be read, or something in it is wrong; the message names the key.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read {path}: {error}") from error
    return parse_config(text, form or form_of(path), str(path))


def parse_config(text: str, form: Form, source: str = "configuration") -> ConfigZone:
    """Decode one of the three forms; ``source`` is what errors call it."""
    if form == "hex":
        return _parse_hex(text, source)
    try:
        tree: object = json.loads(text) if form == "json" else load_yaml(text)
    except (yaml.YAMLError, json.JSONDecodeError) as error:
        raise ConfigError(f"{source} is no {form.upper()}: {error}") from error
    return _Reader(source).config(_lowered(cast("Tree", tree)))


def dump_config(config: ConfigZone, form: Form) -> str:
    """Encode a configuration.

    Raises:
        ConfigError: the form has no place for something in it; hex always has.
    """
    if form == "hex":
        raw = config.to_bytes()
        rows = (raw[at : at + 4] for at in range(0, CONFIG_SIZE, 4))
        return "".join(", ".join(f"0x{byte:02x}" for byte in row) + "\n" for row in rows)
    tree = _tree(config, as_json=form == "json")
    if form == "json":
        return json.dumps(tree, indent=2) + "\n"
    return yaml.safe_dump(_lowered(tree), sort_keys=False)


def _parse_hex(text: str, source: str) -> ConfigZone:
    raw = bytes.fromhex("".join(re.findall(r"[0-9a-fA-F]{2}", text)))
    if len(raw) != CONFIG_SIZE:
        raise ConfigError(
            f"{source} holds {len(raw)} bytes in hex, a configuration has {CONFIG_SIZE}",
            hint="every pair of hex digits counts, also in comments; a YAML file must end in .yaml",
        )
    return ConfigZone.from_bytes(raw)


def _lowered(tree: Tree) -> Tree:
    if isinstance(tree, dict):
        return {str(key).lower(): _lowered(value) for key, value in tree.items()}
    if isinstance(tree, list):
        return [_lowered(item) for item in tree]
    return tree


# From a model to a tree with the JSON form's keys


def _tree(config: ConfigZone, *, as_json: bool) -> Tree:
    if config.chip_mode & ~0x07:
        raise _hex_only(f"ChipMode 0x{config.chip_mode:02x} has clock divider bits")
    serial: Tree = base64.b64encode(config.serial).decode() if as_json else list(config.serial)
    return {
        "SerialNum": serial,
        "Revision": int.from_bytes(config.revision, "big"),
        "Reserved13": config.reserved13,
        "I2CEnable": bool(config.i2c_enable & 1),
        "Reserved15": config.reserved15,
        "I2CAddress": config.i2c_address,
        "Reserved17": config.reserved17,
        "OTPMode": config.otp_mode,
        "ChipMode": {
            "SelectorWriteOnce": bool(config.chip_mode & 1),
            "TTLEnable": bool(config.chip_mode & 2),
            "WatchDogDuration": "10s" if config.chip_mode & 4 else "1s",
        },
        "SlotInfo": [_slot_tree(n, slot) for n, slot in enumerate(config.slots)],
        "Counter0": int.from_bytes(config.counter0, "big"),
        "Counter1": int.from_bytes(config.counter1, "big"),
        "LastKeyUse0": int.from_bytes(config.last_key_use[:8], "big"),
        "LastKeyUse1": int.from_bytes(config.last_key_use[8:], "big"),
        "UserExtra": config.user_extra,
        "Selector": config.selector,
        "LockValue": _lock_name(config.lock_value, "LockValue"),
        "LockConfig": _lock_name(config.lock_config, "LockConfig"),
        "SlotLocked": config.slot_locked,
        "Reserved90": config.chip_options & 0xFF,
        "Reserved91": config.chip_options >> 8,
        "X509Format": [
            {"PublicPosition": byte & 0x0F, "TemplateLength": byte >> 4} for byte in config.x509_format
        ],
    }


def _slot_tree(number: int, slot: Slot) -> Tree:
    rules, key = slot.config, slot.key
    if key.key_type not in _KEY_TYPE_NAMES or key.reserved13:
        raise _hex_only(f"KeyConfig 0x{key.to_int():04x} of slot {number} has an unknown type or bit 13")
    reading: dict[str, Tree] = {"ReadKey": rules.read_key}
    if key.private:
        reading = {
            "PrivateKeySlotConfig": {
                "ExtSignEnable": rules.external_sign,
                "IntSignEnable": rules.internal_sign,
                "ECDHEnable": rules.ecdh,
                "ECDHToNextSlot": rules.ecdh_to_next_slot,
            }
        }
    return {
        "Num": number,
        "SlotConfig": reading
        | {
            "NoMAC": rules.no_mac,
            "LimitedUse": rules.limited_use,
            "EncryptRead": rules.encrypt_read,
            "IsSecret": rules.is_secret,
            "WriteKey": rules.write_key,
            "WriteConfig": rules.write_config,
        },
        "KeyConfig": {
            "Private": key.private,
            "PubInfo": key.pub_info,
            "KeyType": _KEY_TYPE_NAMES[key.key_type],
            "Lockable": key.lockable,
            "ReqRandom": key.req_random,
            "ReqAuth": key.req_auth,
            "AuthKey": key.auth_key,
            "IntrusionDisable": key.disable,
            "X509ID": key.x509_id,
        },
    }


def _lock_name(value: int, what: str) -> str:
    if value not in (LOCKED, UNLOCKED):
        raise _hex_only(f"{what} 0x{value:02x} is neither 00 nor 55")
    return "Locked" if value == LOCKED else "Unlocked"


def _hex_only(what: str) -> ConfigError:
    return ConfigError(f"{what}, which YAML and JSON cannot express", hint="write the configuration as hex")


# From a tree with lower-case keys to a model


class _Reader:
    """Takes values out of a tree; every complaint names the file and the key."""

    def __init__(self, source: str) -> None:
        self._source = source

    def config(self, tree: Tree) -> ConfigZone:
        top = _Node(self._source, "", tree)
        slots = top.items("slotinfo", SLOTS)
        by_number = {node.number("num", 15): node.slot() for node in slots}
        if len(by_number) != SLOTS:
            raise top.wrong("slotinfo", "a slot number stands there twice")
        chip_mode = top.node("chipmode")
        config = ConfigZone(
            serial=top.serial(),
            revision=top.number("revision", 0xFFFFFFFF, optional=True).to_bytes(4, "big"),
            reserved13=top.number("reserved13", 0xFF),
            i2c_enable=int(top.flag("i2cenable")),
            reserved15=top.number("reserved15", 0xFF),
            i2c_address=top.number("i2caddress", 0xFF),
            reserved17=top.number("reserved17", 0xFF),
            otp_mode=top.number("otpmode", 0xFF),
            chip_mode=int(chip_mode.flag("selectorwriteonce"))
            | chip_mode.flag("ttlenable") << 1
            | chip_mode.word("watchdogduration", _WATCHDOG) << 2,
            slots=tuple(by_number[n] for n in range(SLOTS)),
            counter0=top.eight("counter0"),
            counter1=top.eight("counter1"),
            last_key_use=top.eight("lastkeyuse0") + top.eight("lastkeyuse1"),
            user_extra=top.number("userextra", 0xFF),
            selector=top.number("selector", 0xFF),
            lock_value=top.word("lockvalue", _LOCKS),
            lock_config=top.word("lockconfig", _LOCKS),
            slot_locked=top.number("slotlocked", 0xFFFF),
            chip_options=top.number("reserved90", 0xFF) | top.number("reserved91", 0xFF) << 8,
            x509_format=bytes(node.x509_format() for node in top.items("x509format", 4)),
        )
        for node in (top, chip_mode, *slots):
            node.nothing_else()
        return config


class _Node:
    """One mapping of the tree."""

    def __init__(self, source: str, path: str, tree: Tree) -> None:
        self._source = source
        self._path = path
        if not isinstance(tree, dict):
            raise ConfigError(f"{source}: {path or 'the top level'} is no mapping of keys to values")
        self._tree = tree
        self._used: set[str] = set()

    def wrong(self, key: str, what: str) -> ConfigError:
        return ConfigError(f"{self._source}: {self._path}{key}: {what}")

    def get(self, key: str) -> Tree:
        if key not in self._tree:
            close = difflib.get_close_matches(key, self._tree, 1)
            hint = f"there is {close[0]!r}: a slip of the pen?" if close else None
            raise ConfigError(f"{self._source}: {self._path}{key} is missing", hint=hint)
        self._used.add(key)
        return self._tree[key]

    def has(self, key: str) -> bool:
        return self._tree.get(key) is not None

    def number(self, key: str, maximum: int, *, optional: bool = False) -> int:
        if optional and not self.has(key):
            self._used.add(key)
            return 0
        value = self.get(key)
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= maximum:
            raise self.wrong(key, f"{value!r} is no number from 0 to {maximum}")
        return value

    def flag(self, key: str) -> bool:
        value = self.get(key)
        if not isinstance(value, bool):
            raise self.wrong(key, f"{value!r} is neither true nor false")
        return value

    def word(self, key: str, words: dict[str, int]) -> int:
        value = self.get(key)
        if not isinstance(value, str) or value.lower() not in words:
            raise self.wrong(key, f"{value!r} is none of {', '.join(sorted(words))}")
        return words[value.lower()]

    def eight(self, key: str) -> bytes:
        return self.number(key, 2**64 - 1).to_bytes(8, "big")

    def node(self, key: str) -> _Node:
        return _Node(self._source, f"{self._path}{key}.", self.get(key))

    def items(self, key: str, count: int) -> list[_Node]:
        value = self.get(key)
        if not isinstance(value, list) or len(value) != count:
            found = len(value) if isinstance(value, list) else "no list"
            raise self.wrong(key, f"{count} entries are needed, found {found}")
        return [_Node(self._source, f"{self._path}{key}[{n}].", item) for n, item in enumerate(value)]

    def serial(self) -> bytes:
        if not self.has("serialnum"):
            self._used.add("serialnum")
            return bytes(9)
        value = self.get("serialnum")
        try:
            if isinstance(value, str):
                serial = base64.b64decode(value, validate=True)
            else:
                serial = bytes(cast("list[int]", value))
        except (binascii.Error, TypeError, ValueError) as error:
            raise self.wrong("serialnum", "neither nine numbers nor base64") from error
        if len(serial) != 9:
            raise self.wrong("serialnum", f"nine bytes are needed, found {len(serial)}")
        return serial

    def x509_format(self) -> int:
        byte = self.number("publicposition", 15) | self.number("templatelength", 15) << 4
        self.nothing_else()
        return byte

    def slot(self) -> Slot:
        rules, key = self.node("slotconfig"), self.node("keyconfig")
        private = key.flag("private")
        slot = Slot(
            SlotConfig(
                read_key=rules.permissions() if private else rules.number("readkey", 15),
                no_mac=rules.flag("nomac"),
                limited_use=rules.flag("limiteduse"),
                encrypt_read=rules.flag("encryptread"),
                is_secret=rules.flag("issecret"),
                write_key=rules.number("writekey", 15),
                write_config=rules.number("writeconfig", 15),
            ),
            KeyConfig(
                private=private,
                pub_info=key.flag("pubinfo"),
                key_type=key.word("keytype", _KEY_TYPES),
                lockable=key.flag("lockable"),
                req_random=key.flag("reqrandom"),
                req_auth=key.flag("reqauth"),
                auth_key=key.number("authkey", 15),
                disable=key.flag("intrusiondisable"),
                x509_id=key.number("x509id", 3),
            ),
        )
        rules.nothing_else()
        key.nothing_else()
        return slot

    def permissions(self) -> int:
        bits = self.node("privatekeyslotconfig")
        names = ("extsignenable", "intsignenable", "ecdhenable", "ecdhtonextslot")
        value = sum(bits.flag(name) << n for n, name in enumerate(names))
        bits.nothing_else()
        return value

    def nothing_else(self) -> None:
        """Refuse keys that nobody asked for; empty ones are as good as absent."""
        rest = [key for key in self._tree if key not in self._used and self._tree[key] is not None]
        if rest:
            raise ConfigError(
                f"{self._source}: {self._path}{rest[0]} does not belong there",
                hint=f"known keys: {', '.join(sorted(self._used))}",
            )
