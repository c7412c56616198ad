"""smbus2, unchanged, on the emulated bus: only ``ioctl`` is ours, and it reads the kernel's structures.

The structures are taken apart from their bytes (Linux ``include/uapi/linux/i2c.h`` and
``i2c-dev.h``), not through smbus2's own classes.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from hashlib import sha256
from typing import TYPE_CHECKING

import pytest
from smbus2 import I2cFunc, SMBus, i2c_msg, smbus2

from hil.element.device import Element
from hil.emulator.chip import Power
from hil.emulator.standalone import emulated_element
from hil.errors import I2CError, I2CNack, WakeError
from hil.i2c.linux import LinuxI2C
from hil.wire.atecc import WAKE_RESPONSE, Command, Opcode, decode_response
from tests.unit.chip_bench import DIGEST, verifies

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from hil.emulator.standalone import EmulatedElement

I2C_SLAVE, I2C_FUNCS, I2C_RDWR, I2C_SMBUS = 0x0703, 0x0705, 0x0707, 0x0720
READ = 0x0001
RDWR_DATA, MESSAGE, SMBUS_DATA = struct.Struct("@PI"), struct.Struct("@HHHP"), struct.Struct("@BBIP")
QUICK, BYTE, BYTE_DATA, WORD_DATA, BLOCK = 0, 1, 2, 3, 8


class Kernel:
    """``ioctl`` of one adapter whose wires are an emulated bus; without a repeated START of its own.

    Args:
        part: the element on the bus.
        nack: the error of this adapter for a missing acknowledge.
    """

    def __init__(self, part: EmulatedElement, nack: int = errno.ENXIO) -> None:
        self._bus = part.bus
        self._nack = nack
        self._address = 0
        self.requests: list[int] = []

    def __call__(self, fd: int, request: int, argument: object) -> int:
        os.fstat(fd)  # must be an open file
        self.requests.append(request)
        if request == I2C_SLAVE:
            assert isinstance(argument, int)
            self._address = argument
            return 0
        assert isinstance(argument, ctypes._SimpleCData | ctypes.Structure)
        at = ctypes.addressof(argument)
        if request == I2C_FUNCS:
            ctypes.memmove(at, struct.pack("@L", I2cFunc.I2C | I2cFunc.SMBUS_EMUL), struct.calcsize("@L"))
            return 0
        try:
            {I2C_RDWR: self._messages, I2C_SMBUS: self._smbus}[request](at)
        except I2CNack as error:
            raise OSError(self._nack, os.strerror(self._nack)) from error
        except I2CError as error:
            raise OSError(errno.EBUSY, os.strerror(errno.EBUSY)) from error
        return 0

    def _messages(self, at: int) -> None:
        messages, count = RDWR_DATA.unpack(ctypes.string_at(at, RDWR_DATA.size))
        for number in range(count):
            entry = ctypes.string_at(messages + number * MESSAGE.size, MESSAGE.size)
            address, flags, length, buffer = MESSAGE.unpack(entry)
            assert flags & ~READ == 0, "no flags but I2C_M_RD"
            if flags & READ:
                ctypes.memmove(buffer, self._bus.read(address, length), length)
            else:
                self._bus.write(address, ctypes.string_at(buffer, length))

    def _smbus(self, at: int) -> None:
        """What the kernel makes of SMBus transfers on an I2C adapter (``drivers/i2c/i2c-core-smbus.c``)."""
        reads, command, size, data = SMBUS_DATA.unpack(ctypes.string_at(at, SMBUS_DATA.size))
        if size == QUICK:
            self._bus.write(self._address, b"")
        elif size == BYTE:
            if reads:
                ctypes.memmove(data, self._bus.read(self._address, 1), 1)
            else:
                self._bus.write(self._address, bytes((command,)))
        else:
            length = {BYTE_DATA: 1, WORD_DATA: 2}.get(size) or ctypes.string_at(data, 1)[0]
            payload = data + (size == BLOCK)
            if reads:
                self._bus.write(self._address, bytes((command,)))
                ctypes.memmove(payload, self._bus.read(self._address, length), length)
            else:
                self._bus.write(self._address, bytes((command,)) + ctypes.string_at(payload, length))


@pytest.fixture(params=["atecc508a", "atecc608b"])
def part(request: pytest.FixtureRequest) -> Iterator[EmulatedElement]:
    with emulated_element(request.param, "provisioned") as part:
        yield part


@pytest.fixture
def kernel(part: EmulatedElement, monkeypatch: pytest.MonkeyPatch) -> Kernel:
    kernel = Kernel(part)
    monkeypatch.setattr(smbus2, "ioctl", kernel)
    return kernel


@pytest.fixture
def node(tmp_path: Path) -> str:
    path = tmp_path / "i2c-7"
    path.touch()
    return str(path)


@pytest.fixture
def awake(part: EmulatedElement, kernel: Kernel, node: str) -> Iterator[SMBus]:
    """An open bus with an element that was just woken."""
    with SMBus(node) as bus:
        with pytest.raises(OSError) as caught:  # noqa: PT011  its errno is what is asserted
            bus.i2c_rdwr(i2c_msg.write(0, [0]))
        assert caught.value.errno == errno.ENXIO
        part.wait(2_000)
        yield bus


def test_the_structures_have_the_sizes_of_the_kernel() -> None:
    assert MESSAGE.size == ctypes.sizeof(smbus2.i2c_msg)
    assert SMBUS_DATA.size == ctypes.sizeof(smbus2.i2c_smbus_ioctl_data)


def test_messages_wake_ask_and_read(awake: SMBus, part: EmulatedElement) -> None:
    token = i2c_msg.read(0x60, 4)
    awake.i2c_rdwr(token)
    assert bytes(token) == WAKE_RESPONSE
    awake.i2c_rdwr(i2c_msg.write(0x60, b"\x03" + Command(Opcode.INFO).encode()))
    part.wait(5_000)
    count = i2c_msg.read(0x60, 1)
    rest = i2c_msg.read(0x60, 6)
    awake.i2c_rdwr(count)
    awake.i2c_rdwr(rest)
    assert decode_response(bytes(count) + bytes(rest)) == part.profile.revision_bytes


def test_a_reset_and_a_read_in_one_transfer(awake: SMBus) -> None:
    for _ in range(2):
        read = i2c_msg.read(0x60, 4)
        awake.i2c_rdwr(i2c_msg.write(0x60, [0]), read)
        assert bytes(read) == WAKE_RESPONSE


def test_a_busy_part_is_the_nack_of_the_adapter(awake: SMBus, part: EmulatedElement) -> None:
    awake.i2c_rdwr(i2c_msg.write(0x60, b"\x03" + Command(Opcode.RANDOM).encode()))
    with pytest.raises(OSError, match="No such device") as caught:
        awake.i2c_rdwr(i2c_msg.read(0x60, 35))
    assert caught.value.errno == errno.ENXIO
    part.wait(50_000)
    answer = i2c_msg.read(0x60, 35)
    awake.i2c_rdwr(answer)
    assert len(decode_response(bytes(answer))) == 32


def test_smbus_transfers(awake: SMBus, part: EmulatedElement, kernel: Kernel) -> None:
    awake.write_quick(0x60)
    assert [awake.read_byte(0x60) for _ in range(5)] == [*WAKE_RESPONSE, 0xFF]
    assert awake.read_byte_data(0x60, 0) == 0x04
    assert awake.read_word_data(0x60, 0) == 0x1104
    awake.write_i2c_block_data(0x60, 3, list(Command(Opcode.INFO).encode()))
    part.wait(5_000)
    group = bytes(awake.read_i2c_block_data(0x60, 0, 7))
    assert decode_response(group) == part.profile.revision_bytes
    awake.write_byte(0x60, 2)
    assert part.chip.power is Power.IDLE
    assert I2C_SMBUS in kernel.requests


def test_the_scan_of_i2cdetect_finds_a_woken_part_and_no_sleeping_one(
    awake: SMBus, part: EmulatedElement
) -> None:
    def scan() -> list[int]:
        found = []
        for address in (0x50, 0x60, 0x68):  # none of these alone wakes a 508A
            try:
                awake.write_quick(address)
            except OSError:
                continue
            found.append(address)
        return found

    assert scan() == [0x60]
    awake.write_byte(0x60, 1)
    assert part.chip.power is Power.ASLEEP
    if part.profile.family == 508:
        assert scan() == []


@pytest.mark.parametrize("nack", [errno.ENXIO, errno.EREMOTEIO])
def test_our_driver_through_smbus2(part: EmulatedElement, kernel: Kernel, node: str, nack: int) -> None:
    kernel._nack = nack
    bus = LinuxI2C(node, clock=part.clock)
    element = Element(bus, 0x60)
    assert element.serial_number() == part.memory.serial
    assert element.read_config() == bytes(part.memory.config)
    signature = element.sign_digest(0, DIGEST)
    public = part.memory.public_key(0)
    assert public is not None
    assert verifies(public, DIGEST, signature)
    assert element.verify_external(public, DIGEST, signature)
    assert element.sha256(b"x" * 150) == sha256(b"x" * 150).digest()
    assert set(kernel.requests) == {I2C_FUNCS, I2C_RDWR}
    bus.close()


def test_our_driver_meets_nobody(part: EmulatedElement, kernel: Kernel, node: str) -> None:
    part.power_off()
    bus = LinuxI2C(node, clock=part.clock)
    with pytest.raises(WakeError, match="nothing came"):
        Element(bus, 0x60).info_revision()
    bus.close()


def test_our_driver_meets_a_stuck_line(part: EmulatedElement, kernel: Kernel, node: str) -> None:
    part.lines.held_low = True
    bus = LinuxI2C(node, clock=part.clock)
    with pytest.raises(WakeError, match="SDA is held low"):
        Element(bus, 0x60).info_revision()
    bus.close()
