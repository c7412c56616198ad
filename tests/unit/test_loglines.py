from __future__ import annotations

import pytest

from hil.wire.loglines import EVENTS, LogLine, log_event, parse_line


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (
            "mgos_i2c_gpio_maste:248 I2C GPIO init ok (SDA: 12, SCL: 14, freq: 100000)",
            LogLine("I2C GPIO init ok (SDA: 12, SCL: 14, freq: 100000)", "mgos_i2c_gpio_maste:248"),
        ),
        ("mgos_init:36            Init done", LogLine("Init done", "mgos_init:36")),
        (
            "mgos_mqtt_global_con MQTT connecting to a.b:8883",
            LogLine("MQTT connecting to a.b:8883", "mgos_mqtt_global_con"),
        ),
        (
            "[Feb 22 22:48:24.367] mgos_mqtt_conn:117      MQTT0 CONNACK 0",
            LogLine("MQTT0 CONNACK 0", "mgos_mqtt_conn:117", host_stamp="Feb 22 22:48:24.367"),
        ),
        (
            "[Mar  2 01:02:03.004] ATCA:0 ECDSA sign ok",
            LogLine("ATCA:0 ECDSA sign ok", host_stamp="Mar  2 01:02:03.004"),
        ),
        (
            "\x1b[0;32mI (5123) esp-tls: handshake done\x1b[0m",
            LogLine("handshake done", "esp-tls", "I", 5123),
        ),
        ("W (9) wifi:sta: x", LogLine("W (9) wifi:sta: x")),
        ("ATCA:3 ECDH get pubkey ok", LogLine("ATCA:3 ECDH get pubkey ok")),
        ("Mongoose OS 2.20.0 (20230313)", LogLine("Mongoose OS 2.20.0 (20230313)")),
        ("\ufffd\ufffdx\ufffdMAC: 5c:cf:7f:a1:b2:c3", LogLine("MAC: 5c:cf:7f:a1:b2:c3")),
        ("", LogLine("")),
    ],
)
def test_prefixes_are_taken_off(text: str, line: LogLine) -> None:
    assert parse_line(text) == line


@pytest.mark.parametrize(
    ("message", "kind", "fields"),
    [
        ("Mongoose OS 2.20.0 (20230313-1)", "firmware", {"version": "2.20.0", "build": "20230313-1"}),
        (
            "CPU: ESP8266EX, 80 MHz, RAM: 51336 total, 41288 free",
            "cpu",
            {"cpu": "ESP8266EX", "mhz": "80", "ram": "51336", "ram_free": "41288"},
        ),
        ("MAC: 5c:cf:7f:a1:b2:c3", "mac", {"mac": "5c:cf:7f:a1:b2:c3"}),
        (
            "I2C GPIO init ok (SDA: 12, SCL: 14, freq: 100000)",
            "i2c_ready",
            {"bus": "GPIO", "sda": "12", "scl": "14", "hz": "100000"},
        ),
        (
            "I2C0 init ok (SDA: 32, SCL: 33, freq: 100000)",
            "i2c_ready",
            {"bus": "0", "sda": "32", "scl": "33", "hz": "100000"},
        ),
        (
            "ATECC508A @ 0/0x60: rev 0x5000 S/N 0x1233bd44dfc6509ee, zone lock status: yes, no; "
            "ECDH slots: 0x0c",
            "element_found",
            {
                "part": "508A",
                "bus": "0",
                "address": "60",
                "revision": "5000",
                "serial": "1233bd44dfc6509ee",
                "config_locked": "yes",
                "data_locked": "no",
                "ecdh_slots": "0c",
            },
        ),
        (
            "AECC508A @ 0x60: rev 0x5000 S/N 0x1233bd44dfc6509ee",
            "element_found",
            {"part": "508A", "address": "60", "revision": "5000", "serial": "1233bd44dfc6509ee"},
        ),
        ("ATCA: Failed to get chip info (0/0x60)", "element_absent", {"why": "Failed to get chip info"}),
        ("HTTP server started on [443] (SSL)", "http_ready", {"address": "443", "tls": " (SSL)"}),
        ("HTTP server started on [80]", "http_ready", {"address": "80"}),
        ("WiFi STA: ready, IP 192.168.1.7, GW 192.168.1.1, DNS 1.1.1.1", "wifi_ready", {"ip": "192.168.1.7"}),
        ("WiFi STA: connecting", "wifi", {"state": "connecting"}),
        ("MQTT0 connecting to a.b:8883", "mqtt_connecting", {"endpoint": "a.b:8883"}),
        ("MQTT connecting to a.b:8883", "mqtt_connecting", {"endpoint": "a.b:8883"}),
        ("MQTT0 connecting after 2011 ms", "mqtt_reconnecting", {"ms": "2011"}),
        ("tcp://1.2.3.4:8883 -> 0", "tcp_up", {"peer": "1.2.3.4:8883", "status": "0"}),
        ("ATCA:3 ECDH get pubkey ok", "ecdh_pubkey", {"slot": "3", "how": "get"}),
        ("ATCA:16 ECDH gen pubkey ok", "ecdh_pubkey", {"slot": "16", "how": "gen"}),
        ("ATCA:3 ECDH ok", "ecdh", {"slot": "3"}),
        ("ATCA:0 ECDSA sign ok", "sign", {"slot": "0"}),
        (
            "ATCA:0 ECDSA sign failed: 0xf4",
            "element_failed",
            {"slot": "0", "what": "ECDSA sign", "status": "f4"},
        ),
        ("SW ECDH curve 3", "software_ecdh", {"curve": "3"}),
        ("MQTT0 TCP connected ok (0)", "tls_done", {"status": "0"}),
        ("MQTT TCP connect ok (0)", "tls_done", {"status": "0"}),
        ("MQTT Connect (1)", "tls_done", {"status": "1"}),
        ("MQTT0 CONNACK 5", "connack", {"code": "5"}),
        ("MQTT0 disconnected", "mqtt_disconnected", {}),
    ],
)
def test_lines_that_mean_something(message: str, kind: str, fields: dict[str, str]) -> None:
    event = log_event(message)
    assert event is not None
    assert (event.kind, dict(event.fields)) == (kind, fields)


@pytest.mark.parametrize("message", ["", "hello", "the MQTT0 CONNACK 0", "SDK 2.2; flash: 4M"])
def test_other_lines_mean_nothing(message: str) -> None:
    assert log_event(message) is None


def test_every_kind_has_a_pattern_that_does_not_match_everything() -> None:
    assert [kind for kind, pattern in EVENTS.items() if pattern.match("")] == []
