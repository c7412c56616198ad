from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from hil import rigfile
from hil.board.esptool import is_installed
from hil.board.flash import Flasher
from hil.errors import BoardIdentityError, ConfigError, GuardRefusal
from hil.rig import flash as rigflash
from hil.wire.espimage import BOOT_OFFSET, Segment, build_image

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from hil.rig.rig import Rig
    from hil.wire.espimage import EspMcu

pytestmark = [
    pytest.mark.needs("flash"),
    pytest.mark.skipif(not is_installed(), reason="esptool is not installed: pip install 'atecc-hil[flash]'"),
]

SOMEBODY_ELSE = "02:00:00:00:00:01"


@pytest.fixture
def image(rig: Rig) -> bytes:
    """The firmware image that belongs on the board."""
    path = rigfile.image_path(rig.file)
    assert path is not None, "the rig has the capability"
    return path.read_bytes()


class Watched:
    """A flasher, and which commands it ran."""

    def __init__(self, rig: Rig, flasher: Flasher) -> None:
        self.flasher = flasher
        self.ran: list[str] = []
        flasher.esptool.before_run = self.before_run
        self._guard = rig.guard

    def before_run(self, argv: Sequence[str]) -> None:
        """Ask the guard, then note the command."""
        self._guard.check_program(argv)
        self.ran += [word for word in argv if word in ("flash-id", "write-flash", "read-flash")]


@pytest.fixture
def watched(rig: Rig) -> Iterator[Watched]:
    """The board's flash; the board runs again afterwards."""
    watched = Watched(rig, rigflash.flasher(rig))
    yield watched
    if watched.ran:
        rig.start_again()


@pytest.mark.req("HIL-FLASH-001")
def test_the_image_is_written_read_back_and_starts(rig: Rig, image: bytes) -> None:
    """On the board whose MAC address the rig file names, proven before the first byte."""
    flashed = rigflash.flash(rig, image, rig.file.board.image_offset)
    assert (flashed.chip.kind, flashed.chip.mac) == (rig.file.board.mcu, rig.file.board.mac)
    assert rig.boot is not None, f"the image is in flash, but {rig.diagnose_silence()}"


@pytest.mark.req("HIL-FLASH-002")
def test_an_image_for_another_chip_is_refused(rig: Rig, watched: Watched) -> None:
    other: EspMcu = "esp8266" if rig.file.board.mcu == "esp32" else "esp32"
    mcu = rig.file.board.mcu
    assert mcu is not None, "the rig has the capability"
    image = build_image(other, [Segment(0x4010_0000, b"of another chip ")], 0x4010_0000)
    with pytest.raises(ConfigError, match=f"no image for an {mcu}"):
        watched.flasher.write(image, BOOT_OFFSET[mcu])
    assert watched.ran == [], "esptool was started all the same"


@pytest.mark.req("HIL-FLASH-002")
def test_a_damaged_image_is_refused(rig: Rig, watched: Watched, image: bytes) -> None:
    mcu = rig.file.board.mcu
    assert mcu is not None, "the rig has the capability"
    start = BOOT_OFFSET[mcu] - rig.file.board.image_offset
    at = start + (0x20 if mcu == "esp32" else 0x10)  # the first byte of the first segment's data
    damaged = image[:at] + bytes((image[at] ^ 1,)) + image[at + 1 :]
    with pytest.raises(ConfigError, match="damaged"):
        watched.flasher.write(damaged, rig.file.board.image_offset)
    assert watched.ran == [], "esptool was started all the same"


@pytest.mark.req("HIL-FLASH-003")
def test_another_board_is_never_flashed(rig: Rig, watched: Watched, image: bytes) -> None:
    """What answers is asked for its MAC address, and nothing more."""
    mcu = rig.file.board.mcu
    assert mcu is not None, "the rig has the capability"
    flasher = watched.flasher
    stranger = Flasher(flasher.port, mcu=mcu, mac=SOMEBODY_ELSE, esptool=flasher.esptool)
    with pytest.raises(BoardIdentityError, match=SOMEBODY_ELSE):
        stranger.write(image, rig.file.board.image_offset)
    assert watched.ran == ["flash-id"]


@pytest.mark.req("HIL-FLASH-003")
def test_an_unidentified_board_is_never_flashed(rig: Rig, watched: Watched, image: bytes) -> None:
    mcu = rig.file.board.mcu
    assert mcu is not None, "the rig has the capability"
    nameless = Flasher(watched.flasher.port, mcu=mcu, mac=None, esptool=watched.flasher.esptool)
    with pytest.raises(BoardIdentityError, match="no MAC"):
        nameless.write(image, rig.file.board.image_offset)
    assert watched.ran == [], "esptool was started all the same"


@pytest.mark.req("HIL-FLASH-004")
@pytest.mark.parametrize(
    "command",
    [
        ["write-flash", "--encrypt", "0x0", "image.bin"],
        ["write-mem", "0x3ff5a000", "1"],
        ["load-ram", "image.bin"],
        ["burn-efuse", "FLASH_CRYPT_CNT", "1"],
    ],
    ids=lambda command: " ".join(command[:2]),
)
def test_what_burns_fuses_is_refused_without_a_permit(watched: Watched, command: list[str]) -> None:
    with pytest.raises(GuardRefusal):
        watched.flasher.run(command)
    assert watched.ran == [], "esptool was started all the same"
