"""A characterization harms nothing: the part's own log and memory say so, not our intentions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from hil.errors import DeviceError, GuardRefusal
from hil.guard.slotrules import SlotRules, classify_on
from hil.silicon.characterize import characterize
from tests.unit.silicon_bench import Bench

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.silicon_bench import Stage


def irreversible_in_log(bench: Bench) -> list[str]:
    rules = SlotRules.of(bytes(bench.memory.config))
    executed = [line.command for line in bench.chip.log if line.command is not None]
    return [f"{command}" for command in executed if classify_on(command, rules) is not None]


@pytest.mark.parametrize("part", ["atecc508a", "atecc608a"])
@pytest.mark.parametrize("stage", ["blank", "config-locked", "provisioned"])
def test_nothing_irreversible_reaches_a_part_and_its_memory_stays(
    tmp_path: Path, part: str, stage: Stage
) -> None:
    with Bench(tmp_path, part, stage) as bench:
        before = bench.nonvolatile()
        seen = characterize(bench.subject, samples=5)
        assert irreversible_in_log(bench) == []
        assert bench.nonvolatile() == before
        assert len(bench.chip.log) > 1_000, "it was really asked"
    assert seen.state == stage
    constant = seen.observed.entries["Random | statistics"] != "as random as it looks"
    assert constant is (stage == "blank"), "an open configuration zone has a constant for a generator"
    assert "Irreversible" in seen.observed.unobservable
    assert not list((tmp_path / "ledger").glob("**/*.jsonl")), "nothing was even intended"


def test_a_key_that_counts_its_uses_is_not_used(tmp_path: Path) -> None:
    with Bench(tmp_path, "atecc508a") as bench:
        for slot in range(16):
            bench.memory.config[20 + 2 * slot] |= 0x20
        bench.memory.set_config(96, b"\x33\x00" * 4)
        bench.memory.lock_config()
        bench.guard.learn(bytes(bench.memory.config))
        before = bench.nonvolatile()
        seen = characterize(bench.subject, samples=5)
        assert bench.nonvolatile() == before
    assert seen.observed.unobservable["private slot"].startswith("the configuration has no slot")


def test_the_irreversible_set_is_refused_on_a_part_that_must_not_be_used_up(tmp_path: Path) -> None:
    with Bench(tmp_path, "atecc608a") as bench:
        before = bench.nonvolatile()
        with pytest.raises(GuardRefusal, match="expendable"):
            characterize(bench.subject, samples=5, irreversible=True)
        assert irreversible_in_log(bench) == []
        assert bench.nonvolatile() == before


def test_an_expendable_part_shows_what_changes_it_for_good_too(tmp_path: Path) -> None:
    with Bench(tmp_path, "atecc608a", "config-locked", expendable=True) as bench:
        before = bench.nonvolatile()
        seen = characterize(bench.subject, samples=5, irreversible=True)
        assert irreversible_in_log(bench)
        assert bench.nonvolatile() != before
    entries = seen.observed.entries
    assert entries["Counter | increment 0"] == "4 bytes"
    assert entries["UpdateExtra | byte 84"] == "ok"
    assert entries["UpdateExtra | byte 84, a second time"] == "status 0f"
    assert entries["Write | config word, unchanged"] == "status 0f"
    assert entries["PrivWrite | wrong MAC"] == "status 0f"
    assert entries["GenKey | create"] == "64 bytes"
    assert entries["Opcode 03 | no data"] == "status 03"
    assert seen.irreversible
    files = [path for path in (tmp_path / "ledger").glob("**/*") if path.is_file()]
    intents = [line for path in files for line in path.read_text(encoding="utf-8").splitlines()]
    assert len(intents) > 200, "each operation was intended and concluded in the ledger"


def test_a_configuration_that_changes_meanwhile_is_an_error(tmp_path: Path) -> None:
    with Bench(tmp_path, "atecc508a") as bench:

        def meddle(what: str) -> None:
            if what == "Watchdog":
                bench.memory.config[92] = 0x55

        with pytest.raises(DeviceError, match="not as it was before: bytes 92"):
            characterize(bench.subject, samples=5, progress=meddle)


def test_what_comes_of_a_slots_key_is_not_in_the_record(tmp_path: Path) -> None:
    """MACs, shared secrets, derived keys: their lengths are kept, never their bytes."""
    with Bench(tmp_path, "atecc608a", "config-locked") as bench:
        seen = characterize(bench.subject, samples=5)
    for group in ("ECDH", "MAC", "Sign", "GenKey", "HMAC"):
        rows = {k: v for k, v in seen.observed.entries.items() if k.startswith(f"{group} | ")}
        assert all(not isinstance(value, str) or len(value) < 50 for value in rows.values()), (
            "no answer is kept byte by byte"
        )
    for key, value in seen.observed.entries.items():
        if " slot" in key and isinstance(value, str) and key.startswith(("AES", "KDF")):
            assert value.endswith(" bytes") or not value.isalnum(), (key, value)
    assert seen.config[2:4] + seen.config[8:12] == bytes(6), "the serial number is masked"
