"""Whatever arrives on the bus: no crash, no forbidden answer, no lost lock, no leaked key.

The oracle (``tests/unit/chip_oracle.py``) knows nothing of the emulator's tables.
"""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from hil.wire.atecc import WAKE_RESPONSE, Command, crc16
from tests.unit.chip_bench import TEST_SCALAR, Part, summary
from tests.unit.chip_oracle import OPCODES, Oracle, allowed

PARTS = [("atecc508a", "mongoose-os"), ("atecc608b", "mongoose-os"), ("atecc608a", None), ("atecc508a", None)]
bytes_of = st.sampled_from([0, 2, 3, 4, 13, 16, 20, 32, 36, 48, 63, 64, 68, 77, 83, 96, 128]).flatmap(
    lambda size: st.binary(min_size=size, max_size=size)
)
slots = st.integers(0, 15)
commands = st.builds(
    Command,
    st.sampled_from(OPCODES) | st.integers(0, 255),
    st.sampled_from([0, 1, 2, 3, 4, 5, 6, 7, 0x0C, 0x40, 0x80, 0x81, 0x82, 0xC2]) | st.integers(0, 255),
    st.sampled_from([0, 1, 4, 0x8000, 0xFFFF]) | slots | slots.map(lambda s: s << 3) | st.integers(0, 0xFFFF),
    bytes_of,
)


class ElementMachine(RuleBasedStateMachine):
    """Random traffic to one part."""

    part: Part

    @initialize(which=st.sampled_from(PARTS), lock=st.integers(0, 2))
    def insert(self, which: tuple[str, str | None], lock: int) -> None:
        self.part = Part(which[0], configuration=which[1])
        self.part.memory.set_private_key(0, TEST_SCALAR)
        self.part.memory.set_slot(4, bytes(range(32)))
        if lock:
            self.part.locked(data=lock == 2)
        self.part.start()
        self.oracle = Oracle(self.part.chip, TEST_SCALAR)

    @rule(data=st.binary(max_size=90))
    def write_anything(self, data: bytes) -> None:
        self.part.write(data)

    @rule(data=st.binary(min_size=1, max_size=60))
    def write_to_the_fifo(self, data: bytes) -> None:
        self.part.write(b"\x03" + data)

    @rule(command=commands)
    def command(self, command: Command) -> None:
        self.part.write(b"\x03" + command.encode())

    @rule(slot=slots)
    def generate_and_sign(self, slot: int) -> None:
        for command in (Command(0x40, 4, slot), Command(0x16, 3, 0, bytes(32)), Command(0x41, 0x80, slot)):
            self.part.write(b"\x03" + command.encode())
            self.part.time = max(self.part.time, self.part.chip.busy_until)

    @rule(slot=slots, random=st.booleans())
    def gen_dig_and_read(self, slot: int, random: bool) -> None:
        nonce = Command(0x16, 0, 0, bytes(20)) if random else Command(0x16, 3, 0, bytes(32))
        for command in (nonce, Command(0x15, 2, 4), Command(0x02, 0x82, slot << 3)):
            self.part.write(b"\x03" + command.encode())
            self.part.time = max(self.part.time, self.part.chip.busy_until)

    @rule(data=st.booleans())
    def lock_rightly(self, data: bool) -> None:
        crc = summary(self.part.chip.memory, data=data)
        self.part.write(b"\x03" + Command(0x17, int(data), crc).encode())

    @rule(length=st.integers(0, 160))
    def read(self, length: int) -> None:
        answer = self.part.read(length)
        assert answer is None or len(answer) == length

    @rule()
    def wait_until_ready(self) -> None:
        self.part.time = max(self.part.time, self.part.chip.busy_until)

    @rule(us=st.integers(0, 2_000_000))
    def wait(self, us: int) -> None:
        self.part.time += us

    @rule(low=st.integers(0, 100))
    def sda_low(self, low: int) -> None:
        self.part.chip.sda_low(low)

    @rule(word_address=st.integers(0, 2))
    def reset_sleep_idle(self, word_address: int) -> None:
        if self.part.write(bytes((word_address,))) and word_address == 1:
            assert not self.part.chip.session.temp_key.valid

    @rule()
    def power_cycle(self) -> None:
        self.part.chip.power_off()
        assert self.part.chip.session.auth_key is None
        self.part.chip.power_on()
        self.part.start()
        assert self.part.read(4) == WAKE_RESPONSE

    @rule()
    def snapshot_and_back(self) -> None:
        self.part.chip.restore(self.part.chip.snapshot())

    @invariant()
    def nothing_impossible_has_happened(self) -> None:
        if hasattr(self, "part"):
            self.oracle.check()


ElementMachine.TestCase.settings = settings(
    max_examples=60, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
)
TestElementMachine = ElementMachine.TestCase


class LongStories(ElementMachine):
    """The same with longer stories, and many."""


LongStories.TestCase.settings = settings(
    ElementMachine.TestCase.settings, max_examples=2_000, stateful_step_count=120
)
TestLongStories = pytest.mark.long(LongStories.TestCase)


@pytest.mark.parametrize("name", ["atecc508a", "atecc608b"])
@given(group=st.binary(max_size=160))
@settings(max_examples=300, deadline=None)
def test_any_bytes_are_answered_as_a_communication_error_or_better(name: str, group: bytes) -> None:
    part = Part(name)
    answer = part.chip.execute(group)
    assert allowed(part.chip.log[-1])
    right = len(group) >= 7 and group[0] == len(group) <= 155 and crc16(group[:-2]) == group[-2:]
    assert right or answer == bytes.fromhex("04ff0142")


@pytest.mark.parametrize("name", ["atecc508a", "atecc608b"])
@pytest.mark.parametrize("lock", [0, 1, 2])
@given(sequence=st.lists(commands, max_size=12))
@settings(max_examples=150, deadline=None)
def test_any_commands_are_answered_and_nothing_unlocks(name: str, lock: int, sequence: list[Command]) -> None:
    part = Part(name, configuration="mongoose-os")
    part.memory.set_private_key(0, TEST_SCALAR)
    if lock:
        part.locked(data=lock == 2)
    oracle = Oracle(part.start().chip, TEST_SCALAR)
    for command in sequence:
        part.chip.execute(command.encode())
        oracle.check()
    assert part.memory.config_locked or not lock
    assert part.memory.data_locked or lock < 2
    if lock == 2 and not any(command.opcode in (0x40, 0x46) for command in sequence):
        assert part.memory.slot(0)[4:] == TEST_SCALAR
