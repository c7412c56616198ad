"""Relay kinds by the name that a rig file gives them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hil.errors import ConfigError
from hil.power import lcus
from hil.serialport.port import open_port

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from hil.clock import Clock
    from hil.power.relay import Relay

__all__ = ["KINDS", "RelaySettings", "open_relay"]


@dataclass(frozen=True, kw_only=True)
class RelaySettings:
    """What a rig file says of its relay.

    Attributes:
        kind: a key of :data:`KINDS`.
        port: serial port, for serial relays.
        channel: which output, from 1.
        has_status: the board answers a status request (LCUS with several channels).
    """

    kind: str
    port: str = ""
    channel: int = 1
    has_status: bool = False


def _lcus(settings: RelaySettings, clock: Clock) -> Relay:
    port = open_port(settings.port, clock=clock, baud=lcus.BAUD)
    return lcus.Lcus(port, channel=settings.channel, has_status=settings.has_status)


KINDS: Mapping[str, Callable[[RelaySettings, Clock], Relay]] = {"lcus": _lcus}
"""Name → opens the relay."""


def open_relay(settings: RelaySettings, clock: Clock) -> Relay:
    """Open a relay without switching it.

    Raises:
        ConfigError: no such kind.
        PortError: its port cannot be opened.
    """
    try:
        opener = KINDS[settings.kind]
    except KeyError:
        raise ConfigError(
            f"there is no relay kind {settings.kind!r}", hint=f"kinds: {', '.join(sorted(KINDS))}"
        ) from None
    return opener(settings, clock)
