"""The transport, byte by byte against scripts: waking, polling, sending again, budgets."""

from __future__ import annotations

import pytest

from hil.element.device import Element
from hil.element.repeat import Repeat, repeat_of
from hil.element.timing import Pace, execution_us
from hil.errors import DeviceTimeout, ElementError, FrameError, I2CNack, UsageError, WakeError
from hil.wire.atecc import Command, Opcode, encode_response, status_response

from .element_script import ADDRESS, AnsweringBus, Script

INFO = Command(Opcode.INFO)
RANDOM = Command(Opcode.RANDOM)
DIGEST = bytes(range(32))
SIGNATURE = bytes(range(64))
NONCE = Command(Opcode.NONCE, 0x03, 0, DIGEST)
SIGN = Command(Opcode.SIGN, 0x80, 0)
REVISION = bytes.fromhex("00005000")


def element(script: Script, **options: object) -> Element:
    return Element(script.bus(), ADDRESS, "atecc508a", **options)  # type: ignore[arg-type]


def finished(tested: Element) -> None:
    tested.bus.finish()  # type: ignore[attr-defined]


def test_one_command_is_wake_command_poll_answer_sleep() -> None:
    script = Script().wake().send(INFO).busy(7, 3).answer(REVISION).sleep()
    tested = element(script)
    assert tested.info_revision() == REVISION
    finished(tested)


def test_the_bytes_on_the_wire_are_those_of_a_known_trace() -> None:
    script = Script().wake().send(INFO)
    assert script.transactions[1].data.hex(" ") == "04 11 33 43"
    assert script.transactions[2].data.hex(" ") == "03 07 30 00 00 00 03 5d"


def test_it_waits_twhi_after_the_pulse_and_between_polls() -> None:
    tested = element(Script().wake().send(INFO).busy(7, 2).answer(REVISION).sleep())
    tested.info_revision()
    assert tested.clock.account["sleep"] == 1_500 + 500 + 2 * 1_000


def test_a_silent_element_is_a_wake_error_after_three_pulses() -> None:
    pace = Pace(wake_patience_us=0)
    script = Script()
    for _ in range(3):
        script.wake(b"")
        script.transactions.pop()
        script.busy(4)
    tested = element(script, pace=pace)
    with pytest.raises(WakeError, match="no wake answer 04 11 33 43 at 0x60 on script"):
        tested.info_revision()
    finished(tested)


def test_a_608_in_its_power_on_self_test_is_polled_until_it_wakes() -> None:
    script = Script().wake(b"")
    script.transactions.pop()
    script.busy(4, 10).read(bytes.fromhex("04113343")).send(INFO).answer(REVISION).sleep()
    tested = element(script)
    assert tested.info_revision() == REVISION
    finished(tested)


def test_an_element_that_was_awake_already_is_idled_and_woken_again() -> None:
    script = Script().wake(b"\xff" * 4).idle().wake().send(INFO).answer(REVISION).sleep()
    tested = element(script)
    assert tested.info_revision() == REVISION
    finished(tested)


def test_a_failed_self_test_at_wake_is_remembered_and_no_obstacle_to_waking() -> None:
    tested = element(Script().wake(status_response(7)).sleep())
    with tested.exchange():
        tested.wake()
    assert tested.self_test_failed
    finished(tested)


def test_no_answer_until_the_longest_time_with_margin_is_a_timeout() -> None:
    bus = AnsweringBus(lambda command: None)
    tested = Element(bus, ADDRESS, "atecc508a")
    with pytest.raises(DeviceTimeout, match="Lock at 0x60 on answering bus: no answer"):
        tested.execute(Command(Opcode.LOCK, 0, 0), 1)
    assert bus.log == [Command(Opcode.LOCK, 0, 0)]
    assert 164_000 <= tested.clock.now - 1_500 <= 166_000  # twice 32 ms + 50 ms


def test_a_damaged_answer_is_read_again_without_sending_the_command_again() -> None:
    good = encode_response(REVISION)
    bad = good[:3] + bytes((good[3] ^ 1,)) + good[4:]
    script = Script().wake().send(INFO).read(bad).rewind().read(good).sleep()
    tested = element(script)
    assert tested.info_revision() == REVISION
    finished(tested)


def test_an_answer_that_stays_damaged_is_a_frame_error_and_a_lock_is_not_repeated() -> None:
    bad = b"\x04\x00\x00\x00"
    lock = Command(Opcode.LOCK, 0, 0)
    tested = element(Script().wake().send(lock).read(bad).rewind().read(bad).rewind().read(bad).sleep())
    with pytest.raises(FrameError, match="CRC"):
        tested.execute(lock, 1)
    finished(tested)


def test_an_empty_output_buffer_counts_as_busy() -> None:
    script = Script().wake().send(INFO).read(b"\xff" * 7).rewind().answer(REVISION).sleep()
    tested = element(script)
    assert tested.info_revision() == REVISION
    finished(tested)


def test_a_longer_answer_than_expected_is_read_to_its_end() -> None:
    payload = bytes(range(36))
    group = encode_response(payload)
    command = Command(Opcode.SHA, 0x06)
    script = Script().wake().send(command).read(group[:4]).read(group[4:]).sleep()
    tested = element(script)
    assert tested.execute(command) == payload
    finished(tested)


def test_an_answer_of_another_length_is_never_taken_for_data() -> None:
    script = Script().wake()
    for _ in range(3):
        script.send(RANDOM).answer(REVISION, 32).idle().wake()
    del script.transactions[-3:]
    tested = element(script.sleep())
    with pytest.raises(FrameError, match="Random answered 4 bytes where 32 are due"):
        tested.random()
    finished(tested)


@pytest.mark.parametrize("status", [0x01, 0x03, 0x08, 0x0F, 0x42])
def test_a_status_is_an_error_and_not_repeated(status: int) -> None:
    tested = element(Script().wake().send(RANDOM).answer(bytes((status,)), 32).sleep())
    with pytest.raises(ElementError) as caught:
        tested.random()
    assert caught.value.status == status
    finished(tested)


@pytest.mark.parametrize("status", [0x05, 0x11, 0xEE, 0xFF])
def test_a_curable_status_lets_a_harmless_command_be_sent_again(status: int) -> None:
    script = Script().wake().send(RANDOM).answer(bytes((status,)), 32).idle()
    tested = element(script.wake().send(RANDOM).answer(DIGEST).sleep())
    assert tested.random() == DIGEST
    finished(tested)


def test_after_three_attempts_the_status_is_raised() -> None:
    script = Script()
    for _ in range(3):
        script.wake().send(RANDOM).answer(b"\xff", 32).idle()
    script.transactions.pop()
    tested = element(script.sleep())
    with pytest.raises(ElementError, match="Random: status 0xFF"):
        tested.random()
    finished(tested)


@pytest.mark.parametrize("status", [0x05, 0x11, 0xEE, 0xFF])
def test_no_status_makes_it_repeat_a_command_that_changes_the_element_for_good(status: int) -> None:
    command = Command(Opcode.GENKEY, 0x04, 0)
    tested = element(Script().wake().send(command).answer(bytes((status,)), 64).sleep())
    with pytest.raises(ElementError):
        tested.execute(command, 64)
    finished(tested)


def test_a_refused_write_is_repeated_for_a_harmless_command_only() -> None:
    script = Script().wake().send(RANDOM, nack=-1).idle().wake().send(RANDOM).answer(DIGEST).sleep()
    tested = element(script)
    assert tested.random() == DIGEST
    finished(tested)
    command = Command(Opcode.WRITE, 0x80, 8, DIGEST)
    tested = element(Script().wake().send(command, nack=12).sleep())
    with pytest.raises(I2CNack):
        tested.execute(command, 1)
    finished(tested)


def test_sign_is_not_repeated_alone_but_with_its_nonce() -> None:
    script = Script().wake().send(NONCE).answer(b"\0").send(SIGN).answer(b"\x11", 64).sleep()
    script.wake().send(NONCE).answer(b"\0").send(SIGN).answer(SIGNATURE).sleep()
    # between the two attempts: does slot 0 count its uses?
    limited = Command(Opcode.READ, 0, 5)
    at = 7
    script.transactions[at:at] = (
        Script().wake().send(limited).answer(bytes.fromhex("87648764")).sleep().transactions
    )
    tested = element(script)
    assert tested.sign_digest(0, DIGEST) == SIGNATURE
    finished(tested)


def test_an_exchange_with_a_key_of_limited_use_is_never_repeated() -> None:
    script = Script().wake().send(NONCE).answer(b"\0").send(SIGN).answer(b"\x11", 64).sleep()
    script.wake().send(Command(Opcode.READ, 0, 5)).answer(bytes.fromhex("a7648764")).sleep()
    tested = element(script)
    with pytest.raises(ElementError, match="0x11"):
        tested.sign_digest(0, DIGEST)
    finished(tested)


def test_an_exchange_is_not_repeated_for_a_refusal() -> None:
    script = Script().wake().send(NONCE).answer(b"\0").send(SIGN).answer(b"\x0f", 64).sleep()
    tested = element(script)
    with pytest.raises(ElementError, match="0x0F"):
        tested.sign_digest(0, DIGEST)
    finished(tested)


def test_a_session_idles_between_exchanges_and_sleeps_at_the_end() -> None:
    script = Script().wake().send(INFO).answer(REVISION).idle()
    script.wake().send(INFO).answer(REVISION).idle()
    tested = element(script.wake().sleep())
    with tested.session():
        tested.info_revision()
        tested.info_revision()
    finished(tested)


def test_an_exchange_is_one_wake() -> None:
    script = Script().wake().send(INFO).answer(REVISION).send(INFO).answer(REVISION).sleep()
    tested = element(script)
    with tested.exchange():
        tested.info_revision()
        tested.info_revision()
    finished(tested)


def test_it_idles_and_wakes_before_the_watchdog_budget_runs_out() -> None:
    script = Script().wake().send(INFO).answer(REVISION).idle().wake().send(INFO).answer(REVISION).sleep()
    tested = element(script)
    with tested.exchange():
        tested.info_revision()
        tested.clock.sleep(650_000)
        tested.info_revision()
    finished(tested)


def test_when_the_element_overslept_the_refusal_says_why() -> None:
    script = Script().wake().send(NONCE).answer(b"\0").state(2, nack=-1)
    tested = element(script.wake().send(SIGN).answer(b"\x0f", 64).sleep())
    with tested.exchange():
        tested.nonce_load(DIGEST)
        tested.clock.sleep(2_000_000)
        with pytest.raises(ElementError, match="fallen asleep and lost TempKey"):
            tested.sign_loaded(0)
    finished(tested)


def test_it_sleeps_also_when_the_body_of_an_exchange_fails() -> None:
    bus = AnsweringBus(lambda command: b"\x0f")
    tested = Element(bus, ADDRESS)
    with pytest.raises(ElementError), tested.exchange():
        tested.execute(Command(Opcode.LOCK, 0, 0), 1)
    assert bus.states == ["wake", "sleep"]


@pytest.mark.parametrize(
    ("command", "rule"),
    [
        (INFO, Repeat.ANY_TIME),
        (RANDOM, Repeat.ANY_TIME),
        (Command(Opcode.READ, 0x80), Repeat.ANY_TIME),
        (Command(Opcode.COUNTER, 0), Repeat.ANY_TIME),
        (Command(Opcode.NONCE, 0x03), Repeat.ANY_TIME),
        (Command(Opcode.NONCE, 0x00, 0x8000), Repeat.WITH_ITS_EXCHANGE),
        (Command(Opcode.GENKEY, 0x00), Repeat.ANY_TIME),
        (Command(Opcode.GENKEY, 0x08), Repeat.WITH_ITS_EXCHANGE),
        (Command(Opcode.GENKEY, 0x10, 8), Repeat.WITH_ITS_EXCHANGE),
        (Command(Opcode.GENKEY, 0x04, 0xFFFF), Repeat.ANY_TIME),
        (Command(Opcode.SHA, 0x00), Repeat.ANY_TIME),
        (Command(Opcode.SHA, 0x01), Repeat.WITH_ITS_EXCHANGE),
        (Command(Opcode.GENDIG, 2), Repeat.WITH_ITS_EXCHANGE),
        (SIGN, Repeat.WITH_ITS_EXCHANGE),
        (Command(Opcode.MAC), Repeat.WITH_ITS_EXCHANGE),
        (Command(Opcode.ECDH, 0x04), Repeat.NEVER),
        (Command(Opcode.GENKEY, 0x04, 0), Repeat.NEVER),
        (Command(Opcode.COUNTER, 1), Repeat.NEVER),
        (Command(Opcode.LOCK, 0), Repeat.NEVER),
        (Command(Opcode.WRITE, 2), Repeat.NEVER),
        (Command(Opcode.DERIVEKEY), Repeat.NEVER),
        (Command(Opcode.UPDATEEXTRA, 2), Repeat.NEVER),
        (Command(0x99), Repeat.NEVER),
    ],
)
def test_when_a_command_may_be_sent_again(command: Command, rule: Repeat) -> None:
    assert repeat_of(command) is rule


LONGEST_MS = """
AES 27 27 27 27         CheckMac 13 40 40 40    Counter 20 25 25 25     DeriveKey 50 50 50 50
ECDH 58 75 172 531      GenDig 11 25 35 35      GenKey 115 115 215 653  HMAC 23 23 23 23
Info 2 5 5 5            KDF 165 165 165 165     Lock 32 35 35 35        MAC 14 55 55 55
Nonce 29 20 20 20       PrivWrite 48 50 50 50   Random 23 23 23 23      Read 5 5 5 5
SecureBoot 480 80 160 480  SelfTest 2324 250 625 2324  SHA 9 36 42 75   Sign 60 115 220 665
UpdateExtra 10 10 10 10  Verify 72 105 295 1085  Write 26 45 45 45      Pause 3 3 3 3
"""
"""508A, then 608 at M0, M1, M2; where a part lacks the command, its longest time on the others."""


@pytest.mark.parametrize("at", range(0, 5 * len(Opcode), 5))
def test_longest_times_are_those_published(at: int) -> None:
    name, *expected = LONGEST_MS.split()[at : at + 5]
    (opcode,) = [opcode for opcode in Opcode if opcode.label == name]
    found = [execution_us(opcode, "atecc508a")]
    found += [execution_us(opcode, "atecc608a", divider) for divider in ("M0", "M1", "M2")]
    assert found == [int(ms) * 1000 for ms in expected]


def test_longest_times_follow_part_and_clock_divider() -> None:
    assert execution_us(Opcode.SIGN, "atecc508a") == 60_000
    assert execution_us(Opcode.SIGN, "atecc608b", "M2") == 665_000
    assert execution_us(Opcode.SIGN, None) == 115_000
    assert execution_us(Opcode.HMAC, "atecc608a") == 23_000
    assert execution_us(0x99, None) == 250_000


def test_impossible_addresses_and_parts_are_refused_before_the_bus_is_touched() -> None:
    for address in (0x00, 0x07, 0x78, 0xC0):
        with pytest.raises(UsageError, match=f"0x{address:02x}"):
            Element(Script().bus(), address)
    assert [Element(Script().bus(), address).address for address in (0x08, 0x77)] == [0x08, 0x77]
    with pytest.raises(UsageError, match="atmega"):
        Element(Script().bus(), 0x60, "atmega")


def test_a_sign_that_was_not_parsed_is_sent_again_alone_because_tempkey_is_untouched() -> None:
    script = Script().wake().send(NONCE).answer(b"\0").send(SIGN).answer(b"\xff", 64).idle()
    tested = element(script.wake().send(SIGN).answer(SIGNATURE).sleep())
    assert tested.sign_digest(0, DIGEST) == SIGNATURE
    finished(tested)


def test_a_sign_that_was_not_attempted_is_repeated_with_its_nonce_because_a_508a_clears_tempkey() -> None:
    script = Script().wake().send(NONCE).answer(b"\0").send(SIGN).answer(b"\xee", 64).sleep()
    script.wake().send(Command(Opcode.READ, 0, 5)).answer(bytes.fromhex("87648764")).sleep()
    tested = element(script.wake().send(NONCE).answer(b"\0").send(SIGN).answer(SIGNATURE).sleep())
    assert tested.sign_digest(0, DIGEST) == SIGNATURE
    finished(tested)
