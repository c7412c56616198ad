"""Commands by family; ``ALL_FORMS`` lists every legal form of every part."""

from __future__ import annotations

from hil.emulator.chip.commands import digests, extras, general, keys, sha, storage, verify

__all__ = ["ALL_FORMS"]

ALL_FORMS = (
    *general.FORMS,
    *storage.FORMS,
    *keys.FORMS,
    *verify.FORMS,
    *digests.FORMS,
    *sha.FORMS,
    *extras.FORMS,
)
