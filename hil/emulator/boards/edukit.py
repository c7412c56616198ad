"""An emulated ESP32 board with the esp_cryptoauth provisioning firmware: the AWS IoT EduKit.

The firmware reaches the element only over the I2C pins that ``init`` names, through the driver
library, and the host only over the UART. Quirks kept on purpose: ``init`` locks a part that is not
locked; preconditions are a rank that any later command satisfies; an unmet precondition gives no
Status line; raw second-stage bytes that nobody reads become typed text.

Source: ``espressif/esp-cryptoauthlib`` ``esp_cryptoauth_utility/firmware/main`` (``app_main.c``,
``ecu_console_interface.c``, ``commands.c``; what the commands do is in ``edukit_element.py``).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING

from hil.emulator.boards.edukit_element import ElementFirmware, Refused, WrongUsage
from hil.emulator.boards.mongoose_tls import Step
from hil.emulator.mcu import Mcu
from hil.wire.espidf import BANNER, MAX_LINE, OLD_BANNER, PROMPT

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from hil.clock import Task, World
    from hil.emulator.bus import Lines
    from hil.emulator.mcu import CostModel
    from hil.emulator.uart import Uart

__all__ = ["CURRENT", "EDUKIT_ERA", "EduKitFirmware", "Image"]

HANDSHAKE = b"version"
HANDSHAKE_PAUSE_US = 100_000
HANDSHAKE_US = 1_000_000
MAX_SECOND_STAGE = 1199
ROM_BAUD = 115_200


@dataclass(frozen=True)
class Image:
    """What differs between releases of the firmware.

    Attributes:
        banner: the line before the dialogue.
        version: what ``version`` answers.
        handshake: the banner wants ``version`` as an answer within a second.
        init_takes_pins: ``init`` wants SDA and SCL; otherwise the pins are built in.
        pins: the built-in pins.
        idf: ESP-IDF release that the loader names.
    """

    banner: str = BANNER
    version: str = "v1.2.0"
    handshake: bool = True
    init_takes_pins: bool = True
    pins: tuple[int, int] = (21, 22)
    idf: str = "v5.1.2"


CURRENT = Image()
EDUKIT_ERA = Image(OLD_BANNER, "v0.0.0", handshake=False, init_takes_pins=False, idf="v4.2")


class Rank(IntEnum):
    """Outcome of the last command; preconditions compare it with ``>=``."""

    START = 0
    INIT_FAIL = 1
    INIT_OK = 2
    KEY_FAIL = 3
    KEY_OK = 4
    CSR_FAIL = 5
    CSR_OK = 6
    PUBKEY_FAIL = 7
    PUBKEY_OK = 8
    DEFINITION_FAIL = 9
    DEFINITION_OK = 10
    PROGRAM_FAIL = 11
    PROGRAM_OK = 12
    ROOT_FAIL = 13
    ROOT_OK = 14
    SIGNER_FAIL = 15
    SIGNER_OK = 16
    DEVICE_FAIL = 17
    DEVICE_OK = 18


_NOT_INITIALIZED = "Please Initialize device before calling this function"
_NO_REQUEST = "Generate the CSR before calling this function."
_NO_SIGNER = "Please execute get-tngtls-signer-cert command as this command requires signer cert"


@dataclass(frozen=True)
class _Command:
    """One row of the command table.

    Attributes:
        help: what ``help`` prints.
        run: does it; takes the arguments, returns the payload.
        needs: least rank, with what is logged below it.
        fail, ok: rank afterwards; None = the rank stays.
        failed: what is logged on a failure, the code filled in.
    """

    help: str
    run: Callable[[Sequence[str]], str]
    needs: tuple[tuple[Rank, str], ...]
    fail: Rank | None
    ok: Rank | None
    failed: str


class EduKitFirmware:
    """One board. Off until :meth:`power_on`.

    Args:
        world: where it lives.
        mac: six hex bytes with colons; this firmware never prints it, the ROM loader would.
        uart: the console, its part's end.
        lines: the I2C wires.
        costs: what software takes.
        root: the root certificate that is built into the image, DER. The genuine firmware carries
            Microchip's; one for emulated parts carries the synthetic root.
        image: which release.

    Attributes:
        timeline: steps since the board was made; clear it as you like.
        powered: whether the board has power.
        mute_status: fault: how many of the next Status lines get lost.
        cut_payload: fault: the next payloads end after so many characters; None = whole.
    """

    def __init__(
        self,
        world: World,
        *,
        mac: str,
        uart: Uart,
        lines: Lines,
        costs: CostModel,
        root: bytes,
        image: Image = CURRENT,
    ) -> None:
        self.world = world
        self.mac = mac
        self.uart = uart
        self.lines = lines
        self.image = image
        self.timeline: list[Step] = []
        self.powered = False
        self.mute_status = 0
        self.cut_payload: int | None = None
        self._root = root
        self._mcu = Mcu(world, costs)
        self._task: Task | None = None
        self._booted_at = 0
        self._listening = False
        self._received = bytearray()
        self._arrived = world.signal("console bytes")
        self._rank = Rank.START
        self._element: ElementFirmware | None = None
        self._commands: Mapping[str, _Command] = {}
        uart.on_bytes = self._on_bytes

    # -- power -----------------------------------------------------------------------------

    def power_on(self) -> None:
        """The supply comes up."""
        if self.powered:
            return
        self.powered = True
        self._booted_at = self.world.now
        self._rank = Rank.START
        self._task = self.world.spawn(self._main, "scli_task")

    def power_off(self) -> None:
        """The supply goes away: silence first, then the task ends where it is."""
        if not self.powered:
            return
        self.powered = False
        self._listening = False
        self.uart.cut()
        self._received.clear()
        self._mcu.reset()
        task, self._task = self._task, None
        if task is not None:
            task.halt("no power")

    def _on_bytes(self, data: bytes) -> None:
        """The UART's receiver; runs in an event."""
        if self.powered and self._listening:
            self._received += data
            self._arrived.set()

    # -- the task --------------------------------------------------------------------------

    def _main(self) -> None:
        self._boot()
        self._transmit(self.image.banner.encode())
        self._listening = True
        if self.image.handshake and not self._handshake():
            self._log("ECU Console Interface", "Failed to initialize ECU console interface", "E")
            self._log("FreeRTOS", 'FreeRTOS Task "scli_task" should not return, Aborting now!', "E")
            self._listening = False
            return
        self.timeline.append(Step(self.world.now, "console", {"version": self.image.version}))
        element = self._element = ElementFirmware(
            self.world,
            self.lines,
            root=self._root,
            log=self._log_element,
            pins=None if self.image.init_takes_pins else self.image.pins,
            second_stage=self._second_stage,
        )
        self._commands = _table(element)
        while True:
            self._transmit(PROMPT)
            self._run(self._line())

    def _boot(self) -> None:
        costs = self._mcu.costs
        self.uart.baud = ROM_BAUD
        self.world.sleep(costs.delay("boot_rom"))
        rom = "ets Jul 29 2019 12:21:46\r\n\r\nrst:0x1 (POWERON_RESET),boot:0x13 (SPI_FAST_FLASH_BOOT)\r\n"
        self._transmit(rom.encode())
        self.world.sleep(costs.delay("boot_loader"))
        self._log("boot", f"ESP-IDF {self.image.idf} 2nd stage bootloader")
        self.world.sleep(costs.delay("boot_init"))
        self._log("main_task", "Calling app_main()")
        self.timeline.append(Step(self.world.now, "boot", {"uptime_us": self.world.now - self._booted_at}))

    def _handshake(self) -> bool:
        self.world.sleep(HANDSHAKE_PAUSE_US)
        deadline = self.world.now + HANDSHAKE_US
        while len(self._received) < len(HANDSHAKE):
            if not self.world.wait(self._arrived, deadline):
                return False
        answer = bytes(self._received[: len(HANDSHAKE)])
        del self._received[: len(HANDSHAKE)]
        if answer != HANDSHAKE:
            return False
        self._transmit(f"{self.image.version}\n".encode())
        return True

    def _line(self) -> str:
        """Read and echo up to CR; the last character is dropped, whatever it is."""
        line = bytearray()
        while not line.endswith(b"\r") and len(line) < MAX_LINE:
            self._await_bytes()
            room = MAX_LINE - len(line)
            end = self._received.find(b"\r") + 1 or len(self._received)
            piece = bytes(self._received[: min(end, room)])
            del self._received[: len(piece)]
            self._transmit(piece.replace(b"\r", b"\r\n"))
            line += piece
        return line.partition(b"\0")[0][:-1].decode("latin-1")

    def _second_stage(self) -> bytes:
        """Raw bytes up to a NUL, not echoed."""
        data = bytearray()
        while len(data) < MAX_SECOND_STAGE:
            self._await_bytes()
            room = MAX_SECOND_STAGE - len(data)
            end = self._received.find(b"\0")
            piece = bytes(self._received[: room if end < 0 else min(end, room)])
            del self._received[: len(piece)]
            data += piece
            if end >= 0 and len(piece) == end:
                del self._received[:1]
                break
        return bytes(data)

    def _await_bytes(self) -> None:
        while not self._received:
            self.world.wait(self._arrived, None)

    def _run(self, line: str) -> None:
        words = line.split()[:8]
        if not words:
            return
        name, args = words[0], words[1:]
        self._mcu.spend("rpc")
        if name == "version":
            self._print(f"{self.image.version}\n")
        elif name == "help":
            self._print("".join(f"{n}\n  {c.help}\n" for n, c in self._commands.items()))
        elif name in self._commands:
            self._execute(name, self._commands[name], args)

    def _execute(self, name: str, command: _Command, args: Sequence[str]) -> None:
        """One command with its Status line; an unmet precondition gets none."""
        for rank, message in command.needs:
            if self._rank < rank:
                self._log_element(message, "E")
                return
        if name == "init":
            self._rank = Rank.START
        since = self.world.now
        payload = ""
        errors: tuple[str, ...] = ()
        try:
            payload = command.run(args)
        except WrongUsage as usage:
            errors = (*usage.errors, "Reason: Invalid Usage")
        except Refused as refused:
            errors = (command.failed.format(code=refused.code & 0xFF),)
        self._status(success=not errors)
        after = command.fail if errors else command.ok
        if after is not None:
            self._rank = after
        for message in errors:
            self._log_element(message, "E")
        if name == "init" and not errors and self._element is not None:
            self._log_element(f"ATECC608 Device Type: {self._element.kind}\n")
        self._print(payload if self.cut_payload is None else payload[: self.cut_payload])
        detail: dict[str, str | int] = {
            "command": name,
            "us": self.world.now - since,
            "status": "Failure" if errors else "Success",
        }
        self.timeline.append(Step(self.world.now, "command", detail))

    def _status(self, *, success: bool) -> None:
        if self.mute_status > 0:
            self.mute_status -= 1
            return
        self._log_element(f"Status: {'Success' if success else 'Failure'}\n")

    # -- output ----------------------------------------------------------------------------

    def _log_element(self, message: str, level: str = "I") -> None:
        tag, bar, rest = message.partition("|")
        if bar:
            self._log(tag, rest, level)
        else:
            self._log("secure_element", message, level)

    def _log(self, tag: str, message: str, level: str = "I") -> None:
        uptime = (self.world.now - self._booted_at) // 1000
        self._print(f"{level} ({uptime}) {tag}: {message}\n")

    def _print(self, text: str) -> None:
        """Output through stdio, which ends lines with CR LF."""
        self._transmit(text.replace("\n", "\r\n").encode("latin-1", "replace"))

    def _transmit(self, data: bytes) -> None:
        """Bytes on the line. A halted task ends here."""
        task = self.world.running
        if task is not None:
            task.check()
        if self.powered:
            self.uart.send(data)


def _table(element: ElementFirmware) -> Mapping[str, _Command]:
    initialized = ((Rank.INIT_OK, _NOT_INITIALIZED),)
    signed = ((Rank.CSR_OK, _NO_REQUEST),)
    signer_read = (*initialized, (Rank.SIGNER_OK, _NO_SIGNER))
    program = (signed, Rank.PROGRAM_FAIL, Rank.PROGRAM_OK)
    return {
        "init": _Command(
            "opens the element; locks both zones if they are not locked",
            element.init,
            (),
            Rank.INIT_FAIL,
            Rank.INIT_OK,
            "Initilization of ATECC failed, returned {code:02x}\nPlease check that the appropriate I2C pin "
            "numbers are provided to the python script",
        ),
        "print-chip-info": _Command(
            "serial number of the element",
            element.chip_info,
            initialized,
            None,
            None,
            "Error in generating keys, returned {code:02x}",
        ),
        "generate-keys": _Command(
            "new private key in slot 0, 1 or 2",
            element.generate_key,
            initialized,
            Rank.KEY_FAIL,
            Rank.KEY_OK,
            "Error in generating keys, returned {code:02x}",
        ),
        "generate-csr": _Command(
            "certificate request",
            element.signing_request,
            initialized,
            Rank.CSR_FAIL,
            Rank.CSR_OK,
            "Generating CSR failed, returned {code:02x}, \nNote: please check that you have called \n "
            "generate_keys command",
        ),
        "generate-pubkey": _Command(
            "public key of a slot",
            element.public_key,
            initialized,
            Rank.PUBKEY_FAIL,
            Rank.PUBKEY_OK,
            "Generating Public key failed, returned {code:02x}, \nNote: please check that you have called\n"
            "generate_keys command",
        ),
        "provide-cert-def": _Command(
            "certificate definition: 0 device, 1 signer",
            element.definition,
            initialized,
            Rank.DEFINITION_OK,  # stored the wrong way round by the firmware
            Rank.DEFINITION_FAIL,
            "Failure",
        ),
        "program-dev-cert": _Command(
            "device certificate into slot 10",
            lambda args: element.program(10, args),
            *program,
            "Programming device cert failed, returned {code:d}",
        ),
        "program-signer-cert": _Command(
            "signer certificate into slot 12",
            lambda args: element.program(12, args),
            *program,
            "Programming signer cert failed, returned {code:d}",
        ),
        "get-tngtls-root-cert": _Command(
            "root certificate in the firmware",
            element.root_certificate,
            initialized,
            Rank.ROOT_FAIL,
            Rank.ROOT_OK,
            "Failed to obtain tngtls_root cert, returned {code:02x}",
        ),
        "get-tngtls-signer-cert": _Command(
            "signer certificate",
            element.signer_certificate,
            initialized,
            Rank.SIGNER_FAIL,
            Rank.SIGNER_OK,
            "Failed to obtain tngtls_signer cert, returned {code:02x}",
        ),
        "get-tngtls-device-cert": _Command(
            "device certificate",
            element.device_certificate,
            signer_read,
            Rank.DEVICE_FAIL,
            Rank.DEVICE_OK,
            "Failed to obtain tngtls_siger cert, returned {code:02x}",
        ),
    }
