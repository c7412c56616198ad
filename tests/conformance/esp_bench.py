"""An emulated ESP board in a world and a thread of its own, behind a pty and an rfc2217 port."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from hil.clock import World
from hil.emulator.boards.bootimage import marker_image
from hil.emulator.boards.espboard import EspBoard, Firmware
from hil.emulator.cable import Cable
from hil.emulator.fronts import PtyFront
from hil.emulator.norflash import FlashPart, NorFlash
from hil.emulator.rfc2217 import Rfc2217Front
from hil.emulator.uart import Uart

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from hil.wire.espimage import EspMcu

MAC = "5c:cf:7f:a1:b2:c3"
ONE_MEGABYTE = FlashPart(0x1440EF)
FIRMWARE = "mongoose-os"
PATIENCE_S = 60


@dataclass
class Recorder:
    """A firmware that only notes that it was started and what came in."""

    starts: list[bool] = field(default_factory=list)
    received: bytearray = field(default_factory=bytearray)
    stops: int = 0
    formats: int = 0

    def firmware(self) -> Firmware:
        def stop() -> None:
            self.stops += 1

        def make_fs() -> None:
            self.formats += 1

        return Firmware(self.starts.append, stop, self.received.extend, format=make_fs)


class BoardThread:
    """The board; its world runs until :meth:`close`."""

    def __init__(
        self, mcu: EspMcu, *, in_loader: bool, revision: int = 3, part: FlashPart = ONE_MEGABYTE
    ) -> None:
        self.mcu: EspMcu = mcu
        self.flash = NorFlash(part)
        self.recorder = Recorder()
        self.pty = self.url = ""
        self._in_loader, self._revision = in_loader, revision
        self._stop, self._stopper = os.pipe()
        self._ready = threading.Event()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        assert self._ready.wait(PATIENCE_S)

    def _run(self) -> None:
        try:
            self._serve()
        except BaseException as error:  # told by close()
            self._error = error
        finally:
            self._ready.set()

    def _serve(self) -> None:
        ended: list[bytes] = []
        with World(paced=True) as world:
            uart = Uart(world, "board")
            board = EspBoard(
                world, uart, mcu=self.mcu, mac=MAC, flash=self.flash, revision=self._revision,
                firmware={FIRMWARE: self.recorder.firmware()},
            )  # fmt: skip
            board.program(marker_image(self.mcu, FIRMWARE))
            board.boot_button = self._in_loader
            cable = Cable(world, uart)
            terminal, network = PtyFront(world, cable), Rfc2217Front(world, cable, "127.0.0.1", 0)
            self.pty, self.url = terminal.path, network.url
            world.listen(self._stop, lambda: ended.append(os.read(self._stop, 1)))
            board.power_on()
            self._ready.set()
            world.run_until(lambda: bool(ended), None)
            network.close()
            terminal.close()
            cable.close()

    def close(self) -> None:
        os.write(self._stopper, b"x")
        self._thread.join(PATIENCE_S)
        os.close(self._stopper)
        os.close(self._stop)
        if self._error is not None:
            raise self._error


@contextmanager
def board(mcu: EspMcu, *, in_loader: bool = False, revision: int = 3) -> Iterator[BoardThread]:
    thread = BoardThread(mcu, in_loader=in_loader, revision=revision)
    try:
        yield thread
    finally:
        thread.close()


def esptool(
    port: str, *arguments: str | Path, stub: bool = False, reset: bool = True, ok: bool = True
) -> str:
    """Run stock esptool; what it printed."""
    options = [] if stub else ["--no-stub"]
    options += [] if reset else ["--before", "no-reset", "--after", "no-reset"]
    done = subprocess.run(
        [sys.executable, "-m", "esptool", "--port", port, *options, *map(str, arguments)],
        capture_output=True, text=True, timeout=PATIENCE_S, check=False,
    )  # fmt: skip
    said = done.stdout + done.stderr
    assert (done.returncode == 0) is ok, said
    return said
