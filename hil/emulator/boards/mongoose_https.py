"""TLS in front of an emulated Mongoose OS board's HTTP server.

``http.ssl_key=ATCA:<slot>`` leaves the private key in the element: the log then shows the public
key of the agreement, the signature, and the agreement, in this order. Sources: cesanta/mongoose
6.18 ``mg_ssl_if_mbedtls.c``, mongoose-os/mbedtls ``library/ecp_atca.c``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.serialization import Encoding

from hil.emulator.boards.mongoose_log import DEBUG, ERROR, Origin
from hil.emulator.boards.mongoose_net import certificates, offload_for
from hil.emulator.boards.mongoose_node import FAILURES, HANDSHAKE_TIMEOUT_US, reason_of
from hil.emulator.boards.mongoose_tls import Observer
from hil.tls.key import Offload
from hil.tls.server import accept

if TYPE_CHECKING:
    from hil.emulator.boards.mongoose_node import Node
    from hil.tls.connection import TlsConnection
    from hil.tls.stream import ByteStream

__all__ = ["Https"]

_SSL = Origin("mongoose.c", 4912)


class Https:
    """The server's certificate and key, read when the server starts.

    Args:
        node: the running firmware.

    Raises:
        ValueError, OSError: certificate or key cannot be used.
    """

    def __init__(self, node: Node) -> None:
        config = node.config
        self._node = node
        self._key = config.text("http.ssl_key") or config.text("http.ssl_cert")
        self._chain = [one.public_bytes(Encoding.DER) for one in certificates(node, "http.ssl_cert")]
        self._offload()

    def accept(self, stream: ByteStream) -> TlsConnection | None:
        """Do the handshake; None if it failed, which the log tells."""
        node = self._node
        try:
            connection = accept(
                stream,
                chain=self._chain,
                offload=self._offload(),
                versions=node.versions,
                observer=Observer(node.cpu),
                deadline=node.world.now + HANDSHAKE_TIMEOUT_US,
            )
        except FAILURES as error:
            node.console.log(_SSL, f"TLS handshake error: {reason_of(error)}", ERROR)
            node.cpu.step("tls-failed", reason=reason_of(error))
            return None
        node.console.log(_SSL, f"ciphersuite: {connection.cipher.replace('_', '-')}", DEBUG)
        node.cpu.step("tls-served", version=connection.version, cipher=connection.cipher)
        return connection

    def _offload(self) -> Offload:
        """A new one for each connection: an agreement has a state."""
        found = offload_for(self._node, self._key)
        if not isinstance(found, Offload):
            raise ValueError(f"{self._key}: this firmware serves with an EC key only")
        return found
