"""The emulated board's HTTPS server, key in the element, as real clients on real sockets see it."""

from __future__ import annotations

import http.client
import json
import os
import select
import socket
import ssl
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
import serial
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from hil.board.mongoose import MongooseBoard
from hil.clock import Calendar, WallClock
from hil.element.certificates.selfsigned import self_signed
from hil.serialport import open_port
from hil.wire.http import encode_request
from tests.conformance.peers import needs_openssl

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PATIENCE_S = 60
RIG = """\
rig: test-https
board: {kind: mongoose-os, mcu: esp8266, port: "emu://test-https/board", mac: "02:e0:7e:00:04:43"}
power: {kind: lcus, port: "emu://test-https/relay"}
element: {part: atecc508a, state: provisioned, serial: 0123e07e00000443ee}
emulation: {chip: atecc508a, cost_model: esp8266-80mhz, element: mongoose-configured}
"""


class SlotKey:
    """The key of slot 0, by the firmware's own calls."""

    def __init__(self, board: MongooseBoard) -> None:
        self._board = board

    def public_key(self) -> bytes:
        return self._board.atca_public_key(0)

    def sign_digest(self, digest: bytes) -> bytes:
        return self._board.atca_sign(0, digest)


class Served:
    """One ``hil emulate`` whose board serves HTTPS."""

    def __init__(self, folder: Path) -> None:
        rig = folder / "test-https.yaml"
        rig.write_text(RIG)
        self.board: MongooseBoard | None = None
        self._process = subprocess.Popen(
            [
                sys.executable, "-c", "from hil.cli import main; main()", "emulate", str(rig),
                "--board-pty", str(folder / "board"), "--board-port", "443",
            ],
            stdout=subprocess.PIPE, text=True, env=os.environ,
        )  # fmt: skip
        try:
            self._set_up(folder)
        except BaseException:
            self.close()
            raise

    def _set_up(self, folder: Path) -> None:
        assert self._process.stdout is not None
        assert select.select([self._process.stdout], [], [], PATIENCE_S)[0], "it did not start"
        addresses: dict[str, Any] = json.loads(self._process.stdout.readline())
        front = addresses["board_ports"]["443"]
        self.address: tuple[str, int] = (front["host"], front["port"])
        with serial.Serial(str(folder / "board"), 115_200, timeout=PATIENCE_S) as terminal:
            assert terminal.read_until(b"Init done").endswith(b"Init done")  # it boots as it is served
        self.board = board = MongooseBoard(open_port(str(folder / "board"), clock=WallClock()))
        board.rpc.before_send = lambda method, params: None  # the part is this test's own: no guard
        der = self_signed(SlotKey(board), "/CN=test", at=Calendar().time(), days=30)
        self.pem = x509.load_der_x509_certificate(der).public_bytes(Encoding.PEM).decode()
        self.certificate = folder / "certificate.pem"
        self.certificate.write_text(self.pem)
        board.fs_put("ecc.crt.pem", self.pem.encode())
        settings = {"listen_addr": ":443", "ssl_cert": "ecc.crt.pem", "ssl_key": "ATCA:0"}
        board.config_set({"http": settings}, reboot=True)

    def close(self) -> None:
        if self.board is not None:
            self.board.close()
        self._process.terminate()
        self._process.communicate()

    def context(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.load_verify_locations(self.certificate)
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        return context


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    made = Served(tmp_path_factory.mktemp("https"))
    try:
        yield made
    finally:
        made.close()


def test_the_boot_log_says_that_the_server_speaks_tls(served: Served) -> None:
    assert served.board is not None
    assert served.board.boots[-1].events["http_ready"].fields == {"address": "443", "tls": " (SSL)"}


def test_the_standard_librarys_http_client_reads_a_file_and_calls_a_method(served: Served) -> None:
    assert served.board is not None
    mark = served.board.console.mark()
    client = http.client.HTTPSConnection(*served.address, context=served.context(), timeout=PATIENCE_S)
    client.request("GET", "/ecc.crt.pem")
    assert client.getresponse().read().decode() == served.pem
    client.request("POST", "/rpc", body=b'{"id":7,"method":"RPC.Ping"}')
    assert json.loads(client.getresponse().read())["id"] == 7
    client.request("GET", "/rpc/Sys.GetInfo")
    assert json.loads(client.getresponse().read())["mac"] == "02E07E000443"
    client.request("GET", "/nothing")
    assert client.getresponse().status == 404
    client.close()
    for line in (r"ATCA:\d ECDH (get|gen) pubkey ok", r"ATCA:0 ECDSA sign ok", r"ATCA:\d ECDH ok"):
        served.board.console.expect(line, timeout_us=PATIENCE_S * 1_000_000, since=mark)


@needs_openssl
def test_openssl_s_client_accepts_the_board(served: Served) -> None:
    host, port = served.address
    result = subprocess.run(
        [
            "openssl", "s_client", "-connect", f"{host}:{port}", "-CAfile", str(served.certificate),
            "-tls1_2", "-verify_return_error",
        ],
        input=b"", capture_output=True, timeout=PATIENCE_S, check=False,
    )  # fmt: skip
    assert b"Verify return code: 0 (ok)" in result.stdout, result.stderr
    assert b"ECDHE-ECDSA-AES128-GCM-SHA256" in result.stdout


def test_killed_clients_and_half_a_hello_never_wedge_the_board(served: Served) -> None:
    waiting = [socket.create_connection(served.address) for _ in range(8)]
    for connection in waiting[:4]:
        connection.sendall(b"\x16\x03\x01\x02\x00\x01")
    waiting[4].sendall(encode_request("GET", "/", host="no TLS"))
    for connection in waiting:
        connection.close()
    with a_place(served) as tls:
        tls.sendall(encode_request("GET", "/ecc.crt.pem", host="board"))
        assert tls.recv(4096).startswith(b"HTTP/1.1 200")


def a_place(served: Served) -> ssl.SSLSocket:
    """A connection; while the board still holds eight dead ones it hangs up on the ninth."""
    for _ in range(1_000):
        raw = socket.create_connection(served.address, timeout=PATIENCE_S)
        try:
            return served.context().wrap_socket(raw)
        except (ssl.SSLEOFError, ConnectionResetError):
            raw.close()
    pytest.fail("the board keeps its dead connections")
