"""``hil emulate`` as outside programs see it: pty, I2C socket, MQTT, control plane, SIGTERM."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import ssl
import struct
import subprocess
import sys
from contextlib import closing
from typing import TYPE_CHECKING, Any

import boto3
import pytest
import serial
from botocore.config import Config

from hil.clock import WallClock
from hil.wire.atecc import Command, Opcode, decode_response

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

RIG = "emulated-esp8266-atecc508a"
PATIENCE_S = 60
SCAN = b'\n"""{"src":"mos","id":2067129483117,"method":"I2C.Scan"}e98ce17e"""\n'
SCANNED = b'"result":[96]}'


def wait_readable(fd: int, patience_s: float = PATIENCE_S) -> None:
    assert select.select([fd], [], [], patience_s)[0], "nothing came"


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], dict[str, Any]]]:
    process = subprocess.Popen(
        [
            sys.executable, "-c", "from hil.cli import main; main()", "emulate", RIG,
            "--board-pty", str(tmp_path / "board"), "--i2c-socket", str(tmp_path / "i2c"),
        ],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        wait_readable(process.stdout.fileno())
        yield process, json.loads(process.stdout.readline())
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def wait_for_boot(addresses: dict[str, Any]) -> None:
    """The board boots about when the line of JSON comes; until then it uses the bus itself and is deaf."""
    clock = WallClock()
    deadline = clock.now + PATIENCE_S * 1_000_000
    with serial.Serial(addresses["board_pty"], 115200, timeout=1) as port:
        while clock.now < deadline:
            port.write(SCAN)
            if port.read_until(SCANNED).endswith(SCANNED):
                return
    raise AssertionError("the board does not answer")


class I2CClient:
    """The documented protocol, written from its description."""

    def __init__(self, path: str) -> None:
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(PATIENCE_S)
        self.socket.connect(path)

    def __enter__(self) -> I2CClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def write(self, address: int, data: bytes) -> bool:
        self.socket.sendall(struct.pack("<cBH", b"W", address, len(data)) + data)
        return self.socket.recv(1) == b"\x00"

    def read(self, address: int, length: int) -> bytes | None:
        self.socket.sendall(struct.pack("<cBH", b"R", address, length))
        if self.socket.recv(1) != b"\x00":
            return None
        data = b""
        while len(data) < length:
            data += self.socket.recv(length - len(data))
        return data

    def poll(self, address: int, length: int) -> bytes:
        """Read until the element is no longer busy."""
        clock = WallClock()
        deadline = clock.now + PATIENCE_S * 1_000_000
        while clock.now < deadline:
            data = self.read(address, length)
            if data is not None:
                return data
        raise AssertionError("busy for ever")


def test_the_bus_the_console_and_the_cloud_answer_and_sigterm_ends_it_cleanly(
    served: tuple[subprocess.Popen[str], dict[str, Any]], tmp_path: Path
) -> None:
    process, addresses = served
    wait_for_boot(addresses)
    with I2CClient(addresses["i2c_socket"]) as bus:
        assert not bus.write(0, b"\x00"), "nobody acknowledges address 0"
        assert bus.poll(0x60, 4).hex() == "04113343"
        assert bus.write(0x60, b"\x03" + Command(Opcode.INFO).encode())
        assert decode_response(bus.poll(0x60, 7)).hex() == "00005000"

    with serial.Serial(addresses["board_pty"], 115200, timeout=PATIENCE_S) as port:
        port.write(SCAN)
        reply = port.read_until(SCANNED)
    assert reply.endswith(b'"id":2067129483117,"src":"esp8266_00508A","dst":"mos","result":[96]}')

    iot = boto3.client(
        "iot", endpoint_url=addresses["aws"]["endpoint_url"], region_name=addresses["aws"]["region"],
        aws_access_key_id="test", aws_secret_access_key="test", config=Config(retries={"max_attempts": 0}),
    )  # fmt: skip
    with closing(iot):
        endpoint = iot.describe_endpoint(endpointType="iot:Data-ATS")["endpointAddress"]
    assert endpoint == addresses["mqtt"]["server_name"]

    context = ssl.create_default_context(cadata=addresses["mqtt"]["ca_pem"])
    address = (addresses["mqtt"]["host"], addresses["mqtt"]["port"])
    # No client certificate: refused in the handshake (1.2) or at the first read (1.3).
    with (
        socket.create_connection(address, timeout=PATIENCE_S) as raw,
        pytest.raises(ssl.SSLError),
        context.wrap_socket(raw, server_hostname=endpoint) as tls,
    ):
        tls.recv(1)

    process.send_signal(signal.SIGTERM)
    assert process.wait(PATIENCE_S) == 0
    assert process.stderr is not None
    assert process.stderr.read() == ""
    assert not (tmp_path / "board").is_symlink()
    assert not (tmp_path / "i2c").exists()


def test_a_killed_client_and_half_a_request_never_wedge_the_bus(
    served: tuple[subprocess.Popen[str], dict[str, Any]],
) -> None:
    _, addresses = served
    wait_for_boot(addresses)
    with I2CClient(addresses["i2c_socket"]) as first:
        first.socket.sendall(b"W\x60")
    with I2CClient(addresses["i2c_socket"]) as nonsense:
        nonsense.socket.sendall(b"?" * 64)
        assert nonsense.socket.recv(1) == b"", "a client that is out of step is dropped"
    with I2CClient(addresses["i2c_socket"]) as bus:
        bus.write(0, b"\x00")
        assert bus.poll(0x60, 4).hex() == "04113343"
