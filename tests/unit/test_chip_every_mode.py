"""Every mode that a part knows is executed on that part, and every other one is a parse error.

Which modes there are is read from the emulator's own table; what they do is computed here. Signatures,
secrets, MACs, AES, KDF and SecureBoot are in ``tests/conformance/test_chip_results.py``.
"""

from __future__ import annotations

from hashlib import sha256

import pytest

from hil.emulator.chip import Power, load_profile, profile_names
from hil.emulator.chip.commands import ALL_FORMS
from hil.wire.atecc import Command
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
    sign,
    summary,
)

OK, PARSE, REFUSED = b"\0", b"\x03", b"\x0f"
KEY = bytes(range(32))
SECRET, OPEN, STORED, PARENT = 4, 9, 14, 13


def every(*forms: str) -> pytest.MarkDecorator:
    """Part and mode of each named form, on every part that has it."""
    known = {form.name for form in ALL_FORMS}
    assert known.issuperset(forms), forms
    rows = [
        (name, mode)
        for name in profile_names()
        for form in ALL_FORMS
        if form.name in forms and load_profile(name).family in form.families
        for mode in sorted(form.modes)
    ]
    return pytest.mark.parametrize(("name", "mode"), [pytest.param(n, m, id=f"{n}-{m:02X}") for n, m in rows])


def part(name: str, *, locks: int = 2) -> Part:
    """Private key in 0, secret in 4, open data in 9, public keys in 13 and 14, which 13 validates."""
    made = Part(name).slot(0, 0x6487, ECC_PRIVATE).slot(SECRET, 0x8F8F, DATA_KEY).slot(OPEN, 0x0F0F, DATA_KEY)
    made.slot(PARENT, 0x0F0F, ECC_PUBLIC).slot(STORED, 0x1F0D, 0x0012)
    made.memory.set_private_key(0, TEST_SCALAR)
    made.memory.set_slot(SECRET, KEY)
    made.memory.set_slot(OPEN, bytes(range(72)))
    made.memory.set_otp(bytes(range(64)))
    made.memory.set_public_key(PARENT, point(host_key()))
    made.memory.set_public_key(STORED, TEST_POINT, validity=0xA)
    return made if locks == 0 else made.locked(data=locks == 2)


def tail(made: Part) -> bytes:
    sn = made.memory.serial
    return sn[8:9] + sn[0:2]


@pytest.mark.parametrize("name", profile_names())
def test_all_other_modes_and_opcodes_are_parse_errors(name: str) -> None:
    made = Part(name, keep_log=False)
    known = load_profile(name).modes
    opcodes = {key >> 8 for key in known}
    others = {opcode << 8 | mode for opcode in opcodes for mode in range(0x100)} - known
    others |= {opcode << 8 | mode for opcode in set(range(0x100)) - opcodes for mode in (0, 1, 0x80, 0xFF)}
    assert {made.send(key >> 8, key & 0xFF) for key in others} == {PARSE}


# -- small commands ------------------------------------------------------------------------------


@every("Info revision", "Info key valid", "Info state", "Info latch")
def test_info(name: str, mode: int) -> None:
    made = part(name).with_nonce()
    expected = {0: made.profile.revision_bytes, 1: b"\1\0\0\0", 2: b"\x10\x80\0\0", 4: bytes(4)}
    assert made.send(0x30, mode, 0) == expected[mode]


@every("Info GPIO")
def test_info_about_a_pin_that_no_i2c_part_has(name: str, mode: int) -> None:
    assert part(name).send(0x30, mode) == REFUSED


@every("Random")
def test_random(name: str, mode: int) -> None:
    made = part(name)
    assert len({made.send(0x1B, mode) for _ in range(3)} | {bytes(32)}) == 4


@every("Nonce random", "Nonce fixed", "Nonce fixed 64", "Nonce to MsgDigBuf", "Nonce to MsgDigBuf 64",
       "Nonce to AltKeyBuf")  # fmt: skip
def test_nonce(name: str, mode: int) -> None:
    made = part(name)
    if mode < 2:
        drawn = made.send(0x16, mode, 0, bytes(20))
        assert made.temp == sha256(drawn + bytes(20) + bytes((0x16, mode, 0))).digest()
        return
    value = bytes(range(64))[: 64 if mode & 0x20 else 32]
    assert made.send(0x16, mode, 0, value) == OK
    session = made.chip.session
    found = {0x00: made.temp + (session.temp_key.upper or b""), 0x40: session.msg_dig_buf,
             0x80: session.alt_key_buf}[mode & 0xC0]  # fmt: skip
    assert found == value


@every("Counter read", "Counter increment")
@pytest.mark.parametrize("number", [0, 1])
def test_counter(name: str, mode: int, number: int) -> None:
    made = part(name)
    assert [made.send(0x24, mode, number)[0] for _ in range(3)] == [mode, 2 * mode, 3 * mode]


@every("UpdateExtra", "UpdateExtra limited use")
def test_update_extra(name: str, mode: int) -> None:
    made = part(name, locks=0).slot(SECRET, 0x8FAF, DATA_KEY).locked()
    assert made.send(0x20, mode, SECRET) == OK
    if mode < 2:
        assert made.memory.config[84 + mode] == SECRET
    else:
        assert made.memory.counter(0) == 1


@every("Pause")
def test_pause(name: str, mode: int) -> None:
    made = part(name)
    made.memory.set_config(85, b"\x5a")
    made.start()
    made.write(b"\x03" + Command(1, mode).encode())
    made.time = made.chip.busy_until
    if mode == 0x5A:
        assert made.read(4) == bytes.fromhex("04000340")
    assert made.chip.power is (Power.AWAKE if mode == 0x5A else Power.IDLE)


@every("SelfTest")
def test_self_test(name: str, mode: int) -> None:
    made = part(name)
    assert made.send(0x77, mode) == OK
    made.chip.faults.add("self-test-fails", times=1)
    assert made.send(0x77, mode) == bytes((mode & 0x20,))


@every("AES GFM")
def test_gfm(name: str, mode: int) -> None:
    """One is the element with the first bit of the first byte (SP 800-38D section 6.3)."""
    assert part(name).send(0x51, mode, 0, DIGEST[:16] + b"\x80" + bytes(15)) == DIGEST[:16]


# -- zones ---------------------------------------------------------------------------------------


@every("Read config", "Read OTP", "Read data")
def test_read(name: str, mode: int) -> None:
    made = part(name)
    length = 32 if mode & 0x80 else 4
    address, content = {
        0: (8, made.memory.config[32:]),
        1: (8, made.memory.otp[32:]),
        2: (OPEN << 3 | 0x100, made.memory.slot(OPEN)[32:]),
    }[mode & 3]
    assert made.send(0x02, mode, address) == content[:length]


@every("Write config word", "Write config block")
def test_write_config(name: str, mode: int) -> None:
    made = Part(name)
    data = bytes(range(32 if mode & 0x80 else 4))
    assert made.send(0x12, mode, 8, data) == OK
    assert made.memory.config[32:].startswith(data)


@every("Write OTP block", "Write data block")
@pytest.mark.parametrize("encrypted", [False, True], ids=["clear", "encrypted"])
def test_write_blocks_between_the_locks(name: str, mode: int, encrypted: bool) -> None:
    made = part(name, locks=1).with_nonce()
    address = OPEN << 3 if mode & 2 else 0
    data = DIGEST
    if encrypted:  # under a TempKey of zeros
        head = bytes((0x12, mode)) + address.to_bytes(2, "little")
        data += sha256(bytes(32) + head + tail(made) + bytes(25) + DIGEST).digest()
    answer = made.send(0x12, mode, address, data)
    if mode & 0x40 and not encrypted:
        assert answer == REFUSED
        return
    assert answer == OK
    assert (made.memory.slot(OPEN) if mode & 2 else made.memory.otp).startswith(DIGEST)


@every("Write data word")
def test_write_a_word_of_open_data(name: str, mode: int) -> None:
    made = part(name)
    assert made.send(0x12, mode, OPEN << 3 | 1, b"word") == OK
    assert made.memory.slot(OPEN)[:12] == bytes(range(4)) + b"word" + bytes(range(8, 12))


@every("Write OTP word")
def test_write_a_word_of_otp_where_bits_are_consumed(name: str, mode: int) -> None:
    made = part(name)
    before = made.memory.otp[:4]
    answer = made.send(0x12, mode, 0, b"\xf5" * 4)
    if made.profile.family == 508:
        assert answer == OK
        assert made.memory.otp[:4] == bytes(byte & 0xF5 for byte in before)
    else:  # there is no consumption mode
        assert answer == REFUSED
        assert made.memory.otp[:4] == before


@every("Lock config", "Lock data", "Lock slot")
def test_lock(name: str, mode: int) -> None:
    zone, slot = mode & 3, mode >> 2 & 15
    made = part(name, locks=0)
    for number in range(16):
        made.slot(number, 0x0F0F, DATA_KEY)
    made = made if zone == 0 else made.locked(data=False)
    crc = 0 if mode & 0x80 or zone == 2 else summary(made.memory, data=bool(zone))
    assert made.send(0x17, mode, crc) == OK
    assert made.memory.config_locked
    assert made.memory.data_locked is (zone == 1)
    assert [number for number in range(16) if not made.memory.slot_open(number)] == [slot] * (zone == 2)
    assert made.send(0x17, mode, crc) == REFUSED


# -- keys ----------------------------------------------------------------------------------------


@every("GenDig config", "GenDig OTP", "GenDig data", "GenDig shared nonce", "GenDig counter",
       "GenDig key config")  # fmt: skip
def test_gen_dig(name: str, mode: int) -> None:
    made = part(name).with_nonce()
    p2 = {2: SECRET, 3: 0x12, 5: SECRET}.get(mode, 1)
    head = bytes((0x15, mode)) + p2.to_bytes(2, "little") + tail(made)
    lock_and_rules = (0x8F8F).to_bytes(2, "little") + DATA_KEY.to_bytes(2, "little") + b"\1"
    message = {
        0: bytes(made.memory.config[32:64]) + head + bytes(25),
        1: bytes(made.memory.otp[32:64]) + head + bytes(25),
        2: KEY + head + bytes(25),
        3: DIGEST + head + bytes(25),
        4: bytes(32) + head + b"\0" + bytes(4) + bytes(20),
        5: bytes(32) + head + b"\0" + lock_and_rules + bytes(19),
    }[mode]
    assert made.send(0x15, mode, p2, DIGEST if mode == 3 else b"") == OK
    assert made.temp == sha256(message + bytes(32)).digest()


@every("GenKey", "GenKey public")
def test_gen_key(name: str, mode: int) -> None:
    made = part(name).with_nonce()
    public = made.send(0x40, mode, 0)
    assert public == made.memory.public_key(0)
    assert (public == TEST_POINT) is not bool(mode & 4)
    if mode & 8:
        message = bytes(32) + bytes((0x40, mode, 0, 0)) + tail(made) + bytes(25) + public
        assert made.temp == sha256(message).digest()


@every("GenKey digest of stored key")
def test_gen_key_digest(name: str, mode: int) -> None:
    made = part(name).with_nonce()
    assert made.send(0x40, mode, STORED, b"abc") == OK
    assert made.temp == sha256(bytes(32) + b"\x40abc" + tail(made) + bytes(25) + TEST_POINT).digest()


@every("PrivWrite")
def test_priv_write(name: str, mode: int) -> None:
    made = part(name, locks=1).with_nonce()
    scalar = bytes(28) + b"key!"
    data = bytes(4) + scalar + bytes(32)
    if mode:  # under a TempKey of zeros, whose pad for the last four bytes is its digest
        pad = sha256(bytes(32)).digest()[:4]
        clear = bytes(4) + scalar
        mac = sha256(bytes(32) + bytes((0x46, mode, 0, 0)) + tail(made) + bytes(21) + clear).digest()
        data = clear[:32] + bytes(a ^ b for a, b in zip(clear[32:], pad, strict=True)) + mac
    assert made.send(0x46, mode, 0, data) == OK
    assert made.memory.slot(0) == bytes(4) + scalar


@every("Verify validate")
def test_verify_validates_and_invalidates(name: str, mode: int) -> None:
    made = part(name).with_nonce()
    made.memory.set_public_key(STORED, TEST_POINT, validity=5 if mode == 7 else 0xA)
    assert made.send(0x40, 0x10, STORED, b"abc") == OK
    other = bytearray(range(19))
    other[17] = mode >> 2
    sn = made.memory.serial
    message = made.temp + b"\x41" + other[:10] + sn[8:9] + other[10:14] + sn[0:2] + other[14:]
    signature = sign(host_key(), sha256(message).digest())
    assert made.send(0x45, mode, STORED, signature + other) == OK
    assert made.memory.validity(STORED) == (0xA if mode == 7 else 5)


@every("Verify validate external")
def test_verify_validates_by_a_certificate(name: str, mode: int) -> None:
    made = part(name).with_nonce()
    made.send(0x47, 0)
    public = made.send(0x47, 3, STORED)
    digest = made.send(0x47, 2, 0)
    answer = made.send(0x45, mode, STORED, sign(host_key(), sha256(TEST_POINT).digest()))
    if made.profile.family == 508:
        assert (public, digest, answer) == (OK, sha256(TEST_POINT).digest(), OK)
        assert made.memory.validity(STORED) == 5
    else:  # no SHA(Public), and so nothing in TempKey that could be validated
        assert (public, answer) == (PARSE, REFUSED)
        assert made.memory.validity(STORED) == 0xA
