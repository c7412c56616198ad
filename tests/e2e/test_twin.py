"""A part with unusual settings, characterized, approved, compared, and given a twin that answers alike."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from hil.cli import run as hil
from hil.emulator.chip import load_profile
from hil.emulator.mcu import load_costs

SHIPPED = Path(__file__).parents[2] / "rigs"

ODD_608 = {
    "extra_data": "ignore",
    "io_buffer_bytes": 151,
    "address_beyond": 15,
    "unused_address_bits": "parse",
    "nonce_to_buffer": "input",
    "msg_dig_buf_lifetime": "use",
    "secret_source": "rand",
    "temp_key_after_error": "kept",
    "source_after_nonce_calculated": "rand",
    "empty_private_slot": 3,
    "invalid_public_key": 3,
    "gpio_on_i2c": 3,
    "sha_context_header": 40,
    "sign_internal_buffer_bit": "parse",
    "check_mac_authorises": "temp key",
}
HIDDEN = ("read_after_partial_command", "lock_crc_mismatch", "mac_mismatch", "otp_first_words")


def odd_rig(folder: Path, model: str, part: str, knobs: dict[str, object]) -> None:
    """A project with a rig called `odd` whose part has these knobs and lacks a mode."""
    (folder / "rigs" / "chips").mkdir(parents=True)
    profile = {
        "name": "odd",
        "extends": part,
        "revision": "00 00 60 05" if part != "atecc508a" else "00 00 50 01",
        "time_scale": 1.3,
        "knobs": knobs,
        "commands": {"Counter": "00", "Random": "00"},
    }
    (folder / "rigs" / "chips" / "odd.yaml").write_text(yaml.safe_dump(profile), encoding="utf-8")
    text = (SHIPPED / f"{model}.yaml").read_text(encoding="utf-8").replace(model, "odd")
    lines = [line for line in text.splitlines() if "image" not in line and "revision:" not in line]
    rig = "\n".join(lines).replace(f"chip: {part}", "chip: odd")
    (folder / "rigs" / "odd.yaml").write_text(rig + "\n", encoding="utf-8")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HIL_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_an_odd_part_gets_a_twin_whose_every_observable_answer_is_equal(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    odd_rig(project, "emulated-esp32-atecc608b", "atecc608b", ODD_608)
    observe = ("--prepare", "config-locked", "--samples", "5")
    assert hil(["characterize", "odd", "-o", "odd.json", *observe]) == 0
    assert "EMULATED: nothing was measured on silicon" in capsys.readouterr().out

    # A revision that nobody approved is no pass.
    assert hil(["compare", "odd.json"]) == 22
    said = capsys.readouterr().out
    assert "no baseline: nobody has approved one for atecc608b revision 00006005" in said
    assert hil(["baseline", "approve", "odd.json"]) == 11, "somebody has to put a name to it"
    assert hil(["baseline", "approve", "odd.json", "--by", "ada"]) == 0
    assert hil(["baseline", "approve", "odd.json", "--by", "bob"]) == 11, "there is one already"
    assert hil(["compare", "odd.json"]) == 0
    capsys.readouterr()
    assert hil(["baseline", "list"]) == 0
    assert "emulated" in (row := capsys.readouterr().out)
    assert "approved by ada" in row

    assert hil(["twin", "odd", "--from", "odd.json", "--costs", "esp32-240mhz"]) == 0
    said = capsys.readouterr().out
    assert "not reproduced" not in said
    assert "15 knobs settled" in said
    assert hil(["twin", "odd", "--from", "odd.json", "--costs", "esp32-240mhz"]) == 11, "files exist"
    twin = load_profile("odd-twin", project / "rigs" / "chips")
    for name, value in ODD_608.items():
        assert getattr(twin.knobs, name) == value
        assert twin.evidence[name], "each knob has the observation that settled it"
        assert name not in twin.open
    assert set(HIDDEN) <= set(twin.open)
    assert twin.commands["Counter"] == "00/01", "an increment was never asked for"
    assert twin.commands["Random"] == "00", "a mode that always answered 03 is gone"

    assert hil(["characterize", "odd-twin", "-o", "twin.json", *observe]) == 0
    capsys.readouterr()
    assert hil(["compare", "odd.json", "twin.json"]) == 0, capsys.readouterr().out
    assert ", 0 changed, 0 new, 0 missing" in capsys.readouterr().out
    assert hil(["compare", "twin.json"]) == 0, "it is what was approved"
    capsys.readouterr()

    # The comparison can fail: one answer of hundreds is another.
    record = json.loads((project / "twin.json").read_text(encoding="utf-8"))
    record["entries"]["GenKey | ephemeral"] = {"value": "status 0f"}
    del record["entries"]["Counter | read 0001"]
    (project / "other.json").write_text(json.dumps(record), encoding="utf-8")
    assert hil(["compare", "odd.json", "other.json", "--json"]) == 21
    found = json.loads(capsys.readouterr().out)
    assert not found["same"]
    assert found["commands"]["GenKey"]["changed"] == 1
    assert found["commands"]["Counter"]["missing"] == 1
    headings = [meaning["heading"].partition(":")[0] for meaning in found["meanings"]]
    assert headings == ["refused now", "not seen any more"]


@pytest.mark.long
def test_a_twin_learns_the_times_of_its_board_too(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    knobs: dict[str, object] = {"extra_data": "ignore", "gpio_on_i2c": 3, "address_beyond": 15}
    odd_rig(project, "emulated-esp8266-atecc508a", "atecc508a", knobs)
    observe = ("--prepare", "provisioned", "--samples", "29")
    assert hil(["twin", "odd", *observe]) == 0
    said = capsys.readouterr().out
    assert "cost model: odd-twin" in said
    assert "not reproduced" not in said
    costs = load_costs("odd-twin", folder=project / "rigs" / "boards")
    assert str(costs).startswith("odd-twin")
    for rig in ("odd", "odd-twin"):
        assert hil(["characterize", rig, "-o", f"{rig}.json", *observe]) == 0
    capsys.readouterr()
    assert hil(["compare", "odd.json", "odd-twin.json"]) == 0, capsys.readouterr().out
    assert hil(["rigs", "check", "odd-twin"]) == 0, "the rig file is one like any other"
