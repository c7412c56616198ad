"""An element behind a Microchip kit board, as an I2C bus.

The kit board speaks in whole commands: it sends the command group, waits and polls itself, and
returns the answer. This class keeps that answer like the output buffer of the element, so that the
element driver above needs to know nothing of it. Word addresses become the kit's wake, idle, sleep
and talk; a reset rewinds the buffer.

Source: MicrochipTech/cryptoauthlib v3.7.8 ``lib/hal/kit_protocol.c``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hil.errors import DeviceTimeout, I2CError, I2CNack
from hil.wire.atecc import WordAddress
from hil.wire.kit import (
    MAX_DEVICES,
    KitDevice,
    KitReply,
    KitRequest,
    decode_device,
    decode_reply,
    encode_request,
)

if TYPE_CHECKING:
    from hil.clock import Clock
    from hil.serialport.port import Port

__all__ = ["KitBus"]

_STATE = {WordAddress.IDLE: "i", WordAddress.SLEEP: "s"}


class KitBus:
    """An ``I2CBus`` with the devices of one kit board.

    Args:
        port: serial line to the kit board, 115200 8N1.
        address: 7-bit address of the element that wake pulses are for; a kit wakes one device.
        patience_us: how long a reply may take; the kit waits for the element's execution itself.
    """

    def __init__(self, port: Port, address: int, *, patience_us: int = 3_000_000) -> None:
        self._port = port
        self._address = address
        self._patience_us = patience_us
        self._received = bytearray()
        self._devices: dict[int, KitDevice] | None = None
        self._selected: int | None = None
        self._answer: bytes | None = None
        self._read_from = 0

    @property
    def clock(self) -> Clock:
        """The port's clock."""
        return self._port.clock

    @property
    def name(self) -> str:
        """The port's name."""
        return f"kit board at {self._port.name}"

    @property
    def physical(self) -> bool:
        """Whether the port is a physical one."""
        return self._port.physical

    @property
    def devices(self) -> dict[int, KitDevice]:
        """What the board reports, by 7-bit address; asked once.

        Raises:
            DeviceTimeout: the board does not answer.
        """
        if self._devices is None:
            found = (self._discover(index) for index in range(MAX_DEVICES))
            self._devices = {device.address: device for device in found if device is not None}
        return self._devices

    def write(self, address: int, data: bytes) -> None:
        """One write transaction; see :meth:`hil.i2c.bus.I2CBus.write`.

        A command group must be whole: the kit protocol has no way to send it in parts.
        """
        device = self._select(address)
        if not data:
            return
        word, group = data[0], data[1:]
        if word == WordAddress.RESET:
            self._read_from = 0
        elif word == WordAddress.COMMAND:
            if not group or group[0] != len(group):
                raise I2CError(f"{self.name}: a kit board takes whole commands only")
            self._keep(self._ask(KitRequest(device.target, "t", group)), f"0x{address:02x}")
        elif word in (WordAddress.IDLE, WordAddress.SLEEP):
            self._answer = None
            reply = self._ask(KitRequest(device.target, _STATE[WordAddress(word)]))
            if reply.status:
                raise I2CNack(address)
        else:
            raise I2CNack(address, 0)

    def read(self, address: int, length: int) -> bytes:
        """One read transaction; see :meth:`hil.i2c.bus.I2CBus.read`."""
        self._select(address)
        if self._answer is None:
            raise I2CNack(address)
        taken = self._answer[self._read_from : self._read_from + length]
        self._read_from += len(taken)
        return taken.ljust(length, b"\xff")

    def wake_pulse(self) -> None:
        """Let the kit board wake the element; see :meth:`hil.i2c.bus.I2CBus.wake_pulse`.

        A board that reports a failure leaves nothing to read: the driver then finds no answer.
        """
        self._answer = None
        device = self.devices.get(self._address)
        if device is None:
            return
        self._select(self._address)
        reply = self._ask(KitRequest(device.target, "w"))
        if reply.data:
            self._answer, self._read_from = reply.data, 0

    def _select(self, address: int) -> KitDevice:
        device = self.devices.get(address)
        if device is None:
            raise I2CNack(address)
        if self._selected != address:
            self._line(KitRequest(device.target, "physical:select", bytes((address << 1,))))
            self._selected, self._answer = address, None
        return device

    def _discover(self, index: int) -> KitDevice | None:
        return decode_device(self._line(KitRequest("board", "device", bytes((index,)))))

    def _keep(self, reply: KitReply, whom: str) -> None:
        """The element's own answer counts, whatever status the kit made of it."""
        self._answer, self._read_from = None, 0
        if reply.data:
            self._answer = reply.data
        elif reply.status:
            raise I2CError(f"{self.name}: status 0x{reply.status:02X} and no answer of {whom}")

    def _ask(self, request: KitRequest) -> KitReply:
        return decode_reply(self._line(request))

    def _line(self, request: KitRequest) -> bytes:
        """Send a request; the next line that arrives. What came late from before is dropped."""
        self._received.clear()
        while self._port.read(self.clock.now):
            pass
        self._port.write(encode_request(request))
        deadline = self.clock.now + self._patience_us
        while b"\n" not in self._received:
            arrived = self._port.read(deadline)
            if not arrived:
                raise DeviceTimeout(
                    f"{self.name} does not answer {request.target}:{request.command}",
                    hint="is it a kit board with kit firmware, and is this the right port?",
                )
            self._received += arrived
        line, _, rest = bytes(self._received).partition(b"\n")
        self._received[:] = rest
        return line
