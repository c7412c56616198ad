"""What the benchmarks of the cloud side connect and register: devices with certificates of their own."""

from __future__ import annotations

import json
import socket
import ssl
import tempfile
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from hil.clock import Calendar, wall_us
from hil.cloud.devicepolicy import device_policy
from hil.cloud.manifest import element_record, sign_entry
from hil.cloud.registry import CertificateRecord, MemoryRegistry, Thing, certificate_id
from hil.element.certificates.selfsigned import self_signed
from hil.element.certificates.trustgo import TrustChain
from hil.emulator.factory import FactoryCa, FactoryKey, seeded_scalar
from hil.wire.mqtt import ConnAck, Connect, encode

if TYPE_CHECKING:
    from collections.abc import Sequence

ACCOUNT, REGION = "123456789012", "us-east-1"
PATIENCE_S = 60
WORKERS = 4
ACCEPTED = encode(ConnAck(0))


class Fleet:
    """Devices with a key and a self-signed certificate each, registered, with the usual policy."""

    def __init__(self, count: int) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="hil-bench-")
        self._names = [f"device-{number}" for number in range(count)]
        records = [self._make(name) for name in self._names]
        self.registry = MemoryRegistry(records)
        self._contexts: list[ssl.SSLContext] = []
        self._port = 0
        self._open: list[ssl.SSLSocket] = []

    def _make(self, name: str) -> CertificateRecord:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        start = datetime.fromtimestamp(Calendar().time(), UTC) - timedelta(days=1)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(start)
            .not_valid_after(start + timedelta(days=365))
            .sign(key, SHA256())
        )
        secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        (Path(self._folder.name) / name).write_bytes(secret + certificate.public_bytes(Encoding.PEM))
        identity = certificate_id(certificate.public_bytes(Encoding.DER))
        arn = f"arn:aws:iot:{REGION}:{ACCOUNT}:cert/{identity}"
        return CertificateRecord(identity, arn, "ACTIVE", (device_policy(ACCOUNT, REGION),), (Thing(name),))

    def connect_all(self, port: int, root: x509.Certificate) -> None:
        """Connect every device and keep the connections."""
        self._port = port
        authorities = root.public_bytes(Encoding.PEM).decode()
        for name in self._names:
            context = ssl.create_default_context(cadata=authorities)
            context.load_cert_chain(Path(self._folder.name) / name)
            self._contexts.append(context)
        with ThreadPoolExecutor(WORKERS) as pool:
            self._open = list(pool.map(self._connect, range(len(self._names))))

    def _connect(self, number: int, client_id: str | None = None) -> ssl.SSLSocket:
        raw = socket.create_connection(("127.0.0.1", self._port), timeout=PATIENCE_S)
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection = self._contexts[number].wrap_socket(raw, server_hostname="localhost")
        connection.sendall(encode(Connect(client_id or self._names[number], keep_alive=1200)))
        answer = connection.recv(64)
        if answer != ACCEPTED:
            raise RuntimeError(f"{self._names[number]} was answered {answer!r}")
        return connection

    def come_and_go(self, count: int) -> Sequence[int]:
        """Let devices leave and come back one after the other, several at a time; us for each connect."""

        def once(number: int) -> int:
            self._open[number].close()
            start = wall_us()
            self._open[number] = self._connect(number)
            return wall_us() - start

        with ThreadPoolExecutor(WORKERS) as pool:
            return list(pool.map(once, range(count)))

    def close(self) -> None:
        """Disconnect everybody."""
        for connection in self._open:
            connection.close()
        self._folder.cleanup()


def write_manifest(path: Path, entries: int, damaged_every: int) -> bytes:
    """Write a manifest of emulated parts, every n-th entry with a wrong signature; its signer in DER."""
    ca = FactoryCa()
    key = FactoryKey.from_scalar(seeded_scalar("bench", "manifest signer"))
    signer = self_signed(key, "O=hil,CN=bench manifest signer", at=1_750_000_000.0, days=36500)
    with path.open("w") as file:
        file.write("[\n")
        for number in range(entries):
            serial = bytes.fromhex(f"0123e07e{number:08x}01")
            point = FactoryKey.from_scalar(seeded_scalar("bench", f"part {number}")).public_key()
            eui48 = f"02E07E{serial[5:8].hex().upper()}"
            device = ca.device(serial, point, eui48=eui48)[1]
            chain = TrustChain(device, ca.signer().certificate, ca.root)
            entry = sign_entry(element_record(serial, {0: point}, chain), signer, key)
            if number % damaged_every == 0:
                entry["signature"] = entry["signature"][:-4] + "AAAA"
            file.write((",\n" if number else "") + json.dumps(entry))
        file.write("]\n")
    return signer
