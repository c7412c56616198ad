"""SLIP frames and loader packets: golden bytes, round trips, damage."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hil.errors import FrameError
from hil.wire.slip import (
    MAX_FRAME,
    SYNC_DATA,
    Code,
    Op,
    Request,
    Response,
    SlipDecoder,
    block,
    block_checksum,
    decode_request,
    decode_response,
    encode_slip,
    words,
)

SYNC_FRAME = bytes.fromhex("c000082400000000000707122055555555") + b"\x55" * 28 + b"\xc0"
"""As esptool sends it."""


def test_the_sync_frame_is_the_known_one() -> None:
    assert encode_slip(Request(Op.SYNC, SYNC_DATA).encode()) == SYNC_FRAME
    (content,) = SlipDecoder().feed(SYNC_FRAME)
    assert decode_request(content) == Request(Op.SYNC, SYNC_DATA)


def test_delimiter_and_escape_are_escaped_inside_a_frame() -> None:
    assert encode_slip(b"\xc0\x01\xdb") == b"\xc0\xdb\xdc\x01\xdb\xdd\xc0"
    assert SlipDecoder().feed(b"\xc0\xdb\xdc\x01\xdb\xdd\xc0") == [b"\xc0\x01\xdb"]


def test_checksum_is_xor_seeded_with_ef() -> None:
    assert block_checksum(b"") == 0xEF
    assert block_checksum(b"\x01\x02\xef") == 0x03


def test_a_block_carries_length_sequence_and_checksum() -> None:
    request = block(Op.FLASH_DATA, 7, b"ab")
    assert request.data == bytes.fromhex("0200000007000000 0000000000000000") + b"ab"
    assert request.checksum == block_checksum(b"ab")


@pytest.mark.parametrize("size", [2, 4])
def test_a_response_ends_in_its_status(size: int) -> None:
    good = Response(Op.READ_REG, 0xFFF0C101, b"", 0, size)
    assert good.encode() == bytes.fromhex(f"010a{size:02x}0001c1f0ff") + bytes(size)
    assert decode_response(good.encode(), status_size=size) == good
    bad = Response(Op.FLASH_DATA, code=Code.BAD_CHECKSUM, status_size=size)
    assert bad.encode()[-size:] == b"\x01\x07".ljust(size, b"\0")
    assert decode_response(bad.encode(), status_size=size).code == Code.BAD_CHECKSUM


@pytest.mark.parametrize(
    "packet",
    [b"", b"\x00\x08", bytes.fromhex("0108000000000000"), bytes.fromhex("0008050000000000aabb")],
    ids=["empty", "cut", "a response", "wrong length"],
)
def test_what_is_no_request_is_refused(packet: bytes) -> None:
    with pytest.raises(FrameError):
        decode_request(packet)


def test_a_response_needs_a_status() -> None:
    with pytest.raises(FrameError, match="status"):
        decode_response(bytes.fromhex("0108010000000000aa"))


def test_missing_words_are_refused() -> None:
    assert words(bytes.fromhex("0100000002000000ff"), 2) == (1, 2)
    with pytest.raises(FrameError):
        words(b"\x01\0\0", 1)


@given(frames=st.lists(st.binary(min_size=1, max_size=40), max_size=6), cuts=st.data())
def test_frames_survive_any_chopping_and_text_between_them(frames: list[bytes], cuts: st.DataObject) -> None:
    stream = b"ets Jan  8 2013\r\n" + b"".join(encode_slip(f) + b"noise\r\n" for f in frames)
    decoder, found = SlipDecoder(), []
    while stream:
        size = cuts.draw(st.integers(1, len(stream)))
        found += decoder.feed(stream[:size])
        stream = stream[size:]
    assert found == frames


@given(content=st.binary(min_size=1, max_size=30), lost=st.integers(0, 40))
def test_a_lost_byte_costs_two_frames_at_most(content: bytes, lost: int) -> None:
    damaged = bytearray(encode_slip(content))
    del damaged[lost % len(damaged)]
    decoder = SlipDecoder()
    found = decoder.feed(bytes(damaged) + encode_slip(b"next") + encode_slip(b"last") + encode_slip(b"end"))
    assert found[-2:] == [b"last", b"end"]


def test_a_bad_escape_drops_the_frame_and_no_other() -> None:
    assert SlipDecoder().feed(b"\xc0a\xdbb\xc0" + encode_slip(b"x") + encode_slip(b"y"))[-1] == b"y"


def test_an_endless_frame_is_dropped() -> None:
    decoder = SlipDecoder()
    assert decoder.feed(b"\xc0" + b"a" * (MAX_FRAME + 10)) == []
    assert decoder.feed(encode_slip(b"next")) == [b"next"]
