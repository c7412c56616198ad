"""Rig files: what a bench looks like, checked before anything is opened.

>>> rig = load_rig("emulated-esp8266-atecc508a")  # doctest: +SKIP
>>> rig.element.address, rig.wiring.sda.gpio      # doctest: +SKIP
(96, 12)
"""

from hil.rigfile.binding import Key, Secret
from hil.rigfile.capabilities import CAPABILITIES, capabilities, is_built_in, missing, only_hardware
from hil.rigfile.loader import (
    find_rig,
    find_rigs,
    image_path,
    list_rigs,
    load,
    load_rig,
    search_folders,
    shipped_folder,
)
from hil.rigfile.model import (
    Board,
    Bus,
    Cloud,
    Connect,
    Element,
    Emulation,
    Power,
    RigFile,
    Wifi,
    Wire,
    Wiring,
)
from hil.rigfile.rules import ports
from hil.rigfile.schema import json_schema

__all__ = [
    "CAPABILITIES",
    "Board",
    "Bus",
    "Cloud",
    "Connect",
    "Element",
    "Emulation",
    "Key",
    "Power",
    "RigFile",
    "Secret",
    "Wifi",
    "Wire",
    "Wiring",
    "capabilities",
    "find_rig",
    "find_rigs",
    "image_path",
    "is_built_in",
    "json_schema",
    "list_rigs",
    "load",
    "load_rig",
    "missing",
    "only_hardware",
    "ports",
    "search_folders",
    "shipped_folder",
]
