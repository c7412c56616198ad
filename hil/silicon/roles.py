"""Which slot plays which part, so that elements with other layouts can be asked the same questions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from hil.element.configzone import KEY_TYPE_AES, KEY_TYPE_P256

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from hil.element.configzone import ConfigZone, Slot

__all__ = ["Roles", "roles_of"]


class Roles(msgspec.Struct, frozen=True):
    """A slot for each role, None if the configuration has none; keys that count their uses are left out.

    Attributes:
        private: a P-256 private key that signs messages from outside.
        internal: one that signs the element's own messages.
        agreeing: one that agrees on keys, with the result in clear.
        secret: a key for MACs that cannot be read.
        tainted: one that may not be used for MACs (NoMac).
        clear: a slot that can be read in clear.
        public: a stored P-256 public key, slots 8 to 15.
        aes: an AES key.
        random: a slot that asks for a random nonce (ReqRandom) and is no private key.
        authorised: a slot that asks for a prior authorisation (ReqAuth).
        empty: a private slot that never got a key.
    """

    private: int | None = None
    internal: int | None = None
    agreeing: int | None = None
    secret: int | None = None
    tainted: int | None = None
    clear: int | None = None
    public: int | None = None
    aes: int | None = None
    random: int | None = None
    authorised: int | None = None
    empty: int | None = None


def _private(slot: Slot) -> bool:
    return slot.key.private and slot.key.key_type == KEY_TYPE_P256 and slot.config.is_secret


_TESTS: dict[str, Callable[[int, Slot], bool]] = {
    "private": lambda at, slot: _private(slot) and slot.config.external_sign,
    "internal": lambda at, slot: _private(slot) and slot.config.internal_sign,
    "agreeing": lambda at, slot: _private(slot) and slot.config.ecdh and not slot.config.ecdh_to_next_slot,
    "secret": lambda at, slot: not slot.key.private and slot.config.is_secret and not slot.config.no_mac,
    "tainted": lambda at, slot: not slot.key.private and slot.config.no_mac,
    "clear": lambda at, slot: (
        not slot.key.private and not slot.config.is_secret and not slot.config.encrypt_read
    ),
    "public": lambda at, slot: at >= 8 and not slot.key.private and slot.key.key_type == KEY_TYPE_P256,
    "aes": lambda at, slot: not slot.key.private and slot.key.key_type == KEY_TYPE_AES,
    "random": lambda at, slot: not slot.key.private and slot.key.req_random,
    "authorised": lambda at, slot: slot.key.req_auth,
}


def roles_of(config: ConfigZone, keys: Mapping[int, bool] | None = None) -> Roles:
    """The first slot that fits each role.

    Args:
        config: the element's configuration.
        keys: for each private slot whether it holds a complete key; roles that use a key prefer those.
    """
    keys = keys or {}
    usable = [(at, slot) for at, slot in enumerate(config.slots) if not slot.config.limited_use]
    usable.sort(key=lambda one: not keys.get(one[0], True))
    found = {name: next((at for at, slot in usable if fits(at, slot)), None) for name, fits in _TESTS.items()}
    empty = next((at for at, slot in usable if _private(slot) and keys.get(at) is False), None)
    return Roles(**found, empty=empty)
