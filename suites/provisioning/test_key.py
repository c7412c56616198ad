"""The key that was made is the key that is in the slot."""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from hil import provision
from hil.discretion import SecretBytes
from hil.element.keyfiles import PrivateScalar, parse_private_key, public_half

if TYPE_CHECKING:
    from hil.element.device import Element
    from hil.rig.rig import Rig

pytestmark = [
    pytest.mark.needs("provision", element="config-locked"),
    pytest.mark.irreversible("write-slot", "write-otp", "lock-data", "write-private-key"),
]


def ordinary_scalar() -> PrivateScalar:
    """From the openssl program, as in the first article; from ``cryptography`` where it is missing."""
    if shutil.which("openssl") is not None:
        made = subprocess.run(
            ["openssl", "ecparam", "-name", "prime256v1", "-genkey"], capture_output=True, check=True
        )
        return parse_private_key(made.stdout, "openssl ecparam")
    key = ec.generate_private_key(ec.SECP256R1())
    return PrivateScalar(key.private_numbers().private_value.to_bytes(32, "big"))


def short_scalar(zeros: int) -> PrivateScalar:
    """A key whose first bytes are zero: tools that drop them install another key."""
    return PrivateScalar(bytes(zeros) + b"\x01" + os.urandom(31 - zeros))


def new_kek() -> SecretBytes:
    """A key-encryption key."""
    return SecretBytes(os.urandom(32))


@pytest.mark.req("HIL-PROV-001")
@pytest.mark.parametrize("leading_zeros", [0, 1, 2])
def test_the_key_in_the_slot_is_the_key_that_was_made(rig: Rig, element: Element, leading_zeros: int) -> None:
    """Both zones locked, key-encryption key into slot 4, the key into slot 0 by encrypted write."""
    scalar = short_scalar(leading_zeros) if leading_zeros else ordinary_scalar()
    provision.lock_data(element, rig.guard, provision.Contents.zeros(element.config))
    provision.install_key(element, rig.guard, scalar, new_kek())
    assert element.public_key(provision.KEY_SLOT) == public_half(scalar)


@pytest.mark.req("HIL-PROV-002")
def test_a_wrong_key_encryption_key_changes_nothing(rig: Rig, element: Element) -> None:
    from hil.element import irreversible
    from hil.errors import DeviceError
    from hil.guard.guard import Facts
    from hil.guard.operations import Operation

    first, second, kek = ordinary_scalar(), ordinary_scalar(), new_kek()
    provision.lock_data(element, rig.guard, provision.Contents.zeros(element.config))
    provision.install_key(element, rig.guard, first, kek)
    serial = element.serial_number().hex()
    permit = rig.guard.permit(Operation.WRITE_PRIVATE_KEY, Facts(serial, slot=provision.KEY_SLOT))
    with pytest.raises(DeviceError):
        irreversible.write_private_key(element, provision.KEY_SLOT, second, permit, write_key=new_kek())
    assert element.public_key(provision.KEY_SLOT) == public_half(first)
