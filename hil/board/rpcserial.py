"""RPC frames on the console UART, between log lines.

The channel reads through the console and never past it, so that nothing is lost to either.
Source of the client's duties: mongoose-os/mos ``common/mgrpc/codec/serial.go``.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

import msgspec

from hil.errors import DeviceTimeout, FrameError
from hil.wire.mgrpc import HANDSHAKE, QUOTES, Frame, Handshake, encode_frame
from hil.wire.redact import redact_frame

if TYPE_CHECKING:
    from collections.abc import Callable

    from hil.board.console import Console
    from hil.clock import Clock
    from hil.errors import HilError
    from hil.wire.mgrpc import ClientReceiver, Corrupted

__all__ = ["DEFAULT_PACING", "Pacing", "SerialChannel"]

HANDSHAKE_EVERY_US = 200_000


class Pacing(msgspec.Struct, frozen=True):
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


class SerialChannel:
    """Frames over a console; see :class:`hil.board.rpc.Channel`.

    Args:
        console: the board's console; its decoder must be ``receiver``. Stays open at the end.
        receiver: knows whether the device asked to stop (XOFF).
        delimiter: :data:`~hil.wire.mgrpc.QUOTES` or :data:`~hil.wire.mgrpc.NEWLINE`.
        pacing: how long requests are split.

    Attributes:
        interruption: set by whoever sees that no reply can come any more (a reboot); the call
            in flight raises what it returns, once.
    """

    def __init__(
        self,
        console: Console,
        receiver: ClientReceiver,
        *,
        delimiter: bytes = QUOTES,
        pacing: Pacing = DEFAULT_PACING,
    ) -> None:
        self.console = console
        self.interruption: Callable[[], HilError] | None = None
        self._receiver = receiver
        self._delimiter = delimiter
        self._pacing = pacing
        self._in_step = False
        self._answers = 0
        self._frames: deque[bytes] = deque()
        self._corrupted: str | None = None
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

    @property
    def received(self) -> int:
        """Bytes that the console has read."""
        return self.console.received

    def close(self) -> None:
        """The console belongs to the board; nothing to do."""

    def out_of_step(self) -> None:
        """See :meth:`hil.board.rpc.Channel.out_of_step`."""
        self._in_step = False

    def last_bytes(self) -> bytes:
        """See :meth:`hil.board.rpc.Channel.last_bytes`."""
        return self.console.last_bytes()

    def prepare(self, deadline: int) -> None:
        """Exchange 0x04 with the firmware, repeated until it answers."""
        if self._in_step:
            return
        start, before, answers = self.clock.now, self.received, self._answers
        self.interruption = None
        while self._answers == answers:
            now = self.clock.now
            if now >= deadline:
                heard = self.received - before
                raise DeviceTimeout(
                    f"the firmware on {self.name} does not answer the RPC handshake within "
                    f"{(now - start) / 1e6:.3f} s; "
                    + (
                        f"{heard} bytes arrived, the last: {self.last_bytes()!r}"
                        if heard
                        else "nothing arrived"
                    ),
                    hint="is the firmware running, and is rpc.uart.uart_no this port?",
                )
            self.console.write(HANDSHAKE)
            again = min(deadline, now + HANDSHAKE_EVERY_US)
            while self._answers == answers and self.console.pump(again):
                pass
        self._in_step = True

    def send(self, json: bytes, deadline: int) -> None:
        """Write one frame in chunks, obeying XOFF between them."""
        self._frames.clear()
        self._corrupted = None
        data = encode_frame(json, delimiter=self._delimiter)
        chunk = self._pacing.chunk
        self.console.write(data[:chunk], shown=redact_frame(json))
        for start in range(chunk, len(data), chunk):
            self._pause(chunk, deadline)
            self.console.write(data[start : start + chunk], shown=b"")

    def receive(self, deadline: int) -> bytes | None:
        """See :meth:`hil.board.rpc.Channel.receive`."""
        while not self._frames:
            self._check()
            if not self.console.pump(deadline):
                return None
        return self._frames.popleft()

    def _check(self) -> None:
        """Raise what makes further waiting useless."""
        interruption, self.interruption = self.interruption, None
        if interruption is not None:
            raise interruption()
        if self._corrupted is not None:
            raise FrameError(
                f"a reply arrived damaged on {self.name}: {self._corrupted}",
                hint="check ground, baud rate and the length of the cable",
            )

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
        if isinstance(frame, Frame):
            self._frames.append(frame.json)
        elif isinstance(frame, Handshake):
            self._answers += 1
        else:
            self._corrupted = frame.why
