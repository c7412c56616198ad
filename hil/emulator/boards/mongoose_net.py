"""How an emulated Mongoose OS board opens a connection: TCP, then TLS as the configuration says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key

from hil.emulator.boards.mongoose_careless import behind_buffer, verifier
from hil.emulator.boards.mongoose_log import DEBUG, ERROR, Origin
from hil.emulator.boards.mongoose_node import FAILURES, HANDSHAKE_TIMEOUT_US, Node, Plain, reason_of
from hil.emulator.boards.mongoose_tls import (
    ElementEcdh,
    ElementKey,
    ElementVerify,
    McuEcdh,
    McuKey,
    McuVerify,
    Observer,
)
from hil.tls.client import connect
from hil.tls.key import Offload
from hil.tls.software import SoftwareRsa

if TYPE_CHECKING:
    from hil.emulator.boards.mongoose_node import Connection
    from hil.emulator.network import Socket
    from hil.tls.client import TlsConnection

__all__ = ["Connector", "certificates", "offload_for"]

_TCP = Origin("mongoose.c", 3026)
_SSL = Origin("mongoose.c", 4912)
_MQTT = Origin("mgos_mqtt_conn.c", 242)

TCP_TIMEOUT_US: Final = 20_000_000
"""How long lwIP keeps sending SYN."""


@dataclass(frozen=True)
class Connector:
    """Opens the connection that the ``mqtt.*`` settings describe.

    Attributes:
        node: the running firmware.
    """

    node: Node

    def open(self, host: str, port: int) -> Connection:
        """Connect; the log says what went wrong.

        Raises:
            ConnectionAbortedError: there is no connection.
        """
        with self.node.cpu.turn():
            self.node.cpu.step("prepared", us=self.node.cpu.mcu.spend("host_overhead"))
        stream = self._tcp(host, port)
        secure = self.node.config.text("mqtt.ssl_ca_cert") or self.node.config.text("mqtt.ssl_cert")
        connection = self._secure(stream, host) if secure else Plain(stream)
        self.node.console.log(_MQTT, "MQTT0 TCP connected ok (0)")
        return connection

    def _tcp(self, host: str, port: int) -> Socket:
        try:
            stream = self.node.network.connect(host, port, timeout_us=TCP_TIMEOUT_US)
        except OSError as error:
            number = error.errno or -1
            self.node.console.log(_TCP, f"tcp://{host}:{port} -> {number}", DEBUG)
            self.node.console.log(_MQTT, f"MQTT0 TCP connect error ({number})", ERROR)
            raise ConnectionAbortedError(f"no TCP connection to {host}:{port}") from error
        self.node.console.log(_TCP, f"tcp://{host}:{port} -> 0", DEBUG)
        self.node.cpu.step("tcp", server=f"{host}:{port}")
        return stream

    def _secure(self, stream: Socket, host: str) -> TlsConnection:
        config = self.node.config
        key = config.text("mqtt.ssl_key") or config.text("mqtt.ssl_cert")
        try:
            connection = connect(
                behind_buffer(stream, self.node.manners),
                server_name=host,
                roots=certificates(self.node, "mqtt.ssl_ca_cert"),
                chain=[one.public_bytes(Encoding.DER) for one in certificates(self.node, "mqtt.ssl_cert")],
                offload=offload_for(self.node, key),
                calendar=self.node.calendar,
                versions=self.node.versions,
                observer=Observer(self.node.cpu),
                deadline=self.node.world.now + HANDSHAKE_TIMEOUT_US,
                verify=verifier(self.node.manners),
                ciphers=self.node.manners.ciphers,
            )
        except FAILURES as error:
            reason = reason_of(error)
            self.node.console.log(_SSL, f"TLS handshake error: {reason}", ERROR)
            self.node.console.log(_MQTT, "MQTT0 TCP connect error (-1)", ERROR)
            self.node.cpu.step("tls-failed", reason=reason)
            stream.close()
            raise ConnectionAbortedError(reason) from error
        self.node.console.log(_SSL, f"ciphersuite: {connection.cipher.replace('_', '-')}", DEBUG)
        self.node.cpu.step("tls", version=connection.version, cipher=connection.cipher)
        return connection


def certificates(node: Node, key: str) -> list[x509.Certificate]:
    """The certificates of the file that the setting ``key`` names.

    Text around the PEM blocks is skipped.
    """
    name = node.config.text(key)
    return x509.load_pem_x509_certificates(node.fs.read(name)) if name else []


def offload_for(node: Node, key_name: str) -> Offload | SoftwareRsa:
    """Who signs, agrees and verifies: the element whenever it is there, but for the board's own key.

    Args:
        node: the running firmware.
        key_name: ``ATCA:<slot>``, or a file with a key in PEM.

    Raises:
        ValueError, OSError: the key cannot be used.
    """
    atca, cpu, console, build = node.atca, node.cpu, node.console, node.build
    verify = (
        ElementVerify(atca, cpu, console) if atca is not None and build.verify else McuVerify(cpu, console)
    )
    ecdh = (
        ElementEcdh(atca, node.rng, cpu, console)
        if atca is not None and build.ecdh
        else McuEcdh(cpu, console, complaint=build.complaint)
    )
    if key_name.startswith("ATCA:"):
        if atca is None:
            raise ValueError(f"{key_name}: the element is not available")
        key = ElementKey(atca, int(key_name[5:]), cpu, console, signatures=build.signatures)
        return Offload(key, ecdh, verify)
    private = load_pem_private_key(node.fs.read(key_name), None)
    if isinstance(private, rsa.RSAPrivateKey):
        return SoftwareRsa(private, ecdh, verify)
    if not isinstance(private, ec.EllipticCurvePrivateKey):
        raise ValueError(f"{key_name} holds neither an EC nor an RSA key")
    return Offload(McuKey(private, cpu, console), ecdh, verify)
