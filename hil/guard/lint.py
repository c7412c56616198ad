"""What is wrong with a configuration, said before it is locked for ever.

Every rule is a small function that yields findings; :mod:`hil.guard.lintzone` has those about the
zone, :mod:`hil.guard.lintslots` those about single slots and how they depend on each other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hil.guard.findings import Finding, slots_of
from hil.guard.lintslots import SLOT_RULES
from hil.guard.lintzone import ZONE_RULES, Zone

if TYPE_CHECKING:
    from collections.abc import Collection

__all__ = ["Finding", "lint", "unknown_ids"]

SIZE = 128


def lint(config: bytes, *, part: str, address: int, production: bool) -> list[Finding]:
    """Everything questionable in a configuration zone: first the zone, then slot by slot.

    Args:
        config: the zone as it is to be locked. A file without a part's identity has zeros there.
        part: ``atecc508a``, ``atecc608a``, ``atecc608b`` …
        address: the 7-bit I2C address that the rig expects afterwards.
        production: the rig qualifies a product: what only suits tests is then an error.
    """
    if len(config) != SIZE:
        return [
            Finding(
                "length", "error", (0, SIZE - 1), f"{len(config)} bytes instead of {SIZE}",
                "every byte behind the first missing one would land in the wrong field",
                "give the whole zone", "DS508 2.2",
            )
        ]  # fmt: skip
    zone = Zone(config, part, address, production, tuple(slots_of(config)))
    findings = [finding for rule in ZONE_RULES for finding in rule(zone)]
    findings += [finding for slot in zone.slots for rule in SLOT_RULES for finding in rule(zone, slot)]
    return findings


def unknown_ids(accepted: Collection[str], findings: Collection[Finding]) -> list[str]:
    """Accepted ids that no finding has: slips of the pen, or findings that were mended."""
    return sorted(set(accepted) - {finding.id for finding in findings})
