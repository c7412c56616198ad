"""Whatever happens to the bytes of an exchange, the call ends in time: right, or with a typed error."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from hil import serialport
from hil.board.mongoose import MongooseBoard
from hil.clock import World
from hil.emulator.uart import Uart
from hil.errors import DeviceTimeout, FrameError
from hil.wire.mgrpc import (
    HANDSHAKE,
    ClientReceiver,
    DeviceReceiver,
    Frame,
    Handshake,
    Text,
    decode_request,
    encode_frame,
    encode_request,
    encode_result,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from hil.wire.mgrpc import ClientEvent

TIMEOUT_US = 3_000_000
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
log_lines = st.lists(
    st.text(st.characters(codec="ascii", exclude_characters="\n\r\x04\x11\x13"), max_size=30).filter(
        lambda line: not line.startswith("{") and '"""' not in line and not line.endswith('"')
    ),
    max_size=5,
)


def cut(data: bytes, places: list[int]) -> list[bytes]:
    bounds = sorted({0, len(data), *(place % (len(data) + 1) for place in places)})
    return [data[a:b] for a, b in pairwise(bounds)]


def merged(events: list[ClientEvent]) -> list[ClientEvent]:
    """Neighbouring texts joined: how they are split depends on how the bytes arrived."""
    out: list[ClientEvent] = []
    for event in events:
        if isinstance(event, Text) and out and isinstance(last := out[-1], Text):
            out[-1] = Text(last.data + event.data)
        else:
            out.append(event)
    return out


@given(st.lists(st.tuples(log_lines, values), max_size=4), st.lists(st.integers(0, 5000), max_size=20))
def test_the_client_finds_the_same_however_the_stream_is_chopped(
    traffic: list[tuple[list[str], object]], places: list[int]
) -> None:
    stream, frames = b"", []
    for lines, value in traffic:
        stream += "".join(line + "\n" for line in lines).encode()
        frames.append(encode_request(1, "M", {"v": value}))
        stream += encode_frame(frames[-1])
    whole, chopped = ClientReceiver(), ClientReceiver()
    expected = merged(whole.feed(stream))
    found = merged([event for piece in cut(stream, places) for event in chopped.feed(piece)])
    assert found == expected
    assert [event.json for event in found if isinstance(event, Frame)] == frames


@given(values, st.lists(st.integers(0, 5000), max_size=20))
def test_the_device_finds_the_same_however_the_stream_is_chopped(value: object, places: list[int]) -> None:
    json = encode_request(7, "Method", {"v": value})
    if not json.isascii():
        json = encode_request(7, "Method")
    stream = HANDSHAKE + b'"""' + encode_frame(json)
    device = DeviceReceiver()
    events = [event for piece in cut(stream, places) for event in device.feed(piece)]
    assert [event for event in events if isinstance(event, Frame)] == [Frame(json)]
    assert sum(isinstance(event, Handshake) for event in events) == 1


@given(st.lists(st.binary(max_size=60), max_size=12))
def test_no_bytes_break_either_receiver(pieces: list[bytes]) -> None:
    client, device = ClientReceiver(), DeviceReceiver()
    text = 0
    for piece in pieces:
        device.feed(piece)
        for event in client.feed(piece):
            text += len(event.data) if isinstance(event, Text) else 0
    assert text + len(client.pending) <= sum(map(len, pieces))


@given(st.binary(max_size=200))
def test_text_without_delimiters_before_braces_passes_unchanged(data: bytes) -> None:
    data = data.translate(None, b'{\x04\x11\x13"')
    receiver = ClientReceiver()
    assert b"".join(e.data for e in receiver.feed(data) if isinstance(e, Text)) + receiver.pending == data


class Echo:
    """A device that answers every call with its own parameters, over a line that damages bytes."""

    def __init__(self, uart: Uart, damage: Callable[[bytes], list[bytes]]) -> None:
        self.receiver = DeviceReceiver()
        self.uart = uart
        self.damage = damage
        uart.on_bytes = self.received

    def received(self, data: bytes) -> None:
        for event in self.receiver.feed(data):
            if isinstance(event, Handshake):
                self.uart.send(event.answer)
            elif isinstance(event, Frame):
                request = decode_request(event.json)
                answer = self.receiver.reply(encode_result(request, {"method": request.method}, src="esp"))
                for piece in self.damage(b"log line\n" + answer + b"another line\n"):
                    self.uart.send(piece)


def call_through(damage: Callable[[bytes], list[bytes]]) -> object:
    """The result of a call whose reply passed ``damage``, or the error it ended in."""
    with World() as world:
        uart = Uart(world, "board")
        Echo(uart, damage)
        serialport.register("property", "board", uart)
        try:
            board = MongooseBoard(serialport.open_port("emu://property/board", clock=world))
            try:
                return board.rpc.call("Sys.Echo", timeout_us=TIMEOUT_US)
            except (DeviceTimeout, FrameError) as error:
                return error
            finally:
                assert world.now <= TIMEOUT_US
        finally:
            serialport.unregister("property")


@given(st.lists(st.integers(0, 500), max_size=30))
def test_a_chopped_reply_is_the_right_reply(places: list[int]) -> None:
    assert call_through(lambda data: cut(data, places)) == {"method": "Sys.Echo"}


@given(
    st.integers(0, 300),
    st.integers(0, 300),
    st.binary(max_size=12),
    st.lists(st.integers(0, 500), max_size=5),
)
def test_a_damaged_reply_is_right_or_a_typed_error_in_time(
    start: int, length: int, instead: bytes, places: list[int]
) -> None:
    def damage(data: bytes) -> list[bytes]:
        at = start % len(data)
        return cut(data[:at] + instead + data[at + length :], places)

    outcome = call_through(damage)
    assert outcome == {"method": "Sys.Echo"} or isinstance(outcome, DeviceTimeout | FrameError)


@given(st.lists(st.tuples(st.integers(0, 400), st.integers(1, 255)), min_size=1, max_size=4))
def test_flipped_bits_never_give_a_wrong_reply(flips: list[tuple[int, int]]) -> None:
    def damage(data: bytes) -> list[bytes]:
        damaged = bytearray(data)
        for place, bits in flips:
            damaged[place % len(damaged)] ^= bits
        return [bytes(damaged)]

    outcome = call_through(damage)
    assert outcome == {"method": "Sys.Echo"} or isinstance(outcome, DeviceTimeout | FrameError)


def test_a_corrupted_reply_is_reported_at_once() -> None:
    outcome = call_through(lambda data: [data.replace(b'"method"', b'"mathod"')])
    assert isinstance(outcome, FrameError)
    assert "damaged" in str(outcome)
