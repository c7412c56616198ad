"""A call into the firmware of an in-process emulated board, against the bare work on its bytes."""

from __future__ import annotations

import json
import tempfile
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

from bench.figures import Figure
from hil import rigfile
from hil.clock import Calendar, wall_us
from hil.records.header import new_run
from hil.rig.opening import open_rig

if TYPE_CHECKING:
    from collections.abc import Callable

RIG = "emulated-esp8266-atecc508a"
CALLS, ROUNDS = 10, 300
REQUEST = {"src": "hil", "id": 1_099_511_627_776, "method": "RPC.Ping"}
REPLY = {"id": 1_099_511_627_776, "src": "esp8266_00508A", "dst": "hil", "result": {"channel_info": "UART0"}}


def least(run: Callable[[], object]) -> float:
    """Microseconds a call, of the quickest round: what is slower waited for the computer."""
    rounds = []
    for _ in range(ROUNDS):
        start = wall_us()
        for _ in range(CALLS):
            run()
        rounds.append((wall_us() - start) / CALLS)
    return min(rounds)


def bare() -> None:
    """Both frames written, checked and read by each end, and nothing else."""
    for message in (REQUEST, REPLY):
        frame = json.dumps(message).encode()
        zlib.crc32(frame)
        zlib.crc32(frame)
        json.loads(frame)


def measure() -> list[Figure]:
    calendar = Calendar()
    with tempfile.TemporaryDirectory() as folder, new_run(Path(folder), calendar) as journal:
        file = rigfile.load_rig(RIG)
        rig = open_rig(file, faults=(), allow_irreversible=frozenset(), journal=journal, calendar=calendar)
        try:
            board = rig.booted_board()
            call = least(board.ping)
        finally:
            rig.close()
    note = f"{call / 1000:.3f} ms a call"
    return [Figure("RPC round trip / its bytes alone", call / least(bare), "×", 20, note=note)]
