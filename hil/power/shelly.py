"""Shelly plugs and relays over HTTP: the first generation, and the second and later ones.

Set the device's power-on default to off, so that a mains failure leaves the board without power.
Sources: shelly-api-docs.shelly.cloud, gen1 ``/relay/{index}`` and gen2 ``Switch.Set``,
``Switch.GetStatus``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from hil.errors import RelayError
from hil.power.relay import State

if TYPE_CHECKING:
    from hil.power.httpclient import HttpClient

__all__ = ["ShellyGen1", "ShellyGen2"]


class _Gen1State(msgspec.Struct):
    ison: bool


class _Gen2State(msgspec.Struct):
    output: bool


class _Gen2Error(msgspec.Struct):
    code: int = 0
    message: str = ""


class _Gen2Reply(msgspec.Struct):
    result: msgspec.Raw = msgspec.Raw(b"{}")
    error: _Gen2Error | None = None


class ShellyGen1:
    """One output of a first-generation device.

    Args:
        http: owned and closed by the relay.
        channel: from 1; the device itself counts from 0.
    """

    def __init__(self, http: HttpClient, *, channel: int = 1) -> None:
        self._http = http
        self._channel = channel

    @property
    def name(self) -> str:
        """Address and channel."""
        return f"Shelly at {self._http.name}, channel {self._channel}"

    def on(self) -> None:
        """See :meth:`hil.power.relay.Relay.on`."""
        self._http.post(self._target, b"turn=on", "application/x-www-form-urlencoded")

    def off(self) -> None:
        """See :meth:`hil.power.relay.Relay.off`."""
        self._http.post(self._target, b"turn=off", "application/x-www-form-urlencoded")

    def readback(self) -> State:
        """The device's own word."""
        body = self._http.get(self._target)
        try:
            return State.of(msgspec.json.decode(body, type=_Gen1State).ison)
        except msgspec.MsgspecError as error:
            raise RelayError(f"{self.name} answered {body[:80]!r}") from error

    def close(self) -> None:
        """Close the connection."""
        self._http.close()

    @property
    def _target(self) -> str:
        return f"/relay/{self._channel - 1}"


class ShellyGen2:
    """One output of a device of the second generation or later.

    Args:
        http: owned and closed by the relay; the user of the login is always ``admin``.
        channel: from 1; the device itself counts from 0.
    """

    def __init__(self, http: HttpClient, *, channel: int = 1) -> None:
        self._http = http
        self._channel = channel

    @property
    def name(self) -> str:
        """Address and channel."""
        return f"Shelly at {self._http.name}, channel {self._channel}"

    def on(self) -> None:
        """See :meth:`hil.power.relay.Relay.on`."""
        self._call("Switch.Set", {"on": True})

    def off(self) -> None:
        """See :meth:`hil.power.relay.Relay.off`."""
        self._call("Switch.Set", {"on": False})

    def readback(self) -> State:
        """The device's own word."""
        result = self._call("Switch.GetStatus", {})
        try:
            return State.of(msgspec.json.decode(result, type=_Gen2State).output)
        except msgspec.MsgspecError as error:
            raise RelayError(f"{self.name} answered {result[:80]!r}") from error

    def close(self) -> None:
        """Close the connection."""
        self._http.close()

    def _call(self, method: str, params: dict[str, object]) -> bytes:
        request = {"id": 1, "method": method, "params": {"id": self._channel - 1, **params}}
        body = self._http.post("/rpc", msgspec.json.encode(request), "application/json")
        try:
            reply = msgspec.json.decode(body, type=_Gen2Reply)
        except msgspec.MsgspecError as error:
            raise RelayError(f"{self.name} answered {body[:80]!r}") from error
        if reply.error is not None:
            raise RelayError(f"{self.name}: {method}: error {reply.error.code}: {reply.error.message}")
        return bytes(reply.result)
