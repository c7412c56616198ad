"""Plugs and relays with Tasmota firmware, over HTTP.

Set ``PowerOnState 0``, so that a mains failure leaves the board without power.
Source: Tasmota documentation, "Commands" (``Power``, web requests); pdudaemon ``tasmota.py``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

import msgspec

from hil.discretion import discreet
from hil.errors import RelayError
from hil.power.relay import State

if TYPE_CHECKING:
    from hil.power.httpclient import HttpClient, Login

__all__ = ["Tasmota"]


class Tasmota:
    """One output of a Tasmota device.

    Args:
        http: owned and closed by the relay.
        channel: from 1, as the device counts.
        login: the web password; Tasmota takes it in the request itself.
    """

    def __init__(self, http: HttpClient, *, channel: int = 1, login: Login | None = None) -> None:
        self._http = http
        self._channel = channel
        self._login = login

    @property
    def name(self) -> str:
        """Address and channel."""
        return f"Tasmota at {self._http.name}, channel {self._channel}"

    def on(self) -> None:
        """See :meth:`hil.power.relay.Relay.on`."""
        self._switch(State.ON)

    def off(self) -> None:
        """See :meth:`hil.power.relay.Relay.off`."""
        self._switch(State.OFF)

    def readback(self) -> State:
        """The device's own word."""
        return self._command("")

    def close(self) -> None:
        """Close the connection."""
        self._http.close()

    def _switch(self, wanted: State) -> None:
        said = self._command(f" {wanted.name.capitalize()}")
        if said is not wanted:
            raise RelayError(f"{self.name} was switched {wanted} and answered {said}")

    @discreet
    def _command(self, value: str) -> State:
        query = {"cmnd": f"Power{self._channel}{value}"}
        if self._login is not None:
            query |= {"user": self._login.user, "password": self._login.password}
        body = self._http.get("/cm?" + urlencode(query, quote_via=quote))
        try:
            answer = msgspec.json.decode(body, type=dict[str, str])
        except msgspec.MsgspecError as error:
            raise RelayError(f"{self.name} answered {body[:80]!r}") from error
        # A device with one output leaves the number out of its answer.
        said = answer.get(f"POWER{self._channel}", answer.get("POWER", ""))
        if said not in ("ON", "OFF"):
            raise RelayError(f"{self.name} answered {answer}", hint="check channel and web password")
        return State.of(said == "ON")
