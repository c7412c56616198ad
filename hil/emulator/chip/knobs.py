"""What the public sources leave open, one named knob each.

A profile sets the knobs that differ on its part; everything else has the default given here.
The remark behind a knob names the statements that conflict or are missing. ``DS508`` is the
ATECC508A data sheet DS20005927A; ``DSTFLX`` the ATECC608A-TFLXTLS data sheet DS40002138A.
Where status codes are a choice: 03 is by definition "illegal whatever the state", 0F "not
possible in the present state" (DS508 section 9.1.2).
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

__all__ = ["Knobs"]

PARSE = 0x03
ECC_FAULT = 0x05
EXECUTION = 0x0F


class Knobs(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Behaviour that only a physical part could settle; every field is one open point."""

    read_after_partial_command: Literal["nack", "ff"] = "nack"
    """Read before the group is complete. DS508 6.5 and DSTFLX 7.5: address NACK; DS508 6.6: ACK, all FF."""

    reserved_word_address: Literal["nack", "ignore"] = "nack"
    """Word addresses 04 to FF: not stated anywhere."""

    io_buffer_bytes: int = 155
    """Longest command group that is taken. DS508 6.6 says 71, but its own groups reach 155."""

    surplus_bytes: Literal["nack", "drop"] = "drop"
    """Bytes behind the last one of a group. DS508 6.2 ignored, 6.6 NACK; DSTFLX 7.2 ignored."""

    extra_data: Literal["parse", "ignore"] = "parse"
    """Data longer than the command takes: DS508 9.1.1 says that commands differ."""

    lock_crc_mismatch: int = EXECUTION
    """Status of a Lock whose summary CRC is wrong: the sheets say "error"."""

    mac_mismatch: int = EXECUTION
    """Status of a wrong authorising MAC of Write, PrivWrite, DeriveKey: 01 is defined elsewhere only."""

    address_beyond: int = PARSE
    """Status of an address that the zone or slot lacks; hosts accept 03 and 0F."""

    unused_address_bits: Literal["ignored", "parse"] = "ignored"
    """Address bits of Read and Write that the zone does not use."""

    otp_first_words: Literal["readable", "refused"] = "readable"
    """508A, OTPmode not 0: DS508 9.16 refuses OTP words 0 and 1, section 2.3 reads everything."""

    nonce_to_buffer: Literal["untouched", "invalid", "input"] = "untouched"
    """TempKey after a Nonce into MsgDigBuf or AltKeyBuf: three statements (DSTFLX 3.1, 5.1.4.2)."""

    msg_dig_buf_lifetime: Literal["next command", "use"] = "next command"
    """MsgDigBuf goes with the next command but Nonce and SHA, or only when used (DSTFLX 3.2)."""

    secret_source: Literal["input", "rand"] = "input"
    """SourceFlag after ECDH, KDF or GenKey left a secret in TempKey (DSTFLX 3.1)."""

    temp_key_after_error: Literal["cleared", "kept"] = "cleared"
    """608, a command that had begun to use TempKey fails: "may or may not be cleared" (DSTFLX 3.1)."""

    source_after_nonce_calculated: Literal["unchanged", "rand"] = "unchanged"
    """Nonce with param2 = 8000: DS508 9.12 leaves the flags, DSTFLX table 5-18 sets Rand."""

    gen_key_data_after_gen_dig: Literal["unchanged", "cleared"] = "unchanged"
    """GenKeyData flag behind a GenDig: not stated."""

    empty_private_slot: int = EXECUTION
    """Status of the use of a private slot that never got a key (DS508 2.1: invalid)."""

    invalid_public_key: int = ECC_FAULT
    """Status of a public key that is no point of the curve, and of an impossible private scalar."""

    gpio_on_i2c: int = EXECUTION
    """Status of Info(GPIO) on an I2C part: "error" (DS508 9.9)."""

    update_extra_before_config_lock: bool = True
    """Hosts rely on it; DS508 9.19 speaks of the locked part only."""

    counter_before_config_lock: bool = True
    """Counter on a blank part: no sheet rules on it."""

    keys_before_config_lock: bool = False
    """MAC, CheckMac, HMAC, ECDH, AES, KDF, Verify(Stored) with slots of a blank part: no sheet rules."""

    lock_data_before_config: bool = False
    """Lock(data) while the configuration is open: not stated."""

    data_fill: int = 0x00
    """Content of data slots as shipped: unreadable before lock."""

    sha_context_header: int = 36
    """Bytes in front of the pending ones in a SHA context: 36 fits hosts' tests, DSTFLX 5.1.8 has 40."""

    secure_boot_bits: Literal["b2 latch, b3 nonce", "b3 latch, b4 nonce"] = "b2 latch, b3 nonce"
    """SecureBoot word of the 608 configuration: DSTFLX table 2-3 against Microchip's header files."""

    secure_boot_prohibit: Literal["until power cycle", "no effect"] = "until power cycle"
    """SecureBoot mode bit 40: what it prohibits is not described."""

    use_lock: Literal["no effect"] = "no effect"
    """UseLock byte (608, byte 68): neither its encoding nor its effect is public."""

    kdf_protect_output: Literal["refused", "encrypted"] = "refused"
    """KDFPROT and ECDHPROT 2 and 3 with the output buffer as target: only to slot or internal, or no more."""

    random_source_for_internal_sign: bool = True
    """608, ReqRandom slot and Sign(internal): whether TempKey must stem from the generator."""

    sign_internal_buffer_bit: Literal["same source", "parse"] = "same source"
    """608, Sign(internal) with the MsgDigBuf bit (20, 60): not described."""

    check_mac_authorises: Literal["slot key", "temp key"] = "slot key"
    """CheckMac sets AuthValid when mode<1> is 0 (DS508 9.2) or 1 (DS508 2.2.5)."""

    check_mac_mode0_needs_random: bool = True
    """CheckMac mode 00 on a ReqRandom slot: TempKey is not read, yet "the RNG must have been used"."""

    req_auth_for_ecdh_and_hmac: bool = True
    """ECDH and SHA(HMAC) are missing from the list of DS508 2.2.5, which means every use of a key."""

    derive_key_no_mac_flag: Literal["ignored", "refused"] = "ignored"
    """DeriveKey with TempKey.NoMacFlag set: the sheets do not say; a host model refuses."""

    derive_key_bit13_before_data_lock: bool = True
    """DeriveKey asks for WriteConfig bit 13 even while the data zone is open: no exemption is stated."""

    pub_info_on_other_key_types: bool = False
    """608: whether PubInfo on KeyType 6 or 7 makes writes mark the slot as an invalid public key."""

    unvalidated_parent: Literal["refused", "accepted"] = "refused"
    """Verify(Validate) whose parent has PubInfo and is itself not validated: not stated."""

    ecc_fault_per_million: int = 0
    """How often Sign, Verify, GenKey and ECDH answer 05 by themselves: rare, no figure."""
