"""Our TLS client and MQTT codec against mosquitto that requires a client certificate."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from hil.clock import Calendar, World
from hil.cloud.local.pki import ServerPki
from hil.emulator.foreign import ForeignPeer
from hil.emulator.network import Network
from hil.errors import HilError
from hil.tls.alerts import ServerChainError, TlsError
from hil.tls.client import TlsConnection, connect
from hil.tls.key import Offload
from hil.wire.mqtt import (
    ConnAck,
    Connect,
    Decoder,
    Disconnect,
    Packet,
    PingReq,
    PingResp,
    PubAck,
    Publish,
    SubAck,
    Subscribe,
    encode,
)
from tests.conformance.peers import CLOCK, dial, mosquitto, needs_mosquitto, write_pki
from tests.unit.tls_rig import CountingKey, Device, make_device

if TYPE_CHECKING:
    from pathlib import Path

    from hil.cloud.local.pki import ChainKind
    from hil.tls.client import Version
    from hil.tls.stream import ByteStream

pytestmark = needs_mosquitto
HOST = "broker.example"
TODAY = Calendar()
RTT = 8_000


@pytest.fixture(scope="module")
def pki() -> ServerPki:
    return ServerPki(HOST, TODAY)


@pytest.fixture(scope="module")
def device() -> Device:
    return make_device("mosquitto-device")


def open_tls(
    stream: ByteStream, pki: ServerPki, device: Device, version: Version, kind: ChainKind, key: CountingKey
) -> TlsConnection:
    return connect(
        stream,
        server_name=HOST,
        roots=[pki.root(kind)],
        chain=device.chain,
        offload=Offload(sign=key),
        calendar=TODAY,
        versions=[version],
    )


def key_of(device: Device) -> CountingKey:
    return CountingKey(device.key)  # type: ignore[arg-type]


class Reader:
    def __init__(self, connection: TlsConnection) -> None:
        self._connection = connection
        self._decoder = Decoder()
        self._packets: list[Packet] = []

    def next(self, deadline: int | None = None) -> Packet:
        while not self._packets:
            data = self._connection.recv(deadline=deadline)
            assert data, "the broker closed the connection"
            self._packets += self._decoder.feed(data)
        return self._packets.pop(0)


@pytest.mark.parametrize("version", ["1.2", "1.3"])
@pytest.mark.parametrize("kind", ["ec", "rsa"])
def test_a_session_on_the_wall_clock(
    tmp_path: Path, pki: ServerPki, device: Device, version: Version, kind: ChainKind
) -> None:
    key = key_of(device)
    write_pki(tmp_path, pki.chain(kind), device)
    with mosquitto(tmp_path, version) as broker:
        connection = open_tls(dial(broker.port), pki, device, version, kind, key)
        reader, deadline = Reader(connection), CLOCK.now + 10_000_000
        connection.send(encode(Connect("c1")))
        assert reader.next(deadline) == ConnAck(0)
        connection.send(encode(Subscribe(1, (("up/#", 1),))) + encode(Publish("up/1", b"x", 1, 2)))
        answers = [reader.next(deadline) for _ in range(3)]
        assert {type(one) for one in answers} == {SubAck, PubAck, Publish}
        connection.send(encode(PingReq()))
        assert reader.next(deadline) == PingResp()
        connection.send(encode(Disconnect()))
        connection.close()
        assert "u'mosquitto-device'" in broker.output(), "the broker names it after its certificate"
    assert len(key.digests) == 1
    assert len(key.digests[0]) == 32


@pytest.mark.parametrize(("version", "round_trips"), [("1.2", 4), ("1.3", 3)])
def test_a_board_meets_a_foreign_broker_while_its_world_stands_still(
    tmp_path: Path, pki: ServerPki, device: Device, version: Version, round_trips: int
) -> None:
    write_pki(tmp_path, pki.chain(), device)
    with mosquitto(tmp_path, version) as broker:
        times = [one_connect(broker.port, pki, device, version) for _ in range(3)]
    assert times == [round_trips * RTT] * 3, "the model's round trips and nothing else"


def one_connect(port: int, pki: ServerPki, device: Device, version: Version) -> int:
    """Virtual time of the CONNACK that a firmware task gets from a foreign broker."""
    arrived: list[int] = []
    with World() as world:
        network = Network(world, 5_000)
        peer = ForeignPeer(world, ("127.0.0.1", port), rtt_us=RTT)
        network.foreign(HOST, 8883, peer)

        def firmware() -> None:
            stream = network.connect(HOST, 8883)
            connection = open_tls(stream, pki, device, version, "ec", key_of(device))
            connection.send(encode(Connect("board")))
            assert Reader(connection).next() == ConnAck(0)
            arrived.append(world.now)
            peer.patience_us = 50_000
            assert not connection.wait_readable(world.now + 1_000), "silence is believed"
            connection.close()

        task = world.spawn(firmware, "firmware")
        assert world.run_until(lambda: not task.alive, 60_000_000)
        assert peer.wall_us > 0
        peer.close()
    return arrived[0]


def test_a_power_cut_towards_a_foreign_broker_says_nothing(
    tmp_path: Path, pki: ServerPki, device: Device
) -> None:
    write_pki(tmp_path, pki.chain(), device)
    with mosquitto(tmp_path, "1.2") as broker, World() as world:
        network = Network(world, 5_000)
        peer = ForeignPeer(world, ("127.0.0.1", broker.port), rtt_us=RTT)
        network.foreign(HOST, 8883, peer)
        board = network.interface("board")
        stream = board.connect(HOST, 8883)
        connection = open_tls(stream, pki, device, "1.2", "ec", key_of(device))
        connection.send(encode(Connect("cut")))
        assert Reader(connection).next() == ConnAck(0)
        board.cut()
        with pytest.raises(TlsError):
            connection.send(encode(Disconnect()))
        watcher = open_tls(dial(broker.port), pki, device, "1.2", "ec", key_of(device))
        watcher.send(encode(Connect("watcher")))
        assert Reader(watcher).next(CLOCK.now + 10_000_000) == ConnAck(0)
        assert "cut disconnected" not in broker.output()
        assert "cut closed" not in broker.output()
        peer.close()
        watcher.close()


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_a_device_of_another_issuer_gets_no_connack(
    tmp_path: Path, pki: ServerPki, device: Device, version: Version
) -> None:
    write_pki(tmp_path, pki.chain(), make_device("stranger", signer="another test signer"))

    def use() -> None:
        connection = open_tls(dial(broker.port), pki, device, version, "ec", key_of(device))
        connection.send(encode(Connect("c1")))
        connection.recv(deadline=CLOCK.now + 10_000_000)

    with mosquitto(tmp_path, version) as broker, pytest.raises(TlsError) as caught:
        use()
    assert (caught.value.alert, caught.value.by) == ("unknown_ca", "peer")


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_a_broker_of_another_name_is_refused_unsigned(
    tmp_path: Path, pki: ServerPki, device: Device, version: Version
) -> None:
    key = key_of(device)
    write_pki(tmp_path, pki.chain("ec", "wrong-name"), device)
    with mosquitto(tmp_path, version) as broker, pytest.raises(HilError) as caught:
        open_tls(dial(broker.port), pki, device, version, "ec", key)
    assert isinstance(caught.value, ServerChainError)
    assert key.digests == []
