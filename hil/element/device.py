"""The secure element: what one asks of it, each an exchange of the commands it takes.

::

    element = Element(bus, 0x60)
    signature = element.sign_digest(0, digest)      # wake, Nonce, Sign, sleep

    with element.session():                         # TempKey stays in between
        nonce = element.nonce_random()
        ...
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hil.discretion import SecretBytes, discreet
from hil.element import digests
from hil.element.commands608 import Commands608
from hil.element.configzone import ConfigZone
from hil.element.repeat import Repeat
from hil.element.values import LockState, SignRecipe
from hil.element.zones import OTP_SIZE, SLOT_SIZES, blocks_of, check_length, check_slot

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Element", "LockState", "SignRecipe"]

_UNLOCKED = 0x55


class Element(Commands608):
    """An ATECC508A or ATECC608 on an I2C bus.

    Args:
        bus: the bus.
        address: 7-bit address; 0x60 for generic parts, 0x35 Trust&GO, 0x36 TrustFLEX.
        part: ``"atecc508a"``, ``"atecc608a"``, ``"atecc608b"``, or None to ask the element.
        pace: how to wait; see :class:`hil.element.timing.Pace`.
        divider: clock divider of a 608.
    """

    def __repr__(self) -> str:
        return f"<Element {self._part or 'of unknown part'} at 0x{self.address:02x} on {self.bus.name}>"

    # Identity and configuration

    def serial_number(self) -> bytes:
        """The nine bytes SN[0:8]: configuration bytes 0 to 3 and 8 to 12."""
        block = self.read_config_block(0)
        return block[0:4] + block[8:13]

    def read_config(self) -> bytes:
        """All 128 bytes of the configuration zone; it is never secret."""
        with self.exchange():
            return b"".join(self.read_config_block(block) for block in range(4))

    @property
    def config(self) -> ConfigZone:
        """The configuration zone as it is now, read from the element."""
        return ConfigZone.from_bytes(self.read_config())

    def lock_state(self) -> LockState:
        """What is locked. A zone is unlocked only if its byte is 55."""
        with self.exchange():
            locks = self.read_config_word(84)
            slots = int.from_bytes(self.read_config_word(88)[:2], "little")
        return LockState(
            config=locks[3] != _UNLOCKED,
            data=locks[2] != _UNLOCKED,
            slots=frozenset(slot for slot in range(16) if not slots >> slot & 1),
        )

    # Data

    def read_slot(self, slot: int) -> bytes:
        """Whole content of a slot that may be read in clear; its size is ``SLOT_SIZES[slot]``.

        Raises:
            ElementError: 0F if the data zone is not locked yet, or the slot is secret or private.
        """
        with self.exchange():
            blocks = [self.read_slot_block(slot, block) for block in range(blocks_of(slot))]
        return b"".join(blocks)[: SLOT_SIZES[slot]]

    def read_otp(self) -> bytes:
        """The 64 bytes of the OTP zone; readable once the data zone is locked."""
        with self.exchange():
            return b"".join(self.read_otp_block(block) for block in range(OTP_SIZE // 32))

    @discreet
    def read_encrypted_block(self, slot: int, block: int, read_key: int, key: bytes) -> bytes:
        """32 bytes of a slot with EncryptRead, decrypted on the host.

        Args:
            slot: which slot.
            block: which 32 bytes of it.
            read_key: the slot that holds the read key, SlotConfig.ReadKey.
            key: its content, 32 bytes.
        """
        check_length(key, 32, "the read key")
        blocks_of(slot)

        def run() -> bytes:
            tempkey = self.key_tempkey(read_key, key)
            cipher = self.read_slot_block(slot, block, repeat=Repeat.WITH_ITS_EXCHANGE)
            return SecretBytes(digests.xor(cipher, tempkey))

        return self.repeatable(run, read_key)

    @discreet
    def key_tempkey(self, slot: int, key: bytes) -> bytes:
        """Random Nonce and GenDig over a key slot; returns TempKey, which only owners of ``key`` know.

        Args:
            slot: the key's slot.
            key: what it holds, 32 bytes.
        """
        check_length(key, 32, "the key")
        other_data = bytes((0x15, 0x02)) + check_slot(slot).to_bytes(2, "little")
        serial = self.serial_number()
        nonce = self.nonce_random()
        # Like cryptoauthlib, so that slots with NoMac work too: OtherData equals what is hashed
        # for a slot without NoMac.
        self.gendig(slot, other_data)
        return SecretBytes(digests.gendig_zone(key, 2, slot, serial, nonce.tempkey))

    # Signatures and key agreement

    def sign_digest(self, slot: int, digest: bytes, *, recipe: SignRecipe | None = None) -> bytes:
        """Sign a 32-byte digest with the private key in ``slot``; 64 bytes ``R ‖ S``.

        Args:
            slot: private key with external signatures allowed.
            digest: SHA-256 of the message.
            recipe: which commands; None is the shortest row for the part.
        """
        check_length(digest, 32, "the digest")
        check_slot(slot)

        def run() -> bytes:
            how = recipe or SignRecipe(message_buffer=not self.is_508)
            if how.random_first:
                self.random()
            self._load_digest(digest, how.message_buffer)
            return self.sign_loaded(slot, message_buffer=how.message_buffer)

        return self.repeatable(run, slot)

    def verify_external(self, public_key: bytes, digest: bytes, signature: bytes) -> bool:
        """Whether ``signature`` over ``digest`` belongs to ``public_key``; the element computes."""
        check_length(public_key, 64, "the public key")
        check_length(digest, 32, "the digest")
        check_length(signature, 64, "the signature")

        def run() -> bool:
            self._load_digest(digest, not self.is_508)
            return self.verify_loaded(public_key, signature, message_buffer=not self.is_508)

        return self.repeatable(run)

    def verify_with_slot(self, slot: int, digest: bytes, signature: bytes) -> bool:
        """Whether ``signature`` belongs to the public key in ``slot``; success authorises that key.

        The digest goes through TempKey on every part: with ReqRandom set a 608 insists on it.
        """
        check_length(digest, 32, "the digest")
        check_length(signature, 64, "the signature")

        def run() -> bool:
            self.nonce_load(digest)
            return self.verify_stored(slot, signature)

        return self.repeatable(run, slot)

    @discreet
    def ecdh(self, slot: int, peer: bytes) -> bytes:
        """Shared secret (32 bytes) of the private key in ``slot`` with ``peer`` (64 bytes)."""
        return self.repeatable(lambda: self.ecdh_slot(slot, peer), slot)

    # Hashing

    def sha256(self, message: bytes) -> bytes:
        """SHA-256 of a message, computed by the element; TempKey is lost on a 508A."""

        def run() -> bytes:
            self.sha_start()
            return self._sha_rest(message, self.sha_end)

        return self.repeatable(run)

    def hmac_sha256(self, slot: int, message: bytes) -> bytes:
        """HMAC-SHA256 of a message under the first 32 bytes of ``slot``."""

        def run() -> bytes:
            self.sha_hmac_start(slot)
            return self._sha_rest(message, self.sha_hmac_end)

        return self.repeatable(run, slot)

    def _sha_rest(self, message: bytes, end: Callable[[bytes], bytes]) -> bytes:
        whole = len(message) // 64 * 64
        for at in range(0, whole, 64):
            self.sha_update(message[at : at + 64])
        return end(message[whole:])

    def _load_digest(self, digest: bytes, message_buffer: bool) -> None:
        if message_buffer:
            self.load_message(digest)
        else:
            self.nonce_load(digest)
