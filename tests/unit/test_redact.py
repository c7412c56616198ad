from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from hil.wire.redact import MASK, redact_frame

if TYPE_CHECKING:
    from collections.abc import Mapping

KEY = "dGVzdCBrZXksIHRlc3Qga2V5LCB0ZXN0IGtleSEhIS4="


def redacted(frame: Mapping[str, object]) -> dict[str, object]:
    clean = json.loads(redact_frame(json.dumps(frame).encode()))
    assert isinstance(clean, dict)
    return clean


def test_slot_key_and_write_key_are_masked_and_the_rest_stays() -> None:
    frame = {"id": 1, "method": "ATCA.SetKey", "params": {"slot": 0, "ecc": True, "key": KEY, "wkey": KEY}}
    assert redacted(frame) == {
        "id": 1,
        "method": "ATCA.SetKey",
        "params": {"slot": 0, "ecc": True, "key": MASK, "wkey": MASK},
    }


def test_passwords_in_a_configuration_are_masked_both_ways() -> None:
    config = {"wifi": {"sta": {"ssid": "lab", "pass": "test-secret"}}, "mqtt": {"ssl_key": "ATCA:0"}}
    masked = {"wifi": {"sta": {"ssid": "lab", "pass": MASK}}, "mqtt": {"ssl_key": "ATCA:0"}}
    assert redacted({"method": "Config.Set", "params": {"config": config}})["params"] == {"config": masked}
    assert redacted({"id": 1, "result": config})["result"] == masked


def test_a_configuration_path_is_no_secret_but_its_value_may_be() -> None:
    path = {"method": "Config.Get", "params": {"key": "wifi.sta.pass"}}
    assert redacted(path) == path
    frame = {"method": "Config.Set", "params": {"key": "wifi.sta.pass", "value": "test-secret"}}
    assert redacted(frame)["params"] == {"key": "wifi.sta.pass", "value": MASK}


def test_file_content_is_masked_in_both_directions() -> None:
    put = {"method": "FS.Put", "params": {"filename": "k.pem", "data": KEY}}
    assert redacted(put)["params"] == {"filename": "k.pem", "data": MASK}
    assert redacted({"id": 1, "result": {"data": KEY, "left": 0}})["result"] == {"data": MASK, "left": 0}


@pytest.mark.parametrize(
    ("packet", "secret"),
    [
        ("032746400000" + "00" * 10, True),
        ("0327128200000000", True),
        ("0327168300000000", True),
        ("0327160300000000", False),
        ("0307128000000000", False),
        ("03073000000003 5d".replace(" ", ""), False),
    ],
)
def test_raw_bus_writes_that_carry_a_slots_content_are_masked(packet: str, secret: bool) -> None:
    frame = {"method": "I2C.Write", "params": {"addr": 96, "data_hex": packet}}
    assert redacted(frame)["params"] == {"addr": 96, "data_hex": MASK if secret else packet}


@pytest.mark.parametrize(
    ("answer", "secret"),
    [("04113343", False), ("07000060028038", False), ("23" + "5a" * 34, True), ("04" + "5a" * 34, True)],
)
def test_a_raw_bus_read_that_may_be_an_agreed_key_is_masked(answer: str, secret: bool) -> None:
    frame = {"id": 1, "result": {"data_hex": answer}}
    assert redacted(frame)["result"] == {"data_hex": MASK if secret else answer}


def test_a_frame_without_secrets_is_the_same_object() -> None:
    frame = b'{"id":1,"result":{"data_hex":"0411","data":"AA=="}}'
    assert redact_frame(frame) is frame


def test_the_frames_own_key_is_masked() -> None:
    assert redacted({"method": "Sys.GetInfo", "key": "test"})["key"] == MASK


def test_a_torn_frame_loses_the_string_behind_a_suspicious_name() -> None:
    torn = b'{"method":"ATCA.SetKey","params":{"wkey":"' + KEY.encode()[:20]
    assert redact_frame(torn) == b'{"method":"ATCA.SetKey","params":{"wkey":"' + MASK.encode() + b'"'
