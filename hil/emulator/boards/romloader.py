"""The serial loader in the ROM of an emulated ESP8266 or ESP32, and the stub that replaces it.

Tools upload their own stub; its code cannot run here. What they speak to it afterwards is this
module's second dialect: more commands, two status bytes, no checksum errors of the ROM's numbers.
A program uploaded to RAM that is one of the board's own (the provisioning firmware of the EduKit)
is handed to the board instead.

Differences to the chips, for lines without a reset wire: a SYNC brings a running stub back to the
ROM's dialect, and both dialects find the host's baud rate anew whenever it has changed.

Sources: Espressif, esptool documentation, "Serial Protocol"; espressif/esptool (loader.py, targets/)
for what the host expects.
"""

from __future__ import annotations

import hashlib
import struct
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from hil.emulator.norflash import SECTOR
from hil.errors import FrameError
from hil.wire.slip import (
    OHAI,
    Code,
    Op,
    Request,
    Response,
    SlipDecoder,
    block_checksum,
    decode_request,
    encode_slip,
    words,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from hil.clock import World
    from hil.emulator.boards.espchip import EspChip, Registers
    from hil.emulator.norflash import NorFlash
    from hil.emulator.uart import Uart

__all__ = ["LoaderHost", "RomLoader"]

SYNC_ANSWERS = 8
SYNC_VALUE = 0x2010_2020
"""Any value but 0: tools take 0 for a stub that is running already."""

MAX_SLOW_READ = 64
MAX_IN_FLIGHT = 64
_STUB_OPS = frozenset(Op) - {Op.GET_SECURITY_INFO, Op.READ_FLASH_SLOW}
_STUB_CODES = {
    Code.INVALID_MESSAGE: Code.STUB_DATA_LENGTH,
    Code.BAD_CHECKSUM: Code.STUB_CHECKSUM,
    Code.DEFLATE: Code.STUB_INFLATE,
    Code.FLASH_WRITE: Code.STUB_SPI_FAILED,
    Code.FLASH_READ: Code.STUB_SPI_FAILED,
    Code.FAILED_TO_ACT: Code.STUB_NOT_FLASHING,
}


class LoaderHost(Protocol):
    """What a loader can start: the board around it."""

    def run_flash(self) -> None:
        """Jump to what is in flash, without a reset."""
        ...

    def restart(self) -> None:
        """Restart by software: the strap is as it was, so that this ends in the ROM loader."""
        ...

    def run_ram(self, image: bytes) -> bool:
        """Jump to what was uploaded to RAM; False if it is no program of the board (a stub)."""
        ...


class _Refused(Exception):
    """The command fails with this code."""

    def __init__(self, code: Code) -> None:
        super().__init__(code.name)
        self.code = code


@dataclass
class _Writing:
    """A write to flash under way."""

    offset: int
    block_size: int
    inflate: Callable[[bytes], bytes] | None = None


@dataclass
class _Reading:
    """A streamed read under way; positions count from its beginning."""

    content: bytes
    block_size: int
    window: int
    sent: int = 0


class RomLoader:
    """One stay in the loader; made when the chip starts with its boot strap low.

    Args:
        world: whose time erasing takes.
        chip: the kind of chip.
        uart: the line.
        registers: the chip's registers.
        flash: its flash.
        host: the board.
    """

    def __init__(
        self,
        world: World,
        chip: EspChip,
        uart: Uart,
        registers: Registers,
        flash: NorFlash,
        host: LoaderHost,
    ) -> None:
        self.stub = False
        self._world = world
        self._chip = chip
        self._uart = uart
        self._registers = registers
        self._flash = flash
        self._host = host
        self._decoder = SlipDecoder()
        self._writing: _Writing | None = None
        self._reading: _Reading | None = None
        self._ram = bytearray()
        self._ready_at = 0
        self._alive = True

    def halt(self) -> None:
        """The chip is reset: nothing more is sent."""
        self._alive = False

    def receive(self, data: bytes) -> None:
        """Bytes from the host; called in an event."""
        if abs(self._uart.host_baud - self._uart.baud) * 25 > self._uart.baud:
            self._uart.baud = self._uart.host_baud  # these bytes measured the rate, and are lost
            self._decoder.reset()
            return
        for frame in self._decoder.feed(data):
            if self._alive:
                self._frame(frame)

    # -- requests and answers ----------------------------------------------------------------

    def _frame(self, frame: bytes) -> None:
        if self._reading is not None:
            if len(frame) == 4:
                self._acknowledged(*words(frame, 1))
                return
            self._reading = None  # the host gave up
        try:
            request = decode_request(frame)
        except FrameError:  # noise
            return
        if request.op == Op.SYNC:
            self._sync()
            return
        ops = _STUB_OPS if self.stub else self._chip.rom_ops
        try:
            if request.op not in ops:
                raise _Refused(Code.STUB_UNKNOWN if self.stub else Code.INVALID_MESSAGE)
            _COMMANDS[Op(request.op)](self, request)
        except _Refused as refused:
            code = _STUB_CODES.get(refused.code, refused.code) if self.stub else refused.code
            self._answer(request.op, code=code)
        except FrameError:
            self._answer(request.op, code=Code.STUB_DATA_LENGTH if self.stub else Code.INVALID_MESSAGE)

    def _sync(self) -> None:
        self.stub = False
        self._writing = None
        self._ram.clear()
        for _ in range(SYNC_ANSWERS):
            self._answer(Op.SYNC, value=SYNC_VALUE)

    def _answer(self, op: int, *, value: int = 0, data: bytes = b"", code: int = 0, took: int = 0) -> None:
        size = 2 if self.stub else self._chip.status_size
        self._send(Response(op, value, data, code, size).encode(), took)

    def _send(self, content: bytes, took: int = 0) -> None:
        """A frame, once the flash is ready."""
        self._ready_at = max(self._ready_at, self._world.now) + took
        frame = encode_slip(content)

        def send() -> None:
            if self._alive:
                self._uart.send(frame)

        if self._ready_at <= self._world.now:
            send()
        else:
            self._world.at(self._ready_at, send, f"{self._uart.name} loader answers")

    def _payload(self, request: Request) -> tuple[int, bytes]:
        """Sequence number and content of a block."""
        length, sequence, _, _ = words(request.data, 4)
        payload = request.data[16:]
        if len(payload) != length:
            raise _Refused(Code.INVALID_MESSAGE)
        if block_checksum(payload) != request.checksum & 0xFF:
            raise _Refused(Code.BAD_CHECKSUM)
        return sequence, payload

    # -- registers and link --------------------------------------------------------------------

    def _read_register(self, request: Request) -> None:
        (address,) = words(request.data, 1)
        self._answer(request.op, value=self._registers.read(address))

    def _write_register(self, request: Request) -> None:
        count = len(request.data) // 16
        if not count:
            raise _Refused(Code.INVALID_MESSAGE)
        for address, value, mask, _delay in struct.iter_unpack("<IIII", request.data[: 16 * count]):
            self._registers.write(address, value, mask)
        self._answer(request.op)

    def _nothing(self, request: Request) -> None:
        """Settings that make no difference to an emulated flash."""
        self._answer(request.op)

    def _change_baud(self, request: Request) -> None:
        new, _old = words(request.data, 2)
        if not 300 <= new <= 5_000_000:
            raise _Refused(Code.INVALID_MESSAGE)
        self._answer(request.op)
        self._uart.baud = new

    # -- RAM -----------------------------------------------------------------------------------

    def _mem_begin(self, request: Request) -> None:
        words(request.data, 4)
        self._answer(request.op)

    def _mem_data(self, request: Request) -> None:
        self._ram += self._payload(request)[1]
        self._answer(request.op)

    def _mem_end(self, request: Request) -> None:
        stay, _entry = words(request.data, 2)
        image = bytes(self._ram)
        self._ram.clear()
        self._answer(request.op)
        if not stay and not self._host.run_ram(image):
            self.stub = True
            self._send(OHAI)

    # -- writing -------------------------------------------------------------------------------

    def _begin(self, request: Request, inflate: Callable[[bytes], bytes] | None) -> None:
        size, _blocks, block_size, offset = words(request.data, 4)
        took = self._erase(offset, size)
        self._writing = _Writing(offset, block_size, inflate)
        self._answer(request.op, took=took)

    def _flash_begin(self, request: Request) -> None:
        self._begin(request, None)

    def _defl_begin(self, request: Request) -> None:
        self._begin(request, zlib.decompressobj().decompress)

    def _erase(self, offset: int, size: int) -> int:
        if self._chip.double_erase and not self.stub:
            asked, first = -(-size // SECTOR), offset // SECTOR
            size = min((asked + min(asked, 16 - first % 16)) * SECTOR, self._flash.size - offset)
        try:
            return self._flash.erase(offset, size)
        except ValueError as error:
            raise _Refused(Code.FLASH_WRITE) from error

    def _data(self, request: Request) -> None:
        writing = self._writing
        if writing is None:
            raise _Refused(Code.FAILED_TO_ACT)
        sequence, payload = self._payload(request)
        try:
            if writing.inflate is None:
                at = writing.offset + sequence * writing.block_size
            else:
                payload, at = writing.inflate(payload), writing.offset
                writing.offset += len(payload)
            took = self._flash.program(at, payload)
        except zlib.error as error:
            raise _Refused(Code.DEFLATE) from error
        except ValueError as error:
            raise _Refused(Code.FLASH_WRITE) from error
        self._answer(request.op, took=took)

    def _end(self, request: Request) -> None:
        (stay,) = words(request.data, 1)
        self._writing = None
        self._answer(request.op)
        if stay:
            return
        if self.stub:
            self._host.restart()
        else:
            self._host.run_flash()

    def _erase_all(self, request: Request) -> None:
        self._answer(request.op, took=self._flash.erase(0, self._flash.size))

    def _erase_region(self, request: Request) -> None:
        offset, size = words(request.data, 2)
        if offset % SECTOR or size % SECTOR:
            raise _Refused(Code.FLASH_WRITE)
        try:
            took = self._flash.erase(offset, size)
        except ValueError as error:
            raise _Refused(Code.FLASH_WRITE) from error
        self._answer(request.op, took=took)

    # -- reading -------------------------------------------------------------------------------

    def _content(self, offset: int, size: int) -> bytes:
        try:
            return self._flash.read(offset, size)
        except ValueError as error:
            raise _Refused(Code.FLASH_READ) from error

    def _md5(self, request: Request) -> None:
        offset, size = words(request.data, 2)
        digest = hashlib.md5(self._content(offset, size), usedforsecurity=False)
        self._answer(request.op, data=digest.digest() if self.stub else digest.hexdigest().encode())

    def _read_slow(self, request: Request) -> None:
        offset, size = words(request.data, 2)
        if size > MAX_SLOW_READ:
            raise _Refused(Code.FLASH_READ_LENGTH)
        self._answer(request.op, data=self._content(offset, size).ljust(MAX_SLOW_READ, b"\0"))

    def _read_stream(self, request: Request) -> None:
        offset, size, block_size, window = words(request.data, 4)
        content = self._content(offset, size)
        if not 1 <= block_size <= SECTOR:
            raise _Refused(Code.INVALID_MESSAGE)
        self._answer(request.op)
        self._reading = _Reading(content, block_size, min(max(window, 1), MAX_IN_FLIGHT) * block_size)
        self._acknowledged(0)

    def _acknowledged(self, count: int) -> None:
        """Send what the window allows; after the last acknowledgement, the digest."""
        reading = self._reading
        assert reading is not None, "the caller looked"
        size = len(reading.content)
        while reading.sent < min(size, count + reading.window):
            piece = reading.content[reading.sent : reading.sent + reading.block_size]
            reading.sent += len(piece)
            self._send(piece)
        if count >= size:
            self._reading = None
            self._send(hashlib.md5(reading.content, usedforsecurity=False).digest())

    def _run_user(self, request: Request) -> None:
        """Leaves the loader without an answer."""
        self._host.run_flash()


_COMMANDS: Mapping[Op, Callable[[RomLoader, Request], None]] = {
    Op.READ_REG: RomLoader._read_register,
    Op.WRITE_REG: RomLoader._write_register,
    Op.SPI_SET_PARAMS: RomLoader._nothing,
    Op.SPI_ATTACH: RomLoader._nothing,
    Op.CHANGE_BAUDRATE: RomLoader._change_baud,
    Op.MEM_BEGIN: RomLoader._mem_begin,
    Op.MEM_DATA: RomLoader._mem_data,
    Op.MEM_END: RomLoader._mem_end,
    Op.FLASH_BEGIN: RomLoader._flash_begin,
    Op.FLASH_DATA: RomLoader._data,
    Op.FLASH_END: RomLoader._end,
    Op.DEFL_BEGIN: RomLoader._defl_begin,
    Op.DEFL_DATA: RomLoader._data,
    Op.DEFL_END: RomLoader._end,
    Op.SPI_FLASH_MD5: RomLoader._md5,
    Op.READ_FLASH_SLOW: RomLoader._read_slow,
    Op.READ_FLASH: RomLoader._read_stream,
    Op.ERASE_FLASH: RomLoader._erase_all,
    Op.ERASE_REGION: RomLoader._erase_region,
    Op.RUN_USER: RomLoader._run_user,
}
