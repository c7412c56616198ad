"""The emulated network: latency per flight, order, refusals, power cuts."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

import pytest

from hil.clock import World
from hil.emulator.nagle import DELAYED_ACK_US
from hil.emulator.network import Flight, Interface, Link, Network, Stream

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

RTT = 5_001  # odd: the two halves must add up


class Peer:
    """A server that records what arrives and when."""

    def __init__(self, world: World, *, echo: bool = False) -> None:
        self._world = world
        self._echo = echo
        self.got: list[tuple[int, bytes]] = []
        self.links: list[Link] = []
        self.accepted_at = -1

    def accept(self, link: Link) -> Callable[[bytes], None]:
        self.accepted_at = self._world.now
        self.links.append(link)

        def receive(data: bytes) -> None:
            self.got.append((self._world.now, data))
            if self._echo and data:
                link.send(data)

        return receive


@pytest.fixture
def world() -> Iterator[World]:
    with World() as world:
        yield world


def connected(world: World, *, echo: bool = False) -> tuple[Network, Peer, Stream]:
    network = Network(world, RTT)
    peer = Peer(world, echo=echo)
    network.listen("broker", 8883, peer.accept)
    stream = network.connect("broker", 8883)
    assert isinstance(stream, Stream)
    return network, peer, stream


def test_connect_costs_one_round_trip_and_the_server_sees_the_client_after_half(world: World) -> None:
    _, peer, _ = connected(world)
    assert (peer.accepted_at, world.now) == (RTT // 2, RTT)
    assert world.account["net"] == RTT


def test_a_request_and_its_answer_cost_exactly_one_round_trip(world: World) -> None:
    _, peer, stream = connected(world, echo=True)
    start = world.now
    stream.sendall(b"ping")
    assert stream.recv(100) == b"ping"
    assert world.now - start == RTT
    assert peer.got == [(start + RTT // 2, b"ping")]


def test_what_is_sent_at_one_instant_arrives_as_one_flight(world: World) -> None:
    network, peer, stream = connected(world)
    flights: list[Flight] = []
    network.on_flight = flights.append
    stream.sendall(b"one ")
    stream.sendall(b"two")
    world.sleep(10)
    stream.sendall(b"later")
    world.sleep(RTT)
    assert [data for _, data in peer.got] == [b"one two", b"later"]
    assert [(f.length, f.outbound, f.arrived_us - f.sent_us) for f in flights] == [
        (7, True, RTT // 2),
        (5, True, RTT // 2),
    ]


def test_a_shorter_round_trip_never_lets_a_later_flight_overtake(world: World) -> None:
    network, peer, stream = connected(world)
    stream.sendall(b"slow")
    network.rtt_us = 10
    world.sleep(1)
    stream.sendall(b"fast")
    world.sleep(RTT)
    assert [data for _, data in peer.got] == [b"slow", b"fast"]


def test_a_closed_port_refuses_after_one_round_trip(world: World) -> None:
    network, _, _ = connected(world)
    start = world.now
    with pytest.raises(ConnectionRefusedError):
        network.connect("broker", 443)
    assert world.now - start == RTT


def test_an_unknown_host_has_no_route(world: World) -> None:
    with pytest.raises(OSError, match="no route") as caught:
        Network(world, RTT).connect("nowhere", 1)
    assert caught.value.errno == errno.EHOSTUNREACH


def test_an_interface_that_is_down_has_no_network(world: World) -> None:
    network, _, _ = connected(world)
    board = network.interface("board")
    board.up = False
    with pytest.raises(OSError, match="unreachable") as caught:
        board.connect("broker", 8883)
    assert caught.value.errno == errno.ENETUNREACH


def test_a_connect_that_loses_its_network_on_the_way_times_out_at_its_deadline(world: World) -> None:
    network, _, _ = connected(world)
    board = network.interface("board")
    world.after(RTT // 4, lambda: setattr(board, "up", False), "wifi lost")
    start = world.now
    with pytest.raises(TimeoutError):
        board.connect("broker", 8883, timeout_us=40_000)
    assert world.now - start == 40_000


def test_a_silent_server_times_out_at_the_very_microsecond(world: World) -> None:
    _, _, stream = connected(world)
    stream.settimeout(0.25)
    start = world.now
    with pytest.raises(TimeoutError):
        stream.recv(1)
    assert world.now - start == 250_000
    assert not stream.wait_readable(world.now + 7)
    assert world.now - start == 250_007


def test_data_before_a_close_is_read_before_the_end_of_the_stream(world: World) -> None:
    _, peer, stream = connected(world)
    peer.links[0].send(b"bye")
    peer.links[0].close()
    assert stream.recv(2) == b"by"
    assert stream.recv(2) == b"e"
    assert stream.recv(2) == b""


def test_sending_to_a_server_that_closed_ends_in_a_reset(world: World) -> None:
    _, peer, stream = connected(world)
    peer.links[0].close()
    world.sleep(RTT)
    stream.sendall(b"too late")
    world.sleep(RTT)
    with pytest.raises(ConnectionResetError):
        stream.recv(1)
    with pytest.raises(ConnectionResetError):
        stream.sendall(b"again")
    assert peer.got == []


def test_close_reaches_the_server_behind_the_data(world: World) -> None:
    _, peer, stream = connected(world)
    stream.sendall(b"last words")
    stream.close()
    world.sleep(RTT)
    assert [data for _, data in peer.got] == [b"last words", b""]
    with pytest.raises(BrokenPipeError):
        stream.send(b"x")


def task_with_stream(world: World, network: Network) -> tuple[Interface, list[str]]:
    """A firmware-like task that talks for ever, and its notes."""
    board = network.interface("board")
    notes: list[str] = []

    def firmware() -> None:
        stream = board.connect("broker", 8883)
        try:
            while True:
                stream.sendall(b"hello")
                notes.append(stream.recv(100).decode())
                world.sleep(1_000)
        except Exception as error:  # firmware swallows what it can
            notes.append(f"swallowed {error!r}")
        finally:
            stream.close()
            notes.append("closed in good order")

    world.spawn(firmware, "firmware")
    return board, notes


@pytest.mark.parametrize("cut_after", [1, RTT // 2, RTT + RTT // 4, 2 * RTT - 1, 2 * RTT + 500, 9 * RTT])
def test_a_power_cut_is_silence(world: World, cut_after: int) -> None:
    network = Network(world, RTT)
    peer = Peer(world, echo=True)
    network.listen("broker", 8883, peer.accept)
    board, notes = task_with_stream(world, network)
    world.run_for(cut_after)
    board.cut()
    for task in list(world._tasks):
        task.halt("power off")
    seen = list(peer.got)
    world.run_for(20 * RTT)
    assert peer.got == seen, "nothing reaches the server after the cut, no FIN either"
    assert not world._tasks
    assert set(notes) <= {"hello"}, "neither an ordinary error nor a close in good order"


def test_the_server_may_still_send_to_a_board_that_vanished(world: World) -> None:
    network = Network(world, RTT)
    peer = Peer(world)
    network.listen("broker", 8883, peer.accept)
    board = network.interface("board")
    stream = board.connect("broker", 8883)
    peer.links[0].send(b"in flight")
    board.cut()
    peer.links[0].send(b"afterwards")
    world.sleep(RTT)
    with pytest.raises(ConnectionResetError):
        stream.recv(1)


def test_data_is_lost_while_the_interface_is_down(world: World) -> None:
    network = Network(world, RTT)
    peer = Peer(world)
    network.listen("broker", 8883, peer.accept)
    board = network.interface("board")
    stream = board.connect("broker", 8883)
    board.up = False
    stream.sendall(b"lost")
    world.sleep(RTT)
    board.up = True
    stream.sendall(b"arrives")
    world.sleep(RTT)
    assert [data for _, data in peer.got] == [b"arrives"]


def test_an_unlistened_port_refuses_but_open_connections_stay(world: World) -> None:
    network, _, stream = connected(world, echo=True)
    network.unlisten("broker", 8883)
    stream.sendall(b"still here")
    assert stream.recv(100) == b"still here"
    with pytest.raises(ConnectionRefusedError):
        network.connect("broker", 8883)


def talking_slowly(world: World) -> tuple[Peer, Stream]:
    """A connection without TCP_NODELAY."""
    network = Network(world, RTT)
    peer = Peer(world)
    network.listen("broker", 8883, peer.accept)
    board = network.interface("board")
    board.no_delay = False
    stream = board.connect("broker", 8883)
    assert isinstance(stream, Stream)
    return peer, stream


def test_without_no_delay_the_second_small_write_waits_for_a_delayed_acknowledgement(world: World) -> None:
    peer, stream = talking_slowly(world)
    start = world.now
    for piece in (b"one", b"two", b"three"):
        stream.sendall(piece)
    world.sleep(10 * RTT + DELAYED_ACK_US)
    later = RTT + DELAYED_ACK_US
    assert peer.got == [(start + RTT // 2, b"one"), (start + later + RTT // 2, b"twothree")]


def test_an_answer_acknowledges_and_a_full_segment_never_waits(world: World) -> None:
    peer, stream = talking_slowly(world)
    start = world.now
    stream.sendall(b"one")
    stream.sendall(b"two")
    world.after(RTT, lambda: peer.links[0].send(b"answer"), "answer")
    world.sleep(3 * RTT)
    arrived = start + RTT + (RTT - RTT // 2)
    assert peer.got[1:] == [(arrived + RTT // 2, b"two")]
    stream.sendall(b"-" * 1460)
    world.sleep(RTT)
    assert len(peer.got[2][1]) == 1460


def test_what_was_held_back_leaves_before_the_end_and_never_after_a_power_cut(world: World) -> None:
    peer, stream = talking_slowly(world)
    stream.sendall(b"one")
    stream.sendall(b"two")
    stream.close()
    world.sleep(RTT)
    assert [data for _, data in peer.got] == [b"onetwo", b""], "sent at one instant"
    peer, stream = talking_slowly(world)
    stream.sendall(b"one")
    stream.sendall(b"two")
    stream.vanish()
    world.sleep(2 * DELAYED_ACK_US)
    assert peer.got == []
