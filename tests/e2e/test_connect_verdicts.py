"""What a study of a rig's connections says of it, when its element or its board is not what it should be."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from hil import rigfile
from hil.clock import Calendar
from hil.connecttime.record import as_test
from hil.connecttime.sampler import Sampler
from hil.connecttime.scenario import SCENARIOS, Case
from hil.connecttime.study import study
from hil.errors import RigError
from hil.measure.statistics import Standing
from hil.measure.verdict import Verdict
from hil.records.header import new_run
from hil.records.rebuild import load_run
from hil.rig.opening import open_rig

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from hil.rig.rig import Rig

ESP8266, ESP32 = "emulated-esp8266-atecc508a", "emulated-esp32-atecc608b"
CLAIM = Case(SCENARIOS["element"], "1.2")


@contextmanager
def opened(folder: Path, name: str, *, chip: str | None = None) -> Iterator[Rig]:
    calendar = Calendar()
    file = rigfile.load_rig(name)
    assert file.emulation is not None
    if chip is not None:
        file = replace(file, emulation=replace(file.emulation, chip=chip))
    with new_run(folder / "runs", calendar) as journal:
        rig = open_rig(file, faults=(), allow_irreversible=frozenset(), journal=journal, calendar=calendar)
        try:
            yield rig
        finally:
            rig.close()


def test_a_next_chip_that_is_slower_than_its_maximum_gets_a_verdict_and_no_time_out(tmp_path: Path) -> None:
    """A revision that nobody has seen, 1.6 times slower: every connection succeeds, the run says what is."""
    with opened(tmp_path, ESP32, chip="atecc608-next") as rig:
        sampler = Sampler(rig)
        one = as_test(rig, CLAIM, lambda: study(sampler, CLAIM, 5))
        folder = rig.journal.folder
    assert len(one.sampled.connections) == 5
    said = [finding.text for finding in one.findings]
    assert [finding.phase for finding in one.findings] == ["element"] * len(said)
    assert any(text.startswith("element-sign took") for text in said)
    assert all("the element is slower than its data sheet" in text for text in said)
    (test,) = load_run(folder).tests
    assert test.verdict is Verdict.FAIL
    assert "slower than its data sheet" in test.reason


def test_a_board_that_agrees_on_another_version_than_its_rig_file_says_is_a_rig_error(tmp_path: Path) -> None:
    with opened(tmp_path, ESP8266) as rig:
        sampler = Sampler(rig)
        sampler.prepare(CLAIM)
        assert rig.emulated is not None
        rig.emulated.firmware.tls_versions = ("1.3",)
        with pytest.raises(RigError, match=r"agreed on TLSv1\.3, not on TLS 1\.2"):
            sampler.take(1, "power-on")


def test_a_serial_line_that_is_slower_than_the_tolerance_is_a_rig_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The console prints the CONNACK late: nobody can say which clock is right."""
    with opened(tmp_path, ESP8266) as rig:
        rig.file = replace(rig.file, connect=replace(rig.file.connect, tolerance_ms=1))
        sampler = Sampler(rig)
        sampler.prepare(CLAIM)
        monkeypatch.setattr(type(rig.cloud.mqtt), "offset_us", -20_000)
        with pytest.raises(RigError, match=r"the CONNACK at the console .* is 2\d\.\d ms, expected 0 to 5 "):
            sampler.take(1, "power-on")


def test_the_same_seed_gives_the_same_sample_and_its_values_differ(tmp_path: Path) -> None:
    """Keys, signatures and certificates are new each time; nothing of them shows in the times."""
    samples = []
    for attempt in ("one", "two"):
        with opened(tmp_path / attempt, ESP8266) as rig:
            sampler = Sampler(rig)
            sampler.prepare(CLAIM)
            samples.append(sampler.take(6).sample.values)
    assert samples[0] == samples[1]
    assert len(set(samples[0])) == 6


def test_times_that_are_not_drawn_claim_nothing(tmp_path: Path) -> None:
    with opened(tmp_path, ESP8266) as rig:
        assert rig.emulated is not None
        rig.emulated._emulation = replace(rig.emulated._emulation, draw="typical")
        sampler = Sampler(rig)
        sampler.prepare(CLAIM)
        sampled = sampler.take(6, "power-on")
        assert sampled.deterministic
        one = study(sampler, CLAIM, 6, picture=False)
        again = study(sampler, CLAIM, 1, start="power-on", picture=False).to_json()
    assert 5_000 < again["power_on_to_connack"]["median"] < 20_000
    assert again["power_on_to_connack"]["median"] > again["median"]
    assert one.claim is not None
    assert one.claim.standing is Standing.NOT_SHOWN
    assert one.to_json()["independent"] == 1
