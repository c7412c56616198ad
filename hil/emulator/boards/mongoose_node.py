"""What the network code of an emulated Mongoose OS board works with: the running firmware's parts."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Protocol

import msgspec

from hil.emulator.boards.mongoose_manners import Manners
from hil.errors import CertificateError, CloudError, DeviceError, HilError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from random import Random

    from hil.clock import Calendar, World
    from hil.emulator.boards.mongoose_atca import Atca
    from hil.emulator.boards.mongoose_config import Config
    from hil.emulator.boards.mongoose_fs import FileSystem
    from hil.emulator.boards.mongoose_log import Console
    from hil.emulator.boards.mongoose_tls import Build, Processor
    from hil.emulator.network import Accept, Socket
    from hil.tls.connection import Version
    from hil.tls.stream import ByteStream

__all__ = ["FAILURES", "HANDSHAKE_TIMEOUT_US", "Connection", "NetworkInterface", "Node", "Plain", "reason_of"]

HANDSHAKE_TIMEOUT_US: Final = 120_000_000
"""The firmware itself sets no limit; without one a silent peer would hold the board for ever."""

FAILURES = (CertificateError, CloudError, DeviceError, UsageError, OSError, ValueError)
"""What ends a connection. Anything else is a fault of the model and must surface."""


class NetworkInterface(Protocol):
    """The board's way into the network; :class:`hil.emulator.network.Interface` is one."""

    up: bool
    no_delay: bool

    def connect(self, host: str, port: int, *, timeout_us: int | None = None) -> Socket:
        """Open a TCP connection, or raise ``OSError``."""
        ...

    def attach(self, address: str) -> None:
        """Be reachable at ``address`` until the power goes."""
        ...

    def listen(self, port: int, accept: Accept) -> None:
        """Serve ``port`` at every address until the power goes."""
        ...

    def cut(self) -> None:
        """Power-off: every connection vanishes."""
        ...


class Connection(Protocol):
    """A TCP connection, with TLS or without."""

    def send(self, data: bytes) -> None:
        """Send ``data``."""
        ...

    def recv(self) -> bytes:
        """At least one byte, ``b""`` at the end."""
        ...

    def wait_readable(self, deadline: int | None) -> bool:
        """Wait until ``recv`` would not block; False when ``deadline`` came first."""
        ...

    def close(self) -> None:
        """Close in good order."""
        ...


class Plain(msgspec.Struct, frozen=True):
    """A connection without TLS."""

    stream: ByteStream

    def send(self, data: bytes) -> None:
        """See :class:`Connection`."""
        self.stream.sendall(data)

    def recv(self) -> bytes:
        """See :class:`Connection`."""
        return self.stream.recv(4096)

    def wait_readable(self, deadline: int | None) -> bool:
        """See :class:`Connection`."""
        return self.stream.wait_readable(deadline)

    def close(self) -> None:
        """See :class:`Connection`."""
        self.stream.close()


@dataclass(frozen=True)
class Node:
    """The running firmware.

    Attributes:
        world, console, config, fs, cpu: its parts.
        network: the board's interface.
        calendar: what certificates are judged by.
        rng: picks the ECDH slot.
        atca: the element, None if it is not available.
        versions: what the TLS library was built with.
        build: what it leaves to the element.
        manners: how it treats its cloud connection.
    """

    world: World
    console: Console
    config: Config
    fs: FileSystem
    cpu: Processor
    network: NetworkInterface
    calendar: Calendar
    rng: Random
    atca: Atca | None
    versions: Sequence[Version]
    build: Build
    manners: Manners = field(default_factory=Manners)


def reason_of(error: Exception) -> str:
    """An error in one line, without its hint."""
    return error.message if isinstance(error, HilError) else str(error)
