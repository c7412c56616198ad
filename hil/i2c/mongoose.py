"""An I2C bus behind a board's firmware: ``I2C.Write`` and ``I2C.Read`` calls.

The firmware's error 503 means that somebody did not acknowledge; it does not say which byte.
Source: mongoose-os-libs/rpc-service-i2c ``src/mgos_service_i2c.c``.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Protocol

from hil.errors import FrameError, I2CError, I2CNack, RpcError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hil.clock import Clock

__all__ = ["MongooseI2C", "RpcCaller"]

NOT_ACKNOWLEDGED = 503


class RpcCaller(Protocol):
    """What the bus needs of an RPC client."""

    @property
    def clock(self) -> Clock: ...  # noqa: D102
    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def physical(self) -> bool: ...  # noqa: D102
    def call(self, method: str, params: Mapping[str, object] | None = None) -> object: ...  # noqa: D102


class MongooseI2C:
    """The bus that a Mongoose OS board drives; see :class:`hil.i2c.bus.I2CBus`.

    Args:
        rpc: the board's calls.
        bus: number of the firmware's bus.
    """

    def __init__(self, rpc: RpcCaller, *, bus: int = 0) -> None:
        self._rpc = rpc
        self._bus = bus

    @property
    def clock(self) -> Clock:
        """The port's clock."""
        return self._rpc.clock

    @property
    def name(self) -> str:
        """The port's name and the bus number."""
        return f"I2C bus {self._bus} of {self._rpc.name}"

    @property
    def physical(self) -> bool:
        """False only for a board that this process emulates."""
        return self._rpc.physical

    def write(self, address: int, data: bytes) -> None:
        """See :meth:`hil.i2c.bus.I2CBus.write`."""
        self._call("I2C.Write", address, {"data_hex": data.hex()})

    def read(self, address: int, length: int) -> bytes:
        """See :meth:`hil.i2c.bus.I2CBus.read`."""
        result = self._call("I2C.Read", address, {"len": length})
        text = result.get("data_hex") if isinstance(result, dict) else None
        try:
            data = bytes.fromhex(str(text))
        except ValueError as error:  # it says where, and shows nothing of what may be a key
            sent = type(result).__name__ if text is None else f"{len(str(text))} characters"
            raise FrameError(f"I2C.Read: the firmware sent {sent}, no hex digits: {error}") from error
        if len(data) != length:
            raise I2CError(f"I2C.Read: {len(data)} bytes instead of {length} from 0x{address:02x}")
        return data

    def wake_pulse(self) -> None:
        """A zero byte to address 0; nobody acknowledges, which the firmware calls error 503.

        The pulse is long enough only if the firmware's bus runs at 133 kHz or slower.
        """
        with suppress(I2CNack):  # nobody has address 0: the low time is all that counts
            self.write(0, b"\x00")

    def _call(self, method: str, address: int, params: dict[str, object]) -> object:
        try:
            return self._rpc.call(method, {"bus": self._bus, "addr": address, **params})
        except RpcError as error:
            if error.code != NOT_ACKNOWLEDGED:
                raise
            if "disabled" in error.text:
                raise I2CError(f"{self.name}: {error.text}", hint="set i2c.enable to true") from error
            raise I2CNack(address) from error
