from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hil.errors import FrameError
from hil.wire.http import HttpReader, encode_request, encode_response
from hil.wire.websocket import Opcode, WsMessage, WsReader, accept_key, encode_frame


def test_a_request_is_encoded_and_read() -> None:
    data = encode_request("POST", "/rpc", host="h:80", body=b"{}", headers={"X-A": "1"})
    assert data == b"POST /rpc HTTP/1.1\r\nHost: h:80\r\nX-A: 1\r\nContent-Length: 2\r\n\r\n{}"
    [message] = HttpReader(responses=False).feed(data)
    assert message.request == ("POST", "/rpc")
    assert (message.body, message.headers["x-a"]) == (b"{}", "1")


def test_pipelined_messages_and_an_empty_body() -> None:
    data = encode_request("GET", "/a", host="h") + encode_request("GET", "/b", host="h")
    assert [m.request[1] for m in HttpReader(responses=False).feed(data)] == ["/a", "/b"]


def test_a_chunked_body_is_joined() -> None:
    data = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4;x=y\r\nWiki\r\n5\r\npedia\r\n0\r\n\r\n"
    [message] = HttpReader(responses=True).feed(data)
    assert (message.status, message.body) == (200, b"Wikipedia")


def test_a_body_without_length_ends_with_the_stream() -> None:
    reader = HttpReader(responses=True)
    assert reader.feed(b"HTTP/1.0 200 OK\r\n\r\nall of it") == []
    message = reader.end()
    assert message is not None
    assert message.body == b"all of it"
    assert HttpReader(responses=True).end() is None


@pytest.mark.parametrize("status", [101, 204])
def test_some_answers_have_no_body(status: int) -> None:
    [message] = HttpReader(responses=True).feed(b"HTTP/1.1 %d X\r\n\r\n" % status)
    assert (message.status, message.body) == (status, b"")


@given(st.lists(st.integers(0, 400), max_size=12))
def test_chopping_changes_nothing(places: list[int]) -> None:
    data = encode_response(200, b"first") + encode_response(404) + encode_response(200, b"x" * 200)
    bounds = sorted({0, len(data), *(place % len(data) for place in places)})
    reader = HttpReader(responses=True)
    found = [m for a, b in pairwise(bounds) for m in reader.feed(data[a:b])]
    assert [(m.status, len(m.body)) for m in found] == [(200, 5), (404, 0), (200, 200)]
    assert reader.pending == b""


@pytest.mark.parametrize(
    "data",
    [
        b"SSH-2.0-OpenSSH\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
        b"HTTP/1.1 abc OK\r\n\r\n",
        b"x" * 20_000,
    ],
)
def test_what_is_no_http_is_a_frame_error(data: bytes) -> None:
    with pytest.raises(FrameError):
        HttpReader(responses=True).feed(data)


def test_a_stream_that_ends_within_a_message_is_a_frame_error() -> None:
    reader = HttpReader(responses=True)
    reader.feed(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc")
    with pytest.raises(FrameError, match="within an HTTP message"):
        reader.end()


def test_a_response_is_no_request() -> None:
    [message] = HttpReader(responses=True).feed(encode_response(200))
    with pytest.raises(FrameError):
        _ = message.request


# -- WebSocket: examples of RFC 6455, sections 1.3 and 5.7 ---------------------------------------


def test_the_accept_key_of_the_rfc() -> None:
    assert accept_key("dGhlIHNhbXBsZSBub25jZQ==") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


def test_the_frames_of_the_rfc() -> None:
    assert encode_frame(Opcode.TEXT, b"Hello").hex() == "810548656c6c6f"
    assert encode_frame(Opcode.TEXT, b"Hello", mask=bytes.fromhex("37fa213d")).hex() == (
        "818537fa213d7f9f4d5158"
    )
    reader = WsReader()
    assert reader.feed(bytes.fromhex("818537fa213d7f9f4d5158")) == [WsMessage(Opcode.TEXT, b"Hello")]
    assert reader.feed(bytes.fromhex("010348656c")) == []
    assert reader.feed(bytes.fromhex("890548656c6c6f")) == [WsMessage(Opcode.PING, b"Hello")]
    assert reader.feed(bytes.fromhex("80026c6f")) == [WsMessage(Opcode.TEXT, b"Hello")]


@pytest.mark.parametrize("length", [0, 125, 126, 65_535, 65_536])
def test_every_length_form_comes_back_byte_by_byte_or_whole(length: int) -> None:
    data = b"x" * length
    frame = encode_frame(Opcode.BINARY, data, mask=b"abcd")
    assert WsReader().feed(frame) == [WsMessage(Opcode.BINARY, data)]
    reader = WsReader()
    pieces = [*(frame[i : i + 1] for i in range(20)), frame[20:]]
    assert [m for piece in pieces for m in reader.feed(piece)] == [WsMessage(Opcode.BINARY, data)]


@pytest.mark.parametrize("frame", ["8300", "8000", "827f7fffffffffffffff"])
def test_frames_that_break_the_protocol_are_errors(frame: str) -> None:
    with pytest.raises(FrameError):
        WsReader().feed(bytes.fromhex(frame))
