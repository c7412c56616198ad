"""Golden vectors of the digest layouts; computed elsewhere, not by this code or the emulator."""

from __future__ import annotations

import hashlib
import hmac

import pytest

from hil.element import digests
from hil.element.zones import config_address, config_crc, data_address, data_crc, otp_address
from hil.errors import UsageError

SERIAL = bytes.fromhex("0123f3acfd2a826bee")
KEY = bytes(range(0x20))
TEMPKEY = bytes(range(0x20, 0x40))
GENDIG = bytes.fromhex("6b8a190e60eb5a397db411c8bd4c935e94825c67a419c4970fa20e63a16fea0f")


def test_random_nonce_while_the_configuration_is_unlocked() -> None:
    unlocked = bytes.fromhex("ffff0000") * 8
    expected = "c5a66271d5446df96f7d9a4ad173b4ae6be163d42b623e70d164fa145db1d463"
    assert digests.nonce_tempkey(unlocked, bytes(20), 0).hex() == expected


def test_gendig_over_a_slot() -> None:
    assert digests.gendig_zone(KEY, 2, 0x0004, SERIAL, TEMPKEY) == GENDIG


def test_gendig_with_the_other_data_that_cryptoauthlib_sends_is_the_same() -> None:
    assert digests.gendig_no_mac(KEY, bytes.fromhex("15020400"), SERIAL, TEMPKEY) == GENDIG


def test_mac_with_full_serial_number() -> None:
    parts = digests.MacParts(0x40, 0x0005, SERIAL)
    expected = "5c6c05836fb36f46a97ee76e4f4b201c343422075c44b51321f41098625181c5"
    assert digests.mac_response(KEY, TEMPKEY, parts).hex() == expected


def test_encrypted_write_mac() -> None:
    data = digests.encrypted_write(GENDIG, 0xC2, 0x0028, SERIAL, bytes(range(100, 132)))
    assert data[32:].hex() == "ab4f194de4fc5c49215e81cac60d5db82df0ad5834e18ee349b01722e4710aa5"
    assert digests.xor(data[:32], GENDIG) == bytes(range(100, 132))


def test_encrypted_private_key_and_mac() -> None:
    data = digests.encrypted_private_key(GENDIG, 0x40, 0, SERIAL, bytes(range(1, 33)))
    assert data[:36].hex() == "6b8a190e61e9593d78b216c0b4469852998c5377b50bd7831ab4197bb875f113cf563830"
    assert data[36:].hex() == "89d922d685f59b068678dd3bb2e7a4df3a7f24435d9bff588aa8ebc42cd91343"


def test_prf_of_64_bytes() -> None:
    key, message = bytes(range(16)) * 2, bytes(range(16))
    expected = (
        "1ebcbe62005ab948fdffe1c402aaba354ec676050c9bc1aae1ff5b1509a4a04a"
        "44254664c2a480f5b77ea2d1020c7ba4b3640c4ac793324c26d6fddfdb1f011a"
    )
    assert digests.kdf_prf(key, message, 64).hex() == expected


def test_hkdf_step() -> None:
    key, message = bytes(range(16)) * 2, bytes(range(16))
    expected = "495d46aa392d51132edb93bc49e60ecaaeb7802f3ae529779d5883f9330af561"
    assert digests.kdf_hkdf(key, message).hex() == expected


# Layouts without a published result: the message is written out by hand from the data sheet.

SN8, SN01 = b"\xee", b"\x01\x23"


def sha(*parts: bytes) -> bytes:
    message = b"".join(parts)
    return hashlib.sha256(message).digest()


def test_gendig_shared_and_its_swap() -> None:
    other = bytes(range(0x40, 0x60))
    tail = SN8 + SN01 + bytes(25)
    assert digests.gendig_shared(other, 4, SERIAL, TEMPKEY) == sha(
        other, bytes.fromhex("15030400"), tail, TEMPKEY
    )
    assert digests.gendig_shared(other, 0x8004, SERIAL, TEMPKEY) == sha(
        TEMPKEY, bytes.fromhex("15030400"), tail, other
    )


def test_gendig_counter() -> None:
    message = (
        bytes(32) + bytes.fromhex("15040100") + SN8 + SN01 + b"\0" + bytes.fromhex("2d000000") + bytes(20)
    )
    assert len(message + TEMPKEY) == 96
    assert digests.gendig_counter(45, 1, SERIAL, TEMPKEY) == sha(message, TEMPKEY)


def test_gendig_keyconfig() -> None:
    message = bytes(32) + bytes.fromhex("15050200") + SN8 + SN01 + b"\0"
    message += bytes.fromhex("8764") + bytes.fromhex("3300") + b"\1" + bytes(19)
    assert len(message + TEMPKEY) == 96
    result = digests.gendig_keyconfig(b"\x87\x64", b"\x33\x00", True, 2, SERIAL, TEMPKEY)
    assert result == sha(message, TEMPKEY)


def test_genkey_digest() -> None:
    public = bytes(range(64))
    message = TEMPKEY + bytes.fromhex("40080300") + SN8 + SN01 + bytes(25) + public
    assert len(message) == 128
    assert digests.genkey_digest(TEMPKEY, public, bytes.fromhex("080300"), SERIAL) == sha(message)


def test_mac_without_serial_number_hashes_zeros_in_its_place() -> None:
    message = KEY + TEMPKEY + bytes.fromhex("08000500") + bytes(11) + SN8 + bytes(4) + SN01 + bytes(2)
    assert len(message) == 88
    assert digests.mac_response(KEY, TEMPKEY, digests.MacParts(0, 5, SERIAL)) == sha(message)


def test_hmac_is_keyed_by_the_slot_over_the_mac_message() -> None:
    message = bytes(32) + TEMPKEY + bytes.fromhex("11040500") + bytes(11) + SN8 + bytes(4) + SN01 + bytes(2)
    expected = hmac.new(KEY, message, "sha256").digest()
    assert digests.hmac_response(KEY, TEMPKEY, digests.MacParts(4, 5, SERIAL)) == expected


def test_check_mac() -> None:
    od = bytes(range(0x80, 0x8D))
    message = KEY + TEMPKEY + od[0:4] + bytes(8) + od[4:7] + SN8 + od[7:11] + SN01 + od[11:13]
    assert len(message) == 88
    assert digests.check_mac_response(KEY, TEMPKEY, od, SERIAL) == sha(message)


def test_a_mac_is_what_check_mac_expects_of_the_same_slot() -> None:
    parts = digests.MacParts(0, 5, SERIAL)
    other_data = bytes.fromhex("08000500") + bytes(9)
    assert digests.check_mac_response(KEY, TEMPKEY, other_data, SERIAL) == digests.mac_response(
        KEY, TEMPKEY, parts
    )


def test_derive_key_and_its_mac() -> None:
    head = bytes.fromhex("1c000300") + SN8 + SN01
    assert digests.derive_key(KEY, 0, 3, SERIAL, TEMPKEY) == sha(KEY, head, bytes(25), TEMPKEY)
    assert len(KEY + head) == 39
    assert digests.derive_key_mac(KEY, 0, 3, SERIAL) == sha(KEY, head)


def test_internal_message_and_validation_message_are_two_views_of_the_same_bytes() -> None:
    """Verify(Validate) hashes from OtherData what Sign(internal) hashes from the slots."""
    signed = digests.internal_message(
        TEMPKEY,
        0x40,
        1,
        slot_config=b"\x0f\x0f",
        key_config=b"\x12\x00",
        flags=0x4A,
        serial=SERIAL,
        slot_unlocked=True,
    )
    od = (
        bytes.fromhex("400100")
        + b"\x0f\x0f\x12\x00"
        + bytes((0x4A, 0, 0))
        + SERIAL[4:8]
        + SERIAL[2:4]
        + b"\1\0\0"
    )
    message = TEMPKEY + b"\x41" + od[0:10] + SN8 + od[10:14] + SN01 + od[14:19]
    assert len(message) == 55 + 0
    assert signed == sha(message)
    assert digests.validation_message(TEMPKEY, od, SERIAL) == signed


def test_verify_mac() -> None:
    nonce, signature = bytes(range(0x60, 0x80)), bytes(64)
    expected = sha(KEY, TEMPKEY, nonce, signature, bytes.fromhex("45820400"))
    assert digests.verify_mac(KEY, TEMPKEY, nonce, signature, 0x82, 4) == expected


def test_encrypted_output_uses_half_a_nonce_per_block() -> None:
    nonce, clear = bytes(range(32)), bytes(range(64))
    cipher = digests.xor(clear, sha(KEY, nonce[:16]) + sha(KEY, nonce[16:]))
    assert digests.encrypted_output(KEY, nonce, cipher) == clear
    assert digests.encrypted_output(KEY, nonce, cipher[:32]) == clear[:32]


def test_secure_boot_mac() -> None:
    key = digests.secure_boot_key(KEY, TEMPKEY)
    assert key == sha(KEY, TEMPKEY)
    assert digests.secure_boot_mac(key, bytes(32), bytes(64), 0x85) == sha(
        key, bytes(32), bytes(64), bytes.fromhex("80850000")
    )


@pytest.mark.parametrize("function", [digests.encrypted_write, digests.encrypted_private_key])
def test_wrong_sizes_are_refused(function: object) -> None:
    with pytest.raises(UsageError, match="bytes, not 31"):
        function(TEMPKEY, 0, 0, SERIAL, bytes(31))  # type: ignore[operator]


# Addresses and summary checksums

FACTORY_508A = bytes.fromhex(
    "0123F52E0000500001F0C201EEC05500"
    "C0005500 83208720 8F20C48F 8F8F8F8F 9F8FAF8F 00000000 00000000 00000000 0000AF8F"
    "FFFFFFFF00000000 FFFFFFFF00000000" + "FF" * 16 + "00005555 FFFF0000 00000000"
    "33003300 33001C00 1C001C00 1C001C00 3C003C00 3C003C00 3C003C00 3C001C00"
)


def test_summary_checksum_of_a_factory_508a() -> None:
    assert config_crc(FACTORY_508A).to_bytes(2, "little").hex(" ") == "20 12"


def test_addresses() -> None:
    assert data_address(9, 1, 5) == 0x014D
    assert data_address(10, 2, 1) == 0x0251
    assert [data_address(8, block) for block in (0, 1, 12)] == [0x0040, 0x0140, 0x0C40]
    assert config_address(84) == 0x15
    assert otp_address(32) == 8


@pytest.mark.parametrize(("slot", "block"), [(0, 2), (8, 13), (9, 3), (16, 0), (-1, 0), (9, -1)])
def test_addresses_outside_are_refused(slot: int, block: int) -> None:
    with pytest.raises(UsageError):
        data_address(slot, block)


def test_words_and_offsets_outside_are_refused() -> None:
    for word in (-1, 8):
        with pytest.raises(UsageError):
            data_address(9, 0, word)
    for offset in (-4, 2, 128):
        with pytest.raises(UsageError):
            config_address(offset)
    for offset in (-4, 2, 64):
        with pytest.raises(UsageError):
            otp_address(offset)


def test_data_checksum_counts_every_slot_but_the_private_ones() -> None:
    slots = {n: bytes(36) for n in range(2, 8)} | {8: bytes(416)} | {n: bytes(72) for n in range(9, 16)}
    whole = data_crc(slots, bytes(64), (0, 1))
    assert data_crc(slots | {0: b"\1" * 36}, bytes(64), (0, 1)) == whole
    assert data_crc(slots | {2: b"\1" + bytes(35)}, bytes(64), (0, 1)) != whole
    assert data_crc(slots, bytes(63) + b"\1", (0, 1)) != whole


def test_data_checksum_needs_every_slot() -> None:
    with pytest.raises(UsageError, match="content of slots 0, 1, 2"):
        data_crc({}, bytes(64), ())
