from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from hil.board.console import Console
from hil.board.transcript import MAX_LINE, Entry, Mark, Transcript
from hil.clock import World
from hil.errors import DeviceTimeout
from hil.wire.mgrpc import ClientReceiver, Corrupted, Frame, Handshake, encode_frame

if TYPE_CHECKING:
    from collections.abc import Iterator


class ScriptedPort:
    """A port whose bytes arrive at given times."""

    name = "test port"
    physical = False

    def __init__(self, world: World) -> None:
        self.clock = world
        self.waiting = bytearray()
        self.written: list[bytes] = []

    def arrives(self, at: int, data: bytes) -> None:
        self.clock.at(at, lambda: self.waiting.extend(data), "bytes")

    def write(self, data: bytes) -> None:
        self.written.append(data)

    def read(self, deadline: int) -> bytes:
        if not self.waiting and deadline > self.clock.now:
            self.clock.run_until(lambda: bool(self.waiting), deadline)
        data = bytes(self.waiting)
        self.waiting.clear()
        return data

    def close(self) -> None:
        self.written.append(b"closed")


@pytest.fixture
def world() -> Iterator[World]:
    with World() as world:
        yield world


@pytest.fixture
def port(world: World) -> ScriptedPort:
    return ScriptedPort(world)


def test_a_line_is_found_with_its_time_and_groups(world: World, port: ScriptedPort) -> None:
    console = Console(port)
    port.arrives(1_000, b"first\r\nMQTT0 CONN")
    port.arrives(2_000, b"ACK 0\r\nlast\n")
    found = console.expect(r"CONNACK (\d+)", timeout_us=10_000)
    assert (found.line.text, found.match[1], found.at) == ("MQTT0 CONNACK 0", "0", 1_000)
    assert world.now == 2_000


def test_nothing_is_eaten(world: World, port: ScriptedPort) -> None:
    console = Console(port)
    start = console.mark()
    port.arrives(10, b"one\ntwo\n")
    console.expect("two", timeout_us=100, since=start)
    assert console.expect("one", timeout_us=0, since=start).line.text == "one"
    assert console.expect("two", timeout_us=0, since=start).line.text == "two"


def test_a_mark_hides_what_was_before_it(world: World, port: ScriptedPort) -> None:
    console = Console(port)
    port.waiting += b"old\nha"
    mark = console.mark()
    port.arrives(10, b"lf\n")
    with pytest.raises(DeviceTimeout):
        console.expect("old", timeout_us=100, since=mark)
    assert console.expect("half", timeout_us=0, since=mark).line.text == "half"


def test_a_number_is_not_cut_short_by_chunks(world: World, port: ScriptedPort) -> None:
    console = Console(port)
    port.arrives(1, b"rev 0x50")
    port.arrives(2, b"00 end\n")
    assert console.expect(r"rev 0x(\d+)", timeout_us=10).match[1] == "5000"


def test_a_prompt_without_line_end_needs_partial(world: World, port: ScriptedPort) -> None:
    console = Console(port)
    port.arrives(5, b"esp32> ")
    start = console.mark()
    with pytest.raises(DeviceTimeout):
        console.expect("esp32> $", timeout_us=50, since=start)
    assert console.expect("esp32> $", timeout_us=50, since=start, partial=True).at == 5


def test_a_silent_console_times_out_at_the_deadline_and_says_so(world: World, port: ScriptedPort) -> None:
    console = Console(port)
    with pytest.raises(DeviceTimeout, match=r"waited 2\.000 s for /ready/ on test port; nothing arrived"):
        console.expect("ready", timeout_us=2_000_000)
    assert world.now == 2_000_000


def test_the_error_shows_count_last_bytes_and_nearest_line(world: World, port: ScriptedPort) -> None:
    console = Console(port)
    port.arrives(5, b"MQTT0 connecting\nMQTT0 CONNACK 5\nbye\n")
    with pytest.raises(DeviceTimeout) as caught:
        console.expect(r"MQTT0 CONNACK 0", timeout_us=100)
    message = str(caught.value)
    assert "37 bytes in 3 lines arrived" in message
    assert r"CONNACK 5\nbye\n" in message
    assert "nearest: 'MQTT0 CONNACK 5' matches as far as /MQTT0 CONNACK /" in message


def test_frames_go_to_their_handler_and_stay_out_of_lines(world: World, port: ScriptedPort) -> None:
    console = Console(port, decoder=ClientReceiver())
    frames: list[Frame | Handshake | Corrupted] = []
    console.on_frame = frames.append
    port.waiting += b"log\n" + encode_frame(b'{"id":1}') + b'more\n\n"""\x04"""\n\n"""{"torn"""'
    console.drain()
    assert [type(frame) for frame in frames] == [Frame, Handshake, Corrupted]
    assert [line.text for line in console.transcript.lines] == ["log", "more"]


def test_keys_never_reach_the_transcript(world: World, port: ScriptedPort) -> None:
    console = Console(port, decoder=ClientReceiver())
    port.waiting += encode_frame(b'{"id":1,"result":{"wifi":{"sta":{"pass":"test-secret"}}}}')
    port.waiting += b'\n"""{"id":2,"result":{"wkey":"test-secret'
    console.drain()
    console.write(b"real", shown=b"masked")
    assert "test-secret" not in console.transcript.render()
    assert b"test-secret" not in console.last_bytes()
    assert "masked" in console.transcript.render()
    assert port.written == [b"real"]


def test_watchers_see_each_line_once_and_in_order(world: World, port: ScriptedPort) -> None:
    console = Console(port)
    seen: list[str] = []
    console.on_line.append(lambda line: seen.append(line.text))
    port.waiting += b"a\n\nb\nc"
    console.drain()
    port.waiting += b"d\n"
    console.drain()
    assert seen == ["a", "b", "cd"]


def test_listening_counts_what_arrives_and_takes_the_whole_time(world: World, port: ScriptedPort) -> None:
    console = Console(port)
    port.waiting += b"before"
    port.arrives(10, b"abc")
    port.arrives(20, b"d")
    assert console.listen(100) == 4
    assert world.now == 100
    assert console.listen(100) == 0


def test_a_rendered_slice_has_times_directions_and_visible_control_bytes(
    world: World, port: ScriptedPort
) -> None:
    console = Console(port)
    console.write(b"hidden")
    mark = console.mark()
    port.arrives(1_500_000, b"caf\xc3\xa9 \x1b[0m\n")
    console.listen(2_000_000)
    console.write(b"go")
    assert console.transcript.render(mark) == "     1.500000 <  café \\x1b[0m\n     2.000000 >  go"


def test_a_line_without_end_is_broken() -> None:
    transcript = Transcript()
    lines = transcript.append(Entry(1, "text", b"x" * MAX_LINE))
    assert [len(line.text) for line in lines] == [MAX_LINE]
    assert transcript.partial.text == ""


def test_the_oldest_are_dropped_and_marks_stay_right() -> None:
    transcript = Transcript(kept=10)
    for i in range(15):
        transcript.append(Entry(i, "text", b"line %d\n" % i))
    mark = transcript.mark()
    for i in range(15, 30):
        transcript.append(Entry(i, "text", b"line %d\n" % i))
    assert len(transcript.entries) <= 21
    assert [line.text for line in transcript.lines_since(mark)][:2] == ["line 15", "line 16"]
    assert [entry.at for entry in transcript.entries_since(mark)] == list(range(15, 30))
    assert transcript.lines_since(Mark())[-1].text == "line 29"
    assert transcript.render(mark).count("line") == 15
    assert transcript.render(Mark(), mark).count("line") < 15
    assert "line 15" not in transcript.render(Mark(), mark)


def test_readers_cannot_change_the_transcript() -> None:
    transcript = Transcript()
    transcript.append(Entry(1, "text", b"a\n"))
    assert isinstance(transcript.entries, tuple)
    assert isinstance(transcript.lines, tuple)
    transcript.lines_since(Mark()).clear()
    assert len(transcript.lines) == 1


def test_closing_closes_the_port(port: ScriptedPort) -> None:
    Console(port).close()
    assert port.written == [b"closed"]
