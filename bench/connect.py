"""500 connects with real TLS from power-on to CONNACK, and who spends the processor's time in a handshake.

Two processes, as two cores are there. Each powers an emulated board up again and again; the board boots,
joins its network, and connects to the endpoint with the key in its element.

The share is that of our own code in the TLS handshakes of one process: from the board's call until the
handshake is over, whatever runs meanwhile, so board, element, bus, network, endpoint and the host that
reads the console. tlslite-ng's share is its own and its packages', OpenSSL's what cryptography and pyOpenSSL
do, also where a line of ours called it; the standard library's time belongs to whoever called it.
"""

from __future__ import annotations

import resource
import subprocess
import sys
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

from cryptography.hazmat.bindings import _rust

from bench.figures import Figure
from bench.sampling import Sampling, Site, calls
from hil.clock import wall_us
from hil.emulator.boards import mongoose_net
from hil.tls import client

if TYPE_CHECKING:
    from collections.abc import Callable

CONNECTS = 500
PROCESSES = 2
RIG = "emulated-esp8266-atecc508a"
PROFILED = 500

THEIRS = ("tlslite", "ecdsa", "OpenSSL", "cryptography")
"""Packages whose time is not ours: tlslite-ng with the one it computes with, OpenSSL's two bindings."""


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


def share() -> float:
    """Percentage of a handshake's processor time that is neither tlslite-ng's nor OpenSSL's own."""
    sampling = Sampling()
    connect_tls = client.connect

    def handshake(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401  (whatever the board passes)
        with sampling.running():
            return connect_tls(*args, **kwargs)

    def watched(connect: Callable[[], None]) -> None:
        with patch.object(mongoose_net, "connect", handshake):
            connect()

    play(PROFILED, "reconnect", watched)
    names = openssl_names()
    ours = sum(count for site, count in sampling.sites.items() if _ours(site, names))
    return 100 * ours / sampling.sites.total()


def openssl_names() -> frozenset[str]:
    """Names of the functions, types and methods by which our lines call OpenSSL directly."""
    names: set[str] = set()
    for module in (_rust.x509, _rust.asn1, *vars(_rust.openssl).values()):
        for name, member in getattr(module, "__dict__", {}).items():
            names.add(name)
            if isinstance(member, type):
                names.update(dir(member))
    plain = {name for kind in (bytes, bytearray, dict, int, list, set, str, tuple) for name in dir(kind)}
    plain.remove("update")  # what a handshake updates are hashes
    return frozenset(name for name in names - plain if not name.startswith("_"))


def _ours(site: Site, names: frozenset[str]) -> bool:
    file = site[0].co_filename
    return not any(f"/{package}/" in file for package in THEIRS) and calls(site) not in names


def measure() -> list[Figure]:
    return [
        all_of_them(),
        Figure("own share of a TLS handshake", share(), "%", 25, note=f"samples of {PROFILED} handshakes"),
    ]
