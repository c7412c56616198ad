"""The suites, in the order of a bring-up, and which stand on which.

When a suite fails, the suites that stand on it say nothing about the product: they are
*blocked*. Suites that are not listed here (a user's own) run last and are never blocked.
"""

from __future__ import annotations

import msgspec

__all__ = ["SUITES", "Suite", "blockers", "suite_of"]


class Suite(msgspec.Struct, frozen=True):
    """One suite.

    Attributes:
        name: the folder's name.
        asks: what it asks of a rig, in a few words.
        after: suites that must not have failed.
    """

    name: str
    asks: str
    after: tuple[str, ...] = ()


SUITES: tuple[Suite, ...] = (
    Suite("power", "does the relay really switch the board's power?"),
    Suite("flash", "does the right image get into the right board, and nothing else?", ("power",)),
    Suite("wiring", "are the element's four wires where the rig file says?", ("power",)),
    Suite("locks", "is everything irreversible guarded, and do locks hold?", ("wiring",)),
    Suite("provisioning", "does the key that was made arrive in the slot?", ("wiring", "locks")),
    Suite("signing", "does the element sign, and only what it should?", ("wiring", "provisioning")),
    Suite("certificates", "whose certificate is it, link by link?", ("wiring", "provisioning")),
    Suite("cloud", "is the element's key the one that the cloud knows?", ("provisioning", "certificates")),
    Suite("connect", "does the board connect, how fast, and who does the work?", ("signing", "cloud")),
    Suite("https", "does the board serve HTTPS with the element's key?", ("signing",)),
)

_BY_NAME = {suite.name: suite for suite in SUITES}
_ORDER = {suite.name: position for position, suite in enumerate(SUITES)}


def suite_of(nodeid_path: str) -> str:
    """The suite of a test file: the folder below ``suites``, else the file's own folder or name."""
    parts = nodeid_path.replace("\\", "/").split("/")
    if "suites" in parts[:-2]:
        return parts[parts.index("suites") + 1]
    return parts[-2] if len(parts) > 1 else parts[-1].removesuffix(".py")


def order(suite: str) -> int:
    """Sort key: bring-up order, unknown suites last."""
    return _ORDER.get(suite, len(SUITES))


def blockers(suite: str) -> frozenset[str]:
    """Every suite that ``suite`` stands on, directly or through others."""
    found: set[str] = set()
    waiting = list(_BY_NAME[suite].after) if suite in _BY_NAME else []
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += _BY_NAME[name].after
    return frozenset(found)
