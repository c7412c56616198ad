"""SecureBoot in the modes for which the guard wants a permit (608): what is stored, and checks against it.

As in :mod:`hil.element.irreversible`, every function takes a permit and sends nothing on a guess. The
mode that uses nothing stored is :meth:`hil.element.device.Element.secure_boot_check`.

Sources: ATECC608A-TFLXTLS data sheet DS40002138A section 5.2.3; Microchip AN3539 "Migrating from the
ATECC508A to the ATECC608B" section 2.1.1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hil.discretion import discreet
from hil.element import digests
from hil.element.change import change, covers, matched, send_once
from hil.element.zones import check_length
from hil.errors import ElementError
from hil.guard.operations import Operation
from hil.wire.atecc import STATUS_MEANING, Command, Opcode, Status

if TYPE_CHECKING:
    from hil.element.device import Element
    from hil.guard.permit import Permit

__all__ = [
    "secure_boot_check_stored",
    "secure_boot_check_stored_mac",
    "secure_boot_copy",
    "secure_boot_copy_mac",
]


def secure_boot_check_stored(element: Element, digest: bytes, permit: Permit) -> bool:
    """Whether firmware is what :func:`secure_boot_copy` has accepted, by its digest alone (608, mode 06).

    The mode is called FullStore and stores nothing: the element compares the digest with the stored one,
    or verifies the stored signature over it (AN3539 section 2.1.1). The guard wants a permit for every
    mode of SecureBoot but Full.
    """
    return _plain(element, 0x06, check_length(digest, 32, "the digest"), permit)


@discreet
def secure_boot_check_stored_mac(
    element: Element, digest: bytes, io_key: bytes, permit: Permit, *, signature: bytes = b""
) -> bool:
    """The same with the digest encrypted and the answer authenticated (mode 86).

    Args:
        element: the element.
        digest: 32 bytes.
        io_key: the IO protection key.
        permit: for ``SECURE_BOOT``.
        signature: the stored signature, where SecureBootMode is FullSig; it goes into the proof.

    Raises:
        ElementError: status 01: the MAC is wrong, someone answered for the element.
    """
    if signature:
        check_length(signature, 64, "the signature")
    return _proven(element, 0x86, digest, signature, io_key, permit)


def secure_boot_copy(element: Element, digest: bytes, signature: bytes, permit: Permit) -> bool:
    """Check firmware and copy its digest or signature into its slot (608, mode 07).

    Returns:
        False if the element does not accept the signature.
    """
    check_length(digest, 32, "the digest")
    return _plain(element, 0x07, digest + check_length(signature, 64, "the signature"), permit)


@discreet
def secure_boot_copy_mac(
    element: Element, digest: bytes, signature: bytes, io_key: bytes, permit: Permit
) -> bool:
    """The same with the digest encrypted and the answer authenticated (mode 87).

    Raises:
        ElementError: status 01: the MAC is wrong, someone answered for the element.
    """
    check_length(signature, 64, "the signature")
    return _proven(element, 0x87, digest, signature, io_key, permit)


def _proven(
    element: Element, mode: int, digest: bytes, signature: bytes, io_key: bytes, permit: Permit
) -> bool:
    """SecureBoot with a fresh nonce; only FullCopy (87) sends the signature along."""
    check_length(digest, 32, "the digest")
    check_length(io_key, 32, "the IO protection key")
    covers(element, permit, Operation.SECURE_BOOT, None)
    proofs: list[bool] = []

    def run() -> None:
        with element.exchange():
            key = digests.secure_boot_key(io_key, element.nonce_random().tempkey)
            expected = digests.secure_boot_mac(key, digest, signature, mode)
            element.idle()  # arming syncs a file, which may outlast the watchdog
            data = digests.xor(digest, key) + (signature if mode == 0x87 else b"")
            command = Command(Opcode.SECUREBOOT, mode, 0, data)
            with permit.armed([command]):
                proofs.append(send_once(element, command, None, len(expected)) == expected)

    if not matched(element, run):
        return False
    if not proofs[-1]:
        meaning = f"{STATUS_MEANING[Status.MISCOMPARE]}: the MAC of the answer is wrong"
        raise ElementError(Opcode.SECUREBOOT.label, Status.MISCOMPARE, meaning)
    return True


def _plain(element: Element, mode: int, data: bytes, permit: Permit) -> bool:
    covers(element, permit, Operation.SECURE_BOOT, None)
    command = Command(Opcode.SECUREBOOT, mode, 0, data)
    return matched(element, lambda: change(element, permit, [command]))
