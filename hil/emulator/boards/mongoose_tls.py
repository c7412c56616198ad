"""Which part of an emulated Mongoose OS board does which operation of a TLS handshake.

As the firmware's mbedTLS fork does: P-256 signatures over SHA-256 are verified by the element and
ECDH runs in it whenever it is available, whatever the client's key is; a failure there falls back
to software, slowly and with a line in the log. Only the client's signature depends on
``ssl_key``: ``ATCA:<slot>`` or a PEM file. What runs in software costs processor time of the cost
model; what runs in the element costs what its bus and the chip take. A :class:`Build` tells a library
that leaves less to the element.

Source: mongoose-os/mbedtls ``library/ecp_atca.c``; log lines of public READMEs and forum posts.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from hil.emulator.boards.mongoose_atca import library_status
from hil.errors import DeviceError, ElementError
from hil.tls.software import SoftwareEcdh, SoftwareKey, SoftwareVerify, der_signature
from hil.wire.atecc import Status

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from random import Random

    from cryptography.hazmat.primitives.asymmetric import ec

    from hil.clock import Signal, World
    from hil.emulator.boards.mongoose_atca import Atca
    from hil.emulator.boards.mongoose_log import Console
    from hil.emulator.mcu import Mcu
    from hil.tls.operations import Operation

__all__ = [
    "Build",
    "ElementEcdh",
    "ElementKey",
    "ElementVerify",
    "McuEcdh",
    "McuKey",
    "McuVerify",
    "Observer",
    "Processor",
    "Step",
]

CURVE_P256 = 3
"""``MBEDTLS_ECP_DP_SECP256R1``, as the log prints it."""
TEMPKEY_SLOT = 16
"""How the log calls TempKey."""


class Build(msgspec.Struct, frozen=True):
    """What the TLS library of an image leaves to the element.

    Attributes:
        ecdh: key agreement, when the element can.
        verify: P-256 signatures over SHA-256.
        signatures: how often it signs for one handshake; more than once wastes the element's time.
        complaint: what it prints before it agrees in software although an element is there.
    """

    ecdh: bool = True
    verify: bool = True
    signatures: int = 1
    complaint: str = ""

    def sign_only(self) -> Build:
        """The same library, with nothing but the client's signature left to the element."""
        return Build(ecdh=False, verify=False, signatures=self.signatures)


class Step(NamedTuple):
    """One entry of a board's timeline.

    Attributes:
        at_us: when it ended, world time.
        phase: ``boot``, ``wifi``, ``connecting``, ``prepared``, ``tcp``, ``crypto``, ``hash``, ``tls``,
            ``connack``, ``refused``, ``disconnected``.
        detail: what else is known; ``crypto`` has ``operation``, ``where`` (``element`` or
            ``mcu``) and ``us``, how long it took; ``prepared`` and ``hash`` have ``us``.
    """

    at_us: int
    phase: str
    detail: Mapping[str, str | int]


class Processor:
    """The one thread that Mongoose OS runs on: a handler or a cryptographic operation at a time.

    Args:
        world: whose tasks take turns.
        mcu: what operations cost.
        note: takes the steps of the timeline.

    Attributes:
        on_free: called when the main loop has time for the UART again.
    """

    def __init__(self, world: World, mcu: Mcu, note: Callable[[Step], None]) -> None:
        self.world = world
        self.mcu = mcu
        self._note = note
        self._busy = False
        self._aside = False
        self.on_free: Callable[[], None] = lambda: None
        self._free: Signal = world.signal("main loop is free")

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Wait for the main loop, then keep it."""
        while self._busy:
            self.world.wait(self._free, None)
        self._busy = True
        try:
            yield
        finally:
            self._busy = False
            self._free.set()
            self.on_free()

    @property
    def busy(self) -> bool:
        """Whether the main loop has no time for the UART."""
        return self._busy and not self._aside

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Within a turn: wait for something while the main loop goes on."""
        self._aside = True
        self.on_free()
        try:
            yield
        finally:
            self._aside = False

    def step(self, phase: str, **detail: str | int) -> None:
        """Note a step that ends now."""
        self._note(Step(self.world.now, phase, detail))

    def crypto(self, operation: str, where: str, since: int) -> None:
        """Note a cryptographic operation that ends now."""
        self.step("crypto", operation=operation, where=where, us=self.world.now - since)

    def software(self, cost: str, operation: str, n: int = 1) -> None:
        """Spend what ``operation`` costs in software, and note it. Call it within a turn."""
        since = self.world.now
        self.mcu.spend(cost, n)
        self.crypto(operation, "mcu", since)

    def hash(self, length: int) -> None:
        """Spend what SHA-256 over ``length`` bytes costs, and note it. Call it within a turn."""
        self.step("hash", us=self.mcu.hash(length))


class McuKey(SoftwareKey):
    """The client's key in a PEM file: the MCU signs."""

    def __init__(self, private: ec.EllipticCurvePrivateKey, cpu: Processor, console: Console) -> None:
        super().__init__(private)
        self._cpu = cpu
        self._console = console

    def sign_digest(self, digest: bytes) -> bytes:
        """Sign a 32-byte digest; 64 bytes ``R ‖ S``."""
        with self._cpu.turn():
            self._cpu.software("p256_sign", "sign")
            self._console.raw(f"SW ECDSA sign curve {CURVE_P256} hash_len {len(digest)}")
        return super().sign_digest(digest)


class McuEcdh(SoftwareEcdh):
    """ECDH in software; ``complaint`` is printed before it if the element should have done it."""

    def __init__(self, cpu: Processor, console: Console, *, complaint: str = "") -> None:
        super().__init__()
        self._cpu = cpu
        self._console = console
        self._complaint = complaint

    def new_key(self) -> bytes:
        """Start an agreement; our public point, 64 bytes."""
        with self._cpu.turn():
            if self._complaint:
                self._console.raw(self._complaint)
            self._cpu.software("p256_keygen", "ecdh-keygen")
        return super().new_key()

    def agree(self, peer: bytes) -> bytes:
        """The shared secret (32 bytes) with the peer's 64-byte point."""
        with self._cpu.turn():
            self._cpu.software("p256_ecdh", "ecdh")
            self._console.raw(f"SW ECDH curve {CURVE_P256}")
        return super().agree(peer)


class McuVerify(SoftwareVerify):
    """Verification in software."""

    def __init__(self, cpu: Processor, console: Console) -> None:
        self._cpu = cpu
        self._console = console

    def verify(self, public_key: bytes, digest: bytes, signature: bytes) -> bool:
        """Whether ``signature`` (64 bytes) is good."""
        with self._cpu.turn():
            self._cpu.software("p256_verify", "verify")
            length = len(der_signature(signature))
            self._console.raw(f"SW ECDSA verify curve {CURVE_P256} hash_len {len(digest)} sig_len {length}")
        return super().verify(public_key, digest, signature)


class ElementKey:
    """The client's key in the element: ``ssl_key = ATCA:<slot>``; there is no fall-back."""

    def __init__(
        self, atca: Atca, slot: int, cpu: Processor, console: Console, *, signatures: int = 1
    ) -> None:
        self._atca = atca
        self._slot = slot
        self._cpu = cpu
        self._console = console
        self._signatures = signatures

    def public_key(self) -> bytes:
        """64 bytes ``X ‖ Y``."""
        with self._cpu.turn():
            return self._atca.element.public_key(self._slot)

    def sign_digest(self, digest: bytes) -> bytes:
        """Sign a 32-byte digest; 64 bytes ``R ‖ S``.

        Raises:
            DeviceError: the element does not sign.
        """
        signature = b""
        for _ in range(self._signatures):
            with self._cpu.turn():
                signature = self._sign(digest)
        return signature

    def _sign(self, digest: bytes) -> bytes:
        since = self._cpu.world.now
        try:
            signature = self._atca.sign(self._slot, digest)
        except DeviceError as error:
            self._console.raw(f"ATCA:{self._slot} ECDSA sign failed: 0x{library_status(error):02x}")
            raise
        self._cpu.crypto("sign", "element", since)
        self._console.raw(f"ATCA:{self._slot} ECDSA sign ok")
        return signature


class ElementVerify:
    """Verification in the element, in software when it fails."""

    def __init__(self, atca: Atca, cpu: Processor, console: Console) -> None:
        self._atca = atca
        self._cpu = cpu
        self._console = console
        self._software = McuVerify(cpu, console)

    def verify(self, public_key: bytes, digest: bytes, signature: bytes) -> bool:
        """Whether ``signature`` (64 bytes) is good."""
        with self._cpu.turn():
            since = self._cpu.world.now
            try:
                good = self._atca.verify(public_key, digest, signature)
            except DeviceError as error:
                self._console.raw(f"ATCA ECDSA verify failed: 0x{library_status(error):02x}")
            else:
                self._cpu.crypto("verify", "element", since)
                self._console.raw(f"ATCA ECDSA verify ok, {'verified' if good else 'NOT verified'}")
                return good
        return self._software.verify(public_key, digest, signature)


class ElementEcdh:
    """ECDH in the element: an ephemeral key in TempKey (608) or the key of a slot (508).

    A slot's key is used again as it is; it is generated only when the slot holds none. Any failure
    ends in software.
    """

    def __init__(self, atca: Atca, rng: Random, cpu: Processor, console: Console) -> None:
        self._atca = atca
        self._rng = rng
        self._cpu = cpu
        self._console = console
        self._slot: int | None = None
        self._software: McuEcdh | None = None

    def new_key(self) -> bytes:
        """Start an agreement; our public point, 64 bytes."""
        self._software = None
        if self._atca.is_608:
            self._slot = TEMPKEY_SLOT
        elif self._atca.ecdh_slots:
            self._slot = self._rng.choice(self._atca.ecdh_slots)
        else:
            return self._in_software().new_key()
        with self._cpu.turn():
            since = self._cpu.world.now
            try:
                verb, point = self._key_of(self._slot)
            except DeviceError as error:
                status = library_status(error)
                self._console.raw(f"ATCA:{self._slot} failed to gen ECDH pubkey: 0x{status:02x}")
            else:
                self._cpu.crypto(f"ecdh-{verb}-pubkey", "element", since)
                self._console.raw(f"ATCA:{self._slot} ECDH {verb} pubkey ok")
                return point
        return self._in_software().new_key()

    def agree(self, peer: bytes) -> bytes:
        """The shared secret (32 bytes) with the peer's 64-byte point.

        Raises:
            DeviceError: the element has the key but does not agree; the handshake cannot go on.
        """
        if self._software is not None:
            return self._software.agree(peer)
        with self._cpu.turn():
            since = self._cpu.world.now
            slot, element = self._slot, self._atca.element
            assert slot is not None, "new_key comes first"
            try:
                ephemeral = slot == TEMPKEY_SLOT
                secret = element.ecdh_ephemeral(peer) if ephemeral else element.ecdh_slot(slot, peer)
            except DeviceError as error:
                self._console.raw(f"ATCA:{slot} ECDH failed: 0x{library_status(error):02x}")
                raise
            self._cpu.crypto("ecdh", "element", since)
            self._console.raw(f"ATCA:{slot} ECDH ok")
        return secret

    def _key_of(self, slot: int) -> tuple[str, bytes]:
        if slot == TEMPKEY_SLOT:
            return "gen", self._atca.element.ephemeral_key()
        try:
            return "get", self._atca.element.public_key(slot)
        except ElementError as error:
            if error.status != Status.EXECUTION:
                raise
        return "gen", self._atca.generate_key(slot)

    def _in_software(self) -> McuEcdh:
        self._software = McuEcdh(self._cpu, self._console)
        return self._software


_RSA: Final[Mapping[str, tuple[str, int]]] = {
    "rsa-verify": ("rsa2048_verify", 2),
    "rsa-sign": ("rsa2048_sign", 3),
}
"""Cost, and the power of the key size that it grows with."""


class Observer:
    """Charges what the TLS library reports to have done in software outside the units above."""

    def __init__(self, cpu: Processor) -> None:
        self._cpu = cpu

    def operation(self, operation: Operation) -> None:
        """An RSA operation, a signature of another curve than P-256, or the chain's bytes.

        Each certificate is hashed twice: for its signature, and into the transcript of the handshake.
        """
        if operation.name in _RSA:
            cost, power = _RSA[operation.name]
            with self._cpu.turn():
                self._cpu.software(cost, operation.name, max(1, round((operation.size / 2048) ** power)))
        elif operation.name == "verify" and operation.size != 256:
            with self._cpu.turn():
                self._cpu.software("p384_verify", "verify")
        elif operation.name == "chain-verify" and operation.ok:
            with self._cpu.turn():
                self._cpu.hash(2 * operation.size)
