"""What a rig file says: one frozen dataclass per section.

The annotations are the schema. ``Key`` carries the sentence for the reference page and the
bounds; the type decides how the text is read. What holds between keys is in ``rules.py``.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from hil.rigfile.binding import Key, Secret

__all__ = [
    "Board",
    "Bus",
    "Cloud",
    "Connect",
    "Element",
    "Emulation",
    "Power",
    "RigFile",
    "Wifi",
    "Wire",
    "Wiring",
]

NAME = "[a-z0-9]([a-z0-9-]*[a-z0-9])?"
_NAME_FORM = "lower-case letters, digits and hyphens"
_PORT = (
    "Serial port: a device path (prefer /dev/serial/by-id or by-path), an rfc2217:// or socket:// URL, "
    "or emu://RIG/LINE for a part that is emulated."
)
_HOST_PORT = r"[A-Za-z0-9.\[\]:-]+:[0-9]{1,5}"


@dataclass(frozen=True, kw_only=True)
class Board:
    """The board that carries the microcontroller."""

    kind: Annotated[
        str,
        Key(
            "What runs on the board: Mongoose OS, the ESP-IDF provisioning console, or no board at all.",
            choices=("mongoose-os", "esp-idf-console", "none"),
            group="hil.boards",
        ),
    ] = "none"
    options: Annotated[object, Key("Settings of a board of your own.", group="hil.boards")] = None
    mcu: Annotated[Literal["esp8266", "esp32"] | None, Key("The microcontroller.")] = None
    port: Annotated[str, Key(_PORT)] = ""
    baud: Annotated[int, Key("Speed of the console in bits per second.", low=300, high=3_000_000)] = 115_200
    mac: Annotated[
        str | None,
        Key(
            "The board's MAC address; what answers on the port must have it.",
            pattern="([0-9a-f]{2}:){5}[0-9a-f]{2}",
            form="six lower-case hex bytes with colons",
        ),
    ] = None
    boot_timeout_ms: Annotated[
        int, Key("How long after power-on the boot log may take, in milliseconds.", low=100, high=120_000)
    ] = 10_000
    image: Annotated[
        str | None,
        Key("The firmware image that belongs on the board: a path, counted from the rig file's folder."),
    ] = None
    image_offset: Annotated[
        int, Key("Where in the flash the image begins, e.g. 0x1000.", low=0, high=0x100_0000)
    ] = 0


@dataclass(frozen=True, kw_only=True)
class Power:
    """The relay that powers the board and the element."""

    kind: Annotated[
        str,
        Key(
            "Serial relays: lcus (also sold as NOYITO), numato, kmtronic, devantech, modbus. On the network: "
            "shelly-gen1, shelly-gen2, tasmota. command: programs of your own. gpio and the hid kinds need "
            "the extra of that name. none: the rig cannot switch power, and its board is reset instead.",
            choices=(
                "lcus",
                "numato",
                "kmtronic",
                "devantech",
                "modbus",
                "shelly-gen1",
                "shelly-gen2",
                "tasmota",
                "command",
                "gpio",
                "hid-dcttech",
                "hid-lcus",
                "none",
            ),
            group="hil.relays",
        ),
    ] = "none"
    options: Annotated[object, Key("Settings of a relay of your own.", group="hil.relays")] = None
    port: Annotated[str, Key(_PORT + " For relays on the network, http://HOST; for gpio, the chip.")] = ""
    channel: Annotated[int, Key("Output of the relay board, from 1; for gpio the line.", low=0, high=64)] = 1
    channels: Annotated[int, Key("How many outputs the board has.", low=1, high=64)] = 1
    address: Annotated[int, Key("modbus: address of the board.", low=1, high=247)] = 1
    active_low: Annotated[bool, Key("gpio: the relay conducts at the low level.")] = False
    serial: Annotated[str, Key("hid kinds: USB serial number of the relay; empty for the only one.")] = ""
    user: Annotated[str, Key("Network kinds: login name.")] = ""
    password: Annotated[Secret | None, Key("Network kinds: its password.")] = None
    on_command: Annotated[
        str, Key("command: program and arguments that switch on, quoted as in a shell.")
    ] = ""
    off_command: Annotated[str, Key("command: likewise, off.")] = ""
    state_command: Annotated[str, Key("command: likewise, prints the state; empty if there is none.")] = ""
    on_pattern: Annotated[str, Key("command: regular expression of what state_command prints when on.")] = ""
    settle_ms: Annotated[
        int, Key("Wait after switching, in milliseconds: the contact bounces.", low=0, high=60_000)
    ] = 20
    minimum_off_ms: Annotated[
        int, Key("Least time without power, in milliseconds: capacitors discharge.", low=0, high=600_000)
    ] = 2_000
    test_cycles: Annotated[
        int, Key("How often the power suite switches the board off and on.", low=1, high=10_000)
    ] = 3
    safe_state: Annotated[
        Literal["off", "on"], Key("How the relay is left when a run ends, also after an error.")
    ] = "off"


@dataclass(frozen=True, kw_only=True)
class Element:
    """The secure element."""

    part: Annotated[Literal["atecc508a", "atecc608a", "atecc608b"], Key("The part number.")]
    state: Annotated[
        Literal["blank", "config-locked", "provisioned", "trust"],
        Key(
            "Life-cycle state in which the element comes to a run: factory fresh; configuration locked; "
            "both zones locked and keys in place; trust: delivered by Microchip with keys and certificates."
        ),
    ]
    address: Annotated[
        int,
        Key("7-bit I2C address: 96 (0x60) generic, 53 (0x35) Trust&GO, 54 (0x36) TrustFLEX", low=8, high=119),
    ] = 96
    serial: Annotated[
        str | None,
        Key(
            "Serial number; what answers on the bus must have it. "
            "Nothing irreversible is ever done to an element that the rig file does not name.",
            pattern="0123[0-9a-f]{14}",
            form="18 lower-case hex digits that begin with 0123",
        ),
    ] = None
    revision: Annotated[
        str | None,
        Key(
            "Answer to Info(Revision), for example 00005000 (508A), 00006002 (608A), 00006003 (608B).",
            pattern="[0-9a-f]{8}",
            form="8 lower-case hex digits",
        ),
    ] = None
    config: Annotated[
        str | None,
        Key("The element's configuration: a name from the configs folder.", pattern=NAME, form=_NAME_FORM),
    ] = None
    expendable: Annotated[
        bool, Key("This part may be used up: irreversible operations can be allowed on it, by serial number.")
    ] = False
    accepted_findings: Annotated[
        tuple[str, ...],
        Key("Findings of the configuration lint that were looked at and accepted, by id."),
    ] = ()
    production: Annotated[
        bool, Key("This part goes to a customer: configurations made for testing only are refused.")
    ] = False


@dataclass(frozen=True, kw_only=True)
class Bus:
    """How the host reaches the element's I2C bus."""

    kind: Annotated[
        str,
        Key(
            "Through the board's firmware, through /dev/i2c-N, or through a Microchip kit-protocol board.",
            choices=("board", "linux", "kit"),
            group="hil.buses",
        ),
    ] = "board"
    options: Annotated[object, Key("Settings of a bus of your own.", group="hil.buses")] = None
    number: Annotated[int | None, Key("linux: the N of /dev/i2c-N.", low=0, high=255)] = None
    port: Annotated[str, Key(f"kit: {_PORT}")] = ""
    hz: Annotated[int, Key("Clock of the bus.", low=1_000, high=1_000_000)] = 100_000


@dataclass(frozen=True, kw_only=True)
class Wire:
    """One wire between the board and the element."""

    gpio: Annotated[int | None, Key("GPIO number of the microcontroller.", low=0, high=48)] = None
    mcu_pin: Annotated[int | None, Key("Pin of the microcontroller's package.", low=1, high=100)] = None
    board_pin: Annotated[str | None, Key("What the board's silk screen says.")] = None
    element_pin: Annotated[int | None, Key("Pin of the element's 8-pin package.", low=1, high=8)] = None
    xpro_pin: Annotated[int | None, Key("Pin of the ATCRYPTOAUTH-XPRO extension header.", low=1, high=20)] = (
        None
    )
    colour: Annotated[str | None, Key("Colour of the wire.")] = None


@dataclass(frozen=True, kw_only=True)
class Wiring:
    """What is connected to what; the wiring suite compares it with what the firmware uses."""

    sda: Annotated[Wire, Key("I2C data.")]
    scl: Annotated[Wire, Key("I2C clock.")]
    gnd: Annotated[Wire | None, Key("Ground.")] = None
    vcc: Annotated[Wire | None, Key("Supply, 3.3 V.")] = None

    def rows(self) -> tuple[tuple[str, Wire], ...]:
        """Signal name and wire, in the order in which they are shown."""
        named = (("SDA", self.sda), ("SCL", self.scl), ("GND", self.gnd), ("VCC", self.vcc))
        return tuple((signal, wire) for signal, wire in named if wire is not None)


@dataclass(frozen=True, kw_only=True)
class Wifi:
    """The network that the board joins."""

    ssid: Annotated[str, Key("Name of the network.")]
    password: Annotated[Secret, Key("Its passphrase.")]


@dataclass(frozen=True, kw_only=True)
class Cloud:
    """AWS IoT, or what stands in for it."""

    mode: Annotated[
        Literal["moto", "moto-server", "aws"],
        Key("In-process stand-in, a stand-in server on this computer, or a real account."),
    ] = "moto"
    region: Annotated[str, Key("AWS region.", pattern="[a-z]{2}(-[a-z]+)+-[0-9]", form="an AWS region")] = (
        "us-east-1"
    )
    account_id: Annotated[
        str,
        Key("AWS account; a real one must confirm it.", pattern="[0-9]{12}", form="12 digits"),
    ] = "123456789012"
    credentials_profile: Annotated[str | None, Key("aws: profile of the shared credentials file.")] = None
    endpoint_url: Annotated[
        str | None,
        Key(
            "moto-server: its address, on this computer.",
            pattern=r"http://(127\.0\.0\.1|localhost|\[::1\])(:[0-9]{1,5})?/?",
            form="an http:// address of this computer",
        ),
    ] = None
    listen: Annotated[
        str | None,
        Key(
            "address:port of this computer at which the program's own MQTT endpoint waits for a physical "
            "board; for moto and moto-server.",
            pattern=_HOST_PORT,
            form="address:port",
        ),
    ] = None
    data_endpoint: Annotated[
        str | None,
        Key(
            "host:port of the MQTT endpoint that the board is told to connect to: with `listen` the name "
            "under which the board finds this computer; without it somebody else's endpoint.",
            pattern=_HOST_PORT,
            form="host:port",
        ),
    ] = None
    server_roots: Annotated[
        str | None,
        Key(
            "PEM file of the authorities that the board is told to trust, counted from the rig file's "
            "folder; otherwise those of this program's endpoint, or Amazon's in mode aws."
        ),
    ] = None
    name_prefix: Annotated[
        str,
        Key(
            "Every name that a run creates begins so.", pattern="[A-Za-z0-9_-]+", form="letters, digits, - _"
        ),
    ] = "hil-"


@dataclass(frozen=True, kw_only=True)
class Connect:
    """Limits for the connection to the cloud."""

    limit_ms: Annotated[
        int, Key("Longest allowed time from the start of connecting to CONNACK, in ms.", low=1, high=600_000)
    ] = 1_000
    warn_ms: Annotated[
        int | None,
        Key("Above this, and up to limit_ms, the verdict is pass with warnings.", low=1, high=600_000),
    ] = None
    timeout_ms: Annotated[
        int, Key("After this time without CONNACK the attempt counts as timed out.", low=1, high=600_000)
    ] = 30_000
    tolerance_ms: Annotated[
        int,
        Key(
            "By how much console and endpoint may disagree before the bench is at fault, in ms.",
            low=1,
            high=60_000,
        ),
    ] = 50
    tls_versions: Annotated[tuple[Literal["1.2", "1.3"], ...], Key("TLS versions to use.")] = ("1.2",)
    samples: Annotated[int, Key("Connections per measurement.", low=1, high=10_000)] = 1


@dataclass(frozen=True, kw_only=True)
class Emulation:
    """How the emulated parts are made; only for rigs whose ports are emu://."""

    chip: Annotated[str, Key("Profile of the element, a name from chips/.", pattern=NAME, form=_NAME_FORM)]
    cost_model: Annotated[
        str, Key("Cost model of the MCU, a name from boards/.", pattern=NAME, form=_NAME_FORM)
    ]
    cost_source: Annotated[
        str | None,
        Key(
            "Which of the cost model's sources; without it the model's default.",
            pattern=NAME,
            form=_NAME_FORM,
        ),
    ] = None
    cpi: Annotated[
        float | None,
        Key("Cycles per instruction, for sources of instruction counts.", low=0.1, high=100),
    ] = None
    draw: Annotated[
        Literal["typical", "maximum", "random"],
        Key(
            "Times of element and MCU: the typical or longest published ones, or drawn at random between "
            "the two. Only drawn times make samples with a distribution."
        ),
    ] = "typical"
    element: Annotated[
        Literal["blank", "mongoose-configured", "trust-go", "trust-flex"],
        Key("The emulated element as it leaves the factory."),
    ] = "blank"
    mcu_revision: Annotated[
        int, Key("Major revision of an emulated ESP32, as its ROM loader shows it.", low=0, high=3)
    ] = 3
    seed: Annotated[int, Key("Seed of everything that is drawn at random.", low=0, high=2**63 - 1)] = 0
    rtt_ms: Annotated[float, Key("Round trip of the emulated network, in ms.", low=0, high=10_000)] = 5.0
    state_file: Annotated[
        str | None,
        Key("Keeps the element's memory between runs; without it the part is new in every run."),
    ] = None


@dataclass(frozen=True, kw_only=True)
class RigFile:
    """One rig: a board with its secure element, the relay that powers it, and the cloud it talks to.

    Attributes:
        path: the file this was read from.
    """

    rig: Annotated[str, Key("Name of the rig; the file is called the same.", pattern=NAME, form=_NAME_FORM)]
    element: Annotated[Element, Key("The secure element.")]
    description: Annotated[str, Key("One line for people.")] = ""
    board: Annotated[Board, Key("The board that carries the microcontroller.")] = Board()
    power: Annotated[Power, Key("The relay that powers the board and the element.")] = Power()
    bus: Annotated[Bus, Key("How the host reaches the element's I2C bus.")] = Bus()
    wiring: Annotated[Wiring | None, Key("What is connected to what.")] = None
    wifi: Annotated[Wifi | None, Key("The network that the board joins.")] = None
    cloud: Annotated[Cloud, Key("AWS IoT, or what stands in for it.")] = Cloud()
    connect: Annotated[Connect, Key("Limits for the connection to the cloud.")] = Connect()
    emulation: Annotated[
        Emulation | None, Key("How the emulated parts are made; required for emu:// ports, refused without.")
    ] = None
    suites: Annotated[
        Mapping[str, object], Key("Settings of suites of your own, by their names.", group="hil.suites")
    ] = field(default_factory=dict)
    path: Path = Path()

    @property
    def emulated(self) -> bool:
        """True when this program emulates the rig's parts."""
        return self.emulation is not None
