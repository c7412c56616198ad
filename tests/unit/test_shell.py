"""What ``hil element shell`` hands out, and which prompt it asks with."""

from __future__ import annotations

import importlib.util
import io
import sys
from types import ModuleType
from typing import Any

import pytest

from hil.cloud.recipe import board_recipe
from hil.shell import AtHand, interact, run_code

AT_HAND = AtHand({"element": "the element"}, "what is there")


def pretend_ipython(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    calls: list[dict[str, Any]] = []
    module = ModuleType("IPython")
    module.__dict__["start_ipython"] = lambda **options: calls.append(options)
    monkeypatch.setitem(sys.modules, "IPython", module)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object() if name == "IPython" else None)
    return calls


def test_ipython_asks_a_person_if_it_is_installed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    calls = pretend_ipython(monkeypatch)
    interact(AT_HAND, interactive=True)
    assert [call["user_ns"] for call in calls] == [AT_HAND.values]
    assert capsys.readouterr().out == "what is there\n"


@pytest.mark.parametrize("installed", [True, False])
def test_without_a_person_or_without_ipython_pythons_own_prompt_asks(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], installed: bool
) -> None:
    calls = pretend_ipython(monkeypatch)
    if not installed:
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr("sys.stdin", io.StringIO("element.upper()\n"))
    interact(AT_HAND, interactive=not installed)
    out, err = capsys.readouterr()
    assert "THE ELEMENT" in out
    assert err.startswith("what is there")
    assert calls == []


def test_code_that_is_given_sees_the_names_and_its_error_is_raised() -> None:
    values = dict(AT_HAND.values)
    run_code("length = len(element)", values)
    assert values["length"] == 11
    with pytest.raises(ZeroDivisionError):
        run_code("1 / 0", values)


def test_the_recipe_names_every_setting_of_the_board() -> None:
    text = board_recipe("bench.example:8883", aws_host="abc-ats.iot.us-east-1.amazonaws.com")
    for part in (
        "mos put ca.pem",
        "register-certificate-without-ca",
        "mqtt.server=bench.example:8883",
        "mqtt.ssl_ca_cert=ca.pem",
        "mqtt.ssl_cert=device.crt.pem",
        "mqtt.ssl_key=ATCA:0",
        "abc-ats.iot.us-east-1.amazonaws.com",
    ):
        assert part in text
