"""Commands and modes that only a 608 has: ephemeral keys, AES, KDF, self test, secure boot.

Source: ATECC608A-TFLXTLS data sheet DS40002138A, section 5 (called DS608 below). A 508A answers
them with status 03.
"""

from __future__ import annotations

from enum import Flag, IntEnum

import msgspec

from hil.discretion import SecretBytes, discreet
from hil.element import digests
from hil.element.commands import Commands, check_public_slot
from hil.element.zones import SLOT_SIZES, check_length, check_slot
from hil.errors import ElementError, UsageError
from hil.wire.atecc import STATUS_MEANING, Command, Opcode, Status

__all__ = ["Commands608", "KdfResult", "KdfSource", "KdfTarget", "SelfTest", "ShaTarget", "prf_details"]

_TEMPKEY = 0xFFFF
_P256 = 0x0004


class SelfTest(Flag):
    """Self tests, and the map of those that failed (DS608, SelfTest)."""

    NONE = 0
    RANDOM = 0x01
    ECDSA = 0x04
    ECDH = 0x08
    AES = 0x10
    SHA = 0x20
    ALL = 0x3D


class ShaTarget(IntEnum):
    """Where the digest of SHA(End) goes besides the answer."""

    TEMPKEY = 0x02
    MESSAGE_BUFFER = 0x42
    OUTPUT_ONLY = 0xC2


class KdfSource(IntEnum):
    """Bits 1:0 of the KDF mode: where the key comes from."""

    TEMPKEY = 0x00
    TEMPKEY_UPPER = 0x01
    SLOT = 0x02
    ALTERNATE = 0x03


class KdfTarget(IntEnum):
    """Bits 4:2 of the KDF mode: where the result goes. A slot is changed for good: see irreversible."""

    TEMPKEY = 0x00
    TEMPKEY_UPPER = 0x04
    ALTERNATE = 0x0C
    OUTPUT = 0x10
    ENCRYPTED = 0x14


class KdfResult(msgspec.Struct, frozen=True):
    """What KDF sent: ``output`` in clear or encrypted (not printed), the nonce of the encryption."""

    output: bytes
    nonce: bytes = b""

    @discreet
    def decrypted(self, io_key: bytes) -> bytes:
        """The clear output, by the IO protection key."""
        return SecretBytes(digests.encrypted_output(io_key, self.nonce, self.output))


def prf_details(message_length: int, key_length: int, length: int, *, aead: bool = False) -> int:
    """The details word of a PRF (DS608, KDF); arguments as of :meth:`Commands608.kdf_prf`.

    Raises:
        UsageError: no such key or result length.
    """
    if key_length not in (16, 32, 48, 64) or length not in (32, 64) or (aead and length != 64):
        raise UsageError(f"PRF cannot make {length} bytes of a {key_length}-byte key with aead={aead}")
    return message_length << 24 | aead << 9 | (length == 64) << 8 | (key_length // 16 - 1)


class Commands608(Commands):
    """One element; see :class:`hil.element.device.Element`."""

    # Ephemeral keys and key agreement

    def ephemeral_key(self) -> bytes:
        """New private key in TempKey, good for one ECDH; returns its public key, 64 bytes."""
        return self.execute(Command(Opcode.GENKEY, 0x04, _TEMPKEY), 64)

    @discreet
    def ecdh_ephemeral(self, peer: bytes) -> bytes:
        """Shared secret (32 bytes) of the ephemeral key with ``peer``; the key is used up (mode 0D)."""
        data = check_length(peer, 64, "the peer's public key")
        return SecretBytes(self.execute(Command(Opcode.ECDH, 0x0D, 0, data), 32))

    def ecdh_to_tempkey(self, slot: int | None, peer: bytes) -> None:
        """Shared secret into TempKey; ``slot`` None takes the ephemeral key (modes 08, 09)."""
        data = check_length(peer, 64, "the peer's public key")
        mode, p2 = (0x09, 0) if slot is None else (0x08, check_slot(slot))
        self.execute(Command(Opcode.ECDH, mode, p2, data), 1)

    @discreet
    def ecdh_output(self, slot: int, peer: bytes) -> bytes:
        """Shared secret in clear, whatever target SlotConfig names (mode 0C)."""
        data = check_length(peer, 64, "the peer's public key")
        return SecretBytes(self.execute(Command(Opcode.ECDH, 0x0C, check_slot(slot), data), 32))

    @discreet
    def ecdh_encrypted(self, slot: int | None, peer: bytes, io_key: bytes) -> bytes:
        """Shared secret, encrypted on the bus by the IO protection key (modes 0E, 0F)."""
        data = check_length(peer, 64, "the peer's public key")
        check_length(io_key, 32, "the IO protection key")
        mode, p2 = (0x0F, 0) if slot is None else (0x0E, check_slot(slot))
        answer = self.execute(Command(Opcode.ECDH, mode, p2, data), 64)
        return SecretBytes(digests.encrypted_output(io_key, answer[32:], answer[:32]))

    # AES

    @discreet
    def aes_encrypt(self, slot: int | None, block: bytes, *, key_block: int = 0) -> bytes:
        """AES-128-ECB of 16 bytes with key ``key_block`` of a slot, or of TempKey for ``slot`` None."""
        return self._aes(0x00, slot, block, key_block)

    @discreet
    def aes_decrypt(self, slot: int | None, block: bytes, *, key_block: int = 0) -> bytes:
        """The inverse of :meth:`aes_encrypt`."""
        return self._aes(0x01, slot, block, key_block)

    def aes_gfm(self, hash_key: bytes, block: bytes) -> bytes:
        """Product of two 16-byte elements of the Galois field of GCM."""
        data = check_length(hash_key, 16, "the hash key") + check_length(block, 16, "the block")
        return self.execute(Command(Opcode.AES, 0x03, 0, data), 16)

    def _aes(self, mode: int, slot: int | None, block: bytes, key_block: int) -> bytes:
        keys = 1 if slot is None else min(4, SLOT_SIZES[check_slot(slot)] // 16)
        if not 0 <= key_block < keys:
            raise UsageError(f"there are key blocks 0 to {keys - 1} there, not {key_block}")
        p2 = _TEMPKEY if slot is None else slot
        data = check_length(block, 16, "the block")
        return self.execute(Command(Opcode.AES, mode | key_block << 6, p2, data), 16)

    # Key derivation

    @discreet
    def kdf_prf(
        self,
        message: bytes,
        *,
        key_length: int = 32,
        length: int = 32,
        aead: bool = False,
        source: KdfSource = KdfSource.TEMPKEY,
        slot: int = 0,
        target: KdfTarget = KdfTarget.OUTPUT,
    ) -> KdfResult:
        """TLS 1.2 PRF over a key of 16, 32, 48 or 64 bytes.

        Args:
            message: label and seed, up to 123 bytes.
            key_length: bytes of the key to use.
            length: 32 or 64 bytes of result.
            aead: the first 32 bytes go to the target, the next 32 to the output in clear;
                needs ``length`` 64.
            source: where the key is.
            slot: which one, if it is in a slot.
            target: where the result goes.
        """
        details = prf_details(len(message), key_length, length, aead=aead)
        return self._kdf(0x00, source, slot, target, details, message, 32 if aead else length, aead)

    @discreet
    def kdf_aes(
        self,
        message: bytes,
        *,
        key_block: int = 0,
        source: KdfSource = KdfSource.TEMPKEY,
        slot: int = 0,
        target: KdfTarget = KdfTarget.OUTPUT,
    ) -> KdfResult:
        """AES-128-ECB of a 16-byte message, padded with zeros to 32 bytes."""
        check_length(message, 16, "the message")
        if not 0 <= key_block < 4:
            raise UsageError(f"there are key blocks 0 to 3, not {key_block}")
        return self._kdf(0x20, source, slot, target, key_block, message, 32, False)

    @discreet
    def kdf_hkdf(
        self,
        message: bytes,
        *,
        zero_key: bool = False,
        source: KdfSource = KdfSource.TEMPKEY,
        slot: int = 0,
        target: KdfTarget = KdfTarget.OUTPUT,
    ) -> KdfResult:
        """One HMAC-SHA256 of ``message``, the step of HKDF (RFC 5869); the message is sent along."""
        details = len(message) << 24 | zero_key << 2 | 0x02
        return self._kdf(0x40, source, slot, target, details, message, 32, False)

    def _kdf(
        self,
        algorithm: int,
        source: KdfSource,
        slot: int,
        target: KdfTarget,
        details: int,
        message: bytes,
        length: int,
        always_out: bool,
    ) -> KdfResult:
        if len(message) > 123:
            raise UsageError(f"KDF takes messages of up to 123 bytes, not {len(message)}")
        data = details.to_bytes(4, "little") + message
        command = Command(Opcode.KDF, algorithm | source | target, check_slot(slot), data)
        if target is KdfTarget.ENCRYPTED:
            answer = self.execute(command, length + 32)
            return KdfResult(SecretBytes(answer[:length]), answer[length:])
        if target is KdfTarget.OUTPUT or always_out:
            return KdfResult(SecretBytes(self.execute(command, length)))
        self.execute(command, 1)
        return KdfResult(b"")

    # Hash contexts

    def sha_end_to(self, target: ShaTarget, data: bytes = b"") -> bytes:
        """The digest, after the last bytes (up to 64); it goes to ``target`` too."""
        if len(data) > 64:
            raise UsageError(f"SHA ends with 64 bytes at most, not {len(data)}")
        return self.execute(Command(Opcode.SHA, target, len(data), data), 32)

    def sha_read_context(self) -> bytes:
        """State of the running SHA-256, to be continued later; 36 bytes and the pending ones."""
        return self.execute(Command(Opcode.SHA, 0x06))

    def sha_write_context(self, context: bytes) -> None:
        """Continue from a state read before."""
        if not 36 <= len(context) <= 99:
            raise UsageError(f"a SHA context has 36 to 99 bytes, not {len(context)}")
        self.execute(Command(Opcode.SHA, 0x07, len(context), context), 1)

    # Health

    def self_test(self, tests: SelfTest = SelfTest.ALL) -> SelfTest:
        """Run self tests; returns those that failed. With none named: the map of past failures."""
        try:
            failed = self.execute(Command(Opcode.SELFTEST, tests.value), 1)[0]
        except ElementError as error:
            if error.status != Status.AFTER_WAKE:
                raise
            # Map and wake status look alike; it was sent again after a fresh wake, so it is the map.
            failed = error.status
        return SelfTest(failed)

    def latch(self) -> bool:
        """State of the persistent latch (DS608, Info mode 04)."""
        return self.execute(Command(Opcode.INFO, 0x04), 4)[0] == 1

    def set_latch(self, value: bool) -> None:
        """Set or clear the persistent latch; a power cycle clears it."""
        self.execute(Command(Opcode.INFO, 0x04, 0x02 | value), 4)

    # Proofs that the answer came from the element

    @discreet
    def verify_loaded_mac(
        self,
        public_key: bytes,
        signature: bytes,
        message: bytes,
        nonce: bytes,
        io_key: bytes,
        *,
        message_buffer: bool = False,
    ) -> bool:
        """Verify with an answer that the IO protection key authenticates (modes 82 and A2).

        ``message`` must be in TempKey and ``nonce`` in the first half of the message buffer; with
        ``message_buffer`` the message must be in its first half and the nonce in the second.

        Raises:
            ElementError: status 01 with a MAC that is wrong: someone answered for the element.
        """
        data = check_length(signature, 64, "the signature") + check_length(public_key, 64, "the public key")
        mode = 0xA2 if message_buffer else 0x82
        expected = digests.verify_mac(io_key, message, nonce, signature, mode, _P256)
        return self._proven(Command(Opcode.VERIFY, mode, _P256, data), expected)

    @discreet
    def verify_stored_mac(
        self,
        slot: int,
        signature: bytes,
        message: bytes,
        nonce: bytes,
        io_key: bytes,
        *,
        message_buffer: bool = False,
    ) -> bool:
        """The same with the public key in slot 8 to 15 (modes 80 and A0); success authorises that key."""
        data = check_length(signature, 64, "the signature")
        mode = 0xA0 if message_buffer else 0x80
        expected = digests.verify_mac(io_key, message, nonce, signature, mode, check_public_slot(slot))
        return self._proven(Command(Opcode.VERIFY, mode, slot, data), expected)

    def secure_boot_check(self, digest: bytes, signature: bytes) -> bool:
        """Whether a firmware digest and its signature are accepted (mode Full, in clear)."""
        data = check_length(digest, 32, "the digest") + check_length(signature, 64, "the signature")
        return self._matches(Command(Opcode.SECUREBOOT, 0x05, 0, data))

    @discreet
    def secure_boot_check_mac(self, digest: bytes, signature: bytes, tempkey: bytes, io_key: bytes) -> bool:
        """The same with the digest encrypted and the answer authenticated (mode 85).

        ``tempkey`` is what a nonce has just put into TempKey.
        """
        check_length(digest, 32, "the digest")
        check_length(signature, 64, "the signature")
        key = digests.secure_boot_key(io_key, tempkey)
        expected = digests.secure_boot_mac(key, digest, signature, 0x85)
        data = digests.xor(digest, key) + signature
        return self._proven(Command(Opcode.SECUREBOOT, 0x85, 0, data), expected)

    def _proven(self, command: Command, expected: bytes) -> bool:
        try:
            answer = self.execute(command, 32)
        except ElementError as error:
            if error.status != Status.MISCOMPARE:
                raise
            return False
        if answer != expected:
            meaning = f"{STATUS_MEANING[Status.MISCOMPARE]}: the MAC of the answer is wrong"
            raise ElementError(command.label, Status.MISCOMPARE, meaning)
        return True
