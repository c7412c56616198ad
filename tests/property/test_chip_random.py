"""Whatever arrives on the bus: no crash, no forbidden answer, no lost lock, no leaked key.

The oracle knows nothing of the emulator's tables: a list of what each opcode may answer, and five
invariants that hold for every part.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from hil.emulator.chip import Power
from hil.wire.atecc import WAKE_RESPONSE, Command, crc16
from tests.unit.chip_bench import TEST_SCALAR, Part, summary

if TYPE_CHECKING:
    from hil.emulator.chip import Executed

PARTS = [("atecc508a", "mongoose-os"), ("atecc608b", "mongoose-os"), ("atecc608a", None), ("atecc508a", None)]
STATUS = {0x00, 0x01, 0x03, 0x05, 0x07, 0x08, 0x0F, 0xEE, 0xFF}
ANSWERS = {
    0x01: {0}, 0x02: {4, 32}, 0x08: {32}, 0x11: {32}, 0x16: {32}, 0x1B: {32}, 0x24: {4}, 0x30: {4},
    0x40: {64}, 0x41: {64}, 0x43: {32, 64}, 0x45: {32}, 0x47: {32, *range(36, 100)}, 0x51: {16},
    0x56: {32, 64, 96, 128}, 0x80: {32},
}  # fmt: skip
"""Sizes of answers that are data; every opcode may answer a status."""
OPCODES = [*ANSWERS, 0x12, 0x15, 0x17, 0x1C, 0x20, 0x28, 0x46, 0x77]

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


def allowed(line: Executed) -> bool:
    """Whether this is an answer that the sheets allow for the opcode."""
    response = line.response
    if not response:
        return line.command is not None and line.command.opcode == 0x01
    payload = response[1:-2]
    if response[0] != len(response) or crc16(response[:-2]) != response[-2:]:
        return False
    if line.command is None:
        return payload == b"\xff"
    if len(payload) == 1:
        return payload[0] in STATUS or (line.command.opcode == 0x77 and payload[0] & ~0x3D == 0)
    return len(payload) in ANSWERS.get(line.command.opcode, set())


def fragments(key: bytes) -> list[bytes]:
    """Pieces of a key that no answer may contain."""
    return [key[at : at + 8] for at in range(0, 25) if len(set(key[at : at + 8])) > 5]


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
        self.seen = 0
        self.locks = self._locks()
        self.counters = (0, 0)

    def _locks(self) -> tuple[bool, ...]:
        memory = self.part.chip.memory
        return (memory.config_locked, memory.data_locked, *(not memory.slot_open(n) for n in range(16)))

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
    def answers_are_allowed_and_give_no_private_key_away(self) -> None:
        if not hasattr(self, "part"):
            return
        secrets = [TEST_SCALAR]
        memory = self.part.chip.memory
        secrets += [memory.slot(n)[4:36] for n in range(16) if memory.key_valid[n]]
        pieces = [piece for secret in secrets for piece in fragments(secret)]
        for line in self.part.chip.log[self.seen :]:
            assert allowed(line), line
            assert not any(piece in line.response for piece in pieces)
        self.seen = len(self.part.chip.log)

    @invariant()
    def locks_stay_and_counters_never_go_back(self) -> None:
        if not hasattr(self, "part"):
            return
        locks = self._locks()
        if self.locks[0]:
            assert all(now or not before for now, before in zip(locks, self.locks, strict=True))
        else:
            # An open configuration may still be written: slot locks are bits of it, the zones' are not.
            assert all(now or not before for now, before in zip(locks[:2], self.locks[:2], strict=True))
        memory = self.part.chip.memory
        counters = (memory.counter(0), memory.counter(1))
        if self.locks[0]:
            assert counters >= self.counters
            assert all(now >= before for now, before in zip(counters, self.counters, strict=True))
        self.locks, self.counters = locks, counters

    @invariant()
    def a_sleeping_part_remembers_nothing_volatile(self) -> None:
        if hasattr(self, "part") and self.part.chip.power in (Power.ASLEEP, Power.OFF):
            session = self.part.chip.session
            assert not session.temp_key.valid
            assert session.sha is None
            assert session.auth_key is None


ElementMachine.TestCase.settings = settings(
    max_examples=60, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
)
TestElementMachine = ElementMachine.TestCase


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
    for command in sequence:
        part.chip.execute(command.encode())
        line = part.chip.log[-1]
        assert allowed(line), line
        assert not any(piece in line.response for piece in fragments(TEST_SCALAR))
    assert part.memory.config_locked or not lock
    assert part.memory.data_locked or lock < 2
    if lock == 2 and not any(command.opcode in (0x40, 0x46) for command in sequence):
        assert part.memory.slot(0)[4:] == TEST_SCALAR
