"""A box of parts: bad ones never stop it, and every part has one record."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from hil.errors import UsageError
from hil.provision.batch import DIGITS, Batch
from hil.provision.flow import preview, provision
from hil.provision.plan import Plan, PrivateKey
from hil.rig.oneshot import one_rig

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from hil.emulator.chip import Chip, Memory
    from hil.rig.rig import Rig

RIG = "emulated-esp8266-atecc508a"


@pytest.fixture
def stand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Rig]:
    monkeypatch.setenv("HIL_HOME", str(tmp_path / "home"))
    with one_rig(RIG) as opened:
        yield opened


class Operator:
    """Somebody with a box of parts in front of the bench.

    Args:
        rig: the bench.
        box: what is done to each part while the power is off; None puts the first part in again.
        answers: to the question for each part's number; ``Y`` types its last digits.
    """

    def __init__(self, rig: Rig, box: list[Callable[[Chip], None] | None], answers: list[str]) -> None:
        assert rig.emulated is not None
        self.emulated = rig.emulated
        self.box, self.answers = list(box), list(answers)
        self.memories: list[Memory] = []
        self.said: list[str] = []
        self.off_when_asked: list[bool] = []
        self._insert = rig.emulated.insert
        rig.emulated.insert = self.insert  # type: ignore[method-assign]

    def insert(self, memory: Memory) -> None:
        change = self.box.pop(0)
        if change is None:
            memory = self.memories[0]
        self._insert(memory)
        self.memories.append(memory)
        if change is not None:
            change(self.emulated.element.chip)

    def ask(self, question: str) -> str:
        self.said.append(question)
        if "insert it" in question:
            self.off_when_asked.append(not self.emulated.element.powered)
            return "" if self.box else "q"
        answer = self.answers.pop(0)
        return question.split(" of ")[1][:18][-DIGITS:] if answer == "Y" else answer


def good(chip: Chip) -> None:
    """As it came from the factory."""


def dead(chip: Chip) -> None:
    chip.faults.add("nack", times=1_000_000)


def foreign(chip: Chip) -> None:
    chip.memory.lock_config()  # with the factory's configuration


def sick(chip: Chip) -> None:
    chip.faults.add("status-05", times=1_000_000)


def records(folder: Path) -> dict[str, dict[str, Any]]:
    return {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in folder.glob("*.json")}


def test_a_bad_part_never_stops_the_box_and_every_part_has_one_record(stand: Rig, tmp_path: Path) -> None:
    before = stand.guard.policy
    box = [good, dead, foreign, good, sick, good, None]
    operator = Operator(stand, [*box], ["Y", "Y", "s", "nonsense", "Y", "Y"])
    plan = Plan(folder=tmp_path / "files", https=None, upload=None)
    batch = Batch(stand, plan, tmp_path / "records", operator.ask, operator.said.append)
    batch.run()
    assert batch.verdicts == {"done": 2, "failed": 3, "skipped": 1, "unchanged": 1}
    assert operator.said[-1] == "7 parts: 2 done, 3 failed, 1 skipped, 1 unchanged"
    assert all(operator.off_when_asked), "a part was to be changed with the power on"
    assert stand.guard.policy == before, "the policy of the last part is still in force"
    found = records(tmp_path / "records")
    serials = [memory.serial.hex() for memory in operator.memories]
    unread = [name for name in found if name not in serials]
    assert len(unread) == 2
    assert set(found) - {*unread} == {*serials} - {serials[1], serials[4]}
    verdicts = [found[serial]["verdict"] if serial in found else "unread" for serial in serials]
    assert verdicts == ["unchanged", "unread", "failed", "skipped", "unread", "done", "unchanged"]
    assert all(found[name]["verdict"] == "failed" and found[name]["error"] for name in unread)
    # What a record says.
    first = found[serials[0]]
    assert first["emulated"] is True
    assert [attempt["verdict"] for attempt in first["earlier"]] == ["done"]
    assert first["earlier"][0]["public_key"] == first["public_key"]
    assert "locked with another configuration" in found[serials[2]]["error"]
    done = found[serials[5]]
    assert [step["step"] for step in done["steps"]][:2] == [
        "write the configuration",
        "lock the configuration",
    ]
    key = operator.memories[5].public_key(0)
    assert key is not None
    assert key.hex() == done["public_key"]
    # Every part has a key of its own, and what failed or was skipped is as it was.
    keys = {memory.public_key(0) for memory in (operator.memories[0], operator.memories[5])}
    assert len(keys) == 2
    assert not operator.memories[3].config_locked
    assert operator.memories[3].public_key(0) is None
    said = "\n".join(operator.said)
    assert f"element {serials[0]} of {RIG}, EMULATED: ATECC508A revision 00005000, configuration open" in said
    assert "'nonsense' is not" in said
    assert "was here before: done" in said


def test_q_ends_the_box_before_anything_is_done_to_the_part(stand: Rig, tmp_path: Path) -> None:
    operator = Operator(stand, [good, good], ["q"])
    batch = Batch(
        stand, Plan(folder=tmp_path, https=None), tmp_path / "r", operator.ask, operator.said.append
    )
    batch.run()
    assert operator.said[-1] == "0 parts: none"
    assert not operator.memories[0].config_locked
    assert list((tmp_path / "r").iterdir()) == []


def test_a_plan_that_gives_every_part_the_same_key_is_refused(stand: Rig, tmp_path: Path) -> None:
    plan = Plan(folder=tmp_path, key=PrivateKey(file="one-for-all.pem"))
    with pytest.raises(UsageError, match=r"every part of the box would get the same one-for-all\.pem"):
        Batch(stand, plan, tmp_path / "records", lambda question: "q", print)
    assert not (tmp_path / "records").exists()


def test_a_damaged_record_is_kept_and_stops_nothing(stand: Rig, tmp_path: Path) -> None:
    operator = Operator(stand, [good], ["s"])
    batch = Batch(stand, Plan(folder=tmp_path), tmp_path / "records", operator.ask, operator.said.append)
    serial = next_serial(stand)
    damaged = tmp_path / "records" / f"{serial}.json"
    damaged.write_text("{", encoding="utf-8")
    batch.run()
    assert damaged.read_text(encoding="utf-8") == "{"
    assert batch.verdicts == {"failed": 1}
    assert len(list((tmp_path / "records").glob(f"{serial}-*.json"))) == 1


def next_serial(rig: Rig) -> str:
    """Serial number of the part that comes next."""
    emulated = rig.emulated
    assert emulated is not None
    memory = emulated.new_memory()
    emulated.new_memory = lambda: memory  # type: ignore[method-assign]
    return memory.serial.hex()


def test_what_a_plan_allows_by_name_is_forgotten_behind_it(stand: Rig, tmp_path: Path) -> None:
    before = stand.guard.policy
    plan = Plan(folder=tmp_path, https=None, upload=None, exceptions=("lock-data-without-crc",))
    shown = preview(stand, plan)
    assert "without a checksum, which the plan allows by name" in "\n".join(shown.lines())
    assert stand.guard.policy == before
    assert list(tmp_path.iterdir()) == []
    assert provision(stand, plan).changed
    assert stand.guard.policy == before
