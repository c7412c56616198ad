"""Named faults of the emulated element: each does what its row of the table says, and no more."""

from __future__ import annotations

from typing import Any

import pytest

from hil.emulator.chip import Power
from hil.emulator.chip.ecc import ORDER
from hil.emulator.chip.faults import FAULTS
from hil.errors import FrameError, UsageError
from hil.wire.atecc import Command, decode_response
from tests.unit.chip_bench import DIGEST, ECC_PRIVATE, TEST_SCALAR, Part

WAKE = bytes.fromhex("04113343")


def awake(name: str = "atecc508a", **options: Any) -> Part:
    part = Part(name, **options).slot(0, 0x6487, ECC_PRIVATE)
    part.memory.set_private_key(0, TEST_SCALAR)
    return part.locked(data=False).start()


def answer(part: Part, opcode: int, p1: int = 0) -> bytes:
    """The answer group as it appears on the bus."""
    part.write(b"\x03" + Command(opcode, p1).encode())
    part.time = part.chip.busy_until
    group = part.read(80)
    assert group is not None
    return group


def sign(part: Part, digest: bytes = DIGEST) -> bytes:
    part.nonce(digest)
    return part.send(0x41, 0x80, 0)


def test_an_unknown_fault_is_refused_with_a_suggestion() -> None:
    with pytest.raises(UsageError, match="sign-slow"):
        awake().chip.faults.add("sign-slwo")


def test_faults_are_named_removed_and_cleared() -> None:
    faults = awake().chip.faults
    faults.add("nack")
    faults.add("slow")
    assert faults.names == ["nack", "slow"]
    faults.remove("nack")
    assert faults.names == ["slow"]
    faults.clear()
    assert faults.names == []
    assert not faults.any


def test_every_fault_has_a_meaning_and_can_be_made() -> None:
    faults = awake().chip.faults
    for name, kind in FAULTS.items():
        assert kind.meaning
        faults.add(name)
    assert faults.names == list(FAULTS)


def test_nack() -> None:
    part = awake()
    part.chip.faults.add("nack", times=2)
    assert [part.write(b"\x00") for _ in range(3)] == [None, None, 1]


def test_nack_counts_only_what_would_have_been_acknowledged() -> None:
    part = awake()
    part.chip.faults.add("nack", times=1)
    assert not part.chip.acknowledges(0x35, False)
    assert part.write(b"\x00") is None
    assert part.write(b"\x00") == 1


@pytest.mark.parametrize("name", ["flipped-bit", "wrong-crc", "bad-count"])
def test_a_damaged_answer_is_damaged_once(name: str) -> None:
    part = awake()
    good = answer(part, 0x30)[:7]
    part.chip.faults.add(name)
    bad = answer(part, 0x30)[:7]
    assert bad != good
    with pytest.raises(FrameError):
        decode_response(bad)
    assert answer(part, 0x30)[:7] == good


@pytest.mark.parametrize(
    ("name", "status"),
    [("status-05", 5), ("status-07", 7), ("status-08", 8), ("status-0f", 15), ("status-ee", 0xEE),
     ("status-ff", 0xFF)],
)  # fmt: skip
def test_a_status_on_demand(name: str, status: int) -> None:
    part = awake()
    part.chip.faults.add(name)
    assert part.transact(0x30) == bytes((status,))
    assert part.transact(0x30).hex() == "00005000"


@pytest.mark.parametrize("name", ["atecc508a", "atecc608b"])
def test_a_group_that_was_heard_damaged_leaves_the_registers(name: str) -> None:
    part = awake(name)
    part.nonce(DIGEST)
    part.chip.session.msg_dig_buf = DIGEST
    part.chip.faults.add("status-ff")
    assert part.send(0x41, 0x80, 0) == b"\xff"
    assert part.chip.session.msg_dig_buf == DIGEST
    assert len(part.send(0x41, 0x80, 0)) == 64


def test_spurious_wake() -> None:
    part = Part()
    part.time += 1000
    part.chip.sda_low(10)
    assert part.power_is(Power.ASLEEP)
    part.chip.faults.add("spurious-wake")
    part.chip.sda_low(10)
    assert part.power_is(Power.AWAKE)


def test_watchdog_early() -> None:
    part = Part()
    part.chip.faults.add("watchdog-early")
    part.start()
    part.time += 50_000
    assert part.power_is(Power.ASLEEP)


def test_a_reset_in_a_command_answers_11_and_writes_nothing() -> None:
    part = awake()
    part.nonce()
    part.chip.faults.add("reset-in-command")
    assert answer(part, 0x17, 0x81)[:4] == WAKE
    assert not part.temp_valid
    assert not part.memory.data_locked
    assert part.transact(0x17, 0x81) == b"\0"


@pytest.mark.parametrize(("name", "new"), [
    ("power-lost-before-write", 0), ("power-lost-during-write", 16), ("power-lost-after-write", 32),
])  # fmt: skip
def test_power_lost_around_a_write(name: str, new: int) -> None:
    part = awake()
    part.memory.set_slot(8, b"\x11" * 416)
    part.chip.faults.add(name)
    part.write(b"\x03" + Command(0x12, 0x82, 0x0040, b"\x22" * 32).encode())
    part.time = part.chip.busy_until
    assert part.read(4) is None
    assert part.power_is(Power.ASLEEP)
    assert part.memory.slot(8) == b"\x22" * new + b"\x11" * (416 - new)


def test_power_is_not_lost_in_a_command_that_writes_nothing() -> None:
    part = awake()
    part.chip.faults.add("power-lost-before-write")
    assert part.transact(0x30).hex() == "00005000"
    part.write(b"\x03" + Command(0x17, 0x81).encode())
    part.time = part.chip.busy_until
    assert not part.chip.memory.data_locked


def test_a_stuck_generator_gives_the_same_key_twice() -> None:
    part = awake()
    part.chip.faults.add("random-stuck")
    assert part.send(0x1B) == part.send(0x1B)
    assert part.send(0x40, 4, 0) == part.send(0x40, 4, 0)


def test_a_repeating_generator_repeats() -> None:
    part = awake()
    part.chip.faults.add("random-repeats")
    blocks = [part.send(0x1B) for _ in range(8)]
    assert len(set(blocks[:4])) == 4
    assert blocks[:4] == blocks[4:]


def test_a_failed_health_test_stops_only_commands_that_need_random_numbers() -> None:
    part = awake("atecc608b")
    part.chip.faults.add("health-test-fails")
    assert part.send(0x1B) == b"\x08"
    assert part.send(0x40, 4, 0) == b"\x08"
    part.nonce(DIGEST)
    assert len(part.send(0x41, 0x80, 0)) == 64


def test_a_reused_nonce_gives_the_key_away() -> None:
    part = awake()
    part.chip.faults.add("signature-nonce-reused")
    other = bytes(32)
    one, two = sign(part, DIGEST), sign(part, other)
    r, s1, s2 = (int.from_bytes(x, "big") for x in (one[:32], one[32:], two[32:]))
    assert one[:32] == two[:32]
    z1, z2 = int.from_bytes(DIGEST, "big"), 0
    k = (z1 - z2) * pow(s1 - s2, -1, ORDER) % ORDER
    secret = (s1 * k - z1) * pow(r, -1, ORDER) % ORDER
    assert secret.to_bytes(32, "big") == TEST_SCALAR


def test_a_lock_that_does_not_stick_is_gone_after_power() -> None:
    part = awake()
    part.chip.faults.add("lock-not-sticky")
    assert part.transact(0x17, 0x81) == b"\0"
    assert part.memory.data_locked
    part.chip.power_off()
    part.chip.power_on()
    assert not part.memory.data_locked
    assert part.memory.config_locked, "what was locked before stays"


def test_a_readable_private_key() -> None:
    part = awake()
    assert part.send(0x02, 0x82, 0) == b"\x0f"
    part.chip.faults.add("private-key-readable")
    assert part.send(0x02, 0x82, 0) == bytes(4) + TEST_SCALAR[:28]


@pytest.mark.parametrize(("name", "info"), [("sign-slow", 100), ("slow", 3_000)])
def test_slower_than_the_maximum(name: str, info: int) -> None:
    part = awake()
    part.chip.faults.add(name)
    part.nonce()
    before = part.time
    part.transact(0x41, 0x80)
    assert part.time - before == 150_000
    before = part.time
    part.transact(0x30)
    assert part.time - before == info


def test_a_failing_self_test_shows_at_the_wake_and_in_the_map() -> None:
    part = Part("atecc608b")
    part.memory.set_config(90, b"\x01\0")
    part.chip.faults.add("self-test-fails", times=2)
    part.time += 1000
    part.chip.sda_low(80)
    part.time = part.chip.busy_until
    assert part.read(4) == bytes.fromhex("040740c2")
    assert part.transact(0x1B) == b"\x07"
    assert part.transact(0x77, 0x20) == b"\x20"
    assert part.transact(0x77, 0x20) == b"\0"
    assert len(part.transact(0x1B)) == 32


def test_ecc_faults_by_chance_are_a_knob() -> None:
    part = Part(ecc_fault_per_million=500_000).slot(0, 0x6487, ECC_PRIVATE)
    part.memory.set_private_key(0, TEST_SCALAR)
    part.locked(data=False)
    answers = [len(sign(part)) for _ in range(40)]
    assert {1, 64} == set(answers)
