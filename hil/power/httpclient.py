"""HTTP for relays on the network: one request at a time on a connection that is kept.

Like every other byte it goes through a port: ``http://host`` is the port ``socket://host:80``, and
an emulated relay is an ``emu://`` line.
"""

from __future__ import annotations

import base64
import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from hil.discretion import discreet
from hil.errors import FrameError, PortError, RelayError, UsageError
from hil.serialport.port import open_port
from hil.wire.digest import UNAUTHENTICATED, http_authorization, http_challenge
from hil.wire.http import HttpMessage, HttpReader, encode_request

if TYPE_CHECKING:
    from hil.clock import Clock
    from hil.serialport.port import Port

__all__ = ["NETWORK_BAUD", "HttpClient", "Login"]

ANSWER_US = 3_000_000
NETWORK_BAUD = 10_000_000
"""Rate of an emulated network line; real ones have none."""


@dataclass(frozen=True)
class Login:
    """User and password of a relay; the password is never shown."""

    user: str
    password: str = field(repr=False)


class HttpClient:
    """Asks one device.

    Args:
        url: ``http://host[:port]``, or ``emu://rig/line``.
        clock: the rig's clock.
        login: for devices that ask for it.
    """

    def __init__(self, url: str, *, clock: Clock, login: Login | None = None) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "emu") or not parts.hostname:
            raise UsageError(f"{url!r} is no address of a relay", hint="use http://host or http://host:port")
        self.name = url
        self._port_url = url if parts.scheme == "emu" else f"socket://{parts.hostname}:{parts.port or 80}"
        self._host = parts.netloc
        self._clock = clock
        self._login = login
        self._port: Port | None = None

    def close(self) -> None:
        """Close the connection."""
        port, self._port = self._port, None
        if port is not None:
            port.close()

    def get(self, target: str) -> bytes:
        """Body of the response to GET.

        Raises:
            RelayError: no answer in time, or a status other than 200.
            PortError: the device cannot be reached.
        """
        return self._request("GET", target, b"", {})

    def post(self, target: str, body: bytes, content_type: str) -> bytes:
        """Body of the response to POST; raises like :meth:`get`."""
        return self._request("POST", target, body, {"Content-Type": content_type})

    def _request(self, method: str, target: str, body: bytes, headers: dict[str, str]) -> bytes:
        response = self._exchange(method, target, body, headers)
        challenge = response.headers.get("www-authenticate")
        if response.status == UNAUTHENTICATED and self._login is not None and challenge is not None:
            authorization = self._authorization(challenge, method, target)
            response = self._exchange(method, target, body, headers | {"Authorization": authorization})
        if response.status == UNAUTHENTICATED:
            raise RelayError(f"{self.name} refuses the login", hint="check user and password of the relay")
        if response.status != 200:
            raise RelayError(f"{self.name}: {response.start} to {method} {target.partition('?')[0]}")
        return response.body

    @discreet
    def _authorization(self, challenge: str, method: str, target: str) -> str:
        if self._login is None:
            raise RelayError(f"{self.name} asks for a login")
        user, password = self._login.user, self._login.password
        if challenge.lower().startswith("basic"):
            return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
        try:
            asked = http_challenge(challenge)
        except FrameError as error:
            raise RelayError(f"{self.name}: {error}") from error
        return http_authorization(asked, user, password, secrets.token_hex(8), method=method, uri=target)

    def _exchange(self, method: str, target: str, body: bytes, headers: dict[str, str]) -> HttpMessage:
        """Send and read, on a fresh connection if the kept one turns out to be closed."""
        request = encode_request(method, target, host=self._host, body=body, headers=headers)
        kept = self._port is not None
        try:
            return self._once(request)
        except PortError:
            self.close()
            if not kept:
                raise
        return self._once(request)

    def _once(self, request: bytes) -> HttpMessage:
        if self._port is None:
            self._port = open_port(self._port_url, clock=self._clock, baud=NETWORK_BAUD)
        self._port.write(request)
        reader = HttpReader(responses=True)
        deadline = self._clock.now + ANSWER_US
        try:
            while True:
                data = self._read(reader, deadline)
                if isinstance(data, HttpMessage):
                    return data
                for message in reader.feed(data):
                    return message
        except FrameError as error:
            self.close()
            raise RelayError(f"{self.name}: {error}") from error

    def _read(self, reader: HttpReader, deadline: int) -> bytes | HttpMessage:
        """More bytes, or the message that the end of the connection completed."""
        if self._port is None:
            raise RelayError(f"{self.name}: the connection was closed meanwhile")
        try:
            data = self._port.read(deadline)
        except PortError:
            message = reader.end()
            if message is None:
                raise
            self.close()
            return message
        if not data:
            self.close()
            raise RelayError(f"{self.name} did not answer within {ANSWER_US / 1e6:g} s")
        return data
