"""Independent programs that the conformance tests talk to, each on a free loopback port."""

from __future__ import annotations

import contextlib
import getpass
import shutil
import socket
import subprocess
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from hil.clock import WallClock, World
from hil.cloud.local.front import Front
from hil.tls.stream import SocketStream

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from hil.cloud.local.endpoint import Endpoint
    from hil.cloud.local.pki import ServerChain
    from tests.unit.tls_rig import Device

CLOCK = WallClock()
PATIENCE_US = 10_000_000

needs_openssl = pytest.mark.skipif(
    shutil.which("openssl") is None, reason="the openssl program is not installed"
)
needs_mosquitto = pytest.mark.skipif(shutil.which("mosquitto") is None, reason="mosquitto is not installed")


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def dial(port: int) -> SocketStream:
    """A connection to a loopback port, as a stream on the wall clock."""
    return SocketStream(socket.create_connection(("127.0.0.1", port), timeout=10), CLOCK)


@dataclass
class Program:
    """A server program that is running."""

    process: subprocess.Popen[bytes]
    port: int
    log: Path

    def output(self) -> str:
        return self.log.read_text(errors="replace")


@contextlib.contextmanager
def running(command: list[str], port: int, log: Path) -> Iterator[Program]:
    """Start a server, wait until its port answers, end it afterwards."""
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT)
        try:
            deadline = CLOCK.now + PATIENCE_US
            while True:
                try:
                    socket.create_connection(("127.0.0.1", port), timeout=1).close()
                    break
                except OSError:
                    if process.poll() is not None or CLOCK.now > deadline:
                        pytest.fail(f"{command[0]} did not start: {log.read_text(errors='replace')}")
                    CLOCK.sleep(10_000)
            yield Program(process, port, log)
        finally:
            process.terminate()
            process.wait(10)


def write_pki(folder: Path, chain: ServerChain, device: Device) -> None:
    """Files for servers: their chain and key, and the device's signer as the only client CA."""
    (folder / "server.pem").write_bytes(chain.pem())
    (folder / "intermediate.pem").write_bytes(
        b"".join(one.public_bytes(Encoding.PEM) for one in chain.certificates[1:])
    )
    (folder / "server.key").write_bytes(chain.key_pem())
    (folder / "clients.pem").write_bytes(device.issuer_pem())


@contextlib.contextmanager
def s_server(folder: Path, version: str) -> Iterator[Program]:
    """``openssl s_server`` that insists on a client certificate and echoes lines reversed."""
    port = free_port()
    command = [
        "openssl", "s_server", "-accept", f"127.0.0.1:{port}", "-rev", "-Verify", "3", "-verify_return_error",
        "-cert", str(folder / "server.pem"), "-cert_chain", str(folder / "intermediate.pem"),
        "-key", str(folder / "server.key"), "-CAfile", str(folder / "clients.pem"),
        "-tls1_2" if version == "1.2" else "-tls1_3",
    ]  # fmt: skip
    with running(command, port, folder / "s_server.log") as program:
        yield program


@contextlib.contextmanager
def mosquitto(folder: Path, version: str) -> Iterator[Program]:
    """mosquitto that requires a client certificate and names clients after it."""
    port = free_port()
    config = folder / "mosquitto.conf"
    config.write_text(
        f"""listener {port} 127.0.0.1
user {getpass.getuser()}
allow_anonymous false
require_certificate true
use_identity_as_username true
set_tcp_nodelay true
tls_version {"tlsv1.2" if version == "1.2" else "tlsv1.3"}
cafile {folder / "clients.pem"}
certfile {folder / "server.pem"}
keyfile {folder / "server.key"}
log_type all
"""
    )
    with running(["mosquitto", "-c", str(config), "-v"], port, folder / "mosquitto.log") as program:
        yield program


class ServedEndpoint:
    """An endpoint on a real port, served by a paced world in a thread of its own."""

    def __init__(self, make: Callable[[], Endpoint]) -> None:
        self._make = make
        self._ready = threading.Event()
        self._wake, self._stop = socket.socketpair()
        self._error: BaseException | None = None
        self.port = 0
        self.endpoint: Endpoint | None = None
        self._thread = threading.Thread(target=self._serve, name="endpoint front")

    def _serve(self) -> None:
        stopped: list[bool] = []
        try:
            with World(paced=True) as world:
                self.endpoint = self._make()
                front = Front(world, self.endpoint)
                self.port = front.port
                world.listen(self._wake, lambda: stopped.append(True))
                self._ready.set()
                world.run_until(lambda: bool(stopped), None)
                front.close()
        except BaseException as error:
            self._error = error
            raise
        finally:
            self._ready.set()

    def __enter__(self) -> ServedEndpoint:
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.close()
        self._thread.join(10)
        self._wake.close()
        assert not self._thread.is_alive()
        assert self._error is None
