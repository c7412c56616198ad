from __future__ import annotations

import pytest

from hil.errors import FrameError
from hil.wire.mgrpc import (
    HANDSHAKE,
    MAX_FRAME,
    NEWLINE,
    QUOTES,
    ClientReceiver,
    Corrupted,
    DeviceReceiver,
    EmptyFrame,
    Frame,
    Handshake,
    Oversized,
    Text,
    crc_field,
    decode_request,
    decode_response,
    decode_value,
    encode_error,
    encode_frame,
    encode_request,
    encode_result,
)

SCAN = b'{"src":"mos","id":2067129483117,"method":"I2C.Scan"}'


def text(events: list[object]) -> bytes:
    return b"".join(event.data for event in events if isinstance(event, Text))


@pytest.mark.parametrize(("json", "crc"), [(b'{"method":"Sys.GetInfo"}', b"010a4ff9"), (SCAN, b"e98ce17e")])
def test_checksum_of_the_firmwares_example_and_of_a_captured_frame(json: bytes, crc: bytes) -> None:
    assert crc_field(json) == crc


def test_a_request_is_encoded_as_captured_from_mos() -> None:
    json = encode_request(2067129483117, "I2C.Scan", src="mos")
    assert encode_frame(json) == b'\n"""{"src":"mos","id":2067129483117,"method":"I2C.Scan"}e98ce17e"""\n'


def test_newline_frames_have_no_quotes_and_tcp_frames_no_checksum() -> None:
    assert encode_frame(SCAN, delimiter=NEWLINE) == b"\n" + SCAN + b"e98ce17e\n"
    assert encode_frame(SCAN, crc=False) == b'\n"""' + SCAN + b'"""\n'


# -- the device's end ---------------------------------------------------------------------------


def test_the_mos_handshake_is_answered_with_one_newline_in_front() -> None:
    device = DeviceReceiver()
    events = device.feed(b'"""\x04"""\n\n')
    assert events == [EmptyFrame(), Handshake(b'\n"""\x04"""'), EmptyFrame(), EmptyFrame()]


def test_newlines_of_empty_frames_leave_in_front_of_the_reply() -> None:
    device = DeviceReceiver()
    device.feed(b'"""' + HANDSHAKE)
    device.feed(b"\n\n")
    assert device.reply(b"{}").startswith(b"\n" * 4)
    assert device.reply(b"{}") == b'\n"""{}"""\n'


@pytest.mark.parametrize(
    ("sent", "reply"),
    [
        (b"\n{}\n", b"\n{}\n"),
        (b'\n"""{}"""\n', b'\n"""{}"""\n'),
        (b"\n{}a3a6bf43\n", b"\n{}a3a6bf43\n"),
        (b'\n"""{}a3a6bf43"""\n', b'\n"""{}a3a6bf43"""\n'),
    ],
)
def test_a_reply_has_the_delimiter_and_checksum_that_the_peer_used(sent: bytes, reply: bytes) -> None:
    device = DeviceReceiver()
    assert Frame(b"{}") in device.feed(sent)
    assert device.reply(b"{}").lstrip(b"\n") == reply.lstrip(b"\n")


def test_quotes_stay_in_replies_after_one_frame_had_them_and_newline_keeps_working() -> None:
    device = DeviceReceiver()
    device.feed(b'"""{}"""')
    assert Frame(SCAN) in device.feed(SCAN + b"\n")
    assert QUOTES in device.reply(b"{}")


def test_a_byte_of_0x80_or_more_clears_the_buffer() -> None:
    device = DeviceReceiver()
    assert device.feed(b'"""{"half":') == [EmptyFrame()]
    assert device.feed(b"\x80") == []
    assert device.feed(b'1}"""') == []


def test_a_wrong_checksum_drops_the_frame() -> None:
    device = DeviceReceiver()
    [empty, corrupted] = device.feed(b'"""' + SCAN + b'e98ce17f"""')
    assert empty == EmptyFrame()
    assert isinstance(corrupted, Corrupted)
    assert not device.crc_used


@pytest.mark.parametrize("meta", [b"1", b"e98ce17", b" \r\n"])
def test_metadata_shorter_than_eight_characters_is_ignored(meta: bytes) -> None:
    assert Frame(SCAN) in DeviceReceiver().feed(b'"""' + SCAN + meta.strip() + b'"""')


def test_metadata_after_a_comma_is_ignored() -> None:
    assert Frame(SCAN) in DeviceReceiver().feed(SCAN + b"e98ce17e,later,fields\n")


def test_junk_before_the_brace_is_skipped_and_a_frame_without_one_vanishes() -> None:
    device = DeviceReceiver()
    assert device.feed(b"AT+GMR" + SCAN + b"e98ce17e\n") == [Frame(SCAN)]
    assert device.feed(b"hello\n") == []


def test_input_without_delimiter_is_dropped_beyond_the_limit() -> None:
    device = DeviceReceiver()
    assert device.feed(b"x" * (MAX_FRAME + 6)) == []
    assert device.feed(b"x") == [Oversized(MAX_FRAME + 7)]
    assert device.feed(SCAN + b"\n") == [Frame(SCAN)]


def test_reset_forgets_buffer_and_sticky_flags() -> None:
    device = DeviceReceiver()
    device.feed(b'"""{}a3a6bf43""""""{')
    device.reset()
    assert not device.quotes_used
    assert not device.crc_used
    assert device.reply(b"{}") == b"\n{}\n"


# -- the client's end ---------------------------------------------------------------------------


def test_a_reply_is_found_between_log_lines() -> None:
    stream = b'log {"a":1}\n\n\n\n"""' + SCAN + b'e98ce17e"""\nmore\n'
    events = ClientReceiver().feed(stream)
    assert [e for e in events if not isinstance(e, Text)] == [Frame(SCAN)]
    assert text(list(events)) == b'log {"a":1}\n\n\n\n\nmore\n'


def test_a_stream_byte_by_byte_gives_the_same_frames() -> None:
    stream = b'log\n\n"""' + SCAN + b'e98ce17e"""\n{"plain":1}\n\n"""\x04"""\nx\n{"plain":2}8a1c2e3d\n'
    stream = stream.replace(b"8a1c2e3d", crc_field(b'{"plain":2}'))
    receiver = ClientReceiver()
    events = [event for byte in stream for event in receiver.feed(bytes((byte,)))]
    found = [event for event in events if not isinstance(event, Text)]
    assert found == [Frame(SCAN), Handshake(), Frame(b'{"plain":2}')]
    assert text(list(events)) == b'log\n\n\n{"plain":1}\n\n\nx\n'


def test_text_is_handed_out_before_its_line_ends() -> None:
    receiver = ClientReceiver()
    assert receiver.feed(b"prompt> ") == [Text(b"prompt> ")]
    assert receiver.pending == b""


def test_quotes_in_text_are_text_unless_a_brace_follows() -> None:
    receiver = ClientReceiver()
    assert text([*receiver.feed(b'say """'), *receiver.feed(b'hello"""')]) == b'say """hello'
    assert receiver.pending == b'"""'


def test_a_handshake_answer_is_recognised() -> None:
    assert Handshake() in ClientReceiver().feed(b'boot\n"""\x04"""')


def test_a_log_line_that_begins_with_a_brace_stays_text() -> None:
    assert ClientReceiver().feed(b"ok\n{not a frame\n") == [Text(b"ok\n{not a frame\n")]


def test_a_torn_reply_in_quotes_is_corrupted_and_the_next_one_is_found() -> None:
    receiver = ClientReceiver()
    events = receiver.feed(b'\n"""{"id":1,"resu"""' + SCAN + b'e98ce17e"""\n')
    kinds = [type(e) for e in events if not isinstance(e, Text)]
    assert kinds == [Corrupted, Frame]


def test_a_reply_with_a_wrong_checksum_is_corrupted() -> None:
    events = ClientReceiver().feed(b'\n"""' + SCAN + b'00000000"""\n')
    assert any(isinstance(e, Corrupted) and "00000000" in e.why for e in events)


def test_a_missing_checksum_is_accepted_only_until_one_was_seen() -> None:
    receiver = ClientReceiver()
    assert Frame(b"{}") in receiver.feed(b'\n"""{}"""\n')
    assert Frame(SCAN) in receiver.feed(b'\n"""' + SCAN + b'e98ce17e"""\n')
    assert any(isinstance(e, Corrupted) for e in receiver.feed(b'\n"""{}"""\n'))


def test_flow_control_is_taken_out_and_remembered() -> None:
    receiver = ClientReceiver()
    assert receiver.feed(b"a\x13b") == [Text(b"ab")]
    assert receiver.stopped
    receiver.feed(b"\x11")
    assert not receiver.stopped


def test_flush_gives_up_on_a_frame_under_way() -> None:
    receiver = ClientReceiver()
    receiver.feed(b'\n"""{"id":1')
    assert receiver.flush() == [Text(b'{"id":1')]
    assert receiver.pending == b""


# -- bodies -------------------------------------------------------------------------------------


def test_a_result_and_an_error_are_encoded_as_the_firmware_does() -> None:
    request = decode_request(SCAN)
    assert encode_result(request, [96], src="esp8266_A1B2C3") == (
        b'{"id":2067129483117,"src":"esp8266_A1B2C3","dst":"mos","result":[96]}'
    )
    assert encode_result(request, src="x") == b'{"id":2067129483117,"src":"x","dst":"mos","result":null}'
    assert encode_error(request, 404, "No handler for X", src="x").endswith(
        b'"error":{"code":404,"message":"No handler for X"}}'
    )


def test_parameters_under_the_old_name_are_found() -> None:
    assert decode_request(b'{"method":"A","args":{"slot":1}}').arguments == b'{"slot":1}'
    assert decode_request(b'{"method":"A","params":{"slot":2}}').arguments == b'{"slot":2}'
    assert decode_request(b'{"method":"A"}').arguments == b"{}"


def test_a_string_id_comes_back_as_a_string() -> None:
    request = decode_request(b'{"id":"abc","method":"A"}')
    assert decode_response(encode_result(request, 1, src="x")).id == "abc"


def test_bytes_travel_as_base64() -> None:
    json = encode_request(1, "FS.Put", {"data": b"\x00\xff"})
    assert decode_value(decode_request(json).arguments, dict[str, bytes]) == {"data": b"\x00\xff"}


@pytest.mark.parametrize("json", [b"{", b"[]", b'{"method":5}', b"\xff"])
def test_what_is_no_request_is_a_frame_error(json: bytes) -> None:
    with pytest.raises(FrameError):
        decode_request(json)


def test_a_result_of_another_shape_is_a_frame_error() -> None:
    with pytest.raises(FrameError, match=r"I2C\.Scan"):
        decode_value(b'{"a":1}', list[int], "I2C.Scan")
