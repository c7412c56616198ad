"""Golden vectors: data sheets, host test suites and real parts, applied to the emulated one."""

from __future__ import annotations

import pytest

from tests.unit.chip_bench import (
    DATA_KEY,
    ECC_PRIVATE,
    SHEET_SERIAL,
    TEST_POINT,
    TEST_SCALAR,
    Part,
)

KEY = bytes(range(32))
CHALLENGE = bytes(range(0x20, 0x40))
GEN_DIG = bytes.fromhex("6b8a190e60eb5a397db411c8bd4c935e94825c67a419c4970fa20e63a16fea0f")
KDF_KEY = bytes(range(16)) * 2
KDF_MESSAGE = bytes(range(16))


def xor(a: bytes, b: bytes) -> bytes:
    return bytes(x ^ y for x, y in zip(a, b, strict=True))


@pytest.fixture(params=["atecc508a", "atecc608b"])
def part(request: pytest.FixtureRequest) -> Part:
    """A part of the vectors' serial number, configuration locked, key 00..1F in slot 4."""
    part = Part(request.param, serial=SHEET_SERIAL)
    for slot in range(4):
        part.slot(slot, 0x6487, ECC_PRIVATE)
    for slot in range(4, 8):
        part.slot(slot, 0x0F8F, DATA_KEY)
    part.memory.set_slot(4, KEY)
    part.memory.set_slot(5, KEY)
    return part.locked(data=False)


@pytest.mark.parametrize("name", ["atecc508a", "atecc608a", "atecc608b"])
def test_a_blank_part_has_a_constant_generator(name: str) -> None:
    part = Part(name)
    assert part.send(0x1B) == bytes.fromhex("FFFF0000") * 8
    assert part.send(0x16, 0, 0, bytes(20)) == bytes.fromhex("FFFF0000") * 8
    assert part.temp.hex() == "c5a66271d5446df96f7d9a4ad173b4ae6be163d42b623e70d164fa145db1d463"


def test_gen_dig_of_a_data_slot(part: Part) -> None:
    part.nonce(CHALLENGE)
    assert part.gen_dig(4) == 0
    assert part.temp == GEN_DIG


def test_gen_dig_ignores_the_other_data_of_hosts_when_no_mac_is_0(part: Part) -> None:
    part.nonce(CHALLENGE)
    assert part.send(0x15, 2, 4, bytes.fromhex("15020400")) == b"\0"
    assert part.temp == GEN_DIG


def test_mac_with_the_serial_number(part: Part) -> None:
    answer = part.send(0x08, 0x40, 5, CHALLENGE)
    assert answer.hex() == "5c6c05836fb36f46a97ee76e4f4b201c343422075c44b51321f41098625181c5"


def test_an_encrypted_write(part: Part) -> None:
    part.nonce(CHALLENGE)
    part.gen_dig(4)
    clear = bytes(range(100, 132))
    mac = bytes.fromhex("ab4f194de4fc5c49215e81cac60d5db82df0ad5834e18ee349b01722e4710aa5")
    assert part.send(0x12, 0xC2, 0x0028, xor(clear, GEN_DIG) + mac) == b"\0"
    assert part.memory.slot(5)[:32] == clear


def test_an_encrypted_private_write(part: Part) -> None:
    part.nonce(CHALLENGE)
    part.gen_dig(4)
    sent = bytes.fromhex(
        "6b8a190e61e9593d78b216c0b4469852998c5377b50bd7831ab4197bb875f113cf563830"
        "89d922d685f59b068678dd3bb2e7a4df3a7f24435d9bff588aa8ebc42cd91343"
    )
    assert part.send(0x46, 0x40, 0, sent) == b"\0"
    assert part.memory.slot(0) == bytes(4) + bytes(range(1, 33))
    assert part.memory.key_valid[0]


def test_a_known_private_key_has_its_public_key(part: Part) -> None:
    assert part.send(0x46, 0, 0, bytes(4) + TEST_SCALAR + bytes(32)) == b"\0"
    assert part.send(0x40, 0, 0) == TEST_POINT


@pytest.mark.parametrize(
    ("p1", "details", "answer"),
    [
        pytest.param(
            0x10,
            16 << 24 | 0x100 | 1,
            "1ebcbe62005ab948fdffe1c402aaba354ec676050c9bc1aae1ff5b1509a4a04a"
            "44254664c2a480f5b77ea2d1020c7ba4b3640c4ac793324c26d6fddfdb1f011a",
            id="PRF",
        ),
        pytest.param(0x30, 0, "0a940bb5416ef045f1c39458c653ea5a" + "00" * 16, id="AES"),
        pytest.param(
            0x50,
            16 << 24 | 2,
            "495d46aa392d51132edb93bc49e60ecaaeb7802f3ae529779d5883f9330af561",
            id="HKDF",
        ),
    ],
)
def test_kdf(p1: int, details: int, answer: str) -> None:
    part = Part("atecc608a")
    part.memory.set_config(90, b"\x04\0")
    part.locked(data=False).nonce(KDF_KEY)
    assert part.send(0x56, p1, 0x1234, details.to_bytes(4, "little") + KDF_MESSAGE).hex() == answer


def test_the_sha_context_after_five_bytes() -> None:
    part = Part("atecc608a")
    part.send(0x47, 0)
    part.send(0x47, 1, 5, bytes(range(1, 6)))
    context = part.send(0x47, 6)
    start = "05000000 67E6096A 85AE67BB 72F36E3C 3AF54FA5 7F520E51 8C68059B ABD9831F 19CDE05B"
    assert context == bytes.fromhex(start) + bytes(range(1, 6))


def test_a_part_locks_with_the_summary_crc_of_a_real_one() -> None:
    part = Part("atecc508a")
    part.memory.set_config(0, bytes.fromhex("0123F52E0000500001F0C201EEC05500"))
    assert part.send(0x17, 0, 0x1220 ^ 1) == b"\x0f"
    assert not part.memory.config_locked
    assert part.send(0x17, 0, 0x1220) == b"\0"
    assert part.memory.config_locked


@pytest.mark.parametrize(
    ("p1", "address", "slot", "offset", "length"),
    [
        (0x02, 0x014D, 9, 52, 4),
        (0x02, 0x0251, 10, 68, 4),
        *((0x82, 0x0040 | block << 8, 8, 32 * block, 32) for block in range(13)),
    ],
)
def test_addresses(p1: int, address: int, slot: int, offset: int, length: int) -> None:
    part = Part("atecc508a").slot(slot, 0x0F0F, DATA_KEY)
    content = bytes(n * 7 & 0xFF for n in range(len(part.memory.slot(slot))))
    part.memory.set_slot(slot, content)
    part.locked()
    assert part.send(0x02, p1, address) == content[offset : offset + length]
