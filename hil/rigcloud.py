"""The cloud of one rig: control plane and MQTT endpoint, together.

On an emulated rig the endpoint is an actor in the same world as the board; its registry is the
control plane's, so that what was registered through boto3 is what may connect.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding

from hil.cloud.devicepolicy import device_policy
from hil.cloud.ledger import Ledger
from hil.cloud.local.endpoint import Endpoint
from hil.cloud.local.faults import Fault
from hil.cloud.local.pki import ServerPki
from hil.cloud.registration import Registrar
from hil.cloud.session import CloudSession
from hil.element.certificates.selfsigned import signing_request
from hil.element.keys import ElementSigningKey
from hil.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

    from cryptography.hazmat.primitives.asymmetric import ec

    from hil.cloud.registration import Registration
    from hil.element.device import Element
    from hil.rig import Rig

__all__ = ["RigCloud", "pem"]

PORT = 8883
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
        self.session = CloudSession(rig.file.cloud, calendar=rig.calendar)
        self._registrar: Registrar | None = None
        self._endpoint: Endpoint | None = None

    def __enter__(self) -> RigCloud:
        self.session.open()
        self._registrar = Registrar(self.session, Ledger(calendar=self._rig.calendar))
        if self._rig.emulated is not None:
            self._serve()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.session.close()

    def _serve(self) -> None:
        """Put the endpoint into the rig's world."""
        emulated = self._rig.emulated
        assert emulated is not None, "the caller asked"
        local = self.session.local
        endpoint = Endpoint(
            self.session.registry,
            ServerPki(self.host, self._rig.calendar),
            account=self.session.account_id,
            region=self.session.region,
            host=self.host,
            first_connect=None if local is None else local.first_connect,
        )
        if emulated.endpoint_refuses:
            endpoint.faults = lambda number: frozenset({Fault.REFUSE})
        emulated.network.listen(
            self.host,
            PORT,
            lambda link: (
                endpoint.session(link.send, link.close, link.now, link.at, client=link.client).receive
            ),
        )
        self._endpoint = endpoint

    @property
    def registrar(self) -> Registrar:
        """Registration, the four ways."""
        if self._registrar is None:
            raise UsageError("the cloud is not open")
        return self._registrar

    @property
    def endpoint(self) -> Endpoint:
        """The MQTT endpoint in the rig's world."""
        if self._endpoint is None:
            raise UsageError(f"the MQTT endpoint of {self._rig.name} is not this program's")
        return self._endpoint

    @property
    def host(self) -> str:
        """Name of the endpoint, as ``describe_endpoint`` gives it."""
        return self.session.endpoint()

    def register(self, element: Element, *, slot: int = 0, thing: str | None = None) -> Registration:
        """Register the element's key by a certificate request that it signs (way 2)."""
        name = thing or f"board-{self._rig.name}"
        request = signing_request(ElementSigningKey(element, slot), f"CN={name}")
        self.registrar.ensure_policy(POLICY, device_policy(self.session.account_id, self.session.region))
        return self.registrar.from_csr(pem(request, "CERTIFICATE REQUEST"), thing=name, policy=POLICY)

    def register_file_key(self, key: ec.EllipticCurvePrivateKey, *, thing: str) -> Registration:
        """Register a key that lies in a file (way 2), to compare with."""
        self.registrar.ensure_policy(POLICY, device_policy(self.session.account_id, self.session.region))
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, thing)])
        request = x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, SHA256())
        text = request.public_bytes(Encoding.PEM).decode()
        return self.registrar.from_csr(text, thing=thing, policy=POLICY)

    def configure_board(
        self,
        registration: Registration,
        *,
        key: str,
        files: Mapping[str, bytes] | None = None,
        atca: bool = True,
    ) -> None:
        """Certificate, roots and MQTT settings onto the board, as ``mos aws-iot-setup`` does; restarts it.

        Args:
            registration: what the board connects with.
            key: ``ATCA:<slot>``, or the name of a key file.
            files: further files, for example that key.
            atca: whether the firmware uses the element at all.
        """
        board = self._rig.booted_board()
        board.fs_put(CERTIFICATE_FILE, registration.pem.encode())
        board.fs_put(ROOTS_FILE, self._roots())
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
                    "server": f"{self.host}:{PORT}",
                    "ssl_ca_cert": ROOTS_FILE,
                    "ssl_cert": CERTIFICATE_FILE,
                    "ssl_key": key,
                },
            }
        )

    def _roots(self) -> bytes:
        roots = [self.endpoint.pki.root("ec")]
        return b"".join(root.public_bytes(Encoding.PEM) for root in roots)


def pem(der: bytes, label: str) -> str:
    """DER in PEM armour."""
    text = base64.b64encode(der).decode()
    lines = [text[at : at + 64] for at in range(0, len(text), 64)]
    return "\n".join((f"-----BEGIN {label}-----", *lines, f"-----END {label}-----", ""))
