"""What survives a power cut: configuration, OTP, data slots, and which keys are complete.

The methods here are the factory's: they set anything, whatever the locks say. The chip's own
commands go through the access policy first. Private keys are in slots and appear in no ``repr``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hil.emulator.chip import config as words
from hil.errors import UsageError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric import ec

    from hil.emulator.chip.profile import Profile

__all__ = ["CONFIG_BYTES", "OTP_BYTES", "SLOTS", "SLOT_BYTES", "Memory"]

CONFIG_BYTES = 128
OTP_BYTES = 64
SLOTS = 16
SLOT_BYTES = (36,) * 8 + (416,) + (72,) * 7
"""Size of each data slot (DS508 table 2-1)."""

PUBLIC_X, PUBLIC_Y = slice(4, 36), slice(40, 72)
"""Where a stored public key has its coordinates (DS508 section 4.1.1)."""


class Memory:
    """The non-volatile memory of one part.

    Attributes:
        config: the configuration zone, 128 bytes.
        otp: the one-time programmable zone, 64 bytes.
        key_valid: for each slot, whether a private key was completely written.
    """

    def __init__(self) -> None:
        self.config = bytearray(CONFIG_BYTES)
        self.otp = bytearray(b"\xff" * OTP_BYTES)
        self.key_valid = [False] * SLOTS
        self._slots = [bytearray(size) for size in SLOT_BYTES]
        self._keys: dict[int, ec.EllipticCurvePrivateKey] = {}

    @classmethod
    def blank(cls, profile: Profile, serial: bytes) -> Memory:
        """A part as shipped.

        Args:
            profile: the part number.
            serial: 9 bytes; emulated parts use the reserved range of :mod:`hil.wire.serials`.

        Raises:
            UsageError: ``serial`` has another length.
        """
        if len(serial) != 9:
            raise UsageError(f"a serial number has 9 bytes, not {len(serial)}: {serial.hex()}")
        memory = cls()
        memory.config[:] = profile.factory_config
        memory.config[0:4] = serial[:4]
        memory.config[8:13] = serial[4:]
        memory._slots = [bytearray([profile.knobs.data_fill]) * size for size in SLOT_BYTES]
        return memory

    @classmethod
    def configured(cls, profile: Profile, serial: bytes, configuration: str) -> Memory:
        """A part with a ready-made configuration, both zones still open.

        Raises:
            ConfigError: the profile has no such configuration.
            UsageError: ``serial`` has a wrong length.
        """
        memory = cls.blank(profile, serial)
        memory.set_config(16, profile.configuration(configuration))
        return memory

    def __repr__(self) -> str:
        zones = {"config": self.config_locked, "data": self.data_locked}
        locks = ", ".join(f"{zone} {'locked' if locked else 'open'}" for zone, locked in zones.items())
        return f"Memory(serial={self.serial.hex()}, {locks})"

    def copy(self) -> Memory:
        """An independent copy."""
        other = Memory()
        other.assign(self)
        return other

    def assign(self, other: Memory) -> None:
        """Take over the whole content of another memory."""
        self.config[:] = other.config
        self.otp[:] = other.otp
        self.key_valid[:] = other.key_valid
        self._slots = [bytearray(content) for content in other._slots]
        self._keys = dict(other._keys)

    # -- the factory's access: no policy ---------------------------------------------------------

    def set_config(self, offset: int, data: bytes) -> None:
        """Put ``data`` into the configuration zone."""
        _put(self.config, offset, data, "the configuration zone")

    def set_otp(self, data: bytes, offset: int = 0) -> None:
        """Put ``data`` into the OTP zone."""
        _put(self.otp, offset, data, "the OTP zone")

    def set_slot(self, slot: int, data: bytes, offset: int = 0) -> None:
        """Put ``data`` into a data slot; a private key there is no longer valid."""
        _put(self._slots[_slot(slot)], offset, data, f"slot {slot}")
        self._keys.pop(slot, None)

    def set_private_key(self, slot: int, scalar: bytes) -> None:
        """Put a P-256 private key (32 bytes, big-endian) into a slot.

        Raises:
            UsageError: not 32 bytes, or not between 1 and the order of the curve.
        """
        if len(scalar) != 32:
            raise UsageError(f"a P-256 private key has 32 bytes, not {len(scalar)}")
        from hil.emulator.chip import ecc

        key = ecc.private_key(scalar)
        if key is None:
            raise UsageError("the private key is not between 1 and the order of P-256")
        self.set_slot(slot, bytes(4) + scalar)
        self.key_valid[slot] = True
        self._keys[slot] = key

    def set_public_key(self, slot: int, public_key: bytes, *, validity: int = 0) -> None:
        """Put a public key (X and Y, 64 bytes) into one of slots 8 to 15, in its 72-byte form.

        Args:
            slot: 8 to 15.
            public_key: X and Y.
            validity: high half of byte 0: 5 validated, 0xA not, 0 where PubInfo is not set.
        """
        if not (8 <= slot < SLOTS and len(public_key) == 64):
            raise UsageError(f"a public key has 64 bytes and lives in slots 8 to 15, not {slot}")
        padded = bytes((validity << 4, 0, 0, 0)) + public_key[:32] + bytes(4) + public_key[32:]
        self.set_slot(slot, padded)

    def lock_config(self) -> None:
        """Close the configuration zone."""
        self.config[words.LOCK_CONFIG] = 0

    def lock_data(self) -> None:
        """Close the data and OTP zones."""
        self.config[words.LOCK_DATA] = 0

    def lock_slot(self, slot: int) -> None:
        """Close one slot."""
        at = words.SLOT_LOCKED + (_slot(slot) >> 3)
        self.config[at] &= ~(1 << (slot & 7)) & 0xFF

    # -- views -----------------------------------------------------------------------------------

    @property
    def serial(self) -> bytes:
        """The 9 bytes of the serial number."""
        return bytes(self.config[0:4] + self.config[8:13])

    @property
    def config_locked(self) -> bool:
        """Whether the configuration zone is closed."""
        return self.config[words.LOCK_CONFIG] != words.UNLOCKED

    @property
    def data_locked(self) -> bool:
        """Whether the data and OTP zones are closed."""
        return self.config[words.LOCK_DATA] != words.UNLOCKED

    def slot_open(self, slot: int) -> bool:
        """Whether the slot's own lock is still open."""
        return bool(self.config[words.SLOT_LOCKED + (slot >> 3)] >> (slot & 7) & 1)

    def word(self, offset: int) -> int:
        """A 16-bit word of the configuration zone, little-endian."""
        return self.config[offset] | self.config[offset + 1] << 8

    def slot_config(self, slot: int) -> words.SlotConfig:
        """The slot's access rules."""
        return words.slot_config(self.word(words.SLOT_CONFIG + 2 * slot))

    def key_config(self, slot: int) -> words.KeyConfig:
        """The slot's key rules."""
        return words.key_config(self.word(words.KEY_CONFIG + 2 * slot))

    def slot(self, slot: int) -> bytes:
        """The whole content of a data slot."""
        return bytes(self._slots[_slot(slot)])

    def secret(self, slot: int) -> bytes:
        """The first 32 bytes of a data slot: a symmetric key."""
        return bytes(self._slots[slot][:32])

    def stored_public_key(self, slot: int) -> bytes:
        """X and Y of the public key in one of slots 8 to 15."""
        content = self._slots[slot]
        return bytes(content[PUBLIC_X] + content[PUBLIC_Y])

    def validity(self, slot: int) -> int:
        """High half of the slot's first byte: 5 for a validated public key."""
        return self._slots[slot][0] >> 4

    def private_key(self, slot: int) -> ec.EllipticCurvePrivateKey | None:
        """The key object of a private slot, or None if no complete key was written."""
        if not self.key_valid[slot]:
            return None
        key = self._keys.get(slot)
        if key is None:
            from hil.emulator.chip import ecc

            key = ecc.private_key(bytes(self._slots[slot][4:36]))
            if key is not None:
                self._keys[slot] = key
        return key

    def public_key(self, slot: int) -> bytes | None:
        """X and Y that belong to a private slot, or None."""
        from hil.emulator.chip import ecc

        key = self.private_key(slot)
        return None if key is None else ecc.public_bytes(key)

    def counter(self, number: int) -> int:
        """Value of monotonic counter 0 or 1."""
        at = words.COUNTER[number]
        return words.decode_counter(bytes(self.config[at : at + 8]))


def _slot(slot: int) -> int:
    if not 0 <= slot < SLOTS:
        raise UsageError(f"there are slots 0 to {SLOTS - 1}, not {slot}")
    return slot


def _put(zone: bytearray, offset: int, data: bytes, what: str) -> None:
    if offset < 0 or offset + len(data) > len(zone):
        raise UsageError(f"{len(data)} bytes at {offset} do not fit into {what} of {len(zone)} bytes")
    zone[offset : offset + len(data)] = data
