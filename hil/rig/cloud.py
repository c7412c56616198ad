"""The cloud of one rig: control plane, registration, and what the board is told about it.

On an emulated rig the endpoint is an actor in the same world as the board; its registry is the control
plane's, so that what was registered through boto3 is what may connect. A physical board meets the same
endpoint on a port of this computer, or AWS itself.
"""

from __future__ import annotations

import base64
from contextlib import ExitStack
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding

from hil.cloud.devicepolicy import device_policy, wildcard_policy
from hil.cloud.ledgerfile import open_ledger
from hil.cloud.local.pki import CHAIN_KINDS
from hil.cloud.pem import load_certificate, to_der
from hil.cloud.registration import Registrar, Registration
from hil.cloud.registry import certificate_id
from hil.cloud.session import CloudSession
from hil.element.certificates.selfsigned import signing_request
from hil.element.keys import ElementSigningKey
from hil.errors import ConfigError, UsageError
from hil.rig.endpoint import PORT, RigEndpoint

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

    from cryptography.hazmat.primitives.asymmetric import ec, rsa

    from hil.cloud.local.endpoint import Endpoint
    from hil.element.device import Element
    from hil.rig.rig import Rig

__all__ = ["PORT", "RigCloud", "pem"]

POLICY = "device"
CERTIFICATE_FILE = "device.crt.pem"
KEY_FILE = "device.key.pem"
ROOTS_FILE = "ca.pem"


class RigCloud:
    """Control plane and endpoint of a rig; a context manager.

    Args:
        rig: the opened rig.
    """

    def __init__(self, rig: Rig) -> None:
        self._rig = rig
        self._stack = ExitStack()
        self.session = CloudSession(rig.file.cloud, allow_aws=rig.allow_aws, calendar=rig.calendar)
        self._registrar: Registrar | None = None
        self._mqtt: RigEndpoint | None = None
        self._known: dict[bytes, Registration] = {}

    def __enter__(self) -> RigCloud:
        with ExitStack() as stack:
            stack.enter_context(self.session)
            ledger = stack.enter_context(open_ledger(self._rig.file, self._rig.calendar))
            self._registrar = Registrar(self.session, ledger)
            if self._rig.emulated is not None:
                self._mqtt = stack.enter_context(RigEndpoint(self._rig, self.session))
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    @property
    def registrar(self) -> Registrar:
        """Registration, the four ways."""
        if self._registrar is None:
            raise UsageError("the cloud is not open")
        return self._registrar

    @property
    def serves(self) -> bool:
        """Whether the board meets an endpoint of this program's, which can be watched and told to fail."""
        cloud = self._rig.file.cloud
        return self._rig.emulated is not None or cloud.listen is not None

    @property
    def mqtt(self) -> RigEndpoint:
        """The MQTT endpoint of this program's that the board meets; opened when first asked for.

        Raises:
            UsageError: the board meets another one.
        """
        if self._mqtt is None:
            self._mqtt = self._stack.enter_context(RigEndpoint(self._rig, self.session))
        return self._mqtt

    @property
    def connection_count(self) -> int:
        """How many connections the endpoint has seen so far."""
        return 0 if self._mqtt is None else len(self._mqtt.endpoint.logs)

    def evidence(self, since: int) -> str:
        """The endpoint's connections after the first ``since`` ones, in words."""
        return "" if self._mqtt is None else self._mqtt.evidence(since)

    @property
    def endpoint(self) -> Endpoint:
        """The endpoint itself; see :attr:`mqtt`."""
        return self.mqtt.endpoint

    @property
    def host(self) -> str:
        """Name of the endpoint, as ``describe_endpoint`` gives it."""
        return self.session.endpoint()

    @property
    def server(self) -> str:
        """``host:port`` that the board is told to connect to."""
        if not self.serves:
            if self._rig.file.cloud.data_endpoint is not None:
                return self._rig.file.cloud.data_endpoint
            if self.session.is_real:
                return f"{self.host}:{PORT}"
        return self.mqtt.server

    # -- registration -------------------------------------------------------------------------------

    def ensure_policy(self) -> str:
        """The policy that devices of this rig get; its full name."""
        emulated = self._rig.emulated
        make = device_policy
        if emulated is not None and emulated.wildcard_policy:
            make = wildcard_policy
        document = make(self.session.account_id, self.session.region)
        return self.registrar.ensure_policy(POLICY, document)

    def register(
        self, element: Element, *, slot: int = 0, thing: str | None = None, renew: bool = False
    ) -> Registration:
        """Register the element's key by a certificate request that it signs (way 2).

        With ``renew`` by another certificate, although there is one.
        """
        name = thing or self.thing
        request = signing_request(ElementSigningKey(element, slot), f"CN={name}")
        policy = self.ensure_policy()
        return self.registrar.from_csr(
            pem(request, "CERTIFICATE REQUEST"), thing=name, policy=policy, renew=renew
        )

    def registered(self, element: Element, *, slot: int = 0) -> Registration:
        """How the element's key is registered: the last registration while it stands, else a new one.

        It stands while the certificate is active, with its thing and a policy, and the key is the same.
        """
        key = element.public_key(slot)
        known = self._known.get(key)
        if known is None or not self._stands(known):
            known = self._known[key] = self.register(element, slot=slot)
        return known

    def _stands(self, registration: Registration) -> bool:
        record = self.session.registry.certificate(registration.certificate_id)
        return (
            record is not None
            and record.status == "ACTIVE"
            and len(record.policies) == 1
            and [thing.name for thing in record.things] == [registration.thing]
        )

    def unregistered(self, certificate: str) -> Registration:
        """What a board is configured with although the cloud does not know its certificate (PEM)."""
        identity = certificate_id(to_der(load_certificate(certificate)))
        arn = f"arn:aws:iot:{self.session.region}:{self.session.account_id}:cert/{identity}"
        return Registration(
            certificate_id=identity,
            certificate_arn=arn,
            pem=certificate,
            endpoint=self.host,
            thing=self.session.name(self.thing),
            policy="",
            way="own-ca",
        )

    @property
    def thing(self) -> str:
        """Name of the thing that the rig's board is, without prefix."""
        return f"board-{self._rig.name}"

    def register_file_key(
        self, key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey, *, thing: str
    ) -> Registration:
        """Register a key that lies in a file (way 2), to compare with."""
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, thing)])
        request = x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, SHA256())
        text = request.public_bytes(Encoding.PEM).decode()
        return self.registrar.from_csr(text, thing=thing, policy=self.ensure_policy())

    # -- the board ----------------------------------------------------------------------------------

    def configure_board(
        self,
        registration: Registration,
        *,
        key: str,
        files: Mapping[str, bytes] | None = None,
        atca: bool = True,
        mqtt: Mapping[str, object] | None = None,
    ) -> None:
        """Certificate, roots and MQTT settings onto the board, as ``mos aws-iot-setup`` does; restarts it.

        Args:
            registration: what the board connects with.
            key: ``ATCA:<slot>``, or the name of a key file.
            files: further files, for example that key.
            atca: whether the firmware uses the element at all.
            mqtt: further settings below ``mqtt.``.
        """
        board = self._rig.booted_board()
        board.fs_put(CERTIFICATE_FILE, registration.pem.encode())
        board.fs_put(ROOTS_FILE, self.roots())
        for name, content in (files or {}).items():
            board.fs_put(name, content)
        wifi = self._rig.file.wifi
        station = {"enable": True, "ssid": "emulated", "pass": ""}
        if wifi is not None:
            station = {"enable": True, "ssid": wifi.ssid, "pass": wifi.password.value()}
        self._rig.configure(
            {
                "wifi": {"sta": station},
                "device": {"id": registration.thing},
                "sys": {"atca": {"enable": atca}},
                "mqtt": {
                    "enable": True,
                    "server": self.server,
                    "ssl_ca_cert": ROOTS_FILE,
                    "ssl_cert": CERTIFICATE_FILE,
                    "ssl_key": key,
                    **(mqtt or {}),
                },
            }
        )

    def roots(self) -> bytes:
        """The authorities that the board shall trust, PEM.

        Raises:
            ConfigError: the rig file names a file that cannot be read.
            UsageError: the board meets somebody else's endpoint, and the rig file does not name its roots.
        """
        settings = self._rig.file.cloud
        if settings.server_roots is not None:
            path = self._rig.file.path.parent / settings.server_roots
            try:
                return path.read_bytes()
            except OSError as error:
                raise ConfigError(
                    f"{path} cannot be read: {error.strerror}", hint="cloud.server_roots"
                ) from error
        if self.serves:
            # Both, as AWS asks of devices: which chain it shows depends on what the client offers.
            pki = self.endpoint.pki
            return b"".join(pki.root(kind).public_bytes(Encoding.PEM) for kind in CHAIN_KINDS)
        if not self.session.is_real:
            raise UsageError(
                f"nobody says which roots the board of {self._rig.name} shall trust",
                hint="name them in the rig file: cloud: {server_roots: FILE}, or let this program listen",
            )
        from hil.cloud.amazonroots import amazon_roots

        return amazon_roots()


def pem(der: bytes, label: str) -> str:
    """DER in PEM armour."""
    text = base64.b64encode(der).decode()
    lines = [text[at : at + 64] for at in range(0, len(text), 64)]
    return "\n".join((f"-----BEGIN {label}-----", *lines, f"-----END {label}-----", ""))
