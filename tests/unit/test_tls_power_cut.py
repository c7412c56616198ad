"""Cutting the power of a board in every part of a TLS handshake: nothing survives, nothing is said."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from hil.clock import Calendar, Halted, World
from hil.cloud.local.pki import ServerPki
from tests.unit.tls_rig import HOST, NOW, Bench, Client, Device, make_device, record

if TYPE_CHECKING:
    from hil.tls.client import Version
    from hil.tls.operations import Operation

STEP_US = 3_000
COSTS = {"sign": 50_000, "ecdh": 30_000, "ecdh-keygen": 20_000, "verify": 40_000}
"""A board that takes its time, so that most cuts fall into an operation."""


@pytest.fixture(scope="module")
def pki() -> ServerPki:
    return ServerPki(HOST, Calendar(NOW))


@pytest.fixture(scope="module")
def device() -> Device:
    return make_device()


class Costs:
    def __init__(self, world: World) -> None:
        self._world = world

    def operation(self, operation: Operation) -> None:
        self._world.spend("mcu", COSTS.get(operation.name, 0))


def run(pki: ServerPki, device: Device, version: Version, cut_at: int | None) -> tuple[int, list[str]]:
    """Connect in a task and cut the power at ``cut_at``; when the CONNACK came, and what the task noted."""
    notes: list[str] = []
    with World() as world:
        bench = Bench(world, pki)
        bench.registry.records[device.id] = record(device)
        board = bench.network.interface("board")
        done: list[int] = []
        arrivals: list[tuple[int, bytes]] = []
        accept = bench._accept

        def listening(link: object, port: int) -> object:
            receive = accept(link, port)  # type: ignore[arg-type]

            def noting(data: bytes) -> None:
                arrivals.append((world.now, data))
                receive(data)

            return noting

        bench.network.listen(HOST, 8883, lambda link: listening(link, 8883))  # type: ignore[arg-type,return-value]

        def firmware() -> None:
            try:
                stream = board.connect(HOST, 8883)
                client = Client(
                    world, bench.tls(device, stream=stream, versions=[version], observer=Costs(world))
                )
                client.connect()
                done.append(world.now)
                world.sleep(1_000_000)
            except Exception as error:  # firmware swallows what it can
                notes.append(repr(error))
            except Halted:
                notes.append("halted")
                raise

        task = world.spawn(firmware, "firmware")
        if cut_at is None:
            world.run_until(lambda: bool(done), 10_000_000)
            return done[0], notes
        world.run_until(lambda: False, cut_at)
        board.cut()
        task.halt("power off")
        heard = list(arrivals)
        world.run_until(lambda: False, cut_at + 200_000_000)
        assert arrivals == heard, f"the server heard something after the cut at {cut_at}"
        assert not task.alive
        assert all(log.closed_us is not None for log in bench.endpoint.logs), "time-outs end the session"
    return 0, notes


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_no_task_survives_a_cut_and_no_byte_follows_it(
    pki: ServerPki, device: Device, version: Version
) -> None:
    connected_at, notes = run(pki, device, version, None)
    assert notes == []
    assert connected_at > 200_000
    for cut_at in range(STEP_US, connected_at + 2 * STEP_US, STEP_US):
        assert run(pki, device, version, cut_at)[1] == ["halted"]
