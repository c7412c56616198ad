"""Soak: ten thousand calls, a thousand power cycles, hundreds of openings, and nothing that piles up.

What a rig keeps on purpose (the transcript of its console, the trace of its bus, the log of its starts,
what the models of chip and firmware did) is plain data; every other kind of object has to be as many
afterwards as before.
"""

from __future__ import annotations

import gc
import os
import threading
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from hil import rigfile
from hil.clock import Calendar
from hil.records.header import new_run
from hil.rig.opening import open_rig
from hil.serialport import open_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from hil.rig.rig import Rig

pytestmark = pytest.mark.long

RIG = "emulated-esp8266-atecc508a"
KEPT = {
    "Entry", "Line", "Transaction", "Boot", "LogEvent", "Reset", "Executed", "Command", "Step", "dict",
    "tuple", "list", "cell",
}  # fmt: skip
"""Kinds of objects that the record of a rig consists of."""
SPARE = 200
"""Objects of a kind that caches and buffers may have more."""


@contextmanager
def opened(folder: Path) -> Iterator[Rig]:
    calendar = Calendar()
    with new_run(folder, calendar) as journal:
        rig = open_rig(
            rigfile.load_rig(RIG),
            faults=(),
            allow_irreversible=frozenset(),
            journal=journal,
            calendar=calendar,
        )
        try:
            yield rig
        finally:
            rig.close()


def holdings() -> tuple[int, int, Counter[str]]:
    """Open descriptors, threads, and objects by kind."""
    gc.collect()
    kinds = Counter(type(one).__name__ for one in gc.get_objects())
    return len(os.listdir("/proc/self/fd")), threading.active_count(), kinds


def grown(before: Counter[str], after: Counter[str], kept: set[str] = KEPT) -> dict[str, int]:
    return {name: n for name, n in (after - before).items() if n > SPARE and name not in kept}


def test_ten_thousand_calls(tmp_path: Path) -> None:
    with opened(tmp_path) as rig:
        board = rig.booted_board()
        for _ in range(100):
            board.ping()
        descriptors, threads, kinds = holdings()
        for _ in range(10_000):
            board.ping()
        now = holdings()
        assert now[:2] == (descriptors, threads)
        assert grown(kinds, now[2]) == {}
        assert not rig.unexpected_boots


def test_a_thousand_power_cycles(tmp_path: Path) -> None:
    with opened(tmp_path) as rig:
        for _ in range(10):
            rig.power_cycle()
        descriptors, threads, kinds = holdings()
        for cycle in range(1_000):
            rig.power_cycle()
            assert rig.boot is not None, f"cycle {cycle}: {rig.diagnose_silence()}"
        now = holdings()
        assert now[:2] == (descriptors, threads)
        assert grown(kinds, now[2]) == {}
        assert rig.booted_board().i2c_scan() == [96]


def test_two_hundred_openings(tmp_path: Path) -> None:
    def once(number: int) -> None:
        with opened(tmp_path / str(number)) as rig:
            rig.booted_board().ping()

    for number in range(5):
        once(number)
    descriptors, threads, kinds = holdings()
    for number in range(5, 205):
        once(number)
    now = holdings()
    assert now[:2] == (descriptors, threads)
    assert grown(kinds, now[2], set()) == {}


def test_a_thousand_openings_of_a_physical_port() -> None:
    """A reader thread and its descriptors belong to each."""
    from hil.clock import WallClock

    def once() -> None:
        port = open_port(os.ttyname(slave), clock=clock)
        os.write(master, b"a line\n")
        assert port.read(clock.now + 5_000_000)
        port.close()

    clock = WallClock()
    master, slave = os.openpty()
    try:
        for _ in range(5):
            once()
        descriptors, threads, kinds = holdings()
        for _ in range(1_000):
            once()
        now = holdings()
    finally:
        os.close(master)
        os.close(slave)
    assert now[:2] == (descriptors, threads)
    assert grown(kinds, now[2], set()) == {}
