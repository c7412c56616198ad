"""The emulated element on the bus: wake, word addresses, busy, watchdog, what survives what."""

from __future__ import annotations

import pytest

from hil.clock import World
from hil.emulator.bus import I2CMaster, Lines
from hil.emulator.chip import Chip, Memory, Power, load_profile
from hil.emulator.chip.config import encode_counter
from hil.wire.atecc import WAKE_RESPONSE, Command
from tests.unit.chip_bench import SERIAL, TEST_SCALAR, Part

INFO = b"\x03" + Command(0x30).encode()
INFO_ANSWER = bytes.fromhex("0700005000038d")


@pytest.fixture
def part() -> Part:
    """An ATECC508A, awake."""
    return Part().start()


def statuses(part: Part) -> list[int]:
    return [line.response[1] for line in part.chip.log]


# -- wake ----------------------------------------------------------------------------------------


def test_without_power_nothing_answers_and_nothing_wakes() -> None:
    part = Part()
    part.chip.power_off()
    part.wake()
    assert part.power_is(Power.OFF)
    assert part.write(b"\x00") is None


def test_a_part_cannot_be_woken_before_it_is_powered_up() -> None:
    part = Part()
    part.chip.sda_low(80)
    assert part.power_is(Power.ASLEEP)
    part.time += part.profile.power_up_us
    part.chip.sda_low(80)
    assert part.power_is(Power.AWAKE)


@pytest.mark.parametrize(("name", "low", "wakes"), [
    ("atecc508a", 59, False), ("atecc508a", 60, True), ("atecc608a", 26, False), ("atecc608a", 27, True),
])  # fmt: skip
def test_the_low_time_decides_about_the_wake(name: str, low: int, wakes: bool) -> None:
    part = Part(name)
    part.time += 1000
    part.chip.sda_low(low)
    assert part.power_is(Power.AWAKE) is wakes


def test_the_part_answers_after_the_wake_time_and_not_before() -> None:
    part = Part()
    part.time += 1000
    part.chip.sda_low(80)
    part.time += part.profile.wake.ready_us - 1
    assert part.read(4) is None
    part.time += 1
    assert part.read(4) == WAKE_RESPONSE


def test_the_wake_answer_is_read_once_and_can_be_reset(part: Part) -> None:
    assert part.read(4) == WAKE_RESPONSE
    assert part.read(2) == b"\xff\xff"
    assert part.write(b"\x00") == 1
    assert part.read(4) == WAKE_RESPONSE


def test_a_second_wake_pulse_changes_nothing(part: Part) -> None:
    part.transact(0x16, 3, 0, bytes(range(32)))
    part.chip.sda_low(80)
    assert part.power_is(Power.AWAKE)
    assert part.temp_valid


def test_traffic_for_others_wakes_a_sleeping_part() -> None:
    with World() as world:
        profile = load_profile("atecc508a")
        chip = Chip(profile, Memory.blank(profile, SERIAL), now=lambda: world.now)
        master = I2CMaster(world, Lines(12, 14, [chip]), sda=12, scl=14)
        chip.power_on()
        world.sleep(1000)
        assert not master.probe(0x60)
        world.sleep(2000)
        assert master.probe(0x60), "its own probe has six low bits in a row"


def test_a_scan_at_400_khz_does_not_see_a_sleeping_508a() -> None:
    with World() as world:
        profile = load_profile("atecc508a")
        chip = Chip(profile, Memory.blank(profile, SERIAL), now=lambda: world.now)
        master = I2CMaster(world, Lines(12, 14, [chip]), sda=12, scl=14, hz=400_000)
        chip.power_on()
        world.sleep(1000)
        assert not [address for address in range(1, 0x78) if master.probe(address)]


# -- transactions --------------------------------------------------------------------------------


def test_a_command_is_answered(part: Part) -> None:
    assert part.transact(0x30).hex() == "00005000"


def test_a_zero_length_write_is_acknowledged_while_awake(part: Part) -> None:
    assert part.write(b"") == 0
    assert part.write(b"\x01") == 1
    assert part.write(b"") is None


def test_nothing_is_acknowledged_while_busy(part: Part) -> None:
    part.write(INFO)
    part.time = part.chip.busy_until - 1
    assert part.write(b"\x00") is None
    assert part.read(1) is None
    part.time += 1
    assert part.read(7)[:5] == bytes.fromhex("0700005000")  # type: ignore[index]


def test_a_group_may_be_split_over_writes(part: Part) -> None:
    packet = Command(0x30).encode()
    for byte in packet:
        assert part.chip.log == []
        assert part.write(b"\x03" + bytes((byte,))) == 2
    assert statuses(part) == [0]


def test_a_reset_abandons_a_partial_group(part: Part) -> None:
    part.write(INFO[:4])
    assert part.write(b"\x00") == 1
    assert part.transact(0x30).hex() == "00005000"


def test_a_read_behind_a_partial_group_is_not_acknowledged(part: Part) -> None:
    part.write(INFO[:4])
    assert part.read(1) is None


def test_a_read_behind_a_partial_group_gives_ff_if_the_knob_says_so() -> None:
    part = Part(read_after_partial_command="ff").start()
    part.write(INFO[:4])
    assert part.read(2) == b"\xff\xff"


def test_an_answer_is_read_in_pieces_and_ff_follows(part: Part) -> None:
    part.write(INFO)
    part.time = part.chip.busy_until
    whole = b"".join(part.read(1) or b"" for _ in range(7))
    assert whole[:5] == bytes.fromhex("0700005000")
    assert part.read(3) == b"\xff\xff\xff"
    part.write(b"\x00")
    assert part.read(9) == whole + b"\xff\xff"


@pytest.mark.parametrize("name", ["atecc508a", "atecc608a"])
def test_surplus_bytes_behind_a_group(name: str) -> None:
    part = Part(name).start()
    taken = part.write(INFO + b"\xaa\xbb")
    assert taken == (len(INFO) if name == "atecc508a" else len(INFO) + 2)
    assert statuses(part) == [0]


@pytest.mark.parametrize("word_address", [0x04, 0x07, 0xFF])
def test_reserved_word_addresses_are_not_acknowledged(part: Part, word_address: int) -> None:
    assert part.write(bytes((word_address, 1, 2))) == 0
    assert part.read(4) == WAKE_RESPONSE


def test_reserved_word_addresses_are_ignored_if_the_knob_says_so() -> None:
    assert Part(reserved_word_address="ignore").start().write(b"\x07\x01") == 2


@pytest.mark.parametrize("group", [b"\x03", b"\x02\x00", b"\x9c" + bytes(20)])
def test_an_impossible_count_is_a_communication_error(part: Part, group: bytes) -> None:
    part.write(b"\x03" + group)
    part.time = part.chip.busy_until
    assert part.read(4) == bytes.fromhex("04ff0142")


def test_a_damaged_group_is_a_communication_error_and_leaves_the_registers(part: Part) -> None:
    part.transact(0x16, 3, 0, bytes(32))
    part.write(INFO[:-1] + bytes((INFO[-1] ^ 1,)))
    assert statuses(part)[-1] == 0xFF
    assert part.chip.log[-1].command is None
    assert part.temp_valid


def test_another_address_is_not_this_part(part: Part) -> None:
    assert not part.chip.acknowledges(0x35, False)


def test_the_address_of_the_configuration_counts_after_the_next_sleep(part: Part) -> None:
    part.memory.set_config(16, b"\x6a")
    assert part.chip.address == 0x60
    part.write(b"\x02")
    part.wake()
    assert part.chip.address == 0x60, "idle is no sleep"
    part.write(b"\x01")
    part.wake()
    assert part.chip.address == 0x35


def test_user_extra_add_is_the_address_of_a_608_that_wants_it() -> None:
    part = Part("atecc608b")
    part.memory.set_config(19, b"\x01")
    part.memory.set_config(85, b"\x6e")
    part.chip.power_off()
    part.chip.power_on()
    assert part.chip.address == 0x37
    old = Part("atecc508a")
    old.memory.set_config(19, b"\x01")
    old.memory.set_config(85, b"\x6e")
    old.chip.power_off()
    old.chip.power_on()
    assert old.chip.address == 0x60


# -- time ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("draw", "us"), [("typical", 42_000), ("maximum", 50_000)])
def test_sign_takes_the_time_of_the_table(draw: str, us: int) -> None:
    part = Part(configuration="mongoose-os", draw=draw).locked(data=False).start()
    part.memory.set_private_key(0, TEST_SCALAR)
    part.transact(0x16, 3, 0, bytes(32))
    before = part.time
    part.transact(0x41, 0x80)
    assert part.time - before == us


def test_random_times_lie_between_typical_and_maximum_and_repeat_with_the_seed() -> None:
    def times(seed: int) -> list[int]:
        part = Part(draw="random", seed=seed)
        for _ in range(20):
            part.send(0x1B)
        return [line.us for line in part.chip.log]

    assert times(1) == times(1) != times(2)
    assert all(1_000 <= us <= 23_000 for us in times(1))


def test_the_clock_divider_of_a_608_counts_after_sleep() -> None:
    part = Part("atecc608a", configuration="mongoose-os").locked(data=False).start()
    part.memory.set_private_key(0, TEST_SCALAR)
    part.memory.set_config(19, b"\x68")

    def sign_time() -> int:
        part.transact(0x16, 3, 0, bytes(32))
        before = part.time
        part.transact(0x41, 0x80)
        return part.time - before

    assert sign_time() == 60_000
    part.write(b"\x01")
    part.wake()
    assert sign_time() == 60_000 * 665 // 115


def test_an_error_takes_less_than_the_operation(part: Part) -> None:
    before = part.time
    assert part.transact(0x41, 0x80) == b"\x0f"
    assert part.time - before == part.profile.times.error_us


# -- watchdog ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("figure", "us"), [("minimum", 700_000), ("typical", 1_300_000), ("maximum", 1_700_000)]
)
def test_the_watchdog_puts_the_part_to_sleep(figure: str, us: int) -> None:
    part = Part(watchdog=figure)
    part.time += 1000
    woken = part.time
    part.wake()
    part.transact(0x16, 3, 0, bytes(32))
    part.time = woken + us - 1
    assert part.power_is(Power.AWAKE)
    part.time += 1
    assert part.power_is(Power.ASLEEP)
    assert not part.temp_valid


def test_the_long_watchdog_of_chip_mode() -> None:
    part = Part()
    part.memory.set_config(19, b"\x04")
    part.start()
    part.time += 9_000_000
    assert part.power_is(Power.AWAKE)
    part.time += 1_000_000
    assert part.power_is(Power.ASLEEP)


def test_idle_stops_the_watchdog(part: Part) -> None:
    part.transact(0x16, 3, 0, bytes(32))
    part.write(b"\x02")
    part.time += 60_000_000
    assert part.power_is(Power.IDLE)
    part.wake()
    assert part.temp_valid


def test_a_command_is_not_tried_when_the_watchdog_would_end_it(part: Part) -> None:
    part.time += 1_280_000
    assert part.transact(0x17, 0x80) == b"\xee"
    assert not part.memory.config_locked
    assert part.chip.log[-1].us == part.profile.times.error_us


def test_a_command_that_outlasts_the_watchdog_is_cut_and_the_part_wakes_again() -> None:
    part = Part(configuration="mongoose-os").locked(data=False).start()
    part.memory.set_private_key(0, TEST_SCALAR)
    part.chip.faults.add("slow")
    part.time += 1_100_000
    part.write(b"\x03" + Command(0x40, 4).encode())
    part.time += 200_000
    assert part.power_is(Power.ASLEEP)
    assert part.memory.slot(0)[4:] == TEST_SCALAR
    part.wake()
    assert part.read(4) == WAKE_RESPONSE


def test_malformed_is_said_before_lack_of_time(part: Part) -> None:
    part.time += 1_290_000
    assert part.transact(0x99) == b"\x03"


# -- what survives -------------------------------------------------------------------------------


def fill(part: Part) -> None:
    """Give every register of a 608 something to lose."""
    part.send(0x16, 0x03, 0, bytes(32))
    part.send(0x16, 0x83, 0, bytes(32))
    part.send(0x47, 0)
    part.send(0x16, 0x43, 0, bytes(32))
    session = part.chip.session
    session.auth_key = 3
    session.latch = True


def registers(part: Part) -> dict[str, bool]:
    session = part.chip.session
    return {
        "TempKey": session.temp_key.valid,
        "MsgDigBuf": session.msg_dig_buf is not None,
        "AltKeyBuf": session.alt_key_buf is not None,
        "SHA": session.sha is not None,
        "auth": session.auth_key is not None,
        "latch": session.latch,
    }


ALL = {"TempKey", "MsgDigBuf", "AltKeyBuf", "SHA", "auth", "latch"}


@pytest.mark.parametrize(
    ("event", "kept"),
    [
        ("idle", ALL),
        ("sleep", {"latch"}),
        ("watchdog", {"latch"}),
        ("brown-out", {"latch"}),
        ("power", set()),
    ],
)
def test_the_survival_table(event: str, kept: set[str]) -> None:
    part = Part("atecc608b").start()
    fill(part)
    assert {name for name, there in registers(part).items() if there} == ALL
    if event == "idle":
        part.write(b"\x02")
    elif event == "sleep":
        part.write(b"\x01")
    elif event == "watchdog":
        part.time += 2_000_000
    elif event == "brown-out":
        part.chip.brown_out()
    else:
        part.chip.power_off()
        part.chip.power_on()
        part.time += 1000
    part.wake()
    assert {name for name, there in registers(part).items() if there} == kept
    assert part.read(4) == WAKE_RESPONSE


def test_a_brown_out_without_power_does_not_power_the_part() -> None:
    part = Part()
    part.chip.power_off()
    part.chip.brown_out()
    assert part.power_is(Power.OFF)


def test_pause_of_another_selector_goes_idle_without_an_answer(part: Part) -> None:
    part.write(b"\x03" + Command(0x01, 5).encode())
    part.time = part.chip.busy_until
    assert part.power_is(Power.IDLE)
    part.wake()
    assert part.transact(0x01, 0) == b"\0"


# -- writes take effect at the end ---------------------------------------------------------------


def test_a_lock_takes_effect_when_the_command_ends(part: Part) -> None:
    packet = b"\x03" + Command(0x17, 0x80).encode()
    part.write(packet)
    part.time = part.chip.busy_until - 1
    assert not part.chip.memory.config_locked
    part.time += 1
    assert part.chip.memory.config_locked


def test_power_cut_before_the_write_leaves_the_old_content() -> None:
    part = Part(configuration="mongoose-os").locked(data=False).start()
    part.memory.set_slot(8, b"\x11" * 416)
    part.write(b"\x03" + Command(0x12, 0x82, 0x0040, b"\x22" * 32).encode())
    part.time = part.chip.busy_until - part.profile.nonvolatile_write_us - 1
    part.chip.power_off()
    assert part.memory.slot(8) == b"\x11" * 416


def test_power_cut_during_a_write_leaves_whole_words_old_or_new() -> None:
    seen = set()
    for before_end in range(1, 3500, 250):
        part = Part(configuration="mongoose-os").locked(data=False).start()
        part.memory.set_slot(8, b"\x11" * 416)
        part.write(b"\x03" + Command(0x12, 0x82, 0x0040, b"\x22" * 32).encode())
        part.time = part.chip.busy_until - before_end
        part.chip.power_off()
        content = part.memory.slot(8)
        new = content.count(b"\x22")
        assert new % 4 == 0
        assert content == b"\x22" * new + b"\x11" * (416 - new)
        seen.add(new)
    assert len(seen) > 4


def test_a_private_key_cut_while_it_is_written_is_no_key() -> None:
    part = Part(configuration="mongoose-os").locked(data=False).start()
    part.memory.set_private_key(0, TEST_SCALAR)
    assert part.send(0x30, 1, 0) == b"\x01\0\0\0"
    part.write(b"\x03" + Command(0x40, 4).encode())
    part.time = part.chip.busy_until - 2_000
    part.chip.power_off()
    part.chip.power_on()
    part.start()
    assert part.send(0x30, 1, 0) == b"\x00\0\0\0"
    assert part.send(0x40, 0, 0) == b"\x0f"


def test_a_private_key_cut_before_it_is_written_is_the_old_one() -> None:
    part = Part(configuration="mongoose-os").locked(data=False).start()
    part.memory.set_private_key(0, TEST_SCALAR)
    part.write(b"\x03" + Command(0x40, 4).encode())
    part.time = part.chip.busy_until - 9_000
    part.chip.power_off()
    assert part.memory.slot(0)[4:] == TEST_SCALAR
    assert part.memory.key_valid[0]


def test_an_interrupted_count_never_goes_back() -> None:
    for value in (15, 31, 47, 63, 95):
        for before_end in range(1, 2500, 300):
            part = Part().start()
            part.memory.set_config(52, encode_counter(value))
            part.write(b"\x03" + Command(0x24, 1).encode())
            part.time = part.chip.busy_until - before_end
            part.chip.power_off()
            assert part.memory.counter(0) >= value


# -- the log -------------------------------------------------------------------------------------


def test_the_log_tells_time_packet_answer_and_reason(part: Part) -> None:
    start = part.time
    part.transact(0x41, 0x80)
    line = part.chip.log[0]
    assert line.at_us == start
    assert line.command == Command(0x41, 0x80)
    assert line.raw == Command(0x41, 0x80).encode()
    assert line.response == bytes.fromhex("040f2342")
    assert "while the part is blank" in line.reason


def test_the_log_can_be_switched_off() -> None:
    part = Part(keep_log=False)
    part.send(0x30)
    assert part.chip.log == []


def test_no_private_key_appears_in_the_log_line_of_a_private_write() -> None:
    part = Part(configuration="mongoose-os").locked(data=False)
    part.send(0x46, 0, 0, bytes(4) + TEST_SCALAR + bytes(32))
    assert TEST_SCALAR.hex() not in repr(part.chip.log)
    assert TEST_SCALAR.hex() not in repr(part.chip) + repr(part.chip.session) + repr(
        part.chip.session.temp_key
    )
