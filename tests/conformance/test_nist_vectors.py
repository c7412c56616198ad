"""NIST's vectors through the element's commands: ECDSA, ECDH, AES, HMAC, HKDF.

The files come with the package ``cryptography-vectors``: CAVP ECDSA (FIPS 186-3 SigVer, KeyPair, PKV),
CAVP key agreement (ZZOnly), NIST AES known answers, RFC 4231 and RFC 5869.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest

from tests.unit.chip_bench import DATA_KEY, ECC_PRIVATE, Part

if TYPE_CHECKING:
    from collections.abc import Iterator

vectors = pytest.importorskip("cryptography_vectors", reason="cryptography-vectors is not installed")

OK, MISCOMPARE, ECC_FAULT = b"\0", b"\x01", b"\x05"
PRIME = 2**256 - 2**224 + 2**192 + 2**96 - 1
B = 0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B
"""P-256: y² = x³ - 3x + b (SP 800-186 section 3.2.1.3)."""
ECDSA = "asymmetric/ECDSA/FIPS_186-3/"
Vector = dict[str, str]


def read(name: str) -> list[str]:
    with vectors.open_vector_file(name, "r") as file:
        return [line.strip() for line in file]


def records(name: str, first: str) -> Iterator[tuple[str, Vector]]:
    """Section and fields of each record; ``first`` is the field that begins one."""
    section, record = "", Vector()
    for line in read(name):
        key, equals, value = (word.strip() for word in line.partition("="))
        if line.startswith("[") and not equals:
            section = line.strip("[]")
        if not equals:
            continue
        if key == first and record:
            yield record["section"], record
            record = Vector()
        record["section"] = record.get("section", section)
        record[key] = value
    if record:
        yield record["section"], record


def on_curve(x: int, y: int) -> bool:
    return x < PRIME and y < PRIME and (y * y - x**3 + 3 * x - B) % PRIME == 0


def number(record: Vector, key: str) -> bytes:
    return bytes.fromhex(record[key].rjust(64, "0"))


def point(record: Vector, x: str, y: str) -> bytes:
    return number(record, x) + number(record, y)


def leftmost(digest: bytes) -> bytes:
    """The number that ECDSA makes of a digest, as the 32 bytes that the element takes (FIPS 186-4 6.4)."""
    return digest[:32].rjust(32, b"\0")


@pytest.mark.parametrize("name", ["atecc508a", "atecc608b"])
@pytest.mark.parametrize("hashing", ["SHA-1", "SHA-224", "SHA-256", "SHA-384", "SHA-512"])
def test_cavp_signatures_through_verify(name: str, hashing: str) -> None:
    part = Part(name).locked()
    source = 0x16, 0x03 if name == "atecc508a" else 0x43
    mode = 0x02 if name == "atecc508a" else 0x22
    seen = {"P": 0, "F": 0}
    for section, record in records(ECDSA + "SigVer.rsp", "Msg"):
        if section != f"P-256,{hashing}":
            continue
        verdict = record["Result"][0]
        seen[verdict] += 1
        digest = leftmost(hashlib.new(hashing.replace("-", ""), bytes.fromhex(record["Msg"])).digest())
        assert part.send(*source, 0, digest) == OK
        signature = number(record, "R") + number(record, "S")
        answer = part.send(0x45, mode, 4, signature + point(record, "Qx", "Qy"))
        valid = on_curve(int(record["Qx"], 16), int(record["Qy"], 16))
        assert answer == (OK if verdict == "P" else MISCOMPARE if valid else ECC_FAULT), record
    assert seen["P"] >= 2
    assert sum(seen.values()) == 15


def test_cavp_key_pairs_through_priv_write_and_gen_key() -> None:
    part = Part("atecc508a").slot(0, 0x6487, ECC_PRIVATE).locked(data=False)
    count = 0
    for record in p256_key_pairs():
        assert part.send(0x46, 0, 0, bytes(4) + number(record, "d") + bytes(32)) == OK
        assert part.send(0x40, 0, 0) == point(record, "Qx", "Qy")
        count += 1
    assert count == 10


def p256_key_pairs() -> list[Vector]:
    """The curve is a heading of its own, two lines above the records."""
    found, curve, record = [], "", Vector()
    for line in read(ECDSA + "KeyPair.rsp"):
        if line.startswith("[P-") or line.startswith(("[K-", "[B-")):
            curve = line.strip("[]")
        key, equals, value = (word.strip() for word in line.partition("="))
        if equals and curve == "P-256" and key in ("d", "Qx", "Qy"):
            record[key] = value
            if key == "Qy":
                found.append(record)
                record = Vector()
    return found


def test_cavp_public_keys_are_taken_if_they_are_points_of_the_curve() -> None:
    part = Part("atecc508a").slot(0, 0x6487, ECC_PRIVATE)
    part.memory.set_private_key(0, bytes(31) + b"\x07")
    part.locked()
    verdicts = []
    for section, record in records(ECDSA + "PKV.rsp", "Qx"):
        if section != "P-256":
            continue
        x, y = int(record["Qx"], 16), int(record["Qy"], 16)
        valid = record["Result"].startswith("P")
        verdicts.append(valid)
        if max(x, y) < 1 << 256:  # longer ones do not even fit into the command
            answer = part.send(0x43, 0, 0, point(record, "Qx", "Qy"))
            assert (len(answer) == 32) is valid, record
            assert valid or answer == ECC_FAULT
    assert len(verdicts) == 12
    assert 0 < sum(verdicts) < 12


def test_cavp_shared_secrets_through_ecdh() -> None:
    part = Part("atecc608b").slot(0, 0x6487, ECC_PRIVATE).locked(data=False)
    right = wrong = 0
    name = "asymmetric/ECDH/KASValidityTest_ECCStaticUnified_NOKC_ZZOnly_init.fax"
    for section, record in records(name, "COUNT"):
        if section != "EC - SHA256":
            continue
        assert part.send(0x46, 0, 0, bytes(4) + number(record, "dsIUT") + bytes(32)) == OK
        answer = part.send(0x43, 0x0C, 0, point(record, "QsCAVSx", "QsCAVSy"))
        matches = hashlib.sha256(answer).hexdigest() == record["CAVSHashZZ"]
        verdict, reason = record["Result"][0], record["Result"]
        if verdict == "P":
            assert answer == number(record, "Z")
            assert matches
            right += 1
        elif "CAVS's" in reason or "Z value" in reason or "ZZ" in reason:
            assert not matches, reason
            wrong += 1
    assert right > 5
    assert wrong > 0


@pytest.mark.parametrize("file", ["ECBGFSbox128", "ECBKeySbox128", "ECBVarKey128", "ECBVarTxt128"])
def test_nist_aes_known_answers(file: str) -> None:
    part = Part("atecc608b").locked()
    count = 0
    for _, record in records(f"ciphers/AES/ECB/{file}.rsp", "COUNT"):
        if "KEY" not in record:
            continue
        clear, cipher = bytes.fromhex(record["PLAINTEXT"]), bytes.fromhex(record["CIPHERTEXT"])
        part.nonce(bytes.fromhex(record["KEY"]) + bytes(16))
        assert part.send(0x51, 0, 0xFFFF, clear) == cipher
        assert part.send(0x51, 1, 0xFFFF, cipher) == clear
        count += 1
    assert count >= 14


@pytest.mark.parametrize("name", ["atecc508a", "atecc608b"])
def test_rfc_4231_hmacs_of_keys_that_fit_a_slot(name: str) -> None:
    part = Part(name).slot(4, 0x0F0F, DATA_KEY).locked()
    count = 0
    for _, record in records("HMAC/rfc-4231-sha256.txt", "Len"):
        key, message = bytes.fromhex(record["Key"]), bytes.fromhex(record["Msg"])
        if len(key) > 32:
            continue
        part.memory.set_slot(4, key.ljust(32, b"\0"))  # HMAC fills a short key with zeros itself
        assert part.send(0x47, 4, 4) == OK
        whole = len(message) // 64 * 64
        for at in range(0, whole, 64):
            assert part.send(0x47, 1, 64, message[at : at + 64]) == OK
        end = 5 if name == "atecc508a" else 2
        answer = part.send(0x47, end, len(message) - whole, message[whole:])
        assert answer.hex() == record["MD"]
        count += 1
    assert count >= 4


def test_rfc_5869_hkdf_through_kdf() -> None:
    """Extract, then the first block of Expand, each one KDF command with the key in TempKey."""
    part = Part("atecc608b").locked()
    count = 0
    for _, record in records("KDF/rfc-5869-HKDF-SHA256.txt", "COUNT"):
        salt, material = bytes.fromhex(record.get("salt", "")), bytes.fromhex(record["IKM"])
        info = bytes.fromhex(record.get("info", "")) + b"\x01"
        if len(salt) > 32 or len(material) > 123 or len(info) > 123:
            continue
        part.nonce(salt.ljust(32, b"\0"))
        prk = part.send(0x56, 0x50, 0, (len(material) << 24 | 2).to_bytes(4, "little") + material)
        assert prk.hex() == record["PRK"]
        part.nonce(prk)
        okm = part.send(0x56, 0x50, 0, (len(info) << 24 | 2).to_bytes(4, "little") + info)
        assert record["OKM"].startswith(okm.hex())
        count += 1
    assert count >= 2
