"""The scheduler: events and spends, against a bare Python loop in the same process."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.figures import Figure
from hil.clock import World, wall_us

if TYPE_CHECKING:
    from collections.abc import Callable

N = 100_000


def timed(run: Callable[[], None]) -> float:
    return min(_once(run) for _ in range(5)) / N


def _once(run: Callable[[], None]) -> int:
    start = wall_us()
    run()
    return wall_us() - start


def bare() -> None:
    now, account = 0, {"mcu": 0}

    def spend(category: str, us: int) -> None:
        nonlocal now
        account[category] += us
        now += us

    for _ in range(N):
        spend("mcu", 1)


def spends() -> None:
    with World() as world:

        def task() -> None:
            for _ in range(N):
                world.spend("mcu", 1)

        world.spawn(task, "task")
        world.run_for(N + 1)


def events() -> None:
    with World() as world:
        left = N

        def tick() -> None:
            nonlocal left
            left -= 1
            if left:
                world.after(1, tick, "tick")

        world.after(1, tick, "tick")
        world.run_for(N + 1)


def measure() -> list[Figure]:
    base = timed(bare)
    return [
        Figure("spend on the fast path / bare bookkeeping", timed(spends) / base, "×", 12),
        Figure("event / bare bookkeeping", timed(events) / base, "×", 40),
    ]
