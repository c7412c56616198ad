"""Serial over Telnet: the codec against the RFC's bytes, the front against every kind of bad client."""

from __future__ import annotations

import os
import socket
import struct
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hil.clock import World
from hil.emulator.cable import Cable
from hil.emulator.fronts import PtyFront
from hil.emulator.rfc2217 import MAX_PENDING, Rfc2217Front
from hil.emulator.uart import Uart
from hil.errors import PortError
from hil.wire.rfc2217 import Baud, Data, Lines, Paused, Purge, Reply, Server, escape

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

IAC, WILL, DO, WONT, DONT, SB, SE = 255, 251, 253, 252, 254, 250, 240


def sub(command: int, *value: int) -> bytes:
    return bytes((IAC, SB, 44, command, *value, IAC, SE))


# -- codec -----------------------------------------------------------------------------------------


@given(data=st.binary(max_size=60), cuts=st.data())
def test_line_data_survives_escaping_and_chopping(data: bytes, cuts: st.DataObject) -> None:
    server, stream, found = Server(115_200), escape(data), b""
    while stream:
        size = cuts.draw(st.integers(1, len(stream)))
        for event in server.receive(stream[:size]):
            assert isinstance(event, Data)
            found += event.data
        stream = stream[size:]
    assert found == data


def test_the_baud_rate_is_set_and_told() -> None:
    server = Server(115_200)
    assert server.receive(sub(1, 0, 1, 0x24, 0x80)) == [Baud(74_880), Reply(sub(101, 0, 1, 0x24, 0x80))]
    assert server.receive(sub(1, 0, 0, 0, 0)) == [Reply(sub(101, 0, 1, 0x24, 0x80))]


def test_a_baud_rate_with_ff_in_it_is_escaped() -> None:
    server = Server(115_200)
    (event, reply) = server.receive(bytes((IAC, SB, 44, 1, 0, 0, IAC, IAC, 0, IAC, SE)))
    assert event == Baud(0xFF00)
    assert reply == Reply(bytes((IAC, SB, 44, 101, 0, 0, IAC, IAC, 0, IAC, SE)))


def test_modem_lines_are_set_one_by_one_and_told() -> None:
    server = Server(115_200)
    assert server.receive(sub(5, 8)) == [Lines(True, False), Reply(sub(105, 8))]
    assert server.receive(sub(5, 11)) == [Lines(True, True), Reply(sub(105, 11))]
    assert server.receive(sub(5, 9)) == [Lines(False, True), Reply(sub(105, 9))]
    assert server.receive(sub(5, 7) + sub(5, 10)) == [Reply(sub(105, 9)), Reply(sub(105, 11))]


def test_what_cannot_be_changed_is_told_as_it_is() -> None:
    server = Server(115_200)
    assert server.receive(sub(2, 7)) == [Reply(sub(102, 8))], "data size"
    assert server.receive(sub(3, 3)) == [Reply(sub(103, 1))], "parity"
    assert server.receive(sub(4, 2)) == [Reply(sub(104, 1))], "stop bits"
    assert server.receive(sub(5, 0)) == [Reply(sub(105, 1))], "flow control"


def test_purge_and_flow_control() -> None:
    server = Server(115_200)
    assert server.receive(sub(12, 3)) == [Purge(received=True, sending=True), Reply(sub(112, 3))]
    assert server.receive(sub(8, 0) + sub(9, 0)) == [Paused(True), Paused(False)]


def test_options_are_answered_once_and_never_in_a_circle() -> None:
    server = Server(115_200)
    server.greeting()
    assert server.receive(bytes((IAC, DO, 0, IAC, WILL, 0, IAC, DO, 44))) == [], "as we offered"
    assert server.receive(bytes((IAC, DO, 24, IAC, WILL, 31))) == [
        Reply(bytes((IAC, WONT, 24))),
        Reply(bytes((IAC, DONT, 31))),
    ]
    assert server.receive(bytes((IAC, DONT, 3))) == [Reply(bytes((IAC, WONT, 3)))]
    assert server.receive(bytes((IAC, DONT, 3))) == []


def test_events_keep_their_order() -> None:
    server = Server(115_200)
    kinds = [type(e) for e in server.receive(b"a" + sub(5, 8) + b"b" + sub(12, 1) + b"c")]
    assert kinds == [Data, Lines, Reply, Data, Purge, Reply, Data]


@given(junk=st.binary(max_size=200))
def test_any_bytes_are_survived_and_data_comes_through_again(junk: bytes) -> None:
    server = Server(115_200)
    server.receive(junk)
    server.receive(bytes((IAC, SE)) + b"\0" * 100 + bytes((IAC, SE)))
    assert Data(b"hello") in server.receive(b"hello") + server.receive(b"hello")


# -- front -----------------------------------------------------------------------------------------


class Wire:
    """A front in a paced world, clients in the same thread."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.uart = Uart(world, "board", 2_000_000)
        self.got = bytearray()
        self.lines: list[tuple[bool, bool]] = []
        self.uart.on_bytes = self.got.extend
        self.uart.on_lines = lambda dtr, rts: self.lines.append((dtr, rts))
        self.cable = Cable(world, self.uart)
        self.front = Rfc2217Front(world, self.cable, "127.0.0.1", 0)

    def client(self, *, takes: int | None = None) -> socket.socket:
        """A connected client; ``takes``: how much the computer keeps for it when it does not read."""
        made = socket.socket()
        if takes is not None:  # before the connection: its window is agreed on then
            made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, takes)
        made.connect(self.front.address)
        made.setblocking(False)
        self.until(lambda: self.front._client is not None)
        return made

    def until(self, condition: Callable[[], bool], seconds: float = 20) -> None:
        end = self.world.now + round(seconds * 1e6)
        while not condition():
            assert self.world.now < end, "waited in vain"
            self.world.run_for(2_000)

    def read(self, client: socket.socket) -> bytes:
        self.world.run_for(20_000)
        try:
            return client.recv(1 << 20)
        except BlockingIOError:
            return b""


@pytest.fixture
def wire() -> Iterator[Wire]:
    with World(paced=True) as world:
        wire = Wire(world)
        yield wire
        wire.front.close()
        wire.cable.close()


def test_bytes_lines_and_baud_cross(wire: Wire) -> None:
    with wire.client() as client:
        greeting = wire.read(client)
        assert greeting.startswith(bytes((IAC, WILL, 0)))
        assert greeting.endswith(sub(107, 0)), "NOTIFY-MODEMSTATE: nothing is wired"
        client.send(b"to the board" + sub(5, 8) + sub(1, 0, 0, 0x25, 0x80))
        wire.until(lambda: bool(wire.got))
        assert (bytes(wire.got), wire.lines, wire.uart.host_baud) == (b"to the board", [(True, False)], 9600)
        wire.uart.host_baud = 2_000_000
        wire.uart.send(b"to the host \xff")
        wire.read(client)
        wire.uart.send(b"again \xff")
        assert wire.read(client).endswith(b"again \xff\xff")


def test_tcp_does_not_hold_small_packets_back(wire: Wire) -> None:
    with wire.client():
        client = wire.front._client
        assert client is not None
        assert client._connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_a_client_that_is_gone_before_it_was_accepted_holds_nobody_up(wire: Wire) -> None:
    wire.front._accept()  # nobody is there: a blocking socket would wait here for ever
    with wire.client() as client:
        client.send(b"served")
        wire.until(lambda: bytes(wire.got) == b"served")


def test_what_comes_while_a_client_is_suspended_is_kept_for_it_and_can_be_purged(wire: Wire) -> None:
    wire.uart.baud = wire.uart.host_baud = 1_000_000_000
    with wire.client() as client:
        client.send(sub(5, 8))
        wire.until(lambda: bool(wire.lines))
        wire.read(client)
        client.send(sub(8) + b"1")
        wire.until(lambda: bytes(wire.got) == b"1")
        wire.uart.send(b"lost" + b"x" * 100)
        assert wire.read(client) == b""
        client.send(sub(12, 1) + b"2")
        wire.until(lambda: bytes(wire.got) == b"12")
        wire.read(client)
        wire.uart.send(b"held \xff" + b"y" * 2 * MAX_PENDING)
        assert wire.read(client) == b""
        client.send(sub(9))
        heard = bytearray()

        def arrived() -> bool:
            heard.extend(wire.read(client))
            return len(heard) > MAX_PENDING

        wire.until(arrived)
        assert heard.startswith(b"held \xff\xffyyy")
        heard.extend(wire.read(client))
        assert len(heard) == MAX_PENDING + 1, "a full buffer drops the newest; ff is escaped"


def test_a_killed_client_drops_its_lines_and_the_next_one_is_served(wire: Wire) -> None:
    first = wire.client()
    first.send(sub(5, 11) + bytes((IAC, SB, 44, 1, 0)))  # in reset, and half a request
    wire.until(lambda: wire.lines == [(False, True)])
    first.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    first.close()  # RST, as from a killed process
    wire.until(lambda: wire.lines[-1] == (False, False))
    with wire.client() as second:
        second.send(b"alive")
        wire.until(lambda: bytes(wire.got) == b"alive")


def test_a_second_client_is_told_that_the_port_is_in_use(wire: Wire) -> None:
    with wire.client() as first, socket.create_connection(wire.front.address) as second:
        second.setblocking(False)
        assert wire.read(second) == b"port in use by another client\r\n"
        first.send(b"still served")
        wire.until(lambda: bytes(wire.got) == b"still served")


def test_a_client_that_never_reads_wedges_nothing(wire: Wire) -> None:
    client = wire.client(takes=4096)
    wire.uart.baud = wire.uart.host_baud = 1_000_000_000
    for _ in range(200):
        wire.uart.send(b"x" * 65_536)
        wire.world.run_for(1_000)
    served = wire.front._client
    assert served is not None
    assert len(served._out) < 4 * MAX_PENDING
    client.send(b"hello")
    wire.until(lambda: bytes(wire.got).endswith(b"hello"))
    client.close()


def test_a_client_that_asks_and_never_reads_is_dropped(wire: Wire) -> None:
    with wire.client(takes=4096) as client:
        asked = bytearray(sub(5, 7) * 150_000)

        def dropped() -> bool:
            try:
                del asked[: client.send(asked[:65_536])]
            except BlockingIOError:
                pass
            except OSError:
                return True
            return wire.front._client is None

        wire.until(dropped, seconds=60)


def test_a_client_that_writes_faster_than_the_line_has_to_wait(wire: Wire) -> None:
    wire.uart.baud = wire.uart.host_baud = 9_600
    with wire.client() as client:
        sent = 0
        for _ in range(3_000):
            try:
                sent += client.send(b"y" * 4096)
            except BlockingIOError:
                break
            wire.world.run_for(100)
        else:
            pytest.fail("everything was taken")
        assert wire.cable.backlog_us < 60_000_000, "what is on its way stays little"
        before = len(wire.got)
        wire.world.run_for(600_000)
        assert len(wire.got) >= before


def test_an_address_that_is_taken_is_a_port_error(wire: Wire) -> None:
    with pytest.raises(PortError, match="cannot listen"):
        Rfc2217Front(wire.world, wire.cable, *wire.front.address)


def test_a_terminal_and_a_network_client_hear_the_same(wire: Wire) -> None:
    terminal = PtyFront(wire.world, wire.cable)
    slave = os.open(terminal.path, os.O_RDWR | os.O_NONBLOCK | os.O_NOCTTY)
    with wire.client() as client:
        wire.read(client)
        wire.uart.send(b"for everybody")
        assert wire.read(client) == b"for everybody"
        assert os.read(slave, 100) == b"for everybody"
    os.close(slave)
    terminal.close()
