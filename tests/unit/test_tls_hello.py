"""Reading a ClientHello: whole, in pieces, over several records, and broken."""

from __future__ import annotations

import ssl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hil.errors import FrameError
from hil.tls.hello import parse_client_hello, plain_alert


def openssl_hello(host: str = "endpoint.example", alpn: list[str] | None = None) -> bytes:
    """A ClientHello as the standard library's OpenSSL makes it."""
    context = ssl.create_default_context()
    if alpn:
        context.set_alpn_protocols(alpn)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = context.wrap_bio(incoming, outgoing, server_hostname=host)
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    return outgoing.read()


HELLO = openssl_hello(alpn=["x-amzn-mqtt-ca", "http/1.1"])


def test_what_openssl_offers() -> None:
    hello = parse_client_hello(HELLO)
    assert hello is not None
    assert hello.server_name == "endpoint.example"
    assert hello.alpn == ("x-amzn-mqtt-ca", "http/1.1")
    assert hello.versions[:2] == (0x0304, 0x0303)
    assert 0xC02B in hello.cipher_suites
    assert 23 in hello.groups
    assert 0x0403 in hello.signature_schemes
    assert hello.ticket == 0
    assert len(hello.session_id) == 32
    assert hello.max_fragment is None


def test_an_address_is_sent_without_a_name() -> None:
    hello = parse_client_hello(openssl_hello("10.0.0.1"))
    assert hello is not None
    assert hello.server_name is None
    assert hello.alpn == ()


@given(st.integers(0, len(HELLO) - 1))
def test_it_is_incomplete_until_its_last_byte(length: int) -> None:
    assert parse_client_hello(HELLO[:length]) is None


@given(st.integers(1, 600), st.binary(max_size=20))
def test_it_may_span_records_and_be_followed_by_more(size: int, more: bytes) -> None:
    message = HELLO[5:]
    pieces = [message[at : at + size] for at in range(0, len(message), size)]
    records = b"".join(b"\x16\x03\x01" + len(piece).to_bytes(2, "big") + piece for piece in pieces)
    assert parse_client_hello(records + more) == parse_client_hello(HELLO)


@given(st.integers(0, len(HELLO) - 1), st.integers(1, 255))
def test_a_changed_byte_is_read_or_refused_but_never_crashes(position: int, flip: int) -> None:
    broken = bytearray(HELLO)
    broken[position] ^= flip
    try:
        parse_client_hello(bytes(broken))
    except FrameError as error:
        assert str(error)  # noqa: PT017  (not every change is an error)


@pytest.mark.parametrize(
    "data", [b"\x10", b"GET / HTTP/1.1\r\n", b"\x16\x05\x01\0\5", b"\x16\3\1\0\4\2\0\0\0"]
)
def test_what_is_not_tls_is_refused(data: bytes) -> None:
    with pytest.raises(FrameError):
        parse_client_hello(data)


def test_a_plain_alert_is_one_record() -> None:
    assert plain_alert(112).hex() == "15030300020270"
