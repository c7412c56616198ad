"""Lines that firmware prints: prefixes taken off, and the few lines that mean something named.

Understood prefixes: Mongoose OS with ``file:line`` padded to 24 characters; older Mongoose OS
with a function name padded to 21; ESP-IDF's ``I (1234) tag:``; each with or without the time
stamp that ``mos console`` puts in front. mbedTLS lines of the ATCA fork have none.

Sources: cesanta/mongoose-os ``common/cs_dbg.c`` before 1236cde, mongoose-os-libs/mqtt and /atca,
mongoose-os/mbedtls ``library/ecp_atca.c``, ESP-IDF ``esp_log.h``.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["EVENTS", "LogEvent", "LogLine", "log_event", "parse_line", "split_prefix"]

_HOST_STAMP = re.compile(r"\[(?P<at>[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d\.\d{3})\] ")
_FILE_PREFIX = re.compile(r"[\w.+-]+:\d+ +")
_FUNCTION_PREFIX = re.compile(r"[A-Za-z_]\w* +")
_IDF_PREFIX = re.compile(
    r"(?:\x1b\[[0-9;]*m)?(?P<level>[EWIDV]) \((?P<ms>\d+)\) (?P<tag>[^:]{1,40}): (?P<text>.*?)(?:\x1b\[0m)?$"
)
_FILE_WIDTH = 24
_REMEMBERED = 1024
"""Lines that several readers ask about, one after the other."""
_FUNCTION_WIDTH = 21


class LogLine(msgspec.Struct, frozen=True):
    """One console line without its prefix.

    Attributes:
        message: what the firmware said.
        source: ``file:line``, function name or tag; empty without a prefix.
        level: ESP-IDF's level letter, else empty.
        device_ms: ESP-IDF's milliseconds since boot, else None.
        host_stamp: the time that ``mos console`` added, else empty.
    """

    message: str
    source: str = ""
    level: str = ""
    device_ms: int | None = None
    host_stamp: str = ""


class LogEvent(msgspec.Struct, frozen=True):
    """A line that means something: ``kind`` is a key of :data:`EVENTS`, ``fields`` its named parts."""

    kind: str
    fields: Mapping[str, str]


def split_prefix(text: str) -> tuple[str, str]:
    """Source and message of a Mongoose OS line; source is empty if there is no prefix.

    Mojibake in front of a line (a boot log at another baud rate) is dropped.
    """
    text = text.rpartition("\ufffd")[2]
    for pattern, width in ((_FILE_PREFIX, _FILE_WIDTH), (_FUNCTION_PREFIX, _FUNCTION_WIDTH)):
        if len(text) > width and pattern.fullmatch(text, 0, width):
            return text[:width].rstrip(), text[width:]
    return "", text


@lru_cache(maxsize=_REMEMBERED)
def parse_line(text: str) -> LogLine:
    """Take every known prefix off a console line."""
    stamp = _HOST_STAMP.match(text)
    if stamp is not None:
        text = text[stamp.end() :]
    at = stamp["at"] if stamp else ""
    idf = _IDF_PREFIX.match(text)
    if idf is not None:
        return LogLine(idf["text"], idf["tag"], idf["level"], int(idf["ms"]), at)
    source, message = split_prefix(text)
    return LogLine(message, source, host_stamp=at)


EVENTS: Mapping[str, re.Pattern[str]] = {
    kind: re.compile(pattern)
    for kind, pattern in (
        ("firmware", r"Mongoose OS (?P<version>\d\S*)(?: \((?P<build>[^)]*)\))?"),
        ("cpu", r"CPU: (?P<cpu>[^,]+), (?P<mhz>\d+) MHz, RAM: (?P<ram>\d+) total, (?P<ram_free>\d+) free"),
        ("mac", r"MAC: (?P<mac>(?:[0-9A-Fa-f]{2}:){5}[0-9A-Fa-f]{2})"),
        ("init_done", r"Init done, RAM: (?P<ram>.*)"),
        (
            "i2c_ready",
            r"I2C ?(?P<bus>GPIO|\d+) init ok \(SDA: (?P<sda>\d+), SCL: (?P<scl>\d+), freq: (?P<hz>\d+)\)",
        ),
        (
            "element_found",
            r"A?T?ECC(?P<part>\d{3}[A-Z]?) @ (?:(?P<bus>\d+)/)?0x(?P<address>[0-9A-Fa-f]+): "
            r"rev 0x(?P<revision>[0-9A-Fa-f]+) S/N 0x(?P<serial>[0-9A-Fa-f]+)"
            r"(?:, zone lock status: (?P<config_locked>yes|no), (?P<data_locked>yes|no))?"
            r"(?:; ECDH slots: 0x(?P<ecdh_slots>[0-9A-Fa-f]+))?",
        ),
        (
            "element_absent",
            r"ATCA: (?P<why>Library init failed|Failed to get chip info|Chip is not available).*",
        ),
        ("http_ready", r"HTTP server started on \[(?P<address>[^\]]*)\](?P<tls> \(SSL\))?"),
        ("wifi_ready", r"WiFi STA: ready, IP (?P<ip>[\d.]+)"),
        ("wifi", r"WiFi STA: (?P<state>[a-z]+)"),
        ("mqtt_reconnecting", r"MQTT\d* connecting after (?P<ms>\d+) ms"),
        ("mqtt_connecting", r"MQTT\d* connecting to (?P<endpoint>\S+)"),
        ("tcp_up", r"tcp://(?P<peer>\S+) -> (?P<status>-?\d+)"),
        ("ciphersuite", r"ciphersuite: (?P<name>\S+)"),
        ("verify", r"ATCA ECDSA verify ok, (?P<verdict>.*)"),
        ("ecdh_pubkey", r"ATCA:(?P<slot>\d+) ECDH (?P<how>get|gen) pubkey ok"),
        ("ecdh", r"ATCA:(?P<slot>\d+) ECDH ok"),
        ("sign", r"ATCA:(?P<slot>\d+) ECDSA sign ok"),
        ("element_failed", r"ATCA:(?P<slot>\d+) (?P<what>EC\S+ .*?) ?failed: 0x(?P<status>[0-9A-Fa-f]+)"),
        ("software_ecdh", r"SW ECDH curve (?P<curve>\d+)"),
        ("tls_done", r"MQTT\d* (?:TCP connected ok|TCP connect ok|Connect) \((?P<status>-?\d+)\)"),
        ("connack", r"MQTT\d* CONNACK (?P<code>\d+)"),
        ("subscribed", r"MQTT\d* sub (?P<topic>\S+)"),
        ("mqtt_disconnected", r"MQTT\d* [Dd]isconnected"),
        ("time_not_set", r"Time is not set, not connecting"),
    )
}
"""Kind → pattern, matched at the beginning of a message; the first that fits counts.

An old line ``MQTT Connect (1)`` carries the TLS result; ``tls_done`` means that the TLS handshake
is over, although the firmware's text says TCP. The chip's serial number is printed without leading
zeros of its words, so its length varies.
"""


@lru_cache(maxsize=_REMEMBERED)
def log_event(message: str) -> LogEvent | None:
    """What a message (prefix taken off) says, or None."""
    for kind, pattern in EVENTS.items():
        match = pattern.match(message)
        if match is not None:
            return LogEvent(
                kind, {name: text for name, text in match.groupdict().items() if text is not None}
            )
    return None
