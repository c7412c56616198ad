"""Every signature, secret, MAC, HMAC, AES, HKDF and PRF result of the chip, judged by others.

Messages are put together here from the data sheets' tables (DS20005927A section 9, DS40002138A
section 5); the cryptography is that of ``cryptography`` and of the ``openssl`` program.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from tests.conformance.judges import Cryptography, judges
from tests.unit.chip_bench import (
    DATA_KEY,
    DIGEST,
    ECC_PRIVATE,
    ECC_PUBLIC,
    TEST_POINT,
    TEST_SCALAR,
    Part,
    host_key,
    point,
)

if TYPE_CHECKING:
    from tests.conformance.judges import Judge

OK, MISCOMPARE = b"\0", b"\x01"
PARTS = ["atecc508a", "atecc608a", "atecc608b", "atecc608-next"]
ON_608 = PARTS[1:]
KEY, CHALLENGE, IO_KEY = bytes(range(32)), bytes(range(32, 64)), bytes(range(0x80, 0xA0))
AES_KEYS = bytes(range(64))
PEER = (7 * 11 * 13).to_bytes(32, "big")
SECRET, AES_SLOT, IO_SLOT, TARGET, PUBLIC = 4, 9, 6, 3, 15
EVERY_PART = pytest.mark.parametrize("name", PARTS)
EVERY_608 = pytest.mark.parametrize("name", ON_608)


@pytest.fixture(params=judges())
def judge(request: pytest.FixtureRequest) -> Judge:
    chosen: Judge = request.param
    return chosen


def peer_point() -> bytes:
    return point(host_key(int.from_bytes(PEER, "big")))


def part(name: str, **options: Any) -> Part:
    """Everything locked. Private key in 0 (all uses) and 2 (secret to slot 3), keys in 4, 6, 9, 15."""
    made = Part(name, **options).slot(0, 0x6487, ECC_PRIVATE).slot(2, 0x648C, ECC_PRIVATE)
    made.slot(TARGET, 0x0F0F, DATA_KEY).slot(SECRET, 0x8F8F, DATA_KEY).slot(IO_SLOT, 0x0F8F, DATA_KEY)
    made.slot(5, 0x6F8F, DATA_KEY).slot(7, 0x748F, DATA_KEY)  # DeriveKey: roll; create from slot 4
    made.slot(8, 0x0F0F, DATA_KEY).slot(AES_SLOT, 0x0F8F, 0x0018).slot(10, 0x0F0F, DATA_KEY)
    made.slot(PUBLIC, 0x0F0F, ECC_PUBLIC)
    if made.profile.family == 608:
        made.memory.set_config(90, bytes.fromhex("0E60"))
        made.memory.set_config(72, bytes.fromhex("096976"))
    made.memory.set_private_key(0, TEST_SCALAR)
    made.memory.set_private_key(2, TEST_SCALAR)
    made.memory.set_slot(SECRET, KEY)
    made.memory.set_slot(5, CHALLENGE)
    made.memory.set_slot(IO_SLOT, IO_KEY)
    made.memory.set_slot(AES_SLOT, AES_KEYS)
    made.memory.set_public_key(PUBLIC, peer_point())
    return made.locked()


def serial(made: Part) -> tuple[bytes, bytes, bytes, bytes]:
    """SN[8], SN[4:7], SN[0:1], SN[2:3]."""
    sn = made.memory.serial
    return sn[8:9], sn[4:8], sn[0:2], sn[2:4]


def p2_of(slot: int) -> bytes:
    return slot.to_bytes(2, "little")


def xor(left: bytes, right: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(left, right, strict=True))


# -- signatures ----------------------------------------------------------------------------------


@EVERY_PART
@pytest.mark.parametrize("mode", [0x80, 0xC0])
def test_external_signatures_over_temp_key(judge: Judge, name: str, mode: int) -> None:
    made = part(name)
    made.nonce(DIGEST)
    assert judge.verify(TEST_POINT, DIGEST, made.send(0x41, mode, 0))


@EVERY_608
@pytest.mark.parametrize("mode", [0xA0, 0xE0])
def test_external_signatures_over_the_message_buffer(judge: Judge, name: str, mode: int) -> None:
    made = part(name)
    assert made.send(0x16, 0x43, 0, DIGEST) == OK
    assert judge.verify(TEST_POINT, DIGEST, made.send(0x41, mode, 0))


def internal_modes() -> list[object]:
    return [(name, base | low) for name in PARTS for base in (0x00, 0x40, 0x20, 0x60) for low in (0, 1)
            if name != "atecc508a" or not base & 0x20]  # fmt: skip


@pytest.mark.parametrize(("name", "mode"), internal_modes())
def test_internal_signatures(judge: Judge, name: str, mode: int) -> None:
    made = part(name)
    temp_key = made.random_nonce()
    sn8, sn47, sn01, sn23 = serial(made)
    assert made.gen_dig(SECRET) == 0
    temp_key = judge.sha256(KEY + b"\x15\x02" + p2_of(SECRET) + sn8 + sn01 + bytes(25) + temp_key)
    full = bool(mode & 0x40)
    message = (
        temp_key + bytes((0x41, mode)) + p2_of(0)
        + (0x8F8F).to_bytes(2, "little") + DATA_KEY.to_bytes(2, "little")
        + bytes((0x20 | SECRET, 0, 0)) + sn8 + (sn47 if full else bytes(4)) + sn01
        + (sn23 if full else bytes(2)) + bytes((1, 0, 0))
    )  # fmt: skip
    assert len(message) == 55
    assert judge.verify(TEST_POINT, judge.sha256(message), made.send(0x41, mode, 0))


@EVERY_PART
def test_a_signature_of_a_key_that_the_part_made(judge: Judge, name: str) -> None:
    made = part(name)
    public = made.send(0x40, 4, 0)
    made.nonce(DIGEST)
    signature = made.send(0x41, 0x80, 0)
    assert judge.verify(public, DIGEST, signature)
    assert not judge.verify(public, KEY, signature)
    assert not judge.verify(TEST_POINT, DIGEST, signature)


# -- signatures of others ------------------------------------------------------------------------


def load(made: Part, mode: int) -> bytes:
    """The digest where ``mode`` of Verify looks for it, and a nonce for its MAC; returns the nonce."""
    nonce = bytes(range(100, 132))
    if mode & 0x20:
        assert made.send(0x16, 0x63, 0, DIGEST + nonce) == OK
    else:
        made.nonce(DIGEST)
        if mode & 0x80:
            assert made.send(0x16, 0x43, 0, nonce) == OK
    return nonce


def verify_modes() -> list[object]:
    return [(name, kind | extra) for name in PARTS for kind in (0, 2) for extra in (0, 0x20, 0x80, 0xA0)
            if name != "atecc508a" or not extra]  # fmt: skip


@pytest.mark.parametrize(("name", "mode"), verify_modes())
def test_verify_agrees_with_the_judge_who_signed(judge: Judge, name: str, mode: int) -> None:
    made = part(name)
    signature = judge.sign(PEER, DIGEST)
    p2, key = (4, peer_point()) if mode & 2 else (PUBLIC, b"")
    nonce = load(made, mode)
    answer = made.send(0x45, mode, p2, signature + key)
    if mode & 0x80:
        tail = bytes((0x45, mode)) + p2_of(p2)
        assert answer == judge.sha256(IO_KEY + DIGEST + nonce + signature + tail)
    else:
        assert answer == OK
    load(made, mode)
    assert made.send(0x45, mode, p2, judge.sign(PEER, KEY) + key) == MISCOMPARE


# -- shared secrets ------------------------------------------------------------------------------


@EVERY_PART
def test_ecdh_as_the_slot_says(judge: Judge, name: str) -> None:
    made = part(name)
    expected = judge.ecdh(TEST_SCALAR, peer_point())
    assert judge.ecdh(PEER, TEST_POINT) == expected
    assert made.send(0x43, 0, 0, peer_point()) == expected
    assert made.send(0x43, 0, 2, peer_point()) == OK
    assert made.memory.slot(TARGET)[:32] == expected


@EVERY_608
@pytest.mark.parametrize("mode", [0x04, 0x08, 0x0C, 0x0E, 0x05, 0x09, 0x0D, 0x0F])
def test_ecdh_with_a_target(judge: Judge, name: str, mode: int) -> None:
    made = part(name)
    if mode & 1:
        public, p2 = made.send(0x40, 4, 0xFFFF), TARGET
        expected = judge.ecdh(PEER, public)
    else:
        p2 = 2
        expected = judge.ecdh(TEST_SCALAR, peer_point())
    answer = made.send(0x43, mode, p2, peer_point())
    kind = mode & 0x0E
    if kind == 0x04:
        assert (answer, made.memory.slot(TARGET)[:32]) == (OK, expected)
    elif kind == 0x08:
        assert (answer, made.temp) == (OK, expected)
    elif kind == 0x0C:
        assert answer == expected
    else:
        assert xor(answer[:32], judge.sha256(IO_KEY + answer[32:48])) == expected


# -- MAC, CheckMac, HMAC -------------------------------------------------------------------------


def mac_modes() -> list[object]:
    listed, unlisted = (0, 1, 2, 5, 6), (3, 4, 7)
    return [(name, mode | serial) for name in PARTS for serial in (0, 0x40)
            for mode in (*listed, *(unlisted if name == "atecc508a" else ()))]  # fmt: skip


def temp_key_for(made: Part, mode: int) -> bytes:
    """What bits 0 to 2 of MAC and CheckMac ask for: TempKey at all, and from where."""
    if not mode & 3:
        return bytes(32)
    if not mode & 4:
        return made.random_nonce()
    made.nonce(DIGEST)
    return DIGEST


@pytest.mark.parametrize(("name", "mode"), mac_modes())
def test_mac(judge: Judge, name: str, mode: int) -> None:
    made = part(name)
    temp_key = temp_key_for(made, mode)
    sn8, sn47, sn01, sn23 = serial(made)
    full = bool(mode & 0x40)
    message = (
        (temp_key if mode & 2 else KEY) + (temp_key if mode & 1 else CHALLENGE)
        + bytes((0x08, mode)) + p2_of(SECRET) + bytes(11) + sn8 + (sn47 if full else bytes(4)) + sn01
        + (sn23 if full else bytes(2))
    )  # fmt: skip
    assert len(message) == 88
    answer = made.send(0x08, mode, SECRET, b"" if mode & 1 else CHALLENGE)
    assert answer == judge.sha256(message)


def check_mac_modes() -> list[object]:
    return [(name, mode) for name in PARTS for mode in range(8)
            if name == "atecc508a" or mode in (0, 1, 2, 5, 6)]  # fmt: skip


@pytest.mark.parametrize(("name", "mode"), check_mac_modes())
def test_check_mac(judge: Judge, name: str, mode: int) -> None:
    made = part(name)
    other = bytes(range(200, 213))

    temp_key = temp_key_for(made, mode)
    sn8, _, sn01, _ = serial(made)
    message = (
        (temp_key if mode & 2 else KEY) + (temp_key if mode & 1 else CHALLENGE)
        + other[0:4] + bytes(8) + other[4:7] + sn8 + other[7:11] + sn01 + other[11:13]
    )  # fmt: skip
    response = judge.sha256(message)
    assert made.send(0x28, mode, SECRET, CHALLENGE + response + other) == OK
    temp_key_for(made, mode)
    wrong = judge.sha256(message + b"!")
    assert made.send(0x28, mode, SECRET, CHALLENGE + wrong + other) == MISCOMPARE


@pytest.mark.parametrize("mode", [0x00, 0x04, 0x40, 0x44])
def test_hmac_of_a_508a(judge: Judge, mode: int) -> None:
    made = part("atecc508a")
    temp_key = temp_key_for(made, mode | 1)
    sn8, sn47, sn01, sn23 = serial(made)
    full = bool(mode & 0x40)
    message = (
        bytes(32) + temp_key + bytes((0x11, mode)) + p2_of(SECRET) + bytes(11) + sn8
        + (sn47 if full else bytes(4)) + sn01 + (sn23 if full else bytes(2))
    )  # fmt: skip
    assert made.send(0x11, mode, SECRET) == judge.hmac(KEY, message)


# -- SHA -----------------------------------------------------------------------------------------


@EVERY_PART
@pytest.mark.parametrize("size", [0, 1, 63, 64, 119, 128, 300])
@pytest.mark.parametrize("keyed", [False, True], ids=["digest", "HMAC"])
def test_sha_and_its_hmac(judge: Judge, name: str, size: int, keyed: bool) -> None:
    made = part(name)
    message = bytes(n * 5 & 0xFF for n in range(size))
    assert made.send(0x47, 4 if keyed else 0, SECRET if keyed else 0) == OK
    whole = size // 64 * 64
    for at in range(0, whole, 64):
        assert made.send(0x47, 1, 64, message[at : at + 64]) == OK
    end = 5 if keyed and name == "atecc508a" else 2
    digest = made.send(0x47, end, size - whole, message[whole:])
    assert digest == (judge.hmac(KEY, message) if keyed else judge.sha256(message))
    assert made.temp == digest


@EVERY_608
@pytest.mark.parametrize("end", [0x02, 0x42, 0xC2])
def test_hmac_by_temp_key_to_each_target(judge: Judge, name: str, end: int) -> None:
    made = part(name)
    made.nonce(CHALLENGE)
    assert made.send(0x47, 4, 0xFFFF) == OK
    assert made.send(0x47, 1, 3, b"abc") == OK
    digest = made.send(0x47, end, 2, b"de")
    assert digest == judge.hmac(CHALLENGE, b"abcde")
    assert (made.temp_valid, made.chip.session.msg_dig_buf) == (end == 2, digest if end == 0x42 else None)


@EVERY_608
def test_a_digest_goes_on_from_its_context(judge: Judge, name: str) -> None:
    made = part(name)
    made.send(0x47, 0)
    made.send(0x47, 1, 40, CHALLENGE + bytes(8))
    context = made.send(0x47, 6)
    made.send(0x47, 2)
    assert made.send(0x47, 7, len(context), context) == OK
    assert made.send(0x47, 0xC2, 3, b"end") == judge.sha256(CHALLENGE + bytes(8) + b"end")


@pytest.mark.parametrize("other", [b"", bytes(64)])
def test_a_stored_key_in_a_digest_of_a_508a(judge: Judge, other: bytes) -> None:
    made = part("atecc508a")
    made.send(0x47, 0)
    if other:
        made.send(0x47, 1, 64, other)
    assert made.send(0x47, 3, PUBLIC) == OK
    assert made.send(0x47, 2, 3, b"end") == judge.sha256(other + peer_point() + b"end")


# -- keys that follow from keys ------------------------------------------------------------------


@EVERY_PART
@pytest.mark.parametrize("fixed", [0, 4])
@pytest.mark.parametrize("slot", [5, 7], ids=["roll", "create"])
def test_derive_key(judge: Judge, name: str, slot: int, fixed: int) -> None:
    made = part(name)
    temp_key = temp_key_for(made, fixed | 1)
    sn8, _, sn01, _ = serial(made)
    source = CHALLENGE if slot == 5 else KEY
    assert made.send(0x1C, fixed, slot) == OK
    expected = judge.sha256(source + bytes((0x1C, fixed)) + p2_of(slot) + sn8 + sn01 + bytes(25) + temp_key)
    assert made.memory.slot(slot)[:32] == expected


# -- AES -----------------------------------------------------------------------------------------


@EVERY_608
@pytest.mark.parametrize("block", range(4))
def test_aes_by_a_slot(judge: Judge, name: str, block: int) -> None:
    made = part(name)
    key = AES_KEYS[16 * block : 16 * block + 16]
    assert made.send(0x51, block << 6, AES_SLOT, DIGEST[:16]) == judge.aes(key, DIGEST[:16])
    assert made.send(0x51, block << 6 | 1, AES_SLOT, DIGEST[:16]) == judge.aes(key, DIGEST[:16], decrypt=True)


@EVERY_608
def test_aes_by_temp_key(judge: Judge, name: str) -> None:
    made = part(name)
    assert made.send(0x16, 0x23, 0, AES_KEYS) == OK
    for block in range(4):
        key = AES_KEYS[16 * block : 16 * block + 16]
        assert made.send(0x51, block << 6, 0xFFFF, DIGEST[:16]) == judge.aes(key, DIGEST[:16])


@EVERY_608
@pytest.mark.parametrize("mode", [0x03, 0x0B, 0x43, 0xFB])
def test_gfm_makes_the_tag_of_gcm(name: str, mode: int) -> None:
    """The ``openssl`` program does no GCM, so that ``cryptography`` judges alone."""
    made, ecb = part(name), Cryptography().aes
    key, nonce, clear = AES_KEYS[:16], bytes(range(12)), bytes(range(40))
    sealed = AESGCM(key).encrypt(nonce, clear, b"header")
    h = ecb(key, bytes(16))
    state = bytes(16)
    padded = b"header".ljust(16, b"\0") + sealed[:40].ljust(48, b"\0")
    for at in range(0, len(padded), 16):
        state = made.send(0x51, mode, 0, h + xor(state, padded[at : at + 16]))
    state = made.send(0x51, mode, 0, h + xor(state, (48).to_bytes(8, "big") + (320).to_bytes(8, "big")))
    assert xor(state, ecb(key, nonce + b"\0\0\0\1")) == sealed[40:]


# -- KDF -----------------------------------------------------------------------------------------

SOURCES = {"temp key": 0, "upper half": 1, "slot": 2, "alternate": 3}
TARGETS = {
    "temp key": 0x00,
    "upper half": 0x04,
    "slot": 0x08,
    "alternate": 0x0C,
    "output": 0x10,
    "encrypted": 0x14,
}
LONG_KEY = bytes(range(3, 67))


def kdf_part(name: str) -> Part:
    """Each source holds the same bytes; the target slot is 8, the source slot 10."""
    made = part(name)
    made.memory.set_slot(10, LONG_KEY)
    return made


def fill(made: Part, source: str) -> bytes:
    """Put the key where KDF looks for it; returns as much of it as the source holds."""
    assert made.send(0x16, 0x23, 0, LONG_KEY) == OK
    if source == "alternate":
        assert made.send(0x16, 0x83, 0, LONG_KEY[:32]) == OK
    return {"temp key": LONG_KEY, "upper half": LONG_KEY[32:], "slot": LONG_KEY, "alternate": LONG_KEY[:32]}[
        source
    ]


def result_of(made: Part, target: str, answer: bytes, judge: Judge, length: int = 32) -> bytes:
    """What KDF left at its target."""
    if target == "output":
        return answer
    if target == "encrypted":
        nonce = answer[length:]
        assert len(nonce) == 32
        pads = judge.sha256(IO_KEY + nonce[:16]) + judge.sha256(IO_KEY + nonce[16:])
        return xor(answer[:length], pads[:length])
    assert answer == OK
    temp = made.chip.session.temp_key
    found = {"temp key": temp.value + (temp.upper or b""), "upper half": temp.upper,
             "slot": made.memory.slot(8), "alternate": made.chip.session.alt_key_buf}[target]  # fmt: skip
    assert found is not None
    return found[:length]


def word(value: int) -> bytes:
    return value.to_bytes(4, "little")


EVERY_WAY = pytest.mark.parametrize(("source", "target"), [(s, t) for s in SOURCES for t in TARGETS])
P2 = 8 << 8 | 10


@EVERY_608
@EVERY_WAY
def test_prf_from_every_source_to_every_target(judge: Judge, name: str, source: str, target: str) -> None:
    made = kdf_part(name)
    key = fill(made, source)[:32]
    seed = b"key expansion" + DIGEST
    answer = made.send(0x56, SOURCES[source] | TARGETS[target], P2, word(len(seed) << 24 | 1) + seed)
    assert result_of(made, target, answer, judge) == judge.prf(key, seed, 32)


@EVERY_608
@pytest.mark.parametrize("length", [32, 64])
@pytest.mark.parametrize("size", [16, 32, 48, 64])
def test_prf_with_every_key_and_result_length(judge: Judge, name: str, size: int, length: int) -> None:
    made = kdf_part(name)
    fill(made, "temp key")
    details = 3 << 24 | (length == 64) << 8 | (size // 16 - 1)
    answer = made.send(0x56, 0x10, 0, word(details) + b"abc")
    assert answer == judge.prf(LONG_KEY[:size], b"abc", length)
    encrypted = made.send(0x56, 0x14, 0, word(details) + b"abc")
    assert result_of(made, "encrypted", encrypted, judge, length) == answer


@EVERY_608
def test_prf_for_an_aead_cipher(judge: Judge, name: str) -> None:
    made = kdf_part(name)
    fill(made, "temp key")
    answer = made.send(0x56, 0x08, P2, word(3 << 24 | 1 << 9 | 1 << 8 | 1) + b"abc")
    assert made.memory.slot(8)[:32] + answer == judge.prf(LONG_KEY[:32], b"abc", 64)


@EVERY_608
@EVERY_WAY
def test_aes_kdf_from_every_source_to_every_target(judge: Judge, name: str, source: str, target: str) -> None:
    made = kdf_part(name)
    key = fill(made, source)
    block = len(key) // 16 - 1
    mode = 0x20 | SOURCES[source] | TARGETS[target]
    answer = made.send(0x56, mode, P2, word(block) + DIGEST[:16])
    expected = judge.aes(key[16 * block : 16 * block + 16], DIGEST[:16]) + bytes(16)
    assert result_of(made, target, answer, judge) == expected


@EVERY_608
@EVERY_WAY
def test_hkdf_from_every_source_to_every_target(judge: Judge, name: str, source: str, target: str) -> None:
    made = kdf_part(name)
    key = fill(made, source)[:32]
    message = b"material" * 4
    mode = 0x40 | SOURCES[source] | TARGETS[target]
    answer = made.send(0x56, mode, P2, word(len(message) << 24 | 2) + message)
    assert result_of(made, target, answer, judge) == judge.hkdf_extract(key, message)


@EVERY_608
def test_hkdf_expands(judge: Judge, name: str) -> None:
    """The first block of HKDF-Expand is an HMAC over the info and the byte 01 (RFC 5869 section 2.3)."""
    made = kdf_part(name)
    fill(made, "temp key")
    message = b"tls13 test label\x01"
    answer = made.send(0x56, 0x50, 0, word(len(message) << 24 | 2) + message)
    assert answer == judge.hkdf_expand(LONG_KEY[:32], message[:-1])


@EVERY_608
@pytest.mark.parametrize("place", ["slot", "temp key", "iv", "nothing"])
def test_hkdf_with_every_place_of_its_message(judge: Judge, name: str, place: str) -> None:
    made = kdf_part(name)
    fill(made, "temp key")
    message, details, data = {
        "slot": (KEY, 32 << 24 | SECRET << 8, b""),
        "temp key": (LONG_KEY[:48], 48 << 24 | 1, b""),
        "iv": (b"ninebyte.iv", 11 << 24 | 3, b"ninebyte.iv"),
        "nothing": (bytes(32), 2, b""),
    }[place]
    zero_key = place == "temp key"
    answer = made.send(0x56, 0x50, 0, word(details | zero_key << 2) + data)
    assert answer == judge.hkdf_extract(bytes(32) if zero_key else LONG_KEY[:32], message)


# -- SecureBoot ----------------------------------------------------------------------------------


@EVERY_608
@pytest.mark.parametrize("flags", [0x00, 0x40, 0x80, 0xC0])
@pytest.mark.parametrize("kind", [5, 6, 7])
@pytest.mark.parametrize("setting", [1, 2, 3], ids=["FullBoth", "FullSig", "FullDig"])
def test_secure_boot(judge: Judge, name: str, setting: int, kind: int, flags: int) -> None:
    made = (
        Part(name).slot(IO_SLOT, 0x0F8F, DATA_KEY).slot(PUBLIC, 0x0F0F, ECC_PUBLIC).slot(8, 0x0F0F, DATA_KEY)
    )
    made.memory.set_config(90, bytes.fromhex("0E60"))
    made.memory.set_config(70, (PUBLIC << 12 | 8 << 8 | setting).to_bytes(2, "little"))
    made.memory.set_slot(IO_SLOT, IO_KEY)
    made.memory.set_public_key(PUBLIC, peer_point())
    made.locked()
    signature = judge.sign(PEER, DIGEST)
    if kind == 6 and setting > 1:
        assert made.send(0x80, 7, 0, DIGEST + signature) == OK
    mode, sent, key = kind | flags, DIGEST, b""
    if flags & 0x80:
        made.nonce(CHALLENGE)
        key = judge.sha256(IO_KEY + CHALLENGE)
        sent = xor(DIGEST, key)
    answer = made.send(0x80, mode, 0, sent + (b"" if kind == 6 else signature))
    if setting == 1 and kind != 5:
        assert answer == b"\x0f"
    elif key:
        hashed = b"" if (kind, setting) == (6, 3) else signature
        assert answer == judge.sha256(key + DIGEST + hashed + bytes((0x80, mode, 0, 0)))
    else:
        assert answer == OK
