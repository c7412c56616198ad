"""What firmware has to offer for which purpose, and where it comes from.

Source: mongoose-os-libs, whose libraries bring one service each; ``rigs/firmware/mongoose-os``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection

__all__ = ["FEATURES", "Feature", "lacking"]

LIBRARIES = "https://github.com/mongoose-os-libs"


@dataclass(frozen=True)
class Feature:
    """One thing that the suites call.

    Attributes:
        name: an RPC method, or a section of the configuration ending in a dot.
        library: the library that brings it.
        purpose: what does not work without.
        vital: a bring-up cannot go on without.
    """

    name: str
    library: str
    purpose: str
    vital: bool = False

    @property
    def remedy(self) -> str:
        """How to get it."""
        return f"add `- location: {LIBRARIES}/{self.library}` to `libs:` of its mos.yml"


FEATURES: tuple[Feature, ...] = (
    Feature("Sys.GetInfo", "rpc-common", "the board's identity", vital=True),
    Feature("Sys.Reboot", "rpc-common", "restarts", vital=True),
    Feature("Config.Get", "rpc-service-config", "pins, speed and addresses", vital=True),
    Feature("Config.Set", "rpc-service-config", "changing pins and speed, connecting", vital=True),
    Feature("I2C.Scan", "rpc-service-i2c", "the wiring suite", vital=True),
    Feature("I2C.Read", "rpc-service-i2c", "every command to the element", vital=True),
    Feature("I2C.Write", "rpc-service-i2c", "every command to the element", vital=True),
    Feature("FS.Get", "rpc-service-fs", "reading files back"),
    Feature("FS.Put", "rpc-service-fs", "certificates for the suites connect and https"),
    Feature("Wifi.SetupSTA", "rpc-service-wifi", "joining the network for a moment"),
    Feature("i2c.", "i2c", "the bus itself", vital=True),
    Feature("sys.atca.", "atca", "the element's part in TLS"),
    Feature("wifi.", "wifi", "the suites connect and https"),
    Feature("mqtt.", "mqtt", "the suite connect"),
    Feature("http.", "http-server", "the suite https"),
    Feature("sntp.", "sntp", "checking the server's certificate dates"),
)
"""Everything that the suites ask of Mongoose OS firmware. ATCA.* is missing here on purpose: the
firmware offers it only when the element answered at its start."""


def lacking(methods: Collection[str], config: object) -> tuple[Feature, ...]:
    """What running firmware does not offer.

    Args:
        methods: names of its RPC methods.
        config: its configuration, as ``Config.Get`` gives it.
    """
    return tuple(
        feature
        for feature in FEATURES
        if not (_has_section(config, feature.name) if feature.name.endswith(".") else feature.name in methods)
    )


def _has_section(config: object, path: str) -> bool:
    for part in path.rstrip(".").split("."):
        if not isinstance(config, dict) or part not in config:
            return False
        config = config[part]
    return True
