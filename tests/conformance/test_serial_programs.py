"""Programs that people already have, against a served board: an mg_rpc client like mos, a terminal."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.conformance.mos_client import MosClient, RemoteError
from tests.e2e.test_emulated_board import PATIENCE_S, Served, emulate

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    with emulate("--board-rfc2217", "127.0.0.1:0") as running:
        yield running


@pytest.fixture
def mos(served: Served) -> Iterator[MosClient]:
    client = MosClient(served.addresses["board_pty"])
    yield client
    client.close()


def test_the_tools_calls_work(mos: MosClient) -> None:
    assert mos.call("I2C.Scan") == [96]
    assert mos.call("RPC.Ping") == {"channel_info": "UART0"}
    info = mos.call("Sys.GetInfo")
    assert (info["arch"], info["mac"]) == ("esp8266", "02E07E00508A")
    assert {"ATCA.GetConfig", "Config.Set", "FS.Put", "I2C.Scan"} <= set(mos.call("RPC.List"))
    assert len(mos.call("ATCA.GetConfig")["config"]) == 172, "128 bytes in base64"
    with pytest.raises(RemoteError, match="remote error 404: No handler for No.Such"):
        mos.call("No.Such")


def test_a_file_is_put_and_got_in_chunks(mos: MosClient) -> None:
    content = bytes(range(256)) * 5 + b"the rest"
    mos.put("data.bin", content)
    assert mos.get("data.bin") == content
    assert "data.bin" in mos.call("FS.List", {"path": "/"})
    mos.call("FS.Remove", {"filename": "data.bin"})
    assert "data.bin" not in mos.call("FS.List", {"path": "/"})


def test_a_killed_client_leaves_half_a_frame_and_the_next_one_is_served(served: Served) -> None:
    dying = MosClient(served.addresses["board_pty"])
    dying.write_raw(b'\n"""{"src":"mos","id":1,"method":"Config.Set","params":{"config":{"debug":')
    dying.close()
    client = MosClient(served.addresses["board_pty"])
    assert client.call("I2C.Scan") == [96]
    client.close()


def test_a_terminal_shows_the_restart_that_a_client_orders(served: Served, mos: MosClient) -> None:
    """pyserial's miniterm on the network, mos on the pty: two programs at one board."""
    master, slave = pty.openpty()
    url = served.addresses["board_rfc2217"]
    command = [sys.executable, "-W", "ignore", "-m", "serial.tools.miniterm", "--raw", url, "115200"]
    with subprocess.Popen(
        command, stdin=slave, stdout=slave, stderr=slave, start_new_session=True
    ) as terminal:
        os.close(slave)
        try:
            shown = read_until(master, b"--- Quit")
            mos.call("Config.Set", {"config": {"debug": {"level": 3}}, "save": True, "reboot": True})
            shown += read_until(master, b"Init done")
            os.write(master, b"\x1d")  # Ctrl+]
            assert terminal.wait(PATIENCE_S) == 0
        finally:
            terminal.kill()
            os.close(master)
    assert b"Mongoose OS 2.20" in shown
    assert mos.call("Config.Get", {"key": "debug.level"}) == 3


def read_until(descriptor: int, wanted: bytes) -> bytes:
    heard = b""
    while wanted not in heard:
        assert select.select([descriptor], [], [], PATIENCE_S)[0], heard
        heard += os.read(descriptor, 4096)
    return heard
