"""The emulated serial loader, spoken to in virtual time by a small host of our own."""

from __future__ import annotations

import hashlib
import struct
import zlib
from typing import TYPE_CHECKING

import pytest

from hil.clock import World
from hil.emulator.boards.bootimage import marker_image
from hil.emulator.boards.espboard import EspBoard, Firmware
from hil.emulator.norflash import SECTOR, FlashPart, NorFlash
from hil.emulator.uart import Uart
from hil.wire.slip import (
    OHAI,
    SYNC_DATA,
    Code,
    Op,
    Request,
    Response,
    SlipDecoder,
    block,
    decode_response,
    encode_slip,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hil.wire.espimage import EspMcu

MAC = "5c:cf:7f:a1:b2:c3"
SECOND = 1_000_000


class Host:
    """The other end of the cable."""

    def __init__(self, world: World, mcu: EspMcu, revision: int = 3) -> None:
        self.world = world
        self.mcu: EspMcu = mcu
        self.uart = Uart(world, "board")
        self.flash = NorFlash(FlashPart(0x1440EF))
        self.starts: list[bool] = []
        firmware = Firmware(self.starts.append, lambda: None, lambda data: None)
        self.board = EspBoard(
            world, self.uart, mcu=mcu, mac=MAC, flash=self.flash, revision=revision,
            firmware={"mongoose-os": firmware, "esp-idf-console": firmware},
        )  # fmt: skip
        self.board.program(marker_image(mcu, "mongoose-os"))
        self.board.boot_button = True
        self.status_size = 2 if mcu == "esp8266" else 4
        self._decoder = SlipDecoder()
        self._frames: list[bytes] = []
        self.board.power_on()
        world.run_for(SECOND)

    def text(self) -> str:
        data = bytes(self.uart.received)
        self.uart.received.clear()
        return data.decode("latin-1")

    def send(self, content: bytes) -> None:
        self.uart.host_write(encode_slip(content))

    def frame(self, timeout_us: int = SECOND) -> bytes | None:
        deadline = self.world.now + timeout_us
        while not self._frames:
            if not self.world.run_until(lambda: bool(self.uart.received), deadline):
                return None
            self._frames += self._decoder.feed(bytes(self.uart.received))
            self.uart.received.clear()
        return self._frames.pop(0)

    def response(self) -> Response:
        content = self.frame()
        assert content is not None, "no answer"
        return decode_response(content, status_size=self.status_size)

    def sync(self) -> list[Response]:
        for _ in range(3):  # the first burst measures the baud rate
            self.send(Request(Op.SYNC, SYNC_DATA).encode())
            first = self.frame(100_000)
            if first is not None:
                status = 2 if self.mcu == "esp8266" else 4
                return [decode_response(first, status_size=status)] + [self.response() for _ in range(7)]
        raise AssertionError("no SYNC")

    def ask(self, op: int, data: bytes = b"") -> Response:
        self.send(Request(op, data).encode())
        answer = self.response()
        assert answer.op == op
        return answer

    def put(self, op: Op, sequence: int, payload: bytes) -> Response:
        self.send(block(op, sequence, payload).encode())
        return self.response()

    def register(self, address: int) -> int:
        return self.ask(Op.READ_REG, struct.pack("<I", address)).value

    def load_stub(self) -> None:
        self.upload(b"a stub's code and data", segments=2)
        assert self.frame() == OHAI
        self.status_size = 2

    def upload(self, content: bytes, segments: int) -> None:
        size = -(-len(content) // segments)
        for number in range(segments):
            piece = content[number * size : (number + 1) * size]
            self.ask(Op.MEM_BEGIN, struct.pack("<IIII", len(piece), 1, 0x1800, 0x4010_0000))
            self.put(Op.MEM_DATA, 0, piece)
        assert self.ask(Op.MEM_END, struct.pack("<II", 0, 0x4010_0000)).code == 0


@pytest.fixture
def world() -> Iterator[World]:
    with World() as world:
        yield world


@pytest.fixture(params=["esp8266", "esp32"])
def host(world: World, request: pytest.FixtureRequest) -> Host:
    host = Host(world, request.param)
    host.text()
    host.sync()
    return host


@pytest.fixture
def stub(host: Host) -> Host:
    host.load_stub()
    return host


# -- connecting ------------------------------------------------------------------------------------


def test_the_rom_says_that_it_waits(world: World) -> None:
    host = Host(world, "esp32")
    assert host.text().endswith(
        "rst:0x1 (POWERON_RESET),boot:0x3 (DOWNLOAD_BOOT(UART0/UART1/SDIO_REI_REO_V2))\r\n"
        "waiting for download\r\n"
    )
    other = Host(world, "esp8266")
    other.uart.host_baud = 74_880
    other.board.power_off()
    other.text()
    other.board.power_on()
    world.run_for(SECOND)
    assert "rst cause:1, boot mode:(1,6)" in other.text()


def test_sync_is_answered_eight_times_and_never_with_0(world: World) -> None:
    host = Host(world, "esp8266")
    host.text()
    answers = host.sync()
    assert [a.op for a in answers] == [Op.SYNC] * 8
    assert all(a.value != 0 and a.code == 0 for a in answers)
    assert host.frame(100_000) is None


@pytest.mark.parametrize("baud", [74_880, 115_200, 460_800])
def test_the_loader_finds_the_baud_rate(world: World, baud: int) -> None:
    host = Host(world, "esp8266")
    host.uart.host_baud = baud
    host.text()
    host.sync()
    assert host.uart.baud == baud


def test_noise_and_cut_frames_are_passed_over(host: Host) -> None:
    host.uart.host_write(b"\xc0\x00\x0a\x04garbage\xc0")
    host.uart.host_write(encode_slip(Request(Op.READ_REG, bytes(4)).encode())[:7])
    host.world.run_for(SECOND)
    host.uart.host_write(b"\xc0")
    assert host.register(0x4000_1000) in (0xFFF0_C101, 0x00F0_1D83)


# -- what the chip is ------------------------------------------------------------------------------


def test_the_magic_register_names_the_chip(host: Host) -> None:
    assert host.register(0x4000_1000) == {"esp8266": 0xFFF0_C101, "esp32": 0x00F0_1D83}[host.mcu]


def test_security_info_is_refused_as_the_older_chips_do(host: Host) -> None:
    assert host.ask(Op.GET_SECURITY_INFO).code == Code.INVALID_MESSAGE


def test_the_mac_of_an_esp8266(world: World) -> None:
    host = Host(world, "esp8266")
    host.text()
    host.sync()
    assert host.register(0x3FF0_0050) >> 24 == 0xC3
    assert host.register(0x3FF0_0054) & 0xFFFF == 0xA1B2
    assert host.register(0x3FF0_005C) == 0x5CCF7F
    assert not host.register(0x3FF0_0050) & 0x10, "bit 4 would make it an ESP8285"
    assert host.register(0x3FF0_0058) == 0


def test_the_mac_of_an_esp32_has_the_crc_of_its_fuses(world: World) -> None:
    host = Host(world, "esp32")
    host.text()
    host.sync()
    low, high = host.register(0x3FF5_A004), host.register(0x3FF5_A008)
    assert (low, high & 0xFFFF) == (0x7FA1B2C3, 0x5CCF)
    # Maxim's CRC-8 (polynomial 0x8C reflected), computed bit by bit from its definition.
    crc = 0
    for byte in bytes.fromhex(MAC.replace(":", "")):
        for bit in range(8):
            crc, out = crc >> 1, (crc ^ byte >> bit) & 1
            crc ^= 0x8C * out
    assert high >> 16 == crc


@pytest.mark.parametrize("revision", range(4))
def test_the_revision_of_an_esp32_is_settable(world: World, revision: int) -> None:
    host = Host(world, "esp32", revision)
    host.text()
    host.sync()
    bits = host.register(0x3FF5_A00C) >> 15 & 1
    bits |= (host.register(0x3FF5_A014) >> 20 & 1) << 1 | host.register(0x3FF6_607C) >> 31 << 2
    assert {0: 0, 1: 1, 3: 2, 7: 3}[bits] == revision


def test_the_clock_divider_tells_the_crystal(host: Host) -> None:
    if host.mcu == "esp8266":
        assert host.register(0x6000_0014) * 115_200 / 2e6 == pytest.approx(26, abs=0.1)
    else:
        assert host.register(0x3FF4_0014) * 115_200 / 1e6 == pytest.approx(40, abs=0.1)


def test_the_flash_id_comes_through_the_spi_controller(host: Host) -> None:
    base, w0 = (0x6000_0200, 0x40) if host.mcu == "esp8266" else (0x3FF4_2000, 0x80)
    for opcode, answer in ((0x9F, 0x1440EF), (0x90, 0)):
        for register, value in ((0x24, 7 << 28 | opcode), (w0, 0xDEADBEEF), (0x00, 1 << 18)):
            host.ask(Op.WRITE_REG, struct.pack("<IIII", base + register, value, 0xFFFF_FFFF, 0))
        assert (host.register(base), host.register(base + w0)) == (0, answer)


def test_fuses_and_rom_cannot_be_written(host: Host) -> None:
    host.ask(Op.WRITE_REG, struct.pack("<IIII", 0x4000_1000, 0, 0xFFFF_FFFF, 0))
    assert host.register(0x4000_1000) != 0


def test_a_register_is_written_under_its_mask(host: Host) -> None:
    host.ask(Op.WRITE_REG, struct.pack("<IIII", 0x6000_0300, 0xFFFF, 0x0FF0, 0))
    assert host.register(0x6000_0300) == 0x0FF0


# -- writing, ROM dialect --------------------------------------------------------------------------


def write_raw(host: Host, offset: int, content: bytes, erase: int, block_size: int) -> None:
    count = -(-len(content) // block_size)
    assert host.ask(Op.FLASH_BEGIN, struct.pack("<IIII", erase, count, block_size, offset)).code == 0
    for number in range(count):
        piece = content[number * block_size : (number + 1) * block_size].ljust(block_size, b"\xff")
        assert host.put(Op.FLASH_DATA, number, piece).code == 0


def test_blocks_land_at_offset_and_sequence(host: Host) -> None:
    content = bytes(range(256)) * 8
    write_raw(host, 0x2_0000, content, len(content), 0x400)
    assert host.flash.read(0x2_0000, len(content)) == content


def test_the_esp8266_erases_twice_what_it_is_told_within_a_block(world: World) -> None:
    """Hosts ask for half, so that 16 KiB are asked for as 8."""
    host = Host(world, "esp8266")
    host.flash.write(0x2_0000, bytes(6 * SECTOR))
    host.text()
    host.sync()
    write_raw(host, 0x2_0000, b"x" * 4 * SECTOR, 2 * SECTOR, 0x400)
    assert host.flash.read(0x2_0000, 4 * SECTOR) == b"x" * 4 * SECTOR
    assert host.flash.read(0x2_0000 + 4 * SECTOR, 1) == b"\0", "not a sector more"


def test_what_was_not_erased_keeps_its_cleared_bits(world: World) -> None:
    host = Host(world, "esp32")
    host.flash.write(0x2_0000, bytes(2 * SECTOR))
    host.text()
    host.sync()
    write_raw(host, 0x2_0000, b"x" * 2 * SECTOR, SECTOR, 0x400)
    assert host.flash.read(0x2_0000, 2 * SECTOR) == b"x" * SECTOR + bytes(SECTOR)


def test_a_damaged_block_is_refused_and_not_written(host: Host) -> None:
    host.ask(Op.FLASH_BEGIN, struct.pack("<IIII", SECTOR, 4, 0x400, 0x2_0000))
    good = block(Op.FLASH_DATA, 0, b"z" * 0x400)
    host.send(Request(good.op, good.data[:-1] + b"!", good.checksum).encode())
    assert host.response().code == Code.BAD_CHECKSUM
    assert host.flash.read(0x2_0000, 4) == b"\xff" * 4


def test_a_block_beyond_the_flash_is_refused(host: Host) -> None:
    host.ask(Op.FLASH_BEGIN, struct.pack("<IIII", SECTOR, 4, 0x400, 0x10_0000 - SECTOR))
    assert host.put(Op.FLASH_DATA, 4, b"z" * 0x400).code == Code.FLASH_WRITE


def test_data_without_a_begin_is_refused(host: Host) -> None:
    assert host.put(Op.FLASH_DATA, 0, b"z" * 0x400).code == Code.FAILED_TO_ACT


@pytest.mark.parametrize("op", [Op.FLASH_BEGIN, Op.READ_REG, Op.MEM_END, Op.WRITE_REG])
def test_a_command_without_its_parameters_is_refused(host: Host, op: Op) -> None:
    assert host.ask(op, b"\1").code == Code.INVALID_MESSAGE


@pytest.mark.parametrize(
    "op", [Op.SPI_FLASH_MD5, Op.DEFL_BEGIN, Op.CHANGE_BAUDRATE, Op.READ_FLASH_SLOW, Op.SPI_ATTACH]
)
def test_the_esp8266_lacks_what_the_esp32_has(world: World, op: Op) -> None:
    host = Host(world, "esp8266")
    host.text()
    host.sync()
    assert host.ask(op, struct.pack("<IIII", 0x1000, 16, 0, 0)).code == Code.INVALID_MESSAGE


@pytest.mark.parametrize("op", [Op.ERASE_FLASH, Op.ERASE_REGION, Op.READ_FLASH])
def test_the_roms_lack_what_stubs_have(host: Host, op: Op) -> None:
    assert host.ask(op, struct.pack("<IIII", 0, SECTOR, SECTOR, 64)).code == Code.INVALID_MESSAGE


def test_the_esp32_answers_md5_as_text_and_slow_reads_as_64_bytes(world: World) -> None:
    host = Host(world, "esp32")
    host.flash.write(0x2_0000, b"content")
    host.text()
    host.sync()
    answer = host.ask(Op.SPI_FLASH_MD5, struct.pack("<IIII", 0x2_0000, 7, 0, 0))
    assert answer.data == hashlib.md5(b"content", usedforsecurity=False).hexdigest().encode()
    assert host.ask(Op.READ_FLASH_SLOW, struct.pack("<II", 0x2_0000, 7)).data == b"content" + bytes(57)
    assert host.ask(Op.READ_FLASH_SLOW, struct.pack("<II", 0, 65)).code == Code.FLASH_READ_LENGTH
    assert host.ask(Op.READ_FLASH_SLOW, struct.pack("<II", 0xFF_FFF0, 32)).code == Code.FLASH_READ


# -- the stub's dialect ----------------------------------------------------------------------------


def test_a_stub_announces_itself_and_has_two_status_bytes(stub: Host) -> None:
    assert stub.ask(Op.READ_REG, struct.pack("<I", 0x4000_1000)).value in (0xFFF0_C101, 0x00F0_1D83)


def test_a_sync_brings_the_rom_back(stub: Host) -> None:
    stub.status_size = 2 if stub.mcu == "esp8266" else 4
    assert all(answer.value != 0 for answer in stub.sync())
    assert stub.ask(Op.ERASE_FLASH).code == Code.INVALID_MESSAGE


def test_a_stub_writes_compressed_blocks(stub: Host) -> None:
    content = bytes(range(256)) * 64
    packed = zlib.compress(content)
    pieces = [packed[at : at + 0x100] for at in range(0, len(packed), 0x100)]
    assert len(pieces) > 1
    begin = struct.pack("<IIII", len(content), len(pieces), 0x4000, 0x3_0000)
    assert stub.ask(Op.DEFL_BEGIN, begin).code == 0
    for number, piece in enumerate(pieces):
        assert stub.put(Op.DEFL_DATA, number, piece).code == 0
    assert stub.ask(Op.DEFL_END, struct.pack("<I", 1)).code == 0
    assert stub.flash.read(0x3_0000, len(content)) == content


def test_a_stub_has_codes_of_its_own(stub: Host) -> None:
    assert stub.ask(Op.GET_SECURITY_INFO).code == Code.STUB_UNKNOWN
    assert stub.put(Op.FLASH_DATA, 0, b"x").code == Code.STUB_NOT_FLASHING
    stub.ask(Op.DEFL_BEGIN, struct.pack("<IIII", 16, 1, 0x4000, 0x3_0000))
    assert stub.put(Op.DEFL_DATA, 0, b"not deflated").code == Code.STUB_INFLATE
    good = block(Op.DEFL_DATA, 0, zlib.compress(b"x"))
    stub.send(Request(good.op, good.data, good.checksum ^ 1).encode())
    assert stub.response().code == Code.STUB_CHECKSUM
    assert stub.ask(Op.SPI_FLASH_MD5, b"").code == Code.STUB_DATA_LENGTH


def test_a_stub_erases_regions_and_all(stub: Host) -> None:
    stub.flash.write(0x3_0000, bytes(3 * SECTOR))
    assert stub.ask(Op.ERASE_REGION, struct.pack("<II", 0x3_0000 + SECTOR, SECTOR)).code == 0
    assert [stub.flash.read(0x3_0000 + n * SECTOR, 1) for n in range(3)] == [b"\0", b"\xff", b"\0"]
    assert stub.ask(Op.ERASE_REGION, struct.pack("<II", 0x3_0001, SECTOR)).code == Code.STUB_SPI_FAILED
    stub.send(Request(Op.ERASE_FLASH).encode())
    answer = stub.frame(10 * SECOND)
    assert answer is not None, "16 blocks take 2.4 s"
    assert stub.flash.read(0, 1 << 20) == b"\xff" * (1 << 20)


def test_erasing_takes_its_time(stub: Host) -> None:
    start = stub.world.now
    stub.ask(Op.ERASE_REGION, struct.pack("<II", 0x3_0000, 4 * SECTOR))
    assert 4 * 45_000 < stub.world.now - start < 4 * 45_000 + 20_000


def read_stream(stub: Host, offset: int, size: int, window: int) -> bytes:
    stub.ask(Op.READ_FLASH, struct.pack("<IIII", offset, size, SECTOR, window))
    content = b""
    while len(content) < size:
        piece = stub.frame()
        assert piece is not None, f"silence after {len(content)} bytes"
        content += piece
        stub.send(struct.pack("<I", len(content)))
    digest = stub.frame()
    assert digest == hashlib.md5(content, usedforsecurity=False).digest()
    return content


@pytest.mark.parametrize("window", [1, 2, 64])
def test_a_stub_streams_the_flash(stub: Host, window: int) -> None:
    content = bytes((n * n >> 3) & 0xFF for n in range(3 * SECTOR + 100))
    stub.flash.write(0x3_0000, content)
    assert read_stream(stub, 0x3_0000, len(content), window) == content


def test_a_stream_never_runs_ahead_of_its_window(stub: Host) -> None:
    stub.ask(Op.READ_FLASH, struct.pack("<IIII", 0, 10 * SECTOR, SECTOR, 2))
    assert [stub.frame() is not None for _ in range(3)] == [True, True, False]


def test_a_stream_is_never_more_than_64_blocks_ahead(stub: Host) -> None:
    stub.ask(Op.READ_FLASH, struct.pack("<IIII", 0, SECTOR, 16, 1000))
    frames = 0
    while stub.frame() is not None:
        frames += 1
    assert frames == 64


@pytest.mark.parametrize(
    ("block_size", "served"), [(0, False), (1, True), (SECTOR, True), (SECTOR + 1, False)]
)
def test_a_block_of_a_stream_is_a_sector_at_most(stub: Host, block_size: int, served: bool) -> None:
    answer = stub.ask(Op.READ_FLASH, struct.pack("<IIII", 0, SECTOR, block_size, 1))
    assert answer.code == (0 if served else Code.STUB_DATA_LENGTH)
    frame = stub.frame()
    assert (None if frame is None else len(frame)) == (block_size if served else None)


def test_a_host_that_gives_up_a_stream_is_heard_again(stub: Host) -> None:
    stub.ask(Op.READ_FLASH, struct.pack("<IIII", 0, 10 * SECTOR, SECTOR, 2))
    stub.frame()
    stub.frame()
    assert stub.ask(Op.READ_REG, struct.pack("<I", 0)).code == 0


def test_the_baud_rate_changes_after_the_answer(stub: Host) -> None:
    assert stub.ask(Op.CHANGE_BAUDRATE, struct.pack("<II", 921_600, 115_200)).code == 0
    stub.uart.host_baud = 921_600
    assert stub.ask(Op.READ_REG, bytes(4)).code == 0
    assert stub.ask(Op.CHANGE_BAUDRATE, struct.pack("<II", 3, 921_600)).code == Code.STUB_DATA_LENGTH


# -- leaving ---------------------------------------------------------------------------------------


def test_the_rom_runs_what_is_in_flash(host: Host) -> None:
    host.ask(Op.FLASH_BEGIN, bytes(16))
    assert host.ask(Op.FLASH_END, struct.pack("<I", 1)).code == 0
    host.world.run_for(SECOND)
    assert host.starts == [], "1 means stay"
    assert host.ask(Op.FLASH_END, struct.pack("<I", 0)).code == 0
    host.world.run_for(SECOND)
    assert host.starts == [True]
    assert host.board.loader is None


def test_a_stub_restarts_into_the_rom_loader(stub: Host) -> None:
    assert stub.ask(Op.FLASH_END, struct.pack("<I", 0)).code == 0
    stub.world.run_for(SECOND)
    stub.text()
    stub.status_size = 2 if stub.mcu == "esp8266" else 4
    assert len(stub.sync()) == 8
    assert stub.starts == []


def test_run_user_leaves_without_an_answer(stub: Host) -> None:
    stub.send(Request(Op.RUN_USER).encode())
    assert stub.frame(SECOND) is None
    assert stub.starts == [True]


def test_the_provisioning_firmware_in_ram_is_started_and_is_no_stub(host: Host) -> None:
    host.upload(b"code" * 50 + b"Initializing Command line: >>\0" + b"data" * 50, segments=4)
    host.world.run_for(SECOND)
    assert host.starts == [True]
    assert host.frame(100_000) is None, "no OHAI"
