"""An emulated ESP8266 or ESP32 board that runs Mongoose OS 2.20.

Power, boot and tasks; what the firmware does is in the modules beside this one. The board
reaches its element only over the I2C lines, the host only over the UART, the cloud only over its
network interface.
"""

from __future__ import annotations

from collections import deque
from contextlib import nullcontext
from random import Random
from typing import TYPE_CHECKING, NoReturn

from hil.emulator.boards.mongoose_atca import atca_methods, start_atca
from hil.emulator.boards.mongoose_auth import Access
from hil.emulator.boards.mongoose_boot import (
    BROWN_OUT,
    EXCEPTION,
    EXTERNAL,
    MG_BUILD,
    MG_VERSION,
    PLATFORMS,
    POWER_ON,
    ROM_BAUD,
    SOFT_RESET,
    App,
    Arch,
    Cause,
    banner,
    rom_text,
    start_i2c,
)
from hil.emulator.boards.mongoose_config import Config, defaults
from hil.emulator.boards.mongoose_fs import FileSystem, Flash
from hil.emulator.boards.mongoose_http import Servers
from hil.emulator.boards.mongoose_i2c import i2c_methods
from hil.emulator.boards.mongoose_log import ERROR, INFO, WARN, Console, Origin
from hil.emulator.boards.mongoose_manners import Manners
from hil.emulator.boards.mongoose_node import Node
from hil.emulator.boards.mongoose_receive import ReceiveBuffer
from hil.emulator.boards.mongoose_rpc import MAX_QUEUE, Dispatcher
from hil.emulator.boards.mongoose_services import config_methods, fs_methods, sys_methods, wifi_methods
from hil.emulator.boards.mongoose_tls import Build, Processor, Step
from hil.emulator.mcu import Mcu
from hil.wire.mgrpc import Corrupted, DeviceReceiver, Frame, Handshake, Oversized

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from hil.clock import Calendar, Event, Task, World
    from hil.emulator.boards.mongoose_atca import Atca
    from hil.emulator.boards.mongoose_i2c import I2CPort
    from hil.emulator.boards.mongoose_mqtt import Mqtt
    from hil.emulator.boards.mongoose_node import NetworkInterface
    from hil.emulator.bus import Lines
    from hil.emulator.mcu import CostModel
    from hil.emulator.uart import Uart
    from hil.tls.client import Version
    from hil.wire.mgrpc import Request

__all__ = ["EXTERNAL", "App", "Build", "Flash", "MongooseFirmware", "Step"]

CONSOLE_BAUD = 115_200
DIP_US = 10_000
"""After so short a time without power the chip remembers it as a dip of its supply; a knob."""
INIT_RETRY_US = 500_000
"""How long a firmware that failed to start waits before it restarts."""
DEPS_FAILED = -32
"""``MGOS_INIT_DEPS_FAILED``."""
SOFTWARE_FLOW_CONTROL = 2
"""``MGOS_UART_FC_SW``."""
STATION_IP = "192.168.4.100"
GATEWAY = "192.168.4.1"


class MongooseFirmware:
    """One board. Off until :meth:`power_on`.

    Args:
        world: where it lives.
        arch: ``esp8266`` or ``esp32``.
        mac: six hex bytes, with or without colons.
        uart: the console, its part's end.
        lines: the I2C wires; which pins are used is the configuration's business.
        network: the board's interface; Wi-Fi is assumed to exist for any configured station.
        costs: what software takes.
        flash: files and configuration; kept over power cycles.
        calendar: date and time, as SNTP would set it.
        seed: of the board's own random numbers; the generator runs on over power cycles.
        app: the application in the image.
        tls_versions: what the TLS library was built with; a change counts from the next start on.
        build: what the TLS library leaves to the element; likewise.
        times: draws how far each operation and delay differs from its median; None = never.

    Attributes:
        mcu: the processor.
        app: the application in the image.
        timeline: steps since the board was made; clear it as you like.
        mqtt: the MQTT client of this boot; None until the network is up, or if it is disabled.
        manners: how the firmware treats its cloud connection; a change counts from the next start on.
        powered: whether the board has power.
        on_download: called when a restart has ended in the ROM loader.
    """

    def __init__(
        self,
        world: World,
        *,
        arch: Arch,
        mac: str,
        uart: Uart,
        lines: Lines,
        network: NetworkInterface,
        costs: CostModel,
        flash: Flash,
        calendar: Calendar,
        seed: int = 0,
        app: App | None = None,
        tls_versions: Sequence[Version] = ("1.2",),
        build: Build | None = None,
        times: Random | None = None,
    ) -> None:
        self.world = world
        self.arch: Arch = arch
        self.mac = mac.replace(":", "").upper()
        self.uart = uart
        self.lines = lines
        self.network = network
        self.flash = flash
        self.calendar = calendar
        self.timeline: list[Step] = []
        self.mqtt: Mqtt | None = None
        self.powered = False
        self.on_download: Callable[[], None] = lambda: None
        self._hardware = 1
        self.app = app or App()
        self.tls_versions = tls_versions
        self.build = build or Build()
        self.manners = Manners()
        self._rng = Random(seed)
        self.mcu = Mcu(world, costs, times)
        self._cpu = Processor(world, self.mcu, self.timeline.append)
        self._console = Console(world, uart)
        self._receiver = DeviceReceiver()
        self._buffer = ReceiveBuffer(self._received, self._console.transmit)
        self._dispatcher: Dispatcher | None = None
        self._requests: deque[Request] = deque()
        self._arrived = world.signal("RPC request")
        self._tasks: list[Task] = []
        self._restart: Event | None = None
        self._dark_since = -DIP_US
        self._booted_at = 0
        self._wifi = "disconnected"
        self._joined = False
        uart.on_bytes = self._on_bytes

    @property
    def costs(self) -> CostModel:
        """What software takes."""
        return self.mcu.costs

    # -- power and restarts ----------------------------------------------------------------

    def power_on(self, cause: Cause = POWER_ON) -> None:
        """The supply comes up, or the reset pin was released (:data:`EXTERNAL`)."""
        if not self.powered:
            self.powered = True
            if cause is POWER_ON and self.world.now - self._dark_since < DIP_US:
                cause = BROWN_OUT
            self._start(cause)

    def power_off(self) -> None:
        """The supply goes away: silence first, then the tasks end where they are."""
        if not self.powered:
            return
        self.powered = False
        self._dark_since = self.world.now
        self._console.gated = True
        self.uart.cut()
        self._stop("no power")
        self.flash.strapped_for_loader = False

    def _stop(self, why: str) -> None:
        """What a reset and a power cut have in common, from the outside inwards."""
        self.network.cut()
        if self._restart is not None:
            self._restart.cancel()
            self._restart = None
        self.mcu.reset()
        self._receiver.reset()
        self._buffer.reset()
        self._requests.clear()
        self._dispatcher = None
        self.mqtt = None
        self._wifi = "disconnected"
        self._joined = False
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.halt(why)

    def _start(self, cause: Cause) -> None:
        self._booted_at = self.world.now
        if cause.hardware is not None:
            self._hardware = cause.hardware
        self._console.gated = self._console.muted = False
        self._cpu = Processor(self.world, self.mcu, self.timeline.append)
        self._cpu.on_free = self._drain_later
        self._spawn(lambda: self._main(cause), "mgos")

    def _spawn(self, run: Callable[[], None], name: str) -> None:
        self._tasks.append(self.world.spawn(run, name))

    def _restart_in(self, us: int, cause: Cause) -> None:
        """Restart the MCU; the element and the flash keep their power."""

        def reset() -> None:
            self._restart = None
            self._stop("reset")
            self._start(cause)

        if self._restart is not None:
            self._restart.cancel()
        self._restart = self.world.after(us, reset, "board restarts")

    def restart_after(self, delay_ms: int) -> None:
        """``mgos_system_restart_after``."""
        self._log("mgos_system.c", 43, f"Rebooting in {delay_ms} ms")
        self._restart_in(delay_ms * 1000, SOFT_RESET)

    def _abort(self) -> NoReturn:
        """A crash: the exception handler prints and restarts."""
        self._console.raw("Aborting as requested\nrebooting")
        self._restart_in(0, EXCEPTION)
        self._hang()

    def _init_failed(self) -> NoReturn:
        """A library that does not start takes the whole firmware down: the board restarts for ever."""
        self._log("esp_main.c", 195, f"MG init error: {DEPS_FAILED}", ERROR)
        self._log("esp_main.c", 214, f"Init failed: {DEPS_FAILED}", ERROR)
        self._restart_in(INIT_RETRY_US, SOFT_RESET)
        self._hang()

    def _hang(self) -> NoReturn:
        """Wait for the restart, which halts this task."""
        while True:
            self.world.sleep(INIT_RETRY_US)

    def _reboot_in(self) -> int | None:
        return None if self._restart is None else self._restart.due - self.world.now

    # -- boot ------------------------------------------------------------------------------

    def _main(self, cause: Cause) -> None:
        costs = self.costs
        # A restart by software finds GPIO0 as it was latched at the last hardware reset.
        loader = self.flash.strapped_for_loader and cause.hardware is None and self.arch == "esp8266"
        self.uart.baud = ROM_BAUD[self.arch]
        self.mcu.sleep("boot_rom")
        self._console.transmit(rom_text(self.arch, cause, loader=loader, hardware=self._hardware))
        if loader:
            self.on_download()
            return
        self.mcu.sleep("boot_loader")
        self.uart.baud = CONSOLE_BAUD
        fs = FileSystem(self.flash)
        config = Config(defaults(self.arch, self.mac), fs)
        self._console.level = config.integer("debug.level")
        banner(self._console, self.app, self.arch, self.mac, cause, costs)
        self.mcu.sleep("boot_init")
        buses = start_i2c(self.world, self.lines, config, self.arch, costs, self._console)
        if buses is None:
            self._init_failed()
        atca = self._start_atca(config, buses)
        # From here on the library idles the element after each command.
        with atca.element.session() if atca is not None else nullcontext():
            self._run(config, fs, buses, atca)

    def _start_atca(self, config: Config, buses: dict[int, I2CPort]) -> Atca | None:
        if not config.flag("sys.atca.enable"):
            return None
        self._log("mgos_deps_init.c", 218, "Init atca 1.0 (ea8308d5a944f98ea25ebd6c5e37268ab3aea882)...")
        if config.integer("sys.atca.i2c_bus") not in buses:
            self._log("mgos_atca.c", 66, "ATCA requires I2C to be enabled (i2c.enable=true)", ERROR)
            self._init_failed()
        return start_atca(config, buses, self._console)

    def _run(self, config: Config, fs: FileSystem, buses: dict[int, I2CPort], atca: Atca | None) -> None:
        node = self._node(config, fs, atca)

        def join() -> None:
            configured = config.flag("wifi.sta.enable") and config.text("wifi.sta.ssid")
            if configured and not self._joined:
                self._joined = True
                self._spawn(lambda: self._network(node), "net")

        access = Access(config, fs, self.calendar)
        dispatcher = Dispatcher(self._console, config.text("device.id"), self._reboot_in, access.check_call)
        services = {
            "rpc-common": sys_methods(
                self._console, lambda: self._info(config, fs), self.restart_after, self._abort
            ),
            "rpc-service-atca": atca_methods(atca) if atca is not None else [],
            "rpc-service-config": config_methods(
                config, self.restart_after, lambda: self.flash.strapped_for_loader
            ),
            "rpc-service-fs": fs_methods(fs, self._console),
            "rpc-service-i2c": i2c_methods(self.world, buses),
            "rpc-service-wifi": wifi_methods(config, lambda: self._scan(config), join),
        }
        for library, methods in services.items():
            if library not in self.app.without:
                dispatcher.register(methods)
        self._console.muted = config.integer("debug.stderr_uart") != 0
        self.uart.baud = max(300, config.integer("rpc.uart.baud_rate"))
        self._buffer.flow_control = config.integer("rpc.uart.fc_type") == SOFTWARE_FLOW_CONTROL
        if config.flag("rpc.enable"):
            self._dispatcher = dispatcher
        if config.flag("wifi.ap.enable"):
            self.network.attach(config.text("wifi.ap.ip"))
        Servers(node, self._dispatcher, access, self._spawn).start()
        ram = PLATFORMS[self.arch]
        memory = f"RAM: {ram.ram} total, {ram.ram_free} free, {ram.ram_free} min free"
        self._log("mgos_init.c", 33, f"Init done, {memory}")
        self._cpu.step("boot", us=self.world.now - self._booted_at)
        join()
        self._serve(dispatcher)

    # -- RPC -------------------------------------------------------------------------------

    def _on_bytes(self, data: bytes) -> None:
        """The UART's receiver; runs in an event."""
        if self._dispatcher is not None:
            self._buffer.arrived(data, busy=self._cpu.busy)

    def _drain_later(self) -> None:
        """The main loop is free; it may be taken again at this same instant."""
        if self._buffer.waiting:
            self.world.after(0, self._drain, "UART buffer")

    def _drain(self) -> None:
        if not self._cpu.busy:
            self._buffer.drain()

    def _received(self, data: bytes) -> None:
        dispatcher = self._dispatcher
        if dispatcher is None:
            return
        for event in self._receiver.feed(data):
            if isinstance(event, Handshake):
                self._console.transmit(event.answer)
            elif isinstance(event, Frame):
                self._enqueue(dispatcher, event.json)
            elif isinstance(event, Corrupted):
                self._log("mgos_rpc_channel_uart.c", 105, f"Corrupted frame ({event.why})", WARN)
            elif isinstance(event, Oversized):
                self._log("mgos_rpc_channel_uart.c", 190, "Incoming frame is too big, dropping.", ERROR)

    def _enqueue(self, dispatcher: Dispatcher, frame: bytes) -> None:
        request = dispatcher.accept(frame)
        if request is None:
            return
        if len(self._requests) >= MAX_QUEUE:
            self._reply(dispatcher.overflow(request))
            return
        self._requests.append(request)
        self._arrived.set()

    def _serve(self, dispatcher: Dispatcher) -> NoReturn:
        while True:
            while not self._requests:
                self.world.wait(self._arrived, None)
            request = self._requests.popleft()
            with self._cpu.turn():
                self.mcu.spend("rpc")
                self._reply(dispatcher.answer(request))

    def _reply(self, reply: bytes | None) -> None:
        if reply is not None:
            self._console.transmit(self._receiver.reply(reply))

    def _info(self, config: Config, fs: FileSystem) -> dict[str, object]:
        ram, got_ip = PLATFORMS[self.arch], self._wifi == "got ip"
        return {
            "id": config.text("device.id"),
            "app": self.app.name,
            "fw_version": self.app.version,
            "fw_id": self.app.build,
            "mg_version": MG_VERSION,
            "mg_id": MG_BUILD,
            "mac": self.mac,
            "arch": self.arch,
            "uptime": (self.world.now - self._booted_at) // 1_000_000,
            "public_key": config.text("device.public_key"),
            "ram_size": ram.ram,
            "ram_free": ram.ram_free,
            "ram_min_free": ram.ram_free,
            "fs_size": fs.size,
            "fs_free": fs.free,
            "wifi": {
                "sta_ip": STATION_IP if got_ip else "",
                "ap_ip": config.text("wifi.ap.ip") if config.flag("wifi.ap.enable") else "",
                "status": self._wifi,
                "ssid": config.text("wifi.sta.ssid") if got_ip else "",
            },
        }

    # -- network ---------------------------------------------------------------------------

    def _scan(self, config: Config) -> list[dict[str, object]]:
        """What Wi-Fi is there: the configured network."""
        with self._cpu.aside():
            self.mcu.sleep("wifi_scan")
        ssid = config.text("wifi.sta.ssid")
        access_point = {"ssid": ssid, "bssid": "02:00:00:00:00:01", "auth": 3, "channel": 6, "rssi": -57}
        return [access_point] if ssid else []

    def _node(self, config: Config, fs: FileSystem, atca: Atca | None) -> Node:
        return Node(
            world=self.world,
            console=self._console,
            config=config,
            fs=fs,
            cpu=self._cpu,
            network=self.network,
            calendar=self.calendar,
            rng=self._rng,
            atca=atca,
            versions=self.tls_versions,
            build=self.build,
            manners=self.manners,
        )

    def _network(self, node: Node) -> None:
        """Join the Wi-Fi, then keep the MQTT connection up."""
        config = node.config
        self._wifi = "connecting"
        self._log("mgos_net.c", 88, "WiFi STA: connecting")
        self._cpu.step("wifi", status=self._wifi)
        self.mcu.sleep("wifi_associate")
        self._wifi = "connected"
        self._log("mgos_net.c", 90, "WiFi STA: connected")
        self.mcu.sleep("wifi_dhcp")
        self._wifi = "got ip"
        self.network.attach(STATION_IP)
        self._log("mgos_net.c", 101, f"WiFi STA: ready, IP {STATION_IP}, GW {GATEWAY}, DNS {GATEWAY}")
        self._cpu.step("wifi", status=self._wifi)
        if not config.flag("mqtt.enable"):
            return
        if not config.text("mqtt.server"):
            self._log("mgos_mqtt_conn.c", 330, "MQTT requires server name", ERROR)
            return
        # Only a board that goes online pays for TLS and X.509.
        from hil.emulator.boards.mongoose_mqtt import Mqtt
        from hil.emulator.boards.mongoose_net import Connector

        self.mqtt = Mqtt(Connector(node), self.app)
        self.mqtt.run()

    def _log(self, file: str, line: int, message: str, level: int = INFO) -> None:
        self._console.log(Origin(file, line), message, level)
