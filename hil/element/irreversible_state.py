"""What else cannot be undone: extra bytes, counters, derived and agreed keys, key validity.

As in :mod:`hil.element.irreversible`, every function takes a permit and sends nothing on a guess.

Sources: ATECC508A data sheet DS20005927A (DS508) sections 9.3, 9.4, 9.19 and 9.20;
ATECC608A-TFLXTLS data sheet DS40002138A section 5 for what a 508A lacks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hil.discretion import discreet
from hil.element import digests
from hil.element.change import change, covers, matched, retried, send_once
from hil.element.commands import check_counter, check_public_slot
from hil.element.commands608 import prf_details
from hil.element.zones import check_length, check_slot
from hil.errors import UsageError
from hil.guard.operations import Operation
from hil.wire.atecc import Command, Opcode

if TYPE_CHECKING:
    from hil.element.commands608 import KdfSource
    from hil.element.device import Element
    from hil.element.values import RandomNonce
    from hil.guard.permit import Permit

__all__ = [
    "agree_into_next_slot",
    "agree_into_slot",
    "burn_use",
    "derive_key",
    "hkdf_into_slot",
    "increment_counter",
    "prf_into_slot",
    "set_key_validity",
    "update_extra",
    "update_selector",
    "validate_by_certificate",
]

_SHA_BLOCK = 64

_USER_EXTRA, _SELECTOR = 84, 85


def update_extra(element: Element, value: int, permit: Permit) -> None:
    """Set UserExtra (configuration byte 84), which works once, while it is 00 (9.19)."""
    _update(element, 0, _USER_EXTRA, value, permit)


def update_selector(element: Element, value: int, permit: Permit) -> None:
    """Set Selector (508A) or UserExtraAdd (608: a new I2C address), configuration byte 85 (9.19).

    A 608 whose ChipMode bit 0 is set answers at ``value`` shifted right by one after its next sleep.
    """
    _update(element, 1, _SELECTOR, value, permit)


def _update(element: Element, mode: int, offset: int, value: int, permit: Permit) -> None:
    if not 0 <= value <= 0xFF:
        raise UsageError(f"{value} does not fit in a byte")
    covers(element, permit, Operation.UPDATE_EXTRA, None)
    present = element.read_config_word(84)[offset - 84]
    if present == value:
        return
    command = Command(Opcode.UPDATEEXTRA, mode, value)
    change(element, permit, [command], lambda _: element.read_config_word(84)[offset - 84] == value)


def burn_use(element: Element, slot: int, permit: Permit) -> None:
    """Take one use off the limited-use key in ``slot`` (9.19, mode 02); no proof is possible."""
    command = Command(Opcode.UPDATEEXTRA, 0x02, check_slot(slot))
    covers(element, permit, Operation.UPDATE_EXTRA, None)
    change(element, permit, [command])


def increment_counter(element: Element, counter: int, permit: Permit) -> int:
    """Count one up; returns the new value (9.3).

    Raises:
        ElementError: 0F at its maximum, 2097151.
    """
    command = Command(Opcode.COUNTER, 1, check_counter(counter))
    covers(element, permit, Operation.COUNTER, None)
    before = element.counter(counter)

    def run() -> bytes:
        with permit.armed([command]):
            return send_once(element, command, lambda _: element.counter(counter) > before, 4)

    answer = retried(element, run)
    return int.from_bytes(answer, "little") if answer else element.counter(counter)


@discreet
def derive_key(element: Element, slot: int, permit: Permit, *, parent: bytes | None = None) -> RandomNonce:
    """Derive a new key into ``slot`` with a fresh random nonce (9.4).

    Args:
        element: the element.
        slot: target; its WriteConfig decides between rolling it and creating it from WriteKey.
        permit: for ``DERIVE_KEY``.
        parent: content of the parent slot, where WriteConfig demands an authorising MAC.

    Returns:
        The nonce; :func:`hil.element.digests.derive_key` makes the new key of it.
    """
    if parent is not None:
        check_length(parent, 32, "the parent key")
    covers(element, permit, Operation.DERIVE_KEY, check_slot(slot))
    mac = b"" if parent is None else digests.derive_key_mac(parent, 0, slot, element.serial_number())
    command = Command(Opcode.DERIVEKEY, 0x00, slot, mac)

    def run() -> RandomNonce:
        with element.exchange():
            nonce = element.nonce_random()
            element.idle()  # arming syncs a file, which may outlast the watchdog
            with permit.armed([command]):
                send_once(element, command, None)
            return nonce

    return retried(element, run)


@discreet
def agree_into_slot(element: Element, slot: int, peer: bytes, permit: Permit) -> None:
    """Shared secret of the ephemeral key in TempKey with ``peer`` into ``slot`` (608, ECDH mode 05).

    Call it in the session in which ``ephemeral_key()`` made the key.
    """
    check_length(peer, 64, "the peer's public key")
    command = Command(Opcode.ECDH, 0x05, check_slot(slot), peer)
    covers(element, permit, Operation.ECDH_INTO_SLOT, slot)
    with element.session():
        change(element, permit, [command])


def agree_into_next_slot(element: Element, slot: int, peer: bytes, permit: Permit) -> None:
    """Shared secret of the key in ``slot`` with ``peer`` into the slot behind it (9.5).

    Args:
        element: the element.
        slot: an even private-key slot whose SlotConfig allows ECDH and sends the secret on.
        peer: 64 bytes ``X ‖ Y``.
        permit: for ``ECDH_INTO_SLOT`` with ``slot`` + 1, which is what changes.

    Raises:
        UsageError: the slot's configuration does not say so; nothing was sent.
    """
    check_length(peer, 64, "the peer's public key")
    covers(element, permit, Operation.ECDH_INTO_SLOT, check_slot(slot) + 1)
    rules = element.config.slots[slot]
    if not (rules.holds_private_key and rules.config.ecdh and rules.config.ecdh_to_next_slot) or slot % 2:
        raise UsageError(
            f"slot {slot} does not send its agreed secret to slot {slot + 1}",
            hint="that takes an even private-key slot with ReadKey bits 2 and 3 set",
        )
    change(element, permit, [Command(Opcode.ECDH, 0x00, slot, peer)])


def hkdf_into_slot(
    element: Element, slot: int, message: bytes, permit: Permit, *, source: KdfSource, source_slot: int = 0
) -> None:
    """HMAC-SHA256 of ``message`` under a key into ``slot`` (608, KDF target 08).

    Args:
        element: the element.
        slot: target slot.
        message: up to 123 bytes.
        permit: for ``KDF_INTO_SLOT``.
        source: where the key is.
        source_slot: which slot, if the key is in one.
    """
    details = len(message) << 24 | 0x02
    _kdf_into_slot(
        element, permit, 0x40 | source, check_slot(source_slot) | check_slot(slot) << 8, details, message
    )


def prf_into_slot(
    element: Element,
    slot: int,
    message: bytes,
    permit: Permit,
    *,
    source: KdfSource,
    source_slot: int = 0,
    key_length: int = 32,
    length: int = 32,
) -> None:
    """TLS 1.2 PRF over a key into ``slot`` (608, KDF target 08).

    Args:
        element: the element.
        slot: target slot.
        message: label and seed, up to 123 bytes.
        permit: for ``KDF_INTO_SLOT``.
        source: where the key is.
        source_slot: which slot, if the key is in one.
        key_length: bytes of the key to use: 16, 32, 48 or 64.
        length: 32 or 64 bytes of result.
    """
    details = prf_details(len(message), key_length, length)
    _kdf_into_slot(
        element, permit, 0x00 | source, check_slot(source_slot) | check_slot(slot) << 8, details, message
    )


def _kdf_into_slot(
    element: Element, permit: Permit, mode: int, p2: int, details: int, message: bytes
) -> None:
    if len(message) > 123:
        raise UsageError(f"KDF takes messages of up to 123 bytes, not {len(message)}")
    slot = p2 >> 8
    command = Command(Opcode.KDF, mode | 0x08, p2, details.to_bytes(4, "little") + message)
    covers(element, permit, Operation.KDF_INTO_SLOT, slot)
    with element.session():
        change(element, permit, [command])


def set_key_validity(
    element: Element,
    slot: int,
    nonce: bytes,
    signature: bytes,
    other_data: bytes,
    permit: Permit,
    *,
    valid: bool = True,
) -> bool:
    """Validate or invalidate the public key in ``slot`` by its parent's signature (9.20).

    The parent key has signed :func:`hil.element.digests.validation_message` over the TempKey that
    loading ``nonce`` and GenKey(10) make.

    Args:
        element: the element.
        slot: 8 to 15.
        nonce: 32 bytes for TempKey.
        signature: 64 bytes ``R ‖ S``.
        other_data: the 19 bytes of the signed message; the first three go to GenKey too.
        permit: for ``KEY_VALIDITY``.
        valid: False invalidates.

    Returns:
        Whether the signature was good; if not, nothing changed.
    """
    check_length(nonce, 32, "the nonce")
    check_length(other_data, 19, "OtherData")
    data = check_length(signature, 64, "the signature") + other_data
    command = Command(Opcode.VERIFY, 0x03 if valid else 0x07, check_public_slot(slot), data)
    covers(element, permit, Operation.KEY_VALIDITY, slot)

    def run() -> None:
        with element.exchange():
            element.nonce_load(nonce)
            element.stored_public_key_digest(slot, other_data[:3])
            element.idle()  # arming syncs a file, which may outlast the watchdog
            with permit.armed([command]):
                send_once(element, command, lambda _: element.info_key_valid(slot) is valid)

    return matched(element, run)


def validate_by_certificate(
    element: Element, slot: int, before: bytes, after: bytes, signature: bytes, permit: Permit
) -> bool:
    """Validate the public key in ``slot`` by a certificate that holds it (508A, 9.20, ValidateExternal).

    The element hashes the signed part of the certificate with the key from its own slot in the middle,
    and verifies the signature with the parent key, which SlotConfig.ReadKey names.

    Args:
        element: a 508A: a 608 cannot hash a stored key into a digest.
        slot: 8 to 15.
        before: what is signed in front of the 64 bytes ``X ‖ Y``: whole blocks of 64 bytes.
        after: what is signed behind them.
        signature: 64 bytes ``R ‖ S``.
        permit: for ``KEY_VALIDITY``.

    Returns:
        Whether the signature was good; if not, nothing changed.

    Raises:
        UsageError: another part, or ``before`` is no row of whole blocks; nothing irreversible was sent.
        ElementError: 0F, e.g. as the key is not where X509format wants it.
    """
    command = Command(
        Opcode.VERIFY, 0x01, check_public_slot(slot), check_length(signature, 64, "the signature")
    )
    if len(before) % _SHA_BLOCK:
        raise UsageError(
            f"{len(before)} bytes in front of the public key are no whole blocks of {_SHA_BLOCK}",
            hint="a certificate for this is laid out so that the key begins a block of the hash",
        )
    covers(element, permit, Operation.KEY_VALIDITY, slot)
    if not element.is_508:
        raise UsageError("only a 508A validates a public key by a certificate", hint="use set_key_validity")
    whole = len(after) // _SHA_BLOCK * _SHA_BLOCK

    def run() -> None:
        with element.exchange():
            element.sha_start()
            _hash_blocks(element, before)
            element.sha_public(slot)
            _hash_blocks(element, after[:whole])
            element.sha_end(after[whole:])
            element.idle()  # arming syncs a file, which may outlast the watchdog
            with permit.armed([command]):
                send_once(element, command, lambda _: element.info_key_valid(slot))

    return matched(element, run)


def _hash_blocks(element: Element, data: bytes) -> None:
    for at in range(0, len(data), _SHA_BLOCK):
        element.sha_update(data[at : at + _SHA_BLOCK])
