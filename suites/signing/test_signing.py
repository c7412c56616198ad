from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from hil.errors import ElementError

if TYPE_CHECKING:
    from pathlib import Path

    from hil.element.device import Element

pytestmark = pytest.mark.needs("sign", element="provisioned")

SLOT = 0
MESSAGE = b"what the element signs"


def public_key(xy: bytes) -> ec.EllipticCurvePublicKey:
    return ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), b"\x04" + xy)


def der(rs: bytes) -> bytes:
    return utils.encode_dss_signature(int.from_bytes(rs[:32], "big"), int.from_bytes(rs[32:], "big"))


def digest(message: bytes) -> bytes:
    return hashlib.sha256(message).digest()


@pytest.mark.req("HIL-SIGN-001")
def test_a_signature_verifies_under_the_slots_public_key(element: Element) -> None:
    signature = element.sign_digest(SLOT, digest(MESSAGE))
    public_key(element.public_key(SLOT)).verify(der(signature), MESSAGE, ec.ECDSA(hashes.SHA256()))


@pytest.mark.req("HIL-SIGN-001")
@pytest.mark.skipif(shutil.which("openssl") is None, reason="the openssl program is not installed")
def test_openssl_agrees(element: Element, tmp_path: Path) -> None:
    (tmp_path / "message").write_bytes(MESSAGE)
    (tmp_path / "signature").write_bytes(der(element.sign_digest(SLOT, digest(MESSAGE))))
    key = public_key(element.public_key(SLOT))
    (tmp_path / "key.pem").write_bytes(key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    result = subprocess.run(
        ["openssl", "dgst", "-sha256", "-verify", "key.pem", "-signature", "signature", "message"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (result.returncode, result.stdout.strip()) == (0, "Verified OK"), result.stderr


@pytest.mark.req("HIL-SIGN-002")
def test_a_signature_does_not_verify_for_another_message(element: Element) -> None:
    signature = element.sign_digest(SLOT, digest(b"another message"))
    key = public_key(element.public_key(SLOT))
    with pytest.raises(InvalidSignature):
        key.verify(der(signature), MESSAGE, ec.ECDSA(hashes.SHA256()))


@pytest.mark.req("HIL-SIGN-002")
def test_a_signature_does_not_verify_under_another_key(element: Element) -> None:
    signature = element.sign_digest(SLOT, digest(MESSAGE))
    other = ec.generate_private_key(ec.SECP256R1()).public_key()
    with pytest.raises(InvalidSignature):
        other.verify(der(signature), MESSAGE, ec.ECDSA(hashes.SHA256()))


@pytest.mark.req("HIL-SIGN-003")
def test_no_two_signatures_share_r(element: Element) -> None:
    """A repeated nonce gives the private key away."""
    same = digest(os.urandom(32))
    rs = [element.sign_digest(SLOT, same)[:32] for _ in range(8)]
    assert len(set(rs)) == len(rs), "two signatures share r: the element repeats its ECDSA nonce"


@pytest.mark.req("HIL-SIGN-004")
def test_the_private_key_cannot_be_read(element: Element) -> None:
    with pytest.raises(ElementError, match="0x0F"):
        element.read_slot(SLOT)


@pytest.mark.req("HIL-SIGN-005")
def test_a_slot_without_a_private_key_does_not_sign(element: Element) -> None:
    with pytest.raises(ElementError):
        element.sign_digest(10, digest(MESSAGE))


@pytest.mark.req("HIL-SIGN-006")
def test_the_element_verifies_its_own_signature_and_refuses_a_changed_one(element: Element) -> None:
    xy = element.public_key(SLOT)
    signature = element.sign_digest(SLOT, digest(MESSAGE))
    assert element.verify_external(xy, digest(MESSAGE), signature)
    assert not element.verify_external(xy, digest(b"changed"), signature)


@pytest.mark.req("HIL-SIGN-007")
def test_the_random_generator_does_not_repeat_itself(element: Element) -> None:
    """Keys, nonces and encrypted writes stand on it; a generator that is stuck still answers status 00."""
    drawn = [element.random() for _ in range(16)]
    drawn += [element.nonce_random().rand_out for _ in range(4)]
    assert len(set(drawn)) == len(drawn), "the element's random generator repeats itself"
