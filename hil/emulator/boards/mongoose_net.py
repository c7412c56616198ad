"""How an emulated Mongoose OS board opens a connection: TCP, then TLS as the configuration says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key

from hil.emulator.boards.mongoose_log import DEBUG, ERROR, Origin
from hil.emulator.boards.mongoose_tls import (
    ElementEcdh,
    ElementKey,
    ElementVerify,
    McuEcdh,
    McuKey,
    McuVerify,
    Observer,
)
from hil.errors import CertificateError, CloudError, DeviceError, HilError, UsageError
from hil.tls.client import connect
from hil.tls.key import Offload
from hil.tls.software import SoftwareRsa

if TYPE_CHECKING:
    from collections.abc import Sequence
    from random import Random

    from hil.clock import Calendar, World
    from hil.emulator.boards.mongoose_atca import Atca
    from hil.emulator.boards.mongoose_config import Config
    from hil.emulator.boards.mongoose_fs import FileSystem
    from hil.emulator.boards.mongoose_log import Console
    from hil.emulator.boards.mongoose_tls import Processor
    from hil.emulator.network import Socket
    from hil.tls.client import TlsConnection, Version

__all__ = ["FAILURES", "Connection", "Connector", "NetworkInterface", "reason_of"]

_TCP = Origin("mongoose.c", 3026)
_SSL = Origin("mongoose.c", 4912)
_MQTT = Origin("mgos_mqtt_conn.c", 242)

TCP_TIMEOUT_US = 20_000_000
"""How long lwIP keeps sending SYN."""
HANDSHAKE_TIMEOUT_US = 120_000_000
"""The firmware itself sets no limit; without one a silent server would hold the board for ever."""

FAILURES = (CertificateError, CloudError, DeviceError, UsageError, OSError, ValueError)
"""What ends a connection. Anything else is a fault of the model and must surface."""


class NetworkInterface(Protocol):
    """The board's way into the network; :class:`hil.emulator.network.Interface` is one."""

    def connect(self, host: str, port: int, *, timeout_us: int | None = None) -> Socket:
        """Open a TCP connection, or raise ``OSError``."""
        ...

    def cut(self) -> None:
        """Power-off: every connection vanishes."""
        ...


class Connection(Protocol):
    """What MQTT runs on."""

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


@dataclass(frozen=True)
class _Plain:
    """A connection without TLS."""

    stream: Socket

    def send(self, data: bytes) -> None:
        self.stream.sendall(data)

    def recv(self) -> bytes:
        return self.stream.recv(4096)

    def wait_readable(self, deadline: int | None) -> bool:
        return self.stream.wait_readable(deadline)

    def close(self) -> None:
        self.stream.close()


@dataclass(frozen=True)
class Connector:
    """Opens the connection that the ``mqtt.*`` settings describe.

    Attributes:
        world, console, config, fs, cpu: the running firmware.
        network: the board's interface.
        calendar: what certificates are judged by.
        rng: picks the ECDH slot.
        atca: the element, None if it is not available.
        versions: TLS versions to offer.
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

    def open(self, host: str, port: int) -> Connection:
        """Connect; the log says what went wrong.

        Raises:
            ConnectionAbortedError: there is no connection.
        """
        with self.cpu.turn():
            self.cpu.mcu.spend("host_overhead")
        stream = self._tcp(host, port)
        secure = self.config.text("mqtt.ssl_ca_cert") or self.config.text("mqtt.ssl_cert")
        connection = self._secure(stream, host) if secure else _Plain(stream)
        self.console.log(_MQTT, "MQTT0 TCP connected ok (0)")
        return connection

    def _tcp(self, host: str, port: int) -> Socket:
        try:
            stream = self.network.connect(host, port, timeout_us=TCP_TIMEOUT_US)
        except OSError as error:
            number = error.errno or -1
            self.console.log(_TCP, f"tcp://{host}:{port} -> {number}", DEBUG)
            self.console.log(_MQTT, f"MQTT0 TCP connect error ({number})", ERROR)
            raise ConnectionAbortedError(f"no TCP connection to {host}:{port}") from error
        self.console.log(_TCP, f"tcp://{host}:{port} -> 0", DEBUG)
        self.cpu.step("tcp", server=f"{host}:{port}")
        return stream

    def _secure(self, stream: Socket, host: str) -> TlsConnection:
        try:
            connection = connect(
                stream,
                server_name=host,
                roots=self._certificates("mqtt.ssl_ca_cert"),
                chain=[one.public_bytes(Encoding.DER) for one in self._certificates("mqtt.ssl_cert")],
                offload=self._offload(),
                calendar=self.calendar,
                versions=self.versions,
                observer=Observer(self.cpu),
                deadline=self.world.now + HANDSHAKE_TIMEOUT_US,
            )
        except FAILURES as error:
            reason = reason_of(error)
            self.console.log(_SSL, f"TLS handshake error: {reason}", ERROR)
            self.console.log(_MQTT, "MQTT0 TCP connect error (-1)", ERROR)
            self.cpu.step("tls-failed", reason=reason)
            stream.close()
            raise ConnectionAbortedError(reason) from error
        self.console.log(_SSL, f"ciphersuite: {connection.cipher.replace('_', '-')}", DEBUG)
        self.cpu.step("tls", version=connection.version, cipher=connection.cipher)
        return connection

    def _certificates(self, key: str) -> list[x509.Certificate]:
        """The certificates of the file that ``key`` names; text around the PEM blocks is skipped."""
        name = self.config.text(key)
        return x509.load_pem_x509_certificates(self.fs.read(name)) if name else []

    def _offload(self) -> Offload | SoftwareRsa:
        """Who signs, agrees and verifies: the element whenever it is there, but for the client's key."""
        key_name = self.config.text("mqtt.ssl_key") or self.config.text("mqtt.ssl_cert")
        atca, cpu, console = self.atca, self.cpu, self.console
        verify = ElementVerify(atca, cpu, console) if atca is not None else McuVerify(cpu, console)
        ecdh = ElementEcdh(atca, self.rng, cpu, console) if atca is not None else McuEcdh(cpu, console)
        if key_name.startswith("ATCA:"):
            if atca is None:
                raise ValueError(f"{key_name}: the element is not available")
            return Offload(ElementKey(atca, int(key_name[5:]), cpu, console), ecdh, verify)
        private = load_pem_private_key(self.fs.read(key_name), None)
        if isinstance(private, rsa.RSAPrivateKey):
            return SoftwareRsa(private)
        if not isinstance(private, ec.EllipticCurvePrivateKey):
            raise ValueError(f"{key_name} holds neither an EC nor an RSA key")
        return Offload(McuKey(private, cpu, console), ecdh, verify)


def reason_of(error: Exception) -> str:
    """An error in one line, without its hint."""
    return error.message if isinstance(error, HilError) else str(error)
