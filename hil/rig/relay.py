"""The relay of a rig, from what its file says; also without a rig, for the way to safety."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hil.clock import WallClock
from hil.errors import UsageError
from hil.power.control import Power
from hil.power.registry import RelaySettings, open_relay

if TYPE_CHECKING:
    from hil.rigfile import Power as PowerSection
    from hil.rigfile import RigFile

__all__ = ["relay_settings", "safe_state"]


def relay_settings(power: PowerSection) -> RelaySettings:
    """What a relay driver is made with; the password is read now.

    Raises:
        ConfigError: the password is not where the file says.
    """
    return RelaySettings(
        kind=power.kind,
        port=power.port,
        channel=power.channel,
        channels=power.channels,
        address=power.address,
        active_low=power.active_low,
        serial=power.serial,
        user=power.user,
        password="" if power.password is None else power.password.value(),
        on_command=power.on_command,
        off_command=power.off_command,
        state_command=power.state_command,
        on_pattern=power.on_pattern,
        options=power.options,
    )


def safe_state(file: RigFile) -> str:
    """Switch a rig's relay to its declared safe state, whatever happened before.

    Nothing but the rig file is needed: no lock, no journal, no board, no memory of an earlier run.
    A run that still owns the relay's port has to be ended first.

    Returns:
        What was done, in words.

    Raises:
        UsageError: the rig has no relay.
        PortError, RelayError: the relay does not answer, or says that it did not switch.
    """
    if file.power.kind == "none":
        raise UsageError(f"{file.rig} has no relay", hint="pull the plug")
    if file.emulated:
        return "the parts are emulated: they are gone with the process that emulated them"
    power, clock = file.power, WallClock()
    relay = Power(
        open_relay(relay_settings(power), clock),
        clock,
        settle_us=power.settle_ms * 1000,
        min_off_us=power.minimum_off_ms * 1000,
        safe_state=power.safe_state,
    )
    relay.close()
    return f"{relay.name} is {power.safe_state}"
