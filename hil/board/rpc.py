"""Remote calls over a console: handshake, one request in flight, typed results.

The line is shared with the log, so the client reads through the console and never past it.
Source of the client's duties: mongoose-os/mos ``common/mgrpc/codec/serial.go``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from hil.errors import DeviceTimeout, FrameError, HilError, RpcError, UsageError
from hil.wire.mgrpc import (
    HANDSHAKE,
    QUOTES,
    Corrupted,
    Frame,
    Handshake,
    Response,
    decode_response,
    decode_value,
    encode_frame,
    encode_request,
)
from hil.wire.redact import redact_frame

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from hil.board.console import Console
    from hil.clock import Clock
    from hil.wire.mgrpc import ClientReceiver

__all__ = ["DEFAULT_PACING", "Pacing", "RpcClient"]

T = TypeVar("T")

TIMEOUT_US = 5_000_000
HANDSHAKE_EVERY_US = 200_000
FIRST_ID = 1 << 40


@dataclass(frozen=True)
class Pacing:
    """How fast a long request is written to a UART without hardware flow control.

    Attributes:
        chunk: bytes written at once. ESP8266 and ESP32 have a receive FIFO of 128 bytes; mos
            uses 16.
        gap_us: pause after each chunk but the last, besides the line time; mos uses 5 ms.
        baud: for the line time.
    """

    chunk: int = 128
    gap_us: int = 5_000
    baud: int = 115_200

    def pause_us(self, sent: int) -> int:
        """How long to wait after ``sent`` bytes were handed to the port."""
        return self.gap_us + sent * 10_000_000 // self.baud


DEFAULT_PACING = Pacing()


class RpcClient:
    """Calls methods of the firmware, one at a time.

    Args:
        console: the board's console; its decoder must be ``receiver``.
        receiver: knows whether the device asked to stop (XOFF).
        delimiter: :data:`~hil.wire.mgrpc.QUOTES` or :data:`~hil.wire.mgrpc.NEWLINE`.
        crc: send checksums; serial always does.
        pacing: how long requests are split.

    Attributes:
        before_send: called with method and parameters before anything is sent; the guard's hook.
            It refuses by raising.
        interruption: set by whoever sees that no reply can come any more (a reboot); raised
            once, by the call in flight.
    """

    def __init__(
        self,
        console: Console,
        receiver: ClientReceiver,
        *,
        delimiter: bytes = QUOTES,
        crc: bool = True,
        pacing: Pacing = DEFAULT_PACING,
    ) -> None:
        self.console = console
        self.before_send: Callable[[str, Mapping[str, object]], None] = lambda method, params: None
        self.interruption: HilError | None = None
        self._receiver = receiver
        self._delimiter = delimiter
        self._crc = crc
        self._pacing = pacing
        self._next_id = FIRST_ID + console.clock.now % FIRST_ID
        self._awaited: int | None = None
        self._response: Response | None = None
        self._corrupted: str | None = None
        self._in_step = False
        self._answers = 0
        console.on_frame = self._on_frame

    @property
    def clock(self) -> Clock:
        """The port's clock."""
        return self.console.clock

    @property
    def name(self) -> str:
        """The port's name."""
        return self.console.name

    @property
    def physical(self) -> bool:
        """False only for a board that this process emulates."""
        return self.console.port.physical

    def call(
        self, method: str, params: Mapping[str, object] | None = None, *, timeout_us: int = TIMEOUT_US
    ) -> object:
        """Call ``method`` and return its result as plain JSON values.

        Args:
            method: e.g. ``"I2C.Scan"``.
            params: the arguments; bytes are sent as base64.
            timeout_us: for handshake, request and reply together, in microseconds.

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
        if self._awaited is not None:
            raise UsageError(f"{method}: another call is in flight; only one can be")
        self.before_send(method, params or {})
        deadline = self.clock.now + timeout_us
        response = self._exchange(method, params, deadline, timeout_us)
        if response.error is not None:
            raise RpcError(method, response.error.code, response.error.message)
        result = bytes(response.result) or b"null"
        return decode_value(result, as_type, f"{method}: the result")

    def handshake(self, *, timeout_us: int = TIMEOUT_US) -> None:
        """Get in step with the firmware; calls do it by themselves when needed.

        Raises:
            DeviceTimeout: the firmware does not answer.
        """
        self._handshake(self.clock.now + timeout_us, timeout_us)

    def out_of_step(self) -> None:
        """Say that the board restarted: the next call begins with a handshake."""
        self._in_step = False

    def _exchange(
        self, method: str, params: Mapping[str, object] | None, deadline: int, timeout_us: int
    ) -> Response:
        if not self._in_step:
            self._handshake(deadline, timeout_us)
        request_id = self._next_id
        self._next_id += 1
        json = encode_request(request_id, method, params)
        self._awaited, self._response, self._corrupted = request_id, None, None
        mark = self.console.received
        try:
            self._send(json, deadline)
            while self._response is None:
                self._check(method)
                if not self.console.pump(deadline):
                    raise DeviceTimeout(self._silence(f"{method}: no reply", timeout_us, mark))
            return self._response
        except HilError:
            self._in_step = False
            raise
        finally:
            self._awaited = None

    def _check(self, method: str) -> None:
        """Raise what makes further waiting useless."""
        interruption, self.interruption = self.interruption, None
        if interruption is not None:
            raise interruption
        if self._corrupted is not None:
            raise FrameError(
                f"{method}: the reply arrived damaged on {self.name}: {self._corrupted}",
                hint="check ground, baud rate and the length of the cable",
            )

    def _handshake(self, deadline: int, timeout_us: int) -> None:
        clock, mark, answers = self.clock, self.console.received, self._answers
        self.interruption = None
        while self._answers == answers:
            if clock.now >= deadline:
                raise DeviceTimeout(
                    self._silence("the firmware does not answer the RPC handshake", timeout_us, mark),
                    hint="is the firmware running, and is rpc.uart.uart_no this port?",
                )
            self.console.write(HANDSHAKE)
            again = min(deadline, clock.now + HANDSHAKE_EVERY_US)
            while self._answers == answers and self.console.pump(again):
                pass
        self._in_step = True

    def _send(self, json: bytes, deadline: int) -> None:
        data = encode_frame(json, delimiter=self._delimiter, crc=self._crc)
        chunk = self._pacing.chunk
        shown = redact_frame(json)
        for start in range(0, len(data), chunk):
            if start:
                self._pause(chunk, deadline)
            self.console.write(data[start : start + chunk], shown=b"" if start else shown)

    def _pause(self, sent: int, deadline: int) -> None:
        """Let the receiver take a chunk; while it says XOFF, wait until it says XON."""
        resume = min(deadline, self.clock.now + self._pacing.pause_us(sent))
        while self.console.pump(resume):
            pass
        while self._receiver.stopped and self.console.pump(deadline):
            pass
        if self._receiver.stopped:
            raise DeviceTimeout(f"{self.name}: the device said XOFF and never XON again")

    def _on_frame(self, frame: Frame | Handshake | Corrupted) -> None:
        if isinstance(frame, Handshake):
            self._answers += 1
        elif isinstance(frame, Corrupted):
            self._corrupted = frame.why
        elif self._awaited is not None:
            try:
                response = decode_response(frame.json)
            except FrameError as error:
                if str(self._awaited).encode() in frame.json:
                    self._corrupted = str(error)
                return  # a log line between braces
            if response.id == self._awaited:
                self._response = response

    def _silence(self, what: str, timeout_us: int, mark: int) -> str:
        arrived = self.console.received - mark
        text = f"{what} within {timeout_us / 1e6:.3f} s on {self.name}; "
        if not arrived:
            return text + "nothing arrived"
        return text + f"{arrived} bytes arrived, the last: {self.console.last_bytes()!r}"
