from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hil.errors import DeviceError, FrameError, RpcError, UsageError
from hil.wire.espidf import (
    CertificateKind,
    Reply,
    ReplyReader,
    command_line,
    parse_certificate,
    parse_public_key,
    parse_request,
    parse_serial,
)

CHIP_INFO = (
    b"print-chip-info\r\n"
    b"I (687) ATECC CHIP REVISION: 00 00 60 03\r\n"
    b"I (695) secure_element: Status: Success\r\n\r\n"
    b"\r\n Serial Number:\r\n01 23 e0 7e 00 00 06 35 01 "
    b"\n>>\n"
)
PRECONDITION = (
    b"generate-csr\r\nE (700) secure_element: Please Initialize device before calling this function\r\n\n>>\n"
)
FAILURE = (
    b"generate-keys 0\r\n"
    b"E (700) secure_element: failed\r\n !atcab_genkey returned f4\r\n"
    b"I (701) secure_element: Status: Failure\r\n\r\n"
    b"E (702) secure_element: Error in generating keys, returned f4\r\n"
    b"\n>>\n"
)


def read(line: bytes, data: bytes) -> Reply:
    reply = ReplyReader(line).feed(data)
    assert reply is not None
    return reply


def test_status_log_and_payload_are_told_apart() -> None:
    reply = read(b"print-chip-info\r", CHIP_INFO).require()
    assert reply.success
    assert [(line.source, line.message) for line in reply.log] == [("ATECC CHIP REVISION", "00 00 60 03")]
    assert parse_serial(reply.payload).hex() == "0123e07e0000063501"


@given(st.lists(st.integers(1, len(CHIP_INFO) - 1)))
def test_any_chopping_gives_the_same_reply_at_the_same_byte(cuts: list[int]) -> None:
    reader, edges = ReplyReader(b"print-chip-info\r"), sorted({0, *cuts, len(CHIP_INFO)})
    replies = [reader.feed(CHIP_INFO[a:b]) for a, b in pairwise(edges)]
    assert replies[-1] == read(b"print-chip-info\r", CHIP_INFO)
    assert all(reply is None for reply in replies[:-1])


def test_colour_codes_do_not_matter() -> None:
    coloured = CHIP_INFO.replace(b"I (695)", b"\x1b[0;32mI (695)").replace(
        b"Success\r\n", b"Success\x1b[0m\r\n", 1
    )
    assert read(b"print-chip-info\r", coloured).payload == read(b"print-chip-info\r", CHIP_INFO).payload


def test_a_prompt_left_over_from_before_is_not_taken_for_the_end() -> None:
    assert read(b"print-chip-info\r", b"\n>>\n" + CHIP_INFO).success


def test_an_unmet_precondition_is_a_refusal_by_the_firmware() -> None:
    reply = read(b"generate-csr\r", PRECONDITION)
    assert reply.success is None
    with pytest.raises(RpcError, match="Please Initialize device"):
        reply.require()


def test_a_failure_carries_the_librarys_code() -> None:
    with pytest.raises(RpcError) as caught:
        read(b"generate-keys 0\r", FAILURE).require()
    assert (caught.value.method, caught.value.code) == ("generate-keys", 0xF4)


def test_a_prompt_without_status_and_reason_is_an_error() -> None:
    with pytest.raises(DeviceError, match="without a Status line"):
        read(b"bogus\r", b"bogus\r\n\n>>\n").require()


def test_an_echo_of_something_else_is_noticed() -> None:
    with pytest.raises(FrameError, match="echoed 'inat' instead of 'init'"):
        ReplyReader(b"init\r").feed(b"inat\r\n\n>>\n")


def test_without_a_prompt_there_is_no_reply() -> None:
    reader = ReplyReader(b"print-chip-info\r")
    assert reader.feed(CHIP_INFO[:-1]) is None


CERTIFICATE = "\n Root Cert Len:3\n\nCertificate:\n3001ff\n"


def test_payloads_are_read() -> None:
    assert parse_certificate(CERTIFICATE, CertificateKind.ROOT) == b"\x30\x01\xff"
    assert parse_public_key("\nPublic Key:\n" + "ab " * 64) == b"\xab" * 64
    assert parse_public_key("\nPublic Key:\n" + "ab" * 64) == b"\xab" * 64
    body = "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n"
    assert parse_request("\n" + body) == body


@pytest.mark.parametrize(
    ("payload", "kind"),
    [
        (CERTIFICATE.replace("3001ff", "3001"), CertificateKind.ROOT),
        (CERTIFICATE.replace("3001ff", "3001fx"), CertificateKind.ROOT),
        (CERTIFICATE, CertificateKind.SIGNER),
        ("", CertificateKind.DEVICE),
    ],
)
def test_a_damaged_certificate_payload_is_refused(payload: str, kind: CertificateKind) -> None:
    with pytest.raises(FrameError):
        parse_certificate(payload, kind)


def test_a_length_of_four_digits_is_read_too() -> None:
    payload = f"\n Device Cert Len:1000\n\nCertificate:\n{'30' * 1000}\n"
    assert len(parse_certificate(payload, CertificateKind.DEVICE)) == 1000


@pytest.mark.parametrize("payload", ["", "\n Serial Number:\n01 23 ", "\nPublic Key:\n00"])
def test_other_damaged_payloads_are_refused(payload: str) -> None:
    with pytest.raises(FrameError):
        parse_serial(payload)
    with pytest.raises(FrameError):
        parse_public_key(payload)
    with pytest.raises(FrameError):
        parse_request(payload)


def test_a_command_line_is_checked_before_it_is_typed() -> None:
    assert command_line("init", 21, 22) == b"init 21 22\r"
    for bad in ("new\nline", "ümlaut", "x" * 1023):
        with pytest.raises(UsageError):
            command_line(bad)


@given(st.text(max_size=400))
def test_any_text_gives_a_reply_a_wait_or_a_typed_error(text: str) -> None:
    try:
        reply = ReplyReader(b"init\r").feed(text.encode("utf-8", "surrogatepass"))
    except FrameError:
        return
    assert reply is None or reply.command == "init"
