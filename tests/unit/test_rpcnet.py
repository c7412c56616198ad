from __future__ import annotations

import socket
import threading
from typing import TYPE_CHECKING

import pytest

from hil import serialport
from hil.board.calls import MongooseCalls
from hil.board.rpc import Credentials, RpcClient
from hil.board.rpcnet import HttpChannel, TcpChannel, WebSocketChannel, open_channel
from hil.clock import WallClock, World
from hil.emulator.uart import Uart
from hil.errors import DeviceTimeout, FrameError, PortError, RpcError, UsageError
from hil.wire.digest import digest_response, rpc_challenge
from hil.wire.http import HttpReader, encode_response
from hil.wire.mgrpc import (
    DeviceReceiver,
    Frame,
    Request,
    decode_request,
    decode_value,
    encode_error,
    encode_result,
)
from hil.wire.websocket import Opcode, WsReader, accept_key, encode_frame

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from hil.board.rpc import Channel

CHALLENGE = '{"auth_type":"digest","nonce":1700000000,"nc":1,"realm":"esp","algorithm":"SHA-256"}'


def answer(json: bytes) -> bytes:
    """What a device with one method, and one behind a login, replies."""
    request = decode_request(json)
    if request.method == "I2C.Scan":
        return encode_result(request, [96], src="esp")
    if request.method == "Sys.Reboot" and not authorized(request):
        return encode_error(request, 401, CHALLENGE, src="esp")
    if request.method == "Sys.Reboot":
        return encode_result(request, None, src="esp")
    return encode_error(request, 404, f"No handler for {request.method}", src="esp")


def authorized(request: Request) -> bool:
    if not bytes(request.auth):
        return False
    auth = decode_value(bytes(request.auth), dict[str, object])
    proof = digest_response(
        rpc_challenge(CHALLENGE),
        "admin",
        "test-password",
        str(auth["cnonce"]),
        nc="1",
        method="dummy_method",
        uri="dummy_uri",
    )
    return auth["username"] == "admin" and auth["response"] == proof


class TcpDevice:
    def __init__(self, send: Callable[[bytes], None]) -> None:
        self.send = send
        self.receiver = DeviceReceiver()

    def received(self, data: bytes) -> None:
        for event in self.receiver.feed(data):
            if isinstance(event, Frame):
                self.send(self.receiver.reply(answer(event.json)))


class HttpDevice:
    def __init__(self, send: Callable[[bytes], None]) -> None:
        self.send = send
        self.reader = HttpReader(responses=False)

    def received(self, data: bytes) -> None:
        for message in self.reader.feed(data):
            assert message.request == ("POST", "/rpc")
            self.send(encode_response(200, answer(message.body)))


class WebSocketDevice:
    def __init__(self, send: Callable[[bytes], None]) -> None:
        self.send = send
        self.http: HttpReader | None = HttpReader(responses=False)
        self.reader = WsReader()
        self.pongs: list[bytes] = []

    def received(self, data: bytes) -> None:
        if self.http is not None:
            for message in self.http.feed(data):
                key = accept_key(message.headers["sec-websocket-key"])
                headers = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Accept": key}
                self.http = None
                self.send(encode_response(101, headers=headers) + encode_frame(Opcode.PING, b"are you there"))
            return
        for frame in self.reader.feed(data):
            if frame.opcode is Opcode.PONG:
                self.pongs.append(frame.data)
            else:
                self.send(encode_frame(Opcode.TEXT, answer(frame.data)))


Device = TcpDevice | HttpDevice | WebSocketDevice
KINDS: dict[str, tuple[type[Device], type[TcpChannel | HttpChannel | WebSocketChannel]]] = {
    "tcp": (TcpDevice, TcpChannel),
    "http": (HttpDevice, HttpChannel),
    "ws": (WebSocketDevice, WebSocketChannel),
}


@pytest.fixture
def world() -> Iterator[World]:
    with World() as world:
        yield world


@pytest.fixture
def uart(world: World) -> Iterator[Uart]:
    uart = Uart(world, "net")
    serialport.register("net-test", "rpc", uart)
    yield uart
    serialport.unregister("net-test")


def channel(kind: str, world: World) -> Channel:
    return KINDS[kind][1](serialport.open_port("emu://net-test/rpc", clock=world), "board")


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_calls_work_over_every_transport(kind: str, world: World, uart: Uart) -> None:
    uart.on_bytes = KINDS[kind][0](uart.send).received
    calls = MongooseCalls(RpcClient(channel(kind, world)))
    assert calls.i2c_scan() == [96]
    assert calls.i2c_scan() == [96]
    with pytest.raises(RpcError, match="404"):
        calls.atca_get_config()
    assert calls.rpc.physical is False
    calls.rpc.close()


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_the_firmwares_login_is_answered(kind: str, world: World, uart: Uart) -> None:
    uart.on_bytes = KINDS[kind][0](uart.send).received
    transport = channel(kind, world)
    with pytest.raises(RpcError, match="401"):
        RpcClient(transport).call("Sys.Reboot")
    with pytest.raises(RpcError, match="401"):
        RpcClient(transport, credentials=Credentials("admin", "test-wrong")).call("Sys.Reboot")
    RpcClient(transport, credentials=Credentials("admin", "test-password")).call("Sys.Reboot")


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_a_silent_device_times_out_exactly(kind: str, world: World, uart: Uart) -> None:
    client = RpcClient(channel(kind, world))
    with pytest.raises(DeviceTimeout):
        client.call("I2C.Scan", timeout_us=2_000_000)
    assert world.now == 2_000_000


def test_a_websocket_ping_is_answered_and_a_close_is_a_port_error(world: World, uart: Uart) -> None:
    device = WebSocketDevice(uart.send)
    uart.on_bytes = device.received
    client = RpcClient(channel("ws", world))
    client.call("I2C.Scan")
    world.run_for(100_000)
    assert device.pongs == [b"are you there"]
    uart.on_bytes = lambda data: uart.send(encode_frame(Opcode.CLOSE, b""))
    with pytest.raises(PortError, match="closed the WebSocket"):
        client.call("I2C.Scan")


def test_a_server_without_websocket_is_a_frame_error(world: World, uart: Uart) -> None:
    uart.on_bytes = lambda data: uart.send(encode_response(404))
    with pytest.raises(FrameError, match="no WebSocket at /rpc"):
        RpcClient(channel("ws", world)).call("I2C.Scan")


def test_a_server_without_rpc_is_an_rpc_error(world: World, uart: Uart) -> None:
    uart.on_bytes = lambda data: uart.send(encode_response(404, b"Not Found"))
    with pytest.raises(RpcError, match=r"error 404: no RPC reply but b'Not Found'"):
        RpcClient(channel("http", world)).call("I2C.Scan")


def test_credentials_are_not_shown() -> None:
    assert "test-password" not in repr(Credentials("admin", "test-password"))


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_an_address_is_connected_to_over_a_real_socket(kind: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=serve, args=(server, KINDS[kind][0]))
        thread.start()
        address = f"{kind}://127.0.0.1:{server.getsockname()[1]}"
        client = RpcClient(open_channel(address, clock=WallClock()))
        try:
            assert client.call("I2C.Scan") == [96]
            assert client.physical is True
        finally:
            client.close()
            thread.join(10)


def serve(server: socket.socket, device: type[Device]) -> None:
    connection, _ = server.accept()
    with connection:
        handler = device(connection.sendall)
        while data := connection.recv(4096):
            handler.received(data)


@pytest.mark.parametrize("url", ["https://host/rpc", "tcp://host", "/dev/ttyUSB0", "ws://"])
def test_addresses_that_are_none_are_refused(url: str) -> None:
    with pytest.raises(UsageError):
        open_channel(url, clock=WallClock())
