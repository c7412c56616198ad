"""Relay kinds by the name that a rig file gives them.

A kind that is not here may be brought by another package (:class:`hil.extensions.RelayKind`).
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from hil.errors import ConfigError
from hil.power import kmtronic, lcus, modbus
from hil.serialport.port import open_port

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from hil.clock import Clock
    from hil.power.httpclient import HttpClient, Login
    from hil.power.relay import Relay

__all__ = ["KINDS", "RelaySettings", "open_relay"]


@dataclass(frozen=True, kw_only=True)
class RelaySettings:
    """What a rig file says of its relay.

    Attributes:
        kind: a key of :data:`KINDS`.
        port: serial port; ``http://host`` for relays on the network; a GPIO chip.
        channel: which output, from 1; for GPIO the line's offset.
        channels: how many outputs the board has (LCUS with more than one answers a status request).
        has_status: an LCUS board answers a status request although it has one channel.
        address: Modbus address of the board.
        active_low: GPIO: the relay conducts at the low level.
        serial: USB serial number of a HID relay; empty for the only one.
        user: login of a relay on the network; empty for none.
        password: its password, never shown.
        on_command: program and arguments, for the kind ``command``; quoted as in a shell.
        off_command: likewise.
        state_command: likewise, or empty.
        on_pattern: what ``state_command`` prints when on, a regular expression.
        options: settings of a relay that another package brings.
    """

    kind: str
    port: str = ""
    channel: int = 1
    channels: int = 1
    has_status: bool = False
    address: int = 1
    active_low: bool = False
    serial: str = ""
    user: str = ""
    password: str = field(default="", repr=False)
    on_command: str = ""
    off_command: str = ""
    state_command: str = ""
    on_pattern: str = ""
    options: object = None


def _lcus(settings: RelaySettings, clock: Clock) -> Relay:
    port = open_port(settings.port, clock=clock, baud=lcus.BAUD)
    answers = settings.has_status or settings.channels > 1
    return lcus.Lcus(port, channel=settings.channel, has_status=answers)


def _kmtronic(settings: RelaySettings, clock: Clock) -> Relay:
    port = open_port(settings.port, clock=clock, baud=kmtronic.BAUD)
    return kmtronic.Kmtronic(port, channel=settings.channel, channels=settings.channels)


def _numato(settings: RelaySettings, clock: Clock) -> Relay:
    from hil.power.numato import Numato

    port = open_port(settings.port, clock=clock)
    return Numato(port, channel=settings.channel, channels=max(settings.channels, settings.channel))


def _devantech(settings: RelaySettings, clock: Clock) -> Relay:
    from hil.power.devantech import Devantech

    return Devantech(open_port(settings.port, clock=clock), channel=settings.channel)


def _modbus(settings: RelaySettings, clock: Clock) -> Relay:
    port = open_port(settings.port, clock=clock, baud=modbus.BAUD)
    return modbus.ModbusRelay(port, channel=settings.channel, address=settings.address)


def _login(settings: RelaySettings, user: str = "") -> Login | None:
    from hil.power.httpclient import Login

    return Login(settings.user or user, settings.password) if settings.password else None


def _http(settings: RelaySettings, clock: Clock, login: Login | None) -> HttpClient:
    from hil.power.httpclient import HttpClient

    return HttpClient(settings.port, clock=clock, login=login)


def _shelly_gen1(settings: RelaySettings, clock: Clock) -> Relay:
    from hil.power.shelly import ShellyGen1

    return ShellyGen1(_http(settings, clock, _login(settings)), channel=settings.channel)


def _shelly_gen2(settings: RelaySettings, clock: Clock) -> Relay:
    from hil.power.shelly import ShellyGen2

    return ShellyGen2(_http(settings, clock, _login(settings, "admin")), channel=settings.channel)


def _tasmota(settings: RelaySettings, clock: Clock) -> Relay:
    from hil.power.tasmota import Tasmota

    login = _login(settings, "admin")
    return Tasmota(_http(settings, clock, None), channel=settings.channel, login=login)


def _command(settings: RelaySettings, clock: Clock) -> Relay:
    from hil.power.command import CommandRelay

    try:
        on, off, state = (
            shlex.split(text) for text in (settings.on_command, settings.off_command, settings.state_command)
        )
    except ValueError as error:
        raise ConfigError(f"a relay command cannot be split into words: {error}") from error
    return CommandRelay(on=on, off=off, state=state, on_pattern=settings.on_pattern)


def _gpio(settings: RelaySettings, clock: Clock) -> Relay:
    from hil.power.gpio import GpioRelay

    return GpioRelay(settings.port, settings.channel, active_low=settings.active_low)


def _hid(kind: Literal["dcttech", "lcus"]) -> Callable[[RelaySettings, Clock], Relay]:
    def opener(settings: RelaySettings, clock: Clock) -> Relay:
        from hil.power.hidrelay import HidRelay

        return HidRelay(kind, channel=settings.channel, serial=settings.serial)

    return opener


KINDS: Mapping[str, Callable[[RelaySettings, Clock], Relay]] = {
    "lcus": _lcus,
    "numato": _numato,
    "kmtronic": _kmtronic,
    "devantech": _devantech,
    "modbus": _modbus,
    "shelly-gen1": _shelly_gen1,
    "shelly-gen2": _shelly_gen2,
    "tasmota": _tasmota,
    "command": _command,
    "gpio": _gpio,
    "hid-dcttech": _hid("dcttech"),
    "hid-lcus": _hid("lcus"),
}
"""Name → opens the relay without switching it."""


def open_relay(settings: RelaySettings, clock: Clock) -> Relay:
    """Open a relay without switching it.

    Raises:
        ConfigError: no such kind, or settings that make no sense for it.
        PortError, RelayError: it cannot be opened.
    """
    opener = KINDS.get(settings.kind)
    if opener is not None:
        return opener(settings, clock)
    from hil.extensions import names
    from hil.power.own import open_own

    known = (*sorted(KINDS), *names("hil.relays"))
    if settings.kind not in known:
        raise ConfigError(f"there is no relay kind {settings.kind!r}", hint=f"kinds: {', '.join(known)}")
    return open_own(settings, clock)
