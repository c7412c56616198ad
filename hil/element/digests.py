"""What the element hashes, computed on the host: nonces, MACs, encrypted writes, messages to verify.

Pure functions; ``p2`` is the 16-bit parameter as sent. Serial numbers are the nine bytes
``SN[0:8]`` of the part itself: Trust parts do not end in EE.

Source: ATECC508A data sheet DS20005927A, section 9 (the section of each function in its
docstring), ATECC608A-TFLXTLS data sheet DS40002138A, section 5, where the 508A lacks the command.
"""

from __future__ import annotations

import hashlib
import hmac as _hmac

import msgspec

from hil.discretion import discreet
from hil.element.zones import BLOCK, check_length
from hil.wire.atecc import Opcode

__all__ = [
    "MacParts",
    "check_mac_response",
    "derive_key",
    "derive_key_mac",
    "encrypted_output",
    "encrypted_private_key",
    "encrypted_write",
    "gendig_counter",
    "gendig_keyconfig",
    "gendig_no_mac",
    "gendig_shared",
    "gendig_zone",
    "genkey_digest",
    "hmac_response",
    "internal_message",
    "kdf_hkdf",
    "kdf_prf",
    "mac_response",
    "nonce_tempkey",
    "secure_boot_key",
    "secure_boot_mac",
    "validation_message",
    "verify_mac",
    "xor",
]


def _sha256(*parts: bytes) -> bytes:
    return hashlib.sha256(b"".join(parts)).digest()


def _le(p2: int) -> bytes:
    return p2.to_bytes(2, "little")


def _sn_tail(serial: bytes) -> bytes:
    """SN[8] and SN[0:1], the three bytes that most messages carry."""
    check_length(serial, 9, "the serial number")
    return serial[8:9] + serial[0:2]


@discreet
def xor(left: bytes, right: bytes) -> bytes:
    """Byte by byte; both must have the same length."""
    return bytes(a ^ b for a, b in zip(left, right, strict=True))


def nonce_tempkey(rand_out: bytes, num_in: bytes, mode: int, p2: int = 0) -> bytes:
    """TempKey after Nonce in a random mode (9.12); with p2 = 8000 ``rand_out`` is the old TempKey."""
    check_length(rand_out, 32, "RandOut")
    check_length(num_in, 20, "NumIn")
    return _sha256(rand_out, num_in, bytes((Opcode.NONCE, mode, p2 & 0xFF)))


@discreet
def gendig_zone(block: bytes, zone: int, p2: int, serial: bytes, tempkey: bytes) -> bytes:
    """TempKey after GenDig over 32 bytes of the configuration (0), OTP (1) or data zone (2) (9.6)."""
    return _gendig(block, bytes((Opcode.GENDIG, zone)) + _le(p2), serial, tempkey)


@discreet
def gendig_no_mac(block: bytes, other_data: bytes, serial: bytes, tempkey: bytes) -> bytes:
    """TempKey after GenDig over a slot with SlotConfig.NoMac: four bytes of OtherData are hashed (9.6)."""
    return _gendig(block, check_length(other_data, 4, "OtherData"), serial, tempkey)


@discreet
def gendig_shared(other_data: bytes, p2: int, serial: bytes, tempkey: bytes) -> bytes:
    """TempKey after GenDig Shared Nonce (9.6); p2 bit 15 swaps OtherData and TempKey."""
    first, last = (tempkey, other_data) if p2 & 0x8000 else (other_data, tempkey)
    return _gendig(first, bytes((Opcode.GENDIG, 3, p2 & 0xFF, 0)), serial, last)


@discreet
def gendig_counter(counter: int, p2: int, serial: bytes, tempkey: bytes) -> bytes:
    """TempKey after GenDig Counter (9.6)."""
    check_length(tempkey, 32, "TempKey")
    head = bytes(32) + bytes((Opcode.GENDIG, 4)) + _le(p2) + _sn_tail(serial)
    return _sha256(head, b"\0", counter.to_bytes(4, "little"), bytes(20), tempkey)


@discreet
def gendig_keyconfig(
    slot_config: bytes, key_config: bytes, slot_unlocked: bool, p2: int, serial: bytes, tempkey: bytes
) -> bytes:
    """TempKey after GenDig Key Configuration (9.6); the lock bit is 1 while the slot is *not* locked."""
    check_length(slot_config + key_config, 4, "SlotConfig and KeyConfig")
    check_length(tempkey, 32, "TempKey")
    head = bytes(32) + bytes((Opcode.GENDIG, 5)) + _le(p2) + _sn_tail(serial)
    return _sha256(head, b"\0", slot_config, key_config, bytes((slot_unlocked,)), bytes(19), tempkey)


def _gendig(block: bytes, middle: bytes, serial: bytes, tempkey: bytes) -> bytes:
    check_length(block, BLOCK, "the hashed block")
    check_length(tempkey, 32, "TempKey")
    return _sha256(block, middle, _sn_tail(serial), bytes(25), tempkey)


@discreet
def genkey_digest(tempkey: bytes, public_key: bytes, parameters: bytes, serial: bytes) -> bytes:
    """TempKey after GenKey with digest (9.7).

    Args:
        tempkey: 32 bytes before.
        public_key: 64 bytes.
        parameters: mode and p2 as sent, or the three OtherData bytes of mode 10.
        serial: 9 bytes.
    """
    check_length(tempkey, 32, "TempKey")
    check_length(public_key, 64, "the public key")
    check_length(parameters, 3, "the parameters")
    return _sha256(tempkey, bytes((Opcode.GENKEY,)), parameters, _sn_tail(serial), bytes(25), public_key)


@discreet
def encrypted_write(tempkey: bytes, mode: int, p2: int, serial: bytes, plain: bytes) -> bytes:
    """Data of an encrypted Write: 32 encrypted bytes and the MAC (9.21); ``mode`` is hashed as sent."""
    check_length(plain, BLOCK, "the block")
    check_length(tempkey, 32, "TempKey")
    head = bytes((Opcode.WRITE, mode)) + _le(p2) + _sn_tail(serial)
    return xor(plain, tempkey) + _sha256(tempkey, head, bytes(25), plain)


@discreet
def encrypted_private_key(tempkey: bytes, mode: int, p2: int, serial: bytes, scalar: bytes) -> bytes:
    """Data of an encrypted PrivWrite: 36 encrypted bytes and the MAC (9.14).

    Args:
        tempkey: TempKey after GenDig over the write key.
        mode: 40.
        p2: the slot.
        serial: 9 bytes.
        scalar: 32 bytes, big-endian; four zero bytes are put in front here.
    """
    plain = bytes(4) + check_length(scalar, 32, "the private scalar")
    check_length(tempkey, 32, "TempKey")
    head = bytes((Opcode.PRIVWRITE, mode)) + _le(p2) + _sn_tail(serial)
    stream = tempkey + _sha256(tempkey)[:4]
    return xor(plain, stream) + _sha256(tempkey, head, bytes(21), plain)


class MacParts(msgspec.Struct, frozen=True):
    """What MAC and HMAC hash besides their two 32-byte blocks.

    Attributes:
        mode: p1; bit 6 includes SN[2:7].
        p2: the slot as sent.
        serial: 9 bytes.
    """

    mode: int
    p2: int
    serial: bytes

    def tail(self, opcode: int) -> bytes:
        """The last 24 bytes of the 88-byte message; OTP bytes are zero on these parts."""
        sn = self.serial if self.mode & 0x40 else self.serial[0:2] + bytes(6) + self.serial[8:9]
        head = bytes((opcode, self.mode)) + _le(self.p2) + bytes(11)
        return head + sn[8:9] + sn[4:8] + sn[0:2] + sn[2:4]


@discreet
def mac_response(first: bytes, second: bytes, parts: MacParts) -> bytes:
    """What MAC answers (9.11): ``first`` is the slot or TempKey, ``second`` the challenge or TempKey."""
    check_length(first + second, 64, "key and challenge")
    return _sha256(first, second, parts.tail(Opcode.MAC))


@discreet
def hmac_response(key: bytes, tempkey: bytes, parts: MacParts) -> bytes:
    """What HMAC answers on a 508A (9.8): HMAC-SHA256 of the MAC message with a zero first block."""
    check_length(key + tempkey, 64, "key and TempKey")
    return _hmac.digest(key, bytes(32) + tempkey + parts.tail(Opcode.HMAC), "sha256")


@discreet
def check_mac_response(first: bytes, second: bytes, other_data: bytes, serial: bytes) -> bytes:
    """ClientResp that CheckMac accepts (9.2).

    Args:
        first: slot content or TempKey, 32 bytes.
        second: ClientChal or TempKey, 32 bytes.
        other_data: the 13 bytes that the command carries.
        serial: 9 bytes.
    """
    check_length(first + second, 64, "key and challenge")
    od = check_length(other_data, 13, "OtherData")
    sn8, sn01 = serial[8:9], serial[0:2]
    return _sha256(first, second, od[0:4], bytes(8), od[4:7], sn8, od[7:11], sn01, od[11:13])


@discreet
def derive_key(source: bytes, mode: int, p2: int, serial: bytes, tempkey: bytes) -> bytes:
    """The key that DeriveKey stores (9.4): ``source`` is the target itself (roll) or its parent."""
    check_length(source + tempkey, 64, "source key and TempKey")
    head = bytes((Opcode.DERIVEKEY, mode)) + _le(p2) + _sn_tail(serial)
    return _sha256(source, head, bytes(25), tempkey)


@discreet
def derive_key_mac(parent: bytes, mode: int, p2: int, serial: bytes) -> bytes:
    """The authorising MAC of DeriveKey (9.4)."""
    check_length(parent, 32, "the parent key")
    return _sha256(parent, bytes((Opcode.DERIVEKEY, mode)), _le(p2), _sn_tail(serial))


@discreet
def internal_message(
    tempkey: bytes,
    mode: int,
    p2: int,
    *,
    slot_config: bytes,
    key_config: bytes,
    flags: int,
    serial: bytes,
    slot_unlocked: bool,
    public_key_valid: bool = False,
) -> bytes:
    """SHA-256 digest that Sign(internal) signs.

    Args:
        tempkey: TempKey as GenDig or GenKey left it.
        mode: p1 of Sign; bit 6 includes SN[2:7].
        p2: the signing slot as sent.
        slot_config: two bytes, of the slot that TempKey.KeyID names.
        key_config: two bytes, of the same slot.
        flags: bit 7 NoMac, 6 GenKey, 5 GenDig, 4 Source, 3:0 KeyID.
        serial: 9 bytes.
        slot_unlocked: SlotLocked bit of that slot.
        public_key_valid: that slot holds a validated public key.
    """
    check_length(tempkey, 32, "TempKey")
    check_length(slot_config + key_config, 4, "SlotConfig and KeyConfig")
    full = bool(mode & 0x40)
    return _sha256(
        tempkey,
        bytes((Opcode.SIGN, mode)),
        _le(p2),
        slot_config,
        key_config,
        bytes((flags, 0, 0)),
        serial[8:9],
        serial[4:8] if full else bytes(4),
        serial[0:2],
        serial[2:4] if full else bytes(2),
        bytes((slot_unlocked, public_key_valid, 0)),
    )


@discreet
def validation_message(tempkey: bytes, other_data: bytes, serial: bytes) -> bytes:
    """SHA-256 digest whose signature Verify(Validate or Invalidate) checks (9.20)."""
    check_length(tempkey, 32, "TempKey")
    od = check_length(other_data, 19, "OtherData")
    sn8, sn01 = serial[8:9], serial[0:2]
    return _sha256(tempkey, bytes((Opcode.SIGN,)), od[0:10], sn8, od[10:14], sn01, od[14:19])


@discreet
def verify_mac(io_key: bytes, message: bytes, nonce: bytes, signature: bytes, mode: int, p2: int) -> bytes:
    """MAC that Verify returns on a 608 with an IO protection key."""
    check_length(io_key + message + nonce + signature, 160, "key, message, nonce and signature")
    return _sha256(io_key, message, nonce, signature, bytes((Opcode.VERIFY, mode)), _le(p2))


@discreet
def encrypted_output(io_key: bytes, nonce: bytes, cipher: bytes) -> bytes:
    """Clear text of what ECDH or KDF sent encrypted (608): blocks of 32 bytes, half a nonce each."""
    check_length(io_key, 32, "the IO protection key")
    check_length(nonce, 32, "OutNonce")
    blocks = [cipher[at : at + BLOCK] for at in range(0, len(cipher), BLOCK)]
    keys = (_sha256(io_key, nonce[16 * i : 16 * i + 16]) for i in range(len(blocks)))
    return b"".join(xor(block, key) for block, key in zip(blocks, keys, strict=True))


@discreet
def kdf_prf(key: bytes, message: bytes, length: int) -> bytes:
    """TLS 1.2 P_SHA256 with an empty label (RFC 5246 section 5)."""
    output, chain = b"", message
    while len(output) < length:
        chain = _hmac.digest(key, chain, "sha256")
        output += _hmac.digest(key, chain + message, "sha256")
    return output[:length]


@discreet
def kdf_hkdf(key: bytes, message: bytes) -> bytes:
    """The 608's HKDF step: one HMAC-SHA256."""
    return _hmac.digest(key, message, "sha256")


@discreet
def secure_boot_key(io_key: bytes, tempkey: bytes) -> bytes:
    """Key of an encrypted SecureBoot exchange."""
    check_length(io_key + tempkey, 64, "IO protection key and TempKey")
    return _sha256(io_key, tempkey)


@discreet
def secure_boot_mac(boot_key: bytes, digest: bytes, signature: bytes, mode: int, p2: int = 0) -> bytes:
    """MAC that SecureBoot returns; ``signature`` is empty where the command carried none."""
    check_length(boot_key + digest, 64, "key and digest")
    return _sha256(boot_key, digest, signature, bytes((Opcode.SECUREBOOT, mode)), _le(p2))
