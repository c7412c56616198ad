"""The element as TLS sees it: :mod:`hil.tls.key` protocols over an :class:`Element`."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

from hil.element.zones import check_slot
from hil.errors import UsageError

if TYPE_CHECKING:
    from hil.element.device import Element
    from hil.element.values import SignRecipe

__all__ = ["ElementEcdh", "ElementRandom", "ElementSigningKey", "ElementVerify"]


class ElementSigningKey:
    """A private key in a slot; a ``SigningKey``.

    Args:
        element: the element.
        slot: private-key slot with external signatures allowed.
        recipe: see :meth:`Element.sign_digest`.
    """

    def __init__(self, element: Element, slot: int, *, recipe: SignRecipe | None = None) -> None:
        self._element = element
        self._recipe = recipe
        self.slot = check_slot(slot)

    def public_key(self) -> bytes:
        """64 bytes ``X ‖ Y``."""
        return self._element.public_key(self.slot)

    def sign_digest(self, digest: bytes) -> bytes:
        """Sign a 32-byte digest; 64 bytes ``R ‖ S``."""
        return self._element.sign_digest(self.slot, digest, recipe=self._recipe)


class ElementEcdh:
    """Key agreement in the element; an ``EcdhUnit``.

    A 608 makes an ephemeral key in TempKey, so the element idles between :meth:`new_key` and
    :meth:`agree`; :meth:`close` ends an agreement that was given up. A 508A has no such key: it
    agrees with the key in ``slot``, which stays the same (making a new one for each handshake
    would wear the EEPROM out and needs a permit).

    Args:
        element: the element.
        slot: private-key slot with ECDH allowed; needed for a 508A, None for the 608's TempKey.
    """

    def __init__(self, element: Element, slot: int | None = None) -> None:
        self._element = element
        self._slot = None if slot is None else check_slot(slot)
        self._pending = ExitStack()

    def new_key(self) -> bytes:
        """Start an agreement; our public point, 64 bytes."""
        self.close()
        if self._slot is not None:
            return self._element.public_key(self._slot)
        if self._element.is_508:
            raise UsageError(
                "an ATECC508A has no ephemeral keys", hint="name a slot whose configuration allows ECDH"
            )
        with ExitStack() as stack:
            stack.enter_context(self._element.session())
            point = self._element.ephemeral_key()
            self._pending = stack.pop_all()
        return point

    def agree(self, peer: bytes) -> bytes:
        """The shared secret (32 bytes) with the peer's 64-byte point."""
        if self._slot is not None:
            return self._element.ecdh(self._slot, peer)
        with self._pending:
            return self._element.ecdh_ephemeral(peer)

    def close(self) -> None:
        """Forget an agreement that was started; the element may sleep."""
        self._pending.close()


class ElementVerify:
    """Signature checks by the element; a ``VerifyUnit``."""

    def __init__(self, element: Element) -> None:
        self._element = element

    def verify(self, public_key: bytes, digest: bytes, signature: bytes) -> bool:
        """Whether ``signature`` (64 bytes) is good."""
        return self._element.verify_external(public_key, digest, signature)


class ElementRandom:
    """The element's random generator; a ``RandomSource``."""

    def __init__(self, element: Element) -> None:
        self._element = element

    def random(self, length: int) -> bytes:
        """``length`` random bytes, 32 a command."""
        if length < 0:
            raise UsageError(f"{length} random bytes cannot be had")
        with self._element.exchange():
            return b"".join(self._element.random() for _ in range(-(-length // 32)))[:length]
