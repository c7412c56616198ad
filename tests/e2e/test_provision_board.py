"""The board's part of a plan: files and settings, told, set, read back, and left alone the second time."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from hil.errors import ConfigError
from hil.provision.board import QUIET_FILE
from hil.provision.flow import preview, provision
from hil.provision.plan import Https, Mqtt, Plan
from hil.rig.oneshot import one_rig

if TYPE_CHECKING:
    from pathlib import Path

    from hil.rig.rig import Rig

RIG = "emulated-esp8266-atecc508a"


def settings(rig: Rig, *names: str) -> list[Any]:
    found: list[Any] = []
    for name in names:
        node: Any = rig.booted_board().config_get()
        for part in name.split("."):
            node = node[part]
        found.append(node)
    return found


def test_files_and_settings_are_told_set_and_left_alone_the_second_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HIL_HOME", str(tmp_path / "home"))
    (tmp_path / "roots.pem").write_bytes(b"-----BEGIN CERTIFICATE-----\n")
    mqtt = Mqtt(server="broker.invalid:8883", roots="roots.pem", client_id="board-7")
    plan = Plan(folder=tmp_path, https=Https(listen=":8443"), mqtt=mqtt, upload="mine.pem", wifi=False)
    with one_rig(RIG) as rig:
        lost = replace(plan, mqtt=replace(mqtt, roots="absent.pem"))
        with pytest.raises(ConfigError, match=r"the roots .*absent\.pem cannot be read"):
            provision(rig, lost)
        assert not rig.element.lock_state().config, "the element was locked for a plan that lacks a file"
        assert [path.name for path in tmp_path.iterdir() if path.name != "home"] == ["roots.pem"]
        shown = preview(rig, plan).board
        assert shown["files on the board"] == "upload mine.pem, ca.pem"
        for words in ("http.listen_addr=:8443", "mqtt.server=broker.invalid:8883", "mqtt.client_id=board-7"):
            assert words in shown["settings of the board"]
        assert "wifi" not in shown["settings of the board"]
        outcome = provision(rig, plan)
        assert [result.done for result in outcome.results] == [True] * 5 + [False, True, True]
        board = rig.booted_board()
        assert board.fs_get("mine.pem") == outcome.identity.certificate
        assert board.fs_get("ca.pem") == b"-----BEGIN CERTIFICATE-----\n"
        names = ("http.ssl_cert", "http.ssl_key", "mqtt.ssl_key", "mqtt.ssl_cert", "wifi.sta.enable")
        assert settings(rig, *names) == ["mine.pem", "ATCA:0", "ATCA:0", "mine.pem", False]
        assert not provision(rig, plan).changed
        # Somebody changes one thing by hand: that is what is missing then.
        rig.configure({"http": {"ssl_key": "other.key"}})
        assert list(preview(rig, plan).board) == ["settings of the board"]
        again = provision(rig, plan)
        assert [result.step for result in again.results if result.done] == ["settings of the board"]
        assert settings(rig, "http.ssl_key") == ["ATCA:0"]


def test_an_mqtt_client_that_a_killed_process_left_off_is_switched_on_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HIL_HOME", str(tmp_path / "home"))
    plan = Plan(folder=tmp_path, wifi=False)
    with one_rig(RIG) as rig:
        rig.configure({"mqtt": {"enable": True, "server": "broker.invalid:8883"}})
        assert provision(rig, plan).changed
        assert settings(rig, "mqtt.enable") == [True]
        assert QUIET_FILE not in rig.booted_board().fs_list()
        rig.booted_board().fs_put(QUIET_FILE, b"as a process leaves it that is killed meanwhile\n")
        rig.configure({"mqtt": {"enable": False}})
        assert not provision(rig, plan).changed
        assert settings(rig, "mqtt.enable") == [True]
        assert QUIET_FILE not in rig.booted_board().fs_list()
