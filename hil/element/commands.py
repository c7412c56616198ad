"""The commands that change nothing for good, one method each: types, sizes, errors.

Commands that change non-volatile state are in :mod:`hil.element.irreversible`; those that only a
608 has in :mod:`hil.element.commands608`. Sections: ATECC508A data sheet DS20005927A (DS508).

Every method may raise, besides what its docstring names: ``ElementError`` with the element's
status, ``DeviceTimeout``, ``WakeError``, ``I2CError``, ``FrameError``; and ``UsageError`` before
anything is sent if an argument cannot be right.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from hil.discretion import SecretBytes, discreet
from hil.element import digests
from hil.element.transport import Transport
from hil.element.values import RandomNonce, TempKeyState
from hil.element.zones import (
    BLOCK,
    Zone,
    blocks_of,
    check_length,
    check_slot,
    config_address,
    data_address,
    otp_address,
)
from hil.errors import DeviceError, ElementError, UsageError
from hil.wire.atecc import Command, Opcode, Status

if TYPE_CHECKING:
    from hil.element.repeat import Repeat

__all__ = ["Commands", "Part", "part_of"]

Part = Literal["atecc508a", "atecc608a", "atecc608b"]

_READ_32 = 0x80
_P256 = 0x0004
"""Key type that Verify(External) takes in p2."""
_TEMPKEY = 0xFFFF
"""P2 that names TempKey in place of a slot (608)."""


def part_of(revision: bytes) -> Part:
    """The part behind an answer to Info(Revision).

    The last byte counts silicon revisions. Unknown ones are taken for the newest part known: a
    608C or later is a drop-in for the 608B.

    Raises:
        DeviceError: another family answered.
    """
    family, silicon = revision[2], revision[3]
    if family == 0x50:
        return "atecc508a"
    if family == 0x60:
        return "atecc608b" if silicon >= 3 else "atecc608a"
    raise DeviceError(
        f"revision {revision.hex(' ')} is no ATECC508A or ATECC608",
        hint="byte 2 tells the family: 50 = 508A, 60 = 608",
    )


class Commands(Transport):
    """One element; see :class:`hil.element.device.Element`."""

    # Who are you

    def info_revision(self) -> bytes:
        """Four bytes of Info(Revision), e.g. ``00 00 60 02`` (9.9)."""
        return self.execute(Command(Opcode.INFO), 4)

    @property
    def part(self) -> Part:
        """Which part it is; asked once if it was not given."""
        return self.identify()

    def identify(self) -> Part:
        """The same. Call it before an exchange in which no Info may come in between."""
        if self._part is None:
            self._part = part_of(self.info_revision())
        if self._part.startswith("atecc508"):
            return "atecc508a"
        return "atecc608a" if self._part == "atecc608a" else "atecc608b"

    @property
    def is_508(self) -> bool:
        """Whether this is a 508A: it has one buffer, TempKey, and other command modes."""
        return self.part == "atecc508a"

    def info_key_valid(self, slot: int) -> bool:
        """Whether the slot holds a complete private key, or a public key that was validated (9.9)."""
        return self.execute(Command(Opcode.INFO, 1, check_slot(slot)), 4)[0] == 1

    def info_state(self) -> TempKeyState:
        """State of TempKey and of the authorisation (9.9)."""
        return TempKeyState.from_bytes(self.execute(Command(Opcode.INFO, 2), 4))

    # Random numbers and nonces

    def random(self, *, update_seed: bool = True) -> bytes:
        """32 random bytes (9.15); ``FF FF 00 00`` eight times while the configuration is unlocked."""
        return self.execute(Command(Opcode.RANDOM, 0 if update_seed else 1), 32)

    def nonce_random(self, num_in: bytes | None = None, *, update_seed: bool = True) -> RandomNonce:
        """Fill TempKey from the element's random number and ours (9.12).

        Args:
            num_in: 20 bytes; None takes fresh ones.
            update_seed: let a 508A renew its seed if it is due.
        """
        mine = check_length(self.entropy(20) if num_in is None else num_in, 20, "NumIn")
        mode = 0 if update_seed else 1
        rand_out = self.execute(Command(Opcode.NONCE, mode, 0, mine), 32)
        return RandomNonce(rand_out, mine, digests.nonce_tempkey(rand_out, mine, mode))

    def nonce_from_tempkey(self, num_in: bytes) -> bytes:
        """Hash TempKey with 20 host bytes into a new TempKey, which is returned (9.12, p2 = 8000)."""
        return self.execute(Command(Opcode.NONCE, 0, 0x8000, check_length(num_in, 20, "NumIn")), 32)

    @discreet
    def nonce_load(self, value: bytes) -> None:
        """Put 32 bytes (608: 32 or 64) into TempKey (9.12)."""
        if len(value) == 64:
            self.execute(Command(Opcode.NONCE, 0x23, 0, value), 1)
        else:
            self.execute(Command(Opcode.NONCE, 0x03, 0, check_length(value, 32, "the nonce")), 1)

    @discreet
    def load_message(self, value: bytes) -> None:
        """Put 32 or 64 bytes into the message digest buffer (608)."""
        mode = 0x63 if len(value) == 64 else 0x43
        if mode == 0x43:
            check_length(value, 32, "the message digest")
        self.execute(Command(Opcode.NONCE, mode, 0, value), 1)

    @discreet
    def load_alternate_key(self, value: bytes) -> None:
        """Put 32 bytes into the alternate key buffer (608)."""
        self.execute(Command(Opcode.NONCE, 0x83, 0, check_length(value, 32, "the key")), 1)

    # TempKey from stored values

    def gendig(self, slot: int, other_data: bytes = b"") -> None:
        """Hash the first 32 bytes of a slot into TempKey (9.6).

        Args:
            slot: 0 to 15.
            other_data: four bytes, hashed if the slot has NoMac set, else ignored.
        """
        if other_data:
            check_length(other_data, 4, "OtherData")
        self.execute(Command(Opcode.GENDIG, Zone.DATA, check_slot(slot), other_data), 1)

    def gendig_config(self, block: int) -> None:
        """Hash a 32-byte block of the configuration zone into TempKey (9.6)."""
        self._gendig_block(Zone.CONFIG, block, 4)

    def gendig_otp(self, block: int) -> None:
        """Hash a 32-byte block of the OTP zone into TempKey (9.6)."""
        self._gendig_block(Zone.OTP, block, 2)

    @discreet
    def gendig_shared(self, other_data: bytes, p2: int = 0) -> None:
        """Hash 32 bytes known to both sides into TempKey (9.6); p2 bit 15 swaps the two."""
        data = check_length(other_data, 32, "OtherData")
        self.execute(Command(Opcode.GENDIG, 3, p2, data), 1)

    def gendig_counter(self, counter: int) -> None:
        """Hash the value of monotonic counter 0 or 1 into TempKey (9.6)."""
        self.execute(Command(Opcode.GENDIG, 4, check_counter(counter)), 1)

    def gendig_keyconfig(self, slot: int) -> None:
        """Hash SlotConfig, KeyConfig and the lock bit of a slot into TempKey (9.6)."""
        self.execute(Command(Opcode.GENDIG, 5, check_slot(slot)), 1)

    def _gendig_block(self, zone: Zone, block: int, blocks: int) -> None:
        if not 0 <= block < blocks:
            raise UsageError(f"the {zone.name.lower()} zone has blocks 0 to {blocks - 1}, not {block}")
        self.execute(Command(Opcode.GENDIG, zone, block), 1)

    # Reading

    def read_config_block(self, block: int) -> bytes:
        """32 bytes of the configuration zone; always allowed (9.16)."""
        return self.execute(Command(Opcode.READ, _READ_32, config_address(block * BLOCK)), BLOCK)

    def read_config_word(self, offset: int) -> bytes:
        """Four bytes of the configuration zone from ``offset``, a multiple of 4 (9.16)."""
        return self.execute(Command(Opcode.READ, Zone.CONFIG, config_address(offset)), 4)

    def read_otp_block(self, block: int) -> bytes:
        """32 bytes of the OTP zone; needs a locked data zone (9.16)."""
        return self.execute(Command(Opcode.READ, _READ_32 | Zone.OTP, otp_address(block * BLOCK)), BLOCK)

    def read_slot_block(self, slot: int, block: int, *, repeat: Repeat | None = None) -> bytes:
        """32 bytes of a slot as the element sends them: in clear, or encrypted by TempKey (9.16)."""
        command = Command(Opcode.READ, _READ_32 | Zone.DATA, data_address(slot, block))
        return self.execute(command, BLOCK, repeat=repeat)

    def read_slot_word(self, slot: int, block: int, word: int) -> bytes:
        """Four bytes of a slot that is no secret (9.16)."""
        return self.execute(Command(Opcode.READ, Zone.DATA, data_address(slot, block, word)), 4)

    def counter(self, counter: int) -> int:
        """Value of monotonic counter 0 or 1 (9.3)."""
        value = self.execute(Command(Opcode.COUNTER, 0, check_counter(counter)), 4)
        return int.from_bytes(value, "little")

    # Public keys

    def public_key(self, slot: int) -> bytes:
        """64 bytes ``X ‖ Y`` that belong to the private key in ``slot`` (9.7, mode 00)."""
        return self.execute(Command(Opcode.GENKEY, 0x00, check_slot(slot)), 64)

    def public_key_digest(self, slot: int) -> bytes:
        """The same, and the digest of the public key goes into TempKey (mode 08)."""
        return self.execute(Command(Opcode.GENKEY, 0x08, check_slot(slot)), 64)

    def stored_public_key_digest(self, slot: int, other_data: bytes) -> None:
        """Digest of the public key stored in slot 8 to 15 into TempKey (9.7, mode 10).

        Args:
            slot: 8 to 15.
            other_data: three bytes that are hashed in place of mode and p2.
        """
        data = check_length(other_data, 3, "OtherData")
        self.execute(Command(Opcode.GENKEY, 0x10, check_public_slot(slot), data), 1)

    # Signatures

    def sign_loaded(self, slot: int, *, message_buffer: bool = False) -> bytes:
        """Sign what TempKey (or the 608's message buffer) holds; 64 bytes ``R ‖ S``."""
        mode = 0xA0 if message_buffer else 0x80
        return self.execute(Command(Opcode.SIGN, mode, check_slot(slot)), 64)

    def sign_internal(self, slot: int, *, full_serial: bool = False, to_invalidate: bool = False) -> bytes:
        """Sign the message that the element makes of TempKey after GenDig or GenKey.

        The digest of that message is :func:`hil.element.digests.internal_message`.

        Args:
            slot: signing key.
            full_serial: include SN[2:7] in the message (mode bit 6).
            to_invalidate: for Verify(Invalidate) (mode bit 0).
        """
        mode = 0x40 * full_serial | 0x01 * to_invalidate
        return self.execute(Command(Opcode.SIGN, mode, check_slot(slot)), 64)

    def verify_loaded(self, public_key: bytes, signature: bytes, *, message_buffer: bool = False) -> bool:
        """Verify a signature over what TempKey (or the message buffer) holds (9.20, External)."""
        data = check_length(signature, 64, "the signature") + check_length(public_key, 64, "the public key")
        mode = 0x22 if message_buffer else 0x02
        return self._matches(Command(Opcode.VERIFY, mode, _P256, data))

    def verify_stored(self, slot: int, signature: bytes, *, message_buffer: bool = False) -> bool:
        """Verify with the public key in slot 8 to 15; success authorises that key (9.20, Stored)."""
        data = check_length(signature, 64, "the signature")
        mode = 0x20 if message_buffer else 0x00
        return self._matches(Command(Opcode.VERIFY, mode, check_public_slot(slot), data))

    # Key agreement

    @discreet
    def ecdh_slot(self, slot: int, peer: bytes) -> bytes:
        """Shared secret (32 bytes) of a slot's key with ``peer``, sent in clear (9.5).

        Raises:
            ElementError: 0F if the slot allows no ECDH.
            FrameError: SlotConfig sends the secret to the next slot instead.
        """
        data = check_length(peer, 64, "the peer's public key")
        return SecretBytes(self.execute(Command(Opcode.ECDH, 0x00, check_slot(slot), data), 32))

    # Symmetric authentication

    def mac(
        self, slot: int, challenge: bytes | None, *, mode: int = 0, source_is_input: bool = False
    ) -> bytes:
        """MAC (9.11): SHA-256 over a key and a challenge; see :func:`hil.element.digests.mac_response`.

        Args:
            slot: the key's slot.
            challenge: 32 bytes, or None to use TempKey (mode bit 0).
            mode: further bits: 02 the key is TempKey, 40 include SN[2:7].
            source_is_input: TempKey's SourceFlag, where TempKey is used.
        """
        if mode & ~0x42:
            raise UsageError(f"MAC mode 0x{mode:02x} has bits other than 02 and 40")
        data = b"" if challenge is None else check_length(challenge, 32, "the challenge")
        full = mode | (challenge is None)
        if full & 0x03:
            full |= 0x04 * source_is_input
        return self.execute(Command(Opcode.MAC, full, check_slot(slot), data), 32)

    def hmac(self, slot: int, *, source_is_input: bool = False, full_serial: bool = False) -> bytes:
        """HMAC of TempKey under a slot's key; 508A only, a 608 answers 03 (9.8)."""
        mode = 0x04 * source_is_input | 0x40 * full_serial
        return self.execute(Command(Opcode.HMAC, mode, check_slot(slot)), 32)

    def check_mac(
        self, slot: int, response: bytes, other_data: bytes, challenge: bytes | None, *, mode: int = 0
    ) -> bool:
        """CheckMac (9.2): whether ``response`` is the MAC that the key makes; success authorises it.

        Args:
            slot: the key's slot.
            response: 32 bytes, see :func:`hil.element.digests.check_mac_response`.
            other_data: 13 bytes of the original MAC's message.
            challenge: 32 bytes, or None to use TempKey (mode bit 0).
            mode: further bits: 02 the key is TempKey, 04 TempKey's SourceFlag.
        """
        if mode & ~0x06:
            raise UsageError(f"CheckMac mode 0x{mode:02x} has bits other than 02 and 04")
        data = check_length(challenge or bytes(32), 32, "the challenge")
        data += check_length(response, 32, "the response") + check_length(other_data, 13, "OtherData")
        return self._matches(Command(Opcode.CHECKMAC, mode | (challenge is None), check_slot(slot), data))

    # Hashing

    def sha_start(self) -> None:
        """Begin a SHA-256; a 508A keeps its state in TempKey."""
        self.execute(Command(Opcode.SHA, 0x00), 1)

    def sha_update(self, data: bytes) -> None:
        """Add data: exactly 64 bytes on a 508A, 1 to 64 on a 608."""
        if not 0 < len(data) <= 64:
            raise UsageError(f"SHA takes 1 to 64 bytes at a time, not {len(data)}")
        self.execute(Command(Opcode.SHA, 0x01, len(data), data), 1)

    def sha_end(self, data: bytes = b"") -> bytes:
        """The digest, after the last bytes: up to 63 on a 508A, 64 on a 608. It goes to TempKey too."""
        if len(data) > 64:
            raise UsageError(f"SHA ends with 64 bytes at most, not {len(data)}")
        return self.execute(Command(Opcode.SHA, 0x02, len(data), data), 32)

    def sha_public(self, slot: int) -> None:
        """Add the 64 bytes of a stored public key; 508A only."""
        self.execute(Command(Opcode.SHA, 0x03, check_public_slot(slot)), 1)

    def sha_hmac_start(self, slot: int | None) -> None:
        """Begin an HMAC-SHA256 with the first 32 bytes of a slot as key, or of TempKey for None (608)."""
        self.identify()  # the end depends on the part, and on a 508A Info would break the HMAC off
        if slot is None and self.is_508:
            raise UsageError(
                "a 508A takes the key of an HMAC from a slot", hint="it may look at p2's low bits"
            )
        self.execute(Command(Opcode.SHA, 0x04, _TEMPKEY if slot is None else check_slot(slot)), 1)

    def sha_hmac_end(self, data: bytes = b"") -> bytes:
        """The HMAC, after the last bytes: mode 05 on a 508A, 02 on a 608."""
        mode = 0x05 if self.is_508 else 0x02
        return self.execute(Command(Opcode.SHA, mode, len(data), data), 32)

    def _matches(self, command: Command) -> bool:
        """True for status 00, False for the miscompare status 01; all others are errors."""
        try:
            self.execute(command, 1)
        except ElementError as error:
            if error.status != Status.MISCOMPARE:
                raise
            return False
        return True


def check_counter(counter: int) -> int:
    """``counter`` itself.

    Raises:
        UsageError: there is no such counter.
    """
    if counter not in (0, 1):
        raise UsageError(f"there are counters 0 and 1, not {counter}")
    return counter


def check_public_slot(slot: int) -> int:
    """``slot`` itself, if it is large enough for a public key.

    Raises:
        UsageError: it is not.
    """
    if blocks_of(check_slot(slot)) < 3:
        raise UsageError(f"slot {slot} is too small for a public key", hint="use slots 8 to 15")
    return slot
