"""What the power control needs of a relay. Drivers live beside this module, one each."""

from __future__ import annotations

from enum import StrEnum
from typing import Protocol

__all__ = ["Relay", "State"]


class State(StrEnum):
    """Whether a relay's output is on; most hardware cannot say."""

    ON = "on"
    OFF = "off"
    UNKNOWN = "unknown"

    @classmethod
    def of(cls, on: bool | None) -> State:
        """The state for True, False or None."""
        return cls.UNKNOWN if on is None else cls.ON if on else cls.OFF


class Relay(Protocol):
    """One switched output. Calls return when the relay has been told, not when it has settled.

    Attributes:
        name: what errors and traces call it.
    """

    @property
    def name(self) -> str: ...  # noqa: D102

    def on(self) -> None:
        """Let the output conduct.

        Raises:
            RelayError: the relay did not take the command.
            PortError: its port is gone.
        """
        ...

    def off(self) -> None:
        """Cut the output; raises like :meth:`on`."""
        ...

    def readback(self) -> State:
        """What the hardware says of itself: the state of its driver, hardly ever of the contact."""
        ...

    def close(self) -> None:
        """Let go of the port; does not switch."""
        ...
