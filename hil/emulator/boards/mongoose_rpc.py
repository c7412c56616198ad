"""mg_rpc on an emulated Mongoose OS board: method table, arguments, dispatch, error codes.

Source: mongoose-os-libs/rpc-common ``src/mg_rpc.c`` and ``src/mgos_rpc.c``.
"""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING

import msgspec

from hil.emulator.boards.mongoose_log import ERROR, WARN, Origin
from hil.errors import FrameError, RpcError
from hil.wire.mgrpc import decode_request, encode_error, encode_result

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from hil.emulator.boards.mongoose_log import Console
    from hil.wire.mgrpc import Request

__all__ = ["REBOOT_LOCKOUT_US", "Args", "Dispatcher", "Method", "base64_text"]

_MG_RPC = Origin("mg_rpc.c", 293)
_WRONG_DST = Origin("mg_rpc.c", 310)

REBOOT_LOCKOUT_US = 100_000
"""So shortly before a scheduled reboot every call is answered with 418."""

CONSOLE = "UART0"
"""How ``RPC.Ping`` calls the console's channel."""

MAX_QUEUE = 25
"""``rpc.max_queue_length``."""


class Args:
    """The parameters of a call, read as the firmware's ``json_scanf`` does.

    A member that is missing or has another type leaves the default in place; nothing is refused.
    """

    def __init__(self, text: bytes) -> None:
        value = _parsed(text)
        self._members: Mapping[str, object] = value if isinstance(value, dict) else {}

    def has(self, name: str) -> bool:
        """Whether the member is there and not null."""
        return self._members.get(name) is not None

    def value(self, name: str) -> object:
        """The member as it is; None if there is none."""
        return self._members.get(name)

    def integer(self, name: str, default: int) -> int:
        """``%d``: a number, also within a string; fractions are cut off."""
        value = self._members.get(name)
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            return default
        try:
            return int(value)
        except ValueError:
            return default

    def flag(self, name: str) -> bool:
        """``%B``: true only for the literal true."""
        return self._members.get(name) is True

    def text(self, name: str) -> str | None:
        """``%Q``: a string or None."""
        value = self._members.get(name)
        return value if isinstance(value, str) else None

    def base64(self, name: str) -> bytes:
        """``%V``: base64; empty if missing, and cut at the first character that is none."""
        value = self._members.get(name)
        if not isinstance(value, str):
            return b""
        good = value[: len(value) - len(value.lstrip(_BASE64))] if value else ""
        whole = good[: len(good) // 4 * 4]
        try:
            return base64.b64decode(whole)
        except binascii.Error:
            return b""

    def hex(self, name: str) -> bytes | None:
        """``%H``: hex digits; None if missing or not hex."""
        value = self._members.get(name)
        if not isinstance(value, str):
            return None
        try:
            return bytes.fromhex(value)
        except ValueError:
            return None


_BASE64 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/="


def base64_text(data: bytes) -> str:
    """``%V`` on the way out."""
    return base64.b64encode(data).decode()


class Method(msgspec.Struct, frozen=True):
    """One RPC method.

    Attributes:
        name: as called.
        args_fmt: what ``RPC.Describe`` says of its arguments.
        run: returns the JSON value of the result; :class:`RpcError` becomes the error reply.
    """

    name: str
    args_fmt: str
    run: Callable[[Args], object]


class Dispatcher:
    """Answers frames from the table of methods that this boot registered.

    Args:
        console: for the log.
        device_id: ``device.id``, the source of replies and the only accepted destination.
        reboot_in: microseconds until a scheduled reboot, None if there is none.
        check: raises :class:`RpcError` for a call that its sender may not make.
    """

    def __init__(
        self,
        console: Console,
        device_id: str,
        reboot_in: Callable[[], int | None],
        check: Callable[[Request], None] = lambda request: None,
    ) -> None:
        self._check = check
        self._channel = CONSOLE
        self._console = console
        self._device_id = device_id
        self._reboot_in = reboot_in
        self._methods: dict[str, Method] = {}
        self.register(
            [
                Method("RPC.List", "", lambda args: list(reversed(self._methods))),
                Method("RPC.Describe", "{name: %T}", self._describe),
                Method("RPC.Ping", "", lambda args: {"channel_info": self._channel}),
            ]
        )

    def register(self, methods: Iterable[Method]) -> None:
        """Add methods to the table."""
        self._methods |= {method.name: method for method in methods}

    def accept(self, frame: bytes) -> Request | None:
        """The request in ``frame``; None for what the firmware only logs."""
        try:
            request = decode_request(frame)
        except (FrameError, RecursionError):
            shown = frame.decode("ascii", "replace")
            self._console.log(_MG_RPC, f"INVALID FRAME ({len(frame)}): '{shown}'", ERROR)
            return None
        if request.dst and request.dst != self._device_id:
            self._console.log(_WRONG_DST, f"Wrong dst: '{request.dst}'", WARN)
            return None
        return request if request.method else None

    def answer(self, request: Request, channel: str = CONSOLE) -> bytes | None:
        """JSON of the reply; None for a notification. ``channel`` is what ``RPC.Ping`` calls it."""
        self._channel = channel
        try:
            result = self._run(request)
        except RpcError as error:
            reply = encode_error(request, error.code, error.text, src=self._device_id)
        else:
            reply = encode_result(request, result, src=self._device_id)
        return reply if request.id is not None else None

    def overflow(self, request: Request) -> bytes | None:
        """JSON of the reply to a request that found the queue full; None for a notification."""
        if request.id is None:
            return None
        return encode_error(request, 429, "queue overflow", src=self._device_id)

    def _run(self, request: Request) -> object:
        left = self._reboot_in()
        if left is not None and left < REBOOT_LOCKOUT_US:
            raise RpcError(request.method, 418, f"shutting down in {left // 1000} ms")
        self._check(request)
        method = self._methods.get(request.method)
        if method is None:
            raise RpcError(request.method, 404, f"No handler for {request.method}")
        return method.run(Args(request.arguments))

    def _describe(self, args: Args) -> object:
        name = args.text("name")
        if name is None:
            raise RpcError("RPC.Describe", 400, "name is required")
        method = self._methods.get(name)
        if method is None:
            raise RpcError("RPC.Describe", 404, "name not found")
        return {"name": method.name, "args_fmt": method.args_fmt}


def _parsed(text: bytes) -> object:
    try:
        return msgspec.json.decode(text)
    except (msgspec.MsgspecError, RecursionError):
        return None
