"""A board with the ESP-IDF provisioning console, e.g. the AWS IoT EduKit.

Every command has a deadline of ours: the firmware answers some of them with nothing but a prompt.
``init`` locks both zones of a part that is not locked yet, without writing a configuration and
without a checksum; it is refused here unless the zones are known to be locked or a permit is given.
Commands that are irreversible by design are in :mod:`hil.board.espidf_irreversible`.

Source: ``espressif/esp-cryptoauthlib`` ``esp_cryptoauth_utility/firmware/main``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hil.board.bootlog import BootWatch
from hil.board.console import Console
from hil.element.certificates.trustgo import TrustChain
from hil.errors import DeviceError, DeviceTimeout, FrameError, GuardRefusal, UnexpectedReboot
from hil.guard.permit import RpcCall
from hil.guard.roads import CONSOLE_HARMLESS, CONSOLE_ROADS
from hil.wire.espidf import (
    BANNER,
    CertificateKind,
    Reply,
    ReplyReader,
    command_line,
    parse_certificate,
    parse_public_key,
    parse_request,
    parse_serial,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from hil.board.bootlog import Boot
    from hil.element.values import LockState
    from hil.guard.permit import Permit
    from hil.serialport.port import Port

__all__ = ["ChipInfo", "EspIdfBoard"]

BOOT_US = 25_000_000
COMMAND_US = 10_000_000
VERSION_US = 10_000_000
SECOND_STAGE_US = 100_000
"""Pause between a command and the raw bytes that it reads; what the published client uses."""

_BANNER = r"Initiali[sz]ing Command line: >>"
_VERSION = r"(?:^|>>)\s*(v\d+\.\d+\.\d+)\s*$"
_DEVICE_TYPE = re.compile(r"Device Type: (\S+)")
_REVISION = re.compile(r"((?:[0-9a-f]{2} ){3}[0-9a-f]{2})\s*$")


@dataclass(frozen=True, slots=True)
class ChipInfo:
    """What ``print-chip-info`` tells.

    Attributes:
        serial: 9 bytes.
        revision: 4 bytes as logged, or None if the firmware did not log them.
    """

    serial: bytes
    revision: bytes | None


class EspIdfBoard:
    """A board whose firmware offers the provisioning console.

    Args:
        port: the serial port; the board owns and closes it.
        pins: SDA and SCL that ``init`` is told; None for EduKit-era firmware, which takes none.

    Attributes:
        console: reads the port; nobody else does.
        before_send: called with every call that changes the element for good, before a byte is
            sent; the guard's hook. It refuses by raising, and until it is set it always does.
        version: what the firmware called itself at its start; empty before or if it did not.
    """

    def __init__(self, port: Port, *, pins: tuple[int, int] | None = (21, 22)) -> None:
        self.console = Console(port)
        self.before_send: Callable[[RpcCall], None] = _unguarded
        self.version = ""
        self._pins = pins
        self._watch = BootWatch(self._on_boot)
        self._expecting_boot = False
        self._unexpected: list[Boot] = []
        self.console.on_line.append(self._watch.feed)

    def close(self) -> None:
        """Close the port."""
        self.console.close()

    @property
    def boots(self) -> tuple[Boot, ...]:
        """Every start that the console has seen, oldest first."""
        return tuple(self._watch.boots)

    @property
    def unexpected_boots(self) -> tuple[Boot, ...]:
        """Starts that nobody had announced; a test during which one happens has failed."""
        return tuple(self._unexpected)

    def expect_boot(self) -> None:
        """Announce a start: power is about to be switched on."""
        self.console.drain()
        self._expecting_boot = True

    def wait_for_boot(self, *, timeout_us: int = BOOT_US) -> Boot:
        """Wait until a start announced by :meth:`expect_boot` has come to the first prompt.

        Raises:
            DeviceTimeout: no start, or one that stopped half way.
        """
        before = len(self._watch.boots) - (0 if self._expecting_boot else 1)
        self.wait_for_console(timeout_us=timeout_us)
        if len(self._watch.boots) <= before:
            raise DeviceTimeout(
                f"the console on {self.console.name} came up without a boot log",
                hint="was the board powered already, or is the baud rate wrong for the ROM's lines?",
            )
        return self._watch.boots[-1]

    def _on_boot(self, boot: Boot) -> None:
        if self._expecting_boot:
            self._expecting_boot = False
        else:
            self._unexpected.append(boot)

    def wait_for_console(self, *, timeout_us: int = BOOT_US) -> str:
        """Follow a start, from power-on to the first prompt; call it before or just after power comes.

        Newer firmware wants ``version`` within a second of its banner, or it gives up.

        Args:
            timeout_us: for the start up to the banner, in microseconds.

        Returns:
            The firmware's version; empty for EduKit-era firmware, which does not say.

        Raises:
            DeviceTimeout: no banner, no version or no prompt.
        """
        mark = self.console.transcript.mark()
        banner = self.console.expect(_BANNER, timeout_us=timeout_us, since=mark, partial=True)
        self.version = ""
        if BANNER in banner.line.text:
            self.console.write(b"version")
            found = self.console.expect(_VERSION, timeout_us=VERSION_US, since=mark)
            self.version = found.match[1]
        self.console.expect(r"^\s*>>\s*$", timeout_us=COMMAND_US, since=mark)
        return self.version

    def attach(self) -> None:
        """Make a console that is already running prompt, by an empty line.

        Raises:
            DeviceTimeout: no prompt; the board may be at its banner, off, or not running this firmware.
        """
        mark = self.console.mark()
        self.console.write(b"\r")
        self.console.expect(r"^\s*>>\s*$", timeout_us=COMMAND_US, since=mark)

    def answers(self) -> bool:
        """Whether the console runs although no start of it was seen."""
        try:
            self.attach()
        except DeviceError:
            return False
        return True

    def command(
        self,
        name: str,
        *args: object,
        timeout_us: int = COMMAND_US,
        second_stage: bytes | None = None,
    ) -> Reply:
        """Run one command; what it means is the caller's business (:meth:`Reply.require`).

        Args:
            name: e.g. ``print-chip-info``.
            args: its arguments.
            timeout_us: for command and reply together, in microseconds.
            second_stage: raw bytes that the command then reads; a NUL is added.

        Raises:
            GuardRefusal: it changes the element for good and the guard did not allow it.
            DeviceTimeout: no prompt in time; says what arrived.
            FrameError: the echo shows that another line arrived at the board.
            UnexpectedReboot: the board restarted meanwhile.
        """
        if name not in CONSOLE_HARMLESS:
            self.before_send(_call(name, args))
        return self._run(name, *args, timeout_us=timeout_us, second_stage=second_stage)

    def _run(
        self,
        name: str,
        *args: object,
        timeout_us: int = COMMAND_US,
        second_stage: bytes | None = None,
    ) -> Reply:
        line = command_line(name, *args)
        console = self.console
        deadline = console.clock.now + timeout_us
        mark, boots = console.mark(), len(self._watch.boots)
        console.write(line)
        if second_stage is not None:
            console.clock.sleep(SECOND_STAGE_US)
            console.write(second_stage + b"\0", shown=b"<%d bytes>" % len(second_stage))
        reader = ReplyReader(line)
        while True:
            entries = console.transcript.entries_since(mark)
            mark = console.transcript.mark()
            if len(self._watch.boots) > boots:
                reset = self._watch.boots[-1].reset
                raise UnexpectedReboot(f"the board on {console.name} restarted during {name}: {reset}")
            for entry in entries:
                reply = reader.feed(entry.data) if entry.kind == "text" else None
                if reply is not None:
                    return reply
            if not console.pump(deadline):
                raise DeviceTimeout(
                    f"{name}: no prompt within {timeout_us / 1e6:.3f} s on {console.name}; "
                    f"the last bytes: {console.last_bytes()!r}",
                    hint="is the provisioning firmware running, and were its second-stage bytes complete?",
                )

    # -- the element -----------------------------------------------------------------------

    def init(self, *, locks: LockState | None = None, permit: Permit | None = None) -> str:
        """Let the firmware open the element; returns what it takes it for, e.g. ``Trust&Go``.

        Args:
            locks: what is known of the element's locks, from the rig file or from a read over
                another way. With both zones locked ``init`` changes nothing.
            permit: for locking, when the locks are open or unknown.

        Raises:
            GuardRefusal: the locks are not known to be closed and there is no permit.
            RpcError: the firmware did not reach the element.
        """
        if locks is not None and locks.config and locks.data:
            reply = self._run("init", *(self._pins or ())).require()
        elif permit is not None:
            with permit.armed([RpcCall("init")]):
                reply = self.command("init", *(self._pins or ())).require()
        else:
            raise GuardRefusal(
                "init would lock both zones of an element that is not locked yet; nothing was sent",
                hint="show that both zones are locked (element state in the rig file), or get a permit",
            )
        found = _DEVICE_TYPE.search(reply.payload)
        return found[1] if found else ""

    def chip_info(self) -> ChipInfo:
        """Serial number and revision."""
        reply = self.command("print-chip-info").require()
        revisions = (
            _REVISION.search(line.message) for line in reply.log if line.source == "ATECC CHIP REVISION"
        )
        revision = next((bytes.fromhex(found[1]) for found in revisions if found), None)
        return ChipInfo(parse_serial(reply.payload), revision)

    def public_key(self, slot: int) -> bytes:
        """Public key of a private slot: ``X ‖ Y``, 64 bytes."""
        return parse_public_key(self.command("generate-pubkey", slot).require().payload)

    def signing_request(self) -> str:
        """A certificate request signed by the element, PEM."""
        return parse_request(self.command("generate-csr").require().payload)

    def certificate(self, kind: CertificateKind) -> bytes:
        """One certificate of a Trust&GO element as the firmware rebuilds it, DER."""
        payload = self.command(f"get-tngtls-{kind}-cert").require().payload
        certificate = parse_certificate(payload, kind)
        if not certificate.startswith(b"\x30"):
            raise FrameError(
                f"the {kind} certificate begins with 0x{certificate[:1].hex()}, not with a SEQUENCE"
            )
        return certificate

    def trust_chain(self) -> TrustChain:
        """All three certificates of a Trust&GO element, in the order that the firmware demands."""
        root, signer, device = (self.certificate(kind) for kind in CertificateKind)
        return TrustChain(device, signer, root)


_SLOTS = {"program-dev-cert": 10, "program-signer-cert": 12}


def _call(name: str, args: tuple[object, ...]) -> RpcCall:
    """The call as the guard knows it, with the slot it changes."""
    if name == "generate-keys":
        return RpcCall(name, int(str(args[0])) if args and str(args[0]).isdecimal() else 0)
    return RpcCall(name, _SLOTS.get(name))


_UNKNOWN = "what it does is not known"


def _unguarded(call: RpcCall) -> None:
    raise GuardRefusal(
        f"{call.method} refused: {CONSOLE_ROADS.get(call.method, _UNKNOWN)}; nothing was sent",
        hint="no guard watches this console; open the board through its rig",
    )
