"""The kit protocol: lines, and a bus whose other end is a board that speaks them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hil.clock import World
from hil.element.device import Element
from hil.errors import DeviceTimeout, ElementError, FrameError, I2CError, I2CNack, WakeError
from hil.i2c.kit import KitBus
from hil.wire.atecc import Command, Opcode, decode_command, encode_response
from hil.wire.kit import (
    KitDevice,
    KitReply,
    KitRequest,
    decode_device,
    decode_reply,
    decode_request,
    encode_device,
    encode_reply,
    encode_request,
)

if TYPE_CHECKING:
    from collections.abc import Callable

ECC608 = KitDevice("ECC608", "TWI", 0x60)


# Lines


def test_known_lines() -> None:
    assert encode_request(KitRequest("board", "device", b"\0")) == b"board:device(00)\n"
    assert encode_request(KitRequest("E", "physical:select", b"\xc0")) == b"E:physical:select(C0)\n"
    assert encode_request(KitRequest("E", "w")) == b"E:w()\n"
    info = Command(Opcode.INFO).encode()
    assert encode_request(KitRequest("E", "t", info)) == b"E:t(0730000000035D)\n"
    assert decode_reply(b"00(04113343)\n") == KitReply(0, bytes.fromhex("04113343"))
    assert decode_device(b"ECC608 TWI 00(C0)\n") == ECC608
    assert decode_device(b"no_device  00()\n") is None


def test_leading_nuls_are_skipped() -> None:
    assert decode_reply(b"\0\0\0F0()\r\n") == KitReply(0xF0)


@pytest.mark.parametrize("line", [b"", b"00", b"0(00)", b"00(0)", b"00(GG)", b"\xff\xfe", b"00()x"])
def test_what_is_no_reply_is_a_frame_error(line: bytes) -> None:
    with pytest.raises(FrameError):
        decode_reply(line)


@pytest.mark.parametrize("line", [b"", b"E", b"E:", b"E:w", b"E:w(0)", b"E;w()"])
def test_what_is_no_request_is_a_frame_error(line: bytes) -> None:
    with pytest.raises(FrameError):
        decode_request(line)


def test_a_line_that_the_firmware_cannot_take_is_refused() -> None:
    with pytest.raises(FrameError, match="at most 512"):
        encode_request(KitRequest("E", "t", bytes(254)))
    assert len(encode_request(KitRequest("E", "t", bytes(253)))) <= 512


@given(
    st.sampled_from(["E", "S", "board"]),
    st.sampled_from(["w", "t", "physical:select"]),
    st.binary(max_size=155),
)
def test_requests_round_trip(target: str, command: str, data: bytes) -> None:
    request = KitRequest(target, command, data)
    assert decode_request(encode_request(request)) == request


@given(st.integers(0, 255), st.binary(max_size=155))
def test_replies_round_trip(status: int, data: bytes) -> None:
    assert decode_reply(encode_reply(KitReply(status, data))) == KitReply(status, data)


@given(st.binary(max_size=40))
def test_no_bytes_crash_the_decoders(line: bytes) -> None:
    for decode in (decode_reply, decode_request):
        try:
            decode(line)
        except FrameError:
            continue
    decode_device(line)


def test_devices_round_trip() -> None:
    assert decode_device(encode_device(ECC608)) == ECC608
    assert decode_device(encode_device(None)) is None
    assert ECC608.target == "E"


# The bus


class Board:
    """A port whose other end is a kit board with a scripted element."""

    name = "scripted kit"
    physical = False

    def __init__(self, talk: Callable[[Command], KitReply], *, chunk: int = 3) -> None:
        self.clock = World()
        self.lines: list[bytes] = []
        self.wake = KitReply(0, bytes.fromhex("04113343"))
        self.silent = False
        self._talk = talk
        self._chunk = chunk
        self._out = bytearray()

    def write(self, data: bytes) -> None:
        assert data.endswith(b"\n")
        self.lines.append(data.rstrip())
        if self.silent:
            return
        request = decode_request(data)
        match request.command:
            case "device":
                self.say(encode_device(ECC608 if request.data == b"\1" else None))
            case "physical:select":
                self.say(encode_reply(KitReply(0)))
            case "w":
                self.say(encode_reply(self.wake))
            case "t":
                self.say(encode_reply(self._talk(decode_command(request.data))))
            case _:
                self.say(encode_reply(KitReply(0)))

    def say(self, line: bytes) -> None:
        self._out += line

    def read(self, deadline: int) -> bytes:
        if not self._out:
            self.clock.sleep(max(0, deadline - self.clock.now))
            return b""
        taken = bytes(self._out[: self._chunk])
        del self._out[: self._chunk]
        return taken

    def close(self) -> None:
        self.clock.close()


REVISION = bytes.fromhex("00006003")


def answering(payload: bytes) -> Callable[[Command], KitReply]:
    return lambda command: KitReply(0, encode_response(payload))


def test_the_element_driver_talks_through_a_kit_board() -> None:
    board = Board(answering(REVISION))
    bus = KitBus(board, 0x60)
    assert Element(bus, 0x60).info_revision() == REVISION
    assert board.lines == [
        *[b"board:device(%02d)" % index for index in range(8)],
        b"E:physical:select(C0)",
        b"E:w()",
        b"E:t(0730000000035D)",
        b"E:s()",
    ]
    assert (bus.name, bus.physical) == ("kit board at scripted kit", False)


def test_the_devices_are_asked_for_once() -> None:
    board = Board(answering(REVISION))
    bus = KitBus(board, 0x60)
    assert bus.devices == {0x60: ECC608}
    element = Element(bus, 0x60)
    element.info_revision()
    element.info_revision()
    assert sum(line.startswith(b"board:device") for line in board.lines) == 8
    assert sum(line.startswith(b"E:physical") for line in board.lines) == 1


def test_the_status_of_the_element_comes_through() -> None:
    board = Board(lambda command: KitReply(0xF4, bytes.fromhex("040f2342")))
    with pytest.raises(ElementError, match="0x0F"):
        Element(KitBus(board, 0x60), 0x60).info_revision()


def test_a_kit_that_lost_the_element_is_a_bus_error_after_three_attempts() -> None:
    board = Board(lambda command: KitReply(0xF0))
    with pytest.raises(I2CError, match="status 0xF0"):
        Element(KitBus(board, 0x60), 0x60).info_revision()
    assert sum(line.startswith(b"E:t") for line in board.lines) == 3


def test_a_failed_wake_is_a_wake_error() -> None:
    board = Board(answering(REVISION))
    board.wake = KitReply(0xD0)
    with pytest.raises(WakeError):
        Element(KitBus(board, 0x60), 0x60).info_revision()


def test_another_address_is_not_acknowledged() -> None:
    bus = KitBus(Board(answering(REVISION)), 0x60)
    with pytest.raises(I2CNack):
        bus.write(0x35, b"")
    with pytest.raises(WakeError):
        Element(KitBus(Board(answering(REVISION)), 0x35), 0x35).info_revision()


def test_a_silent_port_is_a_timeout_in_its_own_time() -> None:
    board = Board(answering(REVISION))
    board.silent = True
    bus = KitBus(board, 0x60)
    with pytest.raises(DeviceTimeout, match="does not answer board:device"):
        bus.wake_pulse()
    assert board.clock.now == 3_000_000


def test_a_late_line_is_not_taken_for_the_next_answer() -> None:
    board = Board(answering(REVISION))
    bus = KitBus(board, 0x60)
    element = Element(bus, 0x60)
    element.info_revision()
    board.say(encode_reply(KitReply(0, encode_response(b"\x0f"))))
    assert element.info_revision() == REVISION


def test_partial_commands_and_reserved_word_addresses_are_refused() -> None:
    bus = KitBus(Board(answering(REVISION)), 0x60)
    with pytest.raises(I2CError, match="whole commands only"):
        bus.write(0x60, b"\x03\x07\x30")
    with pytest.raises(I2CNack):
        bus.write(0x60, b"\x04")


def test_nothing_to_read_is_a_nack_and_reads_go_on_where_they_stopped() -> None:
    bus = KitBus(Board(answering(REVISION)), 0x60)
    with pytest.raises(I2CNack):
        bus.read(0x60, 4)
    bus.write(0x60, b"\x03" + Command(Opcode.INFO).encode())
    assert bus.read(0x60, 1) == b"\x07"
    assert bus.read(0x60, 8) == REVISION + bytes.fromhex("83bb") + b"\xff\xff"
    bus.write(0x60, b"\x00")
    assert bus.read(0x60, 1) == b"\x07"
