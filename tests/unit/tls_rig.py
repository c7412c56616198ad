"""What the TLS and endpoint tests share: a device with test keys, a world with an endpoint in it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from hil.clock import Calendar, World
from hil.cloud.local.endpoint import Endpoint
from hil.cloud.registry import CertificateRecord, MemoryRegistry, Thing, certificate_id
from hil.emulator.network import Link, Network, Receiver
from hil.tls.client import TlsConnection, connect
from hil.tls.key import Offload
from hil.tls.software import SoftwareKey, SoftwareRsa
from hil.wire.mqtt import ConnAck, Connect, Decoder, Packet, encode

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hil.cloud.local.pki import ServerPki
    from hil.emulator.network import Socket
    from hil.tls.client import Version
    from hil.tls.operations import TlsObserver

HOST = "a1b2c3d4e5-ats.iot.us-east-1.amazonaws.com"
ACCOUNT, REGION = "123456789012", "us-east-1"
NOW = 1_780_000_000.0
"""2026-05-28, the calendar of these tests."""
RTT = 10_000
ALLOW_ALL = json.dumps(
    {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "iot:*", "Resource": "*"}]}
)


class CountingKey(SoftwareKey):
    """Stands for an element: not the software class by name, counts, may misbehave."""

    def __init__(self, private: ec.EllipticCurvePrivateKey) -> None:
        super().__init__(private)
        self.digests: list[bytes] = []

    def sign_digest(self, digest: bytes) -> bytes:
        self.digests.append(digest)
        return super().sign_digest(digest)


@dataclass(frozen=True)
class Device:
    """A device with a test key and a certificate of an issuer that nobody knows."""

    key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
    der: bytes
    issuer_der: bytes

    @property
    def chain(self) -> list[bytes]:
        return [self.der, self.issuer_der]

    @property
    def id(self) -> str:
        return certificate_id(self.der)

    def offload(self) -> Offload | SoftwareRsa:
        if isinstance(self.key, rsa.RSAPrivateKey):
            return SoftwareRsa(self.key)
        return Offload(sign=SoftwareKey(self.key))

    def key_pem(self) -> bytes:
        return self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())

    def pem(self) -> bytes:
        return x509.load_der_x509_certificate(self.der).public_bytes(Encoding.PEM)

    def issuer_pem(self) -> bytes:
        return x509.load_der_x509_certificate(self.issuer_der).public_bytes(Encoding.PEM)


def make_device(
    name: str = "test-device", *, use_rsa: bool = False, years: int = 20, signer: str = "test signer"
) -> Device:
    """A device certificate signed by a test signer of its own; valid around today and the tests' date."""
    signer_key = ec.generate_private_key(ec.SECP256R1())
    key = rsa.generate_private_key(65_537, 2048) if use_rsa else ec.generate_private_key(ec.SECP256R1())
    start = datetime.fromtimestamp(NOW, UTC) - timedelta(days=730)
    issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, signer)])

    def build(subject: x509.Name, public: ec.EllipticCurvePublicKey | rsa.RSAPublicKey, *, ca: bool) -> bytes:
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(start)
            .not_valid_after(start + timedelta(days=365 * years))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
            .sign(signer_key, SHA256())
            .public_bytes(Encoding.DER)
        )

    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    return Device(
        key, build(subject, key.public_key(), ca=False), build(issuer, signer_key.public_key(), ca=True)
    )


def record(
    device: Device, *, status: str = "ACTIVE", policy: str = ALLOW_ALL, thing: str | None = None
) -> CertificateRecord:
    return CertificateRecord(
        device.id,
        f"arn:aws:iot:{REGION}:{ACCOUNT}:cert/{device.id}",
        status,
        (policy,) if policy else (),
        (Thing(thing),) if thing else (),
    )


class Bench:
    """A world with a network, a registry and an endpoint."""

    def __init__(self, world: World, pki: ServerPki, **options: object) -> None:
        self.world = world
        self.registry = MemoryRegistry()
        self.endpoint = Endpoint(
            self.registry,
            pki,
            account=ACCOUNT,
            region=REGION,
            host=HOST,
            **options,  # type: ignore[arg-type]
        )
        self.network = Network(world, RTT)
        for port in (8883, 443):
            self.network.listen(HOST, port, lambda link, port=port: self._accept(link, port))  # type: ignore[misc]

    def _accept(self, link: Link, port: int) -> Receiver:
        session = self.endpoint.session(
            link.send, link.close, link.now, link.at, client=link.client, port=port
        )
        return session.receive

    def tls(
        self,
        device: Device,
        *,
        stream: Socket | None = None,
        versions: Sequence[Version] = ("1.2", "1.3"),
        kind: str = "ec",
        server_name: str = HOST,
        roots: Sequence[x509.Certificate] | None = None,
        offload: Offload | SoftwareRsa | None = None,
        observer: TlsObserver | None = None,
        now: float = NOW,
        alpn: Sequence[str] = (),
        port: int = 8883,
        deadline: int | None = None,
        chain: Sequence[bytes] | None = None,
    ) -> TlsConnection:
        return connect(
            stream or self.network.connect(HOST, port),
            server_name=server_name,
            roots=roots if roots is not None else [self.endpoint.pki.root("rsa" if kind == "rsa" else "ec")],
            chain=device.chain if chain is None else chain,
            offload=offload or device.offload(),
            calendar=Calendar(now),
            versions=versions,
            observer=observer,
            alpn=alpn,
            deadline=deadline,
        )


class Client:
    """The smallest MQTT client: sends packets, reads packets."""

    def __init__(self, world: World, connection: TlsConnection) -> None:
        self._world = world
        self.connection = connection
        self._decoder = Decoder()
        self._packets: list[Packet] = []

    def send(self, *packets: Packet) -> None:
        self.connection.send(b"".join(encode(packet) for packet in packets))

    def next(self, timeout_us: int = 5_000_000) -> Packet | None:
        """The next packet; None at the end of the stream or after the time."""
        deadline = self._world.now + timeout_us
        while not self._packets:
            if not self.connection.wait_readable(deadline):
                return None
            data = self.connection.recv()
            if not data:
                return None
            self._packets += self._decoder.feed(data)
        return self._packets.pop(0)

    def connect(self, client_id: str = "test-device", **options: object) -> Packet | None:
        self.send(Connect(client_id, **options))  # type: ignore[arg-type]
        return self.next()


def connected(bench: Bench, device: Device, client_id: str = "test-device", **options: object) -> Client:
    """A client with its CONNACK."""
    client = Client(bench.world, bench.tls(device))
    assert client.connect(client_id, **options) == ConnAck(0)
    return client
