"""The board's receive buffer and its flow control while the main loop is busy."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from hil.board.mongoose import MongooseBoard
from hil.clock import World
from hil.emulator.boards.mongoose_receive import SIZE, STOP_AT, ReceiveBuffer
from hil.errors import DeviceTimeout
from hil.wire.mgrpc import XOFF, XON
from tests.unit.firmware_bench import Bench, bench

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from hil.emulator.boards.mongoose_config import Scalar


@pytest.fixture
def world() -> Iterator[World]:
    with World() as world:
        yield world


@pytest.fixture
def buffer() -> tuple[ReceiveBuffer, list[bytes], list[bytes]]:
    handled: list[bytes] = []
    sent: list[bytes] = []
    return ReceiveBuffer(handled.append, sent.append), handled, sent


Made = tuple[ReceiveBuffer, list[bytes], list[bytes]]


def test_bytes_go_straight_through_while_the_loop_is_free(buffer: Made) -> None:
    made, handled, sent = buffer
    made.arrived(b"abc", busy=False)
    assert (handled, sent, made.waiting) == ([b"abc"], [], False)


def test_bytes_wait_in_order(buffer: Made) -> None:
    made, handled, _ = buffer
    made.arrived(b"a", busy=True)
    made.arrived(b"b", busy=False)  # what came first goes first
    assert handled == []
    made.drain()
    assert (handled, made.waiting) == ([b"ab"], False)


def test_flow_control_stops_once_and_goes_when_drained(buffer: Made) -> None:
    made, _, sent = buffer
    made.flow_control = True
    made.arrived(bytes(STOP_AT - 1), busy=True)
    assert sent == []
    made.arrived(b"x", busy=True)
    made.arrived(b"x", busy=True)
    assert sent == [XOFF]
    made.drain()
    assert sent == [XOFF, XON]


def test_what_does_not_fit_is_lost_and_counted(buffer: Made) -> None:
    made, handled, sent = buffer
    made.arrived(bytes(SIZE - 1), busy=True)
    made.arrived(b"xyz", busy=True)
    assert (made.lost, sent) == (2, [])
    made.drain()
    assert handled == [bytes(SIZE - 1) + b"x"]
    made.arrived(b"late", busy=True)
    made.reset()
    made.drain()
    assert (made.lost, len(handled)) == (0, 1)


class BenchPort:
    """The bench's UART as a port."""

    physical = False
    name = "bench"

    def __init__(self, board: Bench) -> None:
        self._uart = board.uart
        self.clock = board.world

    def write(self, data: bytes) -> None:
        self._uart.host_write(data)

    def read(self, deadline: int) -> bytes:
        self.clock.run_until(lambda: bool(self._uart.received), max(deadline, self.clock.now))
        data = bytes(self._uart.received)
        self._uart.received.clear()
        return data

    def close(self) -> None:
        """Nothing to close."""


def busy_board(
    world: World, settings: dict[str, Scalar]
) -> tuple[Bench, MongooseBoard, Callable[[int], None]]:
    """A board whose main loop can be kept busy, as a signature in software does."""
    made = bench(world, settings=settings)
    host = MongooseBoard(BenchPort(made))
    host.expect_boot()
    made.chip.power_on()
    made.board.power_on()
    host.wait_for_boot()

    def occupy(us: int) -> None:
        def compute() -> None:
            with made.board._cpu.turn():
                world.spend("mcu", us)

        world.spawn(compute, "signature in software")
        world.run_for(10)

    return made, host, occupy


LONG = {"config": {"device": {"sn": "x" * 1200}}, "save": False}


def test_a_long_request_survives_a_busy_board_by_flow_control(world: World) -> None:
    made, host, occupy = busy_board(world, {})
    host.ping()
    occupy(2_000_000)
    start = world.now
    host.rpc.call("Config.Set", LONG)
    assert world.now - start > 2_000_000, "it had to wait"
    assert made.board._buffer.lost == 0
    assert host.config_get("device.sn") == "x" * 1200


def test_without_flow_control_the_same_request_is_lost(world: World) -> None:
    made, host, occupy = busy_board(world, {"rpc.uart.fc_type": 0})
    host.ping()
    occupy(2_000_000)
    with pytest.raises(DeviceTimeout):
        host.rpc.call("Config.Set", LONG, timeout_us=3_000_000)
    assert made.board._buffer.lost > 0
    host.ping()  # and the next one is answered


def test_a_reset_forgets_what_waited(world: World) -> None:
    made, host, occupy = busy_board(world, {})
    occupy(5_000_000)
    made.uart.host_write(b'\n{"id":1,"method":"RPC.Ping"}\n')
    world.run_for(100_000)
    assert made.board._buffer.waiting
    made.off()
    assert not made.board._buffer.waiting
    host.expect_boot()
    made.board.power_on()
    host.wait_for_boot()
    host.ping()
