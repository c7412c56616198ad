"""Provisioning an element: once, twice, and after an interruption at each of its commands."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from msgspec import structs

from hil.element.zones import SLOT_SIZES
from hil.errors import ConfigError, DeviceError, GuardRefusal
from hil.provision.plan import Content, Kek, Plan, PrivateKey
from hil.provision.rehearsal import rehearse
from hil.provision.steps import ELEMENT_STEPS, Step, carry_out
from hil.wire.atecc import Opcode
from tests.unit.provision_bench import Bed, Cut

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from hil.wire.atecc import Command

STEPS = [step.name for step in ELEMENT_STEPS]
COMMANDS = {
    "first write of the configuration": (0, Opcode.WRITE, 0x00),
    "last write of the configuration": (4, Opcode.WRITE, 0x80),
    "lock of the configuration": (5, Opcode.LOCK, 0x00),
    "first write of the contents": (6, Opcode.WRITE, 0x82),
    "last write of the contents": (44, Opcode.WRITE, 0x81),
    "lock of the data zone": (45, Opcode.LOCK, 0x01),
    "key-encryption key": (46, Opcode.WRITE, 0x82),
    "private key": (47, Opcode.PRIVWRITE, 0x40),
}
"""Irreversible commands of the article's plan on a 508A: which of them, opcode and mode."""


@pytest.fixture
def bed(tmp_path: Path) -> Iterator[Bed]:
    bed = Bed(tmp_path)
    yield bed
    bed.world.close()


def holds_what_the_plan_says(bed: Bed) -> None:
    """Judged by the part's memory, not by what its driver says."""
    identity = bed.start().identity
    memory = bed.memory
    assert (memory.config_locked, memory.data_locked) == (True, True)
    assert memory.config[16:84] == bed.wanted.to_bytes()[16:84]
    assert memory.config[88:] == bed.wanted.to_bytes()[88:]
    assert memory.slot(4)[:32] == identity.kek
    key = memory.private_key(0)
    assert key is not None
    assert key.private_numbers().private_value == int.from_bytes(identity.scalar, "big")
    assert memory.otp == bytes(64)
    assert [memory.slot(n) for n in (8, 10)] == [bytes(SLOT_SIZES[n]) for n in (8, 10)]


@pytest.mark.parametrize("part", ["atecc508a", "atecc608b"])
def test_a_blank_part_is_brought_to_what_the_plan_says_and_the_second_run_changes_nothing(
    tmp_path: Path, part: str
) -> None:
    bed = Bed(tmp_path, part=part)
    first = bed.provision()
    assert [result.step for result in first] == STEPS
    assert [result.done for result in first] == [True] * 5 + [False]
    assert str(first[-1]) == "signature by the element: verified"
    holds_what_the_plan_says(bed)
    obeyed, image = (
        len(bed.irreversible()),
        (bytes(bed.memory.config), bed.memory.slot(0), bed.memory.slot(4)),
    )
    again = bed.provision()
    assert not any(result.done for result in again)
    assert {str(result).partition(": ")[2] for result in again} == {"as wanted already", "verified"}
    assert len(bed.irreversible()) == obeyed
    assert (bytes(bed.memory.config), bed.memory.slot(0), bed.memory.slot(4)) == image
    bed.world.close()


CUTS = [
    *((where, moment) for where in COMMANDS for moment in ("before it is sent", "after it was done")),
    # The plug is pulled while the part still writes.
    *((where, "while it works") for where in COMMANDS if where.startswith("lock") or where == "private key"),
]


@pytest.mark.parametrize(("where", "moment"), CUTS)
def test_after_an_interruption_at_any_step_the_next_run_goes_on(bed: Bed, where: str, moment: str) -> None:
    """The ledger asks for an inspection first; then the plan is finished, and each zone locked once."""
    number, opcode, mode = COMMANDS[where]
    bed.bus.cut_at, bed.bus.moment = number, moment
    with pytest.raises(Cut):
        bed.provision()
    assert bed.bus.last is not None
    assert (bed.bus.last.opcode, bed.bus.last.p1) == (opcode, mode)
    bed.bus.cut_at = -1
    if (where, moment) != ("private key", "after it was done"):  # there nothing is left to be done
        with pytest.raises(GuardRefusal, match="no known result"):
            bed.provision()
    assert bed.resolve() == 1
    bed.provision()
    holds_what_the_plan_says(bed)
    locks = [command for command in bed.irreversible() if command.opcode == Opcode.LOCK]
    assert len(locks) == (3 if where.startswith("lock") and moment == "while it works" else 2)
    assert not any(result.done for result in bed.provision())


def test_a_part_that_is_locked_with_another_configuration_is_refused(bed: Bed) -> None:
    bed.memory.set_config(16, bed.wanted.to_bytes()[16:84])
    bed.memory.set_config(88, bed.wanted.to_bytes()[88:])
    bed.memory.set_config(92, b"\x12")
    bed.memory.lock_config()
    with pytest.raises(
        ConfigError, match=r"locked with another configuration than the plan's: .* X509format"
    ):
        bed.provision()
    assert bed.irreversible() == []


def test_another_key_in_the_slot_is_not_destroyed_unless_the_plan_says_so(bed: Bed) -> None:
    bed.provision()
    theirs = ec.generate_private_key(ec.SECP256R1()).private_numbers().private_value.to_bytes(32, "big")
    bed.memory.set_private_key(0, theirs)
    with pytest.raises(ConfigError, match="holds another key than the plan's; writing destroys it"):
        bed.provision()
    bed.plan = replace(bed.plan, key=PrivateKey(replace=True))
    assert [result.step for result in bed.provision() if result.done] == ["private key"]
    holds_what_the_plan_says(bed)


def test_a_content_that_was_changed_on_its_way_is_never_locked(bed: Bed) -> None:
    """Nobody can read a slot before the lock: its checksum is what tells."""

    def other(command: Command) -> Command:
        if command.opcode == Opcode.WRITE and (command.p1, command.p2) == (0x82, 0x0050):
            return structs.replace(command, data=b"\x01" + command.data[1:])
        return command

    bed.bus.tamper = other
    with pytest.raises(DeviceError, match="0x0F"):
        bed.provision()
    assert bed.memory.config_locked
    assert not bed.memory.data_locked
    bed.bus.tamper = lambda command: command
    bed.provision()
    holds_what_the_plan_says(bed)


def test_a_step_that_was_done_and_is_not_so_is_an_error(bed: Bed) -> None:
    step = Step("write something", lambda bench: "it is not there", lambda bench: None)
    with pytest.raises(DeviceError, match="write something: it was done and is not so: it is not there"):
        carry_out(bed.start(), [step])


# -- rehearsal -------------------------------------------------------------------------------------


def secret_plan(folder: Path) -> Plan:
    (folder / "secret.bin").write_bytes(b"a secret of the test, and of slot 5!")
    (folder / "open.bin").write_bytes(b"open content")
    data = (Content(slot=5, file="secret.bin"), Content(slot=10, file="open.bin"))
    return Plan(folder=folder, https=None, data=data)


def test_a_rehearsal_prints_what_the_run_then_sends_and_sends_nothing_itself(tmp_path: Path) -> None:
    bed = Bed(tmp_path, plan=secret_plan(tmp_path))
    bench = bed.start()
    before, sent = bytes(bed.memory.config), bed.bus.seen
    rehearsal = rehearse(bench)
    assert (bytes(bed.memory.config), bed.bus.seen) == (before, sent)
    carry_out(bench, ELEMENT_STEPS)
    planned = [packet.command for packet in rehearsal.packets]
    done = bed.irreversible()
    assert [(c.opcode, c.p1, c.p2) for c in planned] == [(c.opcode, c.p1, c.p2) for c in done]
    clear = [c for c in planned if c.opcode != Opcode.PRIVWRITE]
    assert clear == [c for c in done if c.opcode != Opcode.PRIVWRITE]
    bed.world.close()


def test_a_rehearsal_shows_neither_keys_nor_the_content_of_secret_slots(tmp_path: Path) -> None:
    bed = Bed(tmp_path, plan=secret_plan(tmp_path))
    bench = bed.start()
    shown = "\n".join(map(str, rehearse(bench).packets))
    assert b"open content".hex(" ") in shown
    for secret in (b"a secret of the test", bench.identity.kek, bytes(bench.identity.scalar)):
        assert secret.hex(" ") not in shown
        assert secret[:8].hex(" ") not in shown
    assert "slot 5 block 0: <32 secret bytes>" in shown
    assert "slot 4 block 0: <32 secret bytes>" in shown
    assert "slot 0: <68 encrypted bytes, different every time>" in shown
    bed.world.close()


def test_a_plan_that_cannot_be_carried_out_fails_on_the_twin_and_not_on_the_part(tmp_path: Path) -> None:
    """The key-encryption key would go into a slot that encrypts nothing: only the last write shows it."""
    bed = Bed(tmp_path, plan=Plan(folder=tmp_path / "files", https=None, kek=Kek(slot=5)))
    with pytest.raises(ConfigError, match="rehearsed on a twin of the part, the plan fails at"):
        rehearse(bed.start())
    assert bed.irreversible() == []
    bed.world.close()


def test_content_in_a_locked_zone_that_is_not_the_plans_is_refused(tmp_path: Path) -> None:
    bed = Bed(tmp_path, plan=secret_plan(tmp_path))
    bed.provision()
    assert bed.memory.slot(10)[:12] == b"open content"
    (tmp_path / "open.bin").write_bytes(b"other content")
    with pytest.raises(ConfigError, match="slot 10 holds something other than open.bin"):
        bed.provision()
    bed.world.close()
