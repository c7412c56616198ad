"""Writes firmware into a board's flash: the right board, the right image, proven by reading it back."""

from __future__ import annotations

import hashlib
import re
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hil.board.esptool import Esptool
from hil.board.reset import RESET_US, pulse_reset
from hil.errors import BoardIdentityError, ConfigError, DeviceError, FrameError, PortError
from hil.wire.espimage import BOOT_OFFSET, parse_image

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from hil.serialport.loan import Loan
    from hil.serialport.port import SerialPort
    from hil.wire.espimage import EspMcu

__all__ = ["Chip", "Flashed", "Flasher", "check_image"]

BAUD = 460_800
STRAP_US = 150_000
"""How long IO0 is held low after EN; the strap has to outlast the capacitor at EN."""

SECTOR = 0x1000
LOWEST_ADDRESS = 0x3F00_0000
"""Neither chip loads anything below (ESP8266 and ESP32 technical reference manuals, memory maps)."""

_MAC = re.compile(r"^MAC:\s+((?:[0-9a-f]{2}:){5}[0-9a-f]{2})\s*$", re.MULTILINE)
_CHIP = re.compile(r"^Connected to (\S+) on ", re.MULTILINE)
_SIZE = re.compile(r"^Detected flash size: (\d+)([KM])B", re.MULTILINE)


@dataclass(frozen=True)
class Chip:
    """What answers on the port.

    Attributes:
        kind: as esptool names it, lower case: ``esp8266``, ``esp32``, ``esp32-s3`` …
        mac: MAC address.
        flash_size: bytes; None if the flash did not say.
    """

    kind: str
    mac: str
    flash_size: int | None


@dataclass(frozen=True)
class Flashed:
    """What was written and read back.

    Attributes:
        chip: into which board.
        offset: where.
        size: bytes.
        sha256: of the image, hex.
        read_back: SHA-256 of what the flash then held, hex.
    """

    chip: Chip
    offset: int
    size: int
    sha256: str
    read_back: str


def check_image(image: bytes, mcu: EspMcu, offset: int) -> None:
    """Whether an image can be for this microcontroller at this offset.

    Where the image covers the place that the ROM loads from, that place has to hold a bootable
    image; elsewhere the image itself has to be one.

    Raises:
        ConfigError: says why not.
    """
    if offset < 0 or offset % SECTOR:
        raise ConfigError(f"an image is written at a multiple of 0x{SECTOR:x}, not at 0x{offset:x}")
    boot = BOOT_OFFSET[mcu] - offset
    start = boot if 0 <= boot < len(image) else 0
    try:
        parsed = parse_image(image[start:], mcu)
        for segment in parsed.segments:
            if segment.address < LOWEST_ADDRESS:
                raise FrameError(f"a segment is loaded to 0x{segment.address:x}, where there is no memory")
    except FrameError as error:
        raise ConfigError(
            f"this is no image for an {mcu} at 0x{offset:x}: {error.message}",
            hint="an ESP32 image is written at 0x1000 (bootloader), or at 0 if it was merged; was it built "
            "for this board?",
        ) from error
    if not parsed.intact:
        raise ConfigError(
            "the image's own checksum does not fit: it is damaged", hint="build or fetch it again"
        )


class Flasher:
    """The flash of one board. Each call leaves the chip in its loader: see :meth:`restart`.

    Args:
        port: the board's serial port; lent to esptool while it works.
        mcu: the microcontroller that the rig file names.
        mac: the MAC address that the rig file names; without one nothing is written.
        esptool: how it is run; its ``before_run`` is the guard's hook.
        baud: rate of the transfer.
        progress: called with what is being done and how much of it is done, 0 to 1.
    """

    def __init__(
        self,
        port: SerialPort,
        *,
        mcu: EspMcu,
        mac: str | None,
        esptool: Esptool | None = None,
        baud: int = BAUD,
        progress: Callable[[str, float], None] = lambda what, done: None,
    ) -> None:
        self.port = port
        self.esptool = esptool or Esptool()
        self._mcu: EspMcu = mcu
        self._mac = mac
        self._baud = baud
        self._progress = progress

    def identify(self) -> Chip:
        """The chip on the port, proven to be the one that the rig file names.

        Raises:
            BoardIdentityError: the rig file names no MAC, or another board answers.
            PortError: none answers.
        """
        with self._loader() as loan:
            return self._identified(loan)

    def write(self, image: bytes, offset: int) -> Flashed:
        """Write an image, read it back, compare.

        Nothing is written unless the image can be for this board and the board is the one named.

        Raises:
            ConfigError: the image is not for this board.
            BoardIdentityError: see :meth:`identify`.
            DeviceError: the flash does not hold what was written.
            PortError: the board does not answer, or the transfer broke off.
        """
        self.check(image, offset)
        with self._loader() as loan, tempfile.TemporaryDirectory(prefix="hil-flash-") as folder:
            chip = self._identified(loan)
            _need_room(chip, image, offset)
            self._put(loan, chip, image, offset, Path(folder))
            back = self._content(loan, chip, offset, len(image), Path(folder))
        return _flashed(chip, image, back, offset)

    def try_out(self, image: bytes, offset: int) -> Flashed:
        """Write an image, read it back, compare, and put back what was there before.

        Raises:
            ConfigError, BoardIdentityError, DeviceError, PortError: see :meth:`write`.
        """
        self.check(image, offset)
        with self._loader() as loan, tempfile.TemporaryDirectory(prefix="hil-flash-") as folder:
            chip = self._identified(loan)
            _need_room(chip, image, offset)
            # Flash is erased sector by sector: the rest of the last one has to come back too.
            size = -(-len(image) // SECTOR) * SECTOR
            before = self._content(loan, chip, offset, size, Path(folder))
            try:
                self._put(loan, chip, image, offset, Path(folder))
                back = self._content(loan, chip, offset, len(image), Path(folder))
            finally:
                self._put(loan, chip, before, offset, Path(folder))
        return _flashed(chip, image, back, offset)

    def check(self, image: bytes, offset: int) -> None:
        """What can be refused before the board is touched.

        Raises:
            ConfigError: see :func:`check_image`.
            BoardIdentityError: the rig file names no MAC.
        """
        check_image(image, self._mcu, offset)
        self._need_name()

    def read(self, offset: int, size: int) -> bytes:
        """Content of the flash; the board is identified first."""
        with self._loader() as loan, tempfile.TemporaryDirectory(prefix="hil-flash-") as folder:
            chip = self._identified(loan)
            return self._content(loan, chip, offset, size, Path(folder))

    def run(self, arguments: Sequence[str]) -> str:
        """Any command of esptool on the identified board; what it printed.

        Raises:
            GuardRefusal: it can change the board for good and is not armed.
        """
        self.esptool.admit(arguments)
        with self._loader() as loan:
            self._identified(loan)
            return self._run(loan, *arguments, admitted=True)

    def _need_name(self) -> None:
        if self._mac is None:
            raise BoardIdentityError(
                "the rig file names no MAC address: an unidentified board is never flashed",
                hint="`esptool read-mac` prints it; add it as `mac` under `board:`",
            )

    # -- steps -------------------------------------------------------------------------------

    def _identified(self, loan: Loan) -> Chip:
        said = self._run(loan, "flash-id")
        kind, mac, size = _CHIP.search(said), _MAC.search(said), _SIZE.search(said)
        if kind is None or mac is None:
            raise PortError(f"esptool on {loan.name} names neither chip nor MAC address: {said[-200:]!r}")
        unit = {"K": 1 << 10, "M": 1 << 20}
        chip = Chip(kind[1].lower(), mac[1], None if size is None else int(size[1]) * unit[size[2]])
        if chip.mac != self._mac or chip.kind != self._mcu:
            raise BoardIdentityError(
                f"on {self.port.name} answers an {chip.kind} with MAC {chip.mac}; the rig file names an "
                f"{self._mcu} with {self._mac}. Nothing was written",
                hint="another board is plugged in, or the port in the rig file is another board's",
            )
        return chip

    def _put(self, loan: Loan, chip: Chip, content: bytes, offset: int, folder: Path) -> None:
        path = folder / "image.bin"
        path.write_bytes(content)
        keep = ("--flash-mode", "keep", "--flash-freq", "keep", "--flash-size", "keep")
        self._run(loan, "write-flash", *keep, hex(offset), str(path), chip=chip.kind)

    def _content(self, loan: Loan, chip: Chip, offset: int, size: int, folder: Path) -> bytes:
        path = folder / "back.bin"
        self._run(loan, "read-flash", hex(offset), hex(size), str(path), chip=chip.kind)
        return path.read_bytes()

    def _run(self, loan: Loan, *arguments: str, chip: str = "auto", admitted: bool = False) -> str:
        return self.esptool.run(
            loan,
            arguments,
            baud=self._baud,
            stay=True,
            progress=self._progress,
            chip=chip,
            admitted=admitted,
        )

    # -- into the loader and out ---------------------------------------------------------------

    @contextmanager
    def _loader(self) -> Iterator[Loan]:
        """The port, lent, with the chip in its loader; never without a name for the board."""
        self._need_name()
        if not self.port.physical:  # the borrower of an emulated line has no modem lines
            self._lines(dtr=False, rts=True, for_us=RESET_US)
            self._lines(dtr=True, rts=False, for_us=STRAP_US)
            self._lines(dtr=False, rts=False, for_us=0)
        with self.port.lend() as loan:
            yield loan

    def restart(self) -> None:
        """Pulse EN; what runs then is what lies in flash."""
        pulse_reset(self.port)

    def _lines(self, *, dtr: bool, rts: bool, for_us: int) -> None:
        self.port.set_lines(dtr=dtr, rts=rts)
        self.port.clock.sleep(for_us)


def _need_room(chip: Chip, image: bytes, offset: int) -> None:
    if chip.flash_size is not None and offset + len(image) > chip.flash_size:
        raise ConfigError(
            f"the image ends at 0x{offset + len(image):x}, the board's flash at 0x{chip.flash_size:x}"
        )


def _flashed(chip: Chip, image: bytes, back: bytes, offset: int) -> Flashed:
    if back != image:
        raise _differs(image, back, offset)
    written, held = (hashlib.sha256(content).hexdigest() for content in (image, back))
    return Flashed(chip, offset, len(image), written, held)


def _differs(image: bytes, back: bytes, offset: int) -> DeviceError:
    if len(back) != len(image):
        return DeviceError(f"{len(image)} bytes were written at 0x{offset:x} and {len(back)} read back")
    at = next(n for n, (a, b) in enumerate(zip(image, back, strict=True)) if a != b)
    return DeviceError(
        f"the flash holds {back[at]:02x} at 0x{offset + at:x}, {image[at]:02x} was written",
        hint="write again at a lower baud rate; if it stays, the flash is worn out",
    )
