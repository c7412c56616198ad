"""The files of a twin: a rig file for every kind of bench, a profile that says what is known."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import pytest
import yaml

from hil import rigfile
from hil.emulator.chip import load_profile
from hil.emulator.chip.knobs import Knobs
from hil.emulator.chip.profile import merged_profile, parse_profile
from hil.errors import ConfigError
from hil.records.baseline import Baseline
from hil.silicon.characterize import characterize
from hil.silicon.fit import fit, settings
from hil.silicon.twin import profile_text, rig_text, twin_name
from tests.unit.silicon_bench import Bench

if TYPE_CHECKING:
    from pathlib import Path

EXAMPLES = sorted(
    name for name in rigfile.list_rigs([rigfile.shipped_folder()]) if "bench" in name or "pi" in name
)


@pytest.mark.parametrize("name", EXAMPLES)
def test_every_example_bench_gets_a_twin_that_loads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("HIL_WIFI_PASSWORD", "a test password")
    file = rigfile.load(rigfile.shipped_folder() / f"{name}.yaml")
    path = tmp_path / f"{twin_name(file.rig)}.yaml"
    path.write_text(rig_text(file, file.element.part, "esp32-240mhz"), encoding="utf-8")
    twin = rigfile.load(path)
    assert twin.emulated
    assert twin.element.serial is not None
    assert twin.element.serial.startswith("0123e07e"), "an emulated part never has a physical one's number"
    assert twin.element.serial != file.element.serial
    assert (twin.element.part, twin.element.address) == (file.element.part, file.element.address)
    assert "password" not in path.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> str:
    with Bench(tmp_path_factory.mktemp("part"), "atecc508a", "config-locked", expendable=True) as bench:
        seen = characterize(bench.subject, samples=8, irreversible=True)
    entries = {**seen.observed.entries, "Info | mode 05": "00000000", "PrivWrite | wrong MAC": "status 01"}
    entries["Write | secret slot, wrong MAC"] = entries["Write | clear slot, wrong MAC"] = "status 01"
    observed = dataclasses.replace(seen.observed, entries=entries)
    assert isinstance(observed, Baseline)
    changed = dataclasses.replace(seen, observed=observed, wake_us=(40.0, 30.0))
    return profile_text("a-twin", changed, fit(changed))


def test_the_profile_names_what_no_knob_explains(text: str) -> None:
    head = text.partition("\nname:")[0]
    assert "No setting of any knob reproduces:" in head
    assert "Info | mode 05: 00000000" in head
    assert "Times taken over" in head


def test_the_profile_has_times_watchdog_and_wake_threshold_as_observed(text: str) -> None:
    profile = parse_profile(merged_profile(yaml.safe_load(text)), where="a-twin")
    sign = profile.times.commands["Sign"]
    assert 40_000 < sign.typical < 46_000 < sign.maximum[0] < 56_000
    assert "8 executions" in sign.note
    assert abs(profile.watchdog.typical - 1_300_000) < 20_000
    assert profile.wake.threshold_us == 35
    assert profile.times.commands["Info"] == load_profile("atecc508a").times.commands["Info"]
    assert "EMULATED part: still a prediction" in profile.source


def test_an_expendable_part_settles_what_only_writes_show(text: str) -> None:
    profile = parse_profile(merged_profile(yaml.safe_load(text)), where="a-twin")
    assert profile.knobs.mac_mismatch == 0x01
    assert "wrong MAC: status 01" in profile.evidence["mac_mismatch"]
    assert "mac_mismatch" not in profile.open
    assert "lock_crc_mismatch" in profile.open, "locks are not tried"


def test_every_knob_has_settings_that_are_tried() -> None:
    for name in Knobs.__struct_fields__:
        values = settings(name)
        assert getattr(Knobs(), name) in values
        assert len(values) > 1 or name in ("use_lock", "ecc_fault_per_million")


def test_a_project_has_profiles_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("name: mine\nextends: atecc608b\nrevision: 00 00 60 09\n")
    (tmp_path / "self.yaml").write_text("name: self\nextends: self\n")
    (tmp_path / "broken.yaml").write_text("name: [\n")
    assert load_profile("mine", tmp_path).revision_bytes == bytes.fromhex("00006009")
    with pytest.raises(ConfigError, match="no chip profile 'mine'"):
        load_profile("mine")
    with pytest.raises(ConfigError, match="extends itself"):
        load_profile("self", tmp_path)
    with pytest.raises(ConfigError, match=r"chips/broken\.yaml"):
        load_profile("broken", tmp_path)
