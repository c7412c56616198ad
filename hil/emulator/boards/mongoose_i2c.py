"""I2C on an emulated Mongoose OS board: the firmware's driver and its RPC methods.

The driver answers yes or no, as the firmware's C functions do. On the ESP8266 the bus is
bit-banged: a low SDA reads as an acknowledge, so a line that is held low looks like a part at
every address. A line that rises too slowly for the speed reads as an acknowledge on any MCU.
Sources: mongoose-os-libs/i2c ``src/mgos_i2c_gpio_master.c``,
mongoose-os-libs/rpc-service-i2c ``src/mgos_i2c_service.c``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hil.emulator.boards.mongoose_rpc import Args, Method
from hil.errors import I2CError, I2CNack, RpcError
from hil.i2c.trace import TracedBus

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hil.clock import World
    from hil.emulator.bus import I2CMaster
    from hil.i2c.bus import I2CBus

__all__ = ["I2CPort", "frequency_possible", "i2c_methods"]

SCAN = range(1, 0x78)
SCAN_GAP_US = 100
MAX_READ = 4096


def frequency_possible(arch: str, hz: int) -> bool:
    """Whether the driver accepts ``i2c.freq``: bit-banging needs a delay of at least 100 ns."""
    if hz <= 0:
        return False
    return arch != "esp8266" or 10_000_000 // hz // 2 - 4 > 0


class I2CPort:
    """One bus of the firmware.

    Args:
        master: the pins and what hangs on them.
        bit_banged: the acknowledge is read from SDA by software.
    """

    def __init__(self, master: I2CMaster, *, bit_banged: bool) -> None:
        self.master = master
        self.bus: I2CBus = master if master.analyser is None else TracedBus(master, master.analyser)
        """What drivers use: the master, or the same with a logic analyser on its wires."""
        self._stuck_reads_as_ack = bit_banged

    def write(self, address: int, data: bytes) -> bool:
        """``mgos_i2c_write``."""
        if not 0 <= address <= 0x7F:
            return False
        try:
            self.bus.write(address, data)
        except I2CNack:
            return False
        except I2CError:
            return self._stuck_reads_as_ack or self.master.too_fast
        return True

    def read(self, address: int, length: int) -> bytes | None:
        """``mgos_i2c_read``; None = failed."""
        if not 0 <= address <= 0x7F:
            return None
        try:
            return self.bus.read(address, length)
        except I2CNack:
            return None
        except I2CError:
            if self.master.too_fast:  # nobody drives the line: it has risen after the first bit
                return (b"\x7f" + b"\xff" * length)[:length]
            return bytes(length) if self._stuck_reads_as_ack else None


def i2c_methods(world: World, buses: Mapping[int, I2CPort]) -> list[Method]:
    """The I2C.* methods over the buses that are enabled."""

    def bus_of(method: str, args: Args) -> I2CPort:
        bus = buses.get(args.integer("bus", 0))
        if bus is None:
            raise RpcError(method, 503, "I2C is disabled")
        return bus

    def need(method: str, args: Args, message: str, *names: str) -> list[int]:
        missing = object()
        values = [args.integer(name, -1) if args.has(name) else missing for name in names]
        if missing in values:
            raise RpcError(method, 400, message)
        return [value for value in values if isinstance(value, int)]

    def scan(args: Args) -> object:
        bus = bus_of("I2C.Scan", args)
        found: list[int] = []
        for address in SCAN:
            if bus.write(address, b""):
                found.append(address)
            world.spend("i2c-gap", SCAN_GAP_US)
        return found

    def read(args: Args) -> object:
        address, length = need("I2C.Read", args, "addr and len are required", "addr", "len")
        bus = bus_of("I2C.Read", args)
        if not 0 <= length <= MAX_READ:
            raise RpcError("I2C.Read", 500, "malloc failed")
        data = bus.read(address, length)
        if data is None:
            raise RpcError("I2C.Read", 503, "I2C read failed")
        return {"data_hex": data.hex()}

    def write(args: Args) -> object:
        data = args.hex("data_hex")
        if not args.has("addr") or data is None:
            raise RpcError("I2C.Write", 400, "addr and data_hex are required")
        if not bus_of("I2C.Write", args).write(args.integer("addr", -1), data):
            raise RpcError("I2C.Write", 503, "I2C write failed")
        return None

    def read_reg(name: str, width: int) -> Method:
        def run(args: Args) -> object:
            address, register = need(name, args, "addr and reg are required", "addr", "reg")
            bus = bus_of(name, args)
            data = bus.read(address, width) if bus.write(address, bytes([register & 0xFF])) else None
            if data is None:
                raise RpcError(name, 503, "error reading value")
            return {"value": int.from_bytes(data, "big")}

        return Method(name, "{bus: %d, addr: %d, reg: %d}", run)

    def write_reg(name: str, width: int) -> Method:
        def run(args: Args) -> object:
            message = "addr, reg and value are required"
            address, register, value = need(name, args, message, "addr", "reg", "value")
            data = bytes([register & 0xFF]) + (value % (1 << 8 * width)).to_bytes(width, "big")
            if not bus_of(name, args).write(address, data):
                raise RpcError(name, 503, "error writing value")
            return None

        return Method(name, "{bus: %d, addr: %d, reg: %d, value: %d}", run)

    return [
        Method("I2C.Scan", "{bus: %d}", scan),
        Method("I2C.Read", "{bus: %d, addr: %d, len: %d}", read),
        Method("I2C.Write", "{bus: %d, addr: %d, data_hex: %H}", write),
        read_reg("I2C.ReadRegB", 1),
        read_reg("I2C.ReadRegW", 2),
        write_reg("I2C.WriteRegB", 1),
        write_reg("I2C.WriteRegW", 2),
    ]
