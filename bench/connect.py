"""500 connects with real TLS from power-on to CONNACK.

Two processes, as two cores are there. Each powers an emulated board up again and again; the board boots,
joins its network, and connects to the endpoint with the key in its element.
"""

from __future__ import annotations

import resource
import subprocess
import sys
from typing import TYPE_CHECKING

from bench.figures import Figure
from hil.clock import wall_us

if TYPE_CHECKING:
    from collections.abc import Callable

CONNECTS = 500
PROCESSES = 2
RIG = "emulated-esp8266-atecc508a"


def play(n: int, start: str, watched: Callable[[Callable[[], None]], None]) -> None:
    """Let a board connect ``n`` times after one that warms up; all of them must be accepted."""
    from hil.connecttime.sampler import Sampler
    from hil.connecttime.scenario import SCENARIOS, Case
    from hil.rig.oneshot import one_rig

    with one_rig(RIG) as rig:
        sampler = Sampler(rig)
        sampler.prepare(Case(SCENARIOS["element"], "1.2"))
        sampler.take(1)

        def connect() -> None:
            taken = sampler.take(n, "power-on" if start == "power-on" else "reconnect")
            assert len(taken.connections) == n, taken.failure

        watched(connect)


def child(n: int) -> None:
    """One of the processes: says when it is ready, connects when told, and says what time it took."""

    def watched(connect: Callable[[], None]) -> None:
        print("ready", flush=True)
        sys.stdin.readline()
        before = processor_s()
        connect()
        print(f"{processor_s() - before:.2f}", flush=True)

    play(n, "power-on", watched)


def processor_s() -> float:
    """Processor time of this process so far, seconds."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def all_of_them() -> Figure:
    """All connects, all processes at once; their start is not counted."""
    command = [sys.executable, "-c", f"from bench.connect import child; child({CONNECTS // PROCESSES})"]
    running = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(PROCESSES)
    ]
    try:
        for process in running:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        start = wall_us()
        for process in running:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        used = [float(process.stdout.readline()) for process in running if process.stdout is not None]
        seconds = (wall_us() - start) / 1e6
    finally:
        for process in running:
            process.kill()
            process.communicate()
    name = f"{CONNECTS} connects from power-on, {PROCESSES} processes"
    return Figure(name, seconds, "s", 10, note=f"processor time {' + '.join(f'{one:.1f}' for one in used)} s")


def measure() -> list[Figure]:
    return [
        all_of_them(),
    ]
