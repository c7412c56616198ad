"""The endpoint on a real port: it can be stopped and comes back where it was."""

from __future__ import annotations

import socket
from contextlib import suppress

import pytest

from hil.clock import Calendar
from hil.cloud.local.endpoint import Endpoint
from hil.cloud.local.pki import ServerPki
from hil.cloud.local.serving import ServedEndpoint
from hil.cloud.registry import MemoryRegistry
from hil.errors import PortError
from tests.unit.tls_rig import ACCOUNT, HOST, NOW, REGION

PATIENCE_S = 30


def make() -> Endpoint:
    pki = ServerPki(HOST, Calendar(NOW))
    return Endpoint(MemoryRegistry([]), pki, account=ACCOUNT, region=REGION, host=HOST)


def dial(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S)


def test_a_stopped_endpoint_hangs_up_refuses_and_listens_again_on_its_port() -> None:
    with ServedEndpoint(make) as served:
        with dial(served.port) as client:
            served.ask(lambda: None)
            served.stop_listening()
            client.settimeout(PATIENCE_S)
            with suppress(ConnectionResetError):  # it may not have been taken yet
                assert client.recv(1) == b""
            with pytest.raises(ConnectionRefusedError):
                dial(served.port)
        served.listen_again()
        with dial(served.port):
            pass


def test_a_port_that_was_taken_meanwhile_is_told() -> None:
    with ServedEndpoint(make) as served:
        served.stop_listening()
        with (
            socket.create_server(("127.0.0.1", served.port)),
            pytest.raises(PortError, match="cannot listen"),
        ):
            served.listen_again()
        served.listen_again()
