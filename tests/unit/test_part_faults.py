"""The chip's own faults under the names of ``--fault``."""

from __future__ import annotations

import pytest

from hil.emulator.chip import Chip, Memory, load_profile
from hil.emulator.chip.faults import FAULTS as CHIP_FAULTS
from hil.emulator.faults import FAULTS
from hil.emulator.lockflaws import Throughout
from hil.emulator.partfaults import ALWAYS, PART_FAULTS
from hil.suitegraph import SUITES
from hil.wire.atecc import Command, Opcode, Status, decode_response
from hil.wire.serials import reserved_serial

AS_LOCK_FLAWS = {"lock-not-sticky", "private-key-readable"}
"""They are rows of their own in the rig's table."""
NO_SUITE_OF_THE_608 = {"self-test-fails": "only a 608 has the command"}
TOLERATED = {
    "sign-slow": "the driver waits longer than the data sheet's longest time",
}


def test_every_fault_of_the_part_is_a_fault_of_a_rig_or_has_its_reason() -> None:
    assert PART_FAULTS.keys() | AS_LOCK_FLAWS <= FAULTS.keys()
    assert PART_FAULTS.keys() | AS_LOCK_FLAWS | NO_SUITE_OF_THE_608.keys() | TOLERATED.keys() == (
        CHIP_FAULTS.keys()
    )
    assert {fault.owner for fault in PART_FAULTS.values()} <= {suite.name for suite in SUITES}
    for name, fault in PART_FAULTS.items():
        assert (FAULTS[name].owner, FAULTS[name].needs) == (fault.owner, fault.needs)


def part() -> Chip:
    profile = load_profile("atecc508a")
    memory = Memory.blank(profile, reserved_serial(1))
    memory.lock_config()
    memory.lock_data()
    chip = Chip(profile, memory, now=lambda: 0)
    chip.power_on()
    return chip


@pytest.mark.parametrize("name", [name for name in PART_FAULTS if name.startswith("status-")])
def test_a_fault_strikes_again_and_again_in_every_part(name: str) -> None:
    flaw = Throughout(name, ALWAYS)
    for chip in (part(), part()):
        flaw.inserted(chip)
        for _ in range(20):
            answer = decode_response(chip.execute(Command(Opcode.INFO).encode()))
            assert answer == bytes((int(name[-2:], 16),)) != bytes((Status.OK,))
