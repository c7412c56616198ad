"""The suites, in the order of a bring-up, and which stand on which.

When a suite fails, the suites that stand on it say nothing about the product: they are
*blocked*. Suites of other packages (:class:`hil.extensions.SuiteKind`) say themselves what they stand
on; folders of tests that nobody describes run last and are never blocked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from hil.errors import ConfigError, UsageError
from hil.extensions import SuiteKind, find, names
from hil.rigfile.binding import fields_of

if TYPE_CHECKING:
    from hil.rigfile import RigFile

__all__ = [
    "SUITES",
    "Suite",
    "blockers",
    "lacks_settings",
    "named",
    "needed_settings",
    "order",
    "settings",
    "suite_of",
]


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


def named(suite: str) -> Suite:
    """What is known of a suite: built in, of another package, or nothing but its name.

    Raises:
        ConfigError: its package is broken, or names a suite behind it that there is not.
    """
    known = _BY_NAME.get(suite)
    if known is not None:
        return known
    found = find("hil.suites", suite)
    if not isinstance(found, SuiteKind):
        return Suite(suite, "")
    for behind in found.after:
        if behind not in _BY_NAME and behind not in names("hil.suites"):
            raise ConfigError(
                f"the suite {suite!r} stands on {behind!r}, which is no suite",
                hint=f"suites: {', '.join((*_ORDER, *names('hil.suites')))}",
            )
    return Suite(suite, found.asks, found.after)


def order(suite: str) -> tuple[int, int]:
    """Sort key: bring-up order; suites of one's own come last, behind those that they stand on.

    Raises:
        ConfigError: see :func:`named`.
    """
    if suite in _ORDER:
        return _ORDER[suite], 0
    own = [behind for behind in blockers(suite) if behind not in _ORDER and behind != suite]
    return len(SUITES), len(own)


def blockers(suite: str) -> tuple[str, ...]:
    """Every suite that ``suite`` stands on, directly or through others; the first to be run comes first.

    Raises:
        ConfigError: see :func:`named`.
    """
    found: set[str] = set()
    waiting = list(named(suite).after)
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += named(name).after
    own = sorted(found - _ORDER.keys())
    return (*(name for name in _ORDER if name in found), *own)


def settings(file: RigFile, suite: str) -> object | None:
    """What a rig file says for a suite of one's own, or the suite's defaults; None if it has to say more.

    Raises:
        UsageError: the suite has no settings.
        ConfigError: its package is broken.
    """
    if suite in file.suites:
        return file.suites[suite]
    found = None if suite in _BY_NAME else find("hil.suites", suite)
    if found is None or found.options is None:
        raise UsageError(f"the suite {suite!r} has no settings")
    if any(spec.required for spec in fields_of(found.options).values()):
        return None
    made: object = found.options()
    return made


def needed_settings(file: RigFile, suite: str) -> object:
    """Settings of a suite of one's own, from the section ``suites`` of the rig file.

    Returns:
        The suite's options; their defaults where the file says nothing.

    Raises:
        UsageError: the suite has none, or the file has to say something and does not.
        ConfigError: the suite's package is broken.
    """
    found = settings(file, suite)
    if found is None:
        raise UsageError(f"{file.rig} has no settings of the suite {suite!r}")
    return found


def lacks_settings(file: RigFile, suite: str) -> str | None:
    """Why a suite of one's own cannot run on a rig whose file does not say what it needs; None if it can.

    Raises:
        ConfigError: its package is broken.
    """
    found = None if suite in _BY_NAME else find("hil.suites", suite)
    if found is None or found.options is None or settings(file, suite) is not None:
        return None
    return f"{file.rig} has no settings of the suite {suite}: add `{suite}:` under `suites:`"
