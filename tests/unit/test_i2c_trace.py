"""Traces: what is recorded, what is hidden, how it reads, and that a replay is strict."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from hil.clock import World
from hil.element.device import Element
from hil.errors import ConfigError, ElementError, I2CError, I2CNack, RigError
from hil.i2c.recorded import RecordedBus
from hil.i2c.trace import Decoder, TracedBus, Transaction, dump_trace, listing, load_trace
from hil.wire.atecc import Command, Opcode, encode_response

from .element_script import ADDRESS, AnsweringBus, Script

if TYPE_CHECKING:
    from pathlib import Path

REVISION = bytes.fromhex("00006002")
DIGEST = bytes(range(32))


def recorded(element_work: str = "info") -> list[Transaction]:
    script = Script().wake().send(Command(Opcode.INFO)).busy(7, 2).answer(REVISION).sleep()
    seen: list[Transaction] = []
    bus = TracedBus(script.bus(), seen.append)
    Element(bus, ADDRESS).info_revision()
    return seen


def test_every_transaction_is_recorded_with_time_and_outcome() -> None:
    seen = recorded()
    assert [(t.op, t.address, t.data.hex(), t.length, t.nack) for t in seen] == [
        ("wake", 0, "", 0, None),
        ("read", 0x60, "04113343", 4, None),
        ("write", 0x60, "030730000000035d", 0, None),
        ("read", 0x60, "", 7, -1),
        ("read", 0x60, "", 7, -1),
        ("read", 0x60, "07000060028038", 7, None),
        ("write", 0x60, "01", 0, None),
    ]
    assert [t.at for t in seen[:3]] == [0, 1_680, 1_780]
    assert seen[0].us == 180


def test_jsonl_says_what_each_line_means_and_comes_back_exactly() -> None:
    seen = recorded()
    text = dump_trace(seen, bus="script", clock="virtual")
    header, *lines = [json.loads(line) for line in text.splitlines()]
    assert header == {"trace": "i2c", "version": 1, "bus": "script", "clock": "virtual"}
    assert [line["means"] for line in lines] == [
        "wake pulse",
        "awake",
        "Info mode 0x00 p2 0x0000",
        "busy",
        "busy",
        "Info answers 4 bytes",
        "sleep",
    ]
    assert load_trace(text) == seen


def test_the_listing_puts_polls_into_one_line() -> None:
    rows = listing(recorded()).splitlines()
    assert len(rows) == 6
    assert rows[0].split() == ["0.000", "ms", "wake", "wake", "pulse"]
    assert "write 0x60     Info mode 0x00 p2 0x0000  [03 07 30 00 00 00 03 5d]" in rows[2]
    assert rows[3].strip() == "busy, 2 polls"
    assert rows[5].endswith("sleep  [01]")


def test_a_listing_that_ends_in_polls_says_so() -> None:
    rows = listing(recorded()[:5]).splitlines()
    assert rows[-1].strip() == "busy, 2 polls"


@pytest.mark.parametrize(
    ("command", "hidden"),
    [
        (Command(Opcode.PRIVWRITE, 0x00, 0, bytes(4) + DIGEST + bytes(32)), True),
        (Command(Opcode.PRIVWRITE, 0x40, 0, bytes(68)), False),
        (Command(Opcode.WRITE, 0x82, 0x20, DIGEST), True),
        (Command(Opcode.WRITE, 0xC2, 0x20, bytes(64)), False),
        (Command(Opcode.WRITE, 0x80, 0x08, DIGEST), False),
        (Command(Opcode.NONCE, 0x83, 0, DIGEST), True),
        (Command(Opcode.NONCE, 0x03, 0, DIGEST), False),
    ],
)
def test_keys_in_clear_are_hidden(command: Command, hidden: bool) -> None:
    seen: list[Transaction] = []
    bus = TracedBus(AnsweringBus(lambda c: b"\0"), seen.append)
    bus.wake_pulse()
    bus.write(ADDRESS, b"\x03" + command.encode())
    assert (command.data.hex() not in seen[-1].data.hex()) is hidden
    text = dump_trace(seen, bus="b", clock="virtual") + listing(seen)
    assert ("??" in text) is hidden
    assert ("data hidden" in text) is hidden


def test_a_key_that_is_sent_in_pieces_is_hidden_in_each_piece() -> None:
    seen: list[Transaction] = []
    bus = TracedBus(AnsweringBus(lambda c: b"\0"), seen.append)
    bus.bus = _Swallowing()  # type: ignore[assignment]
    group = Command(Opcode.PRIVWRITE, 0x00, 0, bytes(4) + DIGEST + bytes(32)).encode()
    for at in range(0, len(group), 20):
        bus.write(ADDRESS, b"\x03" + group[at : at + 20])
    shown = b"".join(t.data[1:] for t in seen)
    assert len(shown) == len(group)
    assert shown[:5] == group[:5]
    assert shown[5:] == bytes(len(group) - 5)


class _Swallowing:
    name = "swallowing"
    physical = False
    clock = World()

    def write(self, address: int, data: bytes) -> None: ...


def test_an_agreed_key_is_hidden_and_the_next_answer_is_not() -> None:
    seen: list[Transaction] = []
    bus = TracedBus(AnsweringBus(lambda c: DIGEST), seen.append)
    element = Element(bus, ADDRESS, "atecc508a")
    assert element.ecdh(0, bytes(64)) == DIGEST
    assert element.random() == DIGEST
    answers = [t for t in seen if t.op == "read" and t.length == 35]
    assert [t.data[1:33] for t in answers] == [bytes(32), DIGEST]


def test_a_status_in_place_of_an_agreed_key_is_shown() -> None:
    seen: list[Transaction] = []
    bus = TracedBus(AnsweringBus(lambda c: b"\x0f"), seen.append)
    with pytest.raises(ElementError):
        Element(bus, ADDRESS, "atecc508a").ecdh(0, bytes(64))
    assert "ECDH: execution error" in listing(seen)


def test_an_agreed_key_that_is_read_in_pieces_is_hidden() -> None:
    seen: list[Transaction] = []
    script = Script().wake().send(Command(Opcode.ECDH, 0, 0, bytes(64)))
    group = encode_response(DIGEST)
    script.read(b"\xff", 1).read(group[:1]).read(group[1:])
    bus = TracedBus(script.bus(), seen.append)
    bus.wake_pulse()
    bus.read(ADDRESS, 4)
    bus.write(ADDRESS, script.transactions[2].data)
    assert [bus.read(ADDRESS, n) for n in (1, 1, 34)] == [b"\xff", group[:1], group[1:]]
    assert [t.data for t in seen[-3:]] == [b"\xff", group[:1], bytes(34)]


@pytest.mark.parametrize("count", [0x04, 0x24, 0xA3, 0xFF, 0x00])
def test_a_damaged_count_does_not_make_an_agreed_key_a_status(count: int) -> None:
    answer = bytes((count,)) + encode_response(DIGEST)[1:]
    assert [t.data for t in after_ecdh(answer)] == [answer[:1] + bytes(34)]
    pieces = after_ecdh(answer[:1], answer[1:])
    assert b"".join(t.data for t in pieces) == answer[:1] + bytes(34)
    assert DIGEST[:3].hex(" ") not in listing(pieces) + dump_trace(pieces, bus="b", clock="virtual")


def test_a_status_that_is_read_in_pieces_is_shown_when_it_is_whole() -> None:
    status = encode_response(b"\x0f")
    assert [t.data for t in after_ecdh(status + b"\xff" * 31)] == [status + b"\xff" * 31]
    assert [t.data for t in after_ecdh(status[:1], status[1:])] == [status[:1], status[1:]]
    assert [t.data for t in after_ecdh(status, DIGEST)] == [status, bytes(32)]


def test_a_key_is_hidden_whose_opcode_comes_in_a_second_piece() -> None:
    group = Command(Opcode.ECDH, 0, 0, bytes(64)).encode()
    seen = after_ecdh(encode_response(DIGEST), sent=(group[:1], group[1:3], group[3:]))
    assert seen[-1].data[1:] == bytes(34)
    group = Command(Opcode.PRIVWRITE, 0x00, 0, bytes(4) + DIGEST + bytes(32)).encode()
    seen = [t for t in after_ecdh(sent=(group[:1], group[1:2], group[2:4], group[4:])) if t.op == "write"]
    assert b"".join(t.data[1:] for t in seen) == group[:5] + bytes(len(group) - 5)
    assert [t.hidden for t in seen] == [None, None, None, 2]


def after_ecdh(*answers: bytes, sent: tuple[bytes, ...] = ()) -> list[Transaction]:
    """What a trace keeps of the answers to an ECDH (or to what is ``sent``), read piece by piece."""
    pieces = sent or (Command(Opcode.ECDH, 0, 0, bytes(64)).encode(),)
    inner = [Transaction(0, 0, "write", ADDRESS, b"\x03" + piece) for piece in pieces]
    inner += [Transaction(0, 0, "read", ADDRESS, answer, len(answer)) for answer in answers]
    seen: list[Transaction] = []
    bus = TracedBus(RecordedBus(inner, World()), seen.append)
    for piece in pieces:
        bus.write(ADDRESS, b"\x03" + piece)
    assert tuple(bus.read(ADDRESS, len(answer)) for answer in answers) == answers
    return [t for t in seen if t.op == "read" or sent]


def test_secrets_are_recorded_if_asked_for() -> None:
    seen: list[Transaction] = []
    bus = TracedBus(AnsweringBus(lambda c: DIGEST), seen.append, secrets=True)
    Element(bus, ADDRESS, "atecc508a").ecdh(0, bytes(64))
    assert any(DIGEST in t.data for t in seen)


def test_failures_are_recorded_and_passed_on() -> None:
    seen: list[Transaction] = []
    inner = RecordedBus(
        [
            Transaction(0, 90, "write", 0x60, b"\x02", nack=0),
            Transaction(0, 90, "read", 0x60, length=4, error="SDA is low"),
            Transaction(0, 90, "wake", 0, error="SDA is low"),
        ],
        World(),
    )
    bus = TracedBus(inner, seen.append)
    with pytest.raises(I2CNack):
        bus.write(0x60, b"\x02")
    with pytest.raises(I2CError, match="SDA is low"):
        bus.read(0x60, 4)
    with pytest.raises(I2CError, match="SDA is low"):
        bus.wake_pulse()
    assert [(t.nack, t.error) for t in seen] == [(0, None), (None, "SDA is low"), (None, "SDA is low")]
    assert "bus error: SDA is low" in listing(seen)
    assert load_trace(dump_trace(seen, bus="b", clock="virtual")) == seen


def meanings(*items: Transaction) -> list[str]:
    decoder = Decoder()
    return [decoder.feed(item) for item in items]


def write(data: str, **more: int) -> Transaction:
    return Transaction(0, 0, "write", 0x60, bytes.fromhex(data), **more)  # type: ignore[arg-type]


def read(data: str) -> Transaction:
    return Transaction(0, 0, "read", 0x60, bytes.fromhex(data), len(bytes.fromhex(data)))


def test_the_decoder_knows_what_can_happen_on_the_bus() -> None:
    sign = "03" + Command(Opcode.SIGN, 0x80).encode().hex()
    assert meanings(write("")) == ["probe"]
    assert meanings(write("00"), write("02"), write("07")) == [
        "read again",
        "idle",
        "word address 0x07, which is reserved",
    ]
    assert meanings(write("01", nack=-1)) == ["not acknowledged: asleep, idle, busy or absent"]
    assert meanings(write("0307", nack=1)) == ["byte 1 not acknowledged"]
    assert meanings(write(sign), read("040f2342"))[1].startswith("Sign: execution error")
    assert meanings(write(sign), read("07"), read("00006002 8038"))[1:] == [
        "Sign begins to answer",
        "Sign answers 4 bytes",
    ]
    assert meanings(write(sign), read("ffffffff"))[1] == "nothing there (FF)"
    assert meanings(write(sign), read("040f0000"))[1].startswith("Sign answers damaged: CRC")
    assert meanings(write("0307410000"))[0].startswith("no whole command")
    assert meanings(read(""), write(sign), read(""))[::2] == ["a read of no bytes"] * 2


# Replay


def test_a_session_replays_byte_for_byte(tmp_path: Path) -> None:
    path = tmp_path / "info.jsonl"
    path.write_text(dump_trace(recorded(), bus="script", clock="virtual"), encoding="utf-8")
    world = World()
    bus = RecordedBus.load(path, world)
    assert Element(bus, ADDRESS).info_revision() == REVISION
    bus.finish()
    assert world.now == recorded()[-1].at + 100


def test_the_first_difference_stops_a_replay_and_is_shown() -> None:
    bus = RecordedBus(recorded(), World())
    with pytest.raises(RigError, match=r"transaction 3 differs:\n.*07 30 .*\n.*07 1b") as caught:
        Element(bus, ADDRESS).random()
    assert "now" in str(caught.value)


def test_a_difference_does_not_show_a_key_that_is_sent() -> None:
    key = Command(Opcode.PRIVWRITE, 0x00, 0, bytes(4) + DIGEST + bytes(32)).encode()
    with pytest.raises(RigError, match=r"differs") as caught:
        RecordedBus([Transaction(0, 0, "write", 0x60, b"\1")], World()).write(0x60, b"\x03" + key)
    assert "03 4b 46 00 00 00 ?? ??" in str(caught.value)
    assert DIGEST[4:9].hex(" ") not in str(caught.value)


@pytest.mark.parametrize(
    "expected",
    [
        Transaction(0, 0, "write", 0x61, b"\1"),
        Transaction(0, 0, "read", 0x60, length=1),
        Transaction(0, 0, "wake", 0x60),
        Transaction(0, 0, "write", 0x60, b"\1\1"),
        Transaction(0, 0, "write", 0x60, b"\2"),
    ],
)
def test_every_kind_of_difference_is_one(expected: Transaction) -> None:
    with pytest.raises(RigError, match="differs"):
        RecordedBus([expected], World()).write(0x60, b"\1")


def test_a_read_of_another_length_differs() -> None:
    with pytest.raises(RigError, match="differs"):
        RecordedBus([Transaction(0, 0, "read", 0x60, b"abc", 3)], World()).read(0x60, 4)


def test_a_replay_must_be_finished_and_must_not_go_on() -> None:
    bus = RecordedBus(recorded(), World())
    with pytest.raises(RigError, match="7 recorded transactions are left, next a wake pulse"):
        bus.finish()
    bus = RecordedBus([], World())
    with pytest.raises(RigError, match="the recording is over, but there is a read of 4 bytes from 0x60"):
        bus.read(0x60, 4)


def test_hidden_bytes_are_not_compared_but_all_others_are() -> None:
    command = Command(Opcode.PRIVWRITE, 0x00, 0, bytes(4) + DIGEST + bytes(32))
    seen: list[Transaction] = []
    bus = TracedBus(AnsweringBus(lambda c: b"\0"), seen.append)
    bus.wake_pulse()
    bus.write(ADDRESS, b"\x03" + command.encode())
    replay = RecordedBus(load_trace(dump_trace(seen, bus="b", clock="virtual")), World())
    replay.wake_pulse()
    replay.write(ADDRESS, b"\x03" + command.encode())
    replay = RecordedBus(seen[1:], World())
    with pytest.raises(RigError, match="differs"):
        replay.write(ADDRESS, b"\x03" + Command(Opcode.PRIVWRITE, 0x00, 1, command.data).encode())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("{}", ":1:"),
        ('{"trace": "i2c", "version": 2}', ":1: not an I2C trace of version 1"),
        ('{"trace": "i2c", "version": 1}\n{"at": 1}', ":2:"),
        ('{"trace": "i2c", "version": 1}\nnonsense', ":2:"),
        ('{"trace": "i2c", "version": 1}\n{"at":0,"us":0,"op":"jump","address":"0x60"}', "unknown op 'jump'"),
    ],
)
def test_what_is_no_trace_is_a_config_error_with_its_line(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_trace(text, "t.jsonl")
