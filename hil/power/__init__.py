"""Relays and the power they switch."""

from hil.power.control import Power
from hil.power.registry import RelaySettings, open_relay
from hil.power.relay import Relay, State

__all__ = ["Power", "Relay", "RelaySettings", "State", "open_relay"]
