"""A relay or transistor on a GPIO line of this computer (Raspberry Pi), through libgpiod 2.

Needs the extra ``gpio``. A line is taken without changing its level; what it does after it is
given back depends on the chip: most keep it, some return it to an input.
Source: libgpiod 2 Python bindings, ``gpiod.request_lines``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hil.errors import ConfigError, PortError, RelayError
from hil.power.relay import State

if TYPE_CHECKING:
    from types import ModuleType

__all__ = ["GpioRelay"]


class GpioRelay:
    """One GPIO line.

    Args:
        chip: e.g. ``/dev/gpiochip0``.
        line: offset of the line on the chip.
        active_low: the relay conducts at the low level.

    Raises:
        ConfigError: the extra ``gpio`` is not installed.
        PortError: the line does not exist, is taken or not permitted.
    """

    def __init__(self, chip: str, line: int, *, active_low: bool = False) -> None:
        self.name = f"GPIO {line} of {chip}"
        self._line = line
        self._gpiod = _gpiod()
        line_module = self._gpiod.line
        settings = self._gpiod.LineSettings(direction=line_module.Direction.AS_IS, active_low=active_low)
        try:
            self._request: Any = self._gpiod.request_lines(chip, consumer="hil", config={line: settings})
            level = self._request.get_value(line)
            driven = self._gpiod.LineSettings(
                direction=line_module.Direction.OUTPUT, active_low=active_low, output_value=level
            )
            self._request.reconfigure_lines({line: driven})
        except OSError as error:
            raise PortError(
                f"cannot take {self.name}: {error}", hint="`gpioinfo` lists lines and who uses them"
            ) from error

    def on(self) -> None:
        """See :meth:`hil.power.relay.Relay.on`."""
        self._drive(self._gpiod.line.Value.ACTIVE)

    def off(self) -> None:
        """See :meth:`hil.power.relay.Relay.off`."""
        self._drive(self._gpiod.line.Value.INACTIVE)

    def readback(self) -> State:
        """The level that is driven."""
        try:
            return State.of(self._request.get_value(self._line) == self._gpiod.line.Value.ACTIVE)
        except OSError as error:
            raise RelayError(f"cannot read {self.name}: {error}") from error

    def close(self) -> None:
        """Give the line back."""
        self._request.release()

    def _drive(self, value: object) -> None:
        try:
            self._request.set_value(self._line, value)
        except OSError as error:
            raise RelayError(f"cannot drive {self.name}: {error}") from error


def _gpiod() -> ModuleType:
    try:
        import gpiod
    except ImportError as error:
        raise ConfigError(
            "a GPIO relay needs the package gpiod", hint="pip install 'atecc-hil[gpio]'"
        ) from error
    module: ModuleType = gpiod
    return module
