"""TCP inside an emulated world: names, listeners, connections with latency, and power cuts.

Time is charged per flight, not per byte: whatever is sent at one instant arrives together half a
round trip later, whatever its length (ECDSA signatures in DER differ by up to two bytes, and
timelines must not). A connection costs one round trip. The client's end is a :class:`Stream` with
the face of a socket, used alike from a firmware task and from the caller; it raises what a socket
raises (``OSError`` and its children). The server's end is a :class:`Link`: a sans-IO actor that is
called with what arrives.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

import msgspec

from hil.emulator.nagle import Nagle
from hil.tls.stream import ByteStream

if TYPE_CHECKING:
    from hil.clock import Event, World

__all__ = ["Accept", "Dialer", "Flight", "Interface", "Link", "Network", "Receiver", "Socket", "Stream"]

Receiver = Callable[[bytes], None]
"""Called in an event with what arrived at the server; ``b""`` is the end of the stream."""
Accept = Callable[["Link"], Receiver]
"""Called in an event when a client arrives; returns the server's receiver."""


class Socket(ByteStream, Protocol):
    """What a client holds: an in-world :class:`Stream` or a connection to a foreign server."""

    def vanish(self) -> None:
        """Drop dead without a FIN."""
        ...


class Dialer(Protocol):
    """Makes connections to one server; what a foreign peer registers with :meth:`Network.foreign`."""

    def connect(self, host: str, port: int) -> Socket:
        """Connect, or raise what a socket raises."""
        ...


class Flight(msgspec.Struct, frozen=True):
    """Bytes that crossed the network together.

    Attributes:
        sent_us: when they left.
        arrived_us: when they arrived.
        outbound: True from the client to the server.
        length: how many bytes.
        peer: ``host:port`` of the server.
    """

    sent_us: int
    arrived_us: int
    outbound: bool
    length: int
    peer: str


class Network:
    """The network of one world.

    Args:
        world: whose events carry the data.
        rtt_us: round trip time; half of it each way. May be changed while the world runs.
    """

    def __init__(self, world: World, rtt_us: int) -> None:
        self.world = world
        self.rtt_us = rtt_us
        self.on_flight: Callable[[Flight], None] = lambda flight: None
        """Called for every flight that arrives."""
        self._listeners: dict[tuple[str, int], Accept] = {}
        self._names: set[str] = set()
        self._attached: dict[str, Interface] = {}
        self._foreign: dict[tuple[str, int], Dialer] = {}
        self._default = Interface(self, "host")

    def listen(self, host: str, port: int, accept: Accept) -> None:
        """Let ``accept`` serve ``host:port``; a second call replaces the first."""
        self._listeners[host, port] = accept
        self._names.add(host)

    def unlisten(self, host: str, port: int) -> None:
        """Nobody serves ``host:port`` any more: its host refuses; open connections stay."""
        self._listeners.pop((host, port), None)

    def foreign(self, host: str, port: int, dialer: Dialer) -> None:
        """Reach ``host:port`` through ``dialer``, for servers outside of the world."""
        self._foreign[host, port] = dialer

    def interface(self, name: str) -> Interface:
        """A network interface of its own for one board, so that its power can be cut."""
        return Interface(self, name)

    def connect(self, host: str, port: int, *, timeout_us: int | None = None) -> Socket:
        """Connect from the interface that nobody cuts; see :meth:`Interface.connect`."""
        return self._default.connect(host, port, timeout_us=timeout_us)

    def knows(self, host: str) -> bool:
        """Whether the name resolves."""
        return host in self._attached or host in self._names or any(host == name for name, _ in self._foreign)

    @property
    def attached(self) -> tuple[str, ...]:
        """Addresses of boards, the latest last."""
        return tuple(self._attached)

    def _server(self, host: str, port: int) -> Accept | None:
        interface = self._attached.get(host)
        served = None if interface is None else interface._served.get(port)
        return self._listeners.get((host, port)) if served is None else served


class Interface:
    """One board's way into the network; :meth:`cut` is what happens to it at power-off.

    Attributes:
        name: for traces and errors.
        up: False while there is no Wi-Fi: a connect fails at once, packets are lost.
        no_delay: ``TCP_NODELAY`` of its connections: what is sent leaves at once.
    """

    def __init__(self, network: Network, name: str) -> None:
        self._network = network
        self.name = name
        self.up = True
        self.no_delay = True
        self._open: list[Socket] = []
        self._served: dict[int, Accept] = {}
        self._inbound: list[Link] = []

    def attach(self, address: str) -> None:
        """Be reachable at ``address`` until the power goes."""
        self._network._attached[address] = self

    def listen(self, port: int, accept: Accept) -> None:
        """Let ``accept`` serve ``port`` at every address of this interface until the power goes."""

        def served(link: Link) -> Receiver:
            self._inbound = [one for one in self._inbound if not one.closed]
            self._inbound.append(link)
            return accept(link)

        self._served[port] = served

    def connect(self, host: str, port: int, *, timeout_us: int | None = None) -> Socket:
        """Open a TCP connection; waits one round trip.

        Args:
            host: name or address of the server.
            port: its port.
            timeout_us: give up after this long.

        Raises:
            ConnectionRefusedError: nobody listens on the port.
            TimeoutError: no answer within ``timeout_us``.
            OSError: the interface is down (``ENETUNREACH``) or the host unknown (``EHOSTUNREACH``).
        """
        network = self._network
        if not self.up:
            raise OSError(errno.ENETUNREACH, f"{self.name}: the network is unreachable")
        dialer = network._foreign.get((host, port))
        connection: Socket
        if dialer is not None:
            connection = dialer.connect(host, port)
        else:
            if not network.knows(host):
                raise OSError(errno.EHOSTUNREACH, f"no route to host {host}")
            stream = Stream(self, host, port)
            self._open.append(stream)  # a cut while it connects takes it along
            stream.open(timeout_us)
            connection = stream
        self._open = [one for one in self._open if one is not connection and not _is_closed(one)]
        self._open.append(connection)
        return connection

    def cut(self) -> None:
        """Power-off: every connection vanishes without a FIN, bytes in flight are gone, nobody serves."""
        attached = self._network._attached
        for address in [address for address, owner in attached.items() if owner is self]:
            del attached[address]
        self._served.clear()
        inbound, self._inbound = self._inbound, []
        for link in inbound:
            link.vanish()
        connections, self._open = self._open, []
        for connection in connections:
            connection.vanish()


def _is_closed(connection: Socket) -> bool:
    return isinstance(connection, Stream) and connection.closed


class Stream:
    """The client's end of a connection: blocks by waiting in the world.

    Made by :meth:`Interface.connect`. All methods raise :class:`hil.clock.Halted` again in a task
    that was halted, because TLS libraries close and flush on the way out.
    """

    def __init__(self, interface: Interface, host: str, port: int) -> None:
        self._interface = interface
        self._network = interface._network
        self._world = self._network.world
        self.peer = (host, port)
        self.closed = False
        self.sent_bytes = 0
        self.received_bytes = 0
        self._timeout_us: int | None = None
        self._inbox = bytearray()
        self._ended = False
        self._connected = False
        self._error: OSError | None = None
        self._readable = self._world.signal(f"data from {host}:{port}")
        self._link: Link | None = None
        self._out = _Pipe(interface, self.peer, outbound=True)
        self._in = _Pipe(interface, self.peer, outbound=False)
        self._nagle = None if interface.no_delay else Nagle(self._world, self._network.rtt_us, self._transmit)

    # -- connecting --------------------------------------------------------------------------

    def open(self, timeout_us: int | None) -> None:
        """Send the SYN and wait for the answer; called once, by the interface."""
        host, port = self.peer
        start = self._world.now
        deadline = None if timeout_us is None else start + timeout_us
        self._out.carry(self._arrive_at_server, f"TCP SYN → {host}:{port}")
        while not self._connected and self._error is None:
            if not self._world.wait(self._readable, deadline):
                self.vanish()
                raise TimeoutError(f"no answer from {host}:{port} within {timeout_us} us")
        self._world.account["net"] += self._world.now - start
        if self._error is not None:
            self.closed = True
            raise self._error

    def _arrive_at_server(self) -> None:
        host, port = self.peer
        if not self._network.knows(host):  # its power went while the packet was on its way
            return
        accept = self._network._server(host, port)
        if accept is None:
            self._in.carry(self._refused, f"TCP RST ← {host}:{port}")
            return
        self._in.carry(self._established, f"TCP SYN-ACK ← {host}:{port}")
        self._link = Link(self)
        self._link.receive = accept(self._link)

    def _established(self) -> None:
        self._connected = True
        self._readable.set()

    def _refused(self) -> None:
        host, port = self.peer
        self._error = ConnectionRefusedError(errno.ECONNREFUSED, f"{host}:{port} refused the connection")
        self._readable.set()

    # -- the socket face ---------------------------------------------------------------------

    def settimeout(self, seconds: float | None) -> None:
        """Let ``recv`` wait at most so long; None waits for ever."""
        self._timeout_us = None if seconds is None else round(seconds * 1e6)

    def recv(self, size: int) -> bytes:
        """At least one byte, or ``b""`` at the end of the stream.

        Raises:
            TimeoutError: the time of ``settimeout`` passed.
            ConnectionResetError: the server is gone.
        """
        self._check()
        start = self._world.now
        deadline = None if self._timeout_us is None else start + self._timeout_us
        readable = self.wait_readable(deadline)
        self._world.account["net"] += self._world.now - start
        if not readable:
            raise TimeoutError("timed out")
        if self._inbox:
            data = bytes(self._inbox[:size])
            del self._inbox[:size]
            return data
        if self._error is not None:
            raise self._error
        return b""

    def wait_readable(self, deadline: int | None) -> bool:
        """Wait until ``recv`` would not block; False when the absolute ``deadline`` came first."""
        self._check()
        while not self._has_news():
            if not self._world.wait(self._readable, deadline):
                return self._has_news()
        return True

    def _has_news(self) -> bool:
        return bool(self._inbox) or self._ended or self._error is not None

    def send(self, data: bytes) -> int:
        """Send all of ``data``; returns its length."""
        self.sendall(data)
        return len(data)

    def sendall(self, data: bytes) -> None:
        """Send ``data``; it leaves at once and arrives half a round trip later.

        Raises:
            BrokenPipeError: the connection is closed.
            ConnectionResetError: the server is gone.
        """
        self._check()
        if self._error is not None:
            raise self._error
        if not data:
            return
        self.sent_bytes += len(data)
        if self._nagle is None:
            self._transmit(bytes(data))
        else:
            self._nagle.send(bytes(data))

    def _transmit(self, data: bytes) -> None:
        self._out.send(data, self._to_server)

    def close(self) -> None:
        """Close with a FIN behind everything that was sent."""
        task = self._world.running
        if task is not None:
            task.check()
        if not self.closed:
            self.closed = self._ended = True
            if self._nagle is not None:
                self._nagle.flush()
                self._nagle.drop()
            self._out.carry(lambda: self._to_server(b""), f"TCP FIN → {self.peer[0]}:{self.peer[1]}")

    def vanish(self) -> None:
        """Drop dead: no FIN, and what is in flight in either direction is gone."""
        self.closed = True
        self._inbox.clear()
        self._error = ConnectionResetError(errno.ECONNRESET, "the interface is gone")
        if self._nagle is not None:
            self._nagle.drop()
        self._out.cut()
        self._in.cut()

    def _check(self) -> None:
        task = self._world.running
        if task is not None:
            task.check()
        if self.closed and self._error is None:
            raise BrokenPipeError(errno.EPIPE, "the stream is closed")

    # -- what the pipes deliver ----------------------------------------------------------------

    def _to_server(self, data: bytes) -> None:
        link = self._link
        assert link is not None, "nothing is sent before the connection is established"
        if not link.closed:
            link.receive(data)
        elif data and not link.gone:  # data for a closed socket is answered by a reset
            self._in.carry(self._reset, f"TCP RST ← {self.peer[0]}:{self.peer[1]}")

    def _reset(self) -> None:
        self._error = ConnectionResetError(errno.ECONNRESET, "connection reset by peer")
        self._readable.set()

    def _from_server(self, data: bytes) -> None:
        if self.closed:
            return
        if data:
            self.received_bytes += len(data)
            self._inbox += data
            if self._nagle is not None:
                self._nagle.acknowledged()
        else:
            self._ended = True
        self._readable.set()


class Link:
    """The server's end: what a sans-IO session is made with.

    Attributes:
        client: name of the interface at the other end.
        receive: called with what arrives; set by the network from what ``accept`` returned.
        closed: the server closed it.
        gone: the server lost its power; nothing answers any more.
    """

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self.client = stream._interface.name
        self.closed = False
        self.gone = False
        self.receive: Receiver = lambda data: None

    def send(self, data: bytes) -> None:
        """Send ``data`` to the client; silently lost when the client is gone, as on a real network."""
        if data and not self.closed:
            self._stream._in.send(bytes(data), self._stream._from_server)

    def close(self) -> None:
        """Close with a FIN behind everything that was sent."""
        if not self.closed:
            self.closed = True
            host, port = self._stream.peer
            self._stream._in.carry(lambda: self._stream._from_server(b""), f"TCP FIN ← {host}:{port}")

    def vanish(self) -> None:
        """The server loses its power: no FIN, and what is on its way to the client is gone."""
        self.closed = self.gone = True
        self._stream._in.cut()

    def now(self) -> int:
        """The world's time."""
        return self._stream._world.now

    def at(self, due: int, fn: Callable[[], None], what: str) -> Event:
        """Run ``fn`` at ``due``; the session's timers."""
        return self._stream._world.at(due, fn, what)


class _Pipe:
    """One direction of a connection: in order, and together what was sent together."""

    def __init__(self, interface: Interface, peer: tuple[str, int], *, outbound: bool) -> None:
        self._interface = interface
        self._network = interface._network
        self._outbound = outbound
        self._name = f"{peer[0]}:{peer[1]}"
        self._generation = 0
        self._last_due = 0
        self._flight: bytearray | None = None
        self._flight_sent = -1

    def send(self, data: bytes, deliver: Callable[[bytes], None]) -> None:
        """Carry ``data``; it joins the flight that left at this same instant, if any."""
        now = self._network.world.now
        if self._flight is not None and self._flight_sent == now:
            self._flight += data
            return
        flight = bytearray(data)

        def arrive() -> None:
            if self._flight is flight:
                self._flight = None
            due = self._network.world.now
            self._network.on_flight(Flight(now, due, self._outbound, len(flight), self._name))
            deliver(bytes(flight))

        arrow = "→" if self._outbound else "←"
        self.carry(arrive, f"flight {arrow} {self._name}")
        self._flight, self._flight_sent = flight, now

    def carry(self, arrive: Callable[[], None], what: str) -> None:
        """Run ``arrive`` after half a round trip, never before what was sent earlier."""
        world, rtt = self._network.world, self._network.rtt_us
        self._flight = None
        self._last_due = max(world.now + (rtt // 2 if self._outbound else rtt - rtt // 2), self._last_due)
        generation = self._generation

        def deliver() -> None:
            if generation == self._generation and self._interface.up:
                arrive()

        world.at(self._last_due, deliver, what)

    def cut(self) -> None:
        """Lose what is in flight."""
        self._generation += 1
        self._flight = None
