"""What a power cut or a sleep erases: TempKey, buffers, hash context, authorisation, latch.

The survival table (DS508 section 2.5; DS40002138A section 3):

===================== ====== ===== =====
register              idle   sleep power
===================== ====== ===== =====
TempKey and flags     kept   gone  gone
MsgDigBuf, AltKeyBuf  kept   gone  gone
SHA context           kept   gone  gone
508A generator seed   kept   gone  gone
authorisation         kept   gone  gone
latch, GPIO (608)     kept   kept  gone
===================== ====== ===== =====

Watchdog and brown-out act like sleep.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hil.emulator.chip.hashing import Sha256

__all__ = ["Session", "ShaContext", "TempKey"]


@dataclass(slots=True, repr=False)
class TempKey:
    """The 32-byte register (608: 64) that most commands work through (DS508 table 2-14)."""

    value: bytes = bytes(32)
    upper: bytes | None = None
    """Bytes 32 to 63 of the 608, None while not valid."""
    valid: bool = False
    from_input: bool = False
    """SourceFlag: False = from the random generator."""
    key_id: int = 0
    gen_dig: bool = False
    gen_key: bool = False
    no_mac: bool = False
    secret: bool = False
    """Holds a private key of GenKey(FFFF): for ECDH alone."""
    sha_public: tuple[int, int, int] | None = None
    """508A: (slot, block, blocks) of a SHA(Public) that went into the digest."""

    def clear(self) -> None:
        """Valid = 0 and every other flag with it."""
        self.load(bytes(32), from_input=False)
        self.valid = False

    def load(self, value: bytes, *, from_input: bool) -> None:
        """Put a value in: Valid = 1, all other flags 0."""
        self.value = value[:32]
        self.upper = value[32:64] if len(value) > 32 else None
        self.valid = True
        self.from_input = from_input
        self.key_id = 0
        self.gen_dig = self.gen_key = self.no_mac = self.secret = False
        self.sha_public = None

    @property
    def flags(self) -> int:
        """NoMac, GenKey, GenDig, Source and KeyID as Sign(internal) and Info(State) pack them."""
        return self.no_mac << 7 | self.gen_key << 6 | self.gen_dig << 5 | self.from_input << 4 | self.key_id


@dataclass(slots=True, repr=False)
class ShaContext:
    """A hash in progress.

    Attributes:
        state: what was hashed so far.
        key: HMAC key, None for a plain digest.
        public: 508A: (slot, number of the block that SHA(Public) was, 1-based).
        blocks: full 64-byte blocks so far.
    """

    state: Sha256
    key: bytes | None = None
    public: tuple[int, int] | None = None
    blocks: int = 0


@dataclass(slots=True, repr=False)
class Session:
    """The volatile registers of one part."""

    temp_key: TempKey = field(default_factory=TempKey)
    msg_dig_buf: bytes | None = None
    alt_key_buf: bytes | None = None
    sha: ShaContext | None = None
    auth_key: int | None = None
    """Slot whose key was authorised, None while AuthValid is 0."""
    sram_seed: bool = False
    eeprom_seed: bool = False
    latch: bool = False
    secure_boot_prohibited: bool = False
    """608: a SecureBoot with the prohibit bit was the last one (knob ``secure_boot_prohibit``)."""
    self_test_failures: int = 0

    def sleep(self) -> None:
        """Sleep, watchdog, brown-out: all but the latch goes."""
        self.temp_key.clear()
        self.msg_dig_buf = self.alt_key_buf = None
        self.sha = None
        self.auth_key = None
        self.sram_seed = self.eeprom_seed = False
        self.self_test_failures = 0

    def power_off(self) -> None:
        """Vcc is gone: the latch too."""
        self.sleep()
        self.latch = False
        self.secure_boot_prohibited = False
