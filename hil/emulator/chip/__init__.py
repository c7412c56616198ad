"""The emulated secure element: ATECC508A, 608A, 608B and a revision that nobody has seen.

Make one with ``Chip(load_profile("atecc608b"), Memory.blank(profile, serial), now=…)``.
"""

from __future__ import annotations

from hil.emulator.chip.chip import Chip, Executed, Power
from hil.emulator.chip.knobs import Knobs
from hil.emulator.chip.memory import Memory
from hil.emulator.chip.profile import Profile, load_profile, profile_names

__all__ = ["Chip", "Executed", "Knobs", "Memory", "Power", "Profile", "load_profile", "profile_names"]
