"""Console commands that change the element for good; each takes a permit.

Source: ``espressif/esp-cryptoauthlib`` ``esp_cryptoauth_utility/firmware/main/commands.c``.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

from hil.element.certificates.certificate import load
from hil.errors import UsageError
from hil.guard.permit import RpcCall
from hil.wire.espidf import parse_public_key

if TYPE_CHECKING:
    from hil.board.espidf import EspIdfBoard
    from hil.guard.permit import Permit

__all__ = ["DEVICE_SLOT", "SIGNER_SLOT", "generate_keys", "program_certificate"]

DEVICE_SLOT, SIGNER_SLOT = 10, 12
_COMMANDS = {DEVICE_SLOT: "program-dev-cert", SIGNER_SLOT: "program-signer-cert"}


def generate_keys(board: EspIdfBoard, slot: int, permit: Permit) -> bytes:
    """Let the element make a new private key in slot 0, 1 or 2; its public half, 64 bytes."""
    if slot not in (0, 1, 2):
        raise UsageError(f"the firmware makes keys in slots 0 to 2, not in {slot}")
    with permit.armed([RpcCall("generate-keys", slot)]):
        return parse_public_key(board.command("generate-keys", slot).require().payload)


def program_certificate(
    board: EspIdfBoard, slot: int, certificate: str, permit: Permit, *, lock: bool
) -> None:
    """Write a certificate, compressed by the firmware after the definition it was given.

    Args:
        board: the board; ``generate-csr`` must have been its last command but for definitions.
        slot: 10 for the device's, 12 for the signer's.
        certificate: PEM, sent with its checksum.
        permit: for this slot.
        lock: also lock the slot for ever.

    Raises:
        RpcError: the firmware refused, e.g. because of a checksum mismatch.
    """
    if slot not in _COMMANDS:
        raise UsageError(f"certificates go into slots {DEVICE_SLOT} and {SIGNER_SLOT}, not {slot}")
    pem = certificate.encode("ascii")
    load(pem)
    with permit.armed([RpcCall(_COMMANDS[slot], slot)]):
        board.command(_COMMANDS[slot], int(lock), zlib.crc32(pem), second_stage=pem).require()
