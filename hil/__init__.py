"""Hardware-in-the-loop tests for boards that carry a Microchip ATECC secure element.

The suites are run by pytest (``pytest --rig NAME``), everything else by the ``hil`` command. From
Python::

    import hil

    rig_file = hil.load_rig("emulated-esp8266-atecc508a")

Tests of your own get the rig through fixtures: ``rig``, ``power``, ``board``, ``bus``, ``element``,
``cloud``, ``measure``, ``step``.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hil.clock import Calendar, Clock, World
    from hil.errors import HilError
    from hil.rigfile import RigFile, load_rig

__all__ = ["Calendar", "Clock", "HilError", "RigFile", "World", "__version__", "load_rig"]

try:
    __version__ = version("atecc-hil")
except PackageNotFoundError:  # a source tree that was never installed
    __version__ = "0+unknown"

_HOMES = {
    "Calendar": "hil.clock",
    "Clock": "hil.clock",
    "HilError": "hil.errors",
    "RigFile": "hil.rigfile",
    "World": "hil.clock",
    "load_rig": "hil.rigfile",
}


def __getattr__(name: str) -> object:
    """The public names, imported when first used: ``import hil`` stays cheap for the plugin."""
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'hil' has no attribute {name!r}")
    return getattr(import_module(home), name)
