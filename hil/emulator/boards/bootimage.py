"""Images that boot an emulated firmware.

The emulation runs no machine code. An image says with a marker in its first segment which firmware
model it stands for; its format is that of any image, so that the ROM and every tool take it for one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hil.wire.espidf import BANNER, OLD_BANNER
from hil.wire.espimage import Segment, build_image

if TYPE_CHECKING:
    from hil.wire.espimage import EspMcu, Image

__all__ = ["firmware_in_ram", "firmware_of", "marker_image"]

MARKER = b"hil: this image boots the emulated firmware "
CONSOLE = "esp-idf-console"
_BANNERS = (BANNER.encode(), OLD_BANNER.encode())
_LOAD_ADDRESS = {"esp8266": 0x4010_0000, "esp32": 0x3FFF_0018}
_ENTRY = {"esp8266": 0x4010_0004, "esp32": 0x4008_0000}


def marker_image(mcu: EspMcu, firmware: str) -> bytes:
    """An image that boots ``firmware``, named as in the rig file (``mongoose-os``)."""
    marker = MARKER + firmware.encode() + b"\0"
    segment = Segment(_LOAD_ADDRESS[mcu], marker.ljust(-(-len(marker) // 4) * 4, b"\0"))
    return build_image(mcu, [segment], _ENTRY[mcu])


def firmware_of(image: Image) -> str | None:
    """The firmware that an image stands for, or None if it carries no marker."""
    return _marked(image.segments[0].data)


def firmware_in_ram(upload: bytes) -> str | None:
    """The firmware that was loaded into RAM: marked, or the genuine provisioning console."""
    if any(banner in upload for banner in _BANNERS):
        return CONSOLE
    return _marked(upload)


def _marked(data: bytes) -> str | None:
    _, marker, rest = data.partition(MARKER)
    return rest.partition(b"\0")[0].decode("ascii", "replace") if marker else None
