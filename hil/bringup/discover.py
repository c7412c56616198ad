"""What is plugged in: serial ports with what is known of them, and a rig file to start from.

Looking at the list opens nothing. Asking a port (:func:`ask`) opens it with DTR and RTS off, so that
no board is reset, and sends the RPC handshake: six bytes that switch no known relay.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from serial.tools import list_ports

from hil.board.mongoose import MongooseBoard
from hil.clock import WallClock
from hil.errors import ConfigError, DeviceError, GuardRefusal, PortError, UsageError
from hil.rigfile import load
from hil.rigfile.model import NAME
from hil.serialport import open_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from serial.tools.list_ports_common import ListPortInfo

__all__ = ["Found", "ask", "discover", "rig_text", "write_rig"]

SERIAL_FOLDER = Path("/dev/serial")
ANSWER_US: Final = 1_500_000
_QUESTIONS: Final = ("RPC.Ping", "Sys.GetInfo", "I2C.Scan")

ADAPTERS: Mapping[tuple[int, int], tuple[str, str]] = {
    (0x10C4, 0xEA60): ("Silicon Labs CP210x", "board"),
    (0x1A86, 0x7523): ("WCH CH340: a NodeMCU, or an LCUS relay", "board or relay"),
    (0x1A86, 0x55D4): ("WCH CH9102", "board"),
    (0x0403, 0x6001): ("FTDI FT232R", "board or relay"),
    (0x0403, 0x6015): ("FTDI FT231X", "board or relay"),
    (0x067B, 0x2303): ("Prolific PL2303", "board or relay"),
    (0x303A, 0x1001): ("Espressif USB-JTAG: the serial number is the MAC address", "board"),
}
"""USB vendor and product: the adapter, and what usually hangs on it."""


@dataclass(frozen=True)
class Found:
    """One serial port.

    Attributes:
        device: its path of today.
        stable: a name that survives re-plugging; the device itself if there is none.
        usb: ``vendor:product`` in hex, empty for a port that is not on USB.
        adapter: what it is.
        role: what usually hangs on it.
        serial: the adapter's serial number; many have none.
        location: bus and port of the USB socket.
        mac, arch, firmware: of the board that answered, if it was asked.
        addresses: who answered on its I2C bus.
        note: why asking came to nothing.
    """

    device: str
    stable: str
    usb: str = ""
    adapter: str = ""
    role: str = ""
    serial: str = ""
    location: str = ""
    mac: str = ""
    arch: str = ""
    firmware: str = ""
    addresses: tuple[int, ...] = ()
    note: str = ""


def discover(
    ports: Iterable[ListPortInfo] | None = None, *, folder: Path = SERIAL_FOLDER
) -> tuple[Found, ...]:
    """Every serial port of this computer; nothing is opened.

    Args:
        ports: instead of asking the operating system.
        folder: where udev keeps stable names.
    """
    listed = list_ports.comports() if ports is None else ports
    names = _stable_names(folder)
    return tuple(_found(port, names) for port in sorted(listed, key=lambda port: port.device))


def _found(port: ListPortInfo, names: Mapping[str, str]) -> Found:
    usb = "" if port.vid is None or port.pid is None else f"{port.vid:04x}:{port.pid:04x}"
    known = ADAPTERS.get((port.vid or 0, port.pid or 0))
    plain = port.description if port.description not in (None, "n/a") else ""
    adapter, role = known or (plain, "board or relay" if usb else "")
    return Found(
        device=port.device,
        stable=names.get(port.device, port.device),
        usb=usb,
        adapter=adapter,
        role=role,
        serial=port.serial_number or "",
        location=port.location or "",
    )


def _stable_names(folder: Path) -> dict[str, str]:
    """Device → name: by id where the adapter has a serial number of its own, else by path."""
    names: dict[str, str] = {}
    for kind in ("by-path", "by-id"):
        links = sorted((folder / kind).iterdir()) if (folder / kind).is_dir() else []
        targets = [str(link.resolve()) for link in links]
        for link, target in zip(links, targets, strict=True):
            # Adapters without a serial number share one name by id: it would be a lottery.
            if kind == "by-path" or not _nameless(link.name):
                names[target] = str(link)
    return names


def _nameless(by_id: str) -> bool:
    """Whether a name by id carries no serial number (``usb-1a86_USB_Serial-if00-port0``)."""
    return re.fullmatch(r"usb-1a86_USB(2\.0-Ser_|_Serial|_Single_Serial)-if\d\d(-port\d)?", by_id) is not None


def ask(port: Found) -> Found:
    """Ask the board on a port who it is; a port without a Mongoose OS board keeps silent."""
    clock = WallClock()
    try:
        board = MongooseBoard(open_port(port.stable, clock=clock))
    except PortError as error:
        return replace(port, note=error.message)
    board.rpc.before_send = _questions_only
    try:
        board.rpc.call("RPC.Ping", timeout_us=ANSWER_US)
        info = board.sys_get_info()
        return replace(
            port,
            role="board",
            mac=info.mac_address,
            arch=info.arch,
            firmware=f"{info.app} {info.fw_version}, Mongoose OS {info.mg_version}",
            addresses=_scan(board),
        )
    except (DeviceError, PortError) as error:
        return replace(port, note=error.message)
    finally:
        board.close()


def _questions_only(method: str, params: Mapping[str, object]) -> None:
    """Nobody has said yet whose board this is: it is asked, and nothing is done to it."""
    if method not in _QUESTIONS:
        raise GuardRefusal(f"{method} is not asked of a board that no rig file names")


def _scan(board: MongooseBoard) -> tuple[int, ...]:
    try:
        return tuple(board.i2c_scan())
    except DeviceError:  # no bus, or no such service: hil doctor tells
        return ()


# -- a rig file ---------------------------------------------------------------------------------------


def rig_text(name: str, found: Sequence[Found]) -> str:
    """A rig file to start from; what has to be looked at is marked ``yours``."""
    board = _first(found, lambda port: bool(port.mac)) or _first(found, lambda port: port.role == "board")
    board = board or _first(found, lambda port: "board" in port.role)
    relay = _first(found, lambda port: "relay" in port.role and port is not board)
    mcu = board.arch if board is not None and board.arch else "esp8266"
    address = next((a for a in (96, 53, 54) if board is not None and a in board.addresses), 96)
    lines = [
        "# Made by `hil discover`. Look at every line that says `yours`, then:",
        f"#   hil rigs check {name}    hil doctor {name}",
        f"rig: {name}",
        "description: a bench of mine",
        "",
        "board:",
        "  kind: mongoose-os",
        f"  mcu: {mcu}" + ("" if board is not None and board.arch else "  # yours: esp8266 or esp32"),
        f"  port: {_port(board, 'BOARD')}  # yours{_remark(board)}",
    ]
    if board is not None and board.mac:
        lines.append(f"  mac: {board.mac}")
    else:
        lines.append("  # mac: 5c:cf:7f:00:00:00  # yours: `hil discover --ask` prints it")
    lines += ["", "power:"]
    if relay is None:
        lines.append("  kind: none  # yours: a relay makes the power suite possible")
    else:
        lines += [
            "  kind: lcus  # yours",
            f"  port: {_port(relay, 'RELAY')}  # yours{_remark(relay)}",
            "  channel: 1",
            "  safe_state: off  # wire the board on the NO contact: a crash then means off",
        ]
    lines += [
        "",
        "element:",
        "  part: atecc508a  # yours",
        f"  address: {address}",
        "  state: blank  # yours: blank, config-locked, provisioned or trust",
        "  # serial: 0123000000000000ee  # yours: `hil doctor` prints it",
        "",
        "cloud: {mode: moto}",
        "",
    ]
    return "\n".join(lines)


def write_rig(path: Path, found: Sequence[Found]) -> None:
    """Write :func:`rig_text` to a new file, which is a valid rig file.

    Raises:
        UsageError: the file exists, or its name is none for a rig.
        ConfigError: it cannot be written.
    """
    if path.suffix not in (".yaml", ".yml") or not re.fullmatch(NAME, path.stem):
        raise UsageError(
            f"{path.name} is no name for a rig file", hint="lower-case letters, digits, hyphens, then .yaml"
        )
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(rig_text(path.stem, found))
    except FileExistsError as error:
        raise UsageError(f"{path} exists already", hint="choose another name, or remove it") from error
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror or error}") from error
    load(path)


def _first(found: Sequence[Found], fits: Callable[[Found], bool]) -> Found | None:
    return next((port for port in found if fits(port)), None)


def _port(port: Found | None, what: str) -> str:
    return f"/dev/serial/by-id/YOUR-{what}" if port is None else port.stable


def _remark(port: Found | None) -> str:
    if port is None:
        return ": nothing was found"
    return f": {port.adapter}" if port.adapter else ""
