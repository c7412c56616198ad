"""Golden vectors of the packet codec; nothing of the emulator is imported.

CRCs: logic trace in helium/gateway-mfr-rs issue 16 (Info, wake), the others by the algorithm of the
ATECC508A data sheet DS20005927A section 9.1.3, done by hand with another table (bit-reversed CRC-16/ARC
as in the Linux kernel, ``drivers/crypto/atmel-i2c.c``). Formats: sections 6 and 9.1.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from hil.errors import FrameError
from hil.wire.atecc import (
    STATUS_MEANING,
    WAKE_RESPONSE,
    Command,
    Opcode,
    Status,
    WordAddress,
    crc16,
    decode_command,
    decode_response,
    encode_response,
    status_response,
)

ROOT = Path(__file__).parents[2]
CRCS = {
    "07 30 00 00 00": "03 5D",
    "04 11": "33 43",
    "04 01": "00 C3",
    "04 05": "C3 43",
    "04 08": "60 C0",
    "04 EE": "31 41",
    "07 1B 00 00 00": "24 CD",
    "07 02 00 15 00": "17 5D",
    "07 40 00 00 00": "00 05",
    "07 41 A0 00 00": "7B 85",
    "07 17 81 00 00": "3A 07",
    "23" + " FF FF 00 00" * 8: "41 1A",
    "07 00 00 60 03": "83 BB",
    "07 00 00 60 02": "80 38",
    "04 00": "03 40",
    "04 03": "83 42",
    "04 07": "40 C2",
    "04 0F": "23 42",
    "04 FF": "01 42",
    "07 02 80 00 00": "09 AD",
    "07 40 04 00 00": "83 87",
    "07 41 80 00 00": "28 05",
    "07 17 80 00 00": "39 8D",
    "07 17 02 00 00": "2D 88",
    "07 47 00 00 00": "2E 85",
}
COMMANDS = {
    "07 30 00 00 00 03 5D": Command(Opcode.INFO),
    "07 1B 00 00 00 24 CD": Command(Opcode.RANDOM),
    "07 02 80 00 00 09 AD": Command(Opcode.READ, 0x80, 0),
    "07 02 00 15 00 17 5D": Command(Opcode.READ, 0, 0x15),
    "07 40 04 00 00 83 87": Command(Opcode.GENKEY, 4, 0),
    "07 41 A0 00 00 7B 85": Command(Opcode.SIGN, 0xA0, 0),
    "07 17 02 00 00 2D 88": Command(Opcode.LOCK, 2, 0),
}


@pytest.mark.parametrize(("data", "crc"), CRCS.items())
def test_crc(data: str, crc: str) -> None:
    assert crc16(bytes.fromhex(data)) == bytes.fromhex(crc)


def test_crc_is_that_of_the_linux_kernel() -> None:
    """CRC-16/ARC, every bit in reverse order."""

    def arc(data: bytes) -> int:
        register = 0
        for byte in data:
            register ^= byte
            for _ in range(8):
                register = register >> 1 ^ (0xA001 if register & 1 else 0)
        return register

    for length in range(0, 160, 7):
        data = bytes(n * 31 & 0xFF for n in range(length))
        assert crc16(data) == int(f"{arc(data):016b}"[::-1], 2).to_bytes(2, "little")


def test_the_zone_checksum_of_a_factory_508a() -> None:
    zone = bytes.fromhex(
        "0123F52E0000500001F0C201EEC05500 C0005500832087208F20C48F8F8F8F8F 9F8FAF8F000000000000000000000000"
        "0000AF8FFFFFFFFF00000000FFFFFFFF 00000000FFFFFFFFFFFFFFFFFFFFFFFF FFFFFFFF00005555FFFF000000000000"
        "3300330033001C001C001C001C001C00 3C003C003C003C003C003C003C001C00"
    )
    assert len(zone) == 128
    assert crc16(zone) == bytes.fromhex("20 12")


@pytest.mark.parametrize(("group", "command"), COMMANDS.items())
def test_command_groups(group: str, command: Command) -> None:
    assert command.encode() == bytes.fromhex(group)
    assert decode_command(bytes.fromhex(group)) == command


def test_a_command_group_is_count_opcode_p1_p2_low_byte_first_data_and_crc() -> None:
    group = Command(0x12, 0xC2, 0x1234, b"data").encode()
    assert group[:-2] == bytes.fromhex("0B 12 C2 34 12") + b"data"
    assert group[-2:] == crc16(group[:-2])


def test_a_group_has_up_to_155_bytes() -> None:
    assert len(Command(0x47, 7, 0, bytes(148)).encode()) == 155
    with pytest.raises(FrameError, match="155"):
        Command(0x47, 7, 0, bytes(149)).encode()


@pytest.mark.parametrize(
    "wrong", [Command(0x100), Command(0x30, 0x100), Command(0x30, 0, 0x10000), Command(-1)]
)
def test_fields_that_do_not_fit_are_refused(wrong: Command) -> None:
    with pytest.raises(FrameError, match="out of range"):
        wrong.encode()


@pytest.mark.parametrize(
    "group",
    ["", "07", "07 30 00 00 00 03", "08 30 00 00 00 03 5D", "07 30 00 00 00 03 5C", "07 31 00 00 00 03 5D"],
)
def test_damaged_commands_are_refused(group: str) -> None:
    with pytest.raises(FrameError):
        decode_command(bytes.fromhex(group))


@pytest.mark.parametrize("group", ["", "03 40", "04 00 03", "05 00 03 40", "04 00 03 41", "04 01 03 40"])
def test_damaged_answers_are_refused(group: str) -> None:
    with pytest.raises(FrameError):
        decode_response(bytes.fromhex(group))


@pytest.mark.parametrize(
    ("status", "group"),
    [
        (Status.OK, "04 00 03 40"),
        (Status.MISCOMPARE, "04 01 00 C3"),
        (Status.PARSE, "04 03 83 42"),
        (Status.ECC_FAULT, "04 05 C3 43"),
        (Status.SELF_TEST, "04 07 40 C2"),
        (Status.HEALTH_TEST, "04 08 60 C0"),
        (Status.EXECUTION, "04 0F 23 42"),
        (Status.AFTER_WAKE, "04 11 33 43"),
        (Status.WATCHDOG, "04 EE 31 41"),
        (Status.COMMUNICATION, "04 FF 01 42"),
    ],
)
def test_status_answers(status: Status, group: str) -> None:
    assert status_response(status) == bytes.fromhex(group)
    assert decode_response(bytes.fromhex(group)) == bytes((status,))
    assert STATUS_MEANING[status]


def test_the_answer_after_a_wake() -> None:
    assert bytes.fromhex("04 11 33 43") == WAKE_RESPONSE


def test_answers_carry_data_of_any_length() -> None:
    assert encode_response(bytes.fromhex("00 00 60 02")).hex(" ") == "07 00 00 60 02 80 38"
    for length in (1, 4, 16, 32, 64, 128):
        assert decode_response(encode_response(bytes(length))) == bytes(length)


def test_word_addresses_and_opcodes_are_those_of_the_sheets() -> None:
    assert [int(word) for word in WordAddress] == [0, 1, 2, 3]
    expected = {
        "AES": 0x51, "CheckMac": 0x28, "Counter": 0x24, "DeriveKey": 0x1C, "ECDH": 0x43, "GenDig": 0x15,
        "GenKey": 0x40, "HMAC": 0x11, "Info": 0x30, "KDF": 0x56, "Lock": 0x17, "MAC": 0x08, "Nonce": 0x16,
        "Pause": 0x01, "PrivWrite": 0x46, "Random": 0x1B, "Read": 0x02, "SecureBoot": 0x80, "SelfTest": 0x77,
        "SHA": 0x47, "Sign": 0x41, "UpdateExtra": 0x20, "Verify": 0x45, "Write": 0x12,
    }  # fmt: skip
    assert {opcode.label: int(opcode) for opcode in Opcode} == expected
    assert Command(0x99).label == "opcode 0x99"


@pytest.mark.parametrize("module", ["test_atecc_packets", "test_element_digests"])
def test_golden_vectors_are_checked_without_the_emulator(module: str) -> None:
    code = f"import sys, tests.unit.{module}; print([m for m in sys.modules if m.startswith('hil.emulator')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "[]"
