"""The emulated board's servers: files and RPC over HTTP, WebSocket, TCP, and TLS with an element key."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from hil.board.netport import StreamPort
from hil.board.rpc import Credentials, RpcClient
from hil.board.rpcnet import HttpChannel, TcpChannel, WebSocketChannel
from hil.clock import Calendar, World
from hil.element.certificates.selfsigned import self_signed
from hil.element.device import Element
from hil.element.keys import ElementSigningKey
from hil.emulator.boards.mongoose_auth import permitted
from hil.emulator.bus import I2CMaster
from hil.emulator.chip import load_profile
from hil.emulator.factory import mongoose_configured
from hil.errors import PortError, RpcError
from hil.rig.cloud import pem
from hil.tls.alerts import TlsError
from hil.tls.openssl import connect_openssl
from hil.tls.software import SoftwareKey
from hil.wire.digest import http_authorization, http_challenge
from hil.wire.http import HttpReader, encode_request
from hil.wire.websocket import Opcode, WsReader, encode_frame
from tests.unit.firmware_bench import ATCA, SERIAL, Bench, bench

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hil.emulator.boards.mongoose_config import Scalar
    from hil.tls.stream import ByteStream
    from hil.wire.http import HttpMessage

AP = "192.168.4.1"
STATION = "192.168.4.100"
NOW = 1_780_000_000.0
WIFI: dict[str, Scalar] = {"wifi.sta.enable": True, "wifi.sta.ssid": "lab"}


@pytest.fixture
def world() -> Iterator[World]:
    with World() as world:
        yield world


def served(world: World, **options: object) -> Bench:
    made = bench(world, **options)  # type: ignore[arg-type]
    made.on()
    return made


def get(board: Bench, target: str, *, headers: dict[str, str] | None = None, port: int = 80) -> HttpMessage:
    stream = board.network.connect(AP, port)
    stream.sendall(encode_request("GET", target, host="board", headers=headers))
    return answer(board, stream)


def answer(board: Bench, stream: ByteStream) -> HttpMessage:
    reader = HttpReader(responses=True)
    deadline = board.world.now + 5_000_000
    while stream.wait_readable(deadline):
        data = stream.recv(4096)
        done = reader.feed(data)
        if done:
            return done[0]
        assert data, "closed without an answer"
    raise AssertionError("no answer")


def rpc(board: Bench, road: type, port: int, **options: Credentials) -> RpcClient:
    stream = board.network.connect(AP, port, timeout_us=1_000_000)
    line = StreamPort(stream, name="net", clock=board.world, physical=False)
    return RpcClient(road(line, "board"), **options)


# -- what listens ------------------------------------------------------------------------------


def test_the_log_names_port_and_tls(world: World) -> None:
    assert "HTTP server started on [80]" in served(world).messages()


@pytest.mark.parametrize("address", ["8080", ":8080", "0.0.0.0:8080", "tcp://:8080"])
def test_every_way_to_write_an_address(world: World, address: str) -> None:
    board = served(world, settings={"http.listen_addr": address})
    assert "HTTP server started on [8080]" in board.messages()
    assert get(board, "/", port=8080).status == 404


@pytest.mark.parametrize("address", ["", "http", ":0", ":65536"])
def test_an_address_that_is_none_is_told(world: World, address: str) -> None:
    board = served(world, settings={"http.listen_addr": address})
    assert f"Error binding to [{address}]" in board.messages()


def test_a_disabled_server_refuses(world: World) -> None:
    board = served(world, settings={"http.enable": False})
    with pytest.raises(ConnectionRefusedError):
        board.network.connect(AP, 80)


def test_it_is_reached_at_the_stations_address_once_it_has_one(world: World) -> None:
    board = served(world, settings={**WIFI, "wifi.ap.enable": False})
    with pytest.raises(OSError, match="no route"):
        board.network.connect(STATION, 80)
    board.run(5_000_000)
    board.network.connect(STATION, 80).close()


def test_nobody_answers_without_power_and_open_connections_fall_silent(world: World) -> None:
    board = served(world)
    stream = board.network.connect(AP, 80)
    board.off()
    stream.sendall(encode_request("GET", "/", host="board"))
    assert not stream.wait_readable(world.now + 10_000_000), "neither data nor a reset"
    with pytest.raises(OSError, match="no route"):
        board.network.connect(AP, 80)
    board.on()
    assert get(board, "/").status == 404


# -- HTTP --------------------------------------------------------------------------------------


def test_files_are_served_with_their_type(world: World) -> None:
    board = served(world, files={"index.html": b"<p>hello</p>", "key.bin": b"\x00\xff"})
    page = get(board, "/")
    assert (page.status, page.body, page.headers["content-type"]) == (200, b"<p>hello</p>", "text/html")
    assert get(board, "/key.bin?x=1").body == b"\x00\xff"
    assert get(board, "/none").status == 404


def test_what_is_no_http_gets_400_and_the_next_client_is_served(world: World) -> None:
    board = served(world)
    stream = board.network.connect(AP, 80)
    stream.sendall(b"\x16\x03\x01 nonsense\r\n\r\n")
    assert answer(board, stream).status == 400
    assert stream.recv(1) == b""
    assert get(board, "/").status == 404


def test_connection_close_is_obeyed(world: World) -> None:
    board = served(world)
    stream = board.network.connect(AP, 80)
    stream.sendall(encode_request("GET", "/", host="board", headers={"Connection": "close"}))
    assert answer(board, stream).status == 404
    assert stream.recv(1) == b""


def test_silent_clients_give_their_places_back(world: World) -> None:
    board = served(world)
    silent = [board.network.connect(AP, 80) for _ in range(4)]
    late = board.network.connect(AP, 80)
    late.sendall(encode_request("GET", "/", host="board"))
    assert not late.wait_readable(world.now + 30_000_000)
    assert late.wait_readable(world.now + 60_000_000)
    assert all(stream.recv(1) == b"" for stream in silent)


# -- RPC ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("road", "port"), [(HttpChannel, 80), (WebSocketChannel, 80), (TcpChannel, 1234)])
def test_calls_are_answered_on_every_road(world: World, road: type, port: int) -> None:
    board = served(world, settings={**ATCA, "rpc.tcp.listen_addr": "1234"})
    client = rpc(board, road, port)
    assert client.call("I2C.Scan") == [0x60]
    assert client.call("RPC.Ping") == {"channel_info": "host"}
    with pytest.raises(RpcError, match="No handler for Bogus"):
        client.call("Bogus")
    client.close()
    assert board.call("RPC.Ping") == {"channel_info": "UART0"}


def test_a_method_in_the_path_takes_bare_parameters(world: World) -> None:
    board = served(world)
    assert json.loads(get(board, "/rpc/Sys.GetInfo").body)["arch"] == "esp8266"
    stream = board.network.connect(AP, 80)
    stream.sendall(encode_request("POST", "/rpc/Config.Get", host="b", body=b'{"key":"http.listen_addr"}'))
    assert json.loads(answer(board, stream).body) == "80"
    missing = get(board, "/rpc/Bogus")
    assert (missing.status, missing.body) == (404, b"No handler for Bogus")
    assert get(board, "/rpcx").status == 404


def test_rpc_over_http_can_be_switched_off(world: World) -> None:
    board = served(world, settings={"rpc.http.enable": False})
    assert get(board, "/rpc/Sys.GetInfo").status == 404


def test_a_websocket_pings_and_closes(world: World) -> None:
    board = served(world)
    client = rpc(board, WebSocketChannel, 80)
    client.call("RPC.Ping")
    stream = board.network.connect(AP, 80)
    headers = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Key": "dGVzdA=="}
    stream.sendall(encode_request("GET", "/rpc", host="board", headers=headers))
    assert answer(board, stream).status == 101
    stream.sendall(encode_frame(Opcode.PING, b"still there?", mask=b"test"))
    stream.sendall(encode_frame(Opcode.CLOSE, b"\x03\xe8", mask=b"test"))
    received, reader = [], WsReader()
    while data := stream.recv(4096):
        received += reader.feed(data)
    assert [(one.opcode, one.data) for one in received] == [
        (Opcode.PONG, b"still there?"),
        (Opcode.CLOSE, b"\x03\xe8"),
    ]


# -- authentication ----------------------------------------------------------------------------


def htdigest(user: str, realm: str, password: str, algorithm: str = "md5") -> bytes:
    secret = hashlib.new(algorithm, f"{user}:{realm}:{password}".encode()).hexdigest()
    return f"{user}:{realm}:{secret}\n".encode()


LOCKED: dict[str, Scalar] = {"rpc.auth_domain": "bench", "rpc.auth_file": "rpc.pass"}


@pytest.mark.parametrize(("algo", "name"), [(0, "md5"), (1, "sha256")])
def test_calls_need_the_password_on_every_road(world: World, algo: int, name: str) -> None:
    files = {"rpc.pass": htdigest("tester", "bench", "test-password", name)}
    board = served(world, settings={**LOCKED, "rpc.auth_algo": algo}, files=files)
    with pytest.raises(RpcError) as caught:
        board.call("RPC.Ping")
    challenge = json.loads(caught.value.text)
    assert (caught.value.code, challenge["realm"], challenge["nonce"]) == (401, "bench", int(NOW))
    client = rpc(board, HttpChannel, 80, credentials=Credentials("tester", "test-password"))
    assert client.call("RPC.Ping") == {"channel_info": "host"}
    for user, password in (("tester", "wrong"), ("nobody", "test-password")):
        stranger = rpc(board, HttpChannel, 80, credentials=Credentials(user, password))
        with pytest.raises(RpcError) as refused:
            stranger.call("RPC.Ping")
        assert refused.value.code == 401


def test_an_access_list_is_looked_at_by_method(world: World) -> None:
    rules = [{"method": "Sys.*", "acl": "-tester,*"}, {"method": "*", "acl": "*"}]
    files = {
        "rpc.pass": htdigest("tester", "bench", "test-password"),
        "acl.json": json.dumps(rules).encode(),
    }
    board = served(world, settings={**LOCKED, "rpc.acl_file": "acl.json"}, files=files)
    client = rpc(board, HttpChannel, 80, credentials=Credentials("tester", "test-password"))
    client.call("RPC.Ping")
    with pytest.raises(RpcError, match="unauthorized") as caught:
        client.call("Sys.GetInfo")
    assert caught.value.code == 403


@pytest.mark.parametrize(
    ("acl", "may"),
    [("", True), ("*", True), ("+tester", True), ("-tester,*", False), ("other", False), ("-*", False)],
)
def test_the_first_entry_that_fits_decides(acl: str, may: bool) -> None:
    assert permitted("tester", acl) is may


def test_a_nonce_grows_old(world: World) -> None:
    files = {"http.pass": htdigest("tester", "files", "test-password")}
    settings: dict[str, Scalar] = {"http.auth_domain": "files", "http.auth_file": "http.pass"}
    board = served(world, settings=settings, files=files)
    refused = get(board, "/http.pass")
    assert refused.status == 401
    challenge = http_challenge(refused.headers["www-authenticate"])
    proof = http_authorization(challenge, "tester", "test-password", "cnonce", method="GET", uri="/http.pass")
    assert get(board, "/http.pass", headers={"Authorization": proof}).status == 200
    assert get(board, "/other", headers={"Authorization": proof}).status == 401, "for another target"
    board.board.calendar._fixed = NOW + 4000
    assert get(board, "/http.pass", headers={"Authorization": proof}).status == 401


# -- TLS ---------------------------------------------------------------------------------------


def https(world: World, **options: object) -> tuple[Bench, str]:
    """A board that serves HTTPS with the key of slot 0, and the certificate that it shows."""
    memory = mongoose_configured(load_profile("atecc508a"), SERIAL, provisioned=True)
    settings = {**ATCA, "http.listen_addr": ":443", "http.ssl_cert": "c.pem", "http.ssl_key": "ATCA:0"}
    board = bench(world, memory=memory, settings=settings, **options)  # type: ignore[arg-type]
    board.chip.power_on()
    element = Element(I2CMaster(world, board.lines, sda=12, scl=14), 0x60, part="atecc508a")
    der = self_signed(ElementSigningKey(element, 0), "/CN=test", at=Calendar().time(), days=30)
    shown = pem(der, "CERTIFICATE")
    board.board.flash.files["c.pem"] = shown.encode()
    board.chip.power_off()
    board.on()
    return board, shown


def only_1_2(context: object) -> None:
    import ssl

    assert isinstance(context, ssl.SSLContext)
    context.maximum_version = ssl.TLSVersion.TLSv1_2


def test_the_log_of_a_served_handshake_is_the_articles(world: World) -> None:
    board, shown = https(world)
    assert "HTTP server started on [443] (SSL)" in board.messages()
    start = world.now
    connection = connect_openssl(
        board.network.connect(AP, 443), trusted=shown, deadline=world.now + 5_000_000, adjust=only_1_2
    )
    connection.sendall(encode_request("GET", "/c.pem", host="board"))
    assert answer(board, connection).body.decode() == shown
    board.read()
    lines = [line for line in board.log if line.startswith("ATCA:")]
    assert [line.split(" ", 1)[1] for line in lines] == ["ECDH get pubkey ok", "ECDSA sign ok", "ECDH ok"]
    assert lines[0][:6] in ("ATCA:2", "ATCA:3")
    assert lines[1].startswith("ATCA:0 ")
    assert 100_000 < world.now - start < 400_000, "three operations of the element and the round trips"
    connection.close()


def test_a_key_in_a_file_is_served_by_the_mcu(world: World) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    shown = pem(self_signed(SoftwareKey(key), "/CN=test", at=Calendar().time(), days=30), "CERTIFICATE")
    text = key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    settings: dict[str, Scalar] = {
        "http.listen_addr": "443",
        "http.ssl_cert": "c.pem",
        "http.ssl_key": "k.pem",
    }
    board = served(world, settings=settings, files={"c.pem": shown.encode(), "k.pem": text})
    stream = board.network.connect(AP, 443)
    connect_openssl(stream, trusted=shown, deadline=world.now + 9_000_000, adjust=only_1_2).close()
    board.read()
    assert board.logged("SW ECDSA sign curve 3")
    assert not board.logged("ATCA:")


@pytest.mark.parametrize(
    ("files", "words"),
    [({}, "no such file"), ({"c.pem": b"nonsense", "k.pem": b""}, "SSL init error")],
)
def test_a_server_without_its_files_does_not_start_and_says_so(
    world: World, files: dict[str, bytes], words: str
) -> None:
    settings: dict[str, Scalar] = {
        "http.listen_addr": "443",
        "http.ssl_cert": "c.pem",
        "http.ssl_key": "k.pem",
    }
    board = served(world, settings=settings, files=files)
    assert board.logged(words)
    assert "Error binding to [443]" in board.messages()
    assert board.logged("Init done"), "the firmware runs on"


def test_the_power_can_go_at_any_moment_of_a_handshake(world: World) -> None:
    board, shown = https(world)
    stream = board.network.connect(AP, 443)
    world.after(60_000, board.off, "cut")
    with pytest.raises(TlsError, match="deadline"):
        connect_openssl(stream, trusted=shown, deadline=world.now + 2_000_000, adjust=only_1_2)
    board.on()
    stream = board.network.connect(AP, 443)
    connect_openssl(stream, trusted=shown, deadline=world.now + 5_000_000, adjust=only_1_2).close()


def test_a_closed_connection_is_a_port_that_went_away(world: World) -> None:
    board = served(world)
    client = rpc(board, HttpChannel, 80)
    client.call("RPC.Ping")
    world.run_for(61_000_000)
    with pytest.raises(PortError, match="closed by the device"):
        client.call("RPC.Ping")
