"""USB relays that are HID devices: dcttech "USBRelayN" and the HID form of the LCUS.

Needs the extra ``hid``. Sources: pdudaemon ``vusbhid.py``, usbrelay README (dcttech); labgrid
``usb_hid_relay.py`` (LCUS HID, which cannot be read back).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from hil.errors import ConfigError, PortError, RelayError
from hil.power.relay import State
from hil.wire.relays import lcus_command

if TYPE_CHECKING:
    from types import ModuleType

__all__ = ["HidRelay"]

Kind = Literal["dcttech", "lcus"]
USB_IDS: dict[Kind, tuple[int, int]] = {"dcttech": (0x16C0, 0x05DF), "lcus": (0x5131, 0x2007)}
_ON, _OFF = 0xFF, 0xFD
_REPORT = 8
_MASK_BYTE = 7


class HidRelay:
    """One output of a HID relay.

    Args:
        kind: whose protocol it speaks.
        channel: from 1.
        serial: USB serial number, if there are several.

    Raises:
        ConfigError: the extra ``hid`` is not installed.
        PortError: no such device, or not permitted.
    """

    def __init__(self, kind: Kind, *, channel: int = 1, serial: str = "") -> None:
        self.name = f"{kind} HID relay{f' {serial}' if serial else ''}, channel {channel}"
        self._kind = kind
        self._channel = channel
        self._device: Any = _hid().device()
        try:
            self._device.open(*USB_IDS[kind], serial or None)
        except OSError as error:
            raise PortError(
                f"cannot open the {self.name}: {error}",
                hint="is it plugged in, and does a udev rule let you write to its hidraw device?",
            ) from error

    def on(self) -> None:
        """See :meth:`hil.power.relay.Relay.on`."""
        self._switch(True)

    def off(self) -> None:
        """See :meth:`hil.power.relay.Relay.off`."""
        self._switch(False)

    def readback(self) -> State:
        """The bit mask of a dcttech relay; the LCUS cannot say."""
        if self._kind == "lcus":
            return State.UNKNOWN
        try:
            report = self._device.get_feature_report(0, _REPORT + 1)
        except OSError as error:
            raise RelayError(f"cannot read the {self.name}: {error}") from error
        states = report[-_REPORT:]
        if len(states) < _REPORT:
            return State.UNKNOWN
        return State.of(bool(states[_MASK_BYTE] >> (self._channel - 1) & 1))

    def close(self) -> None:
        """Let go of the device."""
        self._device.close()

    def _switch(self, on: bool) -> None:
        try:
            if self._kind == "lcus":
                sent = self._device.write(b"\x00" + lcus_command(self._channel, on))
            else:
                report = bytes((0, _ON if on else _OFF, self._channel))
                sent = self._device.send_feature_report(report.ljust(_REPORT + 1, b"\0"))
        except OSError as error:
            raise RelayError(f"cannot switch the {self.name}: {error}") from error
        if sent < 0:
            raise RelayError(f"the {self.name} took no command")


def _hid() -> ModuleType:
    try:
        import hid
    except ImportError as error:
        raise ConfigError(
            "a HID relay needs the package hidapi", hint="pip install 'atecc-hil[hid]'"
        ) from error
    module: ModuleType = hid
    return module
