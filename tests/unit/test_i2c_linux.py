"""The Linux backend at the ioctl boundary: the kernel's own structures, fields asserted."""

from __future__ import annotations

import ctypes
import errno
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest
from smbus2 import smbus2

from hil.clock import WallClock, World
from hil.element.device import Element
from hil.errors import I2CError, I2CNack, PortError, WakeError
from hil.i2c.linux import LinuxI2C
from hil.wire.atecc import WAKE_RESPONSE, encode_response

if TYPE_CHECKING:
    from pathlib import Path

I2C_FUNCS, I2C_RDWR = 0x0705, 0x0707
I2C_M_RD = 0x0001
FUNC_I2C, FUNC_SMBUS_QUICK = 0x00000001, 0x00010000


@dataclass(frozen=True)
class Message:
    """One ``struct i2c_msg`` as the kernel would see it."""

    address: int
    flags: int
    length: int
    data: bytes


@dataclass
class Kernel:
    """Stands where ``fcntl.ioctl`` was; answers are taken in order."""

    funcs: int = FUNC_I2C
    seen: list[Message] = field(default_factory=list)
    answers: list[bytes | int] = field(default_factory=list)
    """Per message: bytes to read, b"" for a write that works, or an errno."""

    def __call__(self, fd: int, request: int, argument: object) -> int:
        os.fstat(fd)  # must be an open file
        if request == I2C_FUNCS:
            assert isinstance(argument, ctypes.c_ulong)
            argument.value = self.funcs
            return 0
        assert request == I2C_RDWR, hex(request)
        assert isinstance(argument, smbus2.i2c_rdwr_ioctl_data)
        assert argument.nmsgs == 1, "one START … STOP, never a repeated start"
        message = argument.msgs[0]
        assert isinstance(message, smbus2.i2c_msg)
        self.seen.append(
            Message(message.addr, message.flags, message.len, ctypes.string_at(message.buf, message.len))
        )
        answer = self.answers.pop(0)
        if isinstance(answer, int):
            raise OSError(answer, os.strerror(answer))
        if message.flags & I2C_M_RD:
            assert len(answer) <= message.len
            ctypes.memmove(message.buf, answer.ljust(message.len, b"\xff"), message.len)
        return 0


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> Kernel:
    kernel = Kernel()
    monkeypatch.setattr("fcntl.ioctl", kernel)
    monkeypatch.setattr(smbus2, "ioctl", kernel)
    return kernel


@pytest.fixture
def node(tmp_path: Path) -> str:
    path = tmp_path / "i2c-7"
    path.touch()
    return str(path)


def test_a_write_is_one_message_with_address_flags_and_length(kernel: Kernel, node: str) -> None:
    bus = LinuxI2C(node, clock=WallClock())
    kernel.answers = [b""]
    bus.write(0x60, bytes.fromhex("030730000000035d"))
    assert kernel.seen == [Message(0x60, 0, 8, bytes.fromhex("030730000000035d"))]
    assert bus.physical, "the guard relies on it"
    bus.close()


def test_a_read_is_one_message_with_the_read_flag(kernel: Kernel, node: str) -> None:
    bus = LinuxI2C(node, clock=WallClock())
    kernel.answers = [b"\x07\x00\x00\x60\x02\x80\x38"]
    assert bus.read(0x60, 7).hex() == "07000060028038"
    assert [(m.address, m.flags, m.length) for m in kernel.seen] == [(0x60, I2C_M_RD, 7)]
    bus.close()


def test_the_wake_pulse_is_a_zero_byte_to_address_0_and_its_nack_is_expected(
    kernel: Kernel, node: str
) -> None:
    bus = LinuxI2C(node, clock=WallClock())
    kernel.answers = [errno.ENXIO, errno.EREMOTEIO, b""]
    for _ in range(3):
        bus.wake_pulse()
    assert kernel.seen == [Message(0, 0, 1, b"\0")] * 3
    bus.close()


@pytest.mark.parametrize("number", [errno.ENXIO, errno.EREMOTEIO])
def test_both_errors_that_adapters_report_are_a_nack(kernel: Kernel, node: str, number: int) -> None:
    bus = LinuxI2C(node, clock=WallClock())
    kernel.answers = [number, number]
    with pytest.raises(I2CNack) as caught:
        bus.write(0x60, b"\0")
    assert caught.value.address == 0x60
    with pytest.raises(I2CNack):
        bus.read(0x60, 4)
    bus.close()


def test_an_adapter_that_reports_a_nack_otherwise_can_be_told_so(kernel: Kernel, node: str) -> None:
    bus = LinuxI2C(node, clock=WallClock(), nack_errnos={errno.EIO})
    kernel.answers = [errno.EIO]
    with pytest.raises(I2CNack):
        bus.read(0x60, 4)
    bus.close()


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.EAGAIN, "another master"),
        (errno.ETIMEDOUT, "SCL is held low"),
        (errno.EBUSY, "SDA is held low"),
        (errno.EIO, "input/output"),
        (errno.ENOMEM, "Cannot allocate"),
    ],
)
def test_other_errors_are_bus_errors_in_words(kernel: Kernel, node: str, number: int, words: str) -> None:
    bus = LinuxI2C(node, clock=WallClock())
    kernel.answers = [number]
    with pytest.raises(I2CError, match=words) as caught:
        bus.read(0x60, 4)
    assert not isinstance(caught.value, I2CNack)
    bus.close()


def test_a_wake_pulse_on_a_stuck_bus_is_an_error(kernel: Kernel, node: str) -> None:
    bus = LinuxI2C(node, clock=WallClock())
    kernel.answers = [errno.EBUSY]
    with pytest.raises(I2CError, match="SDA"):
        bus.wake_pulse()
    bus.close()


def test_an_adapter_that_goes_away_is_a_port_error(kernel: Kernel, node: str) -> None:
    bus = LinuxI2C(node, clock=WallClock())
    kernel.answers = [errno.ENODEV]
    with pytest.raises(PortError, match="went away"):
        bus.read(0x60, 4)
    bus.close()


def test_an_absent_device_and_a_file_that_is_no_adapter_are_port_errors(node: str) -> None:
    with pytest.raises(PortError, match="there is no /dev/i2c-251"):
        LinuxI2C(251, clock=WallClock())
    with pytest.raises(PortError, match="is no I2C adapter"):
        LinuxI2C(node, clock=WallClock())


def test_an_smbus_only_adapter_is_refused(kernel: Kernel, node: str) -> None:
    kernel.funcs = FUNC_SMBUS_QUICK
    with pytest.raises(PortError, match="SMBus adapter"):
        LinuxI2C(node, clock=WallClock())


def test_the_element_driver_over_the_kernel_interface(kernel: Kernel, node: str) -> None:
    world = World()
    bus = LinuxI2C(node, clock=world)
    revision = bytes.fromhex("00006002")
    kernel.answers = [errno.ENXIO, WAKE_RESPONSE, b"", errno.ENXIO, encode_response(revision), b""]
    assert Element(bus, 0x60).info_revision() == revision
    assert [(m.address, m.flags, m.length) for m in kernel.seen] == [
        (0x00, 0, 1),
        (0x60, I2C_M_RD, 4),
        (0x60, 0, 8),
        (0x60, I2C_M_RD, 7),
        (0x60, I2C_M_RD, 7),
        (0x60, 0, 1),
    ]
    assert kernel.seen[-1].data == b"\x01"
    bus.close()
    world.close()


def test_nobody_on_the_bus_is_a_wake_error(kernel: Kernel, node: str) -> None:
    world = World()
    bus = LinuxI2C(node, clock=world)
    kernel.answers = [errno.EREMOTEIO] * 200
    with pytest.raises(WakeError, match="nothing came: 0x60 did not acknowledge"):
        Element(bus, 0x60).info_revision()
    bus.close()
    world.close()
