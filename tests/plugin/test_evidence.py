"""What a failed test leaves behind: the decoded bus, and no key in any spelling."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

if TYPE_CHECKING:
    from pathlib import Path

pytest_plugins = ["pytester"]

SCALAR = b"qX7wV!kZ2pG#bT9s@R4mJ8yH%cN5dF1u"
KEK = b"Lz3?vB6xK*jP0tW+gM_rY=oD~hS;eQ-i"

FAILING = f"""
import pytest
from hil import provision

SCALAR, KEK = {SCALAR!r}, {KEK!r}

@pytest.mark.needs("provision", element="config-locked")
@pytest.mark.irreversible("write-slot", "write-otp", "lock-data", "write-private-key")
def test_that_fails(rig, element):
    provision.lock_data(element, rig.guard, provision.Contents.zeros(element.config))
    provision.install_key(element, rig.guard, SCALAR, KEK)
    secret = element.ecdh(0, element.public_key(0))
    with open("secret.hex", "w") as file:
        file.write(secret.hex())
    assert rig.name == "another"
"""


DAMAGED = """
@pytest.mark.needs("provision", element="provisioned")
def test_a_damaged_agreement(rig, element):
    with open("key.hex", "w") as file:
        file.write(bytes(rig.parts.identity.scalar).hex())
    element.identify()
    rig.emulated.element.chip.faults.add("wrong-crc", times=10**6)
    try:
        element.ecdh(0, bytes.fromhex(open("peer.hex").read()))
    finally:
        rig.emulated.element.chip.faults.clear()
"""

DRIVER = f"""
import pytest
from contextlib import nullcontext
from hil.element import digests, irreversible
from hil.element.commands608 import KdfResult
from hil.element.device import Element
from hil.element.keyfiles import parse_private_key
from hil.guard.operations import Operation
from hil.guard.permit import issue
from hil.wire.atecc import Command

SCALAR, KEK = {SCALAR!r}, {KEK!r}
pytestmark = pytest.mark.atecc("atecc508a", "provisioned")

class Issuer:
    def arm(self, permit, actions):
        return nullcontext()

def permit(element, operation):
    return issue(Issuer(), operation, element.serial_number().hex(), 0)

@pytest.fixture
def element(atecc):
    with open("key.hex", "w") as file:
        file.write(atecc.memory.slot(0)[4:].hex())
    return Element(atecc.bus, 0x60, "atecc508a")

def test_damaged_agreement(atecc, element):
    atecc.faults.add("wrong-crc", times=10**6)
    element.execute(Command(0x43, 0, 0, bytes.fromhex(open("peer.hex").read())))

def test_unexpected_agreement(element):
    element.execute(Command(0x43, 0, 0, bytes.fromhex(open("peer.hex").read())), 1)

def test_agreement_with_damaged_count(atecc, element):
    atecc.faults.add("bad-count", times=10**6)
    element.execute(Command(0x43, 0, 0, bytes.fromhex(open("peer.hex").read())))

def test_wrong_write_key(element):
    allowed = permit(element, Operation.WRITE_PRIVATE_KEY)
    irreversible.write_private_key(element, 0, SCALAR, allowed, write_key=KEK)

def test_short_write_key(element):
    allowed = permit(element, Operation.WRITE_PRIVATE_KEY)
    irreversible.write_private_key(element, 0, SCALAR, allowed, write_key=KEK[:31])

def test_long_scalar(element):
    allowed = permit(element, Operation.WRITE_PRIVATE_KEY)
    irreversible.write_private_key(element, 0, SCALAR + bytes(1), allowed, write_key=KEK)

def test_slot_for_no_key(element):
    irreversible.write_slot(element, 0, KEK, permit(element, Operation.WRITE_SLOT))

def test_short_keys(element):
    calls = (
        lambda: element.read_encrypted_block(8, 0, 4, KEK[:30]),
        lambda: element.load_alternate_key(KEK[:30]),
        lambda: digests.encrypted_private_key(KEK, 0x40, 0, bytes(9), SCALAR[:31]),
        lambda: KdfResult(KEK, bytes(32)).decrypted(SCALAR[:31]),
    )
    errors = []
    for call in calls:
        with pytest.raises(Exception) as caught:
            call()
        errors.append(caught.value)
    raise ExceptionGroup("all of them", errors)

def test_unreadable_key_file():
    parse_private_key(b"-----BEGIN EC PRIVATE KEY-----" + SCALAR + b"-----END EC PRIVATE KEY-----", "f", KEK)
"""


def spellings(secret: bytes) -> list[bytes]:
    texts = [secret.hex(), secret.hex(" "), secret.hex().upper(), base64.b64encode(secret).decode()]
    return [secret, repr(secret)[2:-1].encode(), *(text.encode() for text in texts)]


def pieces(secret: bytes) -> list[bytes]:
    """A few bytes of it are too much: errors cut long values."""
    return [spelling for at in range(0, 30, 6) for spelling in spellings(secret[at : at + 6])[1:5]]


def everything(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def agreed(folder: Path, peer: ec.EllipticCurvePrivateKey) -> bytes:
    """What the part and ``peer`` agree on, from the private key that the part held."""
    key = ec.derive_private_key(int((folder / "key.hex").read_text(), 16), ec.SECP256R1())
    return key.exchange(ec.ECDH(), peer.public_key())


@pytest.fixture
def peer(pytester: pytest.Pytester) -> ec.EllipticCurvePrivateKey:
    made = ec.generate_private_key(ec.SECP256R1())
    numbers = made.public_key().public_numbers()
    (pytester.path / "peer.hex").write_text(f"{numbers.x:064x}{numbers.y:064x}")
    return made


def test_the_report_shows_the_decoded_bus_and_no_key(
    pytester: pytest.Pytester, peer: ec.EllipticCurvePrivateKey
) -> None:
    pytester.makepyfile(test_it=FAILING + DAMAGED)
    options = ("--rig", "emulated-esp8266-atecc508a", "--runs", "runs", "-p", "no:cacheprovider", "-l")
    result = pytester.runpytest_subprocess(*options)
    result.assert_outcomes(failed=2)
    result.stdout.fnmatch_lines(["*FrameError: CRC of a group of 35 bytes is*"])
    secret = bytes.fromhex((pytester.path / "secret.hex").read_text())
    second = agreed(pytester.path, peer)
    kept = everything(pytester.path / "runs") | {"terminal": result.stdout.str().encode()}
    assert {name.rpartition("/")[2] for name in kept} >= {"report.html", "journal.jsonl", "junit.xml"}
    for name, content in kept.items():
        for value in (SCALAR, KEK, secret):
            assert not any(spelling in content for spelling in spellings(value)), name
        assert [piece for piece in pieces(second) if piece in content] == [], name
    report = next(content for name, content in kept.items() if name.endswith("report.html")).decode()
    for words in ("wake pulse", "PrivWrite mode 0x40", "data hidden", "ECDH mode 0x00", "Lock mode 0x01"):
        assert words in report, words
    journal = next(content for name, content in kept.items() if name.endswith("journal.jsonl"))
    assert any(json.loads(line)["kind"] == "test-end" for line in journal.splitlines())


def test_no_traceback_of_the_driver_shows_a_key(
    pytester: pytest.Pytester, peer: ec.EllipticCurvePrivateKey
) -> None:
    """Every variable of every frame is asked for, with ``--showlocals``."""
    pytester.makeconftest('pytest_plugins = ["hil.testing"]\n')
    pytester.makepyfile(test_it=DRIVER)
    options = ("-p", "no:hil", "-p", "no:cacheprovider", "-l", "--tb=long")
    result = pytester.runpytest_subprocess(*options)
    result.assert_outcomes(failed=DRIVER.count("def test_"))
    for words in (
        "FrameError: CRC of a group of 35 bytes is",
        "count byte 0xA3 of an answer is out of range",
        "PrivWrite: status 0x0F",
        "write key has 32 bytes, not 31",
        "ECDH answered 32 bytes where 1 are due",
    ):
        assert words in result.stdout.str(), words
    said = result.stdout.str().encode()
    for value in (SCALAR, KEK, agreed(pytester.path, peer)):
        assert [piece for piece in pieces(value) if piece in said] == []
