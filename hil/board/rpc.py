"""Remote calls to the firmware: one request in flight, typed results, authentication.

How frames travel is a channel's business: :mod:`hil.board.rpcserial` (the console UART) and
:mod:`hil.board.rpcnet` (TCP, HTTP, WebSocket).
Source: mongoose-os/mos ``common/mgrpc/mgrpc.go``.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, TypeVar

from hil.discretion import discreet
from hil.errors import DeviceTimeout, FrameError, HilError, RpcError, UsageError
from hil.guard.unguarded import refuse_unguarded
from hil.wire.digest import UNAUTHENTICATED, rpc_auth, rpc_challenge
from hil.wire.mgrpc import Response, decode_response, decode_value, encode_request

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from hil.clock import Clock

__all__ = ["Channel", "Credentials", "RpcClient"]

T = TypeVar("T")

TIMEOUT_US = 5_000_000
FIRST_ID = 1 << 40


class Channel(Protocol):
    """Carries frames to one device and back.

    Attributes:
        received: bytes read so far, for error messages.
    """

    @property
    def clock(self) -> Clock: ...  # noqa: D102
    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def physical(self) -> bool: ...  # noqa: D102
    @property
    def received(self) -> int: ...  # noqa: D102

    def prepare(self, deadline: int) -> None:
        """Get in step with the device, if that is still to be done.

        Raises:
            DeviceTimeout: it does not answer.
            PortError: it cannot be reached.
        """
        ...

    def send(self, json: bytes, deadline: int) -> None:
        """Send a frame; what was received and not fetched before is dropped."""
        ...

    def receive(self, deadline: int) -> bytes | None:
        """The next frame's JSON; None at the deadline.

        Raises:
            FrameError: a frame arrived damaged.
            UnexpectedReboot: the board restarted.
        """
        ...

    def out_of_step(self) -> None:
        """The device may have lost its place: prepare again before the next frame."""
        ...

    def last_bytes(self) -> bytes:
        """The end of what was received, secrets masked; for error messages."""
        ...

    def close(self) -> None:
        """Let go of what the channel owns."""
        ...


@dataclass(frozen=True)
class Credentials:
    """User and password for firmware with ``rpc.auth_file``; the password is never shown."""

    user: str
    password: str = field(repr=False)


class RpcClient:
    """Calls methods of the firmware, one at a time.

    Args:
        channel: carries the frames; owned and closed by the client.
        credentials: for firmware that asks for them.

    Attributes:
        before_send: called with method and parameters before anything is sent; the guard's hook.
            It refuses by raising. Without a guard whatever would need a permit is refused.
    """

    def __init__(self, channel: Channel, *, credentials: Credentials | None = None) -> None:
        self.channel = channel
        self.before_send: Callable[[str, Mapping[str, object]], None] = refuse_unguarded
        self._credentials = credentials
        self._next_id = FIRST_ID + channel.clock.now % FIRST_ID
        self._busy = False

    @property
    def clock(self) -> Clock:
        """The channel's clock."""
        return self.channel.clock

    @property
    def name(self) -> str:
        """The channel's name."""
        return self.channel.name

    @property
    def physical(self) -> bool:
        """False only for a board that this process emulates."""
        return self.channel.physical

    def close(self) -> None:
        """Close the channel."""
        self.channel.close()

    def call(
        self, method: str, params: Mapping[str, object] | None = None, *, timeout_us: int = TIMEOUT_US
    ) -> object:
        """Call ``method`` and return its result as plain JSON values.

        Args:
            method: e.g. ``"I2C.Scan"``.
            params: the arguments; bytes are sent as base64.
            timeout_us: for getting in step, request and reply together, in microseconds.

        Raises:
            GuardRefusal: the guard did not allow it; nothing was sent.
            RpcError: the firmware answered with an error.
            DeviceTimeout: no reply in time.
            FrameError: a reply arrived damaged.
            UnexpectedReboot: the board restarted meanwhile.
        """
        return self.call_as(object, method, params, timeout_us=timeout_us)

    def call_as(
        self,
        as_type: type[T],
        method: str,
        params: Mapping[str, object] | None = None,
        *,
        timeout_us: int = TIMEOUT_US,
    ) -> T:
        """Like :meth:`call`, with the result read into ``as_type``.

        Raises:
            FrameError: also if the result has another shape.
        """
        if self._busy:
            raise UsageError(f"{method}: another call is in flight; only one can be")
        self.before_send(method, params or {})
        self._busy = True
        try:
            response = self._converse(method, params, timeout_us)
        except HilError:
            self.channel.out_of_step()
            raise
        finally:
            self._busy = False
        if response.error is not None:
            raise RpcError(method, response.error.code, response.error.message)
        return decode_value(bytes(response.result) or b"null", as_type, f"{method}: the result")

    @discreet
    def _converse(self, method: str, params: Mapping[str, object] | None, timeout_us: int) -> Response:
        """Request and reply; once more with credentials if the firmware asks for them."""
        deadline = self.clock.now + timeout_us
        response = self._exchange(method, params, None, deadline, timeout_us)
        error = response.error
        if error is None or error.code != UNAUTHENTICATED or self._credentials is None:
            return response
        challenge = rpc_challenge(error.message)
        user, password = self._credentials.user, self._credentials.password
        auth = rpc_auth(challenge, user, password, secrets.token_hex(8))
        return self._exchange(method, params, auth, deadline, timeout_us)

    def _exchange(
        self, method: str, params: Mapping[str, object] | None, auth: object, deadline: int, timeout_us: int
    ) -> Response:
        channel = self.channel
        before = channel.received
        channel.prepare(deadline)
        request_id = self._next_id
        self._next_id += 1
        channel.send(encode_request(request_id, method, params, auth=auth), deadline)
        while (json := channel.receive(deadline)) is not None:
            try:
                response = decode_response(json)
            except FrameError as error:
                if str(request_id).encode() in json:
                    raise FrameError(f"{method}: the reply on {self.name} is damaged: {error}") from error
                continue  # a log line between braces
            if response.id == request_id:
                return response
        raise DeviceTimeout(self._silence(method, timeout_us, channel.received - before))

    def _silence(self, method: str, timeout_us: int, arrived: int) -> str:
        text = f"{method}: no reply within {timeout_us / 1e6:.3f} s on {self.name}; "
        if not arrived:
            return text + "nothing arrived"
        return text + f"{arrived} bytes arrived, the last: {self.channel.last_bytes()!r}"
