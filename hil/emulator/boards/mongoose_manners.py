"""How an emulated firmware treats its cloud connection: the manners of its application and TLS settings.

The defaults are those of the firmware of a good product; each other value is a mistake that is met in
the field and that a test case of AWS IoT Device Advisor looks for. The faults ``firmware-…`` set them.

The bare MQTT library of Mongoose OS has none of the supervision here: it does not notice a missing
PINGRESP or SUBACK and subscribes again although the session was kept (mongoose-os-libs/mqtt
``src/mgos_mqtt_conn.c``). An application does it, through the library's event handlers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import msgspec
from cryptography import x509

from hil.tls.alerts import ServerChainError
from hil.tls.trust import verify_server_chain

if TYPE_CHECKING:
    from collections.abc import Sequence
    from random import Random

    from hil.tls.stream import ByteStream

__all__ = ["Manners", "SmallBuffer"]

Backoff = Literal["jitter", "exact", "linear", "eager"]

EAGER_MS = 200
_HEADER = 5
_OVERHEAD = 325
"""What a TLS record may be longer than its content (RFC 5246 section 6.2.3 allows 2048; mbedTLS so much)."""


class Manners(msgspec.Struct, frozen=True):
    """What the firmware does right, or not.

    Attributes:
        checks_authority: refuses a server whose chain ends in no trusted root.
        checks_name: refuses a certificate for another name.
        checks_dates: refuses an expired certificate.
        tls_content: longest content of a TLS record that its buffer holds.
        backoff: how it waits between attempts: doubled with a random tenth (the library's way), doubled
            exactly, two seconds more each time, or hardly at all.
        acknowledges: answers a QoS 1 message with PUBACK.
        notices_silence: closes a connection on which a PINGREQ was not answered.
        repeats_publish: sends an unacknowledged message again within the connection.
        repeats_subscribe: sends a SUBSCRIBE again that was not answered.
        keeps_session: asks for the persistent session that is configured, and trusts it.
    """

    checks_authority: bool = True
    checks_name: bool = True
    checks_dates: bool = True
    tls_content: int = 16_384
    backoff: Backoff = "jitter"
    acknowledges: bool = True
    notices_silence: bool = True
    repeats_publish: bool = True
    repeats_subscribe: bool = True
    keeps_session: bool = True

    def verify(
        self, chain: Sequence[bytes], *, server_name: str, roots: Sequence[x509.Certificate], at: float
    ) -> list[x509.Certificate]:
        """Judge a server's chain; see :func:`hil.tls.trust.verify_server_chain`."""
        try:
            return verify_server_chain(chain, server_name=server_name, roots=roots, at=at)
        except ServerChainError as refusal:
            if refusal.reason not in self._overlooked():
                raise
            return [x509.load_der_x509_certificate(der) for der in chain]

    def _overlooked(self) -> set[str]:
        overlooked = set()
        if not self.checks_authority:
            overlooked |= {"unknown-ca", "bad-signature"}
        if not self.checks_name:
            overlooked |= {"wrong-name"}
        if not self.checks_dates:
            overlooked |= {"expired", "not-yet-valid"}
        return overlooked

    def wait_ms(self, attempt: int, doubled_ms: int, rng: Random) -> int:
        """How long to wait before the next attempt.

        Args:
            attempt: failures in a row so far, from 1.
            doubled_ms: what doubling and the configured limits give.
            rng: the board's.
        """
        if self.backoff == "jitter":
            return round(rng.uniform(doubled_ms * 0.9, doubled_ms * 1.1))
        return {"exact": doubled_ms, "linear": 2000 * attempt, "eager": EAGER_MS}[self.backoff]

    def buffered(self, stream: ByteStream) -> ByteStream:
        """``stream`` behind the firmware's TLS buffer."""
        return stream if self.tls_content >= 16_384 else SmallBuffer(stream, self.tls_content)


class SmallBuffer:
    """A stream on which a TLS record that is longer than the buffer ends the connection.

    Args:
        stream: carries TLS records.
        content: longest content of a record.
    """

    def __init__(self, stream: ByteStream, content: int) -> None:
        self._stream = stream
        self._limit = content + _OVERHEAD
        self._header = bytearray()
        self._left = 0

    def recv(self, size: int) -> bytes:
        """See :class:`hil.tls.stream.ByteStream`.

        Raises:
            ConnectionAbortedError: a record is too long.
        """
        data = self._stream.recv(size)
        at = 0
        while at < len(data):
            skipped = min(self._left, len(data) - at)
            at += skipped
            self._left -= skipped
            if self._left == 0 and at < len(data):
                taken = data[at : at + _HEADER - len(self._header)]
                self._header += taken
                at += len(taken)
                if len(self._header) == _HEADER:
                    self._begin_record(int.from_bytes(self._header[3:], "big"))
        return data

    def _begin_record(self, length: int) -> None:
        if length > self._limit:
            raise ConnectionAbortedError(f"a record of {length} bytes, the buffer takes {self._limit}")
        self._left = length
        self._header.clear()

    def send(self, data: bytes) -> int:
        """See :class:`hil.tls.stream.ByteStream`."""
        return self._stream.send(data)

    def sendall(self, data: bytes) -> None:
        """See :class:`hil.tls.stream.ByteStream`."""
        self._stream.sendall(data)

    def settimeout(self, seconds: float | None) -> None:
        """See :class:`hil.tls.stream.ByteStream`."""
        self._stream.settimeout(seconds)

    def wait_readable(self, deadline: int | None) -> bool:
        """See :class:`hil.tls.stream.ByteStream`."""
        return self._stream.wait_readable(deadline)

    def close(self) -> None:
        """See :class:`hil.tls.stream.ByteStream`."""
        self._stream.close()
