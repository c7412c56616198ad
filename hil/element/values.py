"""What the driver hands out instead of byte soup."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["LockState", "RandomNonce", "SignRecipe", "TempKeyState"]


@dataclass(frozen=True, slots=True)
class LockState:
    """What is locked, read from configuration bytes 86 to 89.

    Attributes:
        config: the configuration zone; LockConfig is not 55.
        data: the data and OTP zones; LockValue is not 55.
        slots: slots that were locked one by one.
    """

    config: bool
    data: bool
    slots: frozenset[int]


@dataclass(frozen=True, slots=True)
class RandomNonce:
    """A random nonce as both sides know it.

    Attributes:
        rand_out: the element's 32 random bytes.
        num_in: the host's 20 bytes.
        tempkey: what TempKey holds now, computed on the host.
    """

    rand_out: bytes
    num_in: bytes
    tempkey: bytes


@dataclass(frozen=True, slots=True)
class TempKeyState:
    """Volatile state as Info(State) tells it (ATECC508A data sheet section 9.9).

    Attributes:
        valid: TempKey may be used.
        key_id: slot that the last GenDig or GenKey named.
        from_input: SourceFlag: 1 = the value came from the host, 0 = from the random generator.
        gen_dig, gen_key, no_mac: flags of TempKey.
        auth_valid: a CheckMac or Verify has authorised a key.
        auth_key_id: which one.
        sram_seed, eeprom_seed: seed renewals of a 508A; a 608 says False.
    """

    valid: bool
    key_id: int
    from_input: bool
    gen_dig: bool
    gen_key: bool
    no_mac: bool
    auth_valid: bool
    auth_key_id: int
    sram_seed: bool
    eeprom_seed: bool

    @classmethod
    def from_bytes(cls, state: bytes) -> TempKeyState:
        """Decode the first two bytes of the answer to Info(State)."""
        low, high = state[0], state[1]
        return cls(
            valid=bool(high & 0x80),
            key_id=low & 0x0F,
            from_input=bool(low & 0x10),
            gen_dig=bool(low & 0x20),
            gen_key=bool(low & 0x40),
            no_mac=bool(low & 0x80),
            auth_valid=bool(high & 0x04),
            auth_key_id=high >> 3 & 0x0F,
            sram_seed=bool(high & 0x02),
            eeprom_seed=bool(high & 0x01),
        )


@dataclass(frozen=True, slots=True)
class SignRecipe:
    """Which commands make an external signature.

    Attributes:
        random_first: send Random before, as cryptoauthlib does to renew the generator's seed.
        message_buffer: put the digest into the 608's message digest buffer (Nonce 43, Sign A0)
            instead of TempKey (Nonce 03, Sign 80); TempKey then survives.
    """

    random_first: bool = False
    message_buffer: bool = False
