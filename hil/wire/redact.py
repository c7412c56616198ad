"""Takes keys and passwords out of RPC frames before anybody keeps them.

A frame that crosses the UART is put into the transcript, and the transcript is published with the
run. Frames without a suspicious word pass unchanged and cost one search; the others are parsed,
and a frame that cannot be parsed loses every string behind a suspicious name.

Sources of the names: mongoose-os-libs/rpc-service-atca ``src/mgos_rpc_service_atca.c`` (key,
wkey), mongoose-os configuration schemas (wifi.sta.pass, mqtt.pass, mqtt.ssl_psk_key …).
"""

from __future__ import annotations

import re

import msgspec

__all__ = ["MASK", "redact_frame"]

MASK = "<redacted>"

SECRET_NAMES = frozenset(
    {"wkey", "pass", "password", "pwd", "psk", "ssl_psk_key", "private_key", "secret", "token"}
)
"""Members whose string value is secret wherever they stand."""

FILE_DATA = frozenset({"FS.Put", "FS.Get"})
"""Methods whose ``data`` may be a key file."""

_SUSPECT = re.compile(
    rb'"(?:key|data|data_hex|%s)"' % b"|".join(name.encode() for name in sorted(SECRET_NAMES))
)
_STRINGS_BEHIND = re.compile(
    rb'("(?:key|data|data_hex|%s)"\s*:\s*)"(?:[^"\\]|\\.)*"?'
    % b"|".join(name.encode() for name in sorted(SECRET_NAMES))
)
_SECRET_PACKET = re.compile(r"03[0-9a-f]{2}(?:46|12.[2367abef]|16[89ab])", re.IGNORECASE)
"""Word address 3, count, then PrivWrite, Write to the data zone, or Nonce into the alternate key buffer
(ATECC508A data sheet, section 9; ATECC608A-TFLXTLS data sheet, section 5.1.4)."""
_SHORT_ANSWER = 2 * 7
"""Hex digits of an answer with four bytes (a revision, a configuration word). The frame of a longer one
does not say whether it is a signature or an agreed key; the trace of the I2C bus shows what may be shown."""


def redact_frame(json: bytes) -> bytes:
    """``json`` without its secrets, or the very same object if it holds none.

    Removed: write keys and slot keys of ``ATCA.SetKey``, passwords in configurations, the content
    of files, raw bus writes that carry a slot's content, bus reads of more than a word, and the frame's
    own ``key`` member.
    """
    if _SUSPECT.search(json) is None:
        return json
    try:
        frame = msgspec.json.decode(json)
    except msgspec.DecodeError:
        return _STRINGS_BEHIND.sub(rb'\1"%s"' % MASK.encode(), json)
    if not isinstance(frame, dict):
        return json
    method = str(frame.get("method", ""))
    clean: dict[str, object] = {name: _clean(value, method) for name, value in frame.items()}
    if "key" in frame:
        clean["key"] = MASK
    return json if clean == frame else msgspec.json.encode(clean)


def _clean(value: object, method: str) -> object:
    if isinstance(value, list):
        return [_clean(item, method) for item in value]
    if not isinstance(value, dict):
        return value
    return {name: _member(name, item, value, method) for name, item in value.items()}


def _member(name: str, value: object, siblings: dict[str, object], method: str) -> object:
    if isinstance(value, str):
        return MASK if value and _is_secret(name, value, siblings, method) else value
    return _clean(value, method)


def _is_secret(name: str, value: str, siblings: dict[str, object], method: str) -> bool:
    if name in SECRET_NAMES:
        return True
    if name == "key":
        return not method.startswith("Config.")
    if name == "data":
        return method in FILE_DATA or "left" in siblings
    if name == "data_hex":
        read = "addr" not in siblings
        return len(value) > _SHORT_ANSWER if read else _SECRET_PACKET.match(value) is not None
    if name in ("value", "config"):
        return str(siblings.get("key", "")).rpartition(".")[2] in SECRET_NAMES
    return False
