"""What the firmware tests share: a board with an emulated element, talked to over its UART only."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from hil.clock import Calendar, World
from hil.emulator.boards.mongoose import Flash, MongooseFirmware
from hil.emulator.boards.mongoose_config import flash_with_config
from hil.emulator.bus import Lines
from hil.emulator.chip import Chip, Memory, load_profile
from hil.emulator.mcu import load_costs
from hil.emulator.network import Network
from hil.emulator.uart import Uart
from hil.errors import RpcError
from hil.wire.mgrpc import HANDSHAKE, ClientReceiver, Frame, Text, decode_response, encode_frame

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hil.emulator.boards.mongoose import App
    from hil.emulator.boards.mongoose_boot import Arch
    from hil.emulator.boards.mongoose_config import Scalar
    from hil.tls.client import Version

SERIAL = bytes.fromhex("0123e07e00000001ee")
MAC = "5c:cf:7f:a1:b2:c3"
ATCA: Mapping[str, Scalar] = {"i2c.enable": True, "sys.atca.enable": True}
BOOT_US = 2_000_000
HOST = "test.iot.example"


@dataclass
class Bench:
    """A relay's worth of parts: board and element share their power."""

    world: World
    uart: Uart
    lines: Lines
    chip: Chip
    network: Network
    board: MongooseFirmware
    text: bytearray = field(default_factory=bytearray)
    receiver: ClientReceiver = field(default_factory=ClientReceiver)
    replies: list[bytes] = field(default_factory=list)
    last_id: int = 0

    def on(self, run_us: int = BOOT_US) -> None:
        self.chip.power_on()
        self.board.power_on()
        self.run(run_us)

    def off(self) -> None:
        self.board.power_off()
        self.chip.power_off()

    def run(self, us: int) -> None:
        self.world.run_for(us)
        self.read()

    def read(self) -> None:
        data = bytes(self.uart.received)
        self.uart.received.clear()
        for event in self.receiver.feed(data):
            if isinstance(event, Text):
                self.text += event.data
            elif isinstance(event, Frame):
                self.replies.append(event.json)

    @property
    def log(self) -> list[str]:
        """Console lines so far, prefixes included."""
        return self.text.decode("ascii", "replace").splitlines()

    def messages(self) -> list[str]:
        """Console lines without their 24-character prefix."""
        return [
            line[24:] if len(line) > 24 and ":" in line[:24] and line[23] == " " else line
            for line in self.log
        ]

    def logged(self, part: str) -> bool:
        return any(part in line for line in self.log)

    def send(self, frame: bytes) -> None:
        self.uart.host_write(encode_frame(frame))

    def call(self, method: str, params: object = None, timeout_us: int = 5_000_000) -> object:
        """The result of a call; an error reply raises."""
        self.last_id += 1
        # ASCII only: a byte of 0x80 or more would make the firmware forget the frame.
        request = {"src": "test", "id": self.last_id, "method": method, "params": params}
        self.send(json.dumps(request, separators=(",", ":")).encode())
        deadline = self.world.now + timeout_us
        while not self.replies:
            arrived = self.world.run_until(lambda: bool(self.uart.received), deadline)
            self.read()
            assert arrived, f"{method}: no reply within {timeout_us} us"
        reply = decode_response(self.replies.pop(0))
        assert reply.id == self.last_id
        if reply.error is not None:
            raise RpcError(method, reply.error.code, reply.error.message)
        value: object = json.loads(bytes(reply.result) or b"null")
        return value


def bench(
    world: World,
    *,
    arch: Arch = "esp8266",
    settings: Mapping[str, Scalar] | None = None,
    files: Mapping[str, bytes] | None = None,
    chip: str = "atecc508a",
    memory: Memory | None = None,
    sda: int = 12,
    scl: int = 14,
    costs: str = "esp8266-80mhz",
    source: str | None = None,
    now: float = 1_780_000_000.0,
    rtt_us: int = 5_000,
    app: App | None = None,
    tls_versions: tuple[Version, ...] = ("1.2",),
    seed: int = 0,
    flash: Flash | None = None,
) -> Bench:
    """A bench; by default an ESP8266 with I2C and ATCA enabled and a blank element on its pins."""
    profile = load_profile(chip)
    part = Chip(profile, memory or Memory.blank(profile, SERIAL), now=lambda: world.now, seed=seed)
    lines = Lines(sda, scl, [part])
    uart = Uart(world, "board")
    network = Network(world, rtt_us)
    board = MongooseFirmware(
        world,
        arch=arch,
        mac=MAC,
        uart=uart,
        lines=lines,
        network=network.interface("board"),
        costs=load_costs(costs, source=source),
        flash=flash or flash_with_config(ATCA if settings is None else settings, files),
        calendar=Calendar(now),
        seed=seed,
        app=app,
        tls_versions=tls_versions,
    )
    return Bench(world, uart, lines, part, network, board)


__all__ = ["ATCA", "BOOT_US", "HANDSHAKE", "HOST", "MAC", "SERIAL", "Bench", "bench"]
