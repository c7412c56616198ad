"""Emulated relays on the network: Shelly of both generations and Tasmota, as small HTTP servers.

The servers are sans-IO: they sit on an emulated line, which a front may carry to a real socket.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

from hil.emulator.relay import make_contacts
from hil.errors import FrameError
from hil.wire.digest import Challenge, digest_response
from hil.wire.http import HttpReader, encode_response

if TYPE_CHECKING:
    from collections.abc import Callable

    from hil.emulator.uart import Uart
    from hil.wire.http import HttpMessage

__all__ = ["EmulatedShellyGen1", "EmulatedShellyGen2", "EmulatedTasmota"]

LINE_BAUD = 10_000_000
REALM = "shellyplus1-e07e00000001"
NONCE = "1700000000"


def _nothing(closed: bool) -> None:
    """Nobody hangs on this contact."""


class _HttpRelay(ABC):
    """Reads requests from the line and answers each.

    Args:
        uart: the relay's end; set to a network's rate.
        channels: how many outputs.
        on_switch: for channel 1; the other contacts have their own.
        password: web password, or empty.

    Attributes:
        contacts: one for each channel, channel 1 first.
    """

    def __init__(
        self,
        uart: Uart,
        *,
        channels: int = 1,
        on_switch: Callable[[bool], None] = _nothing,
        password: str = "",
    ) -> None:
        self.contacts = make_contacts(uart, channels, on_switch)
        self._password = password
        self._uart = uart
        self._reader = HttpReader(responses=False)
        uart.baud = LINE_BAUD
        uart.on_bytes = self._received

    def _received(self, data: bytes) -> None:
        try:
            for message in self._reader.feed(data):
                self._uart.send(self.answer(message))
        except FrameError as error:
            self._reader = HttpReader(responses=False)
            self._uart.send(encode_response(400, str(error).encode()))

    @abstractmethod
    def answer(self, message: HttpMessage) -> bytes:
        """The response to one request."""


class EmulatedShellyGen1(_HttpRelay):
    """``/relay/{index}``, GET and POST."""

    def answer(self, message: HttpMessage) -> bytes:
        """The response to one request."""
        _, target = message.request
        parts = urlsplit(target)
        fields = parse_qs(parts.query) | parse_qs(message.body.decode("latin-1"))
        head, _, number = parts.path.rpartition("/")
        if head != "/relay" or not number.isdigit() or int(number) >= len(self.contacts):
            return encode_response(404, b"Not Found")
        contact = self.contacts[int(number)]
        turn = fields.get("turn", [""])[0]
        if turn in ("on", "off"):
            contact.drive(turn == "on")
        return _json({"ison": contact.driven, "has_timer": False, "overpower": False, "source": "http"})


class EmulatedShellyGen2(_HttpRelay):
    """``POST /rpc`` with ``Switch.Set`` and ``Switch.GetStatus``; digest login if a password is set."""

    def answer(self, message: HttpMessage) -> bytes:
        """The response to one request."""
        method, target = message.request
        if target != "/rpc":
            return encode_response(404, b"Not Found")
        if self._password and not self._authorized(message, method):
            ask = f'Digest qop="auth", realm="{REALM}", nonce="{NONCE}", algorithm=SHA-256'
            return encode_response(401, headers={"WWW-Authenticate": ask})
        try:
            frame = json.loads(message.body)
            name, params = str(frame["method"]), dict(frame.get("params", {}))
            frame_id, number = frame["id"], int(params.get("id", -1))
        except (ValueError, KeyError, TypeError):
            return encode_response(400, b"Bad Request")
        return _json({"id": frame_id, "src": REALM, **self._call(name, params, number)})

    def _call(self, name: str, params: dict[str, object], number: int) -> dict[str, object]:
        if name not in ("Switch.Set", "Switch.GetStatus"):
            return {"error": {"code": 404, "message": f"No handler for {name}"}}
        if not 0 <= number < len(self.contacts):
            return {"error": {"code": -105, "message": f"Argument 'id', value {number} not found!"}}
        contact = self.contacts[number]
        if name == "Switch.GetStatus":
            return {"result": {"id": number, "source": "HTTP_in", "output": contact.driven}}
        if not isinstance(params.get("on"), bool):
            return {"error": {"code": -103, "message": "Missing required argument 'on'!"}}
        was = contact.driven
        contact.drive(params["on"] is True)
        return {"result": {"was_on": was}}

    def _authorized(self, message: HttpMessage, method: str) -> bool:
        header = message.headers.get("authorization", "")
        fields = dict(
            (name.strip(), value.strip(' "'))
            for name, _, value in (part.partition("=") for part in header.partition(" ")[2].split(","))
        )
        challenge = Challenge("digest", NONCE, realm=REALM, algorithm="SHA-256")
        proof = digest_response(
            challenge,
            "admin",
            self._password,
            fields.get("cnonce", ""),
            nc=fields.get("nc", ""),
            method=method,
            uri=fields.get("uri", ""),
        )
        return fields.get("username") == "admin" and fields.get("response") == proof


class EmulatedTasmota(_HttpRelay):
    """``GET /cm?cmnd=Power<n> [On|Off]``; the password is part of the request."""

    def answer(self, message: HttpMessage) -> bytes:
        """The response to one request."""
        _, target = message.request
        parts = urlsplit(target)
        fields = parse_qs(parts.query)
        if parts.path != "/cm":
            return encode_response(404, b"Not Found")
        if self._password and fields.get("password", [""])[0] != self._password:
            return _json({"WARNING": "Need user=<username>&password=<password>"})
        word, _, value = fields.get("cmnd", [""])[0].partition(" ")
        number = word[5:] or "1"
        if word[:5].lower() != "power" or not number.isdigit() or not 1 <= int(number) <= len(self.contacts):
            return _json({"Command": "Unknown"})
        contact = self.contacts[int(number) - 1]
        if value.lower() in ("on", "1", "off", "0"):
            contact.drive(value.lower() in ("on", "1"))
        name = "POWER" if len(self.contacts) == 1 else f"POWER{number}"
        return _json({name: "ON" if contact.driven else "OFF"})


def _json(value: object) -> bytes:
    return encode_response(200, json.dumps(value).encode(), headers={"Content-Type": "application/json"})
