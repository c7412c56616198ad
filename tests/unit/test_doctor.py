"""``hil doctor``: each step of a bring-up, and where it stops for each thing that can be broken."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from hil.board.features import FEATURES, lacking
from hil.bringup.doctor import STEPS, Finding, Verdict, examine, patient
from hil.clock import Calendar, World
from hil.emulator.benchfaults import BENCH_FAULTS
from hil.emulator.bus import I2CMaster
from hil.errors import RigError
from hil.rigfile import load_rig
from tests.unit.firmware_bench import SERIAL, bench

if TYPE_CHECKING:
    from pathlib import Path

    from hil.rigfile import RigFile

RIG = "emulated-esp8266-atecc508a"
METHODS = [feature.name for feature in FEATURES if not feature.name.endswith(".")]
CONFIG: dict[str, Any] = {"i2c": {}, "sys": {"atca": {}}, "wifi": {}, "mqtt": {}, "http": {}, "sntp": {}}


def examined(file: RigFile, *faults: str, now: float = 1_780_000_000.0) -> list[Finding]:
    with patient(file, Calendar(now), faults=faults) as rig:
        return list(examine(rig))


def last(name: str, *faults: str) -> Finding:
    return examined(load_rig(name), *faults)[-1]


@pytest.mark.parametrize("name", [RIG, "emulated-esp32-atecc608b"])
def test_a_whole_rig_passes_every_step(name: str) -> None:
    found = examined(load_rig(name))
    assert [one.step for one in found] == [step.name for step in STEPS]
    assert {one.verdict for one in found} == {Verdict.GOOD}
    assert found[-1].text.endswith("accepts connections")


def test_a_console_board_is_examined_as_far_as_its_firmware_can_be_asked() -> None:
    found = {one.step: one for one in examined(load_rig("emulated-edukit-trustgo"))}
    assert found["element"].verdict is Verdict.GOOD
    assert "0123e07e0000063501" in found["element"].text
    assert found["scan"].verdict is Verdict.SKIPPED
    assert Verdict.BROKEN not in {one.verdict for one in found.values()}


STOPS = {
    "relay-stuck-on": ("power off", "the contact is welded"),
    "relay-contact-open": ("power on", "NO contact"),
    "serial-garbage": ("power on", "noise on the serial line"),
    "wrong-baud": ("power on", "the baud rate is not 115200"),
    "wrong-board": ("board", "the rig file names 02:e0:7e:00:50:8a"),
    "board-reboots": ("network", "by itself: watchdog"),
    "wrong-address": ("scan", "I2C.Scan found 106"),
    "bus-held-low": ("scan", "something holds it down"),
    "foreign-device": ("scan", "somebody answers at 80"),
    "sda-scl-swapped": ("scan", "SDA and SCL are swapped"),
    "element-unpowered": ("scan", "no power at the element"),
}
UNSEEN = {"ghost-power", "weak-pull-ups"}
"""What a bring-up at 100 kHz cannot see: the suites power and wiring do."""


def test_every_fault_of_a_bench_is_looked_at() -> None:
    assert STOPS.keys() | UNSEEN >= BENCH_FAULTS.keys()


@pytest.mark.parametrize("fault", STOPS)
def test_it_stops_at_the_broken_step_and_says_what_to_check(fault: str) -> None:
    step, words = STOPS[fault]
    finding = last(RIG, fault)
    assert (finding.step, finding.verdict) == (step, Verdict.BROKEN)
    assert words in finding.text
    assert finding.exit_code in (13, 15)


@pytest.mark.parametrize("fault", sorted(UNSEEN))
def test_what_it_cannot_see_does_not_disturb_it(fault: str) -> None:
    assert last(RIG, fault).verdict is Verdict.GOOD


def test_a_wrong_serial_number_is_another_part() -> None:
    file = load_rig(RIG)
    with patient(file, Calendar(1_780_000_000.0)) as rig:
        rig.file = dataclasses.replace(
            file, element=dataclasses.replace(file.element, serial="0123e07e00000999ee")
        )
        finding = list(examine(rig))[-1]
    assert (finding.step, finding.exit_code) == ("element", RigError.exit_code)
    assert "0123e07e00000508ee, the rig file names 0123e07e00000999ee" in finding.text


def test_a_clock_of_another_century_is_told() -> None:
    finding = examined(load_rig(RIG), now=0.0)[-1]
    assert (finding.step, finding.verdict) == ("time", Verdict.BROKEN)
    assert "1970-01-01" in finding.text


@pytest.mark.parametrize(
    ("setting", "value", "words"),
    [
        ("freq", 400_000, "too fast to wake"),
        ("sda_gpio", 4, "the wiring table has SDA on GPIO12"),
    ],
)
def test_a_bus_that_is_set_up_wrongly_is_told_before_the_scan(setting: str, value: int, words: str) -> None:
    with patient(load_rig(RIG), Calendar(1_780_000_000.0)) as rig:
        steps = examine(rig)
        for finding in steps:
            if finding.step == "firmware":
                board = rig.mongoose_board
                assert board is not None
                board.config_set({"i2c": {setting: value}}, reboot=True)
                break
        finding = list(steps)[-1]
    assert (finding.step, finding.verdict) == ("bus", Verdict.BROKEN)
    assert words in finding.text


class Adapter(I2CMaster):
    """Stands for /dev/i2c-1."""

    closed = False

    def close(self) -> None:
        self.closed = True


def test_a_computer_with_the_element_on_its_own_bus_needs_no_board(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "pi.yaml"
    path.write_text(
        "rig: pi\n"
        "bus: {kind: linux, number: 1}\n"
        "power: {kind: command, on_command: 'true', off_command: 'true', settle_ms: 0, minimum_off_ms: 0}\n"
        f"element: {{part: atecc508a, state: blank, serial: {SERIAL.hex()}}}\n"
    )
    monkeypatch.setenv("HIL_HOME", str(tmp_path))
    with World() as world:
        board = bench(world)
        board.chip.power_on()
        world.run_for(1_000)
        master = Adapter(world, board.lines, sda=12, scl=14)
        monkeypatch.setattr("hil.i2c.linux.LinuxI2C", lambda number, clock: master)
        found = {one.step: one for one in examined(load_rig(str(path)))}
    assert master.closed
    good = {step for step, one in found.items() if one.verdict is Verdict.GOOD}
    assert good == {"relay", "bus port", "power on", "wake", "element", "time"}
    assert {one.verdict for one in found.values()} == {Verdict.GOOD, Verdict.SKIPPED}


# -- what firmware lacks -------------------------------------------------------------------------


def test_firmware_with_everything_lacks_nothing() -> None:
    assert lacking(METHODS, CONFIG) == ()


@pytest.mark.parametrize("feature", FEATURES, ids=lambda feature: feature.name)
def test_each_missing_feature_is_named_with_its_library(feature: object) -> None:
    name = getattr(feature, "name", "")
    methods = [method for method in METHODS if method != name]
    config: dict[str, object] = {**CONFIG}
    config.pop(name.rstrip("."), None)
    if name == "sys.atca.":
        config["sys"] = {}
    (missing,) = lacking(methods, config)
    assert missing is feature
    assert f"mongoose-os-libs/{missing.library}`" in missing.remedy


def test_a_board_without_the_bus_service_stops_at_the_firmware() -> None:
    with patient(load_rig(RIG), Calendar(1_780_000_000.0)) as rig:
        assert rig.emulated is not None
        rig.emulated.firmware.app = msgspec.structs.replace(
            rig.emulated.firmware.app, without=frozenset({"rpc-service-i2c", "rpc-service-wifi"})
        )
        finding = list(examine(rig))[-1]
    assert (finding.step, finding.verdict) == ("firmware", Verdict.BROKEN)
    assert "lacks I2C.Scan (the wiring suite): add" in finding.text
    assert "lacks Wifi.SetupSTA" in finding.text
    assert "hil flash" in finding.hint


def test_what_is_not_vital_is_named_and_the_examination_goes_on() -> None:
    with patient(load_rig(RIG), Calendar(1_780_000_000.0)) as rig:
        assert rig.emulated is not None
        rig.emulated.firmware.app = msgspec.structs.replace(
            rig.emulated.firmware.app, without=frozenset({"rpc-service-wifi"})
        )
        found = {one.step: one for one in examine(rig)}
    assert found["firmware"].verdict is Verdict.GOOD
    assert "lacks Wifi.SetupSTA" in found["firmware"].text
    assert found["network"].verdict is Verdict.SKIPPED
