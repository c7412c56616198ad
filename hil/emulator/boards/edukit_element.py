"""What the provisioning firmware does with the element; the console around it is ``edukit.py``.

Source: ``espressif/esp-cryptoauthlib`` ``esp_cryptoauth_utility/firmware/main/handlers.c``.
"""

from __future__ import annotations

import re
import zlib
from typing import TYPE_CHECKING, Protocol, TypeVar

from hil.element.certificates.certificate import Certificate, load, pem
from hil.element.certificates.compressed import Compressed, Dates, SerialSource, raw_signature
from hil.element.certificates.selfsigned import signing_request
from hil.element.certificates.trustgo import (
    DEVICE_SLOT,
    SIGNER_KEY_SLOT,
    SIGNER_SLOT,
    padded_key,
    read_trust_data,
)
from hil.element.device import Element
from hil.element.keys import ElementSigningKey
from hil.element.zones import data_address
from hil.emulator.boards.mongoose_atca import library_status
from hil.emulator.bus import I2CMaster
from hil.errors import CertificateError, DeviceError
from hil.wire.atecc import Command, Opcode
from hil.wire.espidf import DEVICE_TYPES

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from hil.clock import World
    from hil.element.certificates.trustgo import TrustChain
    from hil.emulator.bus import Lines

__all__ = ["ElementFirmware", "Log", "Refused", "WrongUsage", "atoi"]

T = TypeVar("T")

REQUEST_SUBJECT = "O=Example Inc,CN=Example Device"
ELEMENTS = 9
"""Places of a certificate definition: eight standard elements and the signed body."""
SIGNER_ID = 4
"""Number of the standard element that tells where the signer id stands."""
TEMPLATES = {DEVICE_SLOT: (2, SerialSource.KEY_HASH), SIGNER_SLOT: (1, SerialSource.KEY_HASH)}
CERTIFICATE_FAILED = 1
"""What certificate functions return when a certificate cannot be handled."""


class Log(Protocol):
    """Prints a log line; ``tag|message`` names another tag than the firmware's own."""

    def __call__(self, message: str, level: str = "I") -> None: ...  # noqa: D102


class WrongUsage(Exception):
    """The arguments are wrong.

    Args:
        errors: lines to log before the reason.
    """

    def __init__(self, *errors: str) -> None:
        super().__init__(*errors)
        self.errors = errors


class Refused(Exception):
    """A command failed; ``code`` is what its error line prints."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


def atoi(text: str) -> int:
    """C's ``atoi``: the number at the beginning, or 0."""
    found = re.match(r"\s*[+-]?\d+", text)
    return int(found[0]) if found else 0


class ElementFirmware:
    """The commands that talk to the element.

    Args:
        world: whose time the bus takes.
        lines: the wires.
        root: the built-in root certificate, DER.
        log: prints a log line.
        pins: built-in SDA and SCL; None = ``init`` names them.
        second_stage: reads raw bytes up to a NUL from the console.

    Attributes:
        kind: what the firmware takes the element for since ``init``.
    """

    def __init__(
        self,
        world: World,
        lines: Lines,
        *,
        root: bytes,
        log: Log,
        pins: tuple[int, int] | None,
        second_stage: Callable[[], bytes],
    ) -> None:
        self.kind = ""
        self._world = world
        self._lines = lines
        self._root = root
        self._log = log
        self._pins = pins
        self._second_stage = second_stage
        self._opened: Element | None = None
        self._definition: tuple[tuple[int, int], ...] | None = None

    # -- opening ---------------------------------------------------------------------------

    def init(self, args: Sequence[str]) -> str:
        """Find the element on the bus, and lock what is not locked."""
        if len(args) != (2 if self._pins is None else 0):
            raise WrongUsage
        sda, scl = self._pins or (atoi(args[0]) & 0xFF, atoi(args[1]) & 0xFF)
        self._log(f"I2C pins selected are SDA = {sda}, SCL = {scl}")
        master = I2CMaster(self._world, self._lines, sda=sda, scl=scl, name="esp32 I2C0")
        element, kind = self._find(master)
        for zone, offset in (("config", 3), ("data", 2)):
            try:
                locked = element.read_config_word(84)[offset] != 0x55
            except DeviceError as error:
                code = library_status(error)
                self._log(f" failed\n  ! atcab_is_locked returned {code:02x}", "E")
                raise Refused(code) from error
            if locked:
                self._log(f"{zone} zone is Locked ..\tOK")
            else:
                self._lock(element, zone)
        self._opened = element
        self.kind = kind
        return ""

    def _find(self, master: I2CMaster) -> tuple[Element, str]:
        fault: DeviceError | None = None
        for address, kind in DEVICE_TYPES.items():
            element = Element(master, address)
            try:
                element.read_config_block(0)
            except DeviceError as error:
                fault = error
                continue
            self._log(f"Device is of type {kind}")
            return element, kind
        self._log("Failed to initialize atca device", "E")
        assert fault is not None, "there is at least one address"
        raise Refused(library_status(fault)) from fault

    def _lock(self, element: Element, zone: str) -> None:
        """Lock without comparing a checksum, as the firmware's library does here."""
        try:
            element.execute(Command(Opcode.LOCK, 0x80 if zone == "config" else 0x81), 1)
        except DeviceError as error:
            code = library_status(error)
            self._log(f"error in locking {zone} zone, ret = {code:02x}", "E")
            raise Refused(code) from error
        self._log(f"success in locking {zone} zone")

    # -- reading ---------------------------------------------------------------------------

    def chip_info(self, args: Sequence[str]) -> str:
        """Serial number; revision and its name are logged."""
        revision = self._ask(Element.info_revision, "Error in reading revision information, ret is {:02x}")
        self._log(f"ATECC CHIP REVISION|{revision.hex(' ')}")
        names = {2: ("a", "ATECC608A"), 3: ("an", "ATECC608B")}
        if revision[3] in names:
            article, part = names[revision[3]]
            self._log(
                f"Since the last byte of chip revision is 0x{revision[3]:02x}. This is {article} {part} chip"
            )
        serial = self._ask(Element.serial_number, "Error in reading serial number, ret is {:02x}")
        self._log(f"ATECC CHIP SERIAL NUMBER|{serial.hex(' ')}")
        return "\n Serial Number:\n" + "".join(f"{byte:02x} " for byte in serial)

    def generate_key(self, args: Sequence[str]) -> str:
        """A new private key; only the upper bound of the slot number is checked."""
        if len(args) != 1 or atoi(args[0]) >= 3:
            raise WrongUsage
        key = self._key_command(0x04, atoi(args[0]), "failed\n !atcab_genkey returned {:02x}")
        return f"\nPublic Key:\n{key.hex()}"

    def public_key(self, args: Sequence[str]) -> str:
        """The public key of a slot."""
        if len(args) != 1:
            raise WrongUsage
        key = self._key_command(0x00, atoi(args[0]), " failed\n  ! atcab_get_pubkey returned {:02x}")
        return "\nPublic Key:\n" + "".join(f"{byte:02x} " for byte in key)

    def signing_request(self, args: Sequence[str]) -> str:
        """A certificate request signed by slot 0."""
        _none(args)
        request = self._ask(
            lambda element: signing_request(ElementSigningKey(element, 0), REQUEST_SUBJECT),
            "create csr pem failed, returned {:02x}",
        )
        return "\n" + pem(request, "CERTIFICATE REQUEST")

    def root_certificate(self, args: Sequence[str]) -> str:
        """The root that is built into the firmware."""
        _none(args)
        return _certificate_text("Root", self._root)

    def signer_certificate(self, args: Sequence[str]) -> str:
        """Rebuilt from slots 11 and 12."""
        _none(args)
        return _certificate_text("Signer", self._chain().signer)

    def device_certificate(self, args: Sequence[str]) -> str:
        """Rebuilt from slots 0, 5, 10 and 11."""
        _none(args)
        return _certificate_text("Device", self._chain().device)

    def _chain(self) -> TrustChain:
        what = "failed to read the certificate, returned 0x{:02x}"
        try:
            return self._ask(lambda element: read_trust_data(element).rebuild(self._root), what)
        except CertificateError as error:
            self._log(what.format(CERTIFICATE_FAILED), "E")
            raise Refused(CERTIFICATE_FAILED) from error

    # -- writing ---------------------------------------------------------------------------

    def definition(self, args: Sequence[str]) -> str:
        """Places of the standard elements as four-character decimals, then the template in hex."""
        if len(args) != 1 or atoi(args[0]) not in (0, 1):
            raise WrongUsage
        text = self._second_stage().decode("latin-1")
        numbers = [atoi(text[i : i + 4]) for i in range(0, 8 * ELEMENTS, 4)]
        self._definition = tuple(zip(numbers[::2], numbers[1::2], strict=True))
        return ""

    def program(self, slot: int, args: Sequence[str]) -> str:
        """Compress a certificate after the definition and write it; lock the slot if told so."""
        if len(args) not in (1, 2):
            raise WrongUsage("Invalid arguments. Expected usage: program-dev-cert <lock> [CRC32]")
        text = self._second_stage()
        expected = int(args[1]) & 0xFFFFFFFF if len(args) == 2 and args[1].isdecimal() else 0
        received = zlib.crc32(text)
        if received != expected:
            self._log(f"CRC32 mismatch! Expected: {expected}, Received: {received}", "E")
            raise Refused(CERTIFICATE_FAILED)
        try:
            certificate = load(text)
            compressed = self._compressed(slot, certificate)
            point = certificate.point
        except (CertificateError, ValueError) as error:
            self._log(f"writecert failed , ret is {CERTIFICATE_FAILED:02x}", "E")
            raise Refused(CERTIFICATE_FAILED) from error
        if slot == SIGNER_SLOT:
            self._write(SIGNER_KEY_SLOT, padded_key(point))
        self._write(slot, compressed.encode())
        if atoi(args[0]) == 1:
            self._send(Command(Opcode.LOCK, 0x82 | slot << 2), f"Failed to lock slot {slot}")
            self._log(f"Slot {DEVICE_SLOT} has been locked, and cannot be used again")
        return ""

    def _compressed(self, slot: int, certificate: Certificate) -> Compressed:
        if self._definition is None:
            raise CertificateError("no certificate definition was provided")
        (start, count) = self._definition[SIGNER_ID]
        issued, expires = certificate.validity
        years = 0 if expires == Dates(2000, 1, 1, 0, 0).expires() else int(expires[:4]) - int(issued[:4])
        dates = Dates(int(issued[:4]), int(issued[4:6]), int(issued[6:8]), int(issued[8:10]), years)
        template, source = TEMPLATES[slot]
        return Compressed(
            raw_signature(certificate.signature),
            dates,
            bytes.fromhex(certificate.der[start : start + count].decode("latin-1")),
            template,
            0,
            source,
            dates.needed_format,
        )

    def _write(self, slot: int, data: bytes) -> None:
        padded = data + bytes(-len(data) % 32)
        for block in range(len(padded) // 32):
            piece = padded[32 * block : 32 * block + 32]
            self._send(
                Command(Opcode.WRITE, 0x82, data_address(slot, block), piece),
                "writecert failed , ret is {:02x}",
            )

    # -- the element -----------------------------------------------------------------------

    def _send(self, command: Command, what: str) -> None:
        self._ask(lambda element: element.execute(command, 1), what)

    def _key_command(self, mode: int, slot: int, what: str) -> bytes:
        return self._ask(lambda e: e.execute(Command(Opcode.GENKEY, mode, slot & 0xFFFF), 64), what)

    def _ask(self, question: Callable[[Element], T], what: str) -> T:
        """Put a question to the element; ``what`` is logged with the library's code if it fails."""
        element = self._opened
        assert element is not None, "the rank lets nothing through before init"
        try:
            return question(element)
        except DeviceError as error:
            code = library_status(error)
            self._log(what.format(code), "E")
            raise Refused(code) from error


def _none(args: Sequence[str]) -> None:
    if args:
        raise WrongUsage


def _certificate_text(kind: str, certificate: bytes) -> str:
    return f"\n {kind} Cert Len:{len(certificate)}\n\nCertificate:\n{certificate.hex()}"
