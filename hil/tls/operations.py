"""The costly operations of a handshake: done where the offload says, counted, and reported.

A firmware model observes them to charge MCU time for what runs in software and to log what the
element did; a test reads the list to assert what ran where.
"""

from __future__ import annotations

import secrets
from typing import Literal, Protocol

import msgspec

from hil.tls.key import Offload
from hil.tls.software import SoftwareEcdh, SoftwareKey, SoftwareRandom, SoftwareRsa, SoftwareVerify

__all__ = ["Operation", "OperationName", "Operations", "TlsObserver", "Where"]

OperationName = Literal[
    "random", "ecdh-keygen", "ecdh", "verify", "rsa-verify", "chain-verify", "sign", "rsa-sign", "record"
]
Where = Literal["element", "software"]


class Operation(msgspec.Struct, frozen=True):
    """One operation that was done.

    Attributes:
        name: what it was. ``chain-verify`` is the trust decision itself, reported after its
            signatures; ``record`` is one protected record.
        where: in the element or in software.
        detail: for whom: ``"link 0: CN=…"``, ``"server key exchange"``, ``"sent"``.
        size: bytes for records, random and of the server's chain (without its signatures, whose length
            varies), bits of the key otherwise.
        ok: False for a signature or chain that is not good.
    """

    name: OperationName
    where: Where
    detail: str
    size: int
    ok: bool = True


class TlsObserver(Protocol):
    """Hears of every operation, right after it was done and before its result is used."""

    def operation(self, operation: Operation) -> None:
        """May spend time, log, or raise."""
        ...


class Operations:
    """Does a handshake's operations and keeps the list of them.

    Args:
        offload: who does what; None for a server without a key here.
        observer: told of each operation.
    """

    def __init__(self, offload: Offload | SoftwareRsa | None, observer: TlsObserver | None) -> None:
        self._offload = offload
        self._observer = observer
        self._ecdh = (offload and offload.ecdh) or SoftwareEcdh()
        self._verify = (offload and offload.verify) or SoftwareVerify()
        self.done: list[Operation] = []

    def report(self, name: OperationName, where: Where, detail: str, size: int, *, ok: bool = True) -> None:
        """Note an operation that was done elsewhere."""
        operation = Operation(name, where, detail, size, ok)
        self.done.append(operation)
        if self._observer is not None:
            self._observer.operation(operation)

    def count(self, name: OperationName) -> int:
        """How often ``name`` was done."""
        return sum(operation.name == name for operation in self.done)

    def sign(self, digest: bytes) -> bytes:
        """Sign with the client's key; 64 bytes."""
        assert isinstance(self._offload, Offload), "an RSA key signs by itself"
        key = self._offload.sign
        signature = key.sign_digest(digest)
        self.report("sign", _where(key), "certificate verify", 256)
        return signature

    def new_key(self) -> bytes:
        """A fresh ephemeral key; its point, 64 bytes."""
        point = self._ecdh.new_key()
        self.report("ecdh-keygen", _where(self._ecdh), "secp256r1", 256)
        return point

    def agree(self, peer: bytes) -> bytes:
        """The shared secret with ``peer``; 32 bytes."""
        secret = self._ecdh.agree(peer)
        self.report("ecdh", _where(self._ecdh), "secp256r1", 256)
        return secret

    def verify(self, public_key: bytes, digest: bytes, signature: bytes, detail: str) -> bool:
        """Whether a P-256 signature is good."""
        good = self._verify.verify(public_key, digest, signature)
        self.report("verify", _where(self._verify), detail, 256, ok=good)
        return good

    def random(self, length: int) -> bytes:
        """Random bytes for the ClientHello."""
        source = self._offload.random if self._offload is not None else None
        data = source.random(length) if source is not None else secrets.token_bytes(length)
        self.report("random", _where(source), "client hello", length)
        return data


def _where(unit: object) -> Where:
    software = (SoftwareKey, SoftwareEcdh, SoftwareVerify, SoftwareRandom, SoftwareRsa)
    return "software" if unit is None or isinstance(unit, software) else "element"
