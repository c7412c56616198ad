"""The MQTT endpoint that a rig's board meets, when it is this program's own.

For an emulated board it is an actor in the board's world; for a physical one it listens on an address of
this computer. A test sees no difference: it says what shall go wrong (:meth:`RigEndpoint.watch`), waits,
and reads the logs of the connections.
"""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Protocol, TypeVar

from hil.cloud.local.endpoint import Endpoint
from hil.cloud.local.faults import Fault
from hil.cloud.local.pki import ServerPki
from hil.cloud.local.serving import ServedEndpoint
from hil.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from types import TracebackType

    from hil.cloud.local.faults import SessionLog
    from hil.cloud.session import CloudSession
    from hil.emulator.builder import EmulatedRig
    from hil.emulator.network import Link, Receiver
    from hil.rig.rig import Rig
    from hil.wire.mqttpackets import Publish

__all__ = ["NO_FAULT", "PORT", "RigEndpoint", "address_of"]

T = TypeVar("T")

PORT = 8883
NO_FAULT: frozenset[Fault] = frozenset()


class _Place(Protocol):
    """Where the endpoint lives."""

    @property
    def endpoint(self) -> Endpoint: ...
    @property
    def now(self) -> int: ...
    def ask(self, call: Callable[[], T]) -> T: ...
    def post(self, call: Callable[[], object]) -> None: ...
    def stop_listening(self) -> None: ...
    def listen_again(self) -> None: ...


class _InWorld:
    """An actor in the world of the emulated board."""

    def __init__(self, endpoint: Endpoint, emulated: EmulatedRig) -> None:
        self.endpoint = endpoint
        self._world = emulated.world
        self._network = emulated.network
        self.listen_again()

    def _accept(self, link: Link) -> Receiver:
        session = self.endpoint.session(link.send, link.close, link.now, link.at, client=link.client)
        return session.receive

    def listen_again(self) -> None:
        self._network.listen(self.endpoint.host, PORT, self._accept)

    def stop_listening(self) -> None:
        self._network.unlisten(self.endpoint.host, PORT)
        self.endpoint.disconnect("the endpoint is shutting down")

    @property
    def now(self) -> int:
        return self._world.now

    def ask(self, call: Callable[[], T]) -> T:
        return call()

    def post(self, call: Callable[[], object]) -> None:
        call()


class RigEndpoint:
    """The endpoint of one rig; a context manager.

    Args:
        rig: the opened rig.
        session: its open cloud session.

    Attributes:
        server: ``host:port`` that the board connects to.
    """

    def __init__(self, rig: Rig, session: CloudSession) -> None:
        self._rig = rig
        self._session = session
        self._stack = ExitStack()
        self._place: _Place | None = None
        self._mark = 0
        self._plan: tuple[frozenset[Fault], ...] = ()
        self._then = NO_FAULT
        self._always = NO_FAULT
        self._said: list[Publish] = []
        self.server = ""

    def __enter__(self) -> RigEndpoint:
        host = self._session.endpoint()
        emulated = self._rig.emulated
        if emulated is not None:
            self.server = f"{host}:{PORT}"
            if emulated.endpoint_refuses:
                self._always |= {Fault.REFUSE}
            if emulated.endpoint_shows_rsa:
                self._always |= {Fault.RSA_CHAIN}
            self._place = _InWorld(self._make(host, ()), emulated)
        else:
            self._listen(host)
        local = self._session.local
        self._session.on_status(lambda: self._here.post(self.endpoint.recheck))
        if local is not None:
            # Called at a CONNECT, hence in the endpoint's own thread.
            local.on_registration(
                lambda event: self.endpoint.publish(event.topic, event.payload(), now=self._here.now)
            )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def _listen(self, host: str) -> None:
        settings = self._rig.file.cloud
        if settings.listen is None:
            raise UsageError(
                f"the board of {self._rig.name} is physical and cannot reach this program's endpoint",
                hint="name an address of this computer in the rig file: cloud: {listen: 192.168.1.10:8883}",
            )
        address, port = address_of(settings.listen)
        name, _ = address_of(settings.data_endpoint or f"{address}:{port}")
        served = self._stack.enter_context(
            ServedEndpoint(lambda: self._make(host, (name, address)), host=address, port=port)
        )
        self._place = served
        self.server = settings.data_endpoint or f"{address}:{served.port}"

    def _make(self, host: str, names: Sequence[str]) -> Endpoint:
        local = self._session.local
        endpoint = Endpoint(
            self._session.registry,
            ServerPki(host, self._rig.calendar, names=tuple(dict.fromkeys(names))),
            account=self._session.account_id,
            region=self._session.region,
            host=host,
            names=names,
            first_connect=None if local is None else local.first_connect,
        )
        endpoint.faults = self._faults
        endpoint.broker.taps.append(self._said.append)
        return endpoint

    @property
    def _here(self) -> _Place:
        if self._place is None:
            raise UsageError("the endpoint is not open")
        return self._place

    # -- what a test does with it -----------------------------------------------------------------

    @property
    def endpoint(self) -> Endpoint:
        """The endpoint; what acts on connections goes through the methods here."""
        return self._here.endpoint

    def watch(self, *plan: frozenset[Fault], then: frozenset[Fault] = NO_FAULT) -> None:
        """Forget the connections so far and say what goes wrong on the next ones.

        Args:
            plan: faults of the first connection, of the second, …
            then: faults of every further one.
        """
        self._plan, self._then = plan, then
        self._said.clear()
        self._mark = len(self.endpoint.logs)

    def _faults(self, number: int) -> frozenset[Fault]:
        index = number - self._mark - 1
        planned = self._plan[index] if index < len(self._plan) else self._then
        return planned | self._always

    @property
    def connections(self) -> Sequence[SessionLog]:
        """The connections since :meth:`watch`, oldest first."""
        return self.endpoint.logs[self._mark :]

    @property
    def published(self) -> Sequence[Publish]:
        """What clients published since :meth:`watch`."""
        return tuple(self._said)

    @property
    def now(self) -> int:
        """The time of the logs."""
        return self._here.now

    @property
    def offset_us(self) -> int:
        """What is added to a time of the logs to get a time of the rig's clock."""
        if self._rig.emulated is not None:
            return 0
        here = self._here
        before = self._rig.clock.now
        there = here.ask(lambda: here.now)
        return (before + self._rig.clock.now) // 2 - there

    def wait(self, until: Callable[[], bool], timeout_us: int) -> bool:
        """Let the board go on until something holds, or for ``timeout_us``; whether it held."""
        console = self._rig.console
        deadline = console.clock.now + timeout_us
        while not until():
            if console.clock.now >= deadline:
                return False
            console.pump(min(deadline, self._next_look(console.clock.now)))
        return True

    def _next_look(self, now: int) -> int:
        """When the endpoint may have something new: an emulated rig says when it will do something next."""
        emulated = self._rig.emulated
        due = None if emulated is None else emulated.world.next_due
        return now + _SLICE_US if due is None else max(now + _SLICE_US, due)

    def disconnect(self) -> None:
        """Close every open connection, as the service does now and then."""
        self._here.ask(self.endpoint.disconnect)

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """The broker is down meanwhile: it has closed its connections and refuses new ones."""
        self._here.stop_listening()
        try:
            yield
        finally:
            self._here.listen_again()

    def publish(self, topic: str, payload: bytes, *, qos: int = 0) -> None:
        """Publish as the cloud itself."""
        self._here.ask(lambda: self.endpoint.publish(topic, payload, qos=qos, now=self.now))

    def forget_session(self, client_id: str) -> None:
        """Drop the persistent session of a client that is not connected, as if it had expired."""
        self._here.ask(lambda: self.endpoint.broker.sessions.pop(client_id, None))

    def evidence(self, since: int = 0) -> str:
        """The connections from number ``since`` on, in words; empty without any."""
        return "\n".join(describe(log) for log in self.endpoint.logs[since:])


_SLICE_US = 50_000
"""How long a wait looks at the console before it looks at the endpoint again."""


def address_of(text: str) -> tuple[str, int]:
    """Host and port of ``host:port``; an IPv6 address stands in brackets."""
    host, _, port = text.rpartition(":")
    return host.strip("[]"), int(port)


def describe(log: SessionLog) -> str:
    """One connection in a few lines: who, what was agreed, what it came to, every packet."""
    head = f"connection {log.number} from {log.client} at {log.opened_us / 1e6:.6f} s"
    if log.faults:
        head += f", shown: {', '.join(sorted(log.faults))}"
    tls = f"  {log.version or 'no TLS'} {log.cipher or ''}, certificate {(log.certificate_id or 'none')[:16]}"
    phases = ", ".join(f"{name} +{(at - log.opened_us) / 1000:.1f}" for name, at in log.phases.items())
    lines = [head, tls, f"  phases (ms): {phases or 'none'}"]
    lines += [f"  {at / 1e6:.6f} {'←' if way == 'in' else '→'} {name}" for at, way, name in log.packets]
    end = "open" if log.closed_us is None else f"closed at {log.closed_us / 1e6:.6f} s"
    lines.append(f"  {log.verdict}, {end}: {log.reason or 'no reason'}")
    return "\n".join(lines)
