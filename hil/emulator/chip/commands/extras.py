"""AES, KDF, SecureBoot, SelfTest: what the 608 adds (DS40002138A sections 5.1.7, 5.2.3, 5.3)."""

from __future__ import annotations

import hmac

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms
from cryptography.hazmat.primitives.ciphers import modes as cipher_modes

from hil.emulator.chip import config as words
from hil.emulator.chip.commands.keys import TEMP_KEY_SLOT, check_ecc, public_key
from hil.emulator.chip.crypto import sha, xor
from hil.emulator.chip.execution import OK, Execution, Refused, refuse
from hil.emulator.chip.forms import ANY, NONE, SLOT, ZERO, Form, lengths, modes
from hil.emulator.chip.policy import admit, count_use, gate, io_key
from hil.wire.atecc import Opcode, Status

__all__ = ["FORMS"]

# -- AES -----------------------------------------------------------------------------------------

AES_BLOCK = 16
DECRYPT = 1


def aes(x: Execution) -> bytes:
    """One block of AES-128-ECB with a key of a slot or of TempKey."""
    _check_aes_enabled(x)
    block = x.p1 >> 6
    if x.p2 == TEMP_KEY_SLOT:
        temp = x.use_temp_key()
        key = (temp.value + (temp.upper or b""))[AES_BLOCK * block :][:AES_BLOCK]
        if len(key) < AES_BLOCK:
            raise refuse(f"TempKey has no valid block {block}")
    else:
        slot = x.slot
        gate(x, "use key")
        admit(x, "aes", slot)
        if x.memory.key_config(slot).key_type != words.KeyType.AES:
            raise refuse(f"slot {slot} is no AES key")
        count_use(x, slot)
        key = x.memory.slot(slot)[AES_BLOCK * block :][:AES_BLOCK]
    cipher = Cipher(algorithms.AES(key), cipher_modes.ECB())
    worker = cipher.decryptor() if x.p1 & 7 == DECRYPT else cipher.encryptor()
    return worker.update(x.data) + worker.finalize()


def _block_exists(x: Execution) -> None:
    if x.p2 != TEMP_KEY_SLOT and x.slot < 8 and x.p1 >> 6 > 1:
        raise Refused(Status.PARSE, "slots 0 to 7 have AES key blocks 0 and 1")


def gfm(x: Execution) -> bytes:
    """Multiply two blocks in the field of GCM (NIST SP 800-38D section 6.3)."""
    _check_aes_enabled(x)
    left = int.from_bytes(x.data[:16], "big")
    right = int.from_bytes(x.data[16:], "big")
    product = 0
    for bit in range(127, -1, -1):
        if right >> bit & 1:
            product ^= left
        left = left >> 1 ^ (0xE1 << 120 if left & 1 else 0)
    return product.to_bytes(16, "big")


def _check_aes_enabled(x: Execution) -> None:
    if not x.memory.config[words.AES_ENABLE] & 1:
        raise refuse("AES is not enabled on this part")


# -- KDF -----------------------------------------------------------------------------------------

PRF, KDF_AES, HKDF = 0x00, 0x20, 0x40
SOURCE_TEMP, SOURCE_UPPER, SOURCE_SLOT, SOURCE_ALT = range(4)
TO_TEMP, TO_UPPER, TO_SLOT, TO_ALT, TO_OUTPUT, TO_ENCRYPTED = range(0x00, 0x18, 4)
FROM_SLOT, FROM_TEMP, FROM_INPUT, FROM_IV = range(4)
AEAD_TWO_HALVES = 1
LONG_TARGET = 1 << 8


def kdf(x: Execution) -> bytes:
    """Derive a key: PRF of TLS 1.2, AES, or one step of HKDF."""
    algorithm, target = x.p1 & 0x60, x.p1 & 0x1C
    details = int.from_bytes(x.data[:4], "little")
    _check_kdf_target(x, target)
    extra = b""
    if algorithm == PRF:
        result = _prf(_kdf_key(x, 16 * (1 + (details & 3))), x.data[4:], 64 if details & LONG_TARGET else 32)
        if details >> 9 & 3 == AEAD_TWO_HALVES:
            result, extra = result[:32], result[32:]
    elif algorithm == KDF_AES:
        if not words.chip_options(x.memory.word(words.CHIP_OPTIONS)).kdf_aes_enabled:
            raise refuse("KDF with AES is not enabled on this part")
        block = 16 * (details & 3)
        key = _kdf_key(x, block + 16)[block:]
        encryptor = Cipher(algorithms.AES(key), cipher_modes.ECB()).encryptor()
        result = encryptor.update(x.data[4:]) + bytes(16)
    else:
        key = bytes(32) if details & 4 else _kdf_key(x, 32)
        result = hmac.digest(key, _hkdf_message(x, details), "sha256")
    return (
        _kdf_answer(x, target, result) + extra if target >= TO_OUTPUT else _kdf_keep(x, target, result, extra)
    )


def _check_kdf(x: Execution) -> None:
    """What is wrong with the packet alone."""
    details = int.from_bytes(x.data[:4], "little")
    message = len(x.data) - 4
    algorithm, target = x.p1 & 0x60, x.p1 & 0x1C
    if algorithm == KDF_AES:
        if message != 16:
            raise Refused(Status.PARSE, "KDF with AES takes 16 bytes")
        return
    length = details >> 24
    if algorithm == PRF:
        aead = details >> 9 & 3
        if aead > 1 or (aead and not details & LONG_TARGET):
            raise Refused(Status.PARSE, "no such AEAD mode")
        if details & LONG_TARGET and not aead and target in (TO_UPPER, TO_ALT):
            raise Refused(Status.PARSE, "the target takes 32 bytes")
        if length != message:
            raise Refused(Status.PARSE, "the details name another message length")
        return
    place = details & 3
    if place in (FROM_INPUT, FROM_IV) and length != message:
        raise Refused(Status.PARSE, "the details name another message length")
    if place == FROM_TEMP and target == TO_TEMP and x.p1 & 3 == SOURCE_TEMP and not details & 4:
        raise Refused(Status.PARSE, "key, message and target cannot all be TempKey")


def _check_kdf_target(x: Execution, target: int) -> None:
    if target == TO_SLOT:
        slot = x.p2 >> 8 & 0xF
        gate(x, "use key")
        if x.memory.key_config(slot).private:
            raise refuse(f"slot {slot} is a private ECC key")
        if not x.memory.slot_open(slot):
            raise refuse(f"slot {slot} is locked")
    elif target == TO_UPPER:
        x.use_temp_key()
    elif target >= TO_OUTPUT:
        protect = words.chip_options(x.memory.word(words.CHIP_OPTIONS)).kdf_protect
        if protect > 1 and x.knobs.kdf_protect_output == "refused":
            raise refuse("KDFPROT keeps the result inside")


def _kdf_key(x: Execution, length: int) -> bytes:
    """The source key, exactly ``length`` bytes."""
    source = x.p1 & 3
    if source == SOURCE_SLOT:
        slot = x.slot
        gate(x, "use key")
        admit(x, "kdf", slot)
        count_use(x, slot)
        key = x.memory.slot(slot)
    elif source == SOURCE_ALT:
        if x.session.alt_key_buf is None:
            raise refuse("AltKeyBuf is not valid")
        key = x.session.alt_key_buf
    else:
        temp = x.use_temp_key()
        if source == SOURCE_UPPER and temp.upper is None:
            raise refuse("the upper half of TempKey is not valid")
        key = (temp.upper or b"") if source == SOURCE_UPPER else temp.value + (temp.upper or b"")
    if len(key) < length:
        raise refuse(f"the source holds {len(key)} bytes, {length} are asked for")
    return key[:length]


def _prf(secret: bytes, message: bytes, length: int) -> bytes:
    """P_SHA256 (RFC 5246 section 5)."""
    result, link = b"", message
    while len(result) < length:
        link = hmac.digest(secret, link, "sha256")
        result += hmac.digest(secret, link + message, "sha256")
    return result[:length]


def _hkdf_message(x: Execution, details: int) -> bytes:
    place, length = details & 3, details >> 24
    if not length:
        return bytes(32)
    if place == FROM_SLOT:
        slot = details >> 8 & 0xF
        gate(x, "use key")
        if x.memory.key_config(slot).private:
            raise refuse(f"slot {slot} is a private ECC key")
        message = x.memory.slot(slot)[:length]
    elif place == FROM_TEMP:
        temp = x.use_temp_key()
        message = (temp.value + (temp.upper or b""))[:length]
    else:
        message = x.data[4:]
        if place == FROM_IV:
            _check_iv(x, message)
    if len(message) < length:
        raise refuse(f"the message has {len(message)} bytes, {length} are asked for")
    return message


def _check_iv(x: Execution, message: bytes) -> None:
    at = x.memory.config[words.KDF_IV_LOC]
    wanted = x.memory.config[words.KDF_IV_STR : words.KDF_IV_STR + 2]
    if message[at : at + 2] != wanted:
        raise refuse(f"the message does not have KdfIvStr at {at}")


def _kdf_keep(x: Execution, target: int, result: bytes, extra: bytes) -> bytes:
    if target == TO_TEMP:
        x.load_secret(result)
    elif target == TO_UPPER:
        x.session.temp_key.upper = result
        x.temp_written = True
    elif target == TO_ALT:
        x.session.alt_key_buf = result
    else:
        slot = x.p2 >> 8 & 0xF
        if len(result) > len(x.memory.slot(slot)):
            raise refuse(f"slot {slot} does not hold {len(result)} bytes")
        x.store(slot, 0, result)
    return extra or OK


def _kdf_answer(x: Execution, target: int, result: bytes) -> bytes:
    options = words.chip_options(x.memory.word(words.CHIP_OPTIONS))
    if target == TO_OUTPUT and not options.kdf_protect:
        return result
    key = io_key(x)
    nonce = x.random(update_seed=True)
    pads = b"".join(sha(key, nonce[at : at + 16]) for at in (0, 16))
    return xor(result, pads[: len(result)]) + nonce


# -- SecureBoot ----------------------------------------------------------------------------------

FULL, FULL_STORE, FULL_COPY = 5, 6, 7
PROHIBIT, WITH_MAC = 0x40, 0x80
MODE_SIGNATURE, MODE_DIGEST = 2, 3


def secure_boot(x: Execution) -> bytes:
    """Check a code digest by its signature, or against what an earlier FullCopy stored.

    FullStore stores nothing: it compares with the stored digest, or verifies the stored signature
    (Microchip AN3539 section 2.1.1, DS40002138A section 5.2.3.2).
    """
    gate(x, "use key")
    latch_bit, nonce_bit = (2, 3) if x.knobs.secure_boot_bits == "b2 latch, b3 nonce" else (3, 4)
    setting = words.secure_boot_word(
        x.memory.word(words.SECURE_BOOT), latch_bit=latch_bit, nonce_bit=nonce_bit
    )
    kind = x.p1 & 7
    if not setting.mode:
        raise refuse("SecureBoot is disabled")
    if kind != FULL and setting.mode not in (MODE_SIGNATURE, MODE_DIGEST):
        raise refuse("this part stores neither digest nor signature")
    if x.session.secure_boot_prohibited:
        raise refuse("SecureBoot was prohibited until the next power cycle")
    digest, signature = x.data[:32], x.data[32:]
    host_key = b""
    if x.p1 & WITH_MAC:
        temp = x.use_temp_key()
        if setting.random_nonce and temp.from_input:
            raise refuse("SecureBoot asks for a random nonce in TempKey")
        host_key = sha(io_key(x), temp.value)
        digest = xor(digest, host_key)
    stored = x.memory.slot(setting.digest_slot)
    if kind == FULL_STORE and setting.mode == MODE_DIGEST:
        matches = stored[:32] == digest
    else:
        if kind == FULL_STORE:
            signature = stored[:64]
        matches = _signed(x, setting.key_slot, digest, signature)
    if x.p1 & PROHIBIT and x.knobs.secure_boot_prohibit == "until power cycle":
        x.session.secure_boot_prohibited = True
    if not matches:
        raise Refused(Status.MISCOMPARE, "the code does not match", late=True)
    if kind == FULL_COPY:
        x.store(setting.digest_slot, 0, digest if setting.mode == MODE_DIGEST else signature)
    if setting.latch:
        x.session.latch = True
    return sha(host_key, digest, signature, x.tag[:4]) if host_key else OK


def _signed(x: Execution, slot: int, digest: bytes, signature: bytes) -> bool:
    from hil.emulator.chip import ecc

    admit(x, "secure boot", slot)
    if x.memory.key_config(slot).pub_info and x.memory.validity(slot) != 5:
        raise refuse(f"slot {slot} holds a public key that is not validated")
    check_ecc(x)
    return ecc.verify(public_key(x, x.memory.stored_public_key(slot)), digest, signature)


# -- SelfTest ------------------------------------------------------------------------------------

TESTS = 0x3D
"""RNG, ECDSA, ECDH, AES, SHA: bits 0, 2, 3, 4, 5."""


def self_test(x: Execution) -> bytes:
    """Run tests; the answer has the bits of those that failed, 0 if none did."""
    failures = x.session.self_test_failures & ~x.p1 | x.services.self_test(x.p1)
    x.session.self_test_failures = failures
    return bytes((failures & x.p1 if x.p1 else failures,))


ONLY = (608,)

FORMS = (
    Form(
        Opcode.AES,
        "AES",
        modes(0, 1, bits=0xC0),
        SLOT,
        lengths(16),
        aes,
        "DS40002138A 5.3.1",
        ONLY,
        _block_exists,
    ),
    Form(Opcode.AES, "AES GFM", modes(3, bits=0xF8), ZERO, lengths(32), gfm, "DS40002138A 5.3.1", ONLY),
    Form(
        Opcode.KDF,
        "KDF",
        frozenset(p1 for p1 in range(0x60) if p1 & 0x1C < 0x18),
        ANY,
        lengths(range(4, 132)),
        kdf,
        "DS40002138A 5.3.4",
        ONLY,
        _check_kdf,
    ),
    Form(
        Opcode.SECUREBOOT,
        "SecureBoot",
        modes(FULL, FULL_COPY, bits=PROHIBIT | WITH_MAC),
        ZERO,
        lengths(96),
        secure_boot,
        "DS40002138A 5.2.3",
        ONLY,
    ),
    Form(
        Opcode.SECUREBOOT,
        "SecureBoot stored",
        modes(FULL_STORE, bits=PROHIBIT | WITH_MAC),
        ZERO,
        lengths(32),
        secure_boot,
        "DS40002138A 5.2.3",
        ONLY,
    ),
    Form(Opcode.SELFTEST, "SelfTest", modes(0, bits=TESTS), ZERO, NONE, self_test, "DS40002138A 5.1.7", ONLY),
)
