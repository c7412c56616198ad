"""A board that serves TLS with its key in the element: counts, refusals, time; against our own client."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from hil.clock import Calendar, World
from hil.cloud.local.pki import ServerPki
from hil.emulator.network import Network
from hil.emulator.serverstream import Listener
from hil.errors import UsageError
from hil.tls.alerts import ServerChainError, TlsError
from hil.tls.client import connect
from hil.tls.key import Offload
from hil.tls.server import accept
from tests.unit.tls_rig import NOW, RTT, CountingKey, Device, make_device

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from hil.tls.client import Version
    from hil.tls.connection import TlsConnection
    from hil.tls.operations import Operation

HOST = "board.local"


@pytest.fixture(scope="module")
def pki() -> ServerPki:
    return ServerPki(HOST, Calendar(NOW), intermediate=False)


@pytest.fixture(scope="module")
def client_device() -> Device:
    return make_device("client")


class Board:
    """A firmware task that serves one client: answers each message in capitals."""

    def __init__(self, world: World, pki: ServerPki, **options: Any) -> None:
        chain = pki.chain()
        assert isinstance(chain.key, ec.EllipticCurvePrivateKey)
        self.key = CountingKey(chain.key)
        self.world = world
        self.network = Network(world, RTT)
        self.error: Exception | None = None
        self.connection: TlsConnection | None = None
        self._listener = Listener(world)
        self._options: dict[str, Any] = {"offload": Offload(sign=self.key), **options}
        self._chain = [one.public_bytes(Encoding.DER) for one in chain.certificates]
        self.network.listen(HOST, 443, self._listener.accept)
        self.task = world.spawn(self._serve, "https")

    def _serve(self) -> None:
        stream = self._listener.next(None)
        assert stream is not None
        try:
            self.connection = accept(stream, chain=self._chain, **self._options)
            while data := self.connection.recv():
                self.connection.send(data.upper())
        except (TlsError, UsageError) as error:
            self.error = error


def talk(
    board: Board,
    pki: ServerPki,
    device: Device,
    version: Version,
    *,
    server_name: str = HOST,
    alpn: Sequence[str] = (),
) -> TlsConnection:
    return connect(
        board.network.connect(HOST, 443),
        server_name=server_name,
        roots=[pki.root()],
        chain=device.chain,
        offload=device.offload(),
        calendar=Calendar(NOW),
        versions=[version],
        alpn=alpn,
    )


@pytest.mark.parametrize("version", ["1.2", "1.3"])
@pytest.mark.parametrize("request_client", [False, True])
def test_a_board_serves_with_one_signature(
    pki: ServerPki, client_device: Device, version: Version, request_client: bool
) -> None:
    with World() as world:
        board = Board(world, pki, request_client=request_client)
        connection = talk(board, pki, client_device, version)
        connection.send(b"get /")
        assert connection.recv() == b"GET /"
        connection.close()
        world.run_until(lambda: not board.task.alive, world.now + 1_000_000)
        assert board.error is None
        assert board.connection is not None
        assert (board.connection.version, len(board.key.digests)) == (version, 1)
        names = Counter(one.name for one in board.connection.operations if one.name != "record")
        assert names == {"sign": 1, "ecdh-keygen": 1, "ecdh": 1}
        shown = [one.public_bytes(Encoding.DER) for one in board.connection.peer_chain]
        assert shown == (client_device.chain if request_client else [])
        if not request_client:
            with pytest.raises(UsageError):
                _ = board.connection.peer


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_a_client_that_offers_protocols_is_served_without_one(
    pki: ServerPki, client_device: Device, version: Version
) -> None:
    """Browsers and curl offer h2; the board knows of no application protocols."""
    with World() as world:
        board = Board(world, pki)
        connection = talk(board, pki, client_device, version, alpn=("h2", "http/1.1"))
        assert connection.alpn is None
        connection.close()


def spending(world: World, costs: dict[str, int]) -> object:
    class Costs:
        def operation(self, operation: Operation) -> None:
            world.spend("chip", costs.get(operation.name, 0))

    return Costs()


@pytest.mark.parametrize(("version", "round_trips"), [("1.2", 4), ("1.3", 3)])
def test_the_servers_operations_take_their_time(
    pki: ServerPki, client_device: Device, version: Version, round_trips: int
) -> None:
    with World() as world:
        board = Board(world, pki, observer=spending(world, {"sign": 50_000, "ecdh-keygen": 9_000}))
        connection = talk(board, pki, client_device, version)
        connection.send(b"x")
        assert connection.recv() == b"X"
        assert world.now == round_trips * RTT + 59_000


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_a_client_that_refuses_tells_the_board_why(
    pki: ServerPki, client_device: Device, version: Version
) -> None:
    with World() as world:
        board = Board(world, pki)
        with pytest.raises(ServerChainError):
            talk(board, pki, client_device, version, server_name="other.local")
        world.run_until(lambda: not board.task.alive, world.now + 1_000_000)
        assert isinstance(board.error, TlsError)
        assert (board.error.alert, board.error.by) == ("bad_certificate", "peer")


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_a_key_that_does_not_fit_the_certificate_ends_the_handshake(
    pki: ServerPki, client_device: Device, version: Version
) -> None:
    with World() as world:
        stranger = CountingKey(ec.generate_private_key(ec.SECP256R1()))
        board = Board(world, pki, offload=Offload(sign=stranger))
        with pytest.raises(TlsError) as caught:
            talk(board, pki, client_device, version)
        assert (caught.value.alert, caught.value.by) == ("internal_error", "peer")
        assert len(stranger.digests) == 1


def test_a_silent_client_ends_the_handshake_at_its_deadline(pki: ServerPki) -> None:
    with World() as world:
        board = Board(world, pki, deadline=3_000_000)
        board.network.connect(HOST, 443)
        world.run_until(lambda: not board.task.alive, 10_000_000)
        assert isinstance(board.error, TlsError)
        assert world.now == 3_000_000


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda options: options | {"versions": []}, "none"),
        (lambda options: options | {"chain": []}, "certificate is needed"),
    ],
)
def test_usage_errors(pki: ServerPki, change: Callable[[dict[str, Any]], dict[str, Any]], words: str) -> None:
    with World() as world:
        stream = Network(world, RTT)
        stream.listen(HOST, 1, lambda link: lambda data: None)
        options = {
            "chain": [b"x"],
            "offload": Offload(sign=CountingKey(ec.generate_private_key(ec.SECP256R1()))),
        }
        with pytest.raises(UsageError, match=words):
            accept(stream.connect(HOST, 1), **change(options))


def test_more_clients_than_the_backlog_are_turned_away() -> None:
    with World() as world:
        network, listener = Network(world, RTT), Listener(world, backlog=1)
        network.listen(HOST, 443, listener.accept)
        first, second = network.connect(HOST, 443), network.connect(HOST, 443)
        assert second.recv(1) == b""
        first.sendall(b"here")
        stream = listener.next(None)
        assert stream is not None
        assert stream.recv(10) == b"here"
        stream.settimeout(0.1)
        with pytest.raises(TimeoutError):
            stream.recv(1)
        first.close()
        assert stream.recv(1) == b""
        stream.close()
        with pytest.raises(BrokenPipeError):
            stream.send(b"x")
        assert listener.next(world.now + 5) is None
