"""MQTT 3.1.1 packets: golden bytes, every field both ways, streams cut anywhere, broken packets."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hil.errors import FrameError, UsageError
from hil.wire.mqtt import (
    ConnAck,
    Connect,
    Decoder,
    Disconnect,
    Packet,
    PingReq,
    PingResp,
    PubAck,
    PubComp,
    Publish,
    PubRec,
    PubRel,
    SubAck,
    Subscribe,
    UnsubAck,
    Unsubscribe,
    encode,
    topic_matches,
    valid_filter,
    valid_topic,
)

GOLDEN: list[tuple[Packet, str]] = [
    # Figures 3.2-3.6 of the standard: clean session, will QoS 1, user name, password, keep alive 10.
    (
        Connect("c", True, 10, "u", b"p", Publish("w", b"m", qos=1)),
        "1019 0004 4d515454 04 ce 000a 0001 63 0001 77 0001 6d 0001 75 0001 70",
    ),
    (Connect("test-device", True, 60), "1017 0004 4d515454 04 02 003c 000b 746573742d646576696365"),
    (ConnAck(0), "2002 0000"),
    (ConnAck(5, session_present=False), "2002 0005"),
    (ConnAck(0, session_present=True), "2002 0100"),
    (Publish("a/b", b"", qos=1, packet_id=10), "3207 0003 612f62 000a"),  # figure 3.11
    (Publish("a/b", b"hi", retain=True), "3107 0003 612f62 6869"),
    (Publish("a", b"x", qos=2, packet_id=258, dup=True), "3c06 0001 61 0102 78"),
    (PubAck(10), "4002 000a"),
    (PubRec(10), "5002 000a"),
    (PubRel(10), "6202 000a"),
    (PubComp(10), "7002 000a"),
    (Subscribe(10, (("a/b", 1), ("c/d", 2))), "820e 000a 0003 612f62 01 0003 632f64 02"),  # figure 3.22
    (SubAck(10, (0, 2, 0x80)), "9005 000a 00 02 80"),  # figure 3.26
    (Unsubscribe(10, ("a/b", "c/d")), "a20c 000a 0003 612f62 0003 632f64"),  # figure 3.30
    (UnsubAck(10), "b002 000a"),
    (PingReq(), "c000"),
    (PingResp(), "d000"),
    (Disconnect(), "e000"),
]


@pytest.mark.parametrize(("packet", "hexadecimal"), GOLDEN, ids=lambda value: str(value)[:24])
def test_packets_have_exactly_these_bytes_both_ways(packet: Packet, hexadecimal: str) -> None:
    raw = bytes.fromhex(hexadecimal)
    assert encode(packet) == raw
    assert list(Decoder().feed(raw)) == [packet]


@pytest.mark.parametrize(
    ("length", "field"),
    [(0, "00"), (127, "7f"), (128, "8001"), (16_383, "ff7f"), (16_384, "808001"), (2_097_152, "80808001")],
)  # table 2.4
def test_the_remaining_length_takes_one_to_four_bytes(length: int, field: str) -> None:
    raw = encode(PingReq() if length < 3 else Publish("t", bytes(length - 3)))
    assert raw[1 : 1 + len(field) // 2].hex() == field


names = st.text(st.characters(exclude_characters="\0+#", exclude_categories=["Cs"]), min_size=1, max_size=20)
ids = st.integers(1, 0xFFFF)
wills = st.none() | st.builds(
    Publish, names, st.binary(max_size=9), st.integers(0, 2), st.just(0), st.booleans()
)
packets: st.SearchStrategy[Packet] = st.one_of(
    st.builds(Connect, names, st.booleans(), st.integers(0, 0xFFFF), st.none(), st.none(), wills),
    st.builds(Connect, names, st.booleans(), st.integers(0, 0xFFFF), names, st.binary(max_size=9), wills),
    st.builds(ConnAck, st.integers(0, 5), st.booleans()),
    st.builds(Publish, names, st.binary(max_size=300), st.just(0), st.just(0), st.booleans()),
    st.builds(Publish, names, st.binary(max_size=300), st.integers(1, 2), ids, st.booleans(), st.booleans()),
    st.builds(
        Subscribe, ids, st.lists(st.tuples(names, st.integers(0, 2)), min_size=1, max_size=4).map(tuple)
    ),
    st.builds(SubAck, ids, st.lists(st.sampled_from([0, 1, 2, 0x80]), min_size=1, max_size=4).map(tuple)),
    st.builds(Unsubscribe, ids, st.lists(names, min_size=1, max_size=4).map(tuple)),
    st.builds(PubAck, ids),
    st.builds(UnsubAck, ids),
    st.just(PingReq()),
    st.just(Disconnect()),
)


@given(st.lists(packets, min_size=1, max_size=5), st.data())
def test_a_stream_cut_anywhere_gives_the_same_packets(sent: list[Packet], data: st.DataObject) -> None:
    raw = b"".join(map(encode, sent))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(raw)), max_size=6)))
    decoder = Decoder()
    received: list[Packet] = []
    for start, end in zip([0, *cuts], [*cuts, len(raw)], strict=True):
        received += decoder.feed(raw[start:end])
    assert received == sent


@given(st.binary(max_size=60))
def test_arbitrary_bytes_are_packets_or_a_frame_error(raw: bytes) -> None:
    try:
        received = list(Decoder().feed(raw))
    except FrameError:
        return
    for packet in received:
        again = list(Decoder().feed(encode(packet))) if not _level5(packet) else [packet]
        assert again == [packet]


def _level5(packet: Packet) -> bool:
    return isinstance(packet, Connect) and packet.level == 5


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        ("0000", "type 0"),
        ("f000", "type 15"),
        ("c100", "reserved flags"),
        ("8006 000a 0001 61 01", "reserved flags"),
        ("6002 000a", "reserved flags"),
        ("3602 0001", "QoS 3"),
        ("3804 0001 6178", "DUP with QoS 0"),
        ("3005 0003 612b62", "not a topic name"),
        ("3002 0000", "not a topic name"),
        ("3205 0001 61 0000", "packet id 0"),
        ("3005 0001 00 6162", "U\\+0000"),
        ("3005 0002 c328 61", "UTF-8"),
        ("3003 0009 61", "too early"),
        ("4003 000a ff", "too many"),
        ("8202 000a", "without a filter"),
        ("8206 000a 0001 61 03", "QoS 3"),
        ("8207 000a 0002 6123 00", "not a topic filter"),
        ("a202 000a", "without a filter"),
        ("9003 000a 03", "return codes"),
        ("2002 0200", "reserved flags"),
        ("100c 0004 4d515454 04 03 000a 0000", "reserved flag"),
        ("100c 0004 4d515454 04 22 000a 0000", "will flags"),
        ("100c 0004 4d515454 04 42 000a 0000", "without a user name"),
        ("100c 0004 4d515454 07 02 000a 0000", "level 7"),
        ("30ffffffff01", "four bytes"),
    ],
)
def test_broken_packets_are_frame_errors_that_say_what(raw: str, words: str) -> None:
    with pytest.raises(FrameError, match=words):
        list(Decoder().feed(bytes.fromhex(raw)))


def test_a_packet_beyond_the_limit_is_refused_before_it_is_buffered() -> None:
    with pytest.raises(FrameError, match="limit 100"):
        list(Decoder(max_length=100).feed(bytes.fromhex("3065")))


def test_a_level_5_connect_is_told_by_its_level() -> None:
    raw = bytes.fromhex("100d 0004 4d515454 05 02 003c 00 0000")
    assert list(Decoder().feed(raw)) == [Connect("", level=5)]


@pytest.mark.parametrize(
    ("packet", "words"),
    [
        (Publish("a/+", b""), "topic name"),
        (Publish("a", b"", qos=3), "QoS 3"),
        (Publish("a", b"", qos=1), "packet id 0"),
        (Connect("c", password=b"x"), "user name"),
        (Connect("c\0"), "U\\+0000"),
        (Connect("c" * 70_000), "65535"),
        (Subscribe(1, ()), "at least one"),
        (Unsubscribe(1, ()), "at least one"),
        (PubAck(65_536), "packet id"),
    ],
)
def test_packets_that_cannot_be_are_usage_errors(packet: Packet, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        encode(packet)


@pytest.mark.parametrize(
    ("topic_filter", "topic", "matches"),
    [
        ("sport/tennis/player1/#", "sport/tennis/player1", True),  # 4.7.1.2
        ("sport/tennis/player1/#", "sport/tennis/player1/score/wimbledon", True),
        ("#", "a/b", True),
        ("sport/tennis/+", "sport/tennis/player1", True),  # 4.7.1.3
        ("sport/tennis/+", "sport/tennis/player1/ranking", False),
        ("sport/+", "sport", False),
        ("sport/+", "sport/", True),
        ("+/+", "/finance", True),
        ("/+", "/finance", True),
        ("+", "/finance", False),
        ("#", "$SYS/x", False),  # 4.7.2
        ("+/monitor/Clients", "$SYS/monitor/Clients", False),
        ("$SYS/#", "$SYS/x", True),
        ("a/b", "a/b", True),
        ("a/b", "A/b", False),
        ("a/b", "a/b/c", False),
        ("a/b/c", "a/b", False),
    ],
)
def test_filters_match_as_the_standard_says(topic_filter: str, topic: str, matches: bool) -> None:
    assert topic_matches(topic_filter, topic) is matches


def test_without_parent_a_hash_does_not_match_the_level_above() -> None:
    assert not topic_matches("a/#", "a", parent=False)
    assert topic_matches("a/#", "a/b", parent=False)


def test_names_and_filters_are_told_apart() -> None:
    assert [valid_topic(name) for name in ("a/b", "/", "", "a/+", "a#", "a\0")] == [
        True,
        True,
        False,
        False,
        False,
        False,
    ]
    good, bad = ("a/b", "#", "+", "a/+/b/#", "/"), ("", "a#", "#/a", "a/#/b", "a+/b", "a\0")
    assert all(map(valid_filter, good))
    assert not any(map(valid_filter, bad))
